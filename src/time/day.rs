use chrono::{NaiveDate, NaiveTime, TimeDelta};

use super::Period;

/// The time of a day of UTC.
#[must_use]
pub fn of_day(day: NaiveDate) -> Period {
    let start = day.and_time(NaiveTime::MIN).and_utc();
    Period { start, end: start + TimeDelta::days(1) }
}
