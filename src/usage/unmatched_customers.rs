//! `POST /v1/upbeat/usage/unmatched-customers`: an own extension. The usage that no customer claims.

use std::collections::BTreeMap;

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
use super::store::{SubjectDay, subjects_after, usage_by_day};
use super::unmatched_metrics::beginning;
use crate::access::{App, Caller};
use crate::catalog::billable_metric;
use crate::customer;
use crate::error::ApiError;
use crate::id::{BillableMetricId, EnvironmentId, SubjectId};
use crate::time::{Instant, Period, of_day};
use crate::wire::{CursorKey, Json, Page, Query, Timestamp};

/// Rows on a page (our decision: like usage, the operation has no limit parameter).
const ROWS_MAX: usize = 1000;

/// How many of the strings that events came with one page looks at, and how many at once.
const SUBJECTS_MAX: usize = 5000;
const SUBJECTS_AT_ONCE: usize = 250;

#[derive(Deserialize, Serialize, JsonSchema)]
pub struct ListUnmatchedCustomers {
    /// Inclusive; at midnight UTC. The first day on which events could be dated when omitted.
    starting_on: Option<Timestamp>,
    /// Exclusive; at midnight UTC, at most 100 days later. Behind the last day on which events can be dated when omitted.
    ending_before: Option<Timestamp>,
}

/// The events of one day under a `customer_id` that no customer claims, by the metric that counts them.
#[derive(Serialize, JsonSchema)]
pub struct UnmatchedCustomerRow {
    /// As it was sent; its first 255 characters.
    customer_id: String,
    start_timestamp: Instant,
    end_timestamp: Instant,
    /// Null: those that no streaming metric counts.
    billable_metric_id: Option<BillableMetricId>,
    billable_metric_name: Option<String>,
    event_count: i64,
}

/// The subject to go on with, and its last row on the page before.
type Place = (SubjectId, Option<(NaiveDate, Option<BillableMetricId>)>);

/// What a page shows, and where the next one begins.
struct Found {
    rows: Vec<(SubjectDay, String)>,
    next: Option<Place>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<UsageCursor>,
    Json(request): Json<ListUnmatchedCustomers>,
) -> Result<axum::Json<Page<UnmatchedCustomerRow>>, ApiError> {
    let environment_id = caller.environment_id();
    let key = CursorKey::new("unmatched customers", "next_page", environment_id, &request);
    let cursor: Option<(Timestamp, Timestamp, Place)> = key.decode(page.next_page.as_deref())?;
    let (period, place) = match cursor {
        Some((start, end, place)) => {
            (days(Some(start), Some(end), caller.now).map_err(|_| key.refused())?, place)
        }
        None => {
            let period = days(request.starting_on, request.ending_before, caller.now)?;
            (period, (SubjectId(Uuid::nil()), None))
        }
    };
    let mut snapshot = begin_usage_snapshot(&app.db, environment_id).await?;
    let found = find(&mut snapshot, environment_id, period, place).await?;
    let mut ids: Vec<Uuid> = found.rows.iter().filter_map(|(row, _)| row.metric_id).map(|id| id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let metrics = billable_metric::find_many(&mut snapshot, environment_id, &ids).await?;
    // It is undone behind the answer.
    drop(snapshot);
    let names: BTreeMap<BillableMetricId, String> =
        metrics.into_iter().map(|metric| (metric.id, metric.name)).collect();
    let shown = |(row, received): (SubjectDay, String)| {
        let day = of_day(row.day);
        UnmatchedCustomerRow {
            customer_id: beginning(&received),
            start_timestamp: day.start,
            end_timestamp: day.end,
            billable_metric_id: row.metric_id,
            billable_metric_name: row.metric_id.and_then(|id| names.get(&id).cloned()),
            event_count: row.event_count,
        }
    };
    let encode = |place: Place| key.encode(&(Timestamp(period.start), Timestamp(period.end), place));
    Ok(axum::Json(Page {
        data: found.rows.into_iter().map(shown).collect(),
        next_page: found.next.map(encode),
    }))
}

async fn find(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    period: Period,
    (mut from, mut after): Place,
) -> Result<Found, sqlx::Error> {
    let mut rows: Vec<(SubjectDay, String)> = Vec::new();
    for _ in 0..SUBJECTS_MAX / SUBJECTS_AT_ONCE {
        let subjects = subjects_after(db, environment_id, from, SUBJECTS_AT_ONCE).await?;
        let received: Vec<String> = subjects.iter().map(|subject| subject.received.clone()).collect();
        let claimed = customer::find_by_subjects(db, environment_id, &received).await?;
        let unclaimed = subjects.iter().filter(|subject| !claimed.contains_key(&subject.received));
        let unclaimed: BTreeMap<SubjectId, &String> =
            unclaimed.map(|subject| (subject.id, &subject.received)).collect();
        let ids: Vec<Uuid> = unclaimed.keys().map(|id| id.0).collect();
        for row in usage_by_day(db, environment_id, &ids, period).await? {
            let is_shown =
                row.subject_id == from && after.is_some_and(|last| (row.day, row.metric_id) <= last);
            if !is_shown {
                let received = unclaimed[&row.subject_id].clone();
                rows.push((row, received));
            }
        }
        if rows.len() > ROWS_MAX {
            rows.truncate(ROWS_MAX);
            let next = rows.last().map(|(row, _)| (row.subject_id, Some((row.day, row.metric_id))));
            return Ok(Found { rows, next });
        }
        match subjects.last() {
            Some(last) if subjects.len() == SUBJECTS_AT_ONCE => {
                from = SubjectId(Uuid::from_u128(last.id.0.as_u128().saturating_add(1)));
                after = None;
            }
            _ => return Ok(Found { rows, next: None }),
        }
    }
    Ok(Found { rows, next: Some((from, None)) })
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("listUnmatchedCustomers")
        .tag("Usage")
        .summary("List usage that no customer claims")
        .description(
            "How many events came for each day and metric under a `customer_id` that is neither a customer's id nor an \
             ingest alias. Nothing is lost: an alias that is set later attaches them, and they leave this list. An event \
             is in the row of every metric that counts it. A page looks at 5,000 names at most: it may be short or empty \
             and have a next one. An own extension.",
        )
}
