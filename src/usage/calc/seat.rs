//! Seats: the highest or the newest number that events report.

use crate::casing::wire_enum;
use crate::catalog::billable_metric::Definition;
use crate::event::Properties;
use crate::money::{Decimal, parse_decimal, plain};
use crate::time::Instant;
use crate::usage::calc::matches;
use crate::wire::ExactNumber;

wire_enum! {
    /// Which of the reported numbers is the window's.
    pub enum SeatCount {
        /// The highest.
        Max = "MAX",
        /// The newest; of one instant, the one that arrived last.
        Latest = "LATEST",
    }
}

/// A number of seats that one event reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatReading {
    /// When, and in which order of arrival.
    place: (Instant, i64),
    seats: Decimal,
}

/// What an event reports; nothing where the metric does not match it or its property is not a number.
#[must_use]
pub fn seat_reading(
    definition: &Definition,
    event_type: &str,
    properties: &Properties<'_>,
    place: (Instant, i64),
) -> Option<SeatReading> {
    if !matches(definition, event_type, properties) {
        return None;
    }
    let reported = properties.get(definition.aggregation_key.as_ref()?)?;
    let seats = parse_decimal(&reported.as_number()?).ok()?;
    Some(SeatReading { place, seats })
}

impl SeatReading {
    /// With every digit.
    #[must_use]
    pub fn shown(&self) -> ExactNumber {
        ExactNumber(plain(&self.seats))
    }
}

impl SeatCount {
    /// Keeps the better of two readings.
    pub fn keep(self, best: &mut Option<SeatReading>, reading: SeatReading) {
        let is_better = |kept: &SeatReading| match self {
            Self::Max => reading.seats > kept.seats,
            Self::Latest => reading.place > kept.place,
        };
        if best.as_ref().is_none_or(is_better) {
            *best = Some(reading);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;

    use super::*;

    fn reading(at: i64, seq: i64, seats: i64) -> SeatReading {
        let happened_at = DateTime::UNIX_EPOCH + TimeDelta::seconds(at);
        SeatReading { place: (happened_at, seq), seats: Decimal::from(seats) }
    }

    fn kept(count: SeatCount, readings: &[SeatReading]) -> Option<Decimal> {
        let mut best = None;
        for reading in readings {
            count.keep(&mut best, reading.clone());
        }
        best.map(|best| best.seats)
    }

    #[test]
    fn the_highest_and_the_newest_differ() {
        let readings = [reading(3, 1, 7), reading(1, 2, 12), reading(3, 3, -2), reading(2, 4, 9)];
        assert_eq!(kept(SeatCount::Max, &readings), Some(12.into()));
        assert_eq!(kept(SeatCount::Latest, &readings), Some((-2).into()), "the later arrival of one instant");
        assert_eq!(kept(SeatCount::Max, &[]), None);
    }

    proptest! {
        #[test]
        fn the_order_of_reading_does_not_matter(
            readings in prop::collection::vec((0_i64..5, -9_i64..9), 1..9), rotate in 0_usize..9,
        ) {
            let readings: Vec<SeatReading> =
                readings.iter().zip(1..).map(|((at, seats), seq)| reading(*at, seq, *seats)).collect();
            let mut rotated = readings.clone();
            let middle = rotate % rotated.len();
            rotated.rotate_left(middle);
            for count in SeatCount::ALL {
                prop_assert_eq!(kept(*count, &readings), kept(*count, &rotated));
            }
        }
    }
}
