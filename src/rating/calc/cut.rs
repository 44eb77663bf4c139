//! Where a period is cut.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::catalog::product::ProductType;
use crate::contract::Statement;
use crate::contract::rate_override::calc::boundaries;
use crate::id::BillableMetricId;
use crate::rating::terms::{Agreement, ProductTerms};
use crate::time::{Instant, Period};

/// The segments into which a period is cut, for each metric that counts in it.
///
/// A metric is cut only where something changes for one of the products that it counts for, so that a card of many
/// products with prices of their own does not cut each of them into the pieces of all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuts {
    period: Period,
    /// Where segments start, ascending; the first one with the period.
    starts: BTreeMap<BillableMetricId, Vec<Instant>>,
}

impl Cuts {
    /// A period in one segment for each metric.
    #[must_use]
    pub fn whole(period: Period, metric_ids: impl IntoIterator<Item = BillableMetricId>) -> Self {
        let starts = metric_ids.into_iter().map(|metric_id| (metric_id, vec![period.start])).collect();
        Self { period, starts }
    }

    #[must_use]
    pub fn period(&self) -> Period {
        self.period
    }

    /// Every metric that counts in the period.
    pub fn metric_ids(&self) -> impl Iterator<Item = BillableMetricId> {
        self.starts.keys().copied()
    }

    /// Where the metric's segments start; none where it does not count in the period.
    #[must_use]
    pub fn starts(&self, metric_id: BillableMetricId) -> &[Instant] {
        self.starts.get(&metric_id).map(Vec::as_slice).unwrap_or_default()
    }

    /// A segment of a metric by its number.
    #[must_use]
    pub fn segment(&self, metric_id: BillableMetricId, number: usize) -> Period {
        let starts = self.starts(metric_id);
        Period { start: starts[number], end: starts.get(number + 1).copied().unwrap_or(self.period.end) }
    }

    /// The metric's segments, in order.
    #[must_use]
    pub fn segments(&self, metric_id: BillableMetricId) -> Vec<Period> {
        let starts = self.starts(metric_id);
        let ends = starts.iter().skip(1).copied().chain([self.period.end]);
        starts.iter().zip(ends).map(|(start, end)| Period { start: *start, end }).collect()
    }

    /// The last segment of all.
    #[must_use]
    pub fn last(&self) -> Period {
        let start = self.starts.values().flatten().max().copied().unwrap_or(self.period.start);
        Period { start, end: self.period.end }
    }

    /// The number of the segment that an instant of the period is in.
    #[must_use]
    pub fn number_at(&self, metric_id: BillableMetricId, instant: Instant) -> Option<usize> {
        let begun = self.starts(metric_id).partition_point(|start| *start <= instant);
        begun.checked_sub(1).filter(|_| instant < self.period.end)
    }

    /// The cuts of some of the metrics alone.
    #[must_use]
    pub fn of(mut self, is_meant: impl Fn(BillableMetricId) -> bool) -> Self {
        self.starts.retain(|metric_id, _| is_meant(*metric_id));
        self
    }

    /// Also cut at every hour, for metrics of which that is asked.
    #[must_use]
    pub fn by_the_hour(mut self, is_cut: impl Fn(BillableMetricId) -> bool) -> Self {
        let Period { start, end } = self.period;
        let hours = std::iter::successors(Some(start), |hour| Some(*hour + TimeDelta::hours(1)));
        let hours: Vec<Instant> = hours.take_while(|hour| *hour < end).collect();
        for (_, starts) in self.starts.iter_mut().filter(|(metric_id, _)| is_cut(**metric_id)) {
            starts.extend(&hours);
            settle(starts);
        }
        self
    }

    /// Also cut wherever other cuts are, for the metrics of both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (metric_id, starts) in &mut self.starts {
            let inside = other.starts(*metric_id).iter().filter(|start| self.period.contains(**start));
            starts.extend(inside);
            settle(starts);
        }
        self
    }

    /// Also cut at these instants, which changes no charge.
    #[must_use]
    pub fn also_at(mut self, instants: impl IntoIterator<Item = Instant>) -> Self {
        let inside: Vec<Instant> =
            instants.into_iter().filter(|instant| self.period.contains(*instant)).collect();
        for starts in self.starts.values_mut() {
            starts.extend(&inside);
            settle(starts);
        }
        self
    }
}

/// Cuts what a statement counts, for every product: where what it charges begins, and wherever a rate, an override, a
/// usage filter or the way in which the product counts, converts, rounds, groups or breaks down may change. Where there
/// are composites, also wherever their share or their members may change, so that each spends in one window.
#[must_use]
pub fn cuts(agreement: &Agreement<'_>) -> Cuts {
    let Statement { counted: period, from, .. } = agreement.statement;
    let shared: Vec<Instant> = shared_changes(agreement);
    let mut starts: BTreeMap<BillableMetricId, Vec<Instant>> = BTreeMap::new();
    for product in &agreement.terms.products {
        let metric_ids = product.metric_ids_during(period);
        if metric_ids.is_empty() {
            continue;
        }
        let changes = price_changes(agreement, product).into_iter().chain(shared.iter().copied());
        let changes =
            changes.chain(product.states.metering_changes()).chain(product.states.breakdown_changes());
        let inside = changes.filter(|instant| period.contains(*instant));
        let mut instants: Vec<Instant> = [period.start, from].into_iter().chain(inside).collect();
        settle(&mut instants);
        for metric_id in metric_ids {
            starts.entry(metric_id).or_default().extend(&instants);
        }
    }
    starts.values_mut().for_each(settle);
    Cuts { period, starts }
}

/// Where a composite of the agreement may change its share or its members, in no order.
#[must_use]
pub fn composite_changes(agreement: &Agreement<'_>) -> Vec<Instant> {
    let products = &agreement.terms.products;
    let composites = products.iter().filter(|product| product.product_type == ProductType::Composite);
    let mut changes: Vec<Instant> =
        composites.flat_map(|composite| price_changes(agreement, composite)).collect();
    if !changes.is_empty() {
        changes.extend(products.iter().flat_map(|product| product.states.starts()));
    }
    changes
}

/// Where anything changes, in what a statement counts, that shares of the customer's whole spend are of, or who bills them; none
/// without other contracts, `beside` it with their own statements.
#[must_use]
pub fn changes_beside(billed: &Agreement<'_>, beside: &[Agreement<'_>]) -> Vec<Instant> {
    if beside.is_empty() {
        return Vec::new();
    }
    let Statement { counted, from, .. } = billed.statement;
    let mut changes = composite_changes(billed);
    changes.extend([counted.start, from]);
    for other in beside {
        changes.extend(other.terms.products.iter().flat_map(|product| product.states.starts()));
        changes.extend(composite_changes(other));
        changes.extend([other.statement.counted.start, other.statement.counted.end]);
    }
    changes.retain(|change| counted.contains(*change));
    settle(&mut changes);
    changes
}

/// Cuts what a statement of another contract counts, so that no part of it is in two windows of a composite that is billed: at
/// `seams`, which are where those windows may begin, and where what is billed begins and ends. Another calendar goes on beyond that.
#[must_use]
pub fn cuts_beside(other: &Agreement<'_>, billed: &Agreement<'_>, seams: &[Instant]) -> Cuts {
    let Period { start, end } = billed.statement.counted;
    cuts(other).also_at(seams.iter().copied().chain([start, end]))
}

/// What cuts the usage of every product.
fn shared_changes(agreement: &Agreement<'_>) -> Vec<Instant> {
    let filters = agreement.filters.entries().iter().map(|filter| filter.starting_at);
    composite_changes(agreement).into_iter().chain(filters).collect()
}

/// Where the product's price may change: with the card's rate, with an override, and with the tags that overrides are
/// aimed at; in no order.
fn price_changes(agreement: &Agreement<'_>, product: &ProductTerms) -> Vec<Instant> {
    let mut changes = product.rates.changes().to_vec();
    if !agreement.overrides.is_empty() {
        changes.extend(boundaries(agreement.overrides));
        changes.extend(product.states.starts());
    }
    changes
}

fn settle(instants: &mut Vec<Instant>) {
    instants.sort_unstable();
    instants.dedup();
}
