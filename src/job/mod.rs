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

pub use record::{Record, record, record_all};
pub use store::{
    DueWork, count_failed, due_at, is_any_due, is_due_for, lock, put_off, remove, remove_all, retry_now,
    schedule, schedule_all, take, take_and_wait, take_of_customer,
};

/// The kinds of due work.
pub mod kind {
    /// A commit or credit that a contract's recurring grants make is due; the subject is the contract. Steps that are due at
    /// one instant are taken by their names: this one is before what bills and draws what it makes.
    pub const CREATE_RECURRING_BALANCES: &str = "create_recurring_balances";

    /// A contract's next usage statement is past its grace period; the subject is the contract.
    pub const FINALIZE_USAGE_STATEMENT: &str = "finalize_usage_statement";

    /// The date of a contract's next scheduled invoice has come; the subject is the contract.
    pub const FINALIZE_SCHEDULED_INVOICE: &str = "finalize_scheduled_invoice";

    /// What is short of a postpaid commit is known; the subject is the commit. Its name comes after that of the statement
    /// which it waits for, so that of two steps that are due at once the statement is the first.
    pub const FINALIZE_TRUE_UP: &str = "settle_true_up";

    /// Everything that is due for a contract.
    pub const OF_CONTRACT: &[&str] =
        &[CREATE_RECURRING_BALANCES, FINALIZE_SCHEDULED_INVOICE, FINALIZE_USAGE_STATEMENT];

    /// Everything that grants something to a customer or makes its invoices final.
    pub const OF_CUSTOMER: &[&str] =
        &[CREATE_RECURRING_BALANCES, FINALIZE_SCHEDULED_INVOICE, FINALIZE_USAGE_STATEMENT, FINALIZE_TRUE_UP];

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn at_one_instant_what_is_granted_comes_before_what_bills_it() {
            let mut by_name = OF_CUSTOMER.to_vec();
            by_name.sort_unstable();
            assert_eq!(by_name, OF_CUSTOMER);
            assert_eq!(by_name.first(), Some(&CREATE_RECURRING_BALANCES));
        }
    }
}
