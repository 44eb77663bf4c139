//! What the end of their contract makes of commits and credits that have not started. Pure.

use std::collections::BTreeSet;

use super::calc::{Calendar, child};
use super::terms::RecurringGrant;
use crate::contract::Contract;
use crate::contract::balance::{Balance, TakenAway};
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

/// One that its grant made as `was`, where it would make it as `is` by now. What is still as it was made becomes what it would be
/// made, and what somebody changed stays as it is (our decision: what is agreed by hand is agreed whatever the calendar).
///
/// The price of a payment that is `held` stays: it is on a finalized invoice, or an end took it away.
#[must_use]
pub fn followed(balance: &Balance, was: &Balance, is: &Balance, held: &BTreeSet<ScheduleItemId>) -> Balance {
    let mut followed = balance.clone();
    for segment in &mut followed.terms.segments {
        let (Some(was), Some(is)) = (was.segment(segment.id), is.segment(segment.id)) else { continue };
        if segment.amount == was.amount {
            segment.amount = is.amount.clone();
        }
        if segment.ending_before == was.ending_before && segment.starting_at < is.ending_before {
            segment.ending_before = is.ending_before;
        }
    }
    let own = |made: &Balance, id: ScheduleItemId| {
        let payment = made.terms.payments.iter().flat_map(|payments| &payments.items);
        let payment = payment.into_iter().find(|payment| payment.id == id);
        payment.map(|payment| (payment.unit_price.clone(), payment.quantity.clone()))
    };
    for payment in followed.terms.payments.iter_mut().flat_map(|payments| &mut payments.items) {
        let is_as_made = own(was, payment.id) == Some((payment.unit_price.clone(), payment.quantity.clone()));
        if let Some(price) = own(is, payment.id).filter(|_| is_as_made && !held.contains(&payment.id)) {
            (payment.unit_price, payment.quantity) = price;
        }
    }
    followed
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
    held: &BTreeSet<ScheduleItemId>,
) -> Balance {
    let mut back = followed(removed, was, is, held);
    back.archived_at = None;
    back.terms.taken_away = None;
    back
}
