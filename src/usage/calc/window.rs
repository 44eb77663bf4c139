//! Cutting a range into windows.

use std::ops::Range;

use chrono::{NaiveTime, TimeDelta};

use crate::casing::wire_enum;
use crate::time::{Instant, Period};

wire_enum! {
    /// The length of the windows.
    pub enum WindowSize {
        Hour = "HOUR",
        Day = "DAY",
        /// One window over the whole range.
        None = "NONE",
    }
}

/// A range as windows, counted from 0. Windows are hours or days of UTC; where one reaches over an end of the range
/// it is cut there. The range must start and end on an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    range: Period,
    /// Where the first window would start if none were cut.
    origin: Instant,
    length: TimeDelta,
}

impl Windows {
    #[must_use]
    pub fn new(size: WindowSize, range: Period) -> Self {
        let (origin, length) = match size {
            WindowSize::Hour => (range.start, TimeDelta::hours(1)),
            WindowSize::Day => (midnight_before(range.start), TimeDelta::days(1)),
            WindowSize::None => (range.start, range.end - range.start),
        };
        Self { range, origin, length }
    }

    /// The start of the first window, and the hours from there to the next: what the window of an hour is counted by.
    #[must_use]
    pub fn origin_and_hours(&self) -> (Instant, i64) {
        (self.origin, self.length.num_hours())
    }

    #[must_use]
    pub fn count(&self) -> i64 {
        let hours = (self.range.end - self.origin).num_hours();
        hours / self.length.num_hours() + i64::from(hours % self.length.num_hours() > 0)
    }

    /// The window, which must be one of the range.
    #[must_use]
    pub fn at(&self, index: i64) -> Period {
        self.span(&(index..index + 1))
    }

    /// From the start of the first to the end of the last of some windows.
    #[must_use]
    pub fn span(&self, indexes: &Range<i64>) -> Period {
        Period {
            start: self.boundary(indexes.start).max(self.range.start),
            end: self.boundary(indexes.end).min(self.range.end),
        }
    }

    /// The window that contains `instant`, which must be in the range.
    #[must_use]
    pub fn containing(&self, instant: Instant) -> i64 {
        (instant - self.origin).num_hours() / self.length.num_hours()
    }

    /// The window that starts at `instant`; nothing where none does.
    #[must_use]
    pub fn starting_at(&self, instant: Instant) -> Option<i64> {
        let index = self.containing(instant);
        let is_own = self.range.contains(instant) && self.at(index).start == instant;
        is_own.then_some(index)
    }

    fn boundary(&self, index: i64) -> Instant {
        let index = i32::try_from(index).expect("the years 1970 to 9999 have fewer hours");
        self.origin + self.length * index
    }
}

fn midnight_before(instant: Instant) -> Instant {
    instant.date_naive().and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::time::parse_instant;

    fn windows(size: WindowSize, start: &str, end: &str) -> Windows {
        let at = |text: &str| parse_instant(&format!("{text}:00:00Z")).expect("a test instant");
        Windows::new(size, Period::new(at(start), at(end)).expect("a range"))
    }

    fn shown(windows: &Windows) -> Vec<String> {
        let text = |instant: Instant| instant.format("%dT%H").to_string();
        let one = |index| windows.at(index);
        (0..windows.count())
            .map(one)
            .map(|period| format!("{}..{}", text(period.start), text(period.end)))
            .collect()
    }

    #[test]
    fn days_are_days_of_utc_and_cut_at_the_ends() {
        let cut = windows(WindowSize::Day, "2026-03-01T17", "2026-03-04T05");
        assert_eq!(shown(&cut), ["01T17..02T00", "02T00..03T00", "03T00..04T00", "04T00..04T05"]);
        let whole = windows(WindowSize::Day, "2026-03-01T00", "2026-03-03T00");
        assert_eq!(shown(&whole), ["01T00..02T00", "02T00..03T00"]);
        let within_a_day = windows(WindowSize::Day, "2026-03-01T05", "2026-03-01T17");
        assert_eq!(shown(&within_a_day), ["01T05..01T17"]);
    }

    #[test]
    fn none_is_one_window() {
        assert_eq!(shown(&windows(WindowSize::None, "2026-03-01T17", "2026-03-04T05")), ["01T17..04T05"]);
    }

    #[test]
    fn hours_of_the_longest_range_can_be_counted() {
        let all = windows(WindowSize::Hour, "1970-01-01T00", "9999-12-31T00");
        assert_eq!(all.at(all.count() - 1).end, all.range.end);
    }

    proptest! {
        #[test]
        fn windows_tile_the_range_and_are_found_by_their_start(
            start in 0_i64..2000, hours in 1_i64..200, which in 0_usize..3, probe in 0_i64..3000,
        ) {
            let hour = |count: i64| DateTime::UNIX_EPOCH + TimeDelta::hours(count);
            let range = Period { start: hour(start), end: hour(start + hours) };
            let windows = Windows::new(WindowSize::ALL[which], range);
            let mut end = range.start;
            let mut starts = Vec::new();
            for index in 0..windows.count() {
                let window = windows.at(index);
                prop_assert_eq!(window.start, end);
                prop_assert!(window.start < window.end);
                prop_assert_eq!(windows.starting_at(window.start), Some(index));
                prop_assert_eq!(windows.containing(window.end - TimeDelta::microseconds(1)), index);
                let (origin, length) = windows.origin_and_hours();
                prop_assert_eq!((window.start - origin).num_hours() / length, index);
                starts.push(window.start);
                end = window.end;
            }
            prop_assert_eq!(end, range.end);
            prop_assert_eq!(windows.span(&(0..windows.count())), range);
            prop_assert_eq!(windows.starting_at(hour(probe)).is_some(), starts.contains(&hour(probe)));
            prop_assert_eq!(windows.starting_at(hour(probe) + TimeDelta::minutes(1)), None);
        }
    }
}
