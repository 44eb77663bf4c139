//! Usage filters: which of its customer's usage counts for a contract, by one property of the events.
//!
//! They are terms of contracts and stand with the catalog because they bind it: what the card of a filtered contract
//! sells must be countable by the filter's property. That is checked when a filter is set, when the card gains a
//! product, when a product gets another metric and when a contract's end moves.
//!
//! Invariants: append-only; at an instant the filter is in force that started last, of equal starts the one that was
//! added last; before the first one all usage counts (our decision: a contract without a filter receives all usage);
//! starts lie on hours, so that one hour's usage is under one filter. What queries count is routed event by event, before
//! they count it, so for them any property will do.

mod calc;
mod check;
mod store;

pub use calc::{FilterSegment, UsageFilter, UsageFilters};
pub use check::{OpenTime, contradiction_on_card, refuse_products, refuse_update};
pub use store::{FilterOwner, insert};
