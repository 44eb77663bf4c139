//! What usage costs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::vec;

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
struct PutOff<'a> {
    start: Instant,
    steps: Vec<Step<'a>>,
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
    usage: &MeteredUsage<'a>,
    cuts: &Cuts,
) -> Vec<Stretch<'a>> {
    let Agreement { terms, statement, .. } = *agreement;
    let mut combinations: Vec<Priced<'a>> = Vec::new();
    // Tiers go by what was used so far in the period, however it was counted.
    let mut counters: BTreeMap<Arc<Combination>, Decimal> = BTreeMap::new();
    let mut put_off: BTreeMap<Arc<Combination>, PutOff<'a>> = BTreeMap::new();
    let spans = spans(terms, product, &statement);
    let is_one = spans.len() == 1;
    for span in spans {
        let all = usage.steps(terms, span.state, cuts, span.period).into_iter();
        for (combination, steps) in all.filter(|(combination, _)| combination.can_have_rate(span.state)) {
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
            let prices = pricings(agreement, product, &combination, span.period);
            if !is_one {
                counters.insert(Arc::clone(&combination), steps.after().clone());
            }
            combinations.push(Priced { combination, steps, passed: 0, prices: prices.into_iter() });
        }
    }
    let end = statement.counted.end;
    for (combination, PutOff { start, steps }) in put_off {
        let period = Period { start, end };
        // The price of the end, for the combination that it was counted in.
        let last_span = Period { start: cuts.last().start.max(start), end };
        let last = pricings(agreement, product, &combination, last_span).pop();
        let Some((_, pricing)) = last.filter(|(priced, _)| priced.end == end) else { continue };
        let before = counters.remove(&combination).unwrap_or_else(zero);
        let steps = Arc::new(StepList::new(before, at_the_last_instant(steps, cuts)));
        combinations.push(Priced {
            combination,
            steps,
            passed: 0,
            prices: vec![(period, pricing)].into_iter(),
        });
    }
    in_time_order(product, combinations)
}

/// The prices of a combination in a span, one after the other, and its steps.
struct Priced<'a> {
    combination: Arc<Combination>,
    steps: Arc<StepList<'a>>,
    /// How many of the steps are in a stretch, or have no price.
    passed: usize,
    prices: vec::IntoIter<(Period, Pricing<'a>)>,
}

impl<'a> Priced<'a> {
    /// The stretch under the next price, where there is anything to show: with groups only what was used.
    fn next(&mut self, product: &'a ProductTerms) -> Option<Stretch<'a>> {
        let (period, pricing) = self.prices.next()?;
        // What is used before has no price.
        self.pass(period.start);
        let own = self.pass(period.end);
        let steps = Steps::of(&self.steps, own);
        let is_shown = !steps.is_empty() || *self.combination == Combination::default();
        let combination = &self.combination;
        is_shown.then(|| Stretch {
            product,
            combination: Arc::clone(combination),
            period,
            pricing,
            basis: Basis::Usage(steps),
            paid: Vec::new(),
        })
    }

    /// The places of the next steps that start before an instant.
    fn pass(&mut self, end: Instant) -> Range<usize> {
        let start = self.passed;
        self.passed += self.steps[start..].iter().take_while(|step| step.period.start < end).count();
        start..self.passed
    }
}

/// The stretches by start and then as the combinations come. (The order is found first, as a large contract has many stretches,
/// and none is small.)
fn in_time_order<'a>(product: &'a ProductTerms, mut combinations: Vec<Priced<'a>>) -> Vec<Stretch<'a>> {
    // Round by round: where prices change together, as they mostly do, that is the order already.
    let starts_of = |round: usize| {
        let start = move |one: &Priced<'a>| one.prices.as_slice().get(round).map(|(period, _)| period.start);
        combinations.iter().enumerate().filter_map(move |(place, one)| Some((start(one)?, place)))
    };
    let rounds = combinations.iter().map(|one| one.prices.len()).max().unwrap_or_default();
    let mut places: Vec<(Instant, usize)> = (0..rounds).flat_map(starts_of).collect();
    places.sort_unstable();
    let mut stretches = Vec::with_capacity(places.len());
    stretches.extend(places.into_iter().filter_map(|(_, place)| combinations[place].next(product)));
    stretches
}

/// All that was put off as one step in the last segment.
fn at_the_last_instant<'a>(steps: Vec<Step<'a>>, cuts: &Cuts) -> Vec<Step<'a>> {
    let Some(last) = steps.last() else { return steps };
    let (period, metered) = (cuts.last(), last.metered.clone());
    let quantity = Cow::Owned(steps.iter().map(|step| &*step.quantity).sum());
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

/// Whether what is counted is priced at the end of the period: what queries count is, unless it is broken down by the hour.
pub(super) fn counts_at_the_end(terms: &Terms, state: &ProductState) -> bool {
    let is_by_hour = state.sql_breakdown_granularity == Some(SqlBreakdownGranularity::Hour);
    !is_by_hour && terms.metric_of(state).is_some_and(|(_, metric)| metric.is_sql())
}
