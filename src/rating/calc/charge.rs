//! From quantities and rates to charges.

use std::collections::BTreeMap;
use std::ops::Range;

use super::quantity::{Combination, cumulative_quantities, tallies_by_combination};
use super::tier::{TierPosition, walk_tiers};
use crate::catalog::product::SqlBreakdownGranularity;
use crate::catalog::rate::{Price, RateEntry, calc};
use crate::id::ProductId;
use crate::money::{Decimal, zero};
use crate::rating::terms::{MetricCounting, ProductTerms, Terms, Usage};
use crate::time::{Instant, Period};
use crate::usage::calc::Tally;

/// One priced piece: product × pricing values × presentation values × stretch of time × tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub product_id: ProductId,
    pub combination: Combination,
    pub period: Period,
    pub quantity: Decimal,
    pub unit_price: Decimal,
    /// `quantity × unit_price`.
    pub total: Decimal,
    pub tier: Option<TierPosition>,
    /// The card's price of the piece.
    pub list_price: Price,
}

/// Consecutive segments of one combination under one price.
struct Stretch<'a> {
    entry: &'a RateEntry,
    period: Period,
    /// The counter at its start and its end: all of the combination's quantity in the period so far.
    before: Decimal,
    after: Decimal,
    was_used: bool,
}

/// Prices a period: for each product in the card's order, its charges by time, group values and tier.
///
/// `from` is a cut. What lies before it is counted, as tiers and running totals go by the whole period, and not
/// charged: it is on an earlier invoice.
///
/// Usage whose group values have no rate, or that falls where there is no rate or no entitlement, makes no
/// charge.
#[must_use]
pub fn rate(terms: &Terms, usage: &Usage, cuts: &[Instant], period: Period, from: Instant) -> Vec<Charge> {
    let of_product = |product| rate_product(terms, product, usage, cuts, period, from);
    terms.products.iter().flat_map(of_product).collect()
}

fn rate_product(
    terms: &Terms,
    product: &ProductTerms,
    usage: &Usage,
    cuts: &[Instant],
    period: Period,
    from: Instant,
) -> Vec<Charge> {
    let mut charges = Vec::new();
    // Tiers go by what was used so far in the period, however it was counted.
    let mut counters: BTreeMap<Combination, Decimal> = BTreeMap::new();
    let mut put_off: BTreeMap<Combination, PutOff> = BTreeMap::new();
    for span in spans(product, cuts) {
        let state = product.states.at(cuts[span.start]);
        for (combination, tallies) in tallies_by_combination(terms, state, usage, cuts.len()) {
            let Some(timeline) = product.timelines.get(&combination.pricing) else { continue };
            let cumulative = cumulative_quantities(terms, state, &tallies);
            let mut added = added(span.clone(), &tallies, &cumulative, cuts, period);
            added.retain(|added| {
                let is_put_off =
                    added.period.start >= from && counts_at_the_end(terms, product, added.period.start);
                if is_put_off {
                    put_off
                        .entry(combination.clone())
                        .or_insert_with(|| PutOff::from(added.period.start))
                        .add(added);
                }
                !is_put_off
            });
            let counter = counters.entry(combination.clone()).or_insert_with(zero);
            let mut segments = segments(added, counter);
            segments.retain(|segment| segment.period.start >= from);
            charges.extend(price_all(product, &combination, stretches(timeline, segments)));
        }
    }
    for (combination, put_off) in put_off {
        let timeline: Vec<&RateEntry> = product.timelines[&combination.pricing].iter().collect();
        // The rate of the last instant: no cut comes after the last one.
        let last = cuts.last().copied().unwrap_or(period.start);
        let Some(entry) = calc::effective_at(&timeline, last) else { continue };
        let before = counters.remove(&combination).unwrap_or_else(zero);
        let stretch = Stretch {
            entry,
            period: Period { start: put_off.start, end: period.end },
            after: &before + &put_off.quantity,
            before,
            was_used: put_off.was_used,
        };
        charges.extend(price_all(product, &combination, vec![stretch]));
    }
    charges.sort_by(|one, other| {
        let level = |charge: &Charge| charge.tier.as_ref().map_or(0, |tier| tier.level);
        let one_key = (one.period.start, &one.combination, level(one));
        one_key.cmp(&(other.period.start, &other.combination, level(other)))
    });
    charges
}

/// Whether what a product counts in the segment that starts at `cut` is charged at the end of the period: what queries
/// count is, unless the product breaks it down by the hour.
fn counts_at_the_end(terms: &Terms, product: &ProductTerms, cut: Instant) -> bool {
    let state = product.states.at(cut);
    let (_, metric) = terms.metric_of(state);
    let is_by_hour = state.sql_breakdown_granularity == Some(SqlBreakdownGranularity::Hour);
    matches!(metric.counting, MetricCounting::Sql(_)) && !is_by_hour
}

/// What is charged at the end of the period.
struct PutOff {
    start: Instant,
    quantity: Decimal,
    was_used: bool,
}

impl PutOff {
    fn from(start: Instant) -> Self {
        Self { start, quantity: zero(), was_used: false }
    }

    fn add(&mut self, added: &Added) {
        self.quantity += &added.quantity;
        self.was_used |= added.was_used;
    }
}

/// The charges of the stretches of one combination: where there are no groups also of those that were not used.
fn price_all(product: &ProductTerms, combination: &Combination, stretches: Vec<Stretch<'_>>) -> Vec<Charge> {
    let is_always_shown = *combination == Combination::default();
    let is_shown = |stretch: &&Stretch<'_>| stretch.entry.entitled && (is_always_shown || stretch.was_used);
    stretches.iter().filter(is_shown).flat_map(|stretch| price(product, combination, stretch)).collect()
}

/// The segments over which the product counts in one way, in order.
fn spans(product: &ProductTerms, cuts: &[Instant]) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for (index, cut) in cuts.iter().enumerate() {
        let state = product.states.at(*cut);
        match spans.last_mut() {
            Some(span) if product.states.at(cuts[span.start]).meters_like(state) => span.end = index + 1,
            _ => spans.push(index..index + 1),
        }
    }
    spans
}

/// One segment of one combination.
struct Segment {
    period: Period,
    before: Decimal,
    after: Decimal,
    was_used: bool,
}

/// What one segment adds to one combination.
struct Added {
    period: Period,
    quantity: Decimal,
    was_used: bool,
}

/// The segments of a span, each with the quantity that it adds.
///
/// What a segment adds is the difference of two quantities counted in the span's own way from the start of the
/// period, also where the period began in another way (our decision, as documented for SQL metrics): so a
/// maximum or a rounding that was billed already is not billed again.
fn added(
    span: Range<usize>,
    tallies: &[Tally],
    cumulative: &[Decimal],
    cuts: &[Instant],
    period: Period,
) -> Vec<Added> {
    let of_segment = |index: usize| {
        let earlier = index.checked_sub(1).map_or_else(zero, |earlier| cumulative[earlier].clone());
        let quantity = &cumulative[index] - earlier;
        Added {
            period: Period { start: cuts[index], end: cuts.get(index + 1).copied().unwrap_or(period.end) },
            was_used: tallies[index] != Tally::default() || quantity != zero(),
            quantity,
        }
    };
    span.map(of_segment).collect()
}

/// The segments on the counter, which is moved on to their end.
fn segments(added: Vec<Added>, counter: &mut Decimal) -> Vec<Segment> {
    let mut segments = Vec::with_capacity(added.len());
    for Added { period, quantity, was_used } in added {
        let before = counter.clone();
        *counter += quantity;
        segments.push(Segment { period, before, after: counter.clone(), was_used });
    }
    segments
}

/// The segments joined where the price stays the same. Entries that say the same are one stretch: adding the
/// same price again changes no line. Where there is no rate there is no stretch.
fn stretches(timeline: &[RateEntry], segments: Vec<Segment>) -> Vec<Stretch<'_>> {
    let timeline: Vec<&RateEntry> = timeline.iter().collect();
    let mut stretches: Vec<Stretch<'_>> = Vec::new();
    for Segment { period, before, after, was_used } in segments {
        let Some(entry) = calc::effective_at(&timeline, period.start) else { continue };
        let continues =
            |last: &&mut Stretch<'_>| last.entry.says_the_same(entry) && last.period.end == period.start;
        match stretches.last_mut().filter(continues) {
            Some(last) => {
                last.period.end = period.end;
                last.after = after;
                last.was_used |= was_used;
            }
            None => stretches.push(Stretch { entry, period, before, after, was_used }),
        }
    }
    stretches
}

/// The charges of one stretch: one for a flat price, one for each tier that is touched.
fn price(product: &ProductTerms, combination: &Combination, stretch: &Stretch<'_>) -> Vec<Charge> {
    let charge = |quantity: Decimal, unit_price: &Decimal, tier: Option<TierPosition>| Charge {
        product_id: product.product_id,
        combination: combination.clone(),
        period: stretch.period,
        total: &quantity * unit_price,
        quantity,
        unit_price: unit_price.clone(),
        tier,
        list_price: stretch.entry.price.clone(),
    };
    match &stretch.entry.price {
        Price::Flat(unit_price) => vec![charge(&stretch.after - &stretch.before, unit_price, None)],
        Price::Tiered(tiers) => walk_tiers(tiers, &stretch.before, &stretch.after)
            .into_iter()
            .map(|slice| charge(slice.quantity, &slice.price, Some(slice.position)))
            .collect(),
        Price::Percentage { .. } | Price::TieredPercentage { .. } | Price::Subscription { .. } => {
            unreachable!("rates of usage products are flat or tiered")
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::catalog::billable_metric::AggregationType;
    use crate::catalog::billable_metric::sql::SqlDefinition;
    use crate::catalog::product::{
        ConversionOperation, ProductChanges, ProductState, QuantityConversion, Timeline,
    };
    use crate::catalog::rate::{Tier, TimelineKey};
    use crate::id::BillableMetricId;
    use crate::money::{CreditType, InputNumber, QuantityRounding, RoundingMethod};
    use crate::rating::calc::cuts;
    use crate::rating::terms::{Increment, MetricTerms, Newest};
    use crate::time::Period;
    use crate::usage::Piece;
    use crate::usage::calc::Latest;
    use crate::wire::Nullable;

    const END: i64 = 24;

    fn hour(number: i64) -> Instant {
        DateTime::UNIX_EPOCH + TimeDelta::hours(number)
    }

    fn day() -> Period {
        Period { start: hour(0), end: hour(END) }
    }

    fn metric(aggregation: AggregationType) -> BillableMetricId {
        BillableMetricId(Uuid::from_u128(aggregation as u128))
    }

    fn counted_by(aggregation: AggregationType) -> ProductChanges {
        ProductChanges { billable_metric_id: Some(metric(aggregation)), ..ProductChanges::default() }
    }

    /// The metric that a query counts, by user.
    fn query_metric() -> BillableMetricId {
        BillableMetricId(Uuid::from_u128(u128::MAX))
    }

    fn counted_by_query(granularity: SqlBreakdownGranularity) -> ProductChanges {
        ProductChanges {
            billable_metric_id: Some(query_metric()),
            sql_breakdown_granularity: Some(granularity),
            ..ProductChanges::default()
        }
    }

    fn times(factor: i64) -> ProductChanges {
        let conversion = QuantityConversion {
            name: None,
            conversion_factor: InputNumber(factor.into()),
            operation: ConversionOperation::Multiply,
        };
        ProductChanges { quantity_conversion: Nullable::Value(conversion), ..ProductChanges::default() }
    }

    fn rounded_up(decimal_places: u32) -> ProductChanges {
        let rounding = QuantityRounding { rounding_method: RoundingMethod::RoundUp, decimal_places };
        ProductChanges { quantity_rounding: Nullable::Value(rounding), ..ProductChanges::default() }
    }

    fn presented_by_user() -> ProductChanges {
        ProductChanges { presentation_group_key: Some(vec!["user".to_owned()]), ..ProductChanges::default() }
    }

    fn flat(price: i64) -> Price {
        Price::Flat(price.into())
    }

    /// A product that counts by SUM, with these updates and prices by their hours, on a metric of each kind.
    fn terms(updates: &[(i64, ProductChanges)], prices: &[(i64, Price)]) -> Terms {
        let product_id = ProductId(Uuid::nil());
        let state = ProductState {
            name: "Units".to_owned(),
            billable_metric_id: Some(metric(AggregationType::Sum)),
            pricing_group_key: None,
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
        let entry = |(added, (start, price)): (i64, &(i64, Price))| RateEntry {
            added,
            key: TimelineKey { product_id, pricing_group_values: [].into(), billing_frequency: None },
            starting_at: hour(*start),
            ending_before: None,
            entitled: true,
            price: price.clone(),
            commit_rate: None,
            credit_type_id: CreditType::usd().id,
            created_at: hour(0),
        };
        let product = ProductTerms {
            product_id,
            states: Timeline::new(state, updates.iter().map(|(start, changes)| (hour(*start), changes))),
            timelines: [([].into(), (1..).zip(prices).map(entry).collect())].into(),
        };
        let metric_terms = |aggregation: &AggregationType| {
            let counting = MetricCounting::Streaming(*aggregation);
            let terms = MetricTerms { counting, group_names: vec!["user".to_owned()] };
            (metric(*aggregation), terms)
        };
        let query = SqlDefinition::stored(
            "SELECT SUM(properties.n), properties.user FROM events GROUP BY 2".to_owned(),
        );
        let counting = MetricCounting::Sql(Box::new(query));
        let query_terms = (query_metric(), MetricTerms { counting, group_names: vec!["user".to_owned()] });
        Terms {
            unit: CreditType::usd(),
            products: vec![product],
            metrics: AggregationType::ALL.iter().map(metric_terms).chain([query_terms]).collect(),
            newest: Newest::default(),
        }
    }

    /// An hour, a number in tenths and a user; every metric counts every one of them.
    type Event = (i64, i64, u8);

    fn tenths(number: i64) -> Decimal {
        Decimal::new(number.into(), 1)
    }

    fn usage(events: &[Event], cuts: &[Instant]) -> Usage {
        let mut pieces = Vec::new();
        for (seq, (at, number, user)) in (0..).zip(events) {
            let number = tenths(*number);
            let tally = Tally {
                event_count: 1,
                total: Some(number.clone()),
                greatest: Some(number.clone()),
                latest: Some(Latest { happened_at: hour(*at), seq, value: number }),
                uniques: [Uuid::from_u128(u128::from(*user))].into(),
            };
            pieces.extend(AggregationType::ALL.iter().map(|aggregation| Piece {
                metric_id: metric(*aggregation),
                group_values: vec![user.to_string()],
                segment: cuts.partition_point(|cut| *cut <= hour(*at)) - 1,
                tally: tally.clone(),
            }));
        }
        let increment = |(at, number, user): &Event| Increment {
            metric_id: query_metric(),
            groups: [("user".to_owned(), user.to_string())].into(),
            segment: cuts.partition_point(|cut| *cut <= hour(*at)) - 1,
            quantity: tenths(*number),
        };
        Usage { pieces, increments: events.iter().map(increment).collect() }
    }

    fn charges(terms: &Terms, events: &[Event]) -> Vec<Charge> {
        let cuts = cuts(terms, day(), day().start);
        rate(terms, &usage(events, &cuts), &cuts, day(), day().start)
    }

    /// `start..end quantity` of each charge.
    fn shown(charges: &[Charge]) -> Vec<String> {
        let number = |at: Instant| (at - hour(0)).num_hours();
        let one = |charge: &Charge| {
            let user = charge.combination.presentation.get("user").map_or("", String::as_str);
            let (start, end) = (number(charge.period.start), number(charge.period.end));
            format!("{user} {start}..{end} {}", crate::money::plain(&charge.quantity)).trim().to_owned()
        };
        charges.iter().map(one).collect()
    }

    fn quantity(charges: &[Charge]) -> Decimal {
        charges.iter().map(|charge| &charge.quantity).sum()
    }

    #[test]
    fn a_conversion_counts_from_its_start() {
        let terms = terms(&[(10, times(100))], &[(0, flat(1))]);
        assert_eq!(shown(&charges(&terms, &[(3, 70, 1), (12, 50, 1)])), ["0..10 7", "10..24 500"]);
    }

    #[test]
    fn a_rounding_is_of_the_whole_period_so_far() {
        let terms = terms(&[(10, rounded_up(0))], &[(0, flat(1))]);
        let charges = charges(&terms, &[(3, 104, 1), (12, 53, 1)]);
        assert_eq!(shown(&charges), ["0..10 10.4", "10..24 5"], "from 11 to 16");
    }

    #[test]
    fn another_metric_adds_what_it_counts_from_its_start() {
        let terms = terms(&[(10, counted_by(AggregationType::Max))], &[(0, flat(1))]);
        let events = [(3, 40, 1), (4, 60, 1), (12, 50, 1), (13, 90, 1)];
        assert_eq!(shown(&charges(&terms, &events)), ["0..10 10", "10..24 3"], "a maximum of 6, then of 9");
    }

    #[test]
    fn a_product_may_go_back_to_how_it_counted() {
        let back = ProductChanges { presentation_group_key: Some(Vec::new()), ..ProductChanges::default() };
        let terms = terms(&[(8, presented_by_user()), (16, back)], &[(0, flat(1))]);
        let events = [(3, 10, 1), (9, 20, 1), (10, 30, 2), (17, 40, 2)];
        assert_eq!(shown(&charges(&terms, &events)), ["0..8 1", "1 8..16 2", "2 8..16 3", "16..24 4"]);
    }

    #[test]
    fn tiers_go_on_where_counting_changes() {
        let tier = |size: Option<i64>, price: i64| Tier {
            size: size.map(|size| InputNumber(size.into())),
            price: InputNumber(price.into()),
        };
        let tiers = Price::Tiered(vec![tier(Some(5), 0), tier(Some(5), 100), tier(None, 150)]);
        let terms = terms(&[(10, times(2))], &[(0, tiers)]);
        let charges = charges(&terms, &[(3, 40, 1), (12, 40, 1)]);
        assert_eq!(shown(&charges), ["0..10 4", "10..24 1", "10..24 5", "10..24 2"], "4, then from 4 to 12");
        let total: Decimal = charges.iter().map(|charge| &charge.total).sum();
        assert_eq!(total, Decimal::from(800));
    }

    #[test]
    fn what_is_put_off_has_the_last_rate_and_the_last_tiers() {
        let by_period = [(-1, counted_by_query(SqlBreakdownGranularity::ServicePeriod))];
        let terms = terms(&by_period, &[(0, flat(1)), (10, flat(3))]);
        let charges = charges(&terms, &[(3, 60, 1), (12, 50, 2)]);
        assert_eq!(shown(&charges), ["0..24 11"]);
        assert_eq!(charges[0].unit_price, Decimal::from(3));
    }

    #[test]
    fn what_is_put_off_is_not_charged_where_nothing_is_sold_at_the_end() {
        let by_period = [(-1, counted_by_query(SqlBreakdownGranularity::ServicePeriod))];
        let mut terms = terms(&by_period, &[(0, flat(1))]);
        let timeline = terms.products[0].timelines.values_mut().next().expect("a timeline");
        timeline[0].ending_before = Some(hour(20));
        assert_eq!(shown(&charges(&terms, &[(3, 60, 1)])), [""; 0]);
    }

    fn any_events() -> impl Strategy<Value = Vec<Event>> {
        prop::collection::vec((0..END, -50_i64..200, 1_u8..4), 0..15)
    }

    fn any_prices() -> impl Strategy<Value = Vec<(i64, Price)>> {
        let later = prop::collection::vec((0..END, (1_i64..5).prop_map(flat)), 0..4);
        later.prop_map(|later| std::iter::once((0, flat(7))).chain(later).collect())
    }

    /// Any change of counting but rounding, under which a sum is not the sum of its parts.
    fn any_change() -> impl Strategy<Value = ProductChanges> {
        let removed = ProductChanges { quantity_conversion: Nullable::Null, ..ProductChanges::default() };
        let joined = ProductChanges { presentation_group_key: Some(Vec::new()), ..ProductChanges::default() };
        prop_oneof![
            Just(counted_by(AggregationType::Sum)),
            Just(counted_by(AggregationType::Count)),
            (1_i64..4).prop_map(times),
            Just(removed),
            Just(presented_by_user()),
            Just(joined),
        ]
    }

    fn any_changes() -> impl Strategy<Value = Vec<(i64, ProductChanges)>> {
        prop::collection::vec((-5..END, any_change()), 0..5)
    }

    /// Changes that leave counting as it is.
    fn any_nothing() -> impl Strategy<Value = ProductChanges> {
        let tagged = ProductChanges { tags: Some(vec!["new".to_owned()]), ..ProductChanges::default() };
        let named = ProductChanges { name: Some("New".to_owned()), ..ProductChanges::default() };
        prop_oneof![Just(ProductChanges::default()), Just(tagged), Just(named)]
    }

    proptest! {
        #[test]
        fn more_cuts_change_no_charge(
            changes in any_changes(), prices in any_prices(), events in any_events(),
            rounding in prop::option::of(0_u32..2), aggregation in 0_usize..5,
            more in prop::collection::vec(0..END, 0..6),
        ) {
            let mut changes = changes;
            changes.push((7, counted_by(AggregationType::ALL[aggregation])));
            changes.extend(rounding.map(|decimals| (3, rounded_up(decimals))));
            let terms = terms(&changes, &prices);
            let mut finer = cuts(&terms, day(), day().start);
            finer.extend(more.into_iter().map(hour));
            finer.sort_unstable();
            finer.dedup();
            prop_assert_eq!(rate(&terms, &usage(&events, &finer), &finer, day(), day().start), charges(&terms, &events));
        }

        #[test]
        fn counts_and_sums_are_billed_once_however_they_are_cut_and_counted(
            changes in any_changes(), prices in any_prices(), events in any_events(),
        ) {
            let terms = terms(&changes, &prices);
            let expected: Decimal = events.iter().map(|(at, number, _)| {
                let state = terms.products[0].states.at(hour(*at));
                let is_count = state.billable_metric_id == Some(metric(AggregationType::Count));
                let metered = if is_count { Decimal::from(1) } else { tenths(*number) };
                state.quantity_conversion.value().map_or(metered.clone(), |conversion| conversion.apply(&metered))
            }).sum();
            prop_assert_eq!(quantity(&charges(&terms, &events)), expected);
        }

        #[test]
        fn what_is_billed_is_the_quantity_of_the_whole_period(
            prices in any_prices(), events in any_events(), decimals in 0_u32..2, aggregation in 0_usize..5,
        ) {
            let counting = [(-1, counted_by(AggregationType::ALL[aggregation])), (-1, rounded_up(decimals))];
            let whole = terms(&counting, &[(0, flat(1))]);
            let cut = terms(&counting, &prices);
            prop_assert_eq!(quantity(&charges(&cut, &events)), quantity(&charges(&whole, &events)));
        }

        #[test]
        fn an_update_that_changes_nothing_changes_no_charge(
            changes in any_changes(), prices in any_prices(), events in any_events(),
            nothing in any_nothing(), at in -5..END,
        ) {
            let before = terms(&changes, &prices);
            let mut changes = changes;
            changes.push((at, nothing));
            let mut said_again = changes.clone();
            let state = before.products[0].states.at(hour(at));
            said_again.push((at, ProductChanges {
                billable_metric_id: state.billable_metric_id,
                quantity_conversion: state.quantity_conversion.clone(),
                ..ProductChanges::default()
            }));
            let after = terms(&changes, &prices);
            prop_assert_eq!(cuts(&after, day(), day().start), cuts(&before, day(), day().start));
            prop_assert_eq!(charges(&after, &events), charges(&before, &events));
            let after = terms(&said_again, &prices);
            prop_assert_eq!(charges(&after, &events), charges(&before, &events), "what holds, said again");
        }

        #[test]
        fn two_statements_of_a_period_bill_what_one_does(
            changes in any_changes(), prices in any_prices(), events in any_events(), at in 1..END,
            aggregation in 0_usize..5,
        ) {
            let mut changes = changes;
            changes.push((-1, counted_by(AggregationType::ALL[aggregation])));
            let terms = terms(&changes, &prices);
            let cost = |charges: &[Charge]| charges.iter().map(|charge| &charge.total).sum::<Decimal>();
            let until = Period { end: hour(at), ..day() };
            let earlier: Vec<Event> = events.iter().copied().filter(|event| event.0 < at).collect();
            let first_cuts = cuts(&terms, until, until.start);
            let first = rate(&terms, &usage(&earlier, &first_cuts), &first_cuts, until, until.start);
            let all_cuts = cuts(&terms, day(), until.end);
            let second = rate(&terms, &usage(&events, &all_cuts), &all_cuts, day(), until.end);
            prop_assert!(second.iter().all(|charge| charge.period.start >= until.end));
            prop_assert_eq!(cost(&first) + cost(&second), cost(&charges(&terms, &events)));
        }

        #[test]
        fn what_a_query_counts_is_charged_once_however_it_is_broken_down(
            changes in any_changes(), prices in any_prices(), events in any_events(), at in 0..END,
            aggregation in 0_usize..5, more in prop::collection::vec(0..END, 0..6),
        ) {
            let with = |granularity| {
                let mut changes = changes.clone();
                changes.push((at, counted_by_query(granularity)));
                changes.push((at + 5, counted_by(AggregationType::ALL[aggregation])));
                changes.push((at + 9, counted_by_query(granularity)));
                terms(&changes, &prices)
            };
            let (by_hour, by_period) =
                (with(SqlBreakdownGranularity::Hour), with(SqlBreakdownGranularity::ServicePeriod));
            prop_assert_eq!(quantity(&charges(&by_hour, &events)), quantity(&charges(&by_period, &events)));
            for terms in [by_hour, by_period] {
                let mut finer = cuts(&terms, day(), day().start);
                finer.extend(more.iter().map(|number| hour(*number)));
                finer.sort_unstable();
                finer.dedup();
                let finely = rate(&terms, &usage(&events, &finer), &finer, day(), day().start);
                prop_assert_eq!(finely, charges(&terms, &events));
            }
        }

        #[test]
        fn tiers_are_walked_once_over_a_combination(
            changes in any_changes(), events in any_events(), sizes in prop::collection::vec(1_i64..30, 0..4),
        ) {
            let keeps_groups = |change: &(i64, ProductChanges)| change.1.presentation_group_key.is_none();
            let changes: Vec<_> = changes.into_iter().filter(keeps_groups).collect();
            let sizes = sizes.into_iter().map(Some).chain([None]);
            let tier = |(size, price): (Option<i64>, i64)| Tier {
                size: size.map(|size| InputNumber(size.into())),
                price: InputNumber(price.into()),
            };
            let tiers: Vec<Tier> = sizes.zip([9, 7, 5, 3, 2]).map(tier).collect();
            let charges = charges(&terms(&changes, &[(0, Price::Tiered(tiers.clone()))]), &events);
            let at_once = walk_tiers(&tiers, &zero(), &quantity(&charges));
            let cost: Decimal = charges.iter().map(|charge| &charge.total).sum();
            prop_assert_eq!(cost, at_once.iter().map(|slice| &slice.quantity * &slice.price).sum::<Decimal>());
        }
    }
}
