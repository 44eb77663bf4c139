//! From usage to the quantities that are priced.

use std::borrow::Cow;
use std::collections::BTreeSet;

use hashbrown::HashMap;
use uuid::Uuid;

use super::cut::Cuts;
use crate::catalog::billable_metric::AggregationType;
use crate::catalog::product::ProductState;
use crate::catalog::rate::GroupValues;
use crate::id::BillableMetricId;
use crate::money::{Decimal, zero};
use crate::rating::terms::{Increment, Terms, Usage};
use crate::time::Period;
use crate::usage::Piece;
use crate::usage::calc::{Latest, Tally};

/// A combination of pricing and presentation group values: quantities, rounding and tiers work at this level.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Combination {
    pub pricing: GroupValues,
    pub presentation: GroupValues,
}

impl Combination {
    /// The combination that usage of these groups is in, as a product in this state groups it.
    #[must_use]
    pub fn of(state: &ProductState, groups: &[(&str, &str)]) -> Self {
        let values = |key: &[String]| {
            let mut values = GroupValues::new();
            // (One by one: there are few, which need no list that is sorted first.)
            for (name, value) in groups.iter().filter(|(name, _)| key.iter().any(|wanted| wanted == name)) {
                values.insert((*name).to_owned(), (*value).to_owned());
            }
            values
        };
        Self { pricing: values(state.pricing_key()), presentation: values(state.presentation_key()) }
    }

    /// Whether it has a value of every name of the pricing group key of this state, as a rate has. What a query counts may lack
    /// one, and has no rate then, also where a smaller key had one before.
    #[must_use]
    pub fn can_have_rate(&self, state: &ProductState) -> bool {
        state.pricing_key().iter().all(|name| self.pricing.contains_key(name))
    }
}

/// What one segment adds to the quantity of a combination. There is one for every segment with usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    pub period: Period,
    /// What the metric counted from the start of the period to the end of the segment; unset where that is what the quantities
    /// come to until then. (A large contract has a hundred thousand steps, most of them so.)
    pub metered: Option<Box<Decimal>>,
    /// By how much the quantity that is priced grows; below zero where a newest value falls. (Mostly the sum that a segment has
    /// already, of which a large contract need not make copies.)
    pub quantity: Cow<'a, Decimal>,
}

/// The usage of a period by metric and by the values of all groups of the metric.
pub struct MeteredUsage<'a> {
    by_metric: HashMap<BillableMetricId, Vec<GroupUsage<'a>>>,
}

/// Usage of one tuple of values, by segment. There may be several of one tuple.
struct GroupUsage<'a> {
    groups: Groups<'a>,
    parts: Vec<Part<'a>>,
}

/// Names and values; a value that is missing has no name either.
type Groups<'a> = Vec<(&'a str, &'a str)>;

/// The number of a segment, and what was counted in it.
type Part<'a> = (usize, &'a Tally);

impl<'a> MeteredUsage<'a> {
    #[must_use]
    pub fn new(terms: &'a Terms, usage: &'a Usage) -> Self {
        let mut by_metric: HashMap<BillableMetricId, Vec<GroupUsage<'a>>> = HashMap::new();
        // They come as they are loaded: those of one tuple mostly one after the other.
        let is_alike = |one: &Piece, other: &Piece| {
            // (Which looks whether they are the same before it compares them.)
            one.metric_id == other.metric_id && one.group_values == other.group_values
        };
        for pieces in usage.pieces.chunk_by(is_alike) {
            let piece = &pieces[0];
            let Some(metric) = terms.metrics.get(&piece.metric_id) else { continue };
            let names = metric.group_names.iter().map(String::as_str);
            let groups = names.zip(piece.group_values.iter().map(String::as_str)).collect();
            let parts = pieces.iter().map(|piece| (piece.segment, &piece.tally)).collect();
            by_metric.entry(piece.metric_id).or_default().push(GroupUsage { groups, parts });
        }
        let is_alike = |one: &Increment, other: &Increment| {
            one.metric_id == other.metric_id && one.groups == other.groups
        };
        for increments in usage.increments.chunk_by(is_alike) {
            let Increment { metric_id, groups, .. } = &increments[0];
            let groups = groups.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let parts = increments.iter().map(|increment| (increment.segment, &increment.tally)).collect();
            by_metric.entry(*metric_id).or_default().push(GroupUsage { groups, parts });
        }
        Self { by_metric }
    }

    /// The usage of a metric by combination, in order, as a product in this state groups it. Without group keys there is the one
    /// combination even when nothing was used.
    fn by_combination(
        &self,
        metric_id: BillableMetricId,
        state: &ProductState,
    ) -> Vec<(Combination, Cow<'_, [Part<'a>]>)> {
        let tuples = self.by_metric.get(&metric_id).into_iter().flatten();
        let mut combinations: Vec<(Combination, Cow<'_, [Part<'a>]>)> = tuples
            .map(|GroupUsage { groups, parts }| (Combination::of(state, groups), Cow::Borrowed(&parts[..])))
            .collect();
        if combinations.is_empty() && state.pricing_key().is_empty() && state.presentation_key().is_empty() {
            combinations.push((Combination::default(), Cow::default()));
        }
        // As they are loaded, most are in order already.
        combinations.sort_by(|(one, _), (other, _)| one.cmp(other));
        combinations.dedup_by(|(combination, parts), (kept, all)| {
            let is_alike = combination == kept;
            if is_alike {
                all.to_mut().extend_from_slice(parts);
            }
            is_alike
        });
        for (_, parts) in &mut combinations {
            if !parts.is_sorted_by_key(|(segment, _)| segment) {
                parts.to_mut().sort_unstable_by_key(|(segment, _)| *segment);
            }
        }
        combinations
    }

    /// The steps of every combination, in order, over `span`, in all of which the product meters in this one way.
    ///
    /// A step is the difference of two quantities counted in the span's own way from the start of the period, also
    /// where the period began in another way (our decision, as documented for SQL metrics): so a maximum or a rounding
    /// that was billed already is not billed again. Rounding acts on the running quantity, so that a cut never rounds
    /// twice (our decision).
    #[must_use]
    pub fn steps(
        &self,
        terms: &Terms,
        state: &ProductState,
        cuts: &Cuts,
        span: Period,
    ) -> Vec<(Combination, Vec<Step<'a>>)> {
        let Some((metric_id, metric)) = terms.metric_of(state) else { return Vec::new() };
        let combinations = self.by_combination(metric_id, state);
        let segments = cuts.segments(metric_id);
        let is_the_sum = span.start == cuts.period().start && is_priced_as_metered(state);
        let steps_of = |parts: &[Part<'a>]| {
            let mut running = Running::new(metric.aggregation());
            let mut before = zero();
            let mut steps = Vec::with_capacity(segments.len().min(parts.len()));
            for parts in parts.chunk_by(|(one, _), (other, _)| one == other) {
                let period = segments[parts[0].0];
                if period.start >= span.end {
                    break;
                }
                if let Some(quantity) = running.sum_of(parts).filter(|_| is_the_sum) {
                    steps.push(Step { period, metered: None, quantity });
                    continue;
                }
                for (_, tally) in parts {
                    running.add(tally);
                }
                let metered = running.quantity();
                let after = priced_quantity(state, &metered);
                let quantity = Cow::Owned(&after - &before);
                before = after;
                if period.start >= span.start {
                    steps.push(Step { period, metered: Some(Box::new(metered)), quantity });
                }
            }
            steps
        };
        combinations.into_iter().map(|(combination, parts)| (combination, steps_of(&parts))).collect()
    }
}

/// What is priced of what was counted: converted, then rounded.
fn priced_quantity(state: &ProductState, metered: &Decimal) -> Decimal {
    let converted = state.quantity_conversion.value().map(|conversion| conversion.apply(metered));
    match state.quantity_rounding.value() {
        Some(rounding) => rounding.apply(converted.as_ref().unwrap_or(metered)),
        None => converted.unwrap_or_else(|| metered.clone()),
    }
}

fn is_priced_as_metered(state: &ProductState) -> bool {
    state.quantity_conversion.value().is_none() && state.quantity_rounding.value().is_none()
}

/// An aggregate that grows.
enum Running<'a> {
    Count(i64),
    Sum(Decimal),
    Max(Option<&'a Decimal>),
    Unique(BTreeSet<Uuid>),
    Latest(Option<&'a Latest>),
}

impl<'a> Running<'a> {
    fn new(aggregation: AggregationType) -> Self {
        match aggregation {
            AggregationType::Count => Self::Count(0),
            AggregationType::Sum => Self::Sum(zero()),
            AggregationType::Max => Self::Max(None),
            AggregationType::Unique => Self::Unique(BTreeSet::new()),
            AggregationType::Latest => Self::Latest(None),
        }
    }

    fn add(&mut self, tally: &'a Tally) {
        match self {
            Self::Count(count) => *count += tally.event_count,
            Self::Sum(sum) => {
                if let Some(total) = &tally.total {
                    *sum += total;
                }
            }
            Self::Max(greatest) => *greatest = (*greatest).max(tally.greatest.as_ref()),
            Self::Unique(values) => values.extend(&tally.uniques),
            Self::Latest(latest) => *latest = (*latest).max(tally.latest.as_deref()),
        }
    }

    /// What parts add, where the quantity is the sum of all parts.
    fn sum_of(&self, parts: &[Part<'a>]) -> Option<Cow<'a, Decimal>> {
        match self {
            Self::Count(_) => {
                let count: i64 = parts.iter().map(|(_, tally)| tally.event_count).sum();
                Some(Cow::Owned(count.into()))
            }
            Self::Sum(_) => Some(match parts {
                [(_, Tally { total: Some(total), .. })] => Cow::Borrowed(total),
                parts => Cow::Owned(parts.iter().filter_map(|(_, tally)| tally.total.as_ref()).sum()),
            }),
            Self::Max(_) | Self::Unique(_) | Self::Latest(_) => None,
        }
    }

    /// The quantity so far; 0 where there is none.
    fn quantity(&self) -> Decimal {
        match self {
            Self::Count(count) => Decimal::from(*count),
            Self::Sum(sum) => sum.clone(),
            Self::Max(greatest) => greatest.cloned().unwrap_or_else(zero),
            Self::Unique(values) => Decimal::from(values.len() as u64),
            Self::Latest(latest) => latest.map_or_else(zero, |latest| latest.value.clone()),
        }
    }
}
