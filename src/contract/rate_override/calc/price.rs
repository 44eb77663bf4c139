//! What all forms of a price have in common.

use crate::catalog::rate::{Price, Tier};
use crate::money::{Decimal, InputNumber};

/// The one price, where there is one.
pub fn single(price: &Price) -> Option<&Decimal> {
    match price {
        Price::Flat(price) => Some(price),
        Price::Tiered(_) => None,
    }
}

/// The tiers, where there are any.
pub fn tiers(price: &Price) -> Option<&[Tier]> {
    match price {
        Price::Flat(_) => None,
        Price::Tiered(tiers) => Some(tiers),
    }
}

/// Whether a least charge is set.
pub fn has_minimum(price: &Price) -> bool {
    match price {
        Price::Flat(_) | Price::Tiered(_) => false,
    }
}

/// The price with each of its prices changed; what else it says stays.
pub fn map_prices(price: &Price, change: impl Fn(&Decimal) -> Decimal) -> Price {
    let of_tier = |tier: &Tier| Tier { size: tier.size.clone(), price: InputNumber(change(&tier.price.0)) };
    match price {
        Price::Flat(price) => Price::Flat(change(price)),
        Price::Tiered(tiers) => Price::Tiered(tiers.iter().map(of_tier).collect()),
    }
}

/// A price by these tiers that is in all else like another one.
pub fn with_tiers(form: &Price, tiers: Vec<Tier>) -> Price {
    match form {
        Price::Flat(_) | Price::Tiered(_) => Price::Tiered(tiers),
    }
}
