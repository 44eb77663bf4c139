//! Charges: what quantities cost.
//!
//! Owns: cutting a period where anything that counts or prices it changes, which of its customer's usage a contract
//! bills, the quantity of each piece, the rate in force, the tier walk. Does not own: quantities themselves (usage),
//! who pays (balances come later), the document (invoice).
//!
//! Invariants: `calc` is pure over a loaded [`Terms`] and [`Usage`]; loading takes a bounded number of queries,
//! whatever the number of products, rates or hours (a metric with SQL takes one more for each 32 cuts); a line's total
//! is its quantity times its unit price.

pub mod calc;
mod load;
mod terms;

pub use load::{UsageScope, load_definitions, load_terms, load_usage};
pub use terms::{
    Agreement, Increment, MetricCounting, MetricTerms, Newest, ProductTerms, Terms, UnitConversion, Usage,
};
