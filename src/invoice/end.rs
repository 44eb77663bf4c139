//! Moving the end of a contract.

use sqlx::PgConnection;

use crate::contract::balance::{self, Balance};
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
    } else {
        bring_payments_back(db, environment_id, new, now).await?;
    }
    recurring_grant::follow_end(db, environment_id, old, new, now, by).await?;
    contract::schedule_work(db, environment_id, new).await?;
    contract::schedule_true_ups(db, environment_id, new.customer_id).await
}

/// Removes the charges that an earlier end takes away: those dated at it or later that are not on a finalized invoice.
/// One that is dated exactly at the end stays if it rides on the last usage statement, unless it pays for a commit that
/// would begin then. An end that moves later again brings back what pays for commits alone (reference on ending contracts:
/// clipped terms do not come back; the time in which a commit may be drawn does here, so its payments do).
async fn remove_charges_from(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    end: Instant,
    now: Instant,
) -> Result<(), sqlx::Error> {
    let kept_at_end = kept_at(contract, end).then_some(contract.unit.id);
    scheduled_charge::remove_from(db, environment_id, contract, end, kept_at_end, now).await
}

/// Whether what is dated at the end rides on the usage statement that ends there.
fn kept_at(contract: &Contract, end: Instant) -> bool {
    contract.statement_of_charge(end, contract.unit.id).is_some_and(|last| last.end == end)
}

async fn bring_payments_back(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    now: Instant,
) -> Result<(), sqlx::Error> {
    let is_in_time = |balance: &Balance, dated_at: Instant| {
        let Some(end) = contract.ending_before else { return true };
        let unit = balance.terms.payments.as_ref().map(|payments| payments.credit_type.id);
        let rides = unit == Some(contract.unit.id) && kept_at(contract, end);
        dated_at < end || (dated_at == end && rides && balance.terms.span().start < end)
    };
    balance::bring_back_payments(db, environment_id, contract, is_in_time, now).await
}
