//! Legacy subscription rates: a price for every contract on the card.

use std::sync::Arc;

use super::price::pricings;
use super::quantity::Combination;
use super::stretch::{Basis, Stretch, Subscribed};
use crate::catalog::rate::Price;
use crate::contract::Statement;
use crate::contract::rate_override::calc::map_prices;
use crate::money::{Decimal, divide};
use crate::rating::terms::{Agreement, ProductTerms};
use crate::time::{Instant, Period};

/// The charge of a SUBSCRIPTION rate for the time of a statement: price × quantity for a whole billing period, and of a
/// part of one the part of its price (schema `AddRatePayload`: prorated). A billing period has the rate that is in force
/// when it begins (documentation page on subscriptions); one that is not entitled then is not charged.
#[must_use]
pub fn subscription_stretch<'a>(agreement: &Agreement<'a>, product: &'a ProductTerms) -> Option<Stretch<'a>> {
    let statement = &agreement.statement;
    let combination = Arc::new(Combination::default());
    let period = Period { start: statement.from, end: statement.counted.end };
    let (first, pricing) =
        pricings(agreement, product, &combination, statement.counted).into_iter().next()?;
    if first.start != statement.counted.start {
        return None;
    }
    // An override may change the quantity, or price it in ranges; without one the quantity is the card's.
    let ((Price::Subscription { quantity, .. }, _)
    | (Price::Tiered(_), Price::Subscription { quantity, .. })) = (pricing.price(), &pricing.entry.price)
    else {
        return None;
    };
    let price = prorated_price(pricing.price(), statement);
    let is_prorated = period != statement.calendar;
    let subscribed = Subscribed { quantity: quantity.clone(), price, is_prorated };
    let basis = Basis::Subscription(Box::new(subscribed));
    Some(Stretch { product, combination, period, pricing, basis, paid: Vec::new() })
}

/// A price for the statement's part of the billing period.
#[must_use]
pub fn prorated_price(price: &Price, statement: &Statement) -> Price {
    map_prices(price, |price| prorated(price, statement))
}

/// The price of the statement's part of the billing period, by its length: what is due until its end without what is due
/// until its start, so that the statements of one period sum to what one would bill.
fn prorated(price: &Decimal, statement: &Statement) -> Decimal {
    let Statement { calendar, counted, from } = *statement;
    let seconds = |start: Instant, end: Instant| Decimal::from((end - start).num_seconds());
    let until =
        |end: Instant| divide(&(price * seconds(counted.start, end)), &seconds(calendar.start, calendar.end));
    until(counted.end) - until(from)
}
