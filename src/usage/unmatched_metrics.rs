//! `POST /v1/upbeat/usage/unmatched-metrics`: an own extension. The events that no metric counts.

use aide::transform::TransformOperation;
use axum::extract::State;
use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::days::days;
use super::get::UsageCursor;
use super::settle::begin_usage_snapshot;
use super::store::{UnmeteredRow, unmetered_after};
use crate::access::{App, Caller};
use crate::catalog::billable_metric::{self, Counting};
use crate::error::ApiError;
use crate::id::{EnvironmentId, SubjectId};
use crate::time::{Instant, Period, of_day};
use crate::wire::{CursorKey, Json, Page, Query, Timestamp};

/// Rows on a page (our decision: like usage, the operation has no limit parameter).
const ROWS_MAX: usize = 1000;

/// Characters of a sender's text that are shown (our decision: it may be as long as an event).
pub const SHOWN_MAX: usize = 255;

#[derive(Deserialize, Serialize, JsonSchema)]
pub struct ListUnmatchedMetrics {
    /// Inclusive; at midnight UTC. The first day on which events could be dated when omitted.
    starting_on: Option<Timestamp>,
    /// Exclusive; at midnight UTC, at most 100 days later. Behind the last day on which events can be dated when omitted.
    ending_before: Option<Timestamp>,
}

/// The events of one type, customer and day that no metric counts.
#[derive(Serialize, JsonSchema)]
pub struct UnmatchedMetricRow {
    start_timestamp: Instant,
    end_timestamp: Instant,
    /// As it was sent; its first 255 characters.
    event_type: String,
    /// As it was sent, whether it means a customer or not; its first 255 characters.
    customer_id: String,
    event_count: i64,
}

/// The days of the first page, and the last row.
type Place = (Timestamp, Timestamp, NaiveDate, SubjectId, Uuid);

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<UsageCursor>,
    Json(request): Json<ListUnmatchedMetrics>,
) -> Result<axum::Json<Page<UnmatchedMetricRow>>, ApiError> {
    let environment_id = caller.environment_id();
    let key = CursorKey::new("unmatched metrics", "next_page", environment_id, &request);
    let place: Option<Place> = key.decode(page.next_page.as_deref())?;
    let (period, after) = match place {
        Some((start, end, day, subject_id, event_type)) => {
            let period = days(Some(start), Some(end), caller.now).map_err(|_| key.refused())?;
            if !(period.start.date_naive()..period.end.date_naive()).contains(&day) {
                return Err(key.refused());
            }
            (period, Some((day, subject_id, event_type)))
        }
        None => (days(request.starting_on, request.ending_before, caller.now)?, None),
    };
    let mut snapshot = begin_usage_snapshot(&app.db, environment_id).await?;
    let rows = match queried_types(&mut snapshot, environment_id).await? {
        Some(types) => {
            unmetered_after(&mut snapshot, environment_id, period, &types, after, ROWS_MAX + 1).await?
        }
        None => Vec::new(),
    };
    // It is undone behind the answer.
    drop(snapshot);
    let Period { start, end } = period;
    let page = Page::cut(rows, ROWS_MAX, |row| {
        let (day, subject_id, event_type) = row.place();
        key.encode(&(Timestamp(start), Timestamp(end), day, subject_id, event_type))
    });
    Ok(axum::Json(page.map(shown)))
}

/// The event types that metrics with SQL name, which no streaming metric need count; nothing where one of them takes
/// events of any type.
async fn queried_types(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Option<Vec<String>>, sqlx::Error> {
    let metrics = billable_metric::sql_metrics(db, environment_id).await?;
    let mut queried = Vec::new();
    for metric in &metrics {
        let Counting::Sql(definition) = &metric.definition else { continue };
        // A query that is refused now counts nothing.
        let Ok(query) = definition.query() else { continue };
        let Some(types) = query.event_types() else { return Ok(None) };
        queried.extend(types.into_iter().map(str::to_owned));
    }
    Ok(Some(queried))
}

fn shown(row: UnmeteredRow) -> UnmatchedMetricRow {
    let day = of_day(row.day);
    UnmatchedMetricRow {
        start_timestamp: day.start,
        end_timestamp: day.end,
        event_type: beginning(&row.event_type),
        customer_id: beginning(&row.received),
        event_count: row.event_count,
    }
}

/// As much of a sender's text as is shown.
#[must_use]
pub fn beginning(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("listUnmatchedMetrics").tag("Usage").summary("List events that no metric counts").description(
        "How many events of each type and day no streaming metric counted, whoever they name, by day. A type that an \
         active metric with SQL names is left out, and so is everything while one takes events of any type. A metric \
         that is made later does not count them unless it is applied to earlier events, which takes them from this \
         list. An own extension.",
    )
}
