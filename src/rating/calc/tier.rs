//! Graduated tiers.

use crate::catalog::rate::Tier;
use crate::money::{Decimal, InputNumber, zero};

/// Which tier a line is in (schema `TierMetadata`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierPosition {
    /// From 1 (our decision: no source shows a level).
    pub level: u32,
    /// Units before this tier.
    pub starting_at: Decimal,
    /// Units in this tier; unset on the last.
    pub size: Option<Decimal>,
}

/// The part of a quantity that has one price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierSlice {
    /// Unset where the price has no tiers.
    pub position: Option<TierPosition>,
    pub quantity: Decimal,
    pub price: Decimal,
}

/// Splits the move of the counter from `before` to `after` over the tiers; tier k holds (L, L + size]. A
/// counter that falls walks the same tiers down, with negative quantities. Tiers without a part of it are left
/// out; a move of nothing lies in the first.
#[must_use]
pub fn walk_tiers(tiers: &[Tier], before: &Decimal, after: &Decimal) -> Vec<TierSlice> {
    let (low, high) = (before.min(after), before.max(after));
    let mut slices = Vec::new();
    let mut start = zero();
    for (level, tier) in (1..).zip(tiers) {
        let size = tier.size.as_ref().map(|InputNumber(size)| size.clone());
        let end = size.as_ref().map(|size| &start + size);
        // The first tier also holds what lies below zero, where a falling metric may lead.
        let from = if level == 1 { low } else { low.max(&start) };
        let to = end.as_ref().map_or(high, |end| high.min(end));
        let inside = if to > from { to - from } else { zero() };
        let quantity = if after < before { -inside } else { inside };
        let position = Some(TierPosition { level, starting_at: start, size });
        slices.push(TierSlice { position, quantity, price: tier.price.0.clone() });
        match end {
            Some(end) => start = end,
            None => break,
        }
    }
    if slices.iter().all(|slice| slice.quantity == zero()) {
        slices.truncate(1);
    } else {
        slices.retain(|slice| slice.quantity != zero());
    }
    slices
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tiers(sizes: &[Option<i64>], prices: &[i64]) -> Vec<Tier> {
        let tier = |(size, price): (&Option<i64>, &i64)| Tier {
            size: size.map(|size| InputNumber(Decimal::from(size))),
            price: InputNumber(Decimal::from(*price)),
        };
        sizes.iter().zip(prices).map(tier).collect()
    }

    fn walk(tiers: &[Tier], before: i64, after: i64) -> Vec<(u32, Decimal)> {
        let slices = walk_tiers(tiers, &Decimal::from(before), &Decimal::from(after));
        slices.into_iter().map(|slice| (slice.position.expect("a tier").level, slice.quantity)).collect()
    }

    fn cost(slices: &[TierSlice]) -> Decimal {
        slices.iter().map(|slice| &slice.quantity * &slice.price).sum()
    }

    #[test]
    fn the_upper_bound_belongs_to_the_tier() {
        let tiers = tiers(&[Some(5), Some(5), None], &[0, 100, 150]);
        assert_eq!(walk(&tiers, 0, 5), [(1, 5.into())]);
        assert_eq!(walk(&tiers, 0, 6), [(1, 5.into()), (2, 1.into())]);
        assert_eq!(walk(&tiers, 0, 12), [(1, 5.into()), (2, 5.into()), (3, 2.into())]);
        assert_eq!(walk(&tiers, 7, 7), [(1, 0.into())]);
    }

    #[test]
    fn a_falling_counter_walks_down() {
        let tiers = tiers(&[Some(5), Some(5), None], &[0, 100, 150]);
        assert_eq!(walk(&tiers, 12, 4), [(1, (-1).into()), (2, (-5).into()), (3, (-2).into())]);
        assert_eq!(walk(&tiers, 2, -3), [(1, (-5).into())]);
    }

    proptest! {
        #[test]
        fn walking_in_steps_is_walking_at_once(
            sizes in prop::collection::vec(1_i64..20, 0..4), stops in prop::collection::vec(-5_i64..80, 1..6),
        ) {
            let sizes: Vec<Option<i64>> = sizes.into_iter().map(Some).chain([None]).collect();
            let tiers = tiers(&sizes, &[7, 5, 3, 2, 1]);
            let mut at = zero();
            let mut in_steps = zero();
            for stop in stops {
                let stop = Decimal::from(stop);
                in_steps += cost(&walk_tiers(&tiers, &at, &stop));
                at = stop;
            }
            prop_assert_eq!(in_steps, cost(&walk_tiers(&tiers, &zero(), &at)));
        }
    }
}
