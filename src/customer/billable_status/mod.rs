//! Whether a customer's invoices go out to a billing provider.
//!
//! Owns: the entries that say from when on which status holds. Does not own: which instant decides about an
//! invoice (see `invoice`).
//!
//! Invariants: entries are only ever added; at an instant the one added last of those that are effective then is
//! in force; a customer without any is billable (our decision).

mod known;
mod store;

pub use known::status_in;
pub use store::{NewStatus, append, statuses_at, statuses_in_force};

use crate::casing::wire_enum;
use crate::time::Instant;

wire_enum! {
    /// Whether invoices go out.
    pub enum BillableStatus {
        Billable = "billable",
        Unbillable = "unbillable",
    }
}

/// A status and since when it is effective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusInForce {
    pub status: BillableStatus,
    pub effective_at: Instant,
}
