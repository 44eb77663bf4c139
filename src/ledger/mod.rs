//! Ledgers: what became of every commit and credit, and what is left of it.
//!
//! Owns: the ledger entries and the balances that follow from grants, manual entries and draws; reading balances; every change
//! of a balance that must meet its invoices as they are. Does not own: what was granted (`contract::balance`), what is drawn
//! (`drawdown`), purchases and true-ups (`invoice`).
//!
//! Invariants: nothing that is shown here is stored: a ledger is worked out as it is read, so that it always sums; what drafts
//! draw counts; whoever changes a balance has done what is due for its customer and holds it.

mod accounts;
pub mod add_manual_entry;
pub mod archive;
pub mod calc;
mod change;
pub mod disable_true_up;
pub mod edit;
pub mod get_contract;
pub mod get_net_balance;
pub mod list;
pub mod list_contracts;
mod of_contracts;
mod store;
mod true_ups;
pub mod update_end_date;
mod view;
