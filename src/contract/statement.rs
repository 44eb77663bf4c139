//! When usage statements happen.

use chrono::TimeDelta;

use crate::casing::wire_enum;
use crate::time::Instant;

/// How long a usage statement stays open after its period, for late events (documentation page on how invoicing
/// works).
pub const GRACE: TimeDelta = TimeDelta::hours(24);

wire_enum! {
    /// The day that a statement calendar is anchored on.
    pub enum StatementDay {
        FirstOfMonth = "FIRST_OF_MONTH",
        ContractStart = "CONTRACT_START",
        CustomDate = "CUSTOM_DATE",
    }
}

/// Where a contract's first statement starts: at the contract's start, or later where statements before an
/// instant are left to imports.
#[must_use]
pub fn first_statement_at(starting_at: Instant, invoice_generation_starting_at: Option<Instant>) -> Instant {
    invoice_generation_starting_at.map_or(starting_at, |generation| generation.max(starting_at))
}
