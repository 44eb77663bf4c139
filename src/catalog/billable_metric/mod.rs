//! Billable metrics: what is counted.
//!
//! Invariants: a definition never changes, a name may; a streaming metric counts events that arrive after it was created.

pub mod archive;
pub mod create;
pub mod create_legacy;
mod definition;
mod filter_schema;
pub mod get;
pub mod list;
mod store;
pub mod update;
mod view;

pub use definition::{AggregationType, Definition, EventTypeFilter, PropertyFilter};
pub use store::{
    BillableMetricRow, MetricFilter, Reflow, all_metrics, find, find_many, insert_reflow,
    list as list_metrics, lock, metrics_taking_events, reflows, share,
};
pub use view::{BillableMetric, BillableMetricWithMirrors};
