//! Contracts: what one customer agreed to, when its usage statements begin and end, and what it pays on fixed dates.
//!
//! Owns: a contract's terms and their history, its statement calendar, its scheduled charges, its overrides, what commits
//! and credits grant. Does not own: prices (its rate card has them), quantities, what a usage filter means (`catalog::usage_filter`), invoices; ending and
//! archiving a contract and filtering its usage change its invoices, so they live with those
//! (`invoice::update_end_date`, `invoice::archive_contract`, `invoice::set_usage_filter`), and so does the operation that makes
//! one, which may end the one that it renews (`invoice::create_contract`); reading one may ask for the ledgers
//! of its commits and credits, so that is `ledger::get_contract` and `ledger::list_contracts`.
//!
//! Invariants: terms are rows that refer to a rate card, never copies of prices, so a change of the card
//! reaches every contract; statements tile the time from the first one to the watermark, and on from there to the
//! end, without gap or overlap, wherever the end moved in between; a uniqueness key makes one contract, ever; whoever
//! changes a contract locks its customer, then what is due for it, then the contract.

pub mod balance;
pub mod create;
pub mod create_with_customer;
pub mod get_rate_schedule;
pub mod list_billable_metrics;
pub mod rate_override;
pub mod recurring_grant;
pub mod renewal;
pub mod scheduled_charge;
mod known;
mod nameable;
mod statement;
mod store;
mod terms;
mod usage_filter;
mod view;
mod whole;
mod work;

pub use create::RateCardReference;
pub use known::list_in;
pub use nameable::Nameables;
pub use statement::{GRACE, Statement, StatementDay, first_statement_at};
pub use store::{
    ContractFilter, ContractOfPackage, advance_statements, archive, change_end, customers_with_contracts,
    ends_ever, exists, find, find_for_update, find_many_for_update, list, list_in_force, list_of_customer,
    list_of_package, with_one_contract,
};
pub use terms::{ChargesOnUsageInvoices, Contract, MultiplierPrioritization};
pub use usage_filter::{
    UsageFilterInput, add as add_usage_filter, contradiction as usage_filter_contradiction,
    planned as planned_usage_filter,
};
pub use view::{ContractV1, ContractV2, NoTerm, customer_not_found};
pub use whole::{WholeContract, as_of, whole};
pub use work::{
    lock, next_charge_date, remove_work, schedule_next_charge, schedule_next_statements, schedule_payments,
    schedule_recurring, schedule_true_up, schedule_true_ups, schedule_work,
};
