//! Making the commits and credits of recurring grants, and keeping those that have not started with their contract.

use sqlx::PgConnection;

use super::calc::{Calendar, child};
use super::follow::{brought_back, child_where_ends, followed, followed_in_time, taken_away};
use super::store;
use super::terms::RecurringGrant;
use crate::contract::balance::{self, Balance, Change, PaymentsError, keep_payments, payments_that_stand};
use crate::contract::scheduled_charge::{bring_back, remove_pending};
use crate::contract::{self, Contract, renewal, schedule_next_charge};
use crate::customer;
use crate::id::{ContractId, EnvironmentId};
use crate::job::{self, DueWork};
use crate::time::{Instant, shown};

/// Most commits and credits that are made in one transaction: a grant that starts long ago is caught up in several.
pub const AT_ONCE: usize = 100;

/// When the next commit or credit of a grant is to be made; nothing where there is none to come.
#[must_use]
pub fn due_at(grant: &RecurringGrant, contract: &Contract) -> Option<Instant> {
    let calendar = Calendar::of(grant, contract);
    calendar.period(grant.granted_until)?;
    // The first one is made with the grant, and before anything that is due for its time.
    let first = || grant.created_at.min(calendar.start);
    Some(calendar.made_at(grant.granted_until).unwrap_or_else(first))
}

/// When the next commit or credit of the contract's grants is to be made.
pub async fn next_due(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
) -> Result<Option<Instant>, sqlx::Error> {
    if contract.archived_at.is_some() {
        return Ok(None);
    }
    let grants = store::of_contract(db, environment_id, contract.customer_id, contract.id).await?;
    Ok(grants.iter().filter_map(|grant| due_at(grant, contract)).min())
}

/// Due work: makes the commits and credits of a contract's recurring grants that are due, and the next ones due. A contract
/// that is gone or archived has none.
pub async fn create_recurring_balances(db: &mut PgConnection, work: &DueWork) -> Result<(), sqlx::Error> {
    let environment_id = work.environment_id;
    customer::hold(db, environment_id, work.customer_id).await?;
    let id = ContractId(work.subject_id);
    let contract = contract::find_for_update(db, environment_id, work.customer_id, id).await?;
    let Some(contract) = contract.filter(|contract| contract.archived_at.is_none()) else {
        return job::remove(db, environment_id, &work.kind, work.subject_id).await;
    };
    let made = grow(db, environment_id, &contract, work.now, AT_ONCE).await?;
    contract::schedule_recurring(db, environment_id, &contract).await?;
    for balance in made {
        let what = if balance.is_credit() { "credit" } else { "commit" };
        let description = format!("Made the recurring {what} of {}", shown(balance.created_at));
        job::record(db, work, what, balance.id.0, "create", description).await?;
    }
    Ok(())
}

/// Makes everything that is due by `until`, for a step that bills or draws it: another worker may hold the step that makes
/// it. The caller holds the contract.
pub async fn catch_up(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    until: Instant,
) -> Result<(), sqlx::Error> {
    let made = grow(db, environment_id, contract, until, usize::MAX).await?;
    if made.is_empty() { Ok(()) } else { contract::schedule_recurring(db, environment_id, contract).await }
}

/// Makes the commits and credits of the contract's recurring grants that are due by `until`, in the order in which they are
/// due and at most so many, with what is paid for them; answers them. What is due next for recurring grants is left to
/// [`contract::schedule_recurring`]. The caller holds the customer and the contract.
pub async fn grow(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    until: Instant,
    at_most: usize,
) -> Result<Vec<Balance>, sqlx::Error> {
    if contract.archived_at.is_some() {
        return Ok(Vec::new());
    }
    let mut grants = store::of_contract(db, environment_id, contract.customer_id, contract.id).await?;
    let before: Vec<Instant> = grants.iter().map(|grant| grant.granted_until).collect();
    let made = plan(&mut grants, contract, until, at_most);
    for (grant, _) in grants.iter().zip(before).filter(|(grant, before)| grant.granted_until != *before) {
        store::advance(db, environment_id, grant).await?;
    }
    let mut kept = Vec::with_capacity(made.len());
    for balance in made {
        kept.extend(keep(db, environment_id, &grants, contract, balance, until).await?);
    }
    renewal::hand_over(db, environment_id, contract, &kept).await?;
    if kept.iter().any(|balance| balance.terms.payments.is_some()) {
        schedule_next_charge(db, environment_id, contract).await?;
    }
    Ok(kept)
}

/// What is due by `until`, by the instant at which it is due and then by grant. The grants are moved on.
pub fn plan(
    grants: &mut [RecurringGrant],
    contract: &Contract,
    until: Instant,
    at_most: usize,
) -> Vec<Balance> {
    let mut made = Vec::new();
    while made.len() < at_most {
        let due = grants.iter_mut().filter_map(|grant| Some((due_at(grant, contract)?, grant)));
        let Some((_, grant)) = due.filter(|(at, _)| *at <= until).min_by_key(|(at, grant)| (*at, grant.id))
        else {
            break;
        };
        let calendar = Calendar::of(grant, contract);
        let start = grant.granted_until;
        made.extend(calendar.period(start).map(|period| child(grant, &period)));
        grant.granted_until = calendar.next(start);
    }
    made
}

/// Keeps one that was made. One that an earlier end of the contract took away comes back, with what somebody made of it and with
/// its payments; one that somebody archived does not, and is nothing here.
async fn keep(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    grants: &[RecurringGrant],
    contract: &Contract,
    made: Balance,
    now: Instant,
) -> Result<Option<Balance>, sqlx::Error> {
    let Some(removed) = balance::find(db, environment_id, made.customer_id, made.id).await? else {
        balance::insert(db, environment_id, &made).await?;
        keep_payments(db, environment_id, &made, now).await.map_err(PaymentsError::into_fault)?;
        return Ok(Some(made));
    };
    let Some(taken) = removed.terms.taken_away else { return Ok(None) };
    let is_it = |grant: &&RecurringGrant| Some(grant.id) == made.recurring_id;
    let grant = grants.iter().find(is_it).expect("one of these made it");
    let payments = payments_that_stand(db, environment_id, &removed).await?;
    bring_back(db, environment_id, removed.customer_id, &payments.removed_ids()).await?;
    // Nothing where its time was edited so that an end could not take it away till then: it stays as it was.
    let was = child_where_ends(grant, contract, taken.ended_before, removed.created_at);
    let back = brought_back(&removed, was.as_ref().unwrap_or(&made), &made, &payments.billed);
    save(db, environment_id, &back, Change { at: now, by: None }).await?;
    let too_late = payments.removed_from(contract.ending_before);
    remove_pending(db, environment_id, back.customer_id, &too_late, now).await?;
    Ok(Some(back))
}

async fn save(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
    change: Change<'_>,
) -> Result<(), sqlx::Error> {
    balance::save(db, environment_id, balance, change).await?;
    keep_payments(db, environment_id, balance, change.at).await.map_err(PaymentsError::into_fault)
}

/// What the contract's end does to what its recurring grants made. Of what has not started at `now`, what would start at the end
/// or later is archived, and the rest is cut or grows with it, but for what somebody changed. What has started may be drawn until
/// the end, and stays as it is else. Where the end moved later, what is due by then is made. The caller holds the customer and
/// the contract, which was `old` before.
pub async fn follow_end(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    old: &Contract,
    contract: &Contract,
    now: Instant,
    by: &str,
) -> Result<(), sqlx::Error> {
    let change = Change { at: now, by: Some(by) };
    let first_end = [old.ending_before, contract.ending_before].into_iter().flatten().min();
    for mut grant in store::of_contract(db, environment_id, contract.customer_id, contract.id).await? {
        let before = grant.granted_until;
        let ends_then = store::started_and_open_at(db, environment_id, &grant, now, first_end).await?;
        for balance in ends_then {
            let start = balance.created_at;
            // Where it would not be there at all, it has no time, and is kept as if its contract did not end.
            let made = |contract: &Contract| {
                let child = child_where_ends(&grant, contract, contract.ending_before, start);
                child.or_else(|| child_where_ends(&grant, contract, None, start))
            };
            let Some((was, is)) = made(old).zip(made(contract)) else { continue };
            let followed = followed_in_time(&balance, &was, &is);
            if followed != balance {
                balance::save(db, environment_id, &followed, change).await?;
            }
        }
        for balance in store::upcoming(db, environment_id, &grant, now).await? {
            let start = balance.created_at;
            let [was, is] = [old, contract]
                .map(|contract| child_where_ends(&grant, contract, contract.ending_before, start));
            let Some(is) = is else {
                grant.granted_until = grant.granted_until.min(start);
                let taken = taken_away(&balance, old.ending_before, now);
                save(db, environment_id, &taken, change).await?;
                continue;
            };
            let Some(was) = was.filter(|was| *was != is) else { continue };
            let payments = payments_that_stand(db, environment_id, &balance).await?;
            let followed = followed(&balance, &was, &is, &payments.billed);
            if followed != balance {
                // Also those that an end took away: they come back at the price of the period.
                let removed = payments.removed_ids();
                bring_back(db, environment_id, balance.customer_id, &removed).await?;
                save(db, environment_id, &followed, change).await?;
                remove_pending(db, environment_id, balance.customer_id, &removed, now).await?;
            }
        }
        if grant.granted_until != before {
            store::advance(db, environment_id, &grant).await?;
        }
    }
    grow(db, environment_id, contract, now, AT_ONCE).await.map(|_| ())
}
