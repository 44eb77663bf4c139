//! Random catalogs, contracts and usage of one day.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use upbeat::catalog::billable_metric::AggregationType;
use upbeat::catalog::product::{
    CompositeScope, ConversionOperation, ProductChanges, ProductState, ProductType, QuantityConversion,
    Timeline,
};
use upbeat::catalog::rate::{GroupValues, Price, RateEntry, Tier, TimelineKey};
use upbeat::catalog::usage_filter::{UsageFilter, UsageFilters};
use upbeat::contract::rate_override::{
    Exclusion, Override, OverrideKind, OverrideTier, OverwriteRate, PresentationValues, RateTarget,
    Specifier, Targeting,
};
use upbeat::contract::{MultiplierPrioritization, Statement};
use upbeat::id::{BillableMetricId, CreditTypeId, OverrideId, ProductId};
use upbeat::money::{CreditType, Decimal, InputNumber, QuantityRounding, RoundingMethod};
use upbeat::rating::{Agreement, MetricCounting, MetricTerms, Newest, ProductTerms, Terms, UnitConversion};
use upbeat::time::{Instant, Period};
use upbeat::wire::Nullable;
use uuid::Uuid;

use crate::random::Random;

pub const END: i64 = 24;
pub const GROUPS: [&str; 2] = ["model", "user"];
pub const VALUES: [&str; 2] = ["x", "y"];
pub const TAGS: [&str; 3] = ["red", "green", "blue"];

/// What happened once.
#[derive(Clone, Debug)]
pub struct Event {
    pub metric_id: BillableMetricId,
    pub at: Instant,
    /// The order of arrival.
    pub seq: i64,
    pub number: Decimal,
    /// In the order of [`GROUPS`].
    pub values: [String; 2],
}

#[derive(Clone)]
pub struct Workload {
    pub terms: Terms,
    pub overrides: Vec<Override>,
    pub prioritization: MultiplierPrioritization,
    pub filters: UsageFilters,
    pub statement: Statement,
    pub events: Vec<Event>,
    pub beside: Option<Beside>,
}

/// What another contract of the customer on the same card has, whose calendar is its own.
#[derive(Clone)]
pub struct Beside {
    pub overrides: Vec<Override>,
    pub filters: UsageFilters,
    /// By how many hours its statement begins earlier and ends later.
    pub earlier: i64,
    pub later: i64,
    /// What happened in these hours.
    pub events: Vec<Event>,
}

impl Workload {
    /// The other contract, whose time is billed at once.
    pub fn other(&self) -> Option<Self> {
        let Beside { overrides, filters, earlier, later, events } = self.beside.clone()?;
        let counted = Period { start: hour(-earlier), end: hour(END + later) };
        let statement = Statement { calendar: counted, counted, from: counted.start };
        let events = self.events.iter().cloned().chain(events).collect();
        Some(Self { overrides, filters, statement, events, beside: None, ..self.clone() })
    }

    pub fn agreement(&self) -> Agreement<'_> {
        Agreement {
            terms: &self.terms,
            overrides: &self.overrides,
            prioritization: self.prioritization,
            filters: &self.filters,
            statement: self.statement,
        }
    }
}

pub fn hour(number: i64) -> Instant {
    DateTime::UNIX_EPOCH + TimeDelta::hours(number)
}

pub fn custom_unit() -> CreditType {
    CreditType { name: "Tokens".to_owned(), id: CreditTypeId(Uuid::from_u128(0xc)) }
}

fn metric_id(number: usize) -> BillableMetricId {
    BillableMetricId(Uuid::from_u128(0x100 + number as u128))
}

fn product_id(number: usize) -> ProductId {
    ProductId(Uuid::from_u128(0x200 + number as u128))
}

/// Two decimals.
pub fn decimal(random: &mut Random, low: i64, high: i64) -> Decimal {
    Decimal::new(random.number(low * 100, high * 100).into(), 2)
}

fn input(random: &mut Random, low: i64, high: i64) -> InputNumber {
    InputNumber(decimal(random, low, high))
}

pub fn workload(seed: u64) -> Workload {
    let random = &mut Random::new(seed);
    let metric_count = random.count(1, 3);
    let metrics: BTreeMap<BillableMetricId, MetricTerms> = (0..metric_count)
        .map(|number| {
            let aggregation = *random.pick(AggregationType::ALL);
            let group_names = GROUPS.map(str::to_owned).to_vec();
            let counting = MetricCounting::Streaming(aggregation);
            (metric_id(number), MetricTerms { counting, group_names })
        })
        .collect();
    let usage_count = random.count(1, 4);
    let composite_count = random.count(0, 3);
    let mut products = Vec::new();
    for number in 0..usage_count {
        products.push(usage_product(random, product_id(number), metric_count));
    }
    for number in usage_count..usage_count + composite_count {
        products.push(composite_product(random, number));
    }
    if random.once_in(4) {
        products.push(subscription_product(random, product_id(usage_count + composite_count)));
    }
    let events = (0..)
        .zip(0..random.count(0, 25))
        .map(|(seq, _)| event(random, seq, metric_count, (0, END)))
        .collect();
    let from = if random.once_in(4) { random.number(1, END) } else { 0 };
    let counted = Period { start: hour(0), end: hour(END) };
    let prioritization = if random.once_in(2) {
        MultiplierPrioritization::Explicit
    } else {
        MultiplierPrioritization::LowestMultiplier
    };
    let beside = random.maybe(3, |random| {
        let (overrides, filters) = (overrides(random, &products, prioritization), filters(random));
        // Numbers of their own, so that what comes of the others does not depend on them.
        beside(&mut Random::new(seed ^ 0x0BE5_1DE5), overrides, filters, metric_count)
    });
    let overrides = overrides(random, &products, prioritization);
    Workload {
        beside,
        terms: Terms {
            unit: CreditType::usd(),
            conversions: vec![UnitConversion { unit: custom_unit(), fiat_per_unit: decimal(random, 1, 5) }],
            products,
            metrics,
            newest: Newest::default(),
        },
        overrides,
        prioritization,
        filters: filters(random),
        statement: Statement {
            calendar: Period { start: hour(-random.number(0, 2) * 12), end: hour(END) },
            counted,
            from: hour(from),
        },
        events,
    }
}

/// Something that happens between two hours.
fn event(random: &mut Random, seq: i64, metric_count: usize, (first, end): (i64, i64)) -> Event {
    Event {
        metric_id: metric_id(random.count(0, metric_count)),
        at: hour(0) + TimeDelta::minutes(random.number(first * 60, end * 60)),
        seq,
        number: decimal(random, -5, 30),
        values: [random.pick(&VALUES).to_string(), random.pick(&VALUES).to_string()],
    }
}

fn beside(
    random: &mut Random,
    overrides: Vec<Override>,
    filters: UsageFilters,
    metric_count: usize,
) -> Beside {
    let (earlier, later) = (random.number(0, 9), random.number(0, 9));
    let before = (0..earlier).filter(|_| random.once_in(3)).count();
    let behind = (0..later).filter(|_| random.once_in(3)).count();
    let spans =
        std::iter::repeat_n((-earlier, 0), before).chain(std::iter::repeat_n((END, END + later), behind));
    let events = (1000..).zip(spans).map(|(seq, span)| event(random, seq, metric_count, span)).collect();
    Beside { overrides, filters, earlier, later, events }
}

pub fn state(name: &str) -> ProductState {
    ProductState {
        name: name.to_owned(),
        billable_metric_id: None,
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
    }
}

/// One of two, in another order than that of products.
fn name(product_id: ProductId) -> &'static str {
    if product_id.0.as_u128().is_multiple_of(2) { "Beta" } else { "Alpha" }
}

fn tags(random: &mut Random) -> Vec<String> {
    random.some(&TAGS).into_iter().map(str::to_owned).collect()
}

fn key(random: &mut Random) -> Vec<String> {
    random.some(&GROUPS).into_iter().map(str::to_owned).collect()
}

fn conversion(random: &mut Random) -> Nullable<QuantityConversion> {
    Nullable::Value(QuantityConversion {
        name: None,
        conversion_factor: InputNumber(random.number(1, 7).into()),
        operation: *random.pick(ConversionOperation::ALL),
    })
}

fn rounding(random: &mut Random) -> Nullable<QuantityRounding> {
    Nullable::Value(QuantityRounding {
        rounding_method: *random.pick(RoundingMethod::ALL),
        decimal_places: u32::try_from(random.number(0, 2)).expect("small"),
    })
}

fn usage_product(random: &mut Random, product_id: ProductId, metric_count: usize) -> ProductTerms {
    let mut initial = state(name(product_id));
    initial.billable_metric_id = Some(metric_id(random.count(0, metric_count)));
    // The pricing key stays, as a rate is of one key.
    let pricing = if random.once_in(2) { Vec::new() } else { vec![GROUPS[0].to_owned()] };
    initial.pricing_group_key = Some(pricing.clone());
    initial.presentation_group_key = Some(key(random));
    initial.tags = Some(tags(random));
    if random.once_in(3) {
        initial.quantity_conversion = conversion(random);
    }
    if random.once_in(3) {
        initial.quantity_rounding = rounding(random);
    }
    let updates: Vec<(Instant, ProductChanges)> = random.many(0, 3, |random| {
        let mut changes = ProductChanges::default();
        match random.number(0, 6) {
            0 => changes.billable_metric_id = Some(metric_id(random.count(0, metric_count))),
            1 => changes.presentation_group_key = Some(key(random)),
            2 => changes.quantity_conversion = conversion(random),
            3 => changes.quantity_conversion = Nullable::Null,
            4 => changes.quantity_rounding = rounding(random),
            _ => changes.tags = Some(tags(random)),
        }
        (hour(random.number(-3, END)), changes)
    });
    let unit = if random.once_in(4) { custom_unit().id } else { CreditType::usd().id };
    let combinations: Vec<GroupValues> = if pricing.is_empty() {
        vec![GroupValues::new()]
    } else {
        let value = |value: &&str| [(GROUPS[0].to_owned(), (*value).to_owned())].into();
        VALUES.iter().filter(|_| !random.once_in(5)).map(value).collect()
    };
    let mut rates = Vec::new();
    let mut added = 0;
    for pricing_group_values in combinations {
        let key = TimelineKey { product_id, pricing_group_values, billing_frequency: None };
        let entries = random.many(1, 4, |random| {
            added += 1;
            let price = if random.once_in(2) {
                Price::Flat(decimal(random, 0, 9))
            } else {
                Price::Tiered(price_tiers(random))
            };
            entry(random, added, &key, price, unit)
        });
        rates.extend(entries);
    }
    let states = Timeline::new(initial, updates.iter().map(|(start, changes)| (*start, changes)));
    ProductTerms { product_id, product_type: ProductType::Usage, states, rates: rates.into_iter().collect() }
}

fn entry(
    random: &mut Random,
    added: i64,
    key: &TimelineKey,
    price: Price,
    credit_type_id: CreditTypeId,
) -> RateEntry {
    let starting_at = if random.once_in(3) { random.number(0, END) } else { -5 };
    RateEntry {
        added,
        key: key.clone(),
        starting_at: hour(starting_at),
        ending_before: random.maybe(3, |random| hour(starting_at + random.number(1, 20))),
        entitled: !random.once_in(6),
        price,
        commit_rate: None,
        credit_type_id,
        created_at: hour(-9),
    }
}

pub fn price_tiers(random: &mut Random) -> Vec<Tier> {
    let mut tiers =
        random.many(0, 3, |random| Tier { size: Some(input(random, 1, 20)), price: input(random, 0, 9) });
    tiers.push(Tier { size: None, price: input(random, 0, 9) });
    tiers
}

fn composite_product(random: &mut Random, number: usize) -> ProductTerms {
    let product_id = self::product_id(number);
    let mut initial = state(name(product_id));
    // Only what stands before it, so that none is a member of itself.
    let before: Vec<ProductId> = (0..number).map(self::product_id).collect();
    initial.composite_product_ids = Some(random.some(&before));
    initial.composite_tags = Some(tags(random));
    initial.composite_scope = Some(*random.pick(CompositeScope::ALL));
    initial.exclude_free_usage = random.maybe(2, |random| random.once_in(2));
    initial.include_composite_spend = random.maybe(2, |random| random.once_in(2));
    let updates: Vec<(Instant, ProductChanges)> = random.many(0, 2, |random| {
        let changes = ProductChanges { composite_tags: Some(tags(random)), ..ProductChanges::default() };
        (hour(random.number(0, END)), changes)
    });
    let key = TimelineKey { product_id, pricing_group_values: GroupValues::new(), billing_frequency: None };
    let mut added = 0;
    let entries = random.many(1, 3, |random| {
        added += 1;
        let minimum = random.maybe(3, |random| decimal(random, 0, 200));
        let use_list_prices = random.once_in(3);
        let price = if random.once_in(2) {
            Price::Percentage {
                fraction: Decimal::new(random.number(0, 150).into(), 2),
                minimum,
                use_list_prices,
            }
        } else {
            Price::TieredPercentage { tiers: price_tiers(random), minimum, use_list_prices }
        };
        entry(random, added, &key, price, CreditType::usd().id)
    });
    let states = Timeline::new(initial, updates.iter().map(|(start, changes)| (*start, changes)));
    let rates = entries.into_iter().collect();
    ProductTerms { product_id, product_type: ProductType::Composite, states, rates }
}

fn subscription_product(random: &mut Random, product_id: ProductId) -> ProductTerms {
    let key = TimelineKey { product_id, pricing_group_values: GroupValues::new(), billing_frequency: None };
    let mut added = 0;
    let entries = random.many(1, 3, |random| {
        added += 1;
        let (price, quantity) = (decimal(random, 1, 50), random.number(0, 4).into());
        entry(
            random,
            added,
            &key,
            Price::Subscription { price, quantity, is_prorated: true },
            CreditType::usd().id,
        )
    });
    ProductTerms {
        product_id,
        product_type: ProductType::Subscription,
        states: Timeline::new(state(name(product_id)), []),
        rates: entries.into_iter().collect(),
    }
}

fn filters(random: &mut Random) -> UsageFilters {
    if !random.once_in(4) {
        return UsageFilters::default();
    }
    let mut added = 0;
    UsageFilters::new(random.many(1, 3, |random| {
        added += 1;
        UsageFilter {
            added,
            group_key: random.pick(&GROUPS).to_string(),
            group_values: vec![random.pick(&VALUES).to_string()],
            starting_at: hour(random.number(-3, END)),
            is_initial: false,
            set_at: hour(-9),
        }
    }))
}

fn overrides(
    random: &mut Random,
    products: &[ProductTerms],
    prioritization: MultiplierPrioritization,
) -> Vec<Override> {
    let mut added = 0;
    let count = if random.once_in(2) { 0 } else { 5 };
    (0..random.count(0, count + 1))
        .map(|_| {
            added += 1;
            one_override(random, added, products, prioritization)
        })
        .collect()
}

fn one_override(
    random: &mut Random,
    added: i64,
    products: &[ProductTerms],
    prioritization: MultiplierPrioritization,
) -> Override {
    let product = random.pick(products);
    let is_explicit = prioritization == MultiplierPrioritization::Explicit;
    let multiplier = |random: &mut Random| Decimal::new(random.number(0, 15).into(), 1);
    let kind = match random.number(0, 4) {
        0 => None,
        1 => overwrite(random, product).map(OverrideKind::Overwrite),
        2 if is_explicit => {
            let is_endless = random.once_in(2);
            let mut tiers = random.many(1, 3, |random| OverrideTier {
                size: Some(input(random, 1, 20)),
                multiplier: InputNumber(multiplier(random)),
            });
            if is_endless {
                tiers.push(OverrideTier { size: None, multiplier: InputNumber(multiplier(random)) });
            }
            Some(OverrideKind::Tiered(tiers))
        }
        _ => Some(OverrideKind::Multiplier(multiplier(random))),
    };
    let is_overwrite = matches!(kind, Some(OverrideKind::Overwrite(_)));
    let targeting = match random.number(0, 4) {
        _ if is_overwrite => Targeting { product_id: Some(product.product_id), ..Targeting::default() },
        0 => Targeting { product_id: Some(product.product_id), ..Targeting::default() },
        1 => Targeting {
            applicable_product_tags: vec![random.pick(&TAGS).to_string()],
            ..Targeting::default()
        },
        2 => Targeting::default(),
        _ => Targeting {
            specifiers: random.many(1, 3, |random| specifier(random, product)),
            ..Targeting::default()
        },
    };
    let starting_at = random.number(-3, END);
    Override {
        is_initial: true,
        id: OverrideId(Uuid::from_u128(0x300 + u128::try_from(added).expect("positive"))),
        added,
        created_at: hour(-9),
        starting_at: hour(starting_at),
        ending_before: random.maybe(2, |random| hour(starting_at + random.number(1, 20))),
        targeting,
        entitled: if kind.is_none() {
            Some(random.once_in(2))
        } else {
            random.maybe(4, |random| random.once_in(2))
        },
        priority: is_explicit.then(|| random.number(1, 4).into()),
        kind,
        is_commit_specific: random.once_in(12),
        target: RateTarget::ListRate,
    }
}

/// Of the form that the product's rates have.
fn overwrite(random: &mut Random, product: &ProductTerms) -> Option<OverwriteRate> {
    let price = match product.product_type {
        ProductType::Usage if random.once_in(2) => Price::Tiered(price_tiers(random)),
        ProductType::Usage => Price::Flat(decimal(random, 0, 9)),
        ProductType::Composite => Price::Percentage {
            fraction: Decimal::new(random.number(0, 150).into(), 2),
            minimum: random.maybe(3, |random| decimal(random, 0, 200)),
            use_list_prices: random.once_in(3),
        },
        _ => return None,
    };
    Some(OverwriteRate { price, credit_type_id: None })
}

fn specifier(random: &mut Random, product: &ProductTerms) -> Specifier {
    let value = |random: &mut Random| random.pick(&VALUES).to_string();
    let pricing: GroupValues =
        random.maybe(3, |random| (GROUPS[0].to_owned(), value(random))).into_iter().collect();
    let presentation: PresentationValues =
        random.maybe(4, |random| (GROUPS[1].to_owned(), Some(value(random)))).into_iter().collect();
    Specifier {
        product_id: random.maybe(3, |_| product.product_id),
        product_tags: random.maybe(3, tags).unwrap_or_default(),
        pricing_group_values: pricing,
        presentation_group_values: presentation,
        exclude: random.many(0, 3, |random| Exclusion { product_tags: tags(random) }),
        ..Specifier::default()
    }
}
