//! From the terms of a package to those of a contract that starts at an instant. Pure.

use super::terms::{ChargeTemplate, ItemTemplate, OverrideTemplate, Package};
use crate::contract::StatementDay;
use crate::contract::rate_override::Override;
use crate::contract::scheduled_charge::PlannedItem;
use crate::id::OverrideId;
use crate::time::{Instant, RelativeDate, StatementSchedule};

/// A term whose date lies after the year 9999 for this start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("with it the package's {term} lies after the year 9999")]
pub struct TooLate {
    pub term: String,
}

fn after(start: Instant, offset: RelativeDate, term: impl FnOnce() -> String) -> Result<Instant, TooLate> {
    offset.after(start).ok_or_else(|| TooLate { term: term() })
}

/// When a contract of the package is there, and when its usage statements close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    pub ending_before: Option<Instant>,
    pub schedule: StatementSchedule,
    pub invoice_generation_starting_at: Option<Instant>,
}

/// The term of a contract that starts at `start`.
///
/// A package has no date of its own, so CUSTOM_DATE is counted from the contract's start (our decision).
pub fn term(package: &Package, start: Instant) -> Result<Term, TooLate> {
    let end = package.duration.map(|duration| after(start, duration, || "duration".to_owned()));
    let statements = package.statements;
    let anchor = match statements.day {
        StatementDay::FirstOfMonth => StatementSchedule::first_of_month(start),
        StatementDay::ContractStart | StatementDay::CustomDate => start,
    };
    let field = || "usage_statement_schedule.invoice_generation_starting_at_offset".to_owned();
    let generation = statements.invoice_generation_offset.map(|offset| after(start, offset, field));
    Ok(Term {
        ending_before: end.transpose()?,
        schedule: StatementSchedule { frequency: statements.frequency, anchor },
        invoice_generation_starting_at: generation.transpose()?,
    })
}

/// The payments of a charge for a contract that starts at `start`.
///
/// A payment that is dated after the contract's end is kept, as it is where a contract is made without a package (our
/// decision: what was agreed is not dropped without a word).
pub fn items(charge: &ChargeTemplate, start: Instant) -> Result<Vec<PlannedItem>, TooLate> {
    let item = |(index, item): (usize, &ItemTemplate)| {
        let field = || format!("schedule_items[{index}].date_offset");
        Ok(PlannedItem { dated_at: after(start, item.date_offset, field)?, price: item.price.clone() })
    };
    charge.items.iter().enumerate().map(item).collect()
}

/// The override of a contract that starts at `start`, made at `now`; cut at the contract's end, and none where it would
/// begin there or later.
pub fn override_of(
    template: OverrideTemplate,
    id: OverrideId,
    start: Instant,
    contract_end: Option<Instant>,
    now: Instant,
) -> Result<Option<Override>, TooLate> {
    let starting_at = after(start, template.starting_at_offset, || "starting_at_offset".to_owned())?;
    let end = template.duration.map(|duration| after(starting_at, duration, || "duration".to_owned()));
    let end = end.transpose()?;
    if contract_end.is_some_and(|contract_end| starting_at >= contract_end) {
        return Ok(None);
    }
    let ending_before = match (end, contract_end) {
        (Some(end), Some(contract_end)) => Some(end.min(contract_end)),
        (end, _) => end,
    };
    Ok(Some(Override { id, starting_at, ending_before, created_at: now, ..template.rule }))
}
