//! Counting by queries.
//!
//! The events of the customer become parameters of one statement that reads nothing else; what a query may say is
//! decided where it is created (`catalog::billable_metric::sql`). A query sees every event that its customer has,
//! also from before the metric was made, as long as it lies in the window that is counted; for the invoice of a contract
//! with usage filters, those that the filter of their time lets pass.
//!
//! Every query has bounds: events and bytes of them that it counts, events that are looked through for those, time,
//! memory and disk of its statements, rows and bytes of its answer. What lies within all but one of them is never counted
//! in part: the question fails with a reason (`error::NotComputable`).

mod answer;
mod facts;
mod print;
mod run;
mod windows;

pub use answer::{Answer, by_groups, total};
pub use facts::{Facts, LOOKED_THROUGH_MAX, MetricQuery, with_events};
pub use run::{TIME_LIMIT, passing};
pub use windows::{Counted, by_window};
