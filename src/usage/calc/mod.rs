//! Counting. Pure.

mod contribution;
mod counting;
mod tally;
mod window;

pub use contribution::matches;
pub use counting::{Counter, Counts, Hour};
pub use tally::{Latest, Tally};
pub use window::{WindowSize, Windows};
