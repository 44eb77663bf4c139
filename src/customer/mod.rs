//! Customers: whose usage is billed.
//!
//! Owns: the customer, its ingest aliases, which strings in events mean it. Does not own: its contracts, usage
//! or invoices; archiving a customer ends all three, so it lives with the last of them
//! (`invoice::archive_customer`).
//!
//! Invariants: an alias names one customer at a time, archived ones included (a database constraint); aliases
//! bind when usage is read, so setting one attaches usage that was sent before.

pub mod create;
pub mod get;
pub mod list;
pub mod set_ingest_aliases;
mod store;
mod view;

pub use get::CustomerPath;
pub use store::{CustomerRow, aliases_by_customer, archive, find, get, lock, require, subjects_by_customer};
