//! What the end of their contract makes of the commits and credits of recurring grants. Pure.

use std::collections::BTreeSet;

use super::calc::{Calendar, child};
use super::terms::RecurringGrant;
use crate::contract::Contract;
use crate::contract::balance::{Balance, Payment, TakenAway};
use crate::id::ScheduleItemId;
use crate::time::Instant;

/// The commit or credit of the period that starts at `start` as the grant makes it where its contract ends at `end`; nothing
/// where the grant is over by then.
#[must_use]
pub fn child_where_ends(
    grant: &RecurringGrant,
    contract: &Contract,
    end: Option<Instant>,
    start: Instant,
) -> Option<Balance> {
    let contract = Contract { ending_before: end, ..contract.clone() };
    let period = Calendar::of(grant, &contract).period(start)?;
    Some(child(grant, &period))
}

/// One that has not started, and that its grant made as `was`, where it would make it as `is` by now. What is still as it was made
/// becomes what it would be made, and what somebody changed stays as it is (our decision: what is agreed by hand is agreed
/// whatever the calendar). Where its payment is `billed` on a finalized invoice, amount and price stay, as one was paid for the
/// other.
#[must_use]
pub fn followed(
    balance: &Balance,
    was: &Balance,
    is: &Balance,
    billed: &BTreeSet<ScheduleItemId>,
) -> Balance {
    let mut followed = followed_in_time(balance, was, is);
    if payments(was).any(|payment| billed.contains(&payment.id)) {
        return followed;
    }
    for segment in &mut followed.terms.segments {
        if let (Some(was), Some(is)) = (was.segment(segment.id), is.segment(segment.id))
            && segment.amount == was.amount
        {
            segment.amount = is.amount.clone();
        }
    }
    for payment in followed.terms.payments.iter_mut().flat_map(|payments| &mut payments.items) {
        let own = |made| payments(made).find(|own| own.id == payment.id);
        if let (Some(was), Some(is)) = (own(was), own(is))
            && (&payment.unit_price, &payment.quantity) == (&was.unit_price, &was.quantity)
        {
            (payment.unit_price, payment.quantity) = (is.unit_price.clone(), is.quantity.clone());
        }
    }
    followed
}

/// One that has started: it may be drawn until its contract ends, and is as it was else.
#[must_use]
pub fn followed_in_time(balance: &Balance, was: &Balance, is: &Balance) -> Balance {
    let mut followed = balance.clone();
    for segment in &mut followed.terms.segments {
        if let (Some(was), Some(is)) = (was.segment(segment.id), is.segment(segment.id))
            && segment.ending_before == was.ending_before
            && segment.starting_at < is.ending_before
        {
            segment.ending_before = is.ending_before;
        }
    }
    followed
}

fn payments(made: &Balance) -> impl Iterator<Item = &Payment> {
    made.terms.payments.iter().flat_map(|payments| &payments.items)
}

/// One that has not started as the end of its contract takes it away, which was `ended_before` till then.
#[must_use]
pub fn taken_away(balance: &Balance, ended_before: Option<Instant>, now: Instant) -> Balance {
    let mut taken = Balance { archived_at: Some(now), ..balance.clone() };
    taken.terms.taken_away = Some(TakenAway { ended_before });
    taken
}

/// One that an end of its contract took away, as another end brings it back: with all that somebody made of it, where its grant
/// had made it as `was` and would make it as `is` by now.
#[must_use]
pub fn brought_back(
    removed: &Balance,
    was: &Balance,
    is: &Balance,
    billed: &BTreeSet<ScheduleItemId>,
) -> Balance {
    let mut back = followed(removed, was, is, billed);
    back.archived_at = None;
    back.terms.taken_away = None;
    back
}
