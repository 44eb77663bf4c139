//! Recurring commits and credits of contracts: grants that make a commit or a credit for every period of time.
//!
//! Owns: their terms and history, when a period starts and what is granted for it, the making of commits and credits. Does
//! not own: what is made (`balance`), its payments (`scheduled_charge`), who draws it.
//!
//! Invariants: periods tile a grant's time; the commit or credit of a period always has the same id, so it is made once;
//! it is made as the period before it starts, and all of those that are due stand before anything that is due later is
//! done for the contract; what has started may be drawn until the contract's end and never
//! changes else; what has not follows that end, but for what somebody changed of it.

mod begin;
mod calc;
mod follow;
mod grow;
mod input;
mod store;
mod terms;
mod view;

pub use begin::{Named, begin, share_named};
pub use calc::{Calendar, child, child_id};
pub use follow::{brought_back, child_where_ends, followed, followed_in_time, taken_away};
pub use grow::{AT_ONCE, catch_up, create_recurring_balances, due_at, follow_end, grow, next_due, plan};
pub use input::{
    AccessAmountInput, CommitDurationInput, CommitRoundingInput, CreditRoundingInput, GrantInput,
    InvoiceAmountInput, NotOfCredits, PlannedGrant, RecurringCommitInput, RecurringCreditInput,
    by_temporary_id, planned,
};
pub use store::{contracts_with_grants, insert, kinds, of_contract, of_contracts, save};
pub use terms::{GrantKind, GrantTerms, InvoiceAmount, Proration, RecurringGrant, UnitAmount};
pub use view::{CommitRule, CreditRule, RecurringCommitView, RecurringCreditView, commits, credits};
