//! Time: the clock, half-open periods, billing calendars. All instants are UTC. Pure, except that
//! [`SystemClock`] is the one place that reads the machine's clock.
//!
//! Owns: month arithmetic, statement periods, recurring dates, lengths of time from
//! an instant that is not known yet, reading RFC 3339. Does not own: what happens when an instant
//! comes (that is due work, see `job`).

mod billing;
mod clock;
mod cycle;
mod day;
mod period;
mod recurrence;
mod relative;
mod rfc3339;

pub use billing::{StatementFrequency, StatementSchedule};
pub use clock::{Clock, SystemClock};
pub use cycle::CycleFrequency;
pub use day::of_day;
pub use period::Period;
pub use recurrence::RecurringFrequency;
pub use relative::{RelativeDate, RelativeUnit};
pub use rfc3339::{InstantError, is_hour_boundary, parse_instant, parse_strict_instant, shown};

use chrono::{DateTime, Utc};

/// An instant in UTC, to the microsecond (what PostgreSQL holds).
pub type Instant = DateTime<Utc>;
