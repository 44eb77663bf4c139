//! A customer's contracts, looked up once for each of its states.

use std::sync::{Arc, LazyLock};

use sqlx::PgConnection;

use super::store::list_of_customer;
use super::terms::Contract;
use crate::catalog::version::CatalogVersion;
use crate::customer::CustomerState;
use crate::id::{CustomerId, EnvironmentId};
use crate::memo::Memo;

/// Contracts and their overrides that are remembered, of all customers together: some ten megabytes.
const TERMS_MAX: u64 = 20_000;

/// The catalog says in which unit contracts are billed.
pub type Name = (CatalogVersion, CustomerState);

static KNOWN: LazyLock<Memo<Name, Vec<Contract>>> = LazyLock::new(|| Memo::new(TERMS_MAX, 5));

/// [`list_of_customer`] in states of the catalog and of the customer, which the transaction sees; without names it is loaded.
pub async fn list_in(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    name: Option<Name>,
) -> Result<Arc<Vec<Contract>>, sqlx::Error> {
    let load = list_of_customer(db, environment_id, customer_id);
    let weigh = |contracts: &Vec<Contract>| {
        contracts.iter().map(|contract| 2 + contract.overrides.len()).sum::<usize>() + 1
    };
    KNOWN.find_or(name, weigh, load).await
}
