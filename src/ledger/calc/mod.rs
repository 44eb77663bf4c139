//! The ledger of one commit or credit, and what is left of it. Pure.

mod account;
mod entries;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod properties;

pub use account::{Account, ContractTerm, Rollover, TrueUp};
pub use entries::{Entry, EntryKind};
