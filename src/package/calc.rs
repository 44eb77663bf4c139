//! From the terms of a package to those of a contract that starts at an instant. Pure.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::terms::{
    ChargeTemplate, ItemTemplate, OverrideTemplate, Package, PaymentTemplate, RecurringTemplate,
    SegmentTemplate,
};
use crate::contract::StatementDay;
use crate::contract::rate_override::{Override, Specifier};
use crate::contract::recurring_grant::GrantTerms;
use crate::contract::scheduled_charge::{ItemPrice, PlannedItem};
use crate::id::OverrideId;
use crate::money::Number;
use crate::time::{Instant, RelativeDate, RelativeUnit, StatementSchedule};

/// A term whose date lies after the year 9999 for this start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("with it the package's {term} lies after the year 9999")]
pub struct TooLate {
    pub term: String,
}

impl TooLate {
    /// The same term further down in the package.
    #[must_use]
    pub fn within(self, path: &str) -> Self {
        Self { term: format!("{path}.{}", self.term) }
    }
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

/// What a time of a package is in a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    starting_at: Instant,
    ending_before: Option<Instant>,
}

/// The time that begins so far after the contract's start and lasts so long, cut at the contract's end; nothing where it would
/// begin there or later.
fn window(
    (offset, duration): (RelativeDate, Option<RelativeDate>),
    start: Instant,
    contract_end: Option<Instant>,
) -> Result<Option<Window>, TooLate> {
    let starting_at = after(start, offset, || "starting_at_offset".to_owned())?;
    let end = duration.map(|duration| after(starting_at, duration, || "duration".to_owned())).transpose()?;
    if contract_end.is_some_and(|contract_end| starting_at >= contract_end) {
        return Ok(None);
    }
    let ending_before = match (end, contract_end) {
        (Some(end), Some(contract_end)) => Some(end.min(contract_end)),
        (end, _) => end,
    };
    Ok(Some(Window { starting_at, ending_before }))
}

/// A segment of a contract's commit or credit, before it has an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedSegment {
    pub amount: Number,
    pub starting_at: Instant,
    pub ending_before: Instant,
}

/// The segments of a commit or credit in a contract that starts at `start`, by their starts.
///
/// What reaches beyond the contract's end is cut there and keeps its amount, as it is where a contract is given an earlier end;
/// but for a promise (`is_postpaid`), which the contract cuts as it ends, and bills what is short of then. A segment that would
/// begin at the end or later is left out: none of it could ever be drawn (our decision).
pub fn segments(
    templates: &[SegmentTemplate],
    is_postpaid: bool,
    start: Instant,
    contract_end: Option<Instant>,
) -> Result<Vec<PlannedSegment>, TooLate> {
    let cut = contract_end.filter(|_| !is_postpaid);
    let begins = |window: &Window| contract_end.is_none_or(|end| window.starting_at < end);
    let mut planned = Vec::with_capacity(templates.len());
    for (index, template) in templates.iter().enumerate() {
        let time = (template.starting_at_offset, Some(template.duration));
        let window = window(time, start, cut)
            .map_err(|error| error.within(&format!("access_schedule.schedule_items[{index}]")))?;
        let window = window.filter(begins);
        let dates = window.and_then(|window| Some((window.starting_at, window.ending_before?)));
        planned.extend(dates.map(|(starting_at, ending_before)| PlannedSegment {
            amount: template.amount.clone(),
            starting_at,
            ending_before,
        }));
    }
    planned.sort_by_key(|segment| segment.starting_at);
    Ok(planned)
}

/// The payments for a commit of a contract that starts at `start`.
///
/// As of charges, one that is dated after the contract's end is kept.
pub fn payments(templates: &[PaymentTemplate], start: Instant) -> Result<Vec<PlannedItem>, TooLate> {
    let item = |(index, template): (usize, &PaymentTemplate)| {
        let field = || format!("invoice_schedule.schedule_items[{index}].date_offset");
        let (unit_price, quantity) = (template.unit_price.0.clone(), template.quantity.0.clone());
        Ok(PlannedItem {
            dated_at: after(start, template.date_offset, field)?,
            price: ItemPrice { unit_price, quantity },
        })
    };
    templates.iter().enumerate().map(item).collect()
}

/// Whether a date lies before the end of a time whatever the start is that both are counted from. How days compare with months
/// depends on the start, so of the two together it is not said.
#[must_use]
pub fn is_always_before_the_end(
    date: RelativeDate,
    (offset, duration): (RelativeDate, RelativeDate),
) -> bool {
    let (date, offset, duration) = (Length::of(date), Length::of(offset), Length::of(duration));
    let end = Length { months: offset.months + duration.months, days: offset.days + duration.days };
    // A clamped day stays in its month, so where all are months their number decides.
    let is_of_months = date.days == 0 && end.days == 0;
    let is_of_days = date.months == 0 && end.months == 0;
    (is_of_months && date.months < end.months) || (is_of_days && date.days < end.days)
}

/// A length of time in what it is counted in, wide enough for the sum of any two.
#[derive(Clone, Copy)]
struct Length {
    months: i128,
    days: i128,
}

impl Length {
    fn of(date: RelativeDate) -> Self {
        let value = i128::from(date.value);
        match date.unit {
            RelativeUnit::Days => Self { months: 0, days: value },
            RelativeUnit::Weeks => Self { months: 0, days: 7 * value },
            RelativeUnit::Months => Self { months: value, days: 0 },
            RelativeUnit::Years => Self { months: 12 * value, days: 0 },
        }
    }
}

/// What a recurring commit or credit grants in a contract that starts at `start`; nothing where it would begin at the contract's
/// end or later.
pub fn recurring(
    template: RecurringTemplate,
    start: Instant,
    contract_end: Option<Instant>,
) -> Result<Option<GrantTerms>, TooLate> {
    let window = window((template.starting_at_offset, template.duration), start, contract_end)?;
    Ok(window.map(|Window { starting_at, ending_before }| GrantTerms {
        starting_at,
        ending_before,
        ..template.terms
    }))
}

/// The commits and credits of a contract, recurring ones too, each by the one of its package that it was copied from.
pub type Copies = BTreeMap<Uuid, Uuid>;

/// The override of a contract that starts at `start`, made at `now`; cut at the contract's end, and none where it would
/// begin there or later, or where it is about commits and credits none of which the contract has.
pub fn override_of(
    template: OverrideTemplate,
    id: OverrideId,
    (start, contract_end): (Instant, Option<Instant>),
    copies: &Copies,
    now: Instant,
) -> Result<Option<Override>, TooLate> {
    let window = window((template.starting_at_offset, template.duration), start, contract_end)?;
    let Some(Window { starting_at, ending_before }) = window else { return Ok(None) };
    let mut rule = template.rule;
    let is_about_everything = rule.targeting.specifiers.is_empty();
    let specifiers = rule.targeting.specifiers.into_iter().filter_map(|one| specifier_of(one, copies));
    rule.targeting.specifiers = specifiers.collect();
    if rule.targeting.specifiers.is_empty() && !is_about_everything {
        // Without any specifier it would be about everything.
        return Ok(None);
    }
    Ok(Some(Override { id, starting_at, ending_before, created_at: now, ..rule }))
}

/// The specifier with the contract's own commits and credits; none where it names only such as the contract does not have:
/// naming none it would be about all of them.
fn specifier_of(template: Specifier, copies: &Copies) -> Option<Specifier> {
    let own = |ids: &[Uuid]| ids.iter().filter_map(|id| copies.get(id).copied()).collect();
    let specifier = Specifier {
        commit_ids: own(&template.commit_ids),
        recurring_commit_ids: own(&template.recurring_commit_ids),
        any_commit_or_credit_ids: own(&template.any_commit_or_credit_ids),
        ..template.clone()
    };
    (specifier.names_commits() || !template.names_commits()).then_some(specifier)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::plain;
    use crate::time::parse_instant;

    fn length() -> impl Strategy<Value = RelativeDate> {
        let unit = prop_oneof![
            Just(RelativeUnit::Days),
            Just(RelativeUnit::Weeks),
            Just(RelativeUnit::Months),
            Just(RelativeUnit::Years),
        ];
        (0_i64..40, unit).prop_map(|(value, unit)| RelativeDate { value, unit })
    }

    fn is_of_days(date: RelativeDate) -> bool {
        matches!(date.unit, RelativeUnit::Days | RelativeUnit::Weeks)
    }

    proptest! {
        #[test]
        fn a_date_that_is_always_before_the_end_is_so_for_every_start(
            date in length(), offset in length(), duration in length(), day in 0_u64..2000,
        ) {
            let start = parse_instant("2023-12-31T05:00:00Z").expect("an instant") + chrono::Days::new(day);
            let at = |date: RelativeDate, from| date.after(from).expect("before the year 9999");
            let is_before = at(date, start) < at(duration, at(offset, start));
            let is_always_before = is_always_before_the_end(date, (offset, duration));
            prop_assert!(is_before || !is_always_before, "{date:?} {offset:?} {duration:?}");
            if is_of_days(date) == is_of_days(offset) && is_of_days(offset) == is_of_days(duration) {
                prop_assert_eq!(is_before, is_always_before, "{:?} {:?} {:?}", date, offset, duration);
            }
        }
    }

    #[test]
    fn a_segment_is_cut_at_the_contracts_end_and_left_out_where_it_begins_there() {
        let at = |text: &str| parse_instant(text).expect("an instant");
        let months = |value| RelativeDate { value, unit: RelativeUnit::Months };
        let segment = |amount: i64, offset, duration| SegmentTemplate {
            id: Uuid::nil().into(),
            amount: Number(amount.into()),
            starting_at_offset: months(offset),
            duration: months(duration),
        };
        let templates = [segment(3, 3, 1), segment(2, 1, 3), segment(1, 0, 1)];
        let (start, end) = (at("2026-01-31T00:00:00Z"), at("2026-04-30T00:00:00Z"));
        let planned = |end| {
            let planned = segments(&templates, false, start, end).expect("before the year 9999");
            let one = |one: PlannedSegment| (plain(&one.amount.0), one.starting_at, one.ending_before);
            planned.into_iter().map(one).collect::<Vec<_>>()
        };
        let one = |amount: &str, start, end| (amount.to_owned(), start, end);
        let (february, may) = (at("2026-02-28T00:00:00Z"), at("2026-05-28T00:00:00Z"));
        assert_eq!(planned(Some(end)), [one("1", start, february), one("2", february, end)]);
        let last = one("3", end, at("2026-05-30T00:00:00Z"));
        assert_eq!(planned(None), [one("1", start, february), one("2", february, may), last]);
        assert_eq!(planned(Some(start)), []);
        let promises = segments(&templates, true, start, Some(end)).expect("before the year 9999");
        let ends: Vec<Instant> = promises.into_iter().map(|one| one.ending_before).collect();
        assert_eq!(ends, [february, may], "a promise is cut by its contract");
    }

    #[test]
    fn a_specifier_that_names_only_what_the_contract_lacks_is_left_out() {
        let (kept, lost, own) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let copies = Copies::from([(kept, own)]);
        let naming = |ids: &[Uuid]| Specifier { commit_ids: ids.to_vec(), ..Specifier::default() };
        assert_eq!(specifier_of(naming(&[lost, kept]), &copies), Some(naming(&[own])));
        assert_eq!(specifier_of(naming(&[lost]), &copies), None);
        assert_eq!(specifier_of(Specifier::default(), &copies), Some(Specifier::default()));
    }
}
