//! A customer's statuses, looked up once for each of its states.

use std::sync::LazyLock;

use sqlx::PgConnection;

use super::store::{all_of, statuses_at};
use super::{BillableStatus, StatusInForce};
use crate::customer::CustomerState;
use crate::id::{CustomerId, EnvironmentId};
use crate::memo::Memo;
use crate::time::Instant;

/// Entries that are remembered, of all customers together: some megabytes.
const STATUSES_MAX: u64 = 100_000;

static KNOWN: LazyLock<Memo<CustomerState, Vec<StatusInForce>>> =
    LazyLock::new(|| Memo::new(STATUSES_MAX, 2));

/// A customer's status at an instant, in a state of the customer, which the transaction sees.
pub async fn status_in(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    at: Instant,
    state: Option<CustomerState>,
) -> Result<BillableStatus, sqlx::Error> {
    if state.is_none() {
        let mut statuses = statuses_at(db, environment_id, &[(customer_id, at)]).await?;
        return Ok(statuses.pop().expect("one for each that is asked for"));
    }
    let weigh = |entries: &Vec<StatusInForce>| 1 + entries.len();
    let entries = KNOWN.find_or(state, weigh, all_of(db, environment_id, customer_id)).await?;
    let in_force = entries.iter().find(|entry| entry.effective_at <= at);
    Ok(in_force.map_or(BillableStatus::Billable, |entry| entry.status))
}
