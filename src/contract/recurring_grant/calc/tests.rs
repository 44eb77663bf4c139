//! The numbers of the published examples, and that periods tile a grant's time.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::catalog::usage_filter::UsageFilters;
use crate::contract::MultiplierPrioritization;
use crate::contract::balance::{CommitRateType, TargetingOfBalance};
use crate::contract::recurring_grant::{GrantTerms, InvoiceAmount};
use crate::id::{ContractId, CustomerId, ProductId, RecurringGrantId};
use crate::money::{CreditType, ProrationMethod, parse_decimal, plain};
use crate::time::{StatementFrequency, parse_instant};

fn at(text: &str) -> Instant {
    parse_instant(&format!("{text}T00:00:00Z")).expect("a test date")
}

fn number(text: &str) -> Number {
    Number(parse_decimal(text).expect("a number"))
}

fn contract(start: Instant, end: Option<Instant>) -> Contract {
    Contract {
        customer_id: CustomerId(Uuid::nil()),
        id: ContractId(Uuid::nil()),
        package_id: None,
        name: None,
        rate_card_id: None,
        unit: CreditType::usd(),
        starting_at: start,
        ending_before: end,
        initial_ending_before: end,
        schedule: StatementSchedule {
            frequency: StatementFrequency::Monthly,
            anchor: StatementSchedule::first_of_month(start),
        },
        invoice_generation_starting_at: None,
        net_payment_terms_days: None,
        total_contract_value: None,
        netsuite_sales_order_id: None,
        salesforce_opportunity_id: None,
        multiplier_override_prioritization: MultiplierPrioritization::LowestMultiplier,
        scheduled_charges_on_usage_invoices: None,
        usage_filters: UsageFilters::default(),
        overrides: Vec::new(),
        uniqueness_key: None,
        created_at: start,
        created_by: "test".to_owned(),
        archived_at: None,
        finalized_until: start,
    }
}

fn grant(start: Instant, amount: &str) -> RecurringGrant {
    RecurringGrant {
        customer_id: CustomerId(Uuid::nil()),
        contract_id: ContractId(Uuid::nil()),
        id: RecurringGrantId(Uuid::from_u128(7)),
        kind: GrantKind::Commit,
        unit: Some(CreditType::usd()),
        created_at: start,
        created_by: "test".to_owned(),
        granted_until: start,
        terms: GrantTerms {
            product_id: ProductId(Uuid::nil()),
            name: None,
            description: None,
            priority: number("1"),
            rate_type: CommitRateType::ListRate,
            access: UnitAmount { unit_price: number(amount), quantity: number("1") },
            invoice: None,
            duration: 1,
            starting_at: start,
            ending_before: None,
            frequency: None,
            proration: Proration::FirstAndLast,
            access_rounding: None,
            invoice_rounding: None,
            rollover_fraction: None,
            targeting: TargetingOfBalance::default(),
            netsuite_sales_order_id: None,
        },
    }
}

/// What a grant makes, at most 40 of it.
fn children(grant: &RecurringGrant, contract: &Contract) -> Vec<Balance> {
    let calendar = Calendar::of(grant, contract);
    let starts = std::iter::successors(Some(calendar.start), |start| Some(calendar.next(*start)));
    let periods = starts.map_while(|start| calendar.period(start)).take(40);
    periods.map(|period| child(grant, &period)).collect()
}

/// `start..end amount` of each, with dates.
fn shown(balances: &[Balance]) -> Vec<String> {
    let one = |balance: &Balance| {
        let segment = &balance.terms.segments[0];
        let (start, end) = (segment.starting_at.date_naive(), segment.ending_before.date_naive());
        format!("{} {} {}", start.format("%d %b"), end.format("%d %b"), plain(&segment.amount.0))
    };
    balances.iter().map(one).collect()
}

/// Contract 12 Jan to 16 Apr 2026, a credit of 31000.
fn e8(change: impl FnOnce(&mut GrantTerms)) -> Vec<String> {
    let start = at("2026-01-12");
    let mut grant = grant(start, "31000");
    change(&mut grant.terms);
    shown(&children(&grant, &contract(start, Some(at("2026-04-16")))))
}

#[test]
fn credits_e8_proration() {
    let by_statement =
        ["12 Jan 01 Feb 20000", "01 Feb 01 Mar 31000", "01 Mar 01 Apr 31000", "01 Apr 16 Apr 15500"];
    assert_eq!(e8(|_| ()), by_statement);
    let monthly = |terms: &mut GrantTerms| terms.frequency = Some(CycleFrequency::Monthly);
    assert_eq!(
        e8(monthly),
        [
            "12 Jan 12 Feb 31000",
            "12 Feb 12 Mar 31000",
            "12 Mar 12 Apr 31000",
            "12 Apr 16 Apr 4133.33333333333333333333"
        ]
    );
    let rounded = e8(|terms| {
        monthly(terms);
        terms.access_rounding =
            Some(ProrationRounding { rounding_method: ProrationMethod::HalfUp, decimal_places: 0 });
    });
    assert_eq!(rounded[3], "12 Apr 16 Apr 4133");
    let amounts = |proration: Proration| -> Vec<String> {
        let children = e8(|terms| terms.proration = proration);
        children.iter().map(|child| child.rsplit(' ').next().expect("an amount").to_owned()).collect()
    };
    assert_eq!(amounts(Proration::None), ["31000"; 4]);
    assert_eq!(amounts(Proration::First), ["20000", "31000", "31000", "31000"]);
    assert_eq!(amounts(Proration::Last), ["31000", "31000", "31000", "15500"]);
    let lasting = e8(|terms| terms.duration = 2);
    assert_eq!(lasting[1..], ["01 Feb 01 Apr 31000", "01 Mar 16 Apr 31000", "01 Apr 16 Apr 15500"]);
}

#[test]
fn credits_e27_a_partial_first_period_keeps_its_cost_basis() {
    let start = at("2026-01-21");
    let mut grant = grant(start, "3000");
    grant.terms.duration = 2;
    let price = UnitAmount { unit_price: number("1000"), quantity: number("2") };
    grant.terms.invoice = Some(InvoiceAmount { price, credit_type: CreditType::usd() });
    let children = children(&grant, &contract(start, None));
    assert_eq!(shown(&children)[..2], ["21 Jan 01 Mar 1064.51612903225806451613", "01 Feb 01 Apr 3000"]);
    let payment = |index: usize| {
        let payments = children[index].terms.payments.as_ref().expect("payments");
        let payment = &payments.items[0];
        format!("{} × {}", plain(&payment.quantity.0), plain(&payment.unit_price.0))
    };
    assert_eq!(payment(0), "1 × 709.67741935483870967742");
    assert_eq!(payment(1), "2 × 1000");
}

#[test]
fn credits_e33_no_period_starts_at_the_end() {
    let start = at("2025-10-01");
    let mut grant = grant(start, "1000");
    grant.terms.ending_before = Some(at("2026-01-01"));
    let made = children(&grant, &contract(start, None));
    assert_eq!(shown(&made), ["01 Oct 01 Nov 1000", "01 Nov 01 Dec 1000", "01 Dec 01 Jan 1000"]);
    grant.terms.ending_before = Some(at("2025-12-16"));
    grant.terms.duration = 2;
    let cut = children(&grant, &contract(start, None));
    let prorated = "01 Dec 01 Feb 483.87096774193548387097";
    assert_eq!(shown(&cut)[2], prorated, "cut in amount, not in the time in which it may be drawn");
}

#[test]
fn a_grant_starts_with_its_contract_and_may_be_over_before() {
    let mut early = grant(at("2025-12-10"), "310");
    let of_january = contract(at("2026-01-12"), Some(at("2026-02-01")));
    assert_eq!(shown(&children(&early, &of_january)), ["12 Jan 01 Feb 200"]);
    early.terms.ending_before = Some(at("2026-01-12"));
    assert!(children(&early, &of_january).is_empty());
    let late = grant(at("2026-02-01"), "310");
    assert!(children(&late, &of_january).is_empty());
}

#[test]
fn one_period_that_is_cut_twice_is_prorated_as_asked() {
    let mut grant = grant(at("2026-04-06"), "30");
    let contract = contract(at("2026-04-01"), Some(at("2026-04-16")));
    for (proration, amount) in [
        (Proration::FirstAndLast, "10"),
        (Proration::First, "25"),
        (Proration::Last, "15"),
        (Proration::None, "30"),
    ] {
        grant.terms.proration = proration;
        assert_eq!(shown(&children(&grant, &contract)), [format!("06 Apr 16 Apr {amount}")], "{proration:?}");
    }
}

#[test]
fn what_is_drawn_long_ends_with_the_last_year() {
    let start = at("9999-12-01");
    let mut grant = grant(start, "1");
    grant.terms.duration = 1000;
    grant.terms.frequency = Some(CycleFrequency::Annual);
    let made = children(&grant, &contract(start, None));
    assert!(made[0].terms.segments[0].ending_before <= last_instant());
}

proptest! {
    #[test]
    fn periods_tile_the_time_of_the_grant(
        contract_start in 0_i64..20_000, grant_after in -50_i64..400, grant_hours in 1_i64..20_000,
        contract_hours in 1_i64..20_000, which in 0_usize..6, duration in 1_u32..4, proration in 0_usize..4,
    ) {
        let hour = |hours: i64| DateTime::UNIX_EPOCH + TimeDelta::hours(hours);
        let contract_start = contract_start * 24 + 5;
        let contract = contract(hour(contract_start), Some(hour(contract_start + contract_hours)));
        let mut grant = grant(hour(contract_start + grant_after * 7), "1000");
        grant.terms.ending_before = Some(hour(contract_start + grant_hours));
        grant.terms.frequency = CycleFrequency::ALL.get(which).copied();
        grant.terms.duration = duration;
        grant.terms.proration = Proration::ALL[proration];
        let calendar = Calendar::of(&grant, &contract);
        let end = calendar.end.expect("it ends");
        let mut start = calendar.start;
        let mut ids = std::collections::BTreeSet::new();
        prop_assert_eq!(calendar.made_at(start), None);
        for _ in 0..60 {
            let Some(period) = calendar.period(start) else {
                prop_assert!(end <= start, "only the end ends it");
                break;
            };
            prop_assert_eq!(period.covered.start, start);
            prop_assert!(period.covered.end <= end && period.access.start == start);
            prop_assert!(period.access.end >= period.covered.end.min(contract.ending_before.expect("it ends")));
            let next = calendar.next(start);
            prop_assert_eq!(period.covered.end, next.min(end));
            prop_assert_eq!(calendar.made_at(next), Some(start), "it is made as the one before starts");
            let made = child(&grant, &period);
            prop_assert_eq!(&made, &child(&grant.clone(), &period));
            prop_assert!(made.terms.segments[0].amount.0 <= grant.terms.access.amount());
            prop_assert!(ids.insert(made.id), "each has an id of its own");
            start = next;
        }
    }

    #[test]
    fn the_parts_of_a_period_that_two_grants_share_sum_to_it(cut in 1_i64..31, amount in 0_i64..1_000_000) {
        let (start, end) = (at("2026-01-01"), at("2026-02-01"));
        let middle = start + TimeDelta::days(cut);
        let amount = amount.to_string();
        let part = |from: Instant, to: Instant| {
            let children = children(&grant(from, &amount), &contract(start, Some(to)));
            children[0].terms.segments[0].amount.0.clone()
        };
        prop_assume!(middle < end);
        let sum = part(start, middle) + part(middle, end);
        let difference = (sum - parse_decimal(&amount).expect("a number")).abs();
        prop_assert!(difference <= parse_decimal("1e-20").expect("a number"));
    }
}
