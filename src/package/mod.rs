//! Packages: contract terms for many customers, their dates counted from the start of each contract.
//!
//! Owns: the templates, their aliases, and the terms that one gives a contract. Does not own: what a contract is and what its
//! terms must satisfy (see `contract`; a commit of a package is planned there like one of a request), making one
//! (`invoice::create_contract`).
//!
//! Invariants: a package never changes but for being archived; a contract takes its terms over once, when it is made,
//! and remembers the package; at any instant an alias names at most one package (a database constraint).

mod balance_input;
mod balance_store;
mod balance_view;
mod calc;
mod copy;
pub mod archive;
pub mod create;
pub mod get;
mod input;
pub mod list;
pub mod list_contracts;
mod new_contract;
mod override_view;
mod recurring_input;
mod recurring_view;
mod store;
mod terms;
mod view;

pub use balance_store::exists as balance_exists;
pub use new_contract::{ContractParties, Planned};
pub use store::charge_exists;
