//! Aggregates that merge, and the increments that a bill is made of.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use uuid::Uuid;

use crate::catalog::billable_metric::AggregationType;
use crate::money::{Overflow, add, subtract};
use crate::time::Instant;

/// The value on the newest event. Of equal timestamps the later arrival wins (our decision).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    pub latest: Option<Latest>,
    pub uniques: BTreeSet<Uuid>,
}

impl Tally {
    pub fn merge(&mut self, other: &Self) -> Result<(), Overflow> {
        self.event_count += other.event_count;
        self.total = match (self.total, other.total) {
            (Some(one), Some(other)) => Some(add("a usage sum", one, other)?),
            (one, other) => one.or(other),
        };
        self.greatest = self.greatest.max(other.greatest);
        self.latest = self.latest.max(other.latest);
        self.uniques.extend(&other.uniques);
        Ok(())
    }

    /// The quantity of the events under an aggregation; 0 where there is none.
    #[must_use]
    pub fn quantity(&self, aggregation: AggregationType) -> Decimal {
        match aggregation {
            AggregationType::Count => Decimal::from(self.event_count),
            AggregationType::Sum => self.total.unwrap_or_default(),
            AggregationType::Max => self.greatest.unwrap_or_default(),
            AggregationType::Unique => Decimal::from(self.uniques.len()),
            AggregationType::Latest => self.latest.map(|latest| latest.value).unwrap_or_default(),
        }
    }
}

/// Turns the cumulative quantities at the end of each segment of a period into what each segment adds: `Q(b) -
/// Q(a)`, with `Q = 0` at the start of the period. An increment of LATEST may be negative (documentation page
/// on metrics that do not only grow; for MAX and UNIQUE our decision).
pub fn increments(cumulative: &[Decimal]) -> Result<Vec<Decimal>, Overflow> {
    let mut before = Decimal::ZERO;
    cumulative
        .iter()
        .map(|&after| {
            let increment = subtract("a usage increment", after, before)?;
            before = after;
            Ok(increment)
        })
        .collect()
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
            total: Some(value),
            greatest: Some(value),
            latest: Some(Latest { happened_at, seq, value }),
            uniques: [digest(&[user.as_bytes()])].into(),
        }
    }

    fn merged<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> Tally {
        let mut sum = Tally::default();
        for tally in tallies {
            sum.merge(tally).expect("small numbers");
        }
        sum
    }

    #[test]
    fn metering_e_five_aggregations_of_one_data_set() {
        let days = [
            merged([&reading(1, 1, 4, "A"), &reading(1, 2, 9, "B")]),
            merged([&reading(2, 3, 7, "A")]),
            Tally::default(),
            merged([&reading(4, 4, 6, "C"), &reading(4, 5, 11, "A")]),
        ];
        let cases = [
            (AggregationType::Count, [2, 1, 0, 2], 5),
            (AggregationType::Sum, [13, 7, 0, 17], 37),
            (AggregationType::Max, [9, 0, 0, 2], 11),
            (AggregationType::Unique, [2, 0, 0, 1], 3),
            (AggregationType::Latest, [9, -2, 0, 4], 11),
        ];
        for (aggregation, expected, total) in cases {
            let cumulative: Vec<Decimal> =
                (1..=4).map(|day| merged(&days[..day]).quantity(aggregation)).collect();
            assert_eq!(
                increments(&cumulative).expect("small"),
                expected.map(Decimal::from),
                "{aggregation:?}"
            );
            assert_eq!(cumulative[3], Decimal::from(total), "{aggregation:?}");
        }
    }

    #[test]
    fn metering_q_latest_documented_numbers() {
        let readings: Vec<Tally> =
            [7, 9, 10, 5].iter().zip(1..).map(|(&value, day)| reading(day, day, value, "A")).collect();
        let cumulative: Vec<Decimal> =
            (1..=4).map(|count| merged(&readings[..count]).quantity(AggregationType::Latest)).collect();
        assert_eq!(increments(&cumulative).expect("small"), [7, 2, 1, -5].map(Decimal::from));
    }

    proptest! {
        #[test]
        fn merging_in_any_order_is_the_same(
            readings in prop::collection::vec((0_i64..5, 0_i64..100, -50_i64..50, "[a-c]"), 0..12), rotate in 0_usize..12,
        ) {
            let tallies: Vec<Tally> =
                readings.iter().map(|(day, seq, value, user)| reading(*day, *seq, *value, user)).collect();
            let mut rotated = tallies.clone();
            if !rotated.is_empty() {
                let middle = rotate % rotated.len();
                rotated.rotate_left(middle);
            }
            prop_assert_eq!(merged(&tallies), merged(&rotated));
        }
    }
}
