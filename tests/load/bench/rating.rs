//! `bench rate`: prices one large contract, in memory and in one thread; how much CPU time it takes.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use upbeat::catalog::billable_metric::AggregationType;
use upbeat::catalog::product::{ProductState, ProductType, Timeline};
use upbeat::catalog::rate::{GroupValues, Price, RateEntry, TimelineKey};
use upbeat::catalog::usage_filter::UsageFilters;
use upbeat::contract::{MultiplierPrioritization, Statement};
use upbeat::id::{BillableMetricId, ProductId};
use upbeat::money::{CreditType, Decimal, zero};
use upbeat::rating::calc::{Cuts, NoPayment, OtherContracts, Stretch, cuts, rate, route};
use upbeat::rating::{Agreement, MetricCounting, MetricTerms, Newest, ProductTerms, Terms, Usage};
use upbeat::time::Period;
use upbeat::usage::Piece;
use upbeat::usage::calc::Tally;
use upbeat::wire::Nullable;
use uuid::Uuid;

const PRODUCTS: u32 = 500;
/// Values of the one property by which each product is priced.
const VALUES: u32 = 20;
/// Of every price, at the same instants, as where a card changes.
const CHANGES: u32 = 10;
const HOURS: i64 = 744;

#[derive(Serialize, Deserialize)]
pub struct Job {
    pub repetitions: usize,
}

#[derive(Serialize, Deserialize)]
pub struct Outcome {
    /// CPU time of each repetition: cuts, routing, prices, charges, and giving their memory back.
    pub micros: Vec<u64>,
    pub lines: usize,
}

pub fn run(job: &Job) -> Outcome {
    let terms = terms();
    let filters = UsageFilters::default();
    let period = Period { start: hour(0), end: hour(HOURS) };
    let agreement = Agreement {
        terms: &terms,
        overrides: &[],
        prioritization: MultiplierPrioritization::LowestMultiplier,
        filters: &filters,
        statement: Statement { calendar: period, counted: period, from: period.start },
    };
    let loaded = usage(&cuts(&agreement));
    let expected = expected(&loaded);
    let mut outcome = Outcome { micros: Vec::new(), lines: 0 };
    for _ in 0..job.repetitions {
        let usage = loaded.clone();
        let before = cpu_time();
        let (lines, total) = price(&agreement, usage);
        let taken = cpu_time().checked_sub(before).expect("it only grows");
        outcome.micros.push(u64::try_from(taken.as_micros()).expect("a moment"));
        assert_eq!(total, expected, "every piece is charged at the price of its time");
        outcome.lines = lines;
    }
    outcome
}

/// What an invoice of the contract takes beyond loading and writing it: the number of its lines, and their sum.
fn price(agreement: &Agreement<'_>, usage: Usage) -> (usize, Decimal) {
    let cuts = cuts(agreement);
    let usage = route(agreement.terms, usage, agreement.filters, &cuts);
    let products =
        rate(agreement, &usage, &cuts, &OtherContracts::default(), &mut NoPayment).expect("small amounts");
    let (mut lines, mut total) = (0, zero());
    for stretches in products {
        let charges_of = |stretch| Stretch::billable_charges(stretch).expect("small amounts");
        for charge in stretches.iter().flat_map(charges_of) {
            lines += 1;
            total += charge.total;
        }
    }
    (lines, total)
}

fn hour(number: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::hours(number)
}

/// When the price of a number is in force.
fn change_at(number: u32) -> DateTime<Utc> {
    hour(HOURS * i64::from(number) / i64::from(CHANGES + 1))
}

/// Prices of four decimals, each of its own.
fn price_of(product: u32, value: u32, change: u32) -> Decimal {
    let number = 10_000 + (product * VALUES + value) * (CHANGES + 1) + change;
    Decimal::new(number.into(), 4)
}

/// How much is used of each, in thousandths.
fn quantity_of(product: u32, value: u32, change: u32) -> Decimal {
    let number = u64::from(product + 1) * 7_919 + u64::from(value) * 104_729 + u64::from(change) * 1_299_709;
    Decimal::new(number.into(), 3)
}

fn metric(product: u32) -> BillableMetricId {
    BillableMetricId(Uuid::from_u128(0x1000_0000 + u128::from(product)))
}

fn value_name(value: u32) -> String {
    format!("value-{value:02}")
}

fn terms() -> Terms {
    let metric_terms = |product: u32| {
        let counting = MetricCounting::Streaming(AggregationType::Sum);
        (metric(product), MetricTerms { counting, group_names: vec!["model".to_owned()] })
    };
    Terms {
        unit: CreditType::usd(),
        conversions: Vec::new(),
        products: (0..PRODUCTS).map(product_terms).collect(),
        metrics: (0..PRODUCTS).map(metric_terms).collect(),
        newest: Newest::default(),
    }
}

fn product_terms(product: u32) -> ProductTerms {
    let product_id = ProductId(Uuid::from_u128(0x2000_0000 + u128::from(product)));
    let state = ProductState {
        name: format!("Product {product}"),
        billable_metric_id: Some(metric(product)),
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
    for value in 0..VALUES {
        let pricing_group_values: GroupValues = [("model".to_owned(), value_name(value))].into();
        let key = TimelineKey { product_id, pricing_group_values, billing_frequency: None };
        let entry = |change: u32| RateEntry {
            added: i64::from((change * PRODUCTS + product) * VALUES + value),
            key: key.clone(),
            starting_at: change_at(change),
            ending_before: None,
            entitled: true,
            price: Price::Flat(price_of(product, value, change)),
            commit_rate: None,
            credit_type_id: CreditType::usd().id,
            created_at: hour(0),
        };
        entries.extend((0..=CHANGES).map(entry));
    }
    ProductTerms {
        product_id,
        product_type: ProductType::Usage,
        states: Timeline::new(state, []),
        rates: entries.into_iter().collect(),
    }
}

/// As it is loaded: a piece for each metric, value and segment.
fn usage(cuts: &Cuts) -> Usage {
    let mut usage = Usage::default();
    for product in 0..PRODUCTS {
        assert_eq!(cuts.starts(metric(product)).len(), CHANGES as usize + 1, "cut where prices change");
        for value in 0..VALUES {
            let group_values = Arc::new(vec![value_name(value)]);
            usage.pieces.extend((0..=CHANGES).map(|change| Piece {
                metric_id: metric(product),
                group_values: Arc::clone(&group_values),
                segment: change as usize,
                tally: Tally {
                    event_count: 1,
                    total: Some(quantity_of(product, value, change)),
                    ..Tally::default()
                },
            }));
        }
    }
    usage
}

/// The sum of the charges, piece by piece.
fn expected(usage: &Usage) -> Decimal {
    let per_value = CHANGES as usize + 1;
    let per_product = per_value * VALUES as usize;
    let mut total = zero();
    for (place, piece) in usage.pieces.iter().enumerate() {
        let [product, value, change] =
            [place / per_product, place % per_product / per_value, place % per_value]
                .map(|number| u32::try_from(number).expect("small"));
        total += piece.tally.total.as_ref().expect("set") * price_of(product, value, change);
    }
    total
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it only grows")
}
