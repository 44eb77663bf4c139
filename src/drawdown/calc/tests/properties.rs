//! What must hold of every drawdown, whatever the terms.

use proptest::prelude::*;

use super::world::*;
use crate::catalog::rate::Price;
use crate::contract::balance::{AccessType, Balance, BalanceType};
use crate::id::ProductId;
use crate::money::{Decimal, zero};

#[derive(Clone, Debug)]
struct Grant {
    amount: i64,
    tenths: i64,
    priority: Option<i64>,
    period: (i64, i64),
    balance_type: BalanceType,
    is_paid: bool,
    products: Vec<usize>,
    is_of_customer: bool,
    at_commit_rate: bool,
    access_type: AccessType,
}

fn any_grant() -> impl Strategy<Value = Grant> {
    let balance_type =
        prop_oneof![Just(BalanceType::Prepaid), Just(BalanceType::Postpaid), Just(BalanceType::Credit)];
    (
        (0_i64..600, 0_i64..10),
        prop::option::of(1_i64..3),
        (-5..END, 1_i64..40),
        balance_type,
        any::<[bool; 4]>(),
        prop::collection::vec(0_usize..3, 0..3),
    )
        .prop_map(|((amount, tenths), priority, (start, length), balance_type, flags, products)| Grant {
            amount,
            tenths,
            priority,
            period: (start, start + length),
            balance_type,
            is_paid: flags[0],
            products,
            is_of_customer: flags[1],
            at_commit_rate: flags[2],
            access_type: match balance_type {
                BalanceType::Prepaid | BalanceType::Credit if flags[3] => AccessType::Quantity,
                _ => AccessType::Spend,
            },
        })
}

/// An hour, a product and a quantity.
type Event = (i64, usize, i64);

fn any_price() -> impl Strategy<Value = Price> {
    let tiers = prop::collection::vec((1_i64..20, 0_i64..9), 1..4);
    prop_oneof![(0_i64..9).prop_map(flat), tiers.prop_map(|tiers| tiered(&tiers))]
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec((0..END, 0_usize..3, 1_i64..30), 0..12)
}

fn world(prices: &[(Price, Price)], grants: &[Grant], events: &[Event], with_commit_rates: bool) -> World {
    let mut world = World::new();
    let products: Vec<ProductId> = ["One", "Two", "Three"]
        .iter()
        .zip(prices)
        .map(|(name, (price, commit_rate))| {
            let product = world.usage_product(name, price.clone());
            let commit_rate = Some(commit_rate.clone()).filter(|_| with_commit_rates);
            world.change_rates(product, |entry| entry.commit_rate.clone_from(&commit_rate));
            product
        })
        .collect();
    for (at, product, quantity) in events {
        world.use_of(products[*product], *at, *quantity);
    }
    for (number, grant) in grants.iter().enumerate() {
        let mut one = balance(&format!("balance {number}"), grant.balance_type, 0);
        one.terms.segments[0].amount =
            crate::money::Number(Decimal::from(grant.amount) + Decimal::new(grant.tenths.into(), 1));
        one = one.during(grant.period.0, grant.period.1);
        if let Some(priority) = grant.priority {
            one = one.priority(priority);
        }
        if grant.is_paid {
            one = one.paid(1);
        }
        if grant.is_of_customer {
            one = one.of_customer();
        }
        if grant.at_commit_rate {
            one = one.at_commit_rate();
        }
        if grant.access_type == AccessType::Quantity {
            one = one.of_units();
        }
        let products: Vec<ProductId> = grant.products.iter().map(|number| products[*number]).collect();
        world.grant(one.on(&products));
    }
    world
}

/// By product, without what is zero.
fn plainly(amounts: &std::collections::BTreeMap<ProductId, Decimal>) -> Vec<(ProductId, Decimal)> {
    let amounts = amounts.iter().filter(|(_, amount)| **amount != zero());
    amounts.map(|(product, amount)| (*product, amount.normalized())).collect()
}

proptest! {
    #[test]
    fn what_is_covered_and_what_remains_is_the_whole(
        prices in prop::collection::vec((any_price(), any_price()), 3),
        grants in prop::collection::vec(any_grant(), 0..5), events in any_events(),
    ) {
        let world = world(&prices, &grants, &events, false);
        let bill = world.bill();
        prop_assert_eq!(plainly(&bill.gross), plainly(&world.unpaid()));
        let mut quantities = std::collections::BTreeMap::new();
        for used in &world.used {
            *quantities.entry(used.product_id).or_insert_with(zero) += &used.quantity;
        }
        prop_assert_eq!(plainly(&bill.quantities), plainly(&quantities));
    }

    #[test]
    fn what_is_drawn_is_what_is_covered_and_quantities_stay_the_whole_at_any_price(
        prices in prop::collection::vec((any_price(), any_price()), 3),
        grants in prop::collection::vec(any_grant(), 0..5), events in any_events(),
    ) {
        let world = world(&prices, &grants, &events, true);
        // That none is drawn beyond what it has, or below zero, the bill asserts itself.
        let bill = world.bill();
        let of_units = |name: &str| world.balances.iter().any(|balance| {
            balance.terms.name.as_deref() == Some(name) && balance.access_type == AccessType::Quantity
        });
        let sum = |is_of_units: bool| -> Decimal {
            let own = bill.drawn.iter().filter(|(name, _)| of_units(name) == is_of_units);
            own.map(|(_, drawn)| drawn).sum()
        };
        prop_assert_eq!([sum(false), sum(true)], [bill.covered.clone(), bill.covered_units.clone()]);
        let mut quantities = std::collections::BTreeMap::new();
        for used in &world.used {
            *quantities.entry(used.product_id).or_insert_with(zero) += &used.quantity;
        }
        prop_assert_eq!(plainly(&bill.quantities), plainly(&quantities));
        let postpaid: Decimal = bill.drawn.iter()
            .filter(|(name, _)| world.balances.iter().any(|balance| {
                balance.terms.name.as_ref() == Some(name) && balance.balance_type == BalanceType::Postpaid
            }))
            .map(|(_, drawn)| drawn)
            .sum();
        let gross: Decimal = bill.gross.values().sum();
        let given = bill.covered + bill.worth_of_units;
        prop_assert_eq!(bill.total, (gross - given + postpaid).normalized());
    }

    #[test]
    fn the_order_in_which_balances_come_changes_nothing(
        prices in prop::collection::vec((any_price(), any_price()), 3),
        grants in prop::collection::vec(any_grant(), 0..6), events in any_events(), turn in 0_usize..6,
    ) {
        let mut world = world(&prices, &grants, &events, true);
        let bill = world.bill();
        let places = world.balances.len().max(1);
        world.balances.rotate_left(turn % places);
        prop_assert_eq!(&world.bill(), &bill);
        world.balances.reverse();
        prop_assert_eq!(world.bill(), bill);
    }

    #[test]
    fn without_balances_everything_is_due(
        prices in prop::collection::vec((any_price(), any_price()), 3), events in any_events(),
    ) {
        let mut world = world(&prices, &[], &events, true);
        let bill = world.bill();
        prop_assert_eq!(plainly(&bill.gross), plainly(&world.unpaid()));
        prop_assert_eq!(bill.total.clone(), bill.gross.values().sum::<Decimal>().normalized());
        let archived = |balance: Balance| Balance { archived_at: Some(hour(0)), ..balance };
        world.grant(archived(credit("Archived", 1000).during(0, 3)));
        prop_assert_eq!(world.bill(), bill);
    }

    #[test]
    fn cutting_elsewhere_as_well_changes_nothing(
        prices in prop::collection::vec((any_price(), any_price()), 3),
        grants in prop::collection::vec(any_grant(), 0..5), events in any_events(),
        more in prop::collection::vec(0..END, 0..6),
    ) {
        let mut world = world(&prices, &grants, &events, true);
        let bill = world.bill();
        world.more = more;
        prop_assert_eq!(world.bill(), bill);
    }
}
