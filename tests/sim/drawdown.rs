//! Who pays, against the second model.

use std::collections::BTreeMap;

use upbeat::catalog::product::Timeline;
use upbeat::contract::balance::{AccessType, BalanceType};
use upbeat::drawdown::calc::{Candidate, Drawdown, candidates, conversions};
use upbeat::id::{ProductId, SegmentId};
use upbeat::money::{Decimal, QuantityRounding, RoundingMethod, plain, zero};
use upbeat::rating::calc::{Charge, Payer, cuts, rate, route};
use upbeat::time::{Instant, Period};

use crate::balances::{CONTRACT, Granted, granted};
use crate::naive_drawdown;
use crate::pricing::{Others, number_from, usage};
use crate::workload::{END, hour};

const CASES: u64 = 3_000;

/// What comes of the drawdown, and how its lines show it.
struct Drawn {
    order: Vec<SegmentId>,
    drawn: BTreeMap<SegmentId, Decimal>,
    total: Decimal,
    /// `product start..end quantity×price=total`, and who pays.
    lines: Vec<String>,
    /// What kinds of charge were paid, and from where.
    paid: Vec<&'static str>,
}

fn drawn(granted: &Granted, more: &[i64]) -> Drawn {
    let workload = &granted.workload;
    let agreement = workload.agreement();
    let segments = granted.balances.iter().flat_map(|balance| &balance.terms.segments);
    let mut marks: Vec<Instant> =
        segments.flat_map(|segment| [segment.starting_at, segment.ending_before]).collect();
    marks.extend(workload.terms.products.iter().flat_map(|product| product.states.starts()));
    let beside = Others::of(workload, &marks);
    let seams = marks.iter().chain(beside.iter().flat_map(|others| &others.changes)).copied();
    let cuts = cuts(&agreement).also_at(seams).also_at(more.iter().map(|number| hour(*number)));
    let usage = route(&workload.terms, usage(workload, &cuts), &workload.filters, &cuts);
    let nothing: BTreeMap<ProductId, Timeline> = BTreeMap::new();
    let used = |segment_id| granted.used(segment_id);
    let candidates = candidates((CONTRACT, None), &agreement, &granted.balances, &nothing, used);
    let mut drawdown = Drawdown::new(agreement, &candidates);
    let others = beside.as_ref().map(Others::spend).unwrap_or_default();
    let stretches = rate(&agreement, &usage, &cuts, &others, &mut drawdown).expect("small amounts");
    let stretches: Vec<_> = stretches.flatten().collect();
    let period = Period { start: workload.statement.from, end: hour(END) };
    let (units, currency) = (&workload.terms.conversions, &workload.terms.unit);
    let conversions = conversions(&mut drawdown, units, currency, &stretches, period);

    let (mut total, mut lines, mut paid) = (zero(), Vec::new(), Vec::new());
    let mut covered: BTreeMap<SegmentId, Decimal> = BTreeMap::new();
    let mut add = |name: String, kind: &'static str, charge: Charge, is_money: bool| {
        let payer: Option<&Candidate<'_>> = charge.payer.map(|Payer(number)| &candidates[number]);
        let by = payer.map(|candidate| format!(" {}", candidate.name)).unwrap_or_default();
        let (quantity, price) = (plain(&charge.quantity), plain(&charge.unit_price));
        lines.push(format!("{name} {quantity}×{price}={}{by}", plain(&charge.total)));
        if is_money && payer.is_none_or(|payer| payer.balance.balance_type == BalanceType::Postpaid) {
            total += &charge.total;
        }
        if let Some(payer) = payer {
            let is_of_units = payer.balance.access_type == AccessType::Quantity;
            paid.push(if is_of_units { "usage by units" } else { kind });
            let drawn = if is_of_units { &*charge.quantity } else { &charge.total };
            *covered.entry(payer.segment.id).or_insert_with(zero) += drawn;
        }
    };
    for stretch in &stretches {
        use upbeat::rating::calc::Basis;
        let kind = match stretch.basis {
            Basis::Usage { .. } => "usage",
            Basis::Spend { .. } => "spend",
            Basis::Minimum(_) => "minimum",
            Basis::Subscription { .. } => "subscription",
        };
        let number = |at: upbeat::time::Instant| (at - hour(0)).num_hours();
        let (start, end) = (number(stretch.period.start), number(stretch.period.end));
        let charges = stretch.billable_charges().expect("small amounts");
        assert_quantity(stretch, &charges);
        for charge in charges {
            let is_money = stretch.unit_of(charge.payer) == currency;
            let name = format!("{kind} {:x} {start}..{end}", stretch.product.product_id.0.as_u128());
            let kind = if charge.payer.is_some() && *charge.unit_price != stretch_price(stretch, &charge) {
                "another price"
            } else {
                kind
            };
            add(name, kind, charge, is_money);
        }
    }
    for conversion in &conversions {
        for charge in conversion.charges() {
            add("conversion".to_owned(), "conversion", charge, true);
        }
    }
    let mut drawn = BTreeMap::new();
    for (candidate, amount) in drawdown.drawn() {
        assert!(zero() <= amount && amount <= candidate.available, "drawn beyond what there is");
        let covered = covered.remove(&candidate.segment.id).unwrap_or_else(zero);
        assert_eq!(covered, amount, "what is drawn is what lines show");
        drawn.insert(candidate.segment.id, amount);
    }
    assert!(covered.is_empty());
    let order = candidates.iter().map(|candidate| candidate.segment.id).collect();
    Drawn { order, drawn, total, lines, paid }
}

/// A price of the stretch itself.
fn stretch_price(stretch: &upbeat::rating::calc::Stretch<'_>, charge: &Charge) -> Decimal {
    let listed = stretch.places().into_iter().map(|place| place.charge.unit_price.into_owned());
    let mut listed: Vec<Decimal> = listed.collect();
    listed.retain(|price| *price == *charge.unit_price);
    listed.pop().unwrap_or_else(|| Decimal::from(-1))
}

/// What is covered and what remains is the whole.
fn assert_quantity(stretch: &upbeat::rating::calc::Stretch<'_>, charges: &[Charge]) {
    let (from, to, price) = stretch.span();
    let quantity: Decimal = charges.iter().map(|charge| &*charge.quantity).sum();
    assert_eq!(quantity, &to - &from, "the parts of a line are the whole");
    let is_listed = stretch.paid.iter().all(|paid| paid.price == price && paid.unit == stretch.pricing.unit);
    if is_listed {
        let total: Decimal = charges.iter().map(|charge| &charge.total).sum();
        assert_eq!(total, upbeat::rating::calc::cost(&price, &from, &to), "exact at one price");
    }
}

/// Amounts are compared to twelve decimals: quotients have twenty, and where they are added up differs.
fn shown(amount: &Decimal) -> String {
    let rounding = QuantityRounding { rounding_method: RoundingMethod::RoundHalfUp, decimal_places: 12 };
    plain(&rounding.apply(amount))
}

fn check(seed: u64) {
    let granted = granted(seed);
    let (drawn, naive) = (self::drawn(&granted, &[]), naive_drawdown::outcome(&granted));
    assert_eq!(drawn.order, naive.order, "seed {seed}: the order between balances (SIM_SEED={seed})");
    let amounts = |drawn: &BTreeMap<SegmentId, Decimal>| -> Vec<String> {
        drawn.iter().map(|(id, amount)| format!("{:x} {}", id.0.as_u128(), shown(amount))).collect()
    };
    let explained = || {
        format!("seed {seed} (SIM_SEED={seed} runs it alone)\n{:#?}\nnaive: {:#?}", drawn.lines, naive.lines)
    };
    assert_eq!(amounts(&drawn.drawn), amounts(&naive.drawn), "what is drawn: {}", explained());
    assert_eq!(shown(&drawn.total), shown(&naive.total), "the total: {}", explained());
    let all_hours: Vec<i64> = (0..END).collect();
    let finely = self::drawn(&granted, &all_hours);
    assert_eq!(amounts(&finely.drawn), amounts(&drawn.drawn), "seed {seed}: more cuts change what is drawn");
    assert_eq!(finely.total, drawn.total, "seed {seed}: more cuts change the total");
}

/// Seeds that failed once, beyond the usual ones.
const FAILED_ONCE: [u64; 2] = [4899, 9776];

#[test]
fn who_pays_is_who_pays_in_the_naive_model() {
    if let Some(seed) = number_from("SIM_SEED") {
        return check(seed);
    }
    let cases = number_from("SIM_CASES").unwrap_or(CASES);
    FAILED_ONCE.into_iter().chain(0..cases).for_each(check);
}

#[test]
fn balances_pay_for_every_kind_of_charge() {
    let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..500 {
        for kind in drawn(&granted(seed), &[]).paid {
            *reached.entry(kind).or_default() += 1;
        }
    }
    for kind in ["usage", "usage by units", "spend", "minimum", "subscription", "conversion", "another price"]
    {
        assert!(reached.get(kind).is_some_and(|count| *count > 5), "{kind}: {reached:?}");
    }
}
