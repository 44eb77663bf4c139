//! Due work: everything that happens because time passes.
//!
//! Owns: the queue of instants (`due_work`), taking what is due in time order under a row lock, retries of what
//! failed. Does not own: what the work is (each kind belongs to a domain) or which clock rules (the
//! environment's).
//!
//! Invariants: a step and the move of its row commit together, so a crash between any two statements leaves
//! either the step undone or done once; any number of workers may run.

mod record;
mod store;

pub use record::record;
pub use store::{
    DueWork, count_failed, due_at, is_any_due, is_due_for, lock, put_off, remove, retry_now, schedule, take,
    take_and_wait, take_of_customer,
};

/// The kinds of due work.
pub mod kind {
    /// A contract's next usage statement is past its grace period; the subject is the contract.
    pub const FINALIZE_USAGE_STATEMENT: &str = "finalize_usage_statement";

    /// The date of a contract's next scheduled invoice has come; the subject is the contract.
    pub const FINALIZE_SCHEDULED_INVOICE: &str = "finalize_scheduled_invoice";

    /// Everything that is due for a contract.
    pub const OF_CONTRACT: &[&str] = &[FINALIZE_SCHEDULED_INVOICE, FINALIZE_USAGE_STATEMENT];
}
