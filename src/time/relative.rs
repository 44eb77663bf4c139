//! Lengths of time that are counted from an instant which is not known yet.

use chrono::{Datelike, Days, Months};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Instant;
use crate::casing::wire_enum;

wire_enum! {
    /// What a length of time is counted in.
    pub enum RelativeUnit {
        Days = "DAYS",
        Weeks = "WEEKS",
        Months = "MONTHS",
        Years = "YEARS",
    }
}

/// A length of time from some instant on (schema `RelativeDate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RelativeDate {
    pub value: i64,
    pub unit: RelativeUnit,
}

impl RelativeDate {
    /// The instant that lies so far after `start`; nothing where that is before it or after the year 9999, with which
    /// timestamps end.
    ///
    /// A day has 24 hours and a week 7 days. Months and years keep day and time, the day clamped to the month's length
    /// (our decision: as statement calendars do).
    #[must_use]
    pub fn after(self, start: Instant) -> Option<Instant> {
        let count = |each: i64| self.value.checked_mul(each);
        let days = |each| Some(Days::new(u64::try_from(count(each)?).ok()?));
        let months = |each| Some(Months::new(u32::try_from(count(each)?).ok()?));
        let instant = match self.unit {
            RelativeUnit::Days => start.checked_add_days(days(1)?),
            RelativeUnit::Weeks => start.checked_add_days(days(7)?),
            RelativeUnit::Months => start.checked_add_months(months(1)?),
            RelativeUnit::Years => start.checked_add_months(months(12)?),
        };
        instant.filter(|instant| instant.year() <= 9999)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::parse_instant;

    fn after(start: &str, value: i64, unit: RelativeUnit) -> Option<String> {
        let start = parse_instant(start).expect("a test instant");
        RelativeDate { value, unit }.after(start).map(|instant| instant.to_rfc3339())
    }

    #[test]
    fn pricing_e20_months_are_clamped() {
        let start = "2026-01-31T05:00:00Z";
        let cases = [
            (12, RelativeUnit::Months, "2027-01-31T05:00:00+00:00"),
            (1, RelativeUnit::Months, "2026-02-28T05:00:00+00:00"),
            (1, RelativeUnit::Years, "2027-01-31T05:00:00+00:00"),
            (1, RelativeUnit::Days, "2026-02-01T05:00:00+00:00"),
            (2, RelativeUnit::Weeks, "2026-02-14T05:00:00+00:00"),
            (0, RelativeUnit::Months, "2026-01-31T05:00:00+00:00"),
        ];
        for (value, unit, expected) in cases {
            assert_eq!(after(start, value, unit).as_deref(), Some(expected), "{value} {unit:?}");
        }
        let leap = after("2024-02-29T00:00:00Z", 1, RelativeUnit::Years);
        assert_eq!(leap.as_deref(), Some("2025-02-28T00:00:00+00:00"));
        let twice = after("2026-02-28T00:00:00Z", 1, RelativeUnit::Months);
        assert_eq!(twice.as_deref(), Some("2026-03-28T00:00:00+00:00"), "counted on from where one is");
    }

    #[test]
    fn what_lies_too_far_is_nothing() {
        for unit in RelativeUnit::ALL {
            assert_eq!(after("2026-01-01T00:00:00Z", i64::MAX, *unit), None, "{unit:?}");
            assert_eq!(after("2026-01-01T00:00:00Z", -1, *unit), None, "{unit:?}");
        }
        assert_eq!(after("2026-01-01T00:00:00Z", 7974, RelativeUnit::Years), None);
        assert!(after("2026-01-01T00:00:00Z", 7973, RelativeUnit::Years).is_some());
    }

    proptest! {
        #[test]
        fn longer_is_never_earlier(seconds in 0_i64..4_000_000_000, value in 0_i64..2000, which in 0_usize..4) {
            let start = chrono::DateTime::from_timestamp(seconds, 0).expect("in range");
            let unit = RelativeUnit::ALL[which];
            let after = |value| RelativeDate { value, unit }.after(start).expect("before the year 9999");
            prop_assert!(after(value) < after(value + 1));
            prop_assert!(start <= after(value));
        }
    }
}
