//! Invoices: charges become a document.
//!
//! Owns: the invoice and its lines, the one calculation behind draft and final, finalization, reading invoices.
//! Does not own: prices (rating), delivery.
//!
//! Invariants: drafts are never stored but computed when they are read; a finalized invoice is stored whole and
//! never changes; its id follows from its contract and period, so a draft keeps its id when it is finalized and
//! there is never a second one; the total is the sum of the lines.

pub mod archive_customer;
mod calc;
mod compute;
mod finalize;
pub mod get;
pub mod list;
mod model;
pub mod set_billable_status;
mod store;
mod verify;

pub use finalize::finalize_usage_statement;
pub use store::exists;
pub use verify::{InvoiceFault, verify_invoices};
