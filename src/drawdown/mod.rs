//! Who pays: commits and credits are drawn for what a contract's usage costs.
//!
//! Owns: which balance pays for which charge, in which order and at which price, and the facts of what finalized invoices drew.
//! Does not own: balances (`contract::balance`), prices (`rating`), lines and totals (`invoice`), the ledger that follows
//! (`ledger`).
//!
//! Invariants: `calc` is pure over stretches and balances; a unit of usage is paid by one balance at most; no segment is drawn
//! below zero; what is covered and what remains is the whole; draws are append-only, and voiding an invoice gives back by a
//! draw of the opposite amount.

pub mod calc;
mod known;
mod store;

pub use known::draws_in;
pub use store::{Draw, cancel, drawn, keep, of_balances, of_customer};
