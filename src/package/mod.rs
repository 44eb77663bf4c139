//! Packages: contract terms for many customers, their dates counted from the start of each contract.
//!
//! Owns: the templates, their aliases, and the terms that one gives a contract. Does not own: what a contract is (see
//! `contract`), making one (`invoice::create_contract`).
//!
//! Invariants: a package never changes but for being archived; a contract takes its terms over once, when it is made,
//! and remembers the package; at any instant an alias names at most one package (a database constraint).

mod calc;
pub mod archive;
pub mod create;
pub mod get;
mod input;
pub mod list;
pub mod list_contracts;
mod new_contract;
mod store;
mod terms;
mod view;

pub use new_contract::{ContractParties, Planned};
pub use store::charge_exists;
