//! From a schedule to its items. Pure.

use crate::casing::wire_enum;
use crate::money::{Decimal, allocate, allocate_whole};
use crate::time::Instant;

wire_enum! {
    /// What the amount of a recurring schedule means.
    pub enum AmountDistribution {
        /// It is split evenly; the last item takes what a division leaves.
        Divided = "DIVIDED",
        /// It is split into whole units (cents, in USD); the last item takes the remainder.
        DividedRounded = "DIVIDED_ROUNDED",
        /// It is the amount of every item.
        Each = "EACH",
    }
}

/// What one item costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemPrice {
    pub unit_price: Decimal,
    pub quantity: Decimal,
}

impl ItemPrice {
    /// An amount is the price of one (schema `SchedulePointInTimeInput`).
    #[must_use]
    pub fn of_amount(amount: Decimal) -> Self {
        Self { unit_price: amount, quantity: Decimal::from(1) }
    }

    /// `unit_price × quantity`, exact.
    #[must_use]
    pub fn amount(&self) -> Decimal {
        (&self.unit_price * &self.quantity).normalized()
    }
}

/// An item of a schedule, before it has an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedItem {
    pub dated_at: Instant,
    pub price: ItemPrice,
}

/// The items of a recurring schedule.
///
/// A part of a divided amount is the price of one, whatever the quantity was: the amounts are what must sum, and few
/// of them are a whole number of times any unit price (our decision). So is that parts are never rounded up and that what is
/// rounded is whole units: the documentation names both distributions and defines neither.
#[must_use]
pub fn distribute(
    dates: &[Instant],
    price: &ItemPrice,
    distribution: AmountDistribution,
) -> Vec<PlannedItem> {
    if dates.is_empty() {
        return Vec::new();
    }
    let prices = match distribution {
        AmountDistribution::Each => vec![price.clone(); dates.len()],
        AmountDistribution::Divided => parts(allocate(&price.amount(), dates.len())),
        AmountDistribution::DividedRounded => parts(allocate_whole(&price.amount(), dates.len())),
    };
    dates.iter().zip(prices).map(|(&dated_at, price)| PlannedItem { dated_at, price }).collect()
}

fn parts(amounts: Vec<Decimal>) -> Vec<ItemPrice> {
    amounts.into_iter().map(ItemPrice::of_amount).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::{plain, zero};
    use crate::time::RecurringFrequency;

    fn months(count: i64) -> Vec<Instant> {
        let at = |seconds| chrono::DateTime::from_timestamp(seconds, 0).expect("in range");
        let dates: Vec<Instant> = RecurringFrequency::Monthly
            .occurrences(at(0), at(0) + chrono::TimeDelta::days(31 * count))
            .collect();
        dates[..usize::try_from(count).expect("a count")].to_vec()
    }

    fn shown(items: &[PlannedItem]) -> Vec<String> {
        let one = |item: &PlannedItem| {
            format!("{} × {}", plain(&item.price.quantity), plain(&item.price.unit_price))
        };
        items.iter().map(one).collect()
    }

    #[test]
    fn contracts_17_distribution() {
        let price = ItemPrice::of_amount(100_000.into());
        let items = |distribution| shown(&distribute(&months(3), &price, distribution));
        assert_eq!(items(AmountDistribution::Each), ["1 × 100000"; 3]);
        assert_eq!(
            items(AmountDistribution::Divided),
            [
                "1 × 33333.33333333333333333333",
                "1 × 33333.33333333333333333333",
                "1 × 33333.33333333333333333334"
            ]
        );
        assert_eq!(items(AmountDistribution::DividedRounded), ["1 × 33333", "1 × 33333", "1 × 33334"]);
    }

    #[test]
    fn only_whole_amounts_keep_their_quantity() {
        let price = ItemPrice { unit_price: 100.into(), quantity: 7.into() };
        let items = |distribution| shown(&distribute(&months(2), &price, distribution));
        assert_eq!(items(AmountDistribution::Each), ["7 × 100"; 2]);
        assert_eq!(items(AmountDistribution::Divided), ["1 × 350"; 2]);
        assert!(distribute(&[], &price, AmountDistribution::Divided).is_empty());
    }

    proptest! {
        #[test]
        fn the_items_of_a_divided_amount_sum_to_it(
            price: i64, price_scale in 0_i64..28, quantity: i64, quantity_scale in 0_i64..28, count in 1_i64..200,
        ) {
            let price = ItemPrice {
                unit_price: Decimal::new(price.into(), price_scale),
                quantity: Decimal::new(quantity.into(), quantity_scale),
            };
            for distribution in [AmountDistribution::Divided, AmountDistribution::DividedRounded] {
                let items = distribute(&months(count), &price, distribution);
                let sum = items.iter().fold(zero(), |sum, item| sum + item.price.amount());
                prop_assert_eq!(sum, price.amount());
            }
        }
    }
}
