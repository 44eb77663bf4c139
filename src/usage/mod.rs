//! Quantities: what the facts count for.
//!
//! Owns: which metrics an event counts for, hourly rollups by subject, metric and group values, reading them as
//! usage and seats of customers, and finding events with what they count for. Does not own: prices.
//!
//! Invariants: every column of a rollup merges (add, greatest, later, union), so usage of several subjects,
//! groups or hours is the merge of theirs and an alias that moves rewrites nothing; usage is in the rollups or noted as
//! pending when its facts commit, and whoever reads counts what is pending or adds it to what is read, so a read never
//! misses an event whose ingest was answered.
//!
//! Metrics that queries count have no rollups: each read runs the query over the events (`sql`).
//!
//! Design change, 2026-11-20: the hour's group is the tuple of *all* group values of the metric, not one rollup
//! for each group key. Refused: one rollup row for each declared key, because the quickstart prices by one key
//! and presents by another, which only the full tuple can answer, and because any smaller grouping is a merge
//! of it.
//!
//! Design change, 2026-11-29: each state of a subject's day has a name (`usage_day`), which whoever adds to an hour of it changes in
//! the same transaction, and readers remember what the days of a metric add up to under these names. A month by the hour is
//! some hundred rows for each metric and group; of a month that was read before, only the hours of today are read. Refused:
//! a table of daily sums, because every event would pay for it once more when it is counted, and once more when it is late.
//!
//! Refused, 2026-11-28: a rollup table in monthly partitions. Nothing of it is ever dropped, since an old month may still
//! be read and counted into; every read names its subjects and metrics, by which the index finds their hours whatever else
//! the table holds; and a read over a year would look into twelve indexes in place of one.

pub mod calc;
mod days;
pub mod get;
mod group_by;
pub mod groups;
pub mod ingest;
pub mod purchased_seats;
mod range;
pub mod reflow;
pub mod search;
pub mod seats;
mod settle;
pub mod sql;
mod store;
mod uncounted;
mod unmatched;
pub mod unmatched_customers;
pub mod unmatched_metrics;
mod verify;
mod window_rows;

pub use days::days;
pub use settle::{begin_settled_snapshot, begin_usage_snapshot};
pub use store::{
    DayNames, Piece, PostgresRollups, Reading, RollupStore, SegmentedMetric, named_days,
    subjects_with_events, subjects_with_usage,
};
pub use uncounted::{Uncounted, begin_usage_read};
pub use verify::{RollupDifference, recount_as_of, verify_rollups};
