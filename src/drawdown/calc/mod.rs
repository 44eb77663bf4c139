//! Who pays for what. Pure.
//!
//! [`candidates`] are the segments that a contract's usage may draw, in the order in which they are drawn ([`Rank`]); a
//! [`Drawdown`] takes the charges of a statement in their own order and marks what each candidate pays for, at the price that
//! is in force while it is drawn.

mod candidate;
mod conversion;
mod cover;
mod pay;
mod rank;
mod target;
#[cfg(test)]
mod tests;

pub use candidate::{Candidate, candidates};
pub use conversion::{Conversion, conversions};
pub use pay::Drawdown;
pub use rank::Rank;
pub use target::{Skipped, skipped};
