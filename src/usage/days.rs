//! Which days a list of what is not billed is about.

use chrono::{NaiveTime, TimeDelta};

use super::range::between;
use crate::error::ApiError;
use crate::event::{BACKDATING, FUTURE_DATING};
use crate::time::{Instant, Period};
use crate::wire::Timestamp;

/// Most days of one request (our decision: a page reads a customer's days at once).
const DAYS_MAX: i64 = 100;

/// The days between two midnights UTC; without them the days that events may be dated on now. 400 where there are none, or
/// too many.
pub fn days(
    starting_on: Option<Timestamp>,
    ending_before: Option<Timestamp>,
    now: Instant,
) -> Result<Period, ApiError> {
    let ending_before =
        ending_before.map_or_else(|| midnight_of(now + FUTURE_DATING) + TimeDelta::days(1), |given| given.0);
    let acceptable = TimeDelta::days((BACKDATING + FUTURE_DATING).num_days() + 2);
    let starting_on = starting_on.map_or_else(|| midnight_of(ending_before) - acceptable, |given| given.0);
    let days = between(Timestamp(starting_on), Timestamp(ending_before))?;
    if days.end - days.start > TimeDelta::days(DAYS_MAX) {
        let reason = format!("must be at most {DAYS_MAX} days after starting_on");
        return Err(ApiError::field("ending_before", reason));
    }
    Ok(days)
}

fn midnight_of(instant: Instant) -> Instant {
    instant.date_naive().and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn day(number: i64) -> Timestamp {
        Timestamp(DateTime::UNIX_EPOCH + TimeDelta::days(number))
    }

    #[test]
    fn without_dates_they_are_those_of_all_events_that_may_come() {
        let now = day(1000).0 + TimeDelta::hours(12);
        let all = days(None, None, now).expect("days");
        assert!(all.contains(now - BACKDATING) && all.contains(now + FUTURE_DATING));
        let since = days(Some(day(990)), None, now).expect("days");
        assert_eq!(since, Period { start: day(990).0, end: all.end });
        assert!(days(Some(day(1)), Some(day(101)), now).is_ok());
        for (start, end) in [(1, 102), (3, 3), (4, 3)] {
            assert!(days(Some(day(start)), Some(day(end)), now).is_err(), "{start} {end}");
        }
    }
}
