//! Invoices: charges become a document.
//!
//! Owns: the invoice and its lines, the one calculation behind preview, draft and final, finalization, reading invoices, what
//! ending and archiving a contract or its customer makes of its invoices. Does not own: prices (rating), schedules
//! (contract), delivery.
//!
//! Invariants: drafts are never stored but computed when they are read; a finalized invoice is stored whole and
//! never changes; its id follows from its contract and its period or date, so a draft keeps its id when it is finalized
//! and there is never a second one; the total is the sum of the lines in its unit, and lines
//! in a custom pricing unit are in it as their conversion; a scheduled charge is on one invoice at most.

pub mod archive_contract;
pub mod archive_customer;
mod calc;
mod catch_up;
mod compute;
mod custom_fields;
mod existence;
pub mod explain;
mod finalize;
pub mod get;
pub mod list;
mod model;
pub mod preview_events;
mod scheduled;
pub mod set_billable_status;
pub mod set_usage_filter;
mod store;
pub mod update_end_date;
mod verify;

pub use existence::exists;
pub use finalize::finalize_usage_statement;
pub use scheduled::finalize_scheduled_invoice;
pub use verify::{InvoiceFault, verify_invoices};
