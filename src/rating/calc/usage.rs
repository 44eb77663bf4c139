//! What usage costs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cut::Cuts;
use super::price::{Pricing, pricings};
use super::quantity::{Combination, MeteredUsage, Step};
use super::stretch::{Basis, StepList, Steps, Stretch};
use crate::catalog::product::{ProductState, SqlBreakdownGranularity};
use crate::contract::Statement;
use crate::money::{Decimal, zero};
use crate::rating::terms::{Agreement, ProductTerms, Terms};
use crate::time::{Instant, Period};

/// Time over which a product meters in one way.
struct Span<'a> {
    period: Period,
    state: &'a ProductState,
    /// Whether what is counted in it is charged at the end of the period: what queries count is, unless the product
    /// breaks it down by the hour.
    at_the_end: bool,
}

/// What is charged at the end of the period.
struct PutOff {
    start: Instant,
    steps: Vec<Step>,
}

/// Prices the usage of a product, by time and combination; also what lies before the statement, for whoever needs what
/// was spent so far.
///
/// Usage whose group values have no rate, or that falls where there is no rate, is in no stretch. Where there are no
/// groups, time without usage has its stretches as well.
#[must_use]
pub fn usage_stretches<'a>(
    agreement: &Agreement<'a>,
    product: &'a ProductTerms,
    usage: &MeteredUsage<'_>,
    cuts: &Cuts,
) -> Vec<Stretch<'a>> {
    let Agreement { terms, statement, .. } = *agreement;
    let mut stretches = Vec::new();
    // Tiers go by what was used so far in the period, however it was counted.
    let mut counters: BTreeMap<Arc<Combination>, Decimal> = BTreeMap::new();
    let mut put_off: BTreeMap<Arc<Combination>, PutOff> = BTreeMap::new();
    let spans = spans(terms, product, &statement);
    let is_one = spans.len() == 1;
    for span in spans {
        for (combination, steps) in usage.steps(terms, span.state, cuts, span.period) {
            let combination = Arc::new(combination);
            if span.at_the_end {
                put_off
                    .entry(combination)
                    .or_insert_with(|| PutOff { start: span.period.start, steps: Vec::new() })
                    .steps
                    .extend(steps);
                continue;
            }
            let before = counters.remove(&combination).unwrap_or_else(zero);
            let steps = Arc::new(StepList::new(before, steps));
            let mut left = 0..steps.len();
            // The next ones that start before an instant.
            let mut pass = |end: Instant| {
                let next = steps[left.clone()].iter().take_while(|step| step.period.start < end);
                let passed = left.start..left.start + next.count();
                left.start = passed.end;
                passed
            };
            for (period, pricing) in pricings(agreement, product, &combination, span.period) {
                // What is used before has no price.
                pass(period.start);
                let own = Steps::of(&steps, pass(period.end));
                stretches.extend(stretch(product, &combination, period, pricing, own));
            }
            if !is_one {
                counters.insert(combination, steps.after().clone());
            }
        }
    }
    let end = statement.counted.end;
    for (combination, PutOff { start, steps }) in put_off {
        let period = Period { start, end };
        // As the product is presented at the end, which decides the combination too.
        let last_span = Period { start: cuts.last().start.max(start), end };
        let last = pricings(agreement, product, &combination, last_span).pop();
        let Some((_, pricing)) = last.filter(|(priced, _)| priced.end == end) else { continue };
        let before = counters.remove(&combination).unwrap_or_else(zero);
        let steps = StepList::new(before, at_the_last_instant(steps, cuts)).into();
        stretches.extend(stretch(product, &combination, period, pricing, steps));
    }
    in_time_order(stretches)
}

/// By start and then by combination: those that start together come from one span, in whose order of combinations they stand
/// already. Each is moved once: a large contract has many, and none is small.
fn in_time_order(stretches: Vec<Stretch<'_>>) -> Vec<Stretch<'_>> {
    let mut places: Vec<(Instant, usize)> =
        stretches.iter().map(|stretch| stretch.period.start).zip(0..).collect();
    if places.is_sorted() {
        return stretches;
    }
    places.sort_unstable();
    let mut stretches: Vec<Option<Stretch<'_>>> = stretches.into_iter().map(Some).collect();
    places.into_iter().map(|(_, place)| stretches[place].take().expect("each has one place")).collect()
}

/// A stretch, where there is anything to show: with groups only what was used.
fn stretch<'a>(
    product: &'a ProductTerms,
    combination: &Arc<Combination>,
    period: Period,
    pricing: Pricing<'a>,
    steps: Steps,
) -> Option<Stretch<'a>> {
    let is_shown = !steps.is_empty() || **combination == Combination::default();
    let basis = Basis::Usage(steps);
    let combination = Arc::clone(combination);
    is_shown.then(|| Stretch { product, combination, period, pricing, basis, paid: Vec::new() })
}

/// All that was put off as one step in the last segment.
fn at_the_last_instant(steps: Vec<Step>, cuts: &Cuts) -> Vec<Step> {
    let Some(last) = steps.last() else { return steps };
    let (period, metered) = (cuts.last(), last.metered.clone());
    let quantity = steps.iter().map(|step| &step.quantity).sum();
    vec![Step { period, metered, quantity }]
}

/// The spans of the counted period, cut where the statement starts.
fn spans<'a>(terms: &Terms, product: &'a ProductTerms, statement: &Statement) -> Vec<Span<'a>> {
    let Statement { counted, from, .. } = *statement;
    let changes = product.states.metering_changes().chain(product.states.breakdown_changes());
    let mut starts: Vec<Instant> =
        changes.filter(|instant| counted.contains(*instant)).chain([counted.start, from]).collect();
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).copied().chain([counted.end]);
    let mut spans: Vec<Span<'a>> = Vec::new();
    for (start, end) in starts.iter().copied().zip(ends) {
        let state = product.states.at(start);
        let at_the_end = start >= from && counts_at_the_end(terms, state);
        match spans.last_mut() {
            Some(span) if start != from && span.at_the_end == at_the_end && span.state.meters_like(state) => {
                span.period.end = end;
            }
            _ => spans.push(Span { period: Period { start, end }, state, at_the_end }),
        }
    }
    spans
}

fn counts_at_the_end(terms: &Terms, state: &ProductState) -> bool {
    let is_by_hour = state.sql_breakdown_granularity == Some(SqlBreakdownGranularity::Hour);
    !is_by_hour && terms.metric_of(state).is_some_and(|(_, metric)| metric.is_sql())
}
