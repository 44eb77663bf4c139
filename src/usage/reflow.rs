//! `POST /v1/upbeat/billable-metrics/{billable_metric_id}/reflow`: an own extension. The hosted product applies a metric
//! to events that came before it only by hand.

use aide::transform::TransformOperation;
use axum::extract::State;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::Executor;

use super::calc::{Counter, Counts};
use super::settle::begin_usage_snapshot;
use super::store::{Pace, PostgresRollups, RollupStore, hold_reflows};
use crate::access::{App, Record, Writer};
use crate::catalog::billable_metric::{self, BillableMetricRow, CountedMetrics, Reflow};
use crate::error::ApiError;
use crate::event::{Scope, SegmentReader, Segments, first_seq_after};
use crate::id::{BillableMetricId, EnvironmentId};
use crate::postgres::{hold_arrivals, next_arrival};
use crate::time::{Instant, Period, shown};
use crate::wire::{Data, Json, Path, Timestamp};

#[derive(Deserialize, JsonSchema)]
pub struct ReflowBillableMetric {
    /// Events dated at this instant or later count, whenever they came.
    starting_at: Timestamp,
}

#[derive(Deserialize, JsonSchema)]
pub struct MetricPath {
    billable_metric_id: BillableMetricId,
}

#[derive(Serialize, JsonSchema)]
pub struct Reflowed {
    billable_metric_id: BillableMetricId,
    /// From where on the metric counts now.
    starting_at: Instant,
    /// How many events count that did not before.
    event_count: i64,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Path(path): Path<MetricPath>,
    Json(request): Json<ReflowBillableMetric>,
) -> Result<axum::Json<Data<Reflowed>>, ApiError> {
    let (environment_id, id) = (caller.environment_id(), path.billable_metric_id);
    caller.lift_time_limit();
    let mut change = caller.begin(&app).await?;
    // It rests while the events are read on another connection.
    change
        .execute("SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0")
        .await?;
    hold_reflows(&mut change, environment_id).await?;
    let metric = billable_metric::lock(&mut change, environment_id, id).await?;
    let metric = metric.ok_or_else(|| ApiError::not_found("billable metric", id))?;
    if metric.archived_at.is_some() {
        return Err(ApiError::BadRequest(format!("billable metric {id} is archived")));
    }
    let metric = metric.streaming().ok_or_else(|| {
        ApiError::BadRequest(format!("billable metric {id} is in SQL, which counts earlier events anyway"))
    })?;
    let earlier = billable_metric::reflows(&mut change, environment_id).await?;
    let earlier =
        earlier.iter().filter(|reflow| reflow.metric_id == id).map(|reflow| reflow.starting_at).min();
    let starting_at = earlier.map_or(request.starting_at.0, |earlier| earlier.min(request.starting_at.0));

    let counts = match earlier {
        Some(earlier) if earlier <= starting_at => Counts::default(),
        _ => count(&app, &metric, environment_id, starting_at, earlier).await?,
    };
    // Only now, as usage events wait from here on.
    hold_arrivals(&mut change, environment_id).await?;
    // Whoever counts usage in the background may hold rows of the rollups for longer than arrivals are waited for, and to
    // come again would be to count everything again.
    change.execute("SET LOCAL lock_timeout = '20s'").await?;
    let reflow = Reflow { metric_id: id, arrival: next_arrival(&mut change).await?, starting_at };
    billable_metric::insert_reflow(&mut change, environment_id, &reflow).await?;
    PostgresRollups.apply(&mut change, environment_id, &counts, Pace::AtOnce).await?;
    let event_count = counts.hours.values().map(|tally| tally.event_count).sum();
    let record = Record::new(
        id.0,
        format!("Applied billable metric {} to events from {}", metric.name, shown(starting_at)),
    );
    change
        .commit(
            record,
            axum::Json(Data { data: Reflowed { billable_metric_id: id, starting_at, event_count } }),
        )
        .await
}

/// What the retained events add to the metric that are dated from `starting_at` on, and before `ending_before`, and came
/// before it.
async fn count(
    app: &App,
    metric: &BillableMetricRow,
    environment_id: EnvironmentId,
    starting_at: Instant,
    ending_before: Option<Instant>,
) -> Result<Counts, ApiError> {
    // All usage that is pending is counted first, without this: none of it can come a second time.
    let mut snapshot = begin_usage_snapshot(&app.db, environment_id).await?;
    let end = ending_before.unwrap_or(DateTime::<Utc>::MAX_UTC);
    let scope = Scope {
        environment_id,
        subject_ids: None,
        period: Some(Period { start: starting_at, end }),
        seqs: i64::MIN..first_seq_after(metric.created_arrival),
    };
    let counter = Counter::of_all_events(environment_id, metric.clone());
    let all = CountedMetrics::load(&mut snapshot, environment_id).await?;
    let until_now = Counter::new(environment_id, all.metrics, &all.reflows);
    let mut counts = Counts::default();
    let mut bookmark = None;
    while let Some((page, last)) = Segments.read(&mut snapshot, &scope, bookmark).await? {
        bookmark = Some(last);
        for (subject_id, fact) in page.iter().flat_map(|facts| scope.facts(facts)) {
            let unreadable = |error| ApiError::internal("stored properties are not JSON", error);
            let is_counted = counter.count(subject_id, &fact, &mut counts).map_err(unreadable)?;
            if is_counted && !until_now.takes(&fact).map_err(unreadable)? {
                counts.add_unmetered(subject_id, &fact, -1);
            }
        }
    }
    snapshot.commit().await?;
    Ok(counts)
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("reflowBillableMetric")
        .tag("Billable metrics")
        .summary("Apply a metric to earlier events")
        .description(
            "A metric counts events that arrive after its creation. This makes it count those too that came before and are \
             dated at `starting_at` or later: usage and draft invoices change at once, finalized invoices stay. Asking again \
             changes nothing, asking for an earlier instant adds what is missing. An own extension.",
        )
}
