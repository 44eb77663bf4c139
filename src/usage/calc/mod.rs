//! Counting. Pure.

mod contribution;
mod tally;

pub use contribution::{Contribution, contribution, group_id, hour_of};
pub use tally::{Latest, Tally};
