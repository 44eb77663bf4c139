//! Customers: whose usage is billed.
//!
//! Owns: the customer, its configuration, its billable status, its ingest aliases, which strings in events mean
//! it, what each of its states is called. Does not own: its contracts, usage or invoices; what reaches those lives
//! with the last of them (`invoice::archive_customer`, `invoice::set_billable_status`).
//!
//! Invariants: an alias names one customer at a time, archived ones included (a database constraint); aliases
//! bind when usage is read, so setting one attaches usage that was sent before; a call that changes nothing
//! leaves `updated_at` as it is (our decision); any change of what is a customer's own, its contracts, balances, draws and
//! invoices among them, gives it another name (`customer.state`, by triggers), and two states never have one name.

pub mod billable_status;
pub mod create;
pub mod get;
mod input;
pub mod list;
pub mod set_ingest_aliases;
pub mod set_name;
mod state;
mod store;
pub mod update_config;
mod view;

pub use get::CustomerPath;
pub use state::{CustomerState, subjects_in};
pub use store::{
    CustomerRow, active_ids, aliases_by_customer, archive, balances_changed, find, find_by_subjects, get,
    hold, hold_all, lock, lock_active, subjects_by_customer, subjects_of_known, touch,
};
