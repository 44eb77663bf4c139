//! `POST /v1/usage/seats`

use std::collections::BTreeMap;
use std::ops::Range;

use aide::transform::TransformOperation;
use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::calc::{Intake, SeatCount, WindowSize, Windows, seat_reading};
use super::ingest::Metering;
use super::range::{current_period, dates};
use super::store::Question;
use super::uncounted::{Uncounted, begin_usage_read};
use super::window_rows::{Cut, window_rows};
use crate::access::{App, Caller};
use crate::catalog::billable_metric::{self, AggregationType, BillableMetricRow};
use crate::customer;
use crate::error::ApiError;
use crate::event::{Scope, SegmentReader, Segments, parse_properties, subject_id};
use crate::id::{BillableMetricId, CustomerId, EnvironmentId};
use crate::time::{Instant, Period};
use crate::wire::{CursorKey, ExactNumber, Json, Page, PageRequest, Query, Timestamp};

#[derive(Deserialize, Serialize, JsonSchema)]
pub struct GetSeatsUsage {
    customer_id: CustomerId,
    /// A metric whose aggregation key is the property that reports seats, whatever its aggregation type.
    seat_metric_id: BillableMetricId,
    usage_type: SeatCount,
    window_size: WindowSize,
    /// Inclusive; at midnight UTC. Needed unless `current_period` is true.
    starting_on: Option<Timestamp>,
    /// Exclusive; at midnight UTC. Needed unless `current_period` is true.
    ending_before: Option<Timestamp>,
    /// The whole billing period of the customer's contract that runs now, in place of two dates.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    current_period: bool,
}

/// The seats of one window (schema `SeatsUsageAggregate`).
#[derive(Serialize, JsonSchema)]
pub struct SeatsUsageRow {
    starting_on: Instant,
    ending_before: Instant,
    /// Null where no event reports any: nothing is carried over from the window before.
    value: Option<ExactNumber>,
}

/// The end of a page.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct Position {
    /// When the first page was asked for: later ones stay in the billing period that was current then.
    began_at: Timestamp,
    /// Where the last row's window starts.
    starting_on: Timestamp,
}

pub async fn handler(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    Query(page): Query<PageRequest>,
    Json(request): Json<GetSeatsUsage>,
) -> Result<axum::Json<Page<SeatsUsageRow>>, ApiError> {
    let environment_id = caller.environment_id();
    let dates = dates(request.current_period, request.starting_on, request.ending_before)?;
    let key = CursorKey::new("seats", "next_page", environment_id, &request);
    let position: Option<Position> = key.decode(page.next_page.as_deref())?;
    let began_at = position.map_or(caller.now, |position| position.began_at.0);

    let (mut db, uncounted) =
        begin_usage_read(&app.db, environment_id, Some(request.customer_id), metering.recent()).await?;
    uncounted.state_of(request.customer_id)?;
    let metric = seat_metric(&mut db, environment_id, request.seat_metric_id).await?;
    let range = match dates {
        Some(range) => range,
        None => current_period(&mut db, environment_id, request.customer_id, began_at).await?,
    };
    let windows = Windows::new(request.window_size, range);
    let first = match position {
        Some(last) => windows.starting_at(last.starting_on.0).ok_or_else(|| key.refused())? + 1,
        None => 0,
    };
    let limit = page.limit.get();
    let count = i64::try_from(limit).expect("limits are small") + 1;
    let indexes: Vec<i64> = (first..windows.count().min(first + count)).collect();
    let seats = match indexes[..] {
        [] => BTreeMap::new(),
        [first, .., last] => {
            read(&mut db, environment_id, &request, &metric, &windows, first..last + 1, &uncounted).await?
        }
        [only] => {
            read(&mut db, environment_id, &request, &metric, &windows, only..only + 1, &uncounted).await?
        }
    };
    // It is undone behind the answer.
    drop(db);

    let row = |index: i64| {
        let Period { start, end } = windows.at(index);
        SeatsUsageRow { starting_on: start, ending_before: end, value: seats.get(&index).cloned() }
    };
    let position = |row: &SeatsUsageRow| Position {
        began_at: Timestamp(began_at),
        starting_on: Timestamp(row.starting_on),
    };
    let rows = indexes.into_iter().map(row).collect();
    Ok(axum::Json(Page::cut(rows, limit, |row| key.encode(&position(row)))))
}

/// The metric and whether a product uses it; 404 where there is none, 400 where it reads no number.
async fn seat_metric(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: BillableMetricId,
) -> Result<(BillableMetricRow, bool), ApiError> {
    let found = billable_metric::find(db, environment_id, id).await?;
    let found = found.ok_or_else(|| ApiError::not_found("billable metric", id))?;
    if found.definition.is_sql() {
        return Err(ApiError::field("seat_metric_id", "no one property of a SQL metric reports seats"));
    }
    let metrics = billable_metric::all_metrics(db, environment_id).await?;
    let metric = metrics.into_iter().find(|(metric, _)| metric.id == id);
    let metric = metric.ok_or_else(|| ApiError::not_found("billable metric", id))?;
    if metric.0.definition.aggregation_type == AggregationType::Count {
        return Err(ApiError::field(
            "seat_metric_id",
            "a COUNT metric reads no property that could report seats",
        ));
    }
    Ok(metric)
}

/// The seats by window, of those windows that have any.
async fn read(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    request: &GetSeatsUsage,
    metric: &(BillableMetricRow, bool),
    windows: &Windows,
    indexes: Range<i64>,
    uncounted: &Uncounted,
) -> Result<BTreeMap<i64, ExactNumber>, ApiError> {
    let subjects = customer::subjects_by_customer(db, environment_id, &[request.customer_id.0]).await?;
    let received = &subjects[&request.customer_id];
    let period = windows.span(&indexes);
    let is_kept = match metric.0.definition.aggregation_type {
        AggregationType::Max => request.usage_type == SeatCount::Max,
        AggregationType::Latest => request.usage_type == SeatCount::Latest,
        AggregationType::Count | AggregationType::Sum | AggregationType::Unique => false,
    };
    if is_kept {
        let question = Question::new(environment_id, request.customer_id, received, &metric.0, period);
        let questions = [question];
        let (cut, uncounted) = (Cut::default(), uncounted.counts(db, &questions).await?);
        let rows = window_rows(db, environment_id, &questions, windows, &cut, &uncounted).await?;
        let values = rows.into_iter().filter_map(|row| Some((row.window, ExactNumber(row.value?))));
        return Ok(values.collect());
    }
    let scope = Scope {
        environment_id,
        subject_ids: Some(received.iter().map(|received| subject_id(environment_id, received)).collect()),
        period: Some(period),
        seqs: i64::MIN..i64::MAX,
    };
    let reflows = billable_metric::reflows(db, environment_id).await?;
    let intake = Intake::of(&metric.0, metric.1, &reflows);
    from_facts(db, &scope, request.usage_type, &metric.0, intake, windows).await
}

/// What rollups do not keep: a rollup has only what its metric's own aggregation needs.
async fn from_facts(
    db: &mut PgConnection,
    scope: &Scope,
    usage_type: SeatCount,
    metric: &BillableMetricRow,
    intake: Intake,
    windows: &Windows,
) -> Result<BTreeMap<i64, ExactNumber>, ApiError> {
    let mut best = BTreeMap::new();
    let mut bookmark = None;
    while let Some((page, last)) = Segments.read(db, scope, bookmark).await? {
        bookmark = Some(last);
        let facts = page.iter().flat_map(|facts| scope.facts(facts));
        for (_, fact) in facts.filter(|(_, fact)| intake.takes(fact)) {
            let properties = parse_properties(fact.properties_json)
                .map_err(|error| ApiError::internal("stored properties are not JSON", error))?;
            let place = (fact.timestamp, fact.seq);
            let reading = seat_reading(&metric.definition, fact.event_type, &properties, place);
            if let Some(reading) = reading {
                let window = windows.containing(fact.timestamp);
                usage_type.keep(best.entry(window).or_insert(None), reading);
            }
        }
    }
    let shown = best.into_iter().filter_map(|(window, best)| Some((window, best?.shown())));
    Ok(shown.collect())
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("getSeatsUsage").tag("Usage").summary("Get one customer's seats by window").description(
        "A row for each window with the highest or the newest number of seats that events reported in it, whatever the \
         metric's own aggregation type. A COUNT or a SQL metric is refused.",
    )
}
