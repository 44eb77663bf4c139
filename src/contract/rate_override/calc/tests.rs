//! The numbers of the published examples, and every function against its plain definition.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::catalog::rate::{BillingFrequency, GroupValues, Price, Tier};
use crate::contract::MultiplierPrioritization::{self as Prioritization, Explicit, LowestMultiplier};
use crate::contract::rate_override::{
    Exclusion, Override, OverrideKind, OverrideTier, OverwriteRate, PresentationValues, RateTarget,
    Specifier, Targeting,
};
use crate::id::{CreditTypeId, OverrideId, ProductId};
use crate::money::{CreditType, Decimal, InputNumber, parse_decimal, plain, zero};
use crate::time::Instant;

fn day(number: i64) -> Instant {
    DateTime::UNIX_EPOCH + TimeDelta::days(number)
}

fn number(text: &str) -> Decimal {
    parse_decimal(text).expect(text)
}

fn product(number: u128) -> ProductId {
    ProductId(Uuid::from_u128(number))
}

fn rule(added: i64, kind: OverrideKind) -> Override {
    Override {
        id: OverrideId(Uuid::from_u128(u128::try_from(added).expect("from 0"))),
        added,
        is_initial: true,
        created_at: day(0),
        starting_at: day(0),
        ending_before: None,
        targeting: Targeting::default(),
        kind: Some(kind),
        entitled: None,
        priority: None,
        is_commit_specific: false,
        target: RateTarget::ListRate,
    }
}

fn times(multiplier: &str) -> OverrideKind {
    OverrideKind::Multiplier(number(multiplier))
}

fn overwrite(price: &str) -> OverrideKind {
    OverrideKind::Overwrite(OverwriteRate { price: flat(price), credit_type_id: None })
}

fn ranges(tiers: &[(Option<&str>, &str)]) -> OverrideKind {
    let tier = |(size, multiplier): &(Option<&str>, &str)| OverrideTier {
        size: size.map(|size| InputNumber(number(size))),
        multiplier: InputNumber(number(multiplier)),
    };
    OverrideKind::Tiered(tiers.iter().map(tier).collect())
}

fn flat(price: &str) -> Price {
    Price::Flat(number(price))
}

fn tiered(tiers: &[(Option<&str>, &str)]) -> Price {
    let tier = |(size, price): &(Option<&str>, &str)| Tier {
        size: size.map(|size| InputNumber(number(size))),
        price: InputNumber(number(price)),
    };
    Price::Tiered(tiers.iter().map(tier).collect())
}

fn specifier(name: &str, values: &[(&str, Option<&str>)]) -> Specifier {
    let named = values.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)));
    match name {
        "pricing" => Specifier {
            pricing_group_values: named.map(|(key, value)| (key, value.expect("a value"))).collect(),
            ..Specifier::default()
        },
        _ => Specifier { presentation_group_values: named.collect(), ..Specifier::default() },
    }
}

/// A line, owned.
#[derive(Clone, Debug)]
struct Own {
    product: u128,
    tags: Vec<String>,
    pricing: GroupValues,
    presentation: PresentationValues,
    frequency: Option<BillingFrequency>,
}

impl Own {
    fn line(&self) -> Line<'_> {
        Line {
            product_id: product(self.product),
            tags: &self.tags,
            pricing_group_values: &self.pricing,
            presentation_group_values: &self.presentation,
            billing_frequency: self.frequency,
            has_minimum: false,
        }
    }
}

fn own() -> Own {
    Own {
        product: 1,
        tags: vec!["ai".to_owned()],
        pricing: GroupValues::new(),
        presentation: PresentationValues::new(),
        frequency: None,
    }
}

fn grouped(pricing: &[(&str, &str)], presentation: &[(&str, Option<&str>)]) -> Own {
    Own {
        pricing: pricing.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        presentation: presentation
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)))
            .collect(),
        ..own()
    }
}

fn drawn(id: u128) -> Drawn {
    Drawn { id: Uuid::from_u128(id), is_credit: false, recurring_id: None }
}

fn of_contract<'a>(overrides: &'a [Override], own: &Own, prioritization: Prioritization) -> Chosen<'a> {
    choose(overrides, &own.line(), day(1), prioritization, None, RateTarget::ListRate)
}

fn under<'a>(overrides: &'a [Override], own: &Own, payer: &Drawn, target: RateTarget) -> Chosen<'a> {
    choose(overrides, &own.line(), day(1), LowestMultiplier, Some(payer), target)
}

/// What one unit costs.
fn unit_price(base: &Price, chosen: &Chosen<'_>) -> String {
    match effective_price(base, CreditType::usd().id, chosen).price {
        Price::Flat(price) => plain(&price),
        other => format!("{other:?}"),
    }
}

/// What a quantity costs, walking the tiers from the start.
fn cost(price: &Price, quantity: &Decimal) -> Decimal {
    match price {
        Price::Flat(price) => price * quantity,
        Price::Tiered(tiers) => {
            let mut left = quantity.clone();
            let mut sum = zero();
            for tier in tiers {
                let inside =
                    tier.size.as_ref().map_or_else(|| left.clone(), |size| left.clone().min(size.0.clone()));
                sum += &inside * &tier.price.0;
                left -= inside;
            }
            sum
        }
        other => panic!("no price of units: {other:?}"),
    }
}

fn cost_of(base: &Price, chosen: &Chosen<'_>, quantity: i64) -> String {
    plain(&cost(&effective_price(base, CreditType::usd().id, chosen).price, &quantity.into()))
}

#[test]
fn pricing_e12_overrides_do_not_stack() {
    let card = flat("100");
    let on_product = |added, kind| Override {
        targeting: Targeting { product_id: Some(product(1)), ..Targeting::default() },
        ..rule(added, kind)
    };
    let on_tag = |added, kind| Override {
        targeting: Targeting { applicable_product_tags: vec!["ai".to_owned()], ..Targeting::default() },
        ..rule(added, kind)
    };
    let mut overrides = vec![on_product(1, times("0.9")), on_tag(2, times("0.8"))];
    assert_eq!(unit_price(&card, &of_contract(&overrides, &own(), LowestMultiplier)), "80");
    assert_eq!(
        of_contract(&overrides, &own(), LowestMultiplier).lost,
        [Lost { rate_override: &overrides[0], reason: Reason::Multiplier }]
    );
    overrides.push(on_product(3, overwrite("85")));
    assert_eq!(unit_price(&card, &of_contract(&overrides, &own(), LowestMultiplier)), "85");
    overrides.push(on_product(4, overwrite("95")));
    let chosen = of_contract(&overrides, &own(), LowestMultiplier);
    assert_eq!(unit_price(&card, &chosen), "95");
    let lost: Vec<(i64, Reason)> =
        chosen.lost.iter().map(|lost| (lost.rate_override.added, lost.reason)).collect();
    assert_eq!(lost, [(3, Reason::AddedEarlier), (2, Reason::OverwriteFirst), (1, Reason::OverwriteFirst)]);

    overrides.truncate(2);
    overrides[0].priority = Some(1.into());
    overrides[1].priority = Some(2.into());
    let chosen = of_contract(&overrides, &own(), Explicit);
    assert_eq!(unit_price(&card, &chosen), "90");
    assert_eq!(chosen.lost, [Lost { rate_override: &overrides[1], reason: Reason::Priority }]);
    assert_eq!(unit_price(&flat("200"), &chosen), "180");
    let fixed = [on_product(3, overwrite("95"))];
    assert_eq!(unit_price(&flat("200"), &of_contract(&fixed, &own(), Explicit)), "95");
}

#[test]
fn pricing_e13_tiered_overrides() {
    let overrides = [Override {
        priority: Some(1.into()),
        ..rule(1, ranges(&[(Some("10"), "0.8"), (Some("10"), "0.7")]))
    }];
    let chosen = of_contract(&overrides, &own(), Explicit);
    assert_eq!(cost_of(&flat("100"), &chosen, 25), "2000");
    let list = tiered(&[(Some("15"), "100"), (None, "60")]);
    assert_eq!(cost_of(&list, &chosen, 25), "1660");
    let effective = effective_price(&list, CreditType::usd().id, &chosen);
    let expected = [(Some("10"), "80"), (Some("5"), "70"), (Some("5"), "42"), (None, "60")];
    assert_eq!(effective.price, tiered(&expected));
    let sources: Vec<_> =
        effective.sources.iter().map(|source| (source.override_tier, source.rate_tier)).collect();
    assert_eq!(sources, [(Some(1), Some(1)), (Some(2), Some(1)), (Some(2), Some(2)), (None, Some(2))]);
    assert_eq!(effective.sources[3].override_id, None);
}

#[test]
fn pricing_e14_e26_commit_specific_discounts() {
    let overrides = [rule(1, times("0.95")), Override { is_commit_specific: true, ..rule(2, times("0.8")) }];
    assert_eq!(unit_price(&flat("100"), &of_contract(&overrides, &own(), LowestMultiplier)), "95");
    assert_eq!(unit_price(&flat("100"), &under(&overrides, &own(), &drawn(7), RateTarget::ListRate)), "80");
}

#[test]
fn pricing_e15_e16_commit_rates() {
    let to_commit_rate =
        Override { is_commit_specific: true, target: RateTarget::CommitRate, ..rule(1, times("0.9")) };
    let overrides = [to_commit_rate, rule(2, times("0.8"))];
    assert_eq!(
        unit_price(&flat("800"), &under(&overrides, &own(), &drawn(7), RateTarget::CommitRate)),
        "720"
    );
    assert_eq!(unit_price(&flat("1000"), &of_contract(&overrides, &own(), LowestMultiplier)), "800");
    // Without a commit rate the base is the list rate, which only overrides of the list rate change.
    assert_eq!(unit_price(&flat("1000"), &under(&overrides, &own(), &drawn(7), RateTarget::ListRate)), "800");
}

#[test]
fn pricing_e27_a_discount_on_one_commit() {
    let commit_a = Specifier { commit_ids: vec![Uuid::from_u128(7)], ..Specifier::default() };
    let of_commit = Override {
        is_commit_specific: true,
        target: RateTarget::CommitRate,
        targeting: Targeting { specifiers: vec![commit_a], ..Targeting::default() },
        ..rule(1, times("0.9"))
    };
    let overrides = [of_commit, rule(2, times("0.8"))];
    let drawing = |commit| under(&overrides, &own(), &drawn(commit), RateTarget::CommitRate);
    assert_eq!(unit_price(&flat("800"), &drawing(7)), "720");
    assert_eq!(unit_price(&flat("1900"), &drawing(7)), "1710");
    assert_eq!(unit_price(&flat("800"), &drawing(8)), "800");
    assert_eq!(unit_price(&flat("800"), &of_contract(&overrides, &own(), LowestMultiplier)), "640");
}

#[test]
fn pricing_e30_a_deeper_discount_is_added_on_top() {
    let overrides = [rule(1, times("0.9")), Override { starting_at: day(366), ..rule(2, times("0.8")) }];
    let own = own();
    let at = |at| choose(&overrides, &own.line(), at, LowestMultiplier, None, RateTarget::ListRate);
    assert_eq!(unit_price(&flat("100"), &at(day(365))), "90");
    assert_eq!(unit_price(&flat("100"), &at(day(366))), "80");
    assert_eq!(boundaries(&overrides), [day(0), day(366)]);
    assert_eq!(unit_price(&flat("2"), &of_contract(&[rule(1, times("0"))], &own, LowestMultiplier)), "0");
}

#[test]
fn pricing_e31_targeting() {
    let region = |name| specifier("pricing", &[("region", Some(name))]);
    let in_regions = Override {
        targeting: Targeting {
            specifiers: vec![region("af-south-1"), region("uaenorth")],
            ..Targeting::default()
        },
        ..rule(1, times("0.7"))
    };
    let price = |region| {
        let line = grouped(&[("region", region), ("hardware", "gpu")], &[]);
        unit_price(&flat("100"), &of_contract(std::slice::from_ref(&in_regions), &line, LowestMultiplier))
    };
    assert_eq!(price("af-south-1"), "70");
    assert_eq!(price("uaenorth"), "70");
    assert_eq!(price("us-east-1"), "100");
    let groupless = of_contract(std::slice::from_ref(&in_regions), &own(), LowestMultiplier);
    assert_eq!(unit_price(&flat("100"), &groupless), "100", "a line without the key is never meant");

    let pair = specifier("presentation", &[("cluster", Some("43145")), ("resource", Some("5436436"))]);
    let on_pair = Override {
        targeting: Targeting { specifiers: vec![pair], ..Targeting::default() },
        ..rule(1, times("0.8"))
    };
    let cost = |resource, quantity| {
        let line = grouped(&[], &[("cluster", Some("43145")), ("resource", resource)]);
        cost_of(&flat("100"), &of_contract(std::slice::from_ref(&on_pair), &line, LowestMultiplier), quantity)
    };
    assert_eq!(cost(Some("5436436"), 100), "8000");
    assert_eq!(cost(Some("1"), 50), "5000");
    assert_eq!(cost(None, 50), "5000");

    let first_five = [rule(1, ranges(&[(Some("5"), "0.9")]))];
    assert_eq!(cost_of(&flat("100"), &of_contract(&first_five, &own(), Explicit), 8), "750");
}

#[test]
fn pricing_e21_entitlement() {
    let on = Override { entitled: Some(true), kind: None, starting_at: day(9), ..rule(1, times("1")) };
    let off = Override {
        entitled: Some(false),
        kind: None,
        starting_at: day(9),
        ending_before: Some(day(19)),
        ..rule(2, times("1"))
    };
    let own = own();
    let entitled = |overrides: &[Override], at, card| entitlement(overrides, &own.line(), day(at), card);
    assert!(!entitled(std::slice::from_ref(&on), 8, false));
    assert!(entitled(std::slice::from_ref(&on), 9, false));
    let both = [on, off];
    assert!(!entitled(&both, 9, true), "the last one added decides");
    assert!(entitled(&both, 19, false));
    assert!(entitled(&both, 3, true));
    assert!(of_contract(&both, &own, LowestMultiplier).chain.is_empty(), "nothing is said about the price");
}

#[test]
fn a_null_value_is_a_missing_one_and_not_a_missing_key() {
    let unnamed = specifier("presentation", &[("user", None)]);
    let one = Override {
        targeting: Targeting { specifiers: vec![unnamed], ..Targeting::default() },
        ..rule(1, times("0.5"))
    };
    assert!(matches(&one, &grouped(&[], &[("user", None)]).line(), None));
    assert!(!matches(&one, &grouped(&[], &[("user", Some("null"))]).line(), None));
    assert!(!matches(&one, &own().line(), None));
}

#[test]
fn tags_are_any_outside_a_specifier_and_all_inside_and_exclusions_take_out() {
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    let line = Own { tags: tags(&["ai", "gpu"]), ..own() };
    let outside = |wanted| Targeting { applicable_product_tags: tags(wanted), ..Targeting::default() };
    let inside = |wanted: &[&str], excluded: &[&[&str]]| {
        let exclude = excluded.iter().map(|excluded| Exclusion { product_tags: tags(excluded) }).collect();
        let specifier = Specifier { product_tags: tags(wanted), exclude, ..Specifier::default() };
        Targeting { specifiers: vec![specifier], ..Targeting::default() }
    };
    let aims = |targeting| matches(&Override { targeting, ..rule(1, times("0.5")) }, &line.line(), None);
    assert!(aims(outside(&["ai", "cpu"])));
    assert!(!aims(outside(&["cpu"])));
    assert!(aims(inside(&["ai", "gpu"], &[])));
    assert!(!aims(inside(&["ai", "cpu"], &[])));
    assert!(!aims(inside(&["ai"], &[&["gpu"]])));
    assert!(aims(inside(&["ai"], &[&["gpu", "cpu"]])));
    assert!(aims(inside(&[], &[&[]])));
}

#[test]
fn ids_name_commits_and_what_recurring_ones_made() {
    let named = |specifier: Specifier| Override {
        is_commit_specific: true,
        targeting: Targeting { specifiers: vec![specifier], ..Targeting::default() },
        ..rule(1, times("0.5"))
    };
    let ids = vec![Uuid::from_u128(7)];
    let one = named(Specifier { commit_ids: ids.clone(), ..Specifier::default() });
    let recurring = named(Specifier { recurring_commit_ids: ids.clone(), ..Specifier::default() });
    let either = named(Specifier { any_commit_or_credit_ids: ids, ..Specifier::default() });
    let own = own();
    let aims = |one, drawn: Option<&Drawn>| matches(one, &own.line(), drawn);
    let made = Drawn { id: Uuid::from_u128(8), is_credit: false, recurring_id: Some(Uuid::from_u128(7)) };
    let credit = Drawn { is_credit: true, ..drawn(7) };
    let made_credit = Drawn { is_credit: true, ..made };
    let table = [
        (&one, [true, false, false, false, false]),
        (&recurring, [false, true, false, false, false]),
        (&either, [true, true, true, true, false]),
    ];
    for (one, expected) in table {
        let payers = [Some(&drawn(7)), Some(&made), Some(&credit), Some(&made_credit), None];
        assert_eq!(payers.map(|payer| aims(one, payer)), expected, "{one:?}");
    }
    let unnamed = named(Specifier::default());
    assert!(aims(&unnamed, Some(&credit)) && !aims(&unnamed, None));
}

#[test]
fn beyond_a_finite_range_the_next_candidate_prices() {
    let with = |priority: i64, one: Override| Override { priority: Some(priority.into()), ..one };
    let overrides = [
        with(1, rule(1, ranges(&[(Some("5"), "0.5")]))),
        with(2, rule(2, ranges(&[(Some("3"), "0.1"), (Some("5"), "0.6")]))),
        with(3, rule(3, times("0.9"))),
        with(4, rule(4, times("0.8"))),
    ];
    let chosen = of_contract(&overrides, &own(), Explicit);
    assert_eq!(chosen.chain.iter().map(|one| one.added).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(chosen.lost, [Lost { rate_override: &overrides[3], reason: Reason::Priority }]);
    let effective = effective_price(&flat("100"), CreditType::usd().id, &chosen);
    assert_eq!(effective.price, tiered(&[(Some("5"), "50"), (Some("3"), "60"), (None, "90")]));
    let from: Vec<_> =
        effective.sources.iter().map(|source| (source.override_id, source.override_tier)).collect();
    assert_eq!(
        from,
        [(Some(overrides[0].id), Some(1)), (Some(overrides[1].id), Some(2)), (Some(overrides[2].id), None)]
    );
}

#[test]
fn a_price_is_in_one_unit() {
    let tokens = CreditTypeId(Uuid::from_u128(0xa));
    let first = rule(1, ranges(&[(Some("5"), "0.5")]));
    let in_unit =
        |credit_type_id| rule(2, OverrideKind::Overwrite(OverwriteRate { price: flat("2"), credit_type_id }));
    let price = |second: &Override| {
        let chosen = Chosen { chain: vec![&first, second], lost: Vec::new() };
        let effective = effective_price(&flat("100"), CreditType::usd().id, &chosen);
        (effective.unit(), effective.price)
    };
    // Half of a hundred cents is no fifty tokens.
    assert_eq!(price(&in_unit(Some(tokens))), (Some(tokens), flat("2")));
    let both = tiered(&[(Some("5"), "50"), (None, "2")]);
    assert_eq!(price(&in_unit(None)), (None, both.clone()));
    assert_eq!(price(&in_unit(Some(CreditType::usd().id))), (Some(CreditType::usd().id), both));
}

#[test]
fn pricing_e17_a_share_of_spend_is_multiplied_and_keeps_its_minimum() {
    let share = |fraction| Price::Percentage {
        fraction: number(fraction),
        minimum: Some(50_000.into()),
        use_list_prices: false,
    };
    let half = [rule(1, times("0.5"))];
    let chosen = of_contract(&half, &own(), LowestMultiplier);
    assert_eq!(effective_price(&share("0.1"), CreditType::usd().id, &chosen).price, share("0.05"));
    let by_range = [rule(1, ranges(&[(Some("10"), "0.5")]))];
    let chosen = of_contract(&by_range, &own(), Explicit);
    let Price::TieredPercentage { tiers, minimum, .. } =
        effective_price(&share("0.1"), CreditType::usd().id, &chosen).price
    else {
        panic!("a share by ranges of spend");
    };
    assert_eq!(Price::Tiered(tiers), tiered(&[(Some("10"), "0.05"), (None, "0.1")]));
    assert_eq!(minimum, Some(50_000.into()));
}

#[test]
fn a_minimum_switches_commit_specific_overrides_off() {
    let share = |minimum: Option<i64>| {
        let price = Price::Percentage {
            fraction: number("0.2"),
            minimum: minimum.map(Into::into),
            use_list_prices: false,
        };
        OverrideKind::Overwrite(OverwriteRate { price, credit_type_id: None })
    };
    let for_commits = |kind| Override { is_commit_specific: true, ..rule(1, kind) };
    let line = own();
    let chain = |overrides: &[Override], has_minimum| {
        let line = Line { has_minimum, ..line.line() };
        let payer = drawn(7);
        let chosen = choose(overrides, &line, day(1), LowestMultiplier, Some(&payer), RateTarget::ListRate);
        let off = chosen.lost.iter().filter(|lost| lost.reason == Reason::Minimum).count();
        (chosen.chain.iter().map(|one| one.added).collect::<Vec<_>>(), off)
    };
    let alone = [for_commits(times("0.5"))];
    assert_eq!(chain(&alone, false), (vec![1], 0));
    assert_eq!(chain(&alone, true), (vec![], 1));
    // What the contract puts in the place of the rate counts instead of the rate.
    assert_eq!(chain(&[for_commits(times("0.5")), rule(2, share(None))], true), (vec![1], 0));
    assert_eq!(chain(&[for_commits(times("0.5")), rule(2, share(Some(5)))], false), (vec![2], 1));
    assert_eq!(chain(&[for_commits(share(Some(5))), rule(2, times("0.9"))], false), (vec![2], 1));
}

// -- against the plain definitions --

const TAGS: [&str; 3] = ["a", "b", "c"];

fn any_kind() -> impl Strategy<Value = Option<OverrideKind>> {
    let multiplier = (0_i64..15).prop_map(|tenths| Decimal::new(tenths.into(), 1));
    let tier = (prop::option::of(1_i64..12), multiplier.clone());
    prop_oneof![
        1 => Just(None),
        4 => multiplier.prop_map(|multiplier| Some(OverrideKind::Multiplier(multiplier))),
        2 => (any_price()).prop_map(|price| Some(OverrideKind::Overwrite(OverwriteRate { price, credit_type_id: None }))),
        3 => prop::collection::vec(tier, 1..4).prop_map(|tiers| {
            let last = tiers.len() - 1;
            let tier = |(index, (size, multiplier)): (usize, (Option<i64>, Decimal))| OverrideTier {
                size: size.or((index < last).then_some(3)).map(|size| InputNumber(size.into())),
                multiplier: InputNumber(multiplier),
            };
            Some(OverrideKind::Tiered(tiers.into_iter().enumerate().map(tier).collect()))
        }),
    ]
}

fn any_price() -> impl Strategy<Value = Price> {
    let widths = prop::collection::vec((1_i64..9, 0_i64..50), 0..4);
    (widths, 0_i64..50).prop_map(|(tiers, last)| {
        if tiers.is_empty() {
            return Price::Flat(last.into());
        }
        let tier = |(size, price): (i64, i64)| Tier {
            size: Some(InputNumber(size.into())),
            price: InputNumber(price.into()),
        };
        let last = Tier { size: None, price: InputNumber(last.into()) };
        Price::Tiered(tiers.into_iter().map(tier).chain([last]).collect())
    })
}

fn any_tags() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(TAGS.to_vec()), 0..3)
        .prop_map(|tags| tags.into_iter().map(str::to_owned).collect())
}

fn any_values() -> impl Strategy<Value = GroupValues> {
    let pair = (prop::sample::select(vec!["x", "y"]), prop::sample::select(vec!["1", "2"]));
    prop::collection::vec(pair, 0..3)
        .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

fn any_specifier() -> impl Strategy<Value = Specifier> {
    let ids = || {
        prop::collection::vec(0_u128..3, 0..2)
            .prop_map(|ids| ids.into_iter().map(Uuid::from_u128).collect::<Vec<_>>())
    };
    let exclude = prop::collection::vec(any_tags().prop_map(|product_tags| Exclusion { product_tags }), 0..2);
    (prop::option::of(0_u128..3), any_tags(), any_values(), any_values(), ids(), ids(), ids(), exclude)
        .prop_map(
            |(id, product_tags, pricing, presentation, commit_ids, recurring_commit_ids, any, exclude)| {
                Specifier {
                    product_id: id.map(product),
                    product_tags,
                    pricing_group_values: pricing,
                    presentation_group_values: presentation
                        .into_iter()
                        .map(|(key, value)| (key, Some(value)))
                        .collect(),
                    billing_frequency: None,
                    commit_ids,
                    recurring_commit_ids,
                    any_commit_or_credit_ids: any,
                    exclude,
                }
            },
        )
}

fn any_override() -> impl Strategy<Value = Override> {
    let targeting = (prop::option::of(0_u128..3), any_tags(), prop::collection::vec(any_specifier(), 0..3))
        .prop_map(|(id, applicable_product_tags, specifiers)| Targeting {
            product_id: id.map(product),
            applicable_product_tags,
            specifiers,
        });
    let window = (0_i64..4, prop::option::of(1_i64..4));
    let flags = (any::<bool>(), any::<bool>(), prop::option::of(any::<bool>()), prop::option::of(1_i64..4));
    (targeting, window, any_kind(), flags).prop_map(|(targeting, (start, length), kind, flags)| {
        let (is_commit_specific, targets_commit_rate, entitled, priority) = flags;
        Override {
            targeting,
            starting_at: day(start),
            ending_before: length.map(|length| day(start + length)),
            kind,
            entitled: entitled.filter(|_| !is_commit_specific),
            priority: priority.map(Into::into),
            is_commit_specific,
            target: if is_commit_specific && targets_commit_rate {
                RateTarget::CommitRate
            } else {
                RateTarget::ListRate
            },
            ..rule(0, OverrideKind::Multiplier(zero()))
        }
    })
}

fn any_overrides() -> impl Strategy<Value = Vec<Override>> {
    prop::collection::vec(any_override(), 0..8).prop_map(|overrides| {
        let numbered = (1..).zip(overrides).map(|(added, one)| Override {
            id: OverrideId(Uuid::from_u128(u128::try_from(added).expect("from 1"))),
            added,
            ..one
        });
        numbered.collect()
    })
}

fn any_line() -> impl Strategy<Value = Own> {
    (0_u128..3, any_tags(), any_values(), any_values()).prop_map(|(product, tags, pricing, presentation)| {
        Own {
            product,
            tags,
            pricing,
            presentation: presentation.into_iter().map(|(key, value)| (key, Some(value))).collect(),
            frequency: None,
        }
    })
}

fn any_drawn() -> impl Strategy<Value = Option<Drawn>> {
    prop::option::of((0_u128..3, any::<bool>(), prop::option::of(0_u128..3)).prop_map(
        |(id, is_credit, recurring)| Drawn {
            id: Uuid::from_u128(id),
            is_credit,
            recurring_id: recurring.map(Uuid::from_u128),
        },
    ))
}

/// Whether an override is aimed at a line, as the reference words it.
fn is_aimed(one: &Override, own: &Own, drawn: Option<&Drawn>) -> bool {
    let Targeting { product_id, applicable_product_tags, specifiers } = &one.targeting;
    if one.is_commit_specific && drawn.is_none() {
        return false;
    }
    if product_id.is_some_and(|id| id != product(own.product)) {
        return false;
    }
    if !applicable_product_tags.is_empty()
        && !own.tags.iter().any(|tag| applicable_product_tags.contains(tag))
    {
        return false;
    }
    if specifiers.is_empty() {
        return true;
    }
    for specifier in specifiers {
        let mut holds = specifier.product_id.is_none_or(|id| id == product(own.product));
        for tag in &specifier.product_tags {
            holds &= own.tags.contains(tag);
        }
        for (key, value) in &specifier.pricing_group_values {
            holds &= own.pricing.get(key).is_some_and(|own| own == value);
        }
        for (key, value) in &specifier.presentation_group_values {
            holds &= own.presentation.get(key).is_some_and(|own| own == value);
        }
        for Exclusion { product_tags } in &specifier.exclude {
            holds &= product_tags.is_empty() || product_tags.iter().any(|tag| !own.tags.contains(tag));
        }
        let Specifier { commit_ids, recurring_commit_ids, any_commit_or_credit_ids, .. } = specifier;
        if !(commit_ids.is_empty() && recurring_commit_ids.is_empty() && any_commit_or_credit_ids.is_empty())
        {
            let of_either: Vec<Uuid> =
                drawn.into_iter().flat_map(|drawn| [Some(drawn.id), drawn.recurring_id]).flatten().collect();
            let mut is_named = any_commit_or_credit_ids.iter().any(|id| of_either.contains(id));
            if let Some(drawn) = drawn.filter(|drawn| !drawn.is_credit) {
                is_named |= commit_ids.contains(&drawn.id);
                is_named |= recurring_commit_ids.iter().any(|id| Some(*id) == drawn.recurring_id);
            }
            holds &= is_named;
        }
        if holds {
            return true;
        }
    }
    false
}

/// The candidates in their order, by asking for the best of those that are left again and again.
fn ordered(mut candidates: Vec<&Override>, prioritization: Prioritization) -> Vec<&Override> {
    let smallest = |one: &Override| match &one.kind {
        Some(OverrideKind::Multiplier(multiplier)) => multiplier.clone(),
        Some(OverrideKind::Tiered(tiers)) => {
            tiers.iter().map(|tier| tier.multiplier.0.clone()).min().expect("tiers")
        }
        other => panic!("{other:?}"),
    };
    let is_overwrite = |one: &Override| matches!(one.kind, Some(OverrideKind::Overwrite(_)));
    let goes_before = |one: &Override, other: &Override| {
        if one.is_commit_specific != other.is_commit_specific {
            return one.is_commit_specific;
        }
        if is_overwrite(one) || is_overwrite(other) {
            return is_overwrite(one) && (!is_overwrite(other) || one.added > other.added);
        }
        if prioritization == Explicit && one.priority != other.priority {
            return match (&one.priority, &other.priority) {
                (Some(one), Some(other)) => one < other,
                (one, _) => one.is_some(),
            };
        }
        let (by_one, by_other) = (smallest(one), smallest(other));
        if by_one == by_other { one.added > other.added } else { by_one < by_other }
    };
    let mut order = Vec::new();
    while !candidates.is_empty() {
        let is_best = |one: &&Override| {
            candidates.iter().all(|other| other.added == one.added || goes_before(one, other))
        };
        let at = candidates.iter().position(is_best).expect("a total order");
        order.push(candidates.remove(at));
    }
    order
}

/// What the unit in the range (place - 1, place] costs.
fn price_at(price: &Price, place: i64) -> Decimal {
    cost(price, &place.into()) - cost(price, &(place - 1).into())
}

/// What that unit costs under overrides in their order: the first one prices it that covers it.
fn naive_price_at(base: &Price, order: &[&Override], place: i64) -> Decimal {
    let unit = Decimal::from(place);
    for one in order {
        match one.kind.as_ref().expect("a kind") {
            OverrideKind::Overwrite(rate) => return price_at(&rate.price, place),
            OverrideKind::Multiplier(multiplier) => return price_at(base, place) * multiplier,
            OverrideKind::Tiered(tiers) => {
                let mut start = zero();
                for tier in tiers {
                    let end = tier.size.as_ref().map(|size| &start + &size.0);
                    if end.as_ref().is_none_or(|end| end >= &unit) {
                        let listed: Decimal = price_at(base, place);
                        return listed * &tier.multiplier.0;
                    }
                    start = end.expect("a size");
                }
            }
        }
    }
    price_at(base, place)
}

proptest! {
    #[test]
    fn the_choice_is_the_definition(
        overrides in any_overrides(), line in any_line(), payer in any_drawn(), at in 0_i64..8, explicit: bool,
        at_commit_rate: bool, base in any_price(),
    ) {
        let prioritization = if explicit { Explicit } else { LowestMultiplier };
        let target = if at_commit_rate { RateTarget::CommitRate } else { RateTarget::ListRate };
        let candidates = overrides.iter().filter(|one| {
            one.kind.is_some() && one.target == target && one.starting_at <= day(at)
                && one.ending_before.is_none_or(|end| day(at) < end) && is_aimed(one, &line, payer.as_ref())
        });
        let order = ordered(candidates.collect(), prioritization);
        let chosen = choose(&overrides, &line.line(), day(at), prioritization, payer.as_ref(), target);
        let all: Vec<&Override> =
            chosen.chain.iter().copied().chain(chosen.lost.iter().map(|lost| lost.rate_override)).collect();
        prop_assert_eq!(&all, &order);

        let few = of_line(&overrides, &line.line());
        let among_few = choose(few, &line.line(), day(at), prioritization, payer.as_ref(), target);
        prop_assert_eq!(&among_few, &chosen);

        let effective = effective_price(&base, CreditType::usd().id, &chosen);
        for place in 1..40 {
            let (by_tiers, naive) = (price_at(&effective.price, place), naive_price_at(&base, &order, place));
            prop_assert_eq!(by_tiers, naive, "unit {} under {:?}", place, &effective);
        }
        let ranges = match &effective.price {
            Price::Tiered(tiers) => tiers.len(),
            _ => 1,
        };
        prop_assert_eq!(effective.sources.len(), ranges);
        for source in &effective.sources {
            prop_assert!(source.override_id.is_none_or(|id| chosen.chain.iter().any(|one| one.id == id)));
        }
    }

    #[test]
    fn entitlement_is_the_definition(
        overrides in any_overrides(), line in any_line(), at in 0_i64..8, card: bool,
    ) {
        let mut expected = card;
        for one in &overrides {
            let is_active = one.starting_at <= day(at) && one.ending_before.is_none_or(|end| day(at) < end);
            if let Some(entitled) = one.entitled && is_active && is_aimed(one, &line, None) {
                expected = entitled;
            }
        }
        prop_assert_eq!(entitlement(&overrides, &line.line(), day(at), card), expected);
    }

    #[test]
    fn nothing_changes_but_at_the_boundaries(
        overrides in any_overrides(), line in any_line(), payer in any_drawn(), at in 1_i64..8,
    ) {
        let boundaries = boundaries(&overrides);
        prop_assert!(boundaries.windows(2).all(|pair| pair[0] < pair[1]));
        let chosen = |at| choose(&overrides, &line.line(), day(at), Explicit, payer.as_ref(), RateTarget::ListRate);
        let entitled = |at| entitlement(&overrides, &line.line(), day(at), true);
        if !boundaries.contains(&day(at)) {
            prop_assert_eq!(chosen(at - 1), chosen(at));
            prop_assert_eq!(entitled(at - 1), entitled(at));
        }
    }

    #[test]
    fn a_stretch_is_as_long_as_nothing_changes(
        overrides in any_overrides(), line in any_line(), at in 0_i64..8, card: bool,
    ) {
        let applies = |at| {
            let chosen =
                choose(&overrides, &line.line(), day(at), Explicit, None, RateTarget::ListRate);
            let chain: Vec<i64> = chosen.chain.iter().map(|one| one.added).collect();
            (chain, entitlement(&overrides, &line.line(), day(at), card))
        };
        let stretch = stretch_at(&overrides, &line.line(), day(at), Explicit, card);
        let first = (-1..=at).rev().take_while(|earlier| applies(*earlier) == applies(at)).last();
        let first = first.filter(|first| *first >= 0).map(day);
        prop_assert_eq!(stretch.start, first);
        let beyond = (at..12).find(|later| applies(*later) != applies(at)).map(day);
        prop_assert_eq!(stretch.end, beyond);
        let chain: Vec<i64> = stretch.chosen.chain.iter().map(|one| one.added).collect();
        prop_assert_eq!((chain, stretch.entitled), applies(at));
    }

    #[test]
    fn a_multiplier_of_one_is_neutral(base in any_price(), quantity in 0_i64..60) {
        let neutral = [rule(1, times("1"))];
        let chosen = of_contract(&neutral, &own(), LowestMultiplier);
        let effective = effective_price(&base, CreditType::usd().id, &chosen);
        prop_assert_eq!(cost(&effective.price, &quantity.into()), cost(&base, &quantity.into()));
        prop_assert_eq!(effective.price, base);
    }

    #[test]
    fn the_order_of_the_list_is_nothing(
        mut overrides in any_overrides(), line in any_line(), payer in any_drawn(), explicit: bool,
    ) {
        let prioritization = if explicit { Explicit } else { LowestMultiplier };
        let prices = |overrides: &[Override]| {
            let line = line.line();
            let chosen = choose(overrides, &line, day(2), prioritization, payer.as_ref(), RateTarget::ListRate);
            chosen.chain.iter().map(|one| one.added).collect::<Vec<_>>()
        };
        let before = prices(&overrides);
        overrides.reverse();
        prop_assert_eq!(prices(&overrides), before);
    }
}

#[test]
fn many_overrides_of_one_product_are_narrowed_once() {
    let combination =
        |number: usize| -> BTreeMap<String, String> { [("model".to_owned(), format!("m{number}"))].into() };
    let overrides: Vec<Override> = (0..500_usize)
        .map(|number| Override {
            targeting: Targeting {
                specifiers: vec![Specifier {
                    pricing_group_values: combination(number),
                    ..Specifier::default()
                }],
                ..Targeting::default()
            },
            ..rule(i64::try_from(number).expect("small"), overwrite("5"))
        })
        .collect();
    let line = Own { pricing: combination(7), ..own() };
    let few = of_line(&overrides, &line.line());
    assert_eq!(few.len(), 1);
    assert_eq!(unit_price(&flat("100"), &of_contract(&overrides, &line, LowestMultiplier)), "5");
}
