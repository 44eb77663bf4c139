//! A contract, its balances and its usage, and the bill that they come to. An hour stands for a day.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use uuid::Uuid;

use crate::catalog::billable_metric::AggregationType;
use crate::catalog::product::{ProductChanges, ProductState, ProductType, Timeline};
use crate::catalog::rate::{Price, RateEntry, Tier, TimelineKey};
use crate::catalog::usage_filter::UsageFilters;
use crate::contract::balance::{
    AccessType, Balance, BalanceTerms, BalanceType, CommitRateType, Origin, Payment, PaymentSchedule,
    Segment, TargetingOfBalance,
};
use crate::contract::rate_override::{Override, OverrideKind, RateTarget, Specifier, Targeting};
use crate::contract::{MultiplierPrioritization, Statement};
use crate::drawdown::calc::{Drawdown, candidates, conversions};
use crate::id::{
    BalanceId, BillableMetricId, ContractId, CreditTypeId, CustomerId, OverrideId, ProductId, ScheduleItemId,
    SegmentId,
};
use crate::money::{CreditType, Decimal, InputNumber, Number, plain, zero};
use crate::rating::calc::{
    Charge, Cuts, NoPayment, OtherContracts, Payer, Stretch, composite_changes, cuts, rate,
};
use crate::rating::{
    Agreement, MetricCounting, MetricTerms, Newest, ProductTerms, Terms, UnitConversion, Usage,
};
use crate::time::{Instant, Period};
use crate::usage::Piece;
use crate::usage::calc::{Latest, Tally};
use crate::wire::Nullable;

pub const END: i64 = 30;
const CONTRACT: ContractId = ContractId(Uuid::from_u128(0xC));

pub fn hour(number: i64) -> Instant {
    DateTime::UNIX_EPOCH + TimeDelta::hours(number)
}

pub fn tokens() -> CreditType {
    CreditType { name: "Tokens".to_owned(), id: CreditTypeId(Uuid::from_u128(0x7)) }
}

/// An id that is the same for the same name.
fn id(name: &str) -> Uuid {
    crate::id::deterministic("test", &[name])
}

pub fn balance_id(name: &str) -> Uuid {
    id(name)
}

pub fn flat(price: i64) -> Price {
    Price::Flat(price.into())
}

pub fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

/// Sizes and prices; the last has no end.
pub fn tiered(tiers: &[(i64, i64)]) -> Price {
    let last = tiers.len() - 1;
    let tier = |(number, (size, price)): (usize, &(i64, i64))| Tier {
        size: (number < last).then(|| InputNumber((*size).into())),
        price: InputNumber((*price).into()),
    };
    Price::Tiered(tiers.iter().enumerate().map(tier).collect())
}

/// What was used of a product.
#[derive(Clone, Debug)]
pub struct Used {
    pub product_id: ProductId,
    pub at: i64,
    pub quantity: Decimal,
    pub region: &'static str,
}

pub struct World {
    pub terms: Terms,
    pub overrides: Vec<Override>,
    pub balances: Vec<Balance>,
    pub used: Vec<Used>,
    pub from: i64,
    pub contract_end: Option<i64>,
    /// Where usage is cut as well.
    pub more: Vec<i64>,
    /// What was drawn of segments before, by the name of their balance.
    pub drawn: BTreeMap<&'static str, Decimal>,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Bill {
    /// `name start..end quantity×price=total`, and who pays.
    pub lines: Vec<String>,
    pub total: Decimal,
    /// By the name of the balance, in the order of drawing.
    pub drawn: Vec<(String, Decimal)>,
    /// By product: what is billed, whoever pays.
    pub gross: BTreeMap<ProductId, Decimal>,
    /// What is charged, by who pays, by product.
    pub quantities: BTreeMap<ProductId, Decimal>,
    /// What money pays for.
    pub covered: Decimal,
    /// What units pay for, in units and in money.
    pub covered_units: Decimal,
    pub worth_of_units: Decimal,
}

impl World {
    pub fn new() -> Self {
        Self {
            terms: Terms {
                unit: CreditType::usd(),
                conversions: vec![UnitConversion { unit: tokens(), fiat_per_unit: 4.into() }],
                products: Vec::new(),
                metrics: BTreeMap::new(),
                newest: Newest::default(),
            },
            overrides: Vec::new(),
            balances: Vec::new(),
            used: Vec::new(),
            from: 0,
            contract_end: None,
            more: Vec::new(),
            drawn: BTreeMap::new(),
        }
    }

    /// A product of these prices by their hours; usage counts by SUM.
    pub fn product(&mut self, name: &str, product_type: ProductType, prices: &[(i64, Price)]) -> ProductId {
        let product_id = ProductId(id(name));
        let metric_id = BillableMetricId(product_id.0);
        let state = ProductState {
            name: name.to_owned(),
            billable_metric_id: (product_type == ProductType::Usage).then_some(metric_id),
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
        let rates = (1..).zip(prices).map(entry).collect();
        let states = Timeline::new(state, []);
        self.terms.products.push(ProductTerms { product_id, product_type, states, rates });
        let counting = MetricCounting::Streaming(AggregationType::Sum);
        self.terms
            .metrics
            .insert(metric_id, MetricTerms { counting, group_names: vec!["region".to_owned()] });
        product_id
    }

    pub fn usage_product(&mut self, name: &str, price: Price) -> ProductId {
        self.product(name, ProductType::Usage, &[(0, price)])
    }

    fn terms_of(&mut self, product_id: ProductId) -> &mut ProductTerms {
        let mut products = self.terms.products.iter_mut();
        products.find(|product| product.product_id == product_id).expect("a product")
    }

    pub fn change_rates(&mut self, product_id: ProductId, change: impl Fn(&mut RateEntry)) {
        let rates = &mut self.terms_of(product_id).rates;
        let mut entries: Vec<RateEntry> = rates.entries().cloned().collect();
        entries.iter_mut().for_each(change);
        *rates = entries.into_iter().collect();
    }

    pub fn set_state(&mut self, product_id: ProductId, change: impl FnOnce(&mut ProductState)) {
        let product = self.terms_of(product_id);
        let mut state = product.states.at(hour(-100)).clone();
        change(&mut state);
        product.states = Timeline::new(state, []);
    }

    /// Tags by the hours from which on the product has them.
    pub fn set_tags(&mut self, product_id: ProductId, tags: &[(i64, &[&str])]) {
        let product = self.terms_of(product_id);
        let state = product.states.at(hour(-100)).clone();
        let changes: Vec<(Instant, ProductChanges)> = tags
            .iter()
            .map(|(start, tags)| {
                let tags = Some(tags.iter().map(|tag| (*tag).to_owned()).collect());
                (hour(*start), ProductChanges { tags, ..ProductChanges::default() })
            })
            .collect();
        product.states = Timeline::new(state, changes.iter().map(|(start, changes)| (*start, changes)));
    }

    /// It counts by the newest value.
    pub fn count_latest(&mut self, product_id: ProductId) {
        let metric = self.terms.metrics.get_mut(&BillableMetricId(product_id.0)).expect("a metric");
        metric.counting = MetricCounting::Streaming(AggregationType::Latest);
    }

    pub fn use_of(&mut self, product_id: ProductId, at: i64, quantity: i64) {
        self.use_in(product_id, at, quantity, "");
    }

    pub fn use_in(&mut self, product_id: ProductId, at: i64, quantity: i64, region: &'static str) {
        self.used.push(Used { product_id, at, quantity: quantity.into(), region });
    }

    pub fn grant(&mut self, balance: Balance) {
        self.balances.push(balance);
    }

    pub fn agreement(&self) -> Agreement<'_> {
        static NO_FILTERS: std::sync::LazyLock<UsageFilters> =
            std::sync::LazyLock::new(UsageFilters::default);
        let whole = Period { start: hour(0), end: hour(END) };
        Agreement {
            terms: &self.terms,
            overrides: &self.overrides,
            prioritization: MultiplierPrioritization::LowestMultiplier,
            filters: &NO_FILTERS,
            statement: Statement { calendar: whole, counted: whole, from: hour(self.from) },
        }
    }

    fn cuts(&self) -> Cuts {
        let agreement = self.agreement();
        let segments = self.balances.iter().flat_map(|balance| &balance.terms.segments);
        let bounds = segments.flat_map(|segment| [segment.starting_at, segment.ending_before]);
        let starts = self.terms.products.iter().flat_map(|product| product.states.starts());
        cuts(&agreement)
            .also_at(bounds)
            .also_at(starts)
            .also_at(composite_changes(&agreement))
            .also_at(self.contract_end.map(hour))
            .also_at(self.more.iter().map(|number| hour(*number)))
    }

    fn usage(&self, cuts: &Cuts) -> Usage {
        let mut usage = Usage::default();
        for (seq, Used { product_id, at, quantity, region }) in (0..).zip(&self.used) {
            let metric_id = BillableMetricId(product_id.0);
            let Some(segment) = cuts.number_at(metric_id, hour(*at)) else { continue };
            let tally = Tally {
                event_count: 1,
                total: Some(quantity.clone()),
                greatest: Some(quantity.clone()),
                latest: Some(Box::new(Latest { happened_at: hour(*at), seq, value: quantity.clone() })),
                uniques: [Uuid::from_u128(u128::from(seq.unsigned_abs()))].into(),
            };
            let group_values = Arc::new(vec![(*region).to_owned()]);
            usage.pieces.push(Piece { metric_id, group_values, segment, tally });
        }
        usage
    }

    fn contract(&self) -> (ContractId, Option<Instant>) {
        (CONTRACT, self.contract_end.map(hour))
    }

    /// The names of the candidates, in the order in which they are drawn.
    pub fn order(&self) -> Vec<String> {
        let candidates =
            candidates(self.contract(), &self.agreement(), &self.balances, &BTreeMap::new(), |_| zero());
        candidates.into_iter().map(|candidate| candidate.name).collect()
    }

    pub fn bill(&self) -> Bill {
        let agreement = self.agreement();
        let cuts = self.cuts();
        let used = |segment_id: SegmentId| {
            let of_segment = self.drawn.iter().find(|(name, _)| segment(name) == segment_id);
            of_segment.map_or_else(zero, |(_, drawn)| -drawn)
        };
        let candidates = candidates(self.contract(), &agreement, &self.balances, &BTreeMap::new(), used);
        let mut drawdown = Drawdown::new(agreement, &candidates);
        let usage = self.usage(&cuts);
        let others = OtherContracts::default();
        let stretches = rate(&agreement, &usage, &cuts, &others, &mut drawdown).expect("small amounts");
        let stretches: Vec<Stretch<'_>> = stretches.flatten().collect();
        let period = Period { start: hour(self.from), end: hour(END) };
        let Terms { conversions: units, unit: currency, .. } = &self.terms;
        let conversions = conversions(&mut drawdown, units, currency, &stretches, period);
        let mut bill = Bill {
            lines: Vec::new(),
            total: zero(),
            drawn: Vec::new(),
            gross: BTreeMap::new(),
            quantities: BTreeMap::new(),
            covered: zero(),
            covered_units: zero(),
            worth_of_units: zero(),
        };
        let mut charged: Vec<(String, Charge, CreditType)> = Vec::new();
        for stretch in &stretches {
            let region = stretch.combination.presentation.get("region").map(|region| format!("/{region}"));
            let name = &stretch.product.states.before(stretch.period.end).name;
            let name = format!("{name}{}{}", region.unwrap_or_default(), shown(stretch.period));
            for charge in stretch.charges() {
                let unit = stretch.unit_of(charge.payer).clone();
                let product_id = stretch.product.product_id;
                *bill.gross.entry(product_id).or_default() += &charge.total;
                *bill.quantities.entry(product_id).or_default() += &*charge.quantity;
                charged.push((name.clone(), charge, unit));
            }
        }
        for conversion in &conversions {
            let name = format!("conversion{}", shown(conversion.period));
            charged.extend(
                conversion.charges().into_iter().map(|charge| (name.clone(), charge, currency.clone())),
            );
        }
        for (name, charge, unit) in charged {
            let payer = charge.payer.map(|Payer(number)| &candidates[number]);
            let by = payer.map(|candidate| format!(" {}", candidate.name)).unwrap_or_default();
            let (quantity, price) = (plain(&charge.quantity), plain(&charge.unit_price));
            bill.lines.push(format!("{name} {quantity}×{price}={}{by}", plain(&charge.total)));
            let is_due =
                payer.is_none_or(|candidate| candidate.balance.balance_type == BalanceType::Postpaid);
            if is_due && unit == *currency {
                bill.total += &charge.total;
            }
            match payer.map(|candidate| candidate.balance.access_type) {
                Some(AccessType::Spend) => bill.covered += &charge.total,
                Some(AccessType::Quantity) => {
                    bill.covered_units += &*charge.quantity;
                    bill.worth_of_units += &charge.total;
                }
                None => {}
            }
        }
        for (candidate, drawn) in drawdown.drawn() {
            assert!(zero() <= drawn && drawn <= candidate.available, "{} drawn of {}", drawn, candidate.name);
            if drawn != zero() {
                bill.drawn.push((candidate.name.clone(), drawn.normalized()));
            }
        }
        bill.total = bill.total.normalized();
        bill
    }

    /// What it costs, by product, where nothing pays.
    pub fn unpaid(&self) -> BTreeMap<ProductId, Decimal> {
        let (agreement, cuts) = (self.agreement(), self.cuts());
        let (usage, others) = (self.usage(&cuts), OtherContracts::default());
        let stretches = rate(&agreement, &usage, &cuts, &others, &mut NoPayment).expect("small amounts");
        let mut costs: BTreeMap<ProductId, Decimal> = BTreeMap::new();
        for stretch in stretches.flatten() {
            let charges = stretch.charges();
            let total: Decimal = charges.iter().map(|charge| &charge.total).sum();
            *costs.entry(stretch.product.product_id).or_default() += total;
        }
        costs
    }
}

fn shown(Period { start, end }: Period) -> String {
    let number = |at: Instant| (at - hour(0)).num_hours();
    let (start, end) = (number(start), number(end));
    if (start, end) == (0, END) { String::new() } else { format!(" {start}..{end}") }
}

fn segment(name: &str) -> SegmentId {
    SegmentId(id(&format!("segment of {name}")))
}

/// A balance of the contract for everything, all the time, without a payment.
pub fn balance(name: &str, balance_type: BalanceType, amount: i64) -> Balance {
    Balance {
        customer_id: CustomerId(Uuid::nil()),
        id: BalanceId(id(name)),
        balance_type,
        contract_id: Some(CONTRACT),
        access_type: AccessType::Spend,
        unit: Some(CreditType::usd()),
        recurring_id: None,
        origin: None,
        uniqueness_key: None,
        created_at: hour(0),
        created_by: None,
        terms: BalanceTerms {
            product_id: ProductId(Uuid::nil()),
            name: Some(name.to_owned()),
            description: None,
            priority: None,
            rate_type: CommitRateType::ListRate,
            segments: vec![Segment {
                id: segment(name),
                amount: Number(amount.into()),
                starting_at: hour(0),
                ending_before: hour(END),
            }],
            manual_entries: Vec::new(),
            targeting: TargetingOfBalance::default(),
            applicable_contract_ids: Vec::new(),
            invoice_contract_id: None,
            payments: None,
            rollover_fraction: None,
            rolled_over: None,
            taken_away: None,
            is_true_up_disabled: false,
            netsuite_sales_order_id: None,
            salesforce_opportunity_id: None,
        },
        archived_at: None,
        added: 0,
    }
}

pub fn credit(name: &str, amount: i64) -> Balance {
    balance(name, BalanceType::Credit, amount)
}

/// A commit that something is paid for.
pub fn paid_commit(name: &str, amount: i64) -> Balance {
    balance(name, BalanceType::Prepaid, amount).paid(amount)
}

impl Balance {
    pub(super) fn paid(mut self, amount: i64) -> Self {
        let item = Payment {
            id: ScheduleItemId(Uuid::nil()),
            dated_at: hour(0),
            unit_price: Number(amount.into()),
            quantity: Number(1.into()),
        };
        let credit_type = CreditType::usd();
        self.terms.payments = Some(PaymentSchedule { credit_type, do_not_invoice: false, items: vec![item] });
        self
    }

    pub(super) fn priority(mut self, priority: i64) -> Self {
        self.terms.priority = Some(Number(priority.into()));
        self
    }

    pub(super) fn during(mut self, start: i64, end: i64) -> Self {
        self.terms.segments[0].starting_at = hour(start);
        self.terms.segments[0].ending_before = hour(end);
        self
    }

    pub(super) fn until(self, end: i64) -> Self {
        self.during(0, end)
    }

    pub(super) fn on(mut self, product_ids: &[ProductId]) -> Self {
        self.terms.targeting.product_ids = product_ids.to_vec();
        self
    }

    pub(super) fn at_commit_rate(mut self) -> Self {
        self.terms.rate_type = CommitRateType::CommitRate;
        self
    }

    pub(super) fn of_units(mut self) -> Self {
        self.access_type = AccessType::Quantity;
        self.unit = None;
        self
    }

    pub(super) fn in_tokens(mut self) -> Self {
        self.unit = Some(tokens());
        self
    }

    pub(super) fn rolled_over(mut self) -> Self {
        self.origin = Some(Origin { balance_id: BalanceId(Uuid::nil()), contract_id: CONTRACT });
        self
    }

    pub(super) fn of_customer(mut self) -> Self {
        self.contract_id = None;
        self
    }
}

/// An override that is in force all the time.
pub fn rate_override(added: i64, kind: OverrideKind, specifier: Option<Specifier>) -> Override {
    Override {
        id: OverrideId(id(&added.to_string())),
        added,
        is_initial: true,
        created_at: hour(0),
        starting_at: hour(0),
        ending_before: None,
        targeting: Targeting { specifiers: specifier.into_iter().collect(), ..Targeting::default() },
        kind: Some(kind),
        entitled: None,
        priority: None,
        is_commit_specific: false,
        target: RateTarget::ListRate,
    }
}
