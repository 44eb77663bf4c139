//! Billable metrics: what is counted.
//!
//! Invariants: a definition never changes; a streaming metric counts events that arrive after it was created.

pub mod archive;
pub mod create;
mod definition;
pub mod get;
pub mod list;
mod store;
mod view;

pub use definition::{AggregationType, Definition, EventTypeFilter, PropertyFilter};
pub use store::{BillableMetricRow, all_metrics, find, find_many, metrics_taking_events, share};
