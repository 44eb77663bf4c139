//! Billable metrics: what is counted.
//!
//! A metric is a streaming one, with filters and one aggregation ([`Definition`]), or one that a query counts
//! ([`sql::SqlDefinition`]).
//!
//! Invariants: a definition never changes, a name may; a streaming metric counts events that arrive after it was created,
//! a query all that there are.

pub mod archive;
pub mod create;
pub mod create_legacy;
mod counted;
mod counting;
mod definition;
mod filter_schema;
pub mod get;
mod known;
pub mod list;
pub mod sql;
mod store;
pub mod update;
mod view;

pub use counted::CountedMetrics;
pub use counting::Counting;
pub use definition::{AggregationType, Definition, EventTypeFilter, PropertyFilter};
pub use known::{all_active, find_known};
pub use store::{
    AnyMetricRow, BillableMetricRow, MetricFilter, Reflow, all_metrics, all_sql_metrics, find, find_many,
    insert_reflow, list as list_metrics, lock, reflows, share, sql_metrics,
};
pub use view::{BillableMetric, BillableMetricWithMirrors};
