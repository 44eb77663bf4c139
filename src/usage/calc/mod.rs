//! Counting. Pure.

mod contribution;
mod counting;
mod preview;
mod seat;
mod tally;
mod window;

pub use contribution::{group_id, hour_of, matches};
pub use counting::{Counter, Counts, Hour, Intake, groups_by_id};
pub use preview::previewed_pieces;
pub use seat::{SeatCount, SeatReading, seat_reading};
pub use tally::{Latest, Tally};
pub use window::{WindowSize, Windows};
