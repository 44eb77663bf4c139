//! Scheduled charges on invoices: their own ones, and their lines on usage invoices.
//!
//! All charges of one contract that are dated at the same instant in the same currency share one SCHEDULED invoice. It
//! is a draft for as long as its date is to come, and finalized on that date without any grace. What rides on a usage
//! statement (see `contract::Contract::statement_of_charge`) has none: that is looked up at every reading, and settled
//! when the statement is finalized.

pub(super) mod calc;
mod draft;
mod finalize;
mod products;

pub(super) use draft::{Draft, drafts, items_dated, riding_items};
pub use finalize::finalize_scheduled_invoice;
pub(super) use finalize::{finalize_again, keep_riding, void_upcoming};
pub(super) use products::FixedProducts;
