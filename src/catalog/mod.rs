//! What can be sold and at what price: pricing units, billable metrics, products, rate cards, rates; the names that
//! stand for rate cards and packages; and the usage filters of contracts, which bind them.
//!
//! Owns: definitions that many customers share. Does not own: who bought what (contracts), quantities (usage)
//! or prices in force for one invoice line (rating).
//!
//! Invariants: a billable metric never changes what it counts; a rate card's timeline is append-only, and where
//! its entries overlap the one added last is in force; whatever changes of metrics, products,
//! rate cards, rates and units gives the catalog a new name ([`version`]).

pub mod alias;
pub mod billable_metric;
pub mod credit_type;
pub mod product;
pub mod rate;
pub mod rate_card;
pub mod usage_filter;
pub mod version;
