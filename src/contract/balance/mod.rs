//! Commits and credits ("balances"): value that a customer may draw, or has promised to spend.
//!
//! Owns: what was granted, when it may be used, what it may pay for, what is paid for it, what a renewal takes over of it, and
//! every state that these terms have had. Does not own: what is drawn (`drawdown`), the ledger that follows from both (`ledger`),
//! invoices.
//!
//! Invariants: an amount that is left is never stored, it follows from the grant, the manual entries and the draws; terms are
//! whole documents whose history is append-only, so a finalized invoice can be recomputed as it was; commits and credits share
//! one space of uniqueness keys; whoever changes one has locked its customer.

mod common;
mod create;
mod edit;
mod edit_names;
mod edit_schedule;
mod grant;
mod history;
mod input;
mod ledger_entry;
mod listing;
mod named;
mod of_contract;
mod payments;
mod promise;
mod rollover;
mod schedule_input;
mod store;
mod targeting_input;
mod terms;
mod true_up;
mod view;
mod whole;

pub use common::{CommonInput, CommonTerms};
pub use create::create;
pub use edit::{BalanceEdit, CommonEdit, Settled, TargetingEdit};
pub use edit_names::check_named;
pub use edit_schedule::{AccessScheduleEdit, InvoiceScheduleEdit, remove_segment};
pub use grant::{Grant, NewBalance, Owner};
pub use history::{History, Version, customers_with_balances, histories};
pub use input::{
    BALANCES_MAX, CommitInput, CreditInput, CustomerCommitInput, CustomerCreditInput, NewBalances, planned,
};
pub use ledger_entry::{LedgerEntryType, LedgerEntryView};
pub use listing::{BalanceFilter, Kind, exists, list, of_contracts, types};
pub use named::{Found, Named, at};
pub use of_contract::{BalancesOfContract, Cap};
pub use payments::{
    Changes, PaymentsError, bring_back_payments, changes, charge_of, keep_payments, keep_payments_of_void,
    payments_that_stand,
};
pub use promise::Promise;
pub use rollover::{
    Rollovers, Taken, given_back, has_live as has_live_rollover, is_live, made_final, successors, take_over,
};
pub use schedule_input::{Access, AccessScheduleInput, access_unit, check_amounts, payment_schedule};
pub use store::{
    Added, Change, archive, drawable, drawable_as_of, find, find_as_of, ids_with_pending_true_up, insert,
    save, with_pending_true_up,
};
pub use targeting_input::{SpecifierInput, targeting};
pub use terms::{
    AccessType, Balance, BalanceTerms, BalanceType, CommitRateType, ManualEntry, Origin, Payment,
    PaymentSchedule, RolledOver, Segment, SpecifierOfBalance, TakenAway, TargetingOfBalance,
};
pub use true_up::{TrueUp, shortfall};
pub use view::{BalanceV1, CommitType, CommitV1, CommitV2, CreditTag, CreditV1, CreditV2, Reckoned};
pub use whole::{WholeBalance, entity_of, whole_balances};
