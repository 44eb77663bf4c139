//! Reading timestamps from requests.

use chrono::{DateTime, Datelike, NaiveDateTime, SecondsFormat, Utc};

use super::Instant;

/// Why a text is not an instant that this server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstantError {
    #[error("is not an RFC 3339 timestamp such as 2026-03-01T00:00:00Z")]
    Malformed,
    #[error("is outside the years 1970 to 9999")]
    OutOfRange,
}

/// Reads an RFC 3339 timestamp with an offset or `Z`, as usage events must send it.
pub fn parse_strict_instant(text: &str) -> Result<Instant, InstantError> {
    let instant = DateTime::parse_from_rfc3339(text).map_err(|_| InstantError::Malformed)?;
    in_range(instant.with_timezone(&Utc))
}

/// Reads a timestamp; one without an offset is UTC, because the Python SDK sends naive datetimes that way.
pub fn parse_instant(text: &str) -> Result<Instant, InstantError> {
    match parse_strict_instant(text) {
        Err(InstantError::Malformed) => {
            let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
                .map_err(|_| InstantError::Malformed)?;
            in_range(naive.and_utc())
        }
        decided => decided,
    }
}

/// Cuts below the microsecond: rounding up could move an event into the next period. A leap second is the first
/// second of the next minute, as PostgreSQL keeps it.
fn in_range(instant: Instant) -> Result<Instant, InstantError> {
    DateTime::from_timestamp_micros(instant.timestamp_micros())
        .filter(|instant| (1970..=9999).contains(&instant.year()))
        .ok_or(InstantError::OutOfRange)
}

/// An instant for a message, as requests spell it.
#[must_use]
pub fn shown(instant: Instant) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[must_use]
pub fn is_hour_boundary(instant: Instant) -> bool {
    instant.timestamp() % 3600 == 0 && instant.timestamp_subsec_nanos() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_utc_and_naive_is_utc() {
        let utc = |text| parse_instant(text).map(|instant| instant.to_rfc3339());
        assert_eq!(utc("2026-05-20T02:00:00+05:30").as_deref(), Ok("2026-05-19T20:30:00+00:00"));
        assert_eq!(utc("2026-05-20T02:00:00").as_deref(), Ok("2026-05-20T02:00:00+00:00"));
        assert_eq!(utc("2026-05-20T02:00:00.123456789Z").as_deref(), Ok("2026-05-20T02:00:00.123456+00:00"));
    }

    #[test]
    fn a_leap_second_is_in_the_next_minute() {
        for (text, instant) in [
            ("2026-05-20T10:59:60Z", "2026-05-20T11:00:00Z"),
            ("2026-05-31T23:59:60.25Z", "2026-06-01T00:00:00.250Z"),
        ] {
            assert_eq!(parse_strict_instant(text).map(shown).as_deref(), Ok(instant));
        }
        assert_eq!(parse_instant("9999-12-31T23:59:60Z"), Err(InstantError::OutOfRange));
    }

    #[test]
    fn refuses_dates_leap_days_and_far_years() {
        for text in ["2026-05-20", "2026-02-30T00:00:00Z", "yesterday", ""] {
            assert_eq!(parse_instant(text), Err(InstantError::Malformed), "{text}");
        }
        assert_eq!(parse_instant("1969-12-31T23:59:59Z"), Err(InstantError::OutOfRange));
        assert_eq!(parse_strict_instant("2026-05-20T00:00:00"), Err(InstantError::Malformed));
        assert!(parse_instant("9999-12-31T23:59:59Z").is_ok());
    }
}
