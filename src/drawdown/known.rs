//! The draws of a customer's balances, looked up once for each of its states.

use std::sync::{Arc, LazyLock};

use sqlx::PgConnection;
use uuid::Uuid;

use super::store::{Draw, of_balances};
use crate::customer::CustomerState;
use crate::id::{CustomerId, EnvironmentId};
use crate::memo::Memo;

/// Draws that are remembered, of all customers together: some ten megabytes.
const DRAWS_MAX: u64 = 100_000;

/// Of a state of the customer those of these balances.
type Name = (CustomerState, Vec<Uuid>);

static KNOWN: LazyLock<Memo<Name, Vec<Draw>>> = LazyLock::new(|| Memo::new(DRAWS_MAX, 20));

/// [`of_balances`] in a state of the customer, which the transaction sees; without a name they are loaded.
pub async fn draws_in(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    balance_ids: Vec<Uuid>,
    state: Option<CustomerState>,
) -> Result<Arc<Vec<Draw>>, sqlx::Error> {
    let load = of_balances(db, environment_id, customer_id, &balance_ids);
    let name = state.map(|state| (state, balance_ids.clone()));
    KNOWN.find_or(name, |draws| balance_ids.len() + draws.len(), load).await
}
