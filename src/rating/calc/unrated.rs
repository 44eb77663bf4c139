//! Usage that no contract bills, and why.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::cut::{Cuts, cuts};
use super::price::pricings;
use super::quantity::Combination;
use super::usage::counts_at_the_end;
use crate::casing::wire_enum;
use crate::catalog::product::{ProductState, ProductType};
use crate::id::BillableMetricId;
use crate::money::zero;
use crate::rating::terms::{Agreement, Increment, ProductTerms, Usage};
use crate::time::{Instant, Period};

wire_enum! {
    /// Why usage is billed nowhere, the farthest from being billed first (our own: the hosted product loses such usage
    /// without a word).
    pub enum UnratedReason {
        /// No contract of the customer is in force then, or the usage filter of each leaves it out.
        NoContract = "NO_CONTRACT",
        /// No product on the rate card counts by the metric then.
        NoProduct = "NO_PRODUCT",
        /// The product has no rate for these values of its pricing group key then.
        NoRate = "NO_RATE",
        /// It has one that is not entitled, and no override entitles it.
        NotEntitled = "NOT_ENTITLED",
    }
}

/// What a contract says of the usage of one period.
pub struct Deal<'a> {
    agreement: Agreement<'a>,
    in_force: Period,
    /// The products that count by a metric at any time of it.
    products: BTreeMap<BillableMetricId, Vec<&'a ProductTerms>>,
}

impl<'a> Deal<'a> {
    /// A contract that is in force during a part of the period. What is looked at is what its statement counts.
    #[must_use]
    pub fn new(agreement: Agreement<'a>) -> Self {
        let in_force = agreement.statement.counted;
        let mut products: BTreeMap<BillableMetricId, Vec<&'a ProductTerms>> = BTreeMap::new();
        let all = agreement.terms.products.iter();
        for product in all.filter(|product| product.product_type == ProductType::Usage) {
            for metric_id in product.metric_ids_during(in_force) {
                products.entry(metric_id).or_default().push(product);
            }
        }
        Self { agreement, in_force, products }
    }

    /// Why it does not bill usage of one segment; nothing where it does.
    fn reason(
        &self,
        metric_id: BillableMetricId,
        groups: &[(&str, &str)],
        segment: Period,
    ) -> Option<UnratedReason> {
        let text_of = |name: &str| {
            groups.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let at = segment.start;
        if !self.in_force.contains(at) || !self.agreement.filters.routes(at, text_of) {
            return Some(UnratedReason::NoContract);
        }
        self.reason_of_products(metric_id, groups, at, |_| segment)
    }

    /// [`Self::reason`] of what a query counted, of those events alone that the contract's filter passes. It is priced where it is
    /// counted, or at the end of the period.
    fn reason_of_query(
        &self,
        metric_id: BillableMetricId,
        groups: &[(&str, &str)],
        segment: Period,
    ) -> Option<UnratedReason> {
        let end = self.in_force.end;
        let at_the_end = Period { start: end - TimeDelta::microseconds(1), end };
        let is_put_off = |state: &ProductState| counts_at_the_end(self.agreement.terms, state);
        self.reason_of_products(metric_id, groups, segment.start, |state| {
            if is_put_off(state) { at_the_end } else { segment }
        })
    }

    /// Why no product bills what is counted at an instant and priced at the start of `priced`; nothing where one does.
    fn reason_of_products(
        &self,
        metric_id: BillableMetricId,
        groups: &[(&str, &str)],
        at: Instant,
        priced: impl Fn(&ProductState) -> Period,
    ) -> Option<UnratedReason> {
        let mut reason = UnratedReason::NoProduct;
        for product in self.products.get(&metric_id).into_iter().flatten() {
            let state = product.states.at(at);
            if state.billable_metric_id != Some(metric_id) {
                continue;
            }
            let combination = Combination::of(state, groups);
            if !combination.can_have_rate(state) {
                reason = reason.max(UnratedReason::NoRate);
                continue;
            }
            let priced = priced(state);
            let pricings = pricings(&self.agreement, product, &combination, priced);
            reason = reason.max(match pricings.iter().find(|(period, _)| period.contains(priced.start)) {
                None => UnratedReason::NoRate,
                Some((_, pricing)) if pricing.entitled => return None,
                Some(_) => UnratedReason::NotEntitled,
            });
        }
        Some(reason)
    }
}

/// Where usage of a period must be cut so that each segment is billed or not as a whole.
#[must_use]
pub fn unrated_cuts(
    deals: &[Deal<'_>],
    period: Period,
    metric_ids: impl IntoIterator<Item = BillableMetricId>,
) -> Cuts {
    let bounds = deals.iter().flat_map(|deal| [deal.in_force.start, deal.in_force.end]);
    let bounds: Vec<Instant> = bounds.collect();
    let whole = Cuts::whole(period, metric_ids).also_at(bounds);
    deals.iter().fold(whole, |all, deal| all.and(&cuts(&deal.agreement)))
}

/// Why no contract bills the usage of a streaming metric under one tuple of group values, in one segment of
/// [`unrated_cuts`]; nothing where one does. Of several reasons the one that is closest to being billed.
#[must_use]
pub fn unrated_reason(
    deals: &[Deal<'_>],
    metric_id: BillableMetricId,
    groups: &[(&str, &str)],
    segment: Period,
) -> Option<UnratedReason> {
    let mut reason = UnratedReason::NoContract;
    for deal in deals {
        reason = reason.max(deal.reason(metric_id, groups, segment)?);
    }
    Some(reason)
}

/// What a contract does not bill of a statement's usage though it is in force and its filter passes it, by the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unrated {
    /// Events of streaming metrics; one counts once for each metric that counts it.
    pub events: BTreeMap<UnratedReason, i64>,
    /// Quantities of queries other than zero, one for each combination of columns and each segment.
    pub quantities: BTreeMap<UnratedReason, i64>,
}

/// What a contract does not bill of a statement's usage. `cuts` are those that the usage is in.
#[must_use]
pub fn unrated(agreement: &Agreement<'_>, usage: &Usage, cuts: &Cuts) -> Unrated {
    Unrated {
        events: unrated_events(agreement, usage, cuts),
        quantities: count(queried(agreement, usage, cuts).filter_map(|(_, reason)| Some((reason?, 1)))),
    }
}

/// What queries counted in a statement, other than zero, each with why the contract does not bill it; with nothing where it does.
pub fn queried<'u>(
    agreement: &Agreement<'u>,
    usage: &'u Usage,
    cuts: &'u Cuts,
) -> impl Iterator<Item = (&'u Increment, Option<UnratedReason>)> {
    let deal = Deal::new(*agreement);
    let from = agreement.statement.from;
    usage.increments.iter().filter_map(move |increment| {
        let segment = cuts.segment(increment.metric_id, increment.segment);
        let is_nothing = increment.tally.total.as_ref().is_none_or(|total| *total == zero());
        if is_nothing || segment.start < from {
            return None;
        }
        let groups: Vec<(&str, &str)> =
            increment.groups.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Some((increment, deal.reason_of_query(increment.metric_id, &groups, segment)))
    })
}

fn count(all: impl Iterator<Item = (UnratedReason, i64)>) -> BTreeMap<UnratedReason, i64> {
    let mut counts = BTreeMap::new();
    for (reason, number) in all {
        *counts.entry(reason).or_default() += number;
    }
    counts
}

fn unrated_events(agreement: &Agreement<'_>, usage: &Usage, cuts: &Cuts) -> BTreeMap<UnratedReason, i64> {
    let deals = [Deal::new(*agreement)];
    let mut events = BTreeMap::new();
    for piece in usage.pieces.iter().filter(|piece| piece.tally.event_count > 0) {
        let Some(metric) = agreement.terms.metrics.get(&piece.metric_id) else { continue };
        let segment = cuts.segment(piece.metric_id, piece.segment);
        if segment.start < agreement.statement.from {
            continue;
        }
        let names = metric.group_names.iter().map(String::as_str);
        let groups: Vec<(&str, &str)> = names.zip(piece.group_values.iter().map(String::as_str)).collect();
        match unrated_reason(&deals, piece.metric_id, &groups, segment) {
            None | Some(UnratedReason::NoContract) => {}
            Some(reason) => *events.entry(reason).or_default() += piece.tally.event_count,
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::catalog::billable_metric::AggregationType;
    use crate::catalog::product::Timeline;
    use crate::catalog::rate::{GroupValues, Price, RateEntry, TimelineKey};
    use crate::catalog::usage_filter::{UsageFilter, UsageFilters};
    use crate::contract::{MultiplierPrioritization, Statement};
    use crate::id::ProductId;
    use crate::money::{CreditType, Decimal};
    use crate::rating::calc::{NoPayment, OtherContracts, Stretch, rate, route};
    use crate::rating::terms::{MetricCounting, MetricTerms, Newest, Terms};
    use crate::usage::Piece;
    use crate::usage::calc::Tally;
    use crate::wire::Nullable;

    const END: i64 = 24;
    const MODELS: [&str; 3] = ["gpt-5", "gpt5", "small"];
    const ZONES: [&str; 2] = ["eu", "us"];

    /// An hour, a model and a zone.
    type Event = (i64, usize, usize);

    /// A model, whether it is entitled, from which hour until which.
    type Rate = (usize, bool, i64, Option<i64>);

    fn hour(number: i64) -> Instant {
        DateTime::UNIX_EPOCH + TimeDelta::hours(number)
    }

    fn day() -> Period {
        Period { start: hour(0), end: hour(END) }
    }

    fn metric() -> BillableMetricId {
        BillableMetricId(Uuid::from_u128(1))
    }

    /// A product that counts events and is priced by the model.
    fn terms(rates: &[Rate]) -> Terms {
        let product_id = ProductId(Uuid::nil());
        let state = ProductState {
            name: "Calls".to_owned(),
            billable_metric_id: Some(metric()),
            pricing_group_key: Some(vec!["model".to_owned()]),
            presentation_group_key: None,
            quantity_conversion: Nullable::Absent,
            quantity_rounding: Nullable::Absent,
            tags: None,
            is_refundable: true,
            netsuite_internal_item_id: None,
            netsuite_overage_item_id: None,
            sql_breakdown_granularity: None,
            composite_product_ids: None,
            composite_tags: None,
            composite_scope: None,
            exclude_free_usage: None,
            include_composite_spend: None,
        };
        let mut entries = Vec::new();
        for (added, (model, entitled, start, end)) in (1..).zip(rates) {
            let values: GroupValues = [("model".to_owned(), MODELS[*model].to_owned())].into();
            let key = TimelineKey { product_id, pricing_group_values: values, billing_frequency: None };
            let entry = RateEntry {
                added,
                key,
                commit_rate: None,
                credit_type_id: CreditType::usd().id,
                starting_at: hour(*start),
                ending_before: end.map(hour),
                entitled: *entitled,
                price: Price::Flat(1.into()),
                created_at: hour(0),
            };
            entries.push(entry);
        }
        let product = ProductTerms {
            product_id,
            product_type: ProductType::Usage,
            states: Timeline::new(state, std::iter::empty()),
            rates: entries.into_iter().collect(),
        };
        let group_names = ["model", "zone"].map(str::to_owned).to_vec();
        let counting = MetricCounting::Streaming(AggregationType::Count);
        Terms {
            unit: CreditType::usd(),
            conversions: Vec::new(),
            products: vec![product],
            metrics: [(metric(), MetricTerms { counting, group_names })].into(),
            newest: Newest::default(),
        }
    }

    fn filter(zone: usize, starting_at: i64) -> UsageFilter {
        UsageFilter {
            added: 1,
            group_key: "zone".to_owned(),
            group_values: vec![ZONES[zone].to_owned()],
            starting_at: hour(starting_at),
            is_initial: false,
            set_at: hour(0),
        }
    }

    fn agreement<'a>(terms: &'a Terms, filters: &'a UsageFilters, counted: Period) -> Agreement<'a> {
        Agreement {
            terms,
            overrides: &[],
            prioritization: MultiplierPrioritization::LowestMultiplier,
            filters,
            statement: Statement { calendar: day(), counted, from: counted.start },
        }
    }

    fn usage(events: &[Event], cuts: &Cuts) -> Usage {
        let piece = |(at, model, zone): &Event| {
            let segment = cuts.number_at(metric(), hour(*at))?;
            let group_values = Arc::new(vec![MODELS[*model].to_owned(), ZONES[*zone].to_owned()]);
            let tally = Tally { event_count: 1, ..Tally::default() };
            Some(Piece { metric_id: metric(), group_values, segment, tally })
        };
        Usage { pieces: events.iter().filter_map(piece).collect(), increments: Vec::new() }
    }

    /// How many events no deal bills, by the reason.
    fn unrated(deals: &[Deal<'_>], events: &[Event]) -> BTreeMap<UnratedReason, u64> {
        let cuts = unrated_cuts(deals, day(), [metric()]);
        let mut counts = BTreeMap::new();
        for (at, model, zone) in events {
            let segment = cuts.segment(metric(), cuts.number_at(metric(), hour(*at)).expect("in the day"));
            let groups = [("model", MODELS[*model]), ("zone", ZONES[*zone])];
            if let Some(reason) = unrated_reason(deals, metric(), &groups, segment) {
                *counts.entry(reason).or_default() += 1;
            }
        }
        counts
    }

    #[test]
    fn the_reason_that_is_closest_to_being_billed_is_told() {
        let terms = terms(&[(0, true, 0, None), (2, false, 0, None)]);
        let (all, eu) = (UsageFilters::default(), UsageFilters::new(vec![filter(0, 0)]));
        let nothing_sold = Terms { products: Vec::new(), ..terms.clone() };
        let late = Period { start: hour(12), end: hour(END) };
        let events = [(3, 0, 0), (3, 1, 0), (3, 2, 0), (13, 2, 1)];
        let of = |deals: &[Agreement<'_>]| {
            let deals: Vec<Deal<'_>> = deals.iter().map(|agreement| Deal::new(*agreement)).collect();
            unrated(&deals, &events)
                .into_iter()
                .map(|(reason, count)| (reason.as_str(), count))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), [("NO_CONTRACT", 4)]);
        assert_eq!(of(&[agreement(&nothing_sold, &all, day())]), [("NO_PRODUCT", 4)]);
        assert_eq!(of(&[agreement(&terms, &all, late)]), [("NO_CONTRACT", 3), ("NOT_ENTITLED", 1)]);
        assert_eq!(of(&[agreement(&terms, &all, day())]), [("NO_RATE", 1), ("NOT_ENTITLED", 2)]);
        let filtered = agreement(&terms, &eu, day());
        assert_eq!(of(&[filtered]), [("NO_CONTRACT", 1), ("NO_RATE", 1), ("NOT_ENTITLED", 1)]);
        let both = of(&[filtered, agreement(&nothing_sold, &all, day())]);
        assert_eq!(both, [("NO_PRODUCT", 1), ("NO_RATE", 1), ("NOT_ENTITLED", 1)]);
    }

    fn any_rates() -> impl Strategy<Value = Vec<Rate>> {
        let end = prop::option::of(1..END);
        prop::collection::vec((0..MODELS.len(), any::<bool>(), -5..END, end), 0..8)
    }

    proptest! {
        #[test]
        fn each_event_is_billed_or_unrated(
            rates in any_rates(), filters in prop::collection::vec((0..ZONES.len(), -3..END), 0..2),
            events in prop::collection::vec((0..END, 0..MODELS.len(), 0..ZONES.len()), 0..30),
            start in 0..END / 2, length in 1..END / 2,
        ) {
            let rates: Vec<Rate> =
                rates.into_iter().filter(|(_, _, start, end)| end.is_none_or(|end| end > *start)).collect();
            let terms = terms(&rates);
            let filters = filters.iter().map(|(zone, start)| filter(*zone, *start)).collect();
            let filters = UsageFilters::new(filters);
            let agreement = agreement(&terms, &filters, Period { start: hour(start), end: hour(start + length) });
            let cuts = cuts(&agreement);
            let usage = usage(&events, &cuts);
            let of_statement: i64 = unrated_events(&agreement, &usage, &cuts).values().sum();
            let passing = route(&terms, usage, &filters, &cuts);
            let in_force = passing.pieces.len();
            let stretches: Vec<Stretch<'_>> = rate(&agreement, &passing, &cuts, &OtherContracts::default(), &mut NoPayment)
                .expect("small numbers").flatten().collect();
            let billed: Decimal = stretches.iter().flat_map(Stretch::charges).map(|charge| charge.quantity.into_owned()).sum();
            let unrated: u64 = unrated(&[Deal::new(agreement)], &events).values().sum();
            prop_assert_eq!(&billed + Decimal::from(unrated), Decimal::from(events.len() as u64));
            prop_assert_eq!(billed + Decimal::from(of_statement), Decimal::from(in_force as u64));
        }
    }
}
