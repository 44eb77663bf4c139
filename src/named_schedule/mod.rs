//! Named schedules: values that change over time under a name, on a rate card, a customer or a contract.
//!
//! Owns: the values and when each holds. Does not own: what they mean. They are for the pricing logic of whoever keeps
//! them, and nothing on an invoice comes from them.
//!
//! Invariants: at any instant a schedule has at most one value; a value is kept as the text that it came as, so that
//! no digit is lost; a schedule of a contract is known by its name and all of its properties.

mod calc;
mod input;
pub mod list;
pub mod of_contract;
pub mod of_customer;
pub mod of_rate_card;
mod store;
mod view;
