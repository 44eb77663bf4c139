//! Invoices: charges become a document.
//!
//! Owns: the invoice and its lines, the one calculation behind preview, draft and final, finalization, reading invoices, what
//! making, ending and archiving a contract or its customer makes of its invoices, voiding them and making them anew; which usage
//! no invoice bills. Does not own: prices (rating), schedules (contract), delivery.
//!
//! Invariants: drafts are never stored but computed when they are read (what they draw may be remembered by this process, under
//! the names of the states that it follows from: [`drafts`]); a finalized invoice is stored whole and
//! never changes but by becoming void, for good; its id follows from its contract and its period or date, so a draft keeps
//! its id when it is finalized; of the invoices of one statement, or of one date and currency, one at most is not void, and
//! that is the newest; the total is the sum of the lines in its unit, and lines
//! in a custom pricing unit are in it as their conversion; a scheduled charge is on one invoice at most. A true-up is final
//! after every usage invoice that may lessen it.

pub mod archive_contract;
pub mod archive_customer;
mod billable_status;
mod calc;
mod catch_up;
mod compute;
pub mod create_commit;
pub mod create_contract;
pub mod create_credit;
mod custom_fields;
mod drafts;
mod end;
mod existence;
pub mod explain;
mod finalize;
pub mod get;
mod holdings;
pub mod list;
mod model;
pub mod preview_events;
mod purse;
pub mod regenerate;
mod renewal;
mod scheduled;
pub mod set_billable_status;
pub mod set_usage_filter;
mod store;
mod true_up;
pub mod unrated;
pub mod update_end_date;
mod verify;
mod verify_balances;
mod verify_draws;
pub mod void;

pub use catch_up::begin_caught_up;
pub use compute::Calculator;
pub use drafts::Drafts;
pub use existence::exists;
pub use finalize::finalize_usage_statements;
pub use scheduled::finalize_scheduled_invoice;
pub use true_up::finalize_true_up;
pub use verify::{InvoiceFault, verify_invoices};
pub use verify_balances::{BalanceFault, verify_balances};
