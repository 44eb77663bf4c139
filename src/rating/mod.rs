//! Charges: what quantities cost.
//!
//! Owns: cutting a period where anything that counts or prices it changes, which of its customer's usage a contract
//! bills, the quantity of each piece, the price in force under the card and the contract's overrides, the tier walk, shares
//! of spend. Does not own: quantities themselves (usage), which override applies (`contract::rate_override`), who pays
//! (drawdown), the document (invoice). Also says of usage why nothing prices it ([`calc::UnratedReason`]).
//!
//! Invariants: `calc` is pure over a loaded [`Terms`] and [`Usage`]; loading takes a bounded number of queries,
//! whatever the number of products, rates or hours (a metric with SQL takes one more for each 32 cuts, a share of what a
//! customer spends some more for each other contract); a line's total is its quantity times its unit price; cutting
//! anywhere else as well changes no charge.
//!
//! Design change, 2026-11-28: each metric is cut on its own, not all of them at every change of any price, which made a
//! card of many prices quadratic. What is priced is a stretch of time under one price with the steps of its counter,
//! not one line: lines, the spend that shares are of and the explanation of an invoice are three readings of it, so
//! none of them can differ from the others.

pub mod calc;
mod known;
mod load;
mod terms;
mod timeline;

pub use known::terms_of;
pub use load::{UsageScope, load_definitions, load_terms, load_usage};
pub use terms::{
    Agreement, Increment, MetricCounting, MetricTerms, Newest, ProductTerms, Terms, UnitConversion, Usage,
};
pub use timeline::{RateSegment, RateTimeline, RateTimelines};
