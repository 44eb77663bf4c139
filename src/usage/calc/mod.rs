//! Counting. Pure.

mod contribution;
mod tally;
mod window;

pub use contribution::{Contribution, contribution, group_id, hour_of, matches};
pub use tally::{Latest, Tally};
pub use window::{WindowSize, Windows};
