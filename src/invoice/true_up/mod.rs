//! True-ups: what is short of a postpaid commit becomes an invoice.
//!
//! Each has a SCHEDULED invoice of its own, also where several share a contract and a date (our decision: each moves with
//! its own spending and may vanish). It is a draft from the day on which the commit is added, for as long as anything is
//! short, and finalized when the last statement that may spend the commit is, not before the date of its schedule. What is
//! short then is what finalized invoices left. While a usage invoice that may spend it is void and not made anew, it stays a draft.

mod calc;
mod draft;
mod finalize;

pub(super) use calc::{true_up_invoice, true_up_invoice_id, true_up_invoice_ids};
pub(super) use draft::{Draft, drafts};
pub use finalize::finalize_true_up;
pub(super) use finalize::{finalize_again, held_up_by, seen_now, void_upcoming, what_was_short};
