//! What all forms of a price have in common.

use crate::catalog::rate::{Price, Tier};
use crate::money::{Decimal, InputNumber};

/// The price with each of its prices changed; what else it says stays.
pub fn map_prices(price: &Price, change: impl Fn(&Decimal) -> Decimal) -> Price {
    let of_tier = |tier: &Tier| Tier { size: tier.size.clone(), price: InputNumber(change(&tier.price.0)) };
    let mut changed = price.clone();
    match &mut changed {
        Price::Flat(price)
        | Price::Percentage { fraction: price, .. }
        | Price::Subscription { price, .. } => {
            *price = change(price);
        }
        Price::Tiered(tiers) | Price::TieredPercentage { tiers, .. } => {
            *tiers = tiers.iter().map(of_tier).collect();
        }
    }
    changed
}

/// A price by these tiers that is in all else like another one.
pub fn with_tiers(form: &Price, tiers: Vec<Tier>) -> Price {
    match form {
        Price::Percentage { minimum, use_list_prices, .. }
        | Price::TieredPercentage { minimum, use_list_prices, .. } => {
            Price::TieredPercentage { tiers, minimum: minimum.clone(), use_list_prices: *use_list_prices }
        }
        Price::Flat(_) | Price::Tiered(_) | Price::Subscription { .. } => Price::Tiered(tiers),
    }
}
