//! What a state of a customer is called, so that what was worked out of it need not be worked out again ([`crate::memo`]).
//!
//! The database names every state: of its aliases, statuses, contracts with all their terms, balances, draws and invoices.
//! Custom fields, usage and what is due for a customer are no part of it, nor is the catalog, which has names of its own.

use std::sync::{Arc, LazyLock};

use sqlx::PgConnection;
use uuid::Uuid;

use super::store::subjects_by_customer;
use crate::id::{CustomerId, EnvironmentId};
use crate::memo::Memo;

/// A state of one customer and of no other. A snapshot that sees this name sees what it names, in whatever process and at
/// whatever time; the transaction that changes the customer may see it for what it has changed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CustomerState(pub Uuid);

/// Strings that are remembered, of all customers together: some megabytes.
const SUBJECTS_MAX: u64 = 100_000;

static SUBJECTS: LazyLock<Memo<CustomerState, Vec<String>>> = LazyLock::new(|| Memo::new(SUBJECTS_MAX, 5));

/// The strings in events that mean a customer, which exists, in a state that the transaction sees.
pub async fn subjects_in(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    state: Option<CustomerState>,
) -> Result<Arc<Vec<String>>, sqlx::Error> {
    let load = async {
        let mut subjects = subjects_by_customer(db, environment_id, &[customer_id.0]).await?;
        Ok(subjects.remove(&customer_id).unwrap_or_default())
    };
    SUBJECTS.find_or(state, Vec::len, load).await
}
