//! Packages: contract terms for many customers, their dates counted from the start of each contract.
//!
//! Owns: the templates, their aliases, and making a contract of one. Does not own: what a contract is (see
//! `contract`); a contract is made by way of the last of the two, so `POST /v1/contracts/create` lives here.
//!
//! Invariants: a package never changes but for being archived; a contract takes its terms over once, when it is made,
//! and remembers the package; at any instant an alias names at most one package (a database constraint).

mod calc;
pub mod archive;
pub mod create;
pub mod create_contract;
pub mod get;
mod input;
pub mod list;
pub mod list_contracts;
mod store;
mod terms;
mod view;

pub use store::charge_exists;
