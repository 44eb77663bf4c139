//! The worked examples of the reference by their labels, and what must hold of every drawdown.

mod properties;
mod world;

use super::Skipped;
use crate::catalog::product::ProductType;
use crate::catalog::rate::Price;
use crate::contract::balance::{BalanceType, SpecifierOfBalance};
use crate::contract::rate_override::{
    Exclusion, Override, OverrideKind, OverwriteRate, RateTarget, Specifier, Targeting,
};
use crate::id::{ContractId, ProductId};
use crate::money::{Decimal, Number};
use uuid::Uuid;
use world::*;

/// What each balance paid, as `name amount`.
fn drawn(bill: &Bill) -> Vec<String> {
    bill.drawn.iter().map(|(name, drawn)| format!("{name} {}", crate::money::plain(drawn))).collect()
}

fn specifier(product_id: Option<ProductId>, region: Option<&str>) -> SpecifierOfBalance {
    SpecifierOfBalance {
        product_id,
        presentation_group_values: region
            .map(|region| ("region".to_owned(), region.to_owned()))
            .into_iter()
            .collect(),
        ..SpecifierOfBalance::default()
    }
}

fn for_commits(one: Override) -> Override {
    Override { is_commit_specific: true, ..one }
}

fn for_product(product_id: ProductId, one: Override) -> Override {
    Override { targeting: Targeting { product_id: Some(product_id), ..one.targeting.clone() }, ..one }
}

fn overwrite(price: Price) -> OverrideKind {
    OverrideKind::Overwrite(OverwriteRate { price, credit_type_id: None })
}

fn commit(name: &str) -> Specifier {
    Specifier { commit_ids: vec![balance_id(name)], ..Specifier::default() }
}

#[test]
fn e3_full_ordering() {
    let mut world = World::new();
    let x = world.usage_product("X", flat(100));
    world.use_of(x, 3, 1000);
    let prepaid = |name, amount| balance(name, BalanceType::Prepaid, amount);
    world.grant(prepaid("R1", 10_000).priority(50).rolled_over());
    world.grant(balance("R2", BalanceType::Postpaid, 5000).priority(90).rolled_over());
    world.grant(credit("A", 8000).priority(10).until(60));
    world.grant(paid_commit("B", 12_000).priority(10).on(&[x]).until(31));
    world.grant(prepaid("C", 6000).priority(10).on(&[x]).until(200));
    world.grant(paid_commit("D", 7000).priority(10).until(31).of_customer());
    world.grant(paid_commit("E", 9000).priority(10).until(31));
    world.grant(paid_commit("F", 4000).priority(5));
    world.grant(balance("G", BalanceType::Postpaid, 50_000).priority(1));
    let bill = world.bill();
    assert_eq!(
        drawn(&bill),
        ["R2 5000", "R1 10000", "F 4000", "C 6000", "A 8000", "B 12000", "E 9000", "D 7000", "G 39000"]
    );
    assert_eq!(bill.total, Decimal::from(44_000));
}

#[test]
fn e4_line_order_and_a_part_of_a_subscription() {
    let mut world = World::new();
    let writes = world.product("Writes", ProductType::Usage, &[(0, flat(30)), (15, flat(40))]);
    let reads = world.usage_product("Reads", flat(12));
    let archive = world.usage_product("Archive", flat(2));
    let platform = Price::Subscription { price: 20_000.into(), quantity: 1.into(), is_prorated: true };
    world.product("Platform", ProductType::Subscription, &[(0, platform)]);
    let share = Price::Percentage { fraction: decimal("0.05"), minimum: None, use_list_prices: false };
    let support = world.product("Support", ProductType::Composite, &[(0, share)]);
    world.set_state(support, |state| state.composite_product_ids = Some(vec![writes, reads]));
    world.use_of(writes, 1, 300);
    world.use_of(writes, 20, 100);
    world.use_of(reads, 1, 500);
    world.use_of(archive, 1, 1000);
    world.grant(credit("Credit", 30_000));
    let bill = world.bill();
    assert_eq!(
        bill.lines,
        [
            "Writes 0..15 300×30=9000 Credit",
            "Writes 15..30 100×40=4000 Credit",
            "Reads 500×12=6000 Credit",
            "Archive 1000×2=2000 Credit",
            "Platform 0.45×20000=9000 Credit",
            "Platform 0.55×20000=11000",
            "Support 19000×0.05=950",
        ]
    );
    assert_eq!(drawn(&bill), ["Credit 30000"]);
    // Were the 40-cent line before the others of the 16th, a smaller credit would show it.
    world.balances[0].terms.segments[0].amount = Number(17_000.into());
    let bill = world.bill();
    assert_eq!(bill.lines[..2], ["Writes 0..15 300×30=9000 Credit", "Writes 15..30 100×40=4000"]);
    assert_eq!(drawn(&bill), ["Credit 17000"]);
}

#[test]
fn e6_tiers_go_on_between_the_commit_rate_and_the_list_rate() {
    let mut world = World::new();
    let product = world.usage_product("Units", tiered(&[(1000, 10), (0, 8)]));
    world.change_rates(product, |entry| entry.commit_rate = Some(tiered(&[(1000, 7), (0, 5)])));
    world.use_of(product, 2, 2500);
    world.grant(paid_commit("Commit", 9000).at_commit_rate());
    let bill = world.bill();
    assert_eq!(bill.lines, ["Units 1000×7=7000 Commit", "Units 400×5=2000 Commit", "Units 1100×8=8800"]);
    assert_eq!(bill.total, Decimal::from(8800));
    world.change_rates(product, |entry| entry.commit_rate = None);
    let bill = world.bill();
    assert_eq!(bill.lines, ["Units 900×10=9000 Commit", "Units 100×10=1000", "Units 1500×8=12000"]);
    assert_eq!(bill.total, Decimal::from(13_000));
}

#[test]
fn e7_tokens_and_money() {
    let mut world = World::new();
    let b = world.usage_product("Model B", flat(2));
    let a = world.usage_product("Model A", flat(3));
    let storage = world.usage_product("Storage", flat(6));
    for model in [a, b] {
        world.change_rates(model, |entry| entry.credit_type_id = tokens().id);
    }
    world.use_of(a, 1, 300);
    world.use_of(b, 1, 200);
    world.use_of(storage, 1, 100);
    world.grant(paid_commit("Tokens", 1000).in_tokens());
    world.grant(credit("Money", 1000));
    let bill = world.bill();
    assert_eq!(
        bill.lines,
        [
            "Model B 50×2=100 Tokens",
            "Model B 150×2=300",
            "Model A 300×3=900 Tokens",
            "Storage 100×6=600 Money",
            "conversion 100×4=400 Money",
            "conversion 200×4=800",
        ]
    );
    assert_eq!(
        (bill.total.clone(), drawn(&bill)),
        (800.into(), vec!["Money 1000".into(), "Tokens 1000".into()])
    );
}

#[test]
fn w9_a_custom_pricing_unit() {
    let mut world = World::new();
    let calls = world.usage_product("Calls", flat(2));
    world.change_rates(calls, |entry| entry.credit_type_id = tokens().id);
    world.terms.conversions[0].fiat_per_unit = 10.into();
    world.use_of(calls, 1, 300);
    world.grant(paid_commit("Pack", 240).in_tokens());
    let bill = world.bill();
    assert_eq!(bill.lines, ["Calls 120×2=240 Pack", "Calls 180×2=360", "conversion 360×10=3600"]);
    world.grant(credit("Money", 1600));
    assert_eq!(world.bill().total, Decimal::from(2000));
    world.balances[0].terms.segments[0].amount = Number(600.into());
    let bill = world.bill();
    assert_eq!((bill.lines, bill.total), (vec!["Calls 300×2=600 Pack".into()], Decimal::from(0)));
}

#[test]
fn e24_partly_covered_lines() {
    for (quantity, left, expected) in [
        (10, 400, ["Units 4×100=400 Commit", "Units 6×100=600"]),
        (80, 5000, ["Units 50×100=5000 Commit", "Units 30×100=3000"]),
    ] {
        let mut world = World::new();
        let units = world.usage_product("Units", flat(100));
        world.use_of(units, 1, quantity);
        world.grant(paid_commit("Commit", left));
        assert_eq!(world.bill().lines, expected);
    }
    let mut world = World::new();
    let compute = world.usage_product("Compute", flat(1));
    world.change_rates(compute, |entry| entry.credit_type_id = tokens().id);
    world.use_of(compute, 1, 450);
    world.grant(paid_commit("Commit", 100).in_tokens());
    let expected = ["Compute 100×1=100 Commit", "Compute 350×1=350", "conversion 350×4=1400"];
    assert_eq!(world.bill().lines, expected);
}

/// Two products and their overage.
fn e25(prices: [i64; 2]) -> (World, [ProductId; 2]) {
    let mut world = World::new();
    let products = [world.usage_product("One", flat(prices[0])), world.usage_product("Two", flat(prices[1]))];
    for product in products {
        world.use_of(product, 1, 10);
    }
    (world, products)
}

#[test]
fn e25_price_contexts_under_a_multiplier_for_one_commit() {
    let (mut world, _) = e25([100, 200]);
    world.overrides = vec![
        rate_override(1, OverrideKind::Multiplier(decimal("0.95")), None),
        for_commits(rate_override(2, OverrideKind::Multiplier(decimal("0.8")), Some(commit("A")))),
    ];
    world.grant(paid_commit("A", 1_000_000));
    assert_eq!(world.bill().lines, ["One 10×80=800 A", "Two 10×160=1600 A"]);
    world.balances[0].terms.segments[0].amount = Number(800.into());
    let expected = ["One 10×95=950", "Two 5×160=800 A", "Two 5×190=950"];
    assert_eq!(world.bill().lines, expected);
    world.balances = vec![paid_commit("B", 950)];
    assert_eq!(world.bill().lines, ["One 10×95=950", "Two 5×190=950 B", "Two 5×190=950"]);
}

#[test]
fn e25_price_contexts_under_overwrites_for_any_balance() {
    let (mut world, [one, two]) = e25([100, 200]);
    let of = |added, product, price| {
        for_commits(for_product(product, rate_override(added, overwrite(Price::Flat(decimal(price))), None)))
    };
    world.overrides = vec![of(1, one, "75"), of(2, two, "88.9")];
    world.grant(credit("Credit", 889));
    assert_eq!(world.bill().lines, ["One 10×100=1000", "Two 10×88.9=889 Credit"]);
    world.grant(paid_commit("Commit", 375));
    assert_eq!(world.bill().lines, ["One 5×75=375 Commit", "One 5×100=500", "Two 10×88.9=889 Credit"]);
}

#[test]
fn e25_price_contexts_at_commit_rates_with_an_override_for_one_commit() {
    let (mut world, [one, two]) = e25([1000, 2000]);
    for (product, price) in [(one, 800), (two, 1900)] {
        world.change_rates(product, |entry| entry.commit_rate = Some(flat(price)));
    }
    let at_commit_rate = rate_override(1, OverrideKind::Multiplier(decimal("0.9")), Some(commit("A")));
    world.overrides = vec![
        Override { target: RateTarget::CommitRate, ..for_commits(at_commit_rate) },
        rate_override(2, OverrideKind::Multiplier(decimal("0.8")), None),
    ];
    world.grant(paid_commit("A", 100_000).at_commit_rate());
    assert_eq!(world.bill().lines, ["One 10×720=7200 A", "Two 10×1710=17100 A"]);
    world.balances[0].terms.segments[0].amount = Number(1710.into());
    assert_eq!(world.bill().lines, ["One 10×800=8000", "Two 1×1710=1710 A", "Two 9×1600=14400"]);
    // At list rate the overrides of list rates hold, and those of commit rates do not.
    world.balances = vec![paid_commit("A", 100_000)];
    assert_eq!(world.bill().lines, ["One 10×800=8000 A", "Two 10×1600=16000 A"]);
    // Without a commit rate so does a commit at commit rate.
    world.change_rates(one, |entry| entry.commit_rate = None);
    world.balances = vec![paid_commit("A", 100_000).at_commit_rate()];
    assert_eq!(world.bill().lines, ["One 10×800=8000 A", "Two 10×1710=17100 A"]);
}

#[test]
fn w20_and_e25_a_commit_rate() {
    let mut world = World::new();
    let units = world.usage_product("Units", flat(1000));
    world.change_rates(units, |entry| entry.commit_rate = Some(flat(800)));
    world.use_of(units, 1, 20);
    world.grant(paid_commit("Commit", 10_000).at_commit_rate());
    let bill = world.bill();
    assert_eq!(bill.lines, ["Units 12.5×800=10000 Commit", "Units 7.5×1000=7500"]);
    assert_eq!(bill.total, Decimal::from(7500));
    world.balances = vec![paid_commit("Commit", 10_000)];
    assert_eq!(world.bill().total, Decimal::from(10_000));
}

#[test]
fn w35_and_e25_zero_overage() {
    let mut world = World::new();
    let units = world.usage_product("Units", flat(0));
    world.change_rates(units, |entry| entry.commit_rate = Some(flat(100)));
    world.use_of(units, 1, 120);
    world.grant(paid_commit("Commit", 10_000).at_commit_rate());
    let bill = world.bill();
    assert_eq!(bill.lines, ["Units 100×100=10000 Commit", "Units 20×0=0"]);
    assert_eq!((bill.total, bill.drawn[0].1.clone()), (0.into(), 10_000.into()));
    world.change_rates(units, |entry| entry.commit_rate = None);
    world.overrides = vec![for_commits(rate_override(1, overwrite(flat(100)), None))];
    world.balances = vec![paid_commit("Commit", 10_000)];
    assert_eq!(world.bill().lines, ["Units 100×100=10000 Commit", "Units 20×0=0"]);
    // What is free for everybody draws nothing.
    world.overrides = Vec::new();
    let bill = world.bill();
    assert_eq!((bill.lines, bill.drawn), (vec!["Units 120×0=0".into()], Vec::new()));
}

#[test]
fn e26_the_six_prepaid_commits() {
    let mut world = World::new();
    let storage = world.usage_product("Storage", flat(100));
    let reads = world.usage_product("Reads", flat(260));
    for product in [reads, storage] {
        world.set_state(product, |state| state.presentation_group_key = Some(vec!["region".to_owned()]));
        world.use_in(product, 1, 10, "eu");
    }
    let specified = |name, specifiers: &[SpecifierOfBalance], end| {
        let mut commit = paid_commit(name, 100).priority(100).until(end);
        commit.terms.targeting.specifiers = specifiers.to_vec();
        commit
    };
    let (product_in_region, region) = (specifier(Some(reads), Some("eu")), specifier(None, Some("eu")));
    world.grant(paid_commit("F", 100).priority(100).until(100));
    world.grant(specified("E", std::slice::from_ref(&region), 400));
    world.grant(specified("D", &[product_in_region, region], 100));
    world.grant(paid_commit("C", 100).priority(100).on(&[reads]));
    world.grant(balance("B", BalanceType::Prepaid, 100).priority(100));
    world.grant(paid_commit("A", 100).priority(50));
    assert_eq!(world.order(), ["A", "B", "C", "D", "E", "F"]);
    let bill = world.bill();
    assert_eq!(drawn(&bill), ["A 100", "B 100", "C 100", "D 100", "E 100", "F 100"]);
    assert!(bill.lines[..1] == ["Storage/eu 10×100=1000"], "the dearer Reads went first: {:?}", bill.lines);
}

#[test]
fn a_specifier_of_exclusions_alone_is_as_wide_as_none() {
    let mut world = World::new();
    world.usage_product("Reads", flat(1));
    let specified = |name, specifier: SpecifierOfBalance| {
        let mut commit = paid_commit(name, 100);
        commit.terms.targeting.specifiers = vec![specifier];
        commit
    };
    let exclude = vec![Exclusion { product_tags: vec!["free".to_owned()] }];
    world.grant(specified("Wide", SpecifierOfBalance { exclude, ..SpecifierOfBalance::default() }).until(20));
    world.grant(specified("Narrow", specifier(None, Some("eu"))));
    assert_eq!(world.order(), ["Narrow", "Wide"], "fewest groups first, and the wide one names all");
}

#[test]
fn a_priority_that_is_not_set_is_100_and_the_number_of_contracts_decides_late() {
    let mut world = World::new();
    world.grant(paid_commit("unset", 1).until(40));
    world.grant(paid_commit("101", 1).priority(101));
    world.grant(paid_commit("99", 1).priority(99));
    world.grant(paid_commit("100", 1).priority(100).until(50));
    assert_eq!(world.order(), ["99", "unset", "100", "101"]);
    world.balances.clear();
    let mut two = paid_commit("of two", 1).of_customer();
    two.terms.applicable_contract_ids = vec![ContractId(Uuid::from_u128(0xC)), ContractId(Uuid::nil())];
    let mut one = paid_commit("of one", 1).of_customer();
    one.terms.applicable_contract_ids = vec![ContractId(Uuid::from_u128(0xC))];
    let mut other = paid_commit("of another", 1).of_customer();
    other.terms.applicable_contract_ids = vec![ContractId(Uuid::nil())];
    world.balances =
        vec![paid_commit("of all", 1).of_customer(), two, one, other, paid_commit("of the contract", 1)];
    assert_eq!(world.order(), ["of the contract", "of one", "of two", "of all"]);
}

#[test]
fn w5_a_credit_that_starts_inside_the_period() {
    let mut world = World::new();
    let units = world.usage_product("Units", flat(400));
    world.use_of(units, 3, 10);
    world.use_of(units, 20, 80);
    world.grant(credit("Credit", 10_000).during(16, END));
    let bill = world.bill();
    assert_eq!(
        bill.lines,
        ["Units 0..16 10×400=4000", "Units 16..30 25×400=10000 Credit", "Units 16..30 55×400=22000"]
    );
    assert_eq!(bill.total, Decimal::from(26_000));
}

#[test]
fn w6_one_credit_for_two_products() {
    let mut world = World::new();
    let storage = world.usage_product("Storage", flat(100));
    let reads = world.usage_product("Reads", flat(260));
    world.use_of(reads, 1, 20);
    world.use_of(storage, 1, 40);
    world.grant(credit("Credit", 6000));
    let bill = world.bill();
    let expected = ["Storage 8×100=800 Credit", "Storage 32×100=3200", "Reads 20×260=5200 Credit"];
    assert_eq!((bill.lines, bill.total), (expected.map(str::to_owned).to_vec(), 3200.into()));
}

/// A newest value of a product that costs `prices` before and after the 17th.
fn latest(prices: [i64; 2], values: [i64; 2]) -> World {
    let mut world = World::new();
    let units = world.product("Units", ProductType::Usage, &[(0, flat(prices[0])), (16, flat(prices[1]))]);
    world.count_latest(units);
    world.use_of(units, 2, values[0]);
    world.use_of(units, 20, values[1]);
    world
}

#[test]
fn w13_what_falls_later_is_not_netted() {
    let mut world = latest([200, 250], [30, 22]);
    world.grant(credit("Credit", 5000));
    let bill = world.bill();
    assert_eq!(
        bill.lines,
        ["Units 0..16 25×200=5000 Credit", "Units 0..16 5×200=1000", "Units 16..30 -8×250=-2000"]
    );
    assert_eq!(bill.total, Decimal::from(-1000));
}

#[test]
fn w23_a_newest_value() {
    let mut world = latest([300, 400], [40, 120]);
    world.grant(credit("Credit", 10_000).during(16, END));
    let bill = world.bill();
    assert_eq!(
        bill.lines,
        ["Units 0..16 40×300=12000", "Units 16..30 25×400=10000 Credit", "Units 16..30 55×400=22000"]
    );
    assert_eq!(bill.total, Decimal::from(34_000));
    let mut world = latest([300, 400], [40, 30]);
    assert_eq!(world.bill().total, Decimal::from(8000));
    world.grant(credit("Credit", 10_000));
    let bill = world.bill();
    assert_eq!(bill.total, Decimal::from(-2000));
    assert_eq!(bill.lines[1], "Units 0..16 6.66666666666666666667×300=2000", "exact, whatever the quantity");
    assert_eq!(latest([300, 400], [7, 9]).bill().total, Decimal::from(2900));
}

#[test]
fn w24_a_credit_that_ends_inside_the_period_cuts_what_it_may_pay_for() {
    let mut world = World::new();
    let compute = world.usage_product("Compute", flat(100));
    let storage = world.usage_product("Storage", flat(50));
    let seats = world.usage_product("Seats", flat(1));
    for (product, earlier, later) in [(compute, 360, 384), (storage, 100, 150), (seats, 1, 1)] {
        world.use_of(product, 3, earlier);
        world.use_of(product, 20, later);
    }
    world.grant(credit("Credit", 50_000).until(15).on(&[compute, storage]));
    let bill = world.bill();
    assert_eq!(
        bill.lines,
        [
            "Compute 0..15 360×100=36000 Credit",
            "Compute 15..30 384×100=38400",
            "Storage 0..15 100×50=5000 Credit",
            "Storage 15..30 150×50=7500",
            "Seats 2×1=2",
        ]
    );
    assert_eq!((bill.total.clone(), drawn(&bill)), (45_902.into(), vec!["Credit 41000".to_owned()]));
}

#[test]
fn w12_a_composite_is_of_what_members_cost_whoever_pays() {
    let mut world = World::new();
    let compute = world.usage_product("Compute", flat(30));
    let storage = world.usage_product("Storage", flat(25));
    let tenth = Price::Percentage { fraction: decimal("0.1"), minimum: None, use_list_prices: false };
    let support = world.product("Support", ProductType::Composite, &[(0, tenth)]);
    world.set_state(support, |state| state.composite_product_ids = Some(vec![compute, storage]));
    world.use_of(compute, 1, 1000);
    world.use_of(storage, 1, 400);
    world.grant(credit("Credit", 42_000));
    let bill = world.bill();
    assert_eq!(bill.lines[2..], ["Support 20000×0.1=2000 Credit", "Support 20000×0.1=2000"]);
    assert_eq!(bill.total, Decimal::from(2000));
}

#[test]
fn a_composite_is_of_gross_spend_at_the_prices_while_drawn() {
    let mut world = World::new();
    let units = world.usage_product("Units", flat(1000));
    world.change_rates(units, |entry| entry.commit_rate = Some(flat(800)));
    let tenth = Price::Percentage { fraction: decimal("0.1"), minimum: None, use_list_prices: false };
    let support = world.product("Support", ProductType::Composite, &[(0, tenth)]);
    world.set_state(support, |state| state.composite_product_ids = Some(vec![units]));
    world.use_of(units, 1, 20);
    world.grant(paid_commit("Commit", 10_000).at_commit_rate().on(&[units]));
    let bill = world.bill();
    assert_eq!(
        bill.lines[2..],
        ["Support 17500×0.1=1750"],
        "10000 at the commit rate and 7500 at the list rate"
    );
    assert_eq!(bill.total, Decimal::from(9250));
}

#[test]
fn free_tiers_draw_nothing_and_the_dearest_tier_goes_first() {
    let mut world = World::new();
    let units = world.usage_product("Units", tiered(&[(5, 0), (5, 100), (0, 150)]));
    world.use_of(units, 1, 12);
    world.grant(credit("Credit", 400));
    let bill = world.bill();
    assert_eq!(
        bill.lines,
        ["Units 5×0=0", "Units 1×100=100 Credit", "Units 4×100=400", "Units 2×150=300 Credit"]
    );
    assert_eq!(bill.total, Decimal::from(400));
}

#[test]
fn a_tier_that_is_free_while_drawn_is_not_paid_by_what_is_spent() {
    let mut world = World::new();
    let units = world.usage_product("Units", flat(10));
    world.change_rates(units, |entry| entry.commit_rate = Some(tiered(&[(10, 5), (0, 0)])));
    world.use_of(units, 1, 30);
    world.grant(paid_commit("Commit", 50).at_commit_rate());
    assert_eq!(world.bill().lines, ["Units 10×5=50 Commit", "Units 20×10=200"]);
    world.balances[0].terms.segments[0].amount = Number(51.into());
    assert_eq!(world.bill().lines, ["Units 10×5=50 Commit", "Units 20×0=0 Commit"]);
}

#[test]
fn nothing_is_lost_where_the_last_unit_is_covered_but_for_less_than_a_digit() {
    let mut world = World::new();
    let units = world.usage_product("Units", flat(3));
    world.use_of(units, 1, 1);
    let mut commit = paid_commit("Commit", 0);
    commit.terms.segments[0].amount = Number(decimal("2.9999999999999999999999999"));
    world.grant(commit);
    let bill = world.bill();
    assert_eq!(bill.gross[&units], Decimal::from(3), "{:?}", bill.lines);
    assert_eq!(bill.total, decimal("0.0000000000000000000000001"));
}

#[test]
fn tags_that_change_inside_the_period_cut_the_line() {
    let mut world = World::new();
    let units = world.usage_product("Units", flat(10));
    world.set_tags(units, &[(5, &["other"]), (10, &["beta"]), (12, &["beta", "other"]), (20, &[])]);
    for at in [3, 7, 11, 15, 25] {
        world.use_of(units, at, 1);
    }
    let mut of_beta = credit("Beta", 1000).until(40);
    of_beta.terms.targeting.product_tags = vec!["beta".to_owned()];
    world.grant(of_beta);
    assert_eq!(
        world.bill().lines,
        ["Units 0..10 2×10=20", "Units 10..20 2×10=20 Beta", "Units 20..30 1×10=10"],
        "only where it matters"
    );
}

#[test]
fn specifiers_of_groups_and_exclusions() {
    let mut world = World::new();
    let reads = world.usage_product("Reads", flat(10));
    let writes = world.usage_product("Writes", flat(10));
    let plain_product = world.usage_product("Plain", flat(10));
    world.set_tags(writes, &[(-5, &["a", "b"])]);
    for product in [reads, writes] {
        let tags = world
            .terms
            .products
            .iter()
            .find(|own| own.product_id == product)
            .and_then(|own| own.states.at(hour(0)).tags.clone());
        world.set_state(product, |state| {
            state.presentation_group_key = Some(vec!["region".to_owned()]);
            state.tags = tags;
        });
        world.use_in(product, 1, 1, "eu");
        world.use_in(product, 1, 1, "us");
    }
    world.use_in(plain_product, 1, 1, "eu");
    let mut one = credit("Credit", 1000);
    let exclude =
        |tags: &[&str]| Exclusion { product_tags: tags.iter().map(|tag| (*tag).to_owned()).collect() };
    one.terms.targeting.specifiers =
        vec![SpecifierOfBalance { exclude: vec![exclude(&["a", "b"])], ..specifier(None, Some("eu")) }];
    world.grant(one);
    let covered = |world: &World| -> Vec<String> {
        let is_covered = |line: &String| line.ends_with(" Credit");
        let name = |line: String| line.split(' ').next().unwrap_or_default().to_owned();
        world.bill().lines.into_iter().filter(is_covered).map(name).collect()
    };
    assert_eq!(covered(&world), ["Reads/eu"], "a line without the group is never meant");
    world.balances[0].terms.targeting.specifiers[0].exclude = vec![exclude(&["a", "c"]), exclude(&[])];
    assert_eq!(covered(&world), ["Reads/eu", "Writes/eu"], "only products with all of the tags are left out");
    world.balances[0].terms.targeting.specifiers.push(specifier(Some(plain_product), None));
    assert_eq!(covered(&world), ["Reads/eu", "Writes/eu", "Plain"]);
    world.balances[0].terms.targeting.specifiers = vec![SpecifierOfBalance {
        product_tags: vec!["b".to_owned(), "a".to_owned()],
        ..specifier(None, Some("us"))
    }];
    assert_eq!(covered(&world), ["Writes/us"]);
}

#[test]
fn a_balance_of_the_contract_ends_with_it_and_one_of_the_customer_does_not() {
    let mut world = World::new();
    let units = world.usage_product("Units", flat(10));
    world.use_of(units, 5, 1);
    world.use_of(units, 15, 1);
    world.contract_end = Some(10);
    world.grant(credit("Credit", 1000));
    assert_eq!(world.bill().lines, ["Units 0..10 1×10=10 Credit", "Units 10..30 1×10=10"]);
    world.balances = vec![credit("Credit", 1000).of_customer()];
    assert_eq!(world.bill().lines, ["Units 2×10=20 Credit"]);
}

#[test]
fn what_is_left_is_never_below_zero() {
    let mut world = World::new();
    let units = world.usage_product("Units", flat(10));
    world.use_of(units, 5, 5);
    world.grant(credit("Credit", 100));
    world.drawn = [("Credit", Decimal::from(80))].into();
    assert_eq!(world.bill().lines, ["Units 2×10=20 Credit", "Units 3×10=30"]);
    world.drawn = [("Credit", Decimal::from(130))].into();
    assert_eq!(world.bill().lines, ["Units 5×10=50"]);
}

#[test]
fn a_balance_in_another_unit_neither_pays_nor_cuts() {
    let mut world = World::new();
    let units = world.usage_product("Units", flat(10));
    world.use_of(units, 5, 5);
    let tenth = Price::Percentage { fraction: decimal("0.1"), minimum: None, use_list_prices: false };
    let support = world.product("Support", ProductType::Composite, &[(0, tenth)]);
    world.set_state(support, |state| state.composite_product_ids = Some(vec![units]));
    world.overrides =
        vec![for_commits(rate_override(1, OverrideKind::Multiplier(decimal("0.5")), Some(commit("A"))))];
    world.grant(paid_commit("Tokens", 100).in_tokens().until(10));
    assert_eq!(world.bill().lines, ["Units 5×10=50", "Support 50×0.1=5"]);
}

#[test]
fn an_overwrite_for_a_commit_may_price_in_its_unit() {
    let mut world = World::new();
    let calls = world.usage_product("Calls", flat(2));
    world.change_rates(calls, |entry| entry.credit_type_id = tokens().id);
    let tenth = Price::Percentage { fraction: decimal("0.1"), minimum: None, use_list_prices: false };
    let support = world.product("Support", ProductType::Composite, &[(0, tenth)]);
    world.set_state(support, |state| state.composite_product_ids = Some(vec![calls]));
    world.use_of(calls, 1, 100);
    let in_money = OverwriteRate { price: flat(7), credit_type_id: Some(crate::money::CreditType::usd().id) };
    let one = rate_override(1, OverrideKind::Overwrite(in_money), Some(commit("Money")));
    world.overrides = vec![for_product(calls, for_commits(one))];
    world.grant(paid_commit("Money", 420).on(&[calls]));
    assert_eq!(
        world.bill().lines,
        [
            "Calls 60×7=420 Money",
            "Calls 40×2=80",
            "Support 420×0.1=42",
            "Support 80×0.1=8",
            "conversion 88×4=352",
        ],
        "a share of the money that was drawn, and one of the tokens that are due"
    );
}

#[test]
fn a_subscription_is_drawn_at_the_price_of_the_beginning_of_its_billing_period() {
    let mut world = World::new();
    let platform = Price::Subscription { price: 300.into(), quantity: 1.into(), is_prorated: true };
    world.product("Platform", ProductType::Subscription, &[(0, platform)]);
    let half = for_commits(rate_override(1, OverrideKind::Multiplier(decimal("0.5")), None));
    world.overrides = vec![Override { ending_before: Some(hour(5)), ..half }];
    world.from = 10;
    world.grant(paid_commit("Commit", 1000));
    assert_eq!(world.bill().lines, ["Platform 10..30 1×100=100 Commit"]);
}

#[test]
fn a_minimum_and_a_subscription_are_paid_by_what_may_be_drawn_at_their_start() {
    let mut world = World::new();
    let at_least =
        Price::Percentage { fraction: decimal("0.1"), minimum: Some(100.into()), use_list_prices: false };
    world.product("Support", ProductType::Composite, &[(0, at_least)]);
    let platform = Price::Subscription { price: 300.into(), quantity: 1.into(), is_prorated: true };
    world.product("Platform", ProductType::Subscription, &[(0, platform)]);
    world.grant(credit("Early", 1000).until(10));
    assert_eq!(world.bill().lines, ["Support 1×100=100 Early", "Platform 1×300=300 Early"], "whole");
    world.balances = vec![credit("Late", 1000).during(10, END)];
    assert_eq!(world.bill().lines, ["Support 1×100=100", "Platform 1×300=300"]);
}

#[test]
fn units_are_paid_for_whatever_they_cost() {
    let mut world = World::new();
    let cheap = world.usage_product("Cheap", flat(2));
    let dear = world.usage_product("Dear", flat(700));
    world.use_of(cheap, 1, 10);
    world.use_of(dear, 1, 10);
    world.grant(credit("Units", 14).of_units());
    let bill = world.bill();
    assert_eq!(bill.lines, ["Cheap 4×2=8 Units", "Cheap 6×2=12", "Dear 10×700=7000 Units"]);
    assert_eq!((bill.total.clone(), drawn(&bill)), (12.into(), vec!["Units 14".into()]));
}

#[test]
fn units_and_money_pay_for_one_line_in_the_order_of_balances() {
    let mut world = World::new();
    let calls = world.usage_product("Calls", flat(3));
    world.use_of(calls, 1, 100);
    world.grant(paid_commit("Money", 90).priority(2));
    world.grant(paid_commit("Units", 30).of_units().priority(1));
    world.grant(credit("More units", 15).of_units().priority(3));
    let bill = world.bill();
    assert_eq!(
        bill.lines,
        ["Calls 30×3=90 Units", "Calls 30×3=90 Money", "Calls 15×3=45 More units", "Calls 25×3=75"]
    );
    assert_eq!(drawn(&bill), ["Units 30", "Money 90", "More units 15"]);
    assert_eq!(bill.total, Decimal::from(75));
}

#[test]
fn units_of_dear_tiers_go_first_and_tiers_go_on_at_the_commit_rate() {
    let mut world = World::new();
    let product = world.usage_product("Units", tiered(&[(5, 0), (5, 100), (0, 150)]));
    world.use_of(product, 1, 12);
    world.grant(credit("Pack", 4).of_units());
    let lines = world.bill().lines;
    assert_eq!(lines, ["Units 5×0=0", "Units 2×100=200 Pack", "Units 3×100=300", "Units 2×150=300 Pack"]);
    world.change_rates(product, |entry| {
        entry.price = flat(10);
        entry.commit_rate = Some(tiered(&[(10, 5), (0, 0)]));
    });
    world.balances = vec![credit("Pack", 11).of_units().at_commit_rate()];
    let bill = world.bill();
    assert_eq!(bill.lines, ["Units 10×5=50 Pack", "Units 1×0=0 Pack", "Units 1×10=10"]);
    assert_eq!(drawn(&bill), ["Pack 11"], "what is free only while it is drawn uses it up");
}

#[test]
fn units_pay_in_tokens_and_for_no_conversion() {
    let mut world = World::new();
    let calls = world.usage_product("Calls", flat(2));
    world.change_rates(calls, |entry| entry.credit_type_id = tokens().id);
    world.terms.conversions[0].fiat_per_unit = 10.into();
    world.use_of(calls, 1, 300);
    world.grant(credit("Pack", 120).of_units());
    let bill = world.bill();
    assert_eq!(bill.lines, ["Calls 120×2=240 Pack", "Calls 180×2=360", "conversion 360×10=3600"]);
    world.balances[0].terms.segments[0].amount = Number(1000.into());
    let bill = world.bill();
    assert_eq!(
        (bill.lines.as_slice(), drawn(&bill)),
        (["Calls 300×2=600 Pack".to_owned()].as_slice(), vec!["Pack 300".into()])
    );
}

#[test]
fn units_pay_for_no_subscription_and_no_composite_and_cut_usage_alone() {
    let mut world = World::new();
    let calls = world.usage_product("Calls", flat(10));
    let tenth = Price::Percentage { fraction: decimal("0.1"), minimum: None, use_list_prices: false };
    let support = world.product("Support", ProductType::Composite, &[(0, tenth)]);
    world.set_state(support, |state| state.composite_product_ids = Some(vec![calls]));
    let platform = Price::Subscription { price: 300.into(), quantity: 1.into(), is_prorated: true };
    world.product("Platform", ProductType::Subscription, &[(0, platform)]);
    world.use_of(calls, 3, 7);
    world.use_of(calls, 12, 5);
    world.grant(credit("Pack", 1000).of_units().until(10));
    let bill = world.bill();
    assert_eq!(
        bill.lines,
        ["Calls 0..10 7×10=70 Pack", "Calls 10..30 5×10=50", "Support 120×0.1=12", "Platform 1×300=300"],
        "a composite is of gross spend"
    );
    assert_eq!(drawn(&bill), ["Pack 7"]);
}

#[test]
fn units_pay_for_what_is_worth_most_whatever_its_unit() {
    let mut world = World::new();
    let calls = world.usage_product("Calls", flat(2));
    let mails = world.usage_product("Mails", flat(5));
    world.change_rates(calls, |entry| entry.credit_type_id = tokens().id);
    world.terms.conversions[0].fiat_per_unit = 10.into();
    world.use_of(calls, 1, 100);
    world.use_of(mails, 1, 100);
    world.grant(credit("Pack", 100).of_units());
    let bill = world.bill();
    assert_eq!(bill.lines, ["Calls 100×2=200 Pack", "Mails 100×5=500"], "a call is 20 and a mail 5");
    world.terms.conversions[0].fiat_per_unit = decimal("0.1");
    assert_eq!(world.bill().lines, ["Calls 100×2=200", "Mails 100×5=500 Pack", "conversion 200×0.1=20"]);
}

#[test]
fn units_pay_for_no_more_than_is_due_where_a_quotient_was_rounded() {
    let mut world = World::new();
    let calls = world.usage_product("Calls", flat(3));
    world.use_of(calls, 1, 100);
    world.grant(credit("Money", 100).priority(1));
    let mut pack = credit("Pack", 0).of_units().priority(2);
    pack.terms.segments[0].amount = Number(decimal("66.666666666666666666668"));
    world.grant(pack);
    let bill = world.bill();
    assert_eq!(bill.total, Decimal::from(0), "{:?}", bill.lines);
    assert_eq!(bill.gross[&calls], Decimal::from(300));
}

#[test]
fn units_that_are_free_anyway_are_not_drawn() {
    let mut world = World::new();
    let calls = world.usage_product("Calls", flat(0));
    world.use_of(calls, 1, 10);
    world.grant(credit("Pack", 1000).of_units());
    let bill = world.bill();
    assert_eq!((bill.lines.as_slice(), bill.drawn.len()), (["Calls 10×0=0".to_owned()].as_slice(), 0));
}

#[test]
fn why_a_balance_does_not_pay_is_said_by_name() {
    let text = serde_json::to_string(&[Skipped::OtherTime, Skipped::OtherUsage]).expect("strings");
    assert_eq!(text, r#"["OTHER_TIME","OTHER_USAGE"]"#);
}
