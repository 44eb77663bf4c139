//! The order of a card's products. Pure.

use std::collections::BTreeSet;

use crate::id::ProductId;

/// The listed products first, in the order of the list; the others behind, in the order that they had (our
/// decision: the documentation does not say what becomes of them).
///
/// Every listed product is one of `current`, and is listed once.
#[must_use]
pub fn listed_first(current: &[ProductId], listed: &[ProductId]) -> Vec<ProductId> {
    let is_listed: BTreeSet<&ProductId> = listed.iter().collect();
    let others = current.iter().filter(|product| !is_listed.contains(product));
    listed.iter().chain(others).copied().collect()
}

/// Takes the product at `from` out and puts it back at `to`; a place beyond the end is the last one.
///
/// `from` is a place in `order`.
pub fn move_product(order: &mut Vec<ProductId>, from: usize, to: usize) {
    let product = order.remove(from);
    order.insert(to.min(order.len()), product);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn products(numbers: &[u128]) -> Vec<ProductId> {
        numbers.iter().map(|number| ProductId(Uuid::from_u128(*number))).collect()
    }

    #[test]
    fn the_unlisted_stay_behind_in_their_order() {
        let current = products(&[1, 2, 3, 4]);
        assert_eq!(listed_first(&current, &products(&[4, 2])), products(&[4, 2, 1, 3]));
        assert_eq!(listed_first(&current, &[]), current);
        assert_eq!(listed_first(&current, &products(&[3, 4, 1, 2])), products(&[3, 4, 1, 2]));
    }

    #[test]
    fn a_move_is_a_removal_and_then_an_insertion() {
        for (from, to, expected) in [
            (0, 2, [2, 3, 1, 4]),
            (3, 0, [4, 1, 2, 3]),
            (1, 1, [1, 2, 3, 4]),
            (0, 3, [2, 3, 4, 1]),
            (0, 4, [2, 3, 4, 1]),
            (0, usize::MAX, [2, 3, 4, 1]),
        ] {
            let mut order = products(&[1, 2, 3, 4]);
            move_product(&mut order, from, to);
            assert_eq!(order, products(&expected), "{from} to {to}");
        }
    }

    proptest! {
        #[test]
        fn no_product_is_lost_or_doubled(
            count in 1_u128..8, listed in prop::collection::btree_set(0_u128..8, 0..8),
            moves in prop::collection::vec((any::<usize>(), any::<usize>()), 0..8),
        ) {
            let current = products(&(0..count).collect::<Vec<_>>());
            let listed = products(&listed.into_iter().filter(|number| *number < count).rev().collect::<Vec<_>>());
            let mut order = listed_first(&current, &listed);
            for (from, to) in moves {
                let from = from % order.len();
                let product = order[from];
                move_product(&mut order, from, to);
                prop_assert_eq!(order[to.min(order.len() - 1)], product);
            }
            order.sort_unstable();
            prop_assert_eq!(order, current);
        }
    }
}
