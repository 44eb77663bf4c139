//! Rate cards: a price book in one currency, shared by many contracts.
//!
//! Invariants: one fiat currency for life; at any instant an alias names at most one card (a database
//! constraint).

mod alias;
pub mod create;
pub mod get;
pub mod list;
mod store;
mod view;

pub use alias::resolve_alias;
pub use store::{RateCardRow, find, lock};
