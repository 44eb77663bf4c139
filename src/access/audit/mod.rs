//! The audit log: one line for every change, refused and failed ones included.
//!
//! A line of a change commits with it. Lines of what was refused are written after the fact; a server that dies
//! in between loses such a line, and nothing else. Reads and usage events are not recorded (our decision).

mod failure;
pub mod list;
mod own;
mod store;

pub use failure::{CallerSlot, record_failures};
pub use own::{OwnChange, append_all_own, append_operators, append_own};
pub use store::{Actor, Entry, Outcome, append};
