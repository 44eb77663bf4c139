//! Rate cards: a price book in one currency, shared by many contracts.
//!
//! Invariants: one fiat currency for life, and conversions of custom units that are only ever added; at any instant an alias names at most one card (a database
//! constraint); every product of a card has a place of its own in the card's order; an archived card is not
//! changed any more. Changes of one card wait for each other at its row, changes of aliases at one lock of the
//! environment, taken after the row.

pub mod archive;
mod calc;
mod conversion;
pub mod create;
pub mod get;
pub mod list;
pub mod move_products;
pub mod set_product_order;
mod store;
pub mod update;
mod view;

pub use conversion::{CardUnits, ConvertedUnit, units, units_for_new_rates};
pub use store::{RateCardRow, find, lock_active, resolve_alias, share};
