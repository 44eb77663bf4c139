//! Moving the end of a contract.

use sqlx::PgConnection;

use crate::contract::{self, Contract, recurring_grant, scheduled_charge};
use crate::id::EnvironmentId;
use crate::time::Instant;

/// Makes a contract end where `new` says, which is `old` but for that, with all that follows: its charges, what its recurring
/// grants make, what is due. The caller has caught up with what was due, and holds the customer and the contract.
pub(super) async fn move_end(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    old: &Contract,
    new: &Contract,
    now: Instant,
    by: &str,
) -> Result<(), sqlx::Error> {
    contract::change_end(db, environment_id, new, now, by).await?;
    let before = old.ending_before;
    if let Some(end) = new.ending_before.filter(|end| before.is_none_or(|before| *end < before)) {
        remove_charges_from(db, environment_id, new, end, now).await?;
    }
    recurring_grant::follow_end(db, environment_id, old, new, now, by).await?;
    contract::schedule_work(db, environment_id, new).await?;
    contract::schedule_true_ups(db, environment_id, new.customer_id).await
}

/// Removes the charges that an earlier end takes away: those dated at it or later that are not on a finalized invoice.
/// One that is dated exactly at the end stays if it rides on the last usage statement. An end that moves later again
/// brings none of them back (reference on ending contracts).
async fn remove_charges_from(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    end: Instant,
    now: Instant,
) -> Result<(), sqlx::Error> {
    let rides = contract.statement_of_charge(end, contract.unit.id).is_some_and(|last| last.end == end);
    let kept_at_end = rides.then_some(contract.unit.id);
    scheduled_charge::remove_from(db, environment_id, contract, end, kept_at_end, now).await
}
