//! Aggregates that merge.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::catalog::billable_metric::AggregationType;
use crate::money::{Decimal, zero};
use crate::time::Instant;

/// The value on the newest event. Of equal timestamps the later arrival wins (our decision).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Latest {
    pub happened_at: Instant,
    pub seq: i64,
    pub value: Decimal,
}

/// What any aggregation needs to know about a set of events; tallies of disjoint sets merge into that of their
/// union.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub event_count: i64,
    pub total: Option<Decimal>,
    pub greatest: Option<Decimal>,
    /// (Few have one, and there may be a hundred thousand tallies.)
    pub latest: Option<Box<Latest>>,
    pub uniques: BTreeSet<Uuid>,
}

impl Tally {
    pub fn add(&mut self, number: Decimal) {
        match &mut self.total {
            Some(total) => *total += number,
            None => self.total = Some(number),
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.event_count += other.event_count;
        if let Some(total) = &other.total {
            self.total = Some(self.total.take().unwrap_or_else(zero) + total);
        }
        self.greatest = self.greatest.take().max(other.greatest.clone());
        self.latest = self.latest.take().max(other.latest.clone());
        self.uniques.extend(&other.uniques);
    }

    /// The quantity of the events under an aggregation; 0 where there is none.
    #[must_use]
    pub fn quantity(&self, aggregation: AggregationType) -> Decimal {
        match aggregation {
            AggregationType::Count => Decimal::from(self.event_count),
            AggregationType::Sum => self.total.clone().unwrap_or_else(zero),
            AggregationType::Max => self.greatest.clone().unwrap_or_else(zero),
            AggregationType::Unique => Decimal::from(self.uniques.len() as u64),
            AggregationType::Latest => self.latest.as_ref().map_or_else(zero, |latest| latest.value.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;

    use super::*;
    use crate::id::digest;

    /// A reading of `value` by `user` on a day.
    fn reading(day: i64, seq: i64, value: i64, user: &str) -> Tally {
        let value = Decimal::from(value);
        let happened_at = DateTime::UNIX_EPOCH + TimeDelta::days(day);
        Tally {
            event_count: 1,
            total: Some(value.clone()),
            greatest: Some(value.clone()),
            latest: Some(Box::new(Latest { happened_at, seq, value })),
            uniques: [digest(&[user.as_bytes()])].into(),
        }
    }

    fn merged<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> Tally {
        let mut sum = Tally::default();
        for tally in tallies {
            sum.merge(tally);
        }
        sum
    }

    #[test]
    fn five_aggregations_of_one_data_set() {
        let days = [
            merged([&reading(1, 1, 4, "A"), &reading(1, 2, 9, "B")]),
            merged([&reading(2, 3, 7, "A")]),
            Tally::default(),
            merged([&reading(4, 4, 6, "C"), &reading(4, 5, 11, "A")]),
        ];
        let cases = [
            (AggregationType::Count, [2, 3, 3, 5]),
            (AggregationType::Sum, [13, 20, 20, 37]),
            (AggregationType::Max, [9, 9, 9, 11]),
            (AggregationType::Unique, [2, 2, 2, 3]),
            (AggregationType::Latest, [9, 7, 7, 11]),
        ];
        for (aggregation, expected) in cases {
            let so_far: Vec<Decimal> =
                (1..=4).map(|day| merged(&days[..day]).quantity(aggregation)).collect();
            assert_eq!(so_far, expected.map(Decimal::from), "{aggregation:?}");
        }
    }

    proptest! {
        #[test]
        fn any_split_in_any_order_merges_to_the_whole(
            (readings, shuffled) in prop::collection::vec((0_i64..5, 0_i64..100, -50_i64..50, "[a-c]"), 0..12)
                .prop_flat_map(|readings| (Just(readings.clone()), Just(readings).prop_shuffle())),
            parts in prop::collection::vec(0_usize..4, 12),
        ) {
            let tally = |(day, seq, value, user): &(i64, i64, i64, String)| reading(*day, *seq, *value, user);
            let whole = merged(&readings.iter().map(tally).collect::<Vec<_>>());
            let part = |part: usize| {
                let own = shuffled.iter().zip(&parts).filter(|(_, other)| **other == part);
                merged(&own.map(|(reading, _)| tally(reading)).collect::<Vec<_>>())
            };
            prop_assert_eq!(&merged(&[part(2), part(0), part(3), part(1)]), &whole);

            let values = readings.iter().map(|(_, _, value, _)| Decimal::from(*value));
            let users: BTreeSet<&String> = readings.iter().map(|(_, _, _, user)| user).collect();
            let newest = readings.iter().max_by_key(|(day, seq, value, _)| (*day, *seq, *value));
            let expected = [
                (AggregationType::Count, Decimal::from(readings.len() as u64)),
                (AggregationType::Sum, values.clone().sum()),
                (AggregationType::Max, values.max().unwrap_or_else(zero)),
                (AggregationType::Unique, Decimal::from(users.len() as u64)),
                (AggregationType::Latest, newest.map_or_else(zero, |(_, _, value, _)| Decimal::from(*value))),
            ];
            for (aggregation, expected) in expected {
                prop_assert_eq!(whole.quantity(aggregation), expected, "{:?}", aggregation);
            }
        }
    }
}
