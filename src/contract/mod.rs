//! Contracts: what one customer agreed to, and when its usage statements begin and end.
//!
//! Owns: a contract's terms and its statement calendar. Does not own: prices (its rate card has them),
//! quantities, invoices.
//!
//! Invariants: terms are rows that refer to a rate card, never copies of prices, so a change of the card
//! reaches every contract; statements tile the contract's term without gap or overlap; a uniqueness key makes
//! one contract, ever.

pub mod create;
pub mod get;
pub mod list;
pub mod list_billable_metrics;
mod statement;
mod store;
mod terms;
mod view;

pub use statement::{GRACE, StatementDay, first_statement_at};
pub use store::{
    advance_statement, archive_all, customers_with_contracts, exists, find_for_update, list_of_customer,
};
pub use terms::Contract;
