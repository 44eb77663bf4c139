//! What a balance pays for of a range.

use std::borrow::Cow;

use crate::catalog::rate::Price;
use crate::contract::balance::AccessType;
use crate::money::{CreditType, Decimal, divide, is_positive, zero};
use crate::rating::calc::{Charge, Paid, Payer, cost, slices};

/// A range of units that are to be paid for, and what they cost where nothing pays.
#[derive(Clone, Debug)]
pub struct Due<'p> {
    pub from: Decimal,
    pub to: Decimal,
    /// What it costs where nothing pays: exact, whatever the quantity.
    pub worth: Decimal,
    pub listed: &'p Price,
    pub unit: &'p CreditType,
}

impl Due<'_> {
    /// Goes on behind what is paid for.
    pub fn advance(&mut self, paid: &Paid<'_>) {
        self.from.clone_from(&paid.to);
        self.worth -= &paid.listed;
    }
}

/// What a balance with `available` left pays for, from the start of the range on, at the price while it is drawn: all of it, or
/// as many units as it is worth, of which the last may be a part. What is drawn is exact; the units follow from it. A balance of
/// quantities pays for as many units as are left of it, whatever they cost.
///
/// Nothing where nothing is left or the range costs nothing either way (documentation page on zero overages; of quantities it is
/// our decision: what is free anyway uses up nothing). Units that are free only while it is drawn are paid by it, for nothing or
/// for as many units.
#[must_use]
pub fn cover<'a>(
    due: &Due<'_>,
    payer: Payer,
    (access_type, available): (AccessType, &Decimal),
    price: Cow<'a, Price>,
    unit: &'a CreditType,
) -> Option<Paid<'a>> {
    let is_same = *due.listed == *price && due.unit == unit;
    let is_free = |price: &Price| !is_positive(&cost(price, &due.from, &due.to));
    if due.to <= due.from || !is_positive(available) || (is_free(&price) && (is_same || is_free(due.listed)))
    {
        return None;
    }
    let mut left = available.clone();
    let mut at = due.from.clone();
    let mut charges = Vec::new();
    for slice in slices(&price, &due.from, &due.to) {
        if !is_positive(&left) {
            break;
        }
        // At the price of the range there is one slice.
        let value = if is_same { due.worth.clone() } else { &slice.quantity * &slice.price };
        let asked = match access_type {
            AccessType::Spend => &value,
            AccessType::Quantity => &slice.quantity,
        };
        let (quantity, total, drawn) = if *asked <= left {
            (slice.quantity.clone(), value.clone(), asked.clone())
        } else {
            let (quantity, total) = match access_type {
                AccessType::Spend => (divide(&left, &slice.price).min(slice.quantity.clone()), left.clone()),
                // (What is due may be less than its units come to, where what is paid before was rounded to the last digit.)
                AccessType::Quantity => (left.clone(), (&left * &slice.price).min(value.clone())),
            };
            (quantity, total, left.clone())
        };
        let is_whole = quantity == slice.quantity;
        if !is_whole && !is_positive(&drawn) {
            break;
        }
        left -= &drawn;
        at += &quantity;
        charges.push(Charge {
            quantity: Cow::Owned(quantity),
            unit_price: Cow::Owned(slice.price),
            total,
            tier: slice.position.map(Box::new),
            payer: Some(payer),
        });
        if !is_whole {
            break;
        }
    }
    if charges.is_empty() {
        return None;
    }
    let listed = if is_same {
        charges.iter().fold(zero(), |sum, charge| sum + &charge.total)
    } else if at == due.to {
        due.worth.clone()
    } else {
        cost(due.listed, &due.from, &at)
    };
    let drawn = available - left;
    Some(Paid { payer, from: due.from.clone(), to: at, drawn, price, unit, charges, listed })
}
