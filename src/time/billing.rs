//! Billing calendars: when a contract's usage statements begin and end.

use chrono::{Datelike, Months, NaiveTime, TimeDelta};

use super::{Instant, Period};
use crate::casing::wire_enum;

wire_enum! {
    /// How often a usage statement closes.
    pub enum StatementFrequency {
        Monthly = "MONTHLY",
        Quarterly = "QUARTERLY",
        Annual = "ANNUAL",
        Weekly = "WEEKLY",
    }
}

/// A contract's statement calendar: a frequency counted from an anchor, before and after it without end.
///
/// Every boundary is computed from the anchor itself, with the day clamped to the month's length, so a calendar
/// of the 31st never drifts to the 28th (schema `UsageStatementScheduleInput`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementSchedule {
    pub frequency: StatementFrequency,
    pub anchor: Instant,
}

impl StatementSchedule {
    /// The first of the month that contains `instant`, at midnight UTC: the anchor of `FIRST_OF_MONTH`.
    #[must_use]
    pub fn first_of_month(instant: Instant) -> Instant {
        let day = instant.date_naive().with_day(1).expect("every month has a first day");
        day.and_time(NaiveTime::MIN).and_utc()
    }

    /// The full calendar period, not clipped to any contract, that contains `instant`.
    #[must_use]
    pub fn period_containing(&self, instant: Instant) -> Period {
        let mut index = self.estimate(instant);
        while self.boundary(index) > instant {
            index -= 1;
        }
        while self.boundary(index + 1) <= instant {
            index += 1;
        }
        Period { start: self.boundary(index), end: self.boundary(index + 1) }
    }

    /// The statement period that contains `instant`, clipped to the contract's term `[start, end)`; nothing
    /// outside the term.
    #[must_use]
    pub fn statement_at(
        &self,
        instant: Instant,
        term_start: Instant,
        term_end: Option<Instant>,
    ) -> Option<Period> {
        self.period_containing(instant).clip(term_start, term_end).filter(|period| period.contains(instant))
    }

    /// The boundary number `index` of the calendar; the anchor is number 0.
    fn boundary(&self, index: i64) -> Instant {
        let month_count = match self.frequency {
            StatementFrequency::Monthly => 1,
            StatementFrequency::Quarterly => 3,
            StatementFrequency::Annual => 12,
            StatementFrequency::Weekly => return self.anchor + TimeDelta::weeks(index),
        };
        let months = Months::new(
            u32::try_from(index.unsigned_abs()).expect("statement indexes are small") * month_count,
        );
        let moved = if index < 0 {
            self.anchor.checked_sub_months(months)
        } else {
            self.anchor.checked_add_months(months)
        };
        moved.expect("request timestamps end with the year 9999, far inside the calendar's range")
    }

    /// A boundary number at most one or two away from the period of `instant`.
    fn estimate(&self, instant: Instant) -> i64 {
        let months = i64::from(instant.year() - self.anchor.year()) * 12 + i64::from(instant.month())
            - i64::from(self.anchor.month());
        match self.frequency {
            StatementFrequency::Monthly => months,
            StatementFrequency::Quarterly => months / 3,
            StatementFrequency::Annual => months / 12,
            StatementFrequency::Weekly => (instant - self.anchor).num_weeks(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::parse_instant;

    fn at(text: &str) -> Instant {
        let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        parse_instant(&full).expect("a test instant")
    }

    fn statements(schedule: StatementSchedule, start: &str, end: Option<&str>, count: usize) -> Vec<String> {
        let (start, end) = (at(start), end.map(at));
        let mut from = start;
        let mut seen = Vec::new();
        while let Some(period) = schedule.statement_at(from, start, end).filter(|_| seen.len() < count) {
            seen.push(format!("{}..{}", period.start.date_naive(), period.end.date_naive()));
            from = period.end;
        }
        seen
    }

    #[test]
    fn contracts_1_first_of_month_stub() {
        let schedule = StatementSchedule {
            frequency: StatementFrequency::Monthly,
            anchor: StatementSchedule::first_of_month(at("2026-01-15")),
        };
        assert_eq!(
            statements(schedule, "2026-01-15", None, 2),
            ["2026-01-15..2026-02-01", "2026-02-01..2026-03-01"]
        );
    }

    #[test]
    fn contracts_2_contract_start_on_the_31st() {
        let schedule = StatementSchedule { frequency: StatementFrequency::Monthly, anchor: at("2026-01-31") };
        let expected = [
            "2026-01-31..2026-02-28",
            "2026-02-28..2026-03-31",
            "2026-03-31..2026-04-30",
            "2026-04-30..2026-05-31",
        ];
        assert_eq!(statements(schedule, "2026-01-31", None, 4), expected);
    }

    #[test]
    fn contracts_3_custom_date_before_the_start() {
        let schedule = StatementSchedule { frequency: StatementFrequency::Monthly, anchor: at("2024-09-10") };
        assert_eq!(
            statements(schedule, "2024-09-15", None, 2),
            ["2024-09-15..2024-10-10", "2024-10-10..2024-11-10"]
        );
    }

    #[test]
    fn contracts_4_quarterly_with_an_end() {
        let schedule =
            StatementSchedule { frequency: StatementFrequency::Quarterly, anchor: at("2026-02-01") };
        let expected = ["2026-02-10..2026-05-01", "2026-05-01..2026-08-01", "2026-08-01..2026-09-20"];
        assert_eq!(statements(schedule, "2026-02-10", Some("2026-09-20"), 9), expected);
    }

    #[test]
    fn a_future_anchor_counts_backwards() {
        let schedule = StatementSchedule { frequency: StatementFrequency::Weekly, anchor: at("2026-03-18") };
        assert_eq!(
            statements(schedule, "2026-03-02", None, 2),
            ["2026-03-02..2026-03-04", "2026-03-04..2026-03-11"]
        );
    }

    proptest! {
        #[test]
        fn periods_tile_time(
            anchor in 0_i64..4_000_000_000, instant in 0_i64..4_000_000_000, which in 0_usize..4,
        ) {
            let instants = [anchor, instant].map(|seconds| chrono::DateTime::from_timestamp(seconds, 0).expect("in range"));
            let frequency = StatementFrequency::ALL[which];
            let schedule = StatementSchedule { frequency, anchor: instants[0] };
            let period = schedule.period_containing(instants[1]);
            prop_assert!(period.contains(instants[1]));
            prop_assert_eq!(schedule.period_containing(period.end).start, period.end);
            prop_assert_eq!(schedule.period_containing(period.start), period);
        }
    }
}
