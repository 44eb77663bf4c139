//! A life without a server: the calculations of who pays, of ledgers and of calendars, of edits, of what recurring commits and
//! credits make and of what renewals take over, on what the model was told.
//!
//! What they are given is a copy of what the model says. It is what production has: whatever production would make of a step
//! is made of the copy from before it, and must be the copy from after it.

mod before;
mod edits;
mod grants;
mod rollovers;

use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use upbeat::catalog::billable_metric::AggregationType;
use upbeat::catalog::product::{ProductType, Timeline};
use upbeat::catalog::rate::{GroupValues, Price, RateEntry, Tier, TimelineKey};
use upbeat::catalog::usage_filter::{UsageFilter, UsageFilters};
use upbeat::contract::balance::{
    AccessType, Balance, BalanceTerms, BalanceType, CommitRateType, ManualEntry, Origin, Payment,
    PaymentSchedule, RolledOver, Segment, TakenAway, TargetingOfBalance, TrueUp, shortfall,
};
use upbeat::contract::{ChargesOnUsageInvoices, Contract, MultiplierPrioritization};
use upbeat::drawdown::Draw;
use upbeat::drawdown::calc::{Candidate, Drawdown, candidates};
use upbeat::id::{
    BalanceId, BillableMetricId, ContractId, CustomerId, Ids, InvoiceId, ManualEntryId, ProductId,
    RecurringGrantId, ScheduleItemId, SegmentId,
};
use upbeat::ledger::calc::{Account, ContractTerm, Entry, EntryKind, Rollover, TrueUp as BilledTrueUp};
use upbeat::money::{CreditType, Decimal, InputNumber, Number, is_positive, zero};
use upbeat::rating::calc::{OtherContracts, Payer, cuts, rate, route};
use upbeat::rating::{Agreement, MetricCounting, MetricTerms, Newest, ProductTerms, Terms, Usage};
use upbeat::time::{Instant, Period, StatementFrequency, StatementSchedule, SystemClock};
use upbeat::usage::Piece;
use upbeat::usage::calc::Tally;

use super::bill::{FIRST_TIER, FIRST_TIER_PRICE, PRODUCTS, commit_price, list_price};
use super::calendar::Frequency;
use super::customer::{Customer, Draw as NaiveDraw, InvoiceKind};
use super::ledger::{Entry as NaiveEntry, KINDS, draws_of, listed, place_of, shown};
use super::renewal::{Portion, Taken};
use super::step::{DrawnBy, Kind};
use crate::workload::state;

const CUSTOMER: CustomerId = CustomerId(Uuid::nil());

fn id(space: u128, number: usize) -> Uuid {
    Uuid::from_u128((space << 64) + number as u128)
}

fn contract_id(number: usize) -> ContractId {
    ContractId(id(1, number))
}

fn balance_id(number: usize) -> BalanceId {
    BalanceId(id(2, number))
}

fn segment_id(number: usize) -> SegmentId {
    SegmentId(id(3, number))
}

fn product_id(number: usize) -> ProductId {
    ProductId(id(4, number))
}

fn metric_id(number: usize) -> BillableMetricId {
    BillableMetricId(id(5, number))
}

fn invoice_id(number: usize) -> InvoiceId {
    InvoiceId(id(6, number))
}

/// By its place among those for its commit.
fn payment_id(place: usize) -> ScheduleItemId {
    ScheduleItemId(id(7, place))
}

fn grant_id(number: usize) -> RecurringGrantId {
    RecurringGrantId(id(9, number))
}

/// A draft of one is no stored invoice.
const DRAFT: usize = 1 << 40;

/// What a statement comes to.
struct Outcome {
    total: Decimal,
    gross: Decimal,
    draws: Vec<Draw>,
}

/// What the calculations made of a life so far.
pub struct Calculations {
    terms: Terms,
    /// Of stored invoices, by their numbers.
    draws: Vec<Vec<Draw>>,
    /// Of what edits add.
    ids: Ids,
}

impl Calculations {
    pub fn new(price_change: Instant) -> Self {
        let long_ago: Instant = "2000-01-01T00:00:00Z".parse().expect("an instant");
        let products = (0..PRODUCTS.len()).map(|number| product(number, long_ago, price_change)).collect();
        let group_names = vec!["of".to_owned()];
        let counting = MetricCounting::Streaming(AggregationType::Sum);
        let metric = MetricTerms { counting, group_names };
        let terms = Terms {
            unit: CreditType::usd(),
            conversions: Vec::new(),
            products,
            metrics: (0..PRODUCTS.len()).map(|number| (metric_id(number), metric.clone())).collect(),
            newest: Newest::default(),
        };
        Self { terms, draws: Vec::new(), ids: Ids::new(Arc::new(SystemClock)) }
    }

    /// Gives what is new the ids by which ties are decided, and by which edits name it.
    pub fn name(customer: &mut Customer) {
        for (number, contract) in customer.contracts.iter_mut().enumerate() {
            contract.id = contract_id(number).to_string();
        }
        for (number, balance) in customer.balances.iter_mut().enumerate() {
            balance.id = balance_id(number).to_string();
            for segment in &mut balance.segments {
                segment.id = segment_id(segment.number).to_string();
            }
            for (place, payment) in balance.payments.iter_mut().enumerate() {
                payment.id = payment_id(place).to_string();
            }
        }
    }

    /// What differs from the model.
    pub fn faults(&mut self, customer: &Customer) -> Vec<String> {
        let mut faults = Vec::new();
        let mut differ = |what: String, calculated: String, expected: String| {
            if calculated != expected {
                faults.push(format!("{what}\n    calculated: {calculated}\n    expected:   {expected}"));
            }
        };
        let contracts: Vec<Contract> =
            (0..customer.contracts.len()).map(|one| contract(customer, one)).collect();
        let balances = balances_at(customer, &[]);
        for number in self.draws.len()..customer.invoices.len() {
            let invoice = &customer.invoices[number];
            if invoice.kind != InvoiceKind::Usage {
                self.draws.push(Vec::new());
                continue;
            }
            let own = &contracts[invoice.contract];
            let period = Period { start: invoice.start, end: invoice.end };
            let place = (period.end, own.starting_at, own.id);
            // What was final at its date drew before it, and what is made again lets earlier drafts draw first.
            let is_again = invoice.original != number;
            let drafts = if is_again { self.drafts(customer, &contracts, Some(place)) } else { Vec::new() };
            let reserved: Vec<Draw> = drafts.into_iter().flat_map(|(.., outcome)| outcome.draws).collect();
            let is_of_drafts = is_again && customer.has_live();
            let place = is_of_drafts.then(|| customer.place(invoice.contract, invoice.end));
            let naive = place.map_or_else(Vec::new, |place| customer.drafts_before(Some(place)));
            let found = balances_at(customer, &draws_of(&naive));
            let outcome = self.outcome(customer, own, period, &found, &reserved, number);
            let text = |total: &Decimal, gross: &Decimal| format!("{} of {}", shown(total), shown(gross));
            differ(
                format!("invoice {number} of {} to {}", period.start, period.end),
                text(&outcome.total, &outcome.gross),
                text(&invoice.bill.total, &invoice.bill.gross),
            );
            self.draws.push(outcome.draws);
        }
        let drafts = self.drafts(customer, &contracts, None);
        let expected = customer.drafts_before(None);
        let line = |contract: ContractId, start: Instant, end: Instant, total: &Decimal, gross: &Decimal| {
            format!("{contract} {start}..{end} {} of {}", shown(total), shown(gross))
        };
        let calculated: Vec<String> = drafts
            .iter()
            .map(|(id, period, out)| line(*id, period.start, period.end, &out.total, &out.gross))
            .collect();
        let naive: Vec<String> = expected
            .iter()
            .map(|one| line(contract_id(one.contract), one.start, one.end, &one.bill.total, &one.bill.gross))
            .collect();
        differ("drafts".to_owned(), calculated.join("\n"), naive.join("\n"));
        let of_drafts: Vec<Draw> = drafts.into_iter().flat_map(|(.., outcome)| outcome.draws).collect();
        let reserved = draws_of(&expected);
        let with_drafts = balances_at(customer, &reserved);
        for (number, balance) in balances.iter().enumerate() {
            let account = self.account(customer, number, &with_drafts[number], &of_drafts, &reserved);
            let calculated = account.entries(customer.now).map(entries);
            let left = account.balance_at(customer.now);
            let text = |entries: Option<Vec<NaiveEntry>>, left: &Decimal| {
                let lines = entries.map_or_else(|| vec!["none".to_owned()], listed);
                format!("{} and {} is left", lines.join(", "), shown(left))
            };
            differ(
                format!("ledger of {}", customer.balances[number].name),
                text(calculated, &left),
                text(customer.ledger(number, &expected), &customer.left(number, &expected)),
            );
            if let Some((dated_at, due_at)) =
                customer.pending_true_up(number).and_then(|_| customer.true_up(number))
            {
                let mut drawn: Decimal = self.drawn(customer, number).iter().map(|draw| &draw.amount).sum();
                for taken in customer.taken_of(number, &[]) {
                    drawn -= taken.amount;
                }
                let true_up = TrueUp::of(balance, &contracts).expect("a true-up");
                differ(
                    format!("what is short of {}", customer.balances[number].name),
                    format!("{} {} {}", true_up.dated_at, true_up.due_at, shown(&shortfall(balance, &drawn))),
                    format!("{dated_at} {due_at} {}", shown(&customer.short(number, &[]))),
                );
            }
        }
        faults.extend(self.faults_of_rollovers(customer, &[], &[]));
        faults.extend(self.faults_of_rollovers(customer, &of_drafts, &reserved));
        faults
    }

    /// What final invoices drew of a balance, and what void ones gave back.
    fn drawn(&self, customer: &Customer, balance: usize) -> Vec<Draw> {
        let mut all = Vec::new();
        for (number, draws) in self.draws.iter().enumerate() {
            for draw in draws.iter().filter(|draw| draw.balance_id == balance_id(balance)) {
                all.push(draw.clone());
                if customer.invoices[number].is_void() {
                    all.push(Draw { amount: -&draw.amount, ..draw.clone() });
                }
            }
        }
        all
    }

    fn account(
        &self,
        customer: &Customer,
        number: usize,
        balance: &Balance,
        drafts: &[Draw],
        reserved: &[NaiveDraw],
    ) -> Account {
        let mut draws = self.drawn(customer, number);
        draws.extend(drafts.iter().filter(|draw| draw.balance_id == balance.id).cloned());
        let own = customer.balances[number].contract.map(|own| &customer.contracts[own]);
        let true_up = match customer.final_true_up(number) {
            Some(invoice) => BilledTrueUp::Billed {
                invoice_id: invoice_id(0),
                contract_id: contract_id(invoice.contract),
                amount: invoice.charged.clone(),
                dated_at: invoice.start,
            },
            None if customer.is_lapsed(number) => BilledTrueUp::Lapsed,
            None => BilledTrueUp::Open,
        };
        Account {
            balance: balance.clone(),
            contract: own.map(|own| ContractTerm { ending_before: own.end, archived_at: own.archived }),
            draws,
            rollovers: customer.taken_of(number, reserved).into_iter().map(rollover).collect(),
            true_up,
        }
    }

    /// The drafts in the order in which they draw; those before a place where one is given.
    fn drafts(
        &self,
        customer: &Customer,
        contracts: &[Contract],
        before: Option<(Instant, Instant, ContractId)>,
    ) -> Vec<(ContractId, Period, Outcome)> {
        let mut open: Vec<((Instant, Instant, ContractId), &Contract, Period)> = Vec::new();
        for own in contracts {
            let statements = own.open_statements(customer.now);
            open.extend(statements.map(|period| ((period.end, own.starting_at, own.id), own, period)));
        }
        open.sort_by_key(|(place, ..)| *place);
        open.retain(|(place, ..)| before.is_none_or(|before| *place < before));
        // What was taken over begins with what those before leave.
        let naive = if customer.has_live() { customer.drafts_before(None) } else { Vec::new() };
        let mut drafts: Vec<(ContractId, Period, Outcome)> = Vec::new();
        for (_, own, period) in open {
            let before: Vec<_> =
                naive.iter().take(drafts.len()).flat_map(|draft| draft.bill.draws.clone()).collect();
            let balances = balances_at(customer, &before);
            let reserved: Vec<Draw> = drafts.iter().flat_map(|(.., outcome)| outcome.draws.clone()).collect();
            let outcome = self.outcome(customer, own, period, &balances, &reserved, DRAFT + drafts.len());
            drafts.push((own.id, period, outcome));
        }
        drafts
    }

    fn outcome(
        &self,
        customer: &Customer,
        contract: &Contract,
        period: Period,
        balances: &[Balance],
        reserved: &[Draw],
        number: usize,
    ) -> Outcome {
        let agreement = Agreement::of(contract, &self.terms, contract.statement(period));
        let own = balances.iter().filter(|balance| balance.is_of(contract.id));
        let segments = own.flat_map(|balance| &balance.terms.segments);
        let bounds = segments.flat_map(|segment| [segment.starting_at, segment.ending_before]);
        let cuts = cuts(&agreement).also_at(bounds.chain(contract.ending_before));
        let mut usage = Usage::default();
        let mut counted: BTreeMap<(usize, &str, usize), i64> = BTreeMap::new();
        for event in &customer.events {
            if let Some(segment) = cuts.number_at(metric_id(event.product), hour_of(event.at)) {
                *counted.entry((event.product, event.of, segment)).or_default() += event.count;
            }
        }
        for ((product, of, segment), count) in counted {
            let tally = Tally { event_count: 1, total: Some(count.into()), ..Tally::default() };
            let group_values = Arc::new(vec![of.to_owned()]);
            usage.pieces.push(Piece { metric_id: metric_id(product), group_values, segment, tally });
        }
        let usage = route(&self.terms, usage, &contract.usage_filters, &cuts);
        let final_draws =
            self.draws.iter().enumerate().filter(|(number, _)| !customer.invoices[*number].is_void());
        let draws: Vec<&Draw> = final_draws.flat_map(|(_, draws)| draws).chain(reserved).collect();
        let used = |segment_id| -> Decimal {
            let own = draws.iter().filter(|draw| draw.segment_id == segment_id);
            let spent: Decimal = own.map(|draw| &draw.amount).sum();
            let mut segments = customer.balances.iter().enumerate().flat_map(|(number, balance)| {
                balance.segments.iter().map(move |segment| (number, segment.number))
            });
            let own = segments.find(|(_, segment)| self::segment_id(*segment) == segment_id);
            let (balance, segment) = own.expect("of one of the balances");
            spent - customer.billed_short(balance) - customer.finally_taken(segment)
        };
        let nothing = BTreeMap::new();
        let of_contract = (contract.id, contract.ending_before);
        let candidates = candidates(of_contract, &agreement, balances, &nothing, used);
        let mut drawdown = Drawdown::new(agreement, &candidates);
        let others = OtherContracts::default();
        let stretches = rate(&agreement, &usage, &cuts, &others, &mut drawdown).expect("small amounts");
        let stretches: Vec<_> = stretches.flatten().collect();
        let mut outcome = Outcome { total: zero(), gross: zero(), draws: Vec::new() };
        let mut paid_before = zero();
        for charge in stretches.iter().flat_map(|stretch| stretch.billable_charges().expect("small amounts"))
        {
            let payer = charge.payer.map(|Payer(number)| &candidates[number].balance);
            match payer.filter(|payer| payer.balance_type != BalanceType::Postpaid) {
                None => outcome.total += &charge.total,
                Some(payer) if payer.access_type == AccessType::Spend => paid_before += &charge.total,
                // What units pay for is theirs, whatever it costs.
                Some(_) => {}
            }
            outcome.gross += charge.total;
        }
        let is_paid_before = |candidate: &Candidate<'_>| {
            candidate.balance.balance_type != BalanceType::Postpaid
                && candidate.balance.access_type == AccessType::Spend
        };
        let money = drawdown.drawn().filter(|(candidate, _)| is_paid_before(candidate));
        let money: Decimal = money.map(|(_, drawn)| drawn).sum();
        assert_eq!(money, paid_before, "what is billed and what is drawn are all that is charged");
        for (candidate, drawn) in drawdown.drawn().filter(|(_, drawn)| is_positive(drawn)) {
            assert!(drawn <= candidate.available, "drawn below zero");
            outcome.draws.push(Draw {
                balance_id: candidate.balance.id,
                segment_id: candidate.segment.id,
                invoice_id: invoice_id(number),
                contract_id: contract.id,
                amount: -drawn,
                dated_at: candidate.period.end.min(period.end),
            });
        }
        outcome
    }
}

/// To the decimals to which amounts are compared, and segments by their starts.
fn rounded(mut balance: Balance) -> Balance {
    let round = |amount: &Decimal| Number(shown(amount).parse().expect("a number"));
    for segment in &mut balance.terms.segments {
        segment.amount = round(&segment.amount.0);
    }
    balance.terms.segments.sort_by_key(|segment| (segment.starting_at, segment.id));
    for payment in balance.terms.payments.iter_mut().flat_map(|payments| &mut payments.items) {
        payment.unit_price = round(&payment.unit_price.0);
    }
    balance
}

/// What differs of a commit or credit from the model, if anything does.
fn difference(what: String, calculated: Balance, expected: Balance) -> Option<String> {
    if calculated == expected {
        return None;
    }
    let (calculated, expected) = (rounded(calculated), rounded(expected));
    (calculated != expected)
        .then(|| format!("{what}\n    calculated: {calculated:?}\n    expected:   {expected:?}"))
}

fn rollover(portion: Portion) -> Rollover {
    let Portion { segment, to, at, amount } = portion;
    Rollover { segment_id: segment_id(segment), amount, new_contract_id: contract_id(to), at }
}

/// Usage is kept by the hour.
fn hour_of(at: Instant) -> Instant {
    at - TimeDelta::seconds(at.timestamp().rem_euclid(3600))
}

fn entries(entries: Vec<Entry>) -> Vec<NaiveEntry> {
    let kind = |entry: &Entry| match entry.kind {
        EntryKind::Start => "START",
        EntryKind::Manual { .. } => "MANUAL",
        EntryKind::Deduction { .. } => "DEDUCTION",
        EntryKind::Canceled { .. } => "CANCELED",
        EntryKind::Rollover { .. } => "ROLLOVER",
        EntryKind::TrueUp { .. } => "TRUEUP",
        EntryKind::Expiration => "EXPIRATION",
    };
    let naive = |entry: Entry| {
        let place = place_of(kind(&entry));
        (entry.timestamp, place, KINDS[usize::from(place)], entry.amount)
    };
    entries.into_iter().map(naive).collect()
}

fn product(number: usize, long_ago: Instant, price_change: Instant) -> ProductTerms {
    let product_id = product_id(number);
    let mut initial = state(PRODUCTS[number]);
    initial.billable_metric_id = Some(metric_id(number));
    let key = TimelineKey { product_id, pricing_group_values: GroupValues::new(), billing_frequency: None };
    let entry = |added: i64, from: Instant| {
        let listed = list_price(number, from, price_change);
        let price = if number == 3 {
            let first = InputNumber(FIRST_TIER_PRICE.into());
            let size = Some(InputNumber(FIRST_TIER.into()));
            Price::Tiered(vec![Tier { size, price: first }, Tier { size: None, price: InputNumber(listed) }])
        } else {
            Price::Flat(listed)
        };
        RateEntry {
            added,
            key: key.clone(),
            starting_at: from,
            ending_before: None,
            entitled: true,
            price,
            commit_rate: commit_price(number).map(Price::Flat),
            credit_type_id: CreditType::usd().id,
            created_at: long_ago,
        }
    };
    let mut entries = vec![entry(1, long_ago)];
    if number == 2 {
        entries.push(entry(2, price_change));
    }
    ProductTerms {
        product_id,
        product_type: ProductType::Usage,
        states: Timeline::new(initial, []),
        rates: entries.into_iter().collect(),
    }
}

fn contract(customer: &Customer, number: usize) -> Contract {
    let own = &customer.contracts[number];
    let filters = own.only.map(|only| UsageFilter {
        added: 1,
        group_key: "of".to_owned(),
        group_values: vec![only.to_owned()],
        starting_at: own.start,
        is_initial: true,
        set_at: own.start,
    });
    let frequency = match own.calendar.frequency {
        Frequency::Weekly => StatementFrequency::Weekly,
        Frequency::Monthly => StatementFrequency::Monthly,
        Frequency::Quarterly => StatementFrequency::Quarterly,
    };
    Contract {
        customer_id: CUSTOMER,
        id: contract_id(number),
        package_id: None,
        name: None,
        rate_card_id: None,
        unit: CreditType::usd(),
        starting_at: own.start,
        ending_before: own.end,
        initial_ending_before: own.end,
        schedule: StatementSchedule { frequency, anchor: own.calendar.anchor },
        invoice_generation_starting_at: None,
        net_payment_terms_days: None,
        total_contract_value: None,
        netsuite_sales_order_id: None,
        salesforce_opportunity_id: None,
        multiplier_override_prioritization: MultiplierPrioritization::LowestMultiplier,
        scheduled_charges_on_usage_invoices: own.rides.then_some(ChargesOnUsageInvoices::All),
        usage_filters: UsageFilters::new(filters.into_iter().collect()),
        overrides: Vec::new(),
        uniqueness_key: None,
        created_at: own.start,
        created_by: String::new(),
        archived_at: own.archived,
        finalized_until: own.finalized_until,
    }
}

/// The balances, where `reserved` is drawn by drafts.
fn balances_at(customer: &Customer, reserved: &[NaiveDraw]) -> Vec<Balance> {
    (0..customer.balances.len()).map(|number| balance(customer, number, reserved)).collect()
}

fn balance(customer: &Customer, number: usize, reserved: &[NaiveDraw]) -> Balance {
    let own = &customer.balances[number];
    let origin_of = |taken: &Taken| Origin {
        balance_id: balance_id(taken.origin),
        contract_id: customer.balances[taken.origin].contract.map(contract_id).expect("an old contract"),
    };
    let rolled_over = |taken: &Taken| RolledOver {
        segment_id: segment_id(taken.segment),
        is_final: taken.is_final,
        drawn_up_to: None,
    };
    let segment = |one: &super::customer::Segment| Segment {
        id: segment_id(one.number),
        amount: Number(customer.worth(number, one, reserved)),
        starting_at: one.start,
        ending_before: one.end,
    };
    let manual = |one: &super::customer::Manual| ManualEntry {
        id: ManualEntryId(Uuid::nil()),
        segment_id: segment_id(one.segment),
        amount: Number(one.amount.clone()),
        reason: String::new(),
        dated_at: one.at,
        written_at: one.at,
    };
    let payment = |(place, one): (usize, &super::customer::Payment)| Payment {
        id: payment_id(place),
        dated_at: one.at,
        // What is short of a promise that was taken over is what it comes to.
        unit_price: Number(if own.is_live() {
            customer.worth(number, &own.segments[0], reserved)
        } else {
            one.amount.clone()
        }),
        quantity: Number(1.into()),
    };
    let payments = PaymentSchedule {
        credit_type: CreditType::usd(),
        do_not_invoice: own.do_not_invoice,
        items: own.payments.iter().enumerate().map(payment).collect(),
    };
    let product_ids = own.products.iter().map(|product| product_id(*product)).collect();
    Balance {
        customer_id: CUSTOMER,
        id: balance_id(number),
        balance_type: match own.kind {
            Kind::Prepaid => BalanceType::Prepaid,
            Kind::Postpaid => BalanceType::Postpaid,
            Kind::Credit => BalanceType::Credit,
        },
        contract_id: own.contract.map(contract_id),
        access_type: match own.drawn_by {
            DrawnBy::Money => AccessType::Spend,
            DrawnBy::Units => AccessType::Quantity,
        },
        unit: (own.drawn_by == DrawnBy::Money).then(CreditType::usd),
        recurring_id: own.made_by.map(|(grant, _)| grant_id(grant)),
        origin: own.taken.as_ref().map(origin_of),
        uniqueness_key: None,
        created_at: own.created,
        created_by: None,
        terms: BalanceTerms {
            product_id: ProductId(Uuid::nil()),
            name: Some(own.name.clone()),
            description: None,
            priority: own.priority.map(|priority| Number(priority.into())),
            rate_type: if own.at_commit_rate { CommitRateType::CommitRate } else { CommitRateType::ListRate },
            segments: own.segments.iter().map(segment).collect(),
            manual_entries: own.manual.iter().map(manual).collect(),
            targeting: TargetingOfBalance { product_ids, ..TargetingOfBalance::default() },
            applicable_contract_ids: own.applicable.iter().map(|one| contract_id(*one)).collect(),
            invoice_contract_id: own.billed_on.map(contract_id),
            payments: own.has_schedule.then_some(payments),
            rollover_fraction: own.rollover.clone().map(Number),
            rolled_over: own.taken.as_ref().map(rolled_over),
            taken_away: own.taken_away.map(|end| TakenAway { ended_before: end.0 }),
            is_true_up_disabled: own.is_disabled,
            netsuite_sales_order_id: None,
            salesforce_opportunity_id: None,
        },
        archived_at: own.archived,
        added: 0,
    }
}
