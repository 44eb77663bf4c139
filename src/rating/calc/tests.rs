//! What must hold of prices, whatever the terms.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::catalog::billable_metric::AggregationType;
use crate::catalog::billable_metric::sql::SqlDefinition;
use crate::catalog::product::{
    ConversionOperation, ProductChanges, ProductState, ProductType, QuantityConversion,
    SqlBreakdownGranularity, Timeline,
};
use crate::catalog::rate::calc::effective_at;
use crate::catalog::rate::{Price, RateEntry, Tier, TimelineKey};
use crate::catalog::usage_filter::UsageFilters;
use crate::contract::{MultiplierPrioritization, Statement};
use crate::id::BillableMetricId;
use crate::id::ProductId;
use crate::money::{CreditType, Decimal, InputNumber, QuantityRounding, RoundingMethod, is_billable, zero};
use crate::rating::{Agreement, Increment, MetricCounting, MetricTerms, Newest, ProductTerms, Terms, Usage};
use crate::time::{Instant, Period};
use crate::usage::Piece;
use crate::usage::calc::{Latest, Tally};
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

fn times(factor: impl Into<Decimal>) -> ProductChanges {
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
    let key = TimelineKey { product_id, pricing_group_values: [].into(), billing_frequency: None };
    let entry = |(added, (start, price)): (i64, &(i64, Price))| RateEntry {
        added,
        key: key.clone(),
        commit_rate: None,
        credit_type_id: CreditType::usd().id,
        starting_at: hour(*start),
        ending_before: None,
        entitled: true,
        price: price.clone(),
        created_at: hour(0),
    };
    let product = ProductTerms {
        product_id,
        product_type: ProductType::Usage,
        states: Timeline::new(state, updates.iter().map(|(start, changes)| (hour(*start), changes))),
        rates: (1..).zip(prices).map(entry).collect(),
    };
    let metric_terms = |aggregation: &AggregationType| {
        let counting = MetricCounting::Streaming(*aggregation);
        let terms = MetricTerms { counting, group_names: vec!["user".to_owned()] };
        (metric(*aggregation), terms)
    };
    let query =
        SqlDefinition::stored("SELECT SUM(properties.n), properties.user FROM events GROUP BY 2".to_owned());
    let counting = MetricCounting::Sql(Box::new(query));
    let query_terms = (query_metric(), MetricTerms { counting, group_names: vec!["user".to_owned()] });
    Terms {
        unit: CreditType::usd(),
        conversions: Vec::new(),
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

fn usage(events: &[Event], cuts: &Cuts) -> Usage {
    usage_of((0..).zip(events), cuts)
}

/// Usage of events with their order of arrival, in whichever order they come here.
fn usage_of<'e>(events: impl IntoIterator<Item = (i64, &'e Event)>, cuts: &Cuts) -> Usage {
    let mut usage = Usage::default();
    for (seq, (at, number, user)) in events {
        let number = tenths(*number);
        let tally = Tally {
            event_count: 1,
            total: Some(number.clone()),
            greatest: Some(number.clone()),
            latest: Some(Box::new(Latest { happened_at: hour(*at), seq, value: number.clone() })),
            uniques: [Uuid::from_u128(u128::from(*user))].into(),
        };
        for metric_id in AggregationType::ALL.iter().map(|aggregation| metric(*aggregation)) {
            let Some(segment) = cuts.number_at(metric_id, hour(*at)) else { continue };
            let group_values = Arc::new(vec![user.to_string()]);
            usage.pieces.push(Piece { metric_id, group_values, segment, tally: tally.clone() });
        }
        if let Some(segment) = cuts.number_at(query_metric(), hour(*at)) {
            let groups = [("user".to_owned(), user.to_string())].into();
            let tally = Tally { total: Some(number), ..Tally::default() };
            usage.increments.push(Increment { metric_id: query_metric(), groups, segment, tally });
        }
    }
    usage
}

/// A charge, and of what it is.
#[derive(Clone, Debug, PartialEq)]
struct Charged {
    combination: Combination,
    period: Period,
    charge: Charge<'static>,
}

fn owned(charge: Charge<'_>) -> Charge<'static> {
    let Charge { quantity, unit_price, total, tier, payer } = charge;
    let [quantity, unit_price] = [quantity, unit_price].map(|number| Cow::Owned(number.into_owned()));
    Charge { quantity, unit_price, total, tier, payer }
}

fn agreement(terms: &Terms, counted: Period, from: Instant) -> Agreement<'_> {
    static NO_FILTERS: LazyLock<UsageFilters> = LazyLock::new(UsageFilters::default);
    Agreement {
        terms,
        overrides: &[],
        prioritization: MultiplierPrioritization::LowestMultiplier,
        filters: &NO_FILTERS,
        statement: Statement { calendar: day(), counted, from },
    }
}

/// The charges of a statement that is cut also at `more`.
fn charges_of(agreement: &Agreement<'_>, events: &[Event], more: &[i64]) -> Vec<Charged> {
    let cuts = cuts(agreement).also_at(more.iter().map(|number| hour(*number)));
    charges_for(agreement, &usage(events, &cuts), &cuts)
}

fn charges_for(agreement: &Agreement<'_>, usage: &Usage, cuts: &Cuts) -> Vec<Charged> {
    let stretches =
        rate(agreement, usage, cuts, &OtherContracts::default(), &mut NoPayment).expect("small amounts");
    let charged = |stretch: &Stretch<'_>| {
        let (combination, period) = ((*stretch.combination).clone(), stretch.period);
        let charges = stretch.charges().into_iter();
        charges
            .map(move |charge| Charged { combination: combination.clone(), period, charge: owned(charge) })
            .collect::<Vec<_>>()
    };
    stretches.flatten().flat_map(|stretch| charged(&stretch)).collect()
}

fn charges(terms: &Terms, events: &[Event]) -> Vec<Charged> {
    charges_of(&agreement(terms, day(), day().start), events, &[])
}

/// `start..end quantity` of each charge.
fn shown(charges: &[Charged]) -> Vec<String> {
    let number = |at: Instant| (at - hour(0)).num_hours();
    let one = |Charged { combination, period, charge }: &Charged| {
        let user = combination.presentation.get("user").map_or("", String::as_str);
        let (start, end) = (number(period.start), number(period.end));
        format!("{user} {start}..{end} {}", crate::money::plain(&charge.quantity)).trim().to_owned()
    };
    charges.iter().map(one).collect()
}

fn quantity(charges: &[Charged]) -> Decimal {
    charges.iter().map(|charged| &*charged.charge.quantity).sum()
}

fn cost(charges: &[Charged]) -> Decimal {
    charges.iter().map(|charged| &charged.charge.total).sum()
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
    assert_eq!(cost(&charges), Decimal::from(800));
}

#[test]
fn what_is_put_off_has_the_last_rate_and_the_last_tiers() {
    let by_period = [(-1, counted_by_query(SqlBreakdownGranularity::ServicePeriod))];
    let terms = terms(&by_period, &[(0, flat(1)), (10, flat(3))]);
    let charges = charges(&terms, &[(3, 60, 1), (12, 50, 2)]);
    assert_eq!(shown(&charges), ["0..24 11"]);
    assert_eq!(*charges[0].charge.unit_price, Decimal::from(3));
}

#[test]
fn what_is_put_off_is_not_charged_where_nothing_is_sold_at_the_end() {
    let by_period = [(-1, counted_by_query(SqlBreakdownGranularity::ServicePeriod))];
    let mut terms = terms(&by_period, &[(0, flat(1))]);
    let rates = &mut terms.products[0].rates;
    let ended = |entry: &RateEntry| RateEntry { ending_before: Some(hour(20)), ..entry.clone() };
    *rates = rates.entries().map(ended).collect();
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

/// A number of up to 18 digits, as far from the point as requests bring them, and farther.
fn any_size() -> impl Strategy<Value = Decimal> {
    let digits = 1_i64..1_000_000_000_000_000_000;
    (digits, -150_i64..60).prop_map(|(digits, decimals)| Decimal::new(digits.into(), decimals))
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
        let finely = charges_of(&agreement(&terms, day(), day().start), &events, &more);
        prop_assert_eq!(finely, charges(&terms, &events));
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
        let cuts_of = |terms: &Terms| cuts(&agreement(terms, day(), day().start));
        prop_assert_eq!(cuts_of(&after), cuts_of(&before));
        prop_assert_eq!(charges(&after, &events), charges(&before, &events));
        let after = terms(&said_again, &prices);
        prop_assert_eq!(charges(&after, &events), charges(&before, &events), "what holds, said again");
    }

    #[test]
    fn whatever_the_size_of_numbers_they_are_billed_or_refused_by_name(
        tiers in prop::collection::vec((any_size(), any_size()), 0..3), last in any_size(),
        numbers in prop::collection::vec((0..END, any_size(), any::<bool>()), 0..8),
        factor in prop::option::of(any_size()), rounding in prop::option::of(0_u32..6),
    ) {
        let mut changes: Vec<(i64, ProductChanges)> = rounding.map(|places| (-1, rounded_up(places))).into_iter().collect();
        changes.extend(factor.map(|factor| (-1, times(factor))));
        let tier = |size: Option<Decimal>, price| Tier { size: size.map(InputNumber), price: InputNumber(price) };
        let tiers = tiers.into_iter().map(|(size, price)| tier(Some(size), price));
        let terms = terms(&changes, &[(0, Price::Tiered(tiers.chain([tier(None, last)]).collect()))]);
        let agreement = agreement(&terms, day(), day().start);
        let cuts = cuts(&agreement);
        let metric_id = metric(AggregationType::Sum);
        let piece = |(at, number, is_negative): (i64, Decimal, bool)| Piece {
            metric_id,
            group_values: Arc::new(vec!["1".to_owned()]),
            segment: cuts.number_at(metric_id, hour(at)).expect("in the day"),
            tally: Tally { event_count: 1, total: Some(if is_negative { -number } else { number }), ..Tally::default() },
        };
        let usage = Usage { pieces: numbers.into_iter().map(piece).collect(), increments: Vec::new() };
        match rate(&agreement, &usage, &cuts, &OtherContracts::default(), &mut NoPayment) {
            Err(fault) => prop_assert!(fault.to_string().contains("`Units`"), "{}", fault),
            Ok(rated) => for stretch in rated.flatten() {
                match stretch.billable_charges() {
                    Err(fault) => prop_assert!(fault.to_string().contains("`Units`"), "{}", fault),
                    Ok(charges) => prop_assert!(charges.iter().all(|charge| is_billable(&charge.total))),
                }
            },
        }
    }

    #[test]
    fn a_price_that_is_added_again_changes_no_charge(
        changes in any_changes(), prices in any_prices(), events in any_events(),
        again in prop::collection::vec((0..END, 1..END), 1..4),
    ) {
        let before = terms(&changes, &prices);
        let newest = prices.last().expect("a price").clone();
        let mut after = terms(&changes, &[&prices[..], &[newest]].concat());
        let mut entries: Vec<RateEntry> = after.products[0].rates.entries().cloned().collect();
        // Hour by hour what is in force there.
        for number in again.into_iter().flat_map(|(at, length)| at..(at + length).min(END)) {
            let own: Vec<&RateEntry> = entries.iter().collect();
            let in_force = effective_at(&own, hour(number)).expect("from the first hour on").clone();
            let added = own.iter().map(|entry| entry.added).max().expect("a price") + 1;
            let ending_before = Some(hour(number + 1));
            entries.push(RateEntry { added, starting_at: hour(number), ending_before, ..in_force });
        }
        after.products[0].rates = entries.into_iter().collect();
        prop_assert_eq!(charges(&after, &events), charges(&before, &events));
    }

    #[test]
    fn the_order_in_which_events_come_changes_no_charge(
        changes in any_changes(), prices in any_prices(), aggregation in 0_usize..5,
        (events, shuffled) in any_events().prop_flat_map(|events| {
            let numbered: Vec<(i64, Event)> = (0..).zip(events.iter().copied()).collect();
            (Just(events), Just(numbered).prop_shuffle())
        }),
    ) {
        let mut changes = changes;
        changes.push((7, counted_by(AggregationType::ALL[aggregation])));
        changes.push((15, counted_by_query(SqlBreakdownGranularity::Hour)));
        let terms = terms(&changes, &prices);
        let agreement = agreement(&terms, day(), day().start);
        let cuts = cuts(&agreement);
        let shuffled = usage_of(shuffled.iter().map(|(seq, event)| (*seq, event)), &cuts);
        prop_assert_eq!(charges_for(&agreement, &shuffled, &cuts), charges(&terms, &events));
    }

    #[test]
    fn two_statements_of_a_period_bill_what_one_does(
        changes in any_changes(), prices in any_prices(), events in any_events(), at in 1..END,
        aggregation in 0_usize..5,
    ) {
        let mut changes = changes;
        changes.push((-1, counted_by(AggregationType::ALL[aggregation])));
        let terms = terms(&changes, &prices);
        let until = Period { end: hour(at), ..day() };
        let earlier: Vec<Event> = events.iter().copied().filter(|event| event.0 < at).collect();
        let first = charges_of(&agreement(&terms, until, until.start), &earlier, &[]);
        let second = charges_of(&agreement(&terms, day(), until.end), &events, &[]);
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
            let finely = charges_of(&agreement(&terms, day(), day().start), &events, &more);
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
        prop_assert_eq!(cost(&charges), at_once.iter().map(|slice| &slice.quantity * &slice.price).sum::<Decimal>());
    }
}
