//! `POST /v1/usage`

use std::collections::{BTreeMap, HashMap, HashSet};

use aide::transform::TransformOperation;
use axum::extract::State;
use chrono::{NaiveTime, TimeDelta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::store::{MetricSubjects, PostgresRollups, RollupStore, WindowRow, pairs_with_usage};
use crate::access::{App, Caller};
use crate::casing::wire_enum;
use crate::catalog::billable_metric::{self, BillableMetricRow};
use crate::customer;
use crate::error::ApiError;
use crate::event::subject_id;
use crate::id::{BillableMetricId, CustomerId, EnvironmentId};
use crate::postgres::begin_snapshot;
use crate::time::{Instant, Period};
use crate::wire::{CursorKey, ExactNumber, Json, Page, Query, Timestamp};

/// Rows on a page (our decision: the operation has no limit parameter).
const ROWS_MAX: usize = 1000;

/// Most group values of one window.
const GROUP_VALUES_MAX: usize = 200;

wire_enum! {
    /// The length of the windows.
    pub enum WindowSize {
        Hour = "HOUR",
        Day = "DAY",
        /// One window over the whole range.
        None = "NONE",
    }
}

#[derive(Deserialize, Serialize, JsonSchema)]
pub struct GetUsage {
    /// All customers with usage when omitted; none when empty.
    customer_ids: Option<Vec<CustomerId>>,
    /// All metrics with usage when omitted; none when empty.
    billable_metrics: Option<Vec<MetricInput>>,
    window_size: WindowSize,
    /// Inclusive; at midnight UTC.
    starting_on: Timestamp,
    /// Exclusive; at midnight UTC.
    ending_before: Timestamp,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct MetricInput {
    id: BillableMetricId,
    group_by: Option<GroupBy>,
}

#[derive(Clone, Deserialize, Serialize, JsonSchema)]
struct GroupBy {
    /// A group key of the metric that is one property.
    key: String,
    /// 1 to 200 values to show; the first 200 in byte order when omitted.
    values: Option<Vec<String>>,
}

#[derive(Deserialize, JsonSchema)]
pub struct UsageCursor {
    next_page: Option<String>,
}

/// The usage of one customer and metric in one window (schema `UsageBatchAggregate`).
#[derive(Serialize, JsonSchema)]
pub struct UsageRow {
    customer_id: CustomerId,
    billable_metric_id: BillableMetricId,
    billable_metric_name: String,
    start_timestamp: Instant,
    end_timestamp: Instant,
    /// The whole aggregate, not split by group; null where no event matches.
    value: Option<ExactNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<BTreeMap<String, Option<ExactNumber>>>,
}

/// A customer and a metric whose windows are asked for.
type Pair = (CustomerId, BillableMetricId);

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<UsageCursor>,
    Json(request): Json<GetUsage>,
) -> Result<axum::Json<Page<UsageRow>>, ApiError> {
    let environment_id = caller.environment_id();
    let range = range(&request)?;
    let window = window_length(request.window_size, range);
    let key = CursorKey::new("usage", "next_page", environment_id, &request);
    let after: Option<(Pair, i64)> = key.decode(page.next_page.as_deref())?;
    if after.is_some_and(|(_, index)| !(0..window_count(range, window)).contains(&index)) {
        return Err(key.refused());
    }

    let mut snapshot = begin_snapshot(&app.db).await?;
    let pairs = pairs(&mut snapshot, environment_id, &request, range, after.map(|(pair, _)| pair)).await?;
    let slots = slots(&pairs, range, window, after);
    let shown: Vec<Pair> = {
        let mut shown: Vec<Pair> = slots.iter().take(ROWS_MAX).map(|(pair, _)| *pair).collect();
        shown.dedup();
        shown
    };
    let named = request.billable_metrics.iter().flatten().map(|metric| metric.id);
    let metric_ids = shown.iter().map(|(_, metric)| *metric).chain(named);
    let mut metrics = load_metrics(&mut snapshot, environment_id, metric_ids).await?;
    let group_by = group_keys(&request, &metrics)?;
    let values = read(&mut snapshot, environment_id, &shown, &metrics, &group_by, range, window).await?;
    snapshot.commit().await?;

    let page = Page::cut(slots, ROWS_MAX, |slot| key.encode(slot));
    let rows = page.map(|(pair, index)| {
        let metric = metrics.get_mut(&pair.1).expect("every pair's metric is loaded");
        let start = range.start + window * i32::try_from(index).expect("windows of a request fit");
        UsageRow {
            customer_id: pair.0,
            billable_metric_id: pair.1,
            billable_metric_name: metric.name.clone(),
            start_timestamp: start,
            end_timestamp: range.end.min(start + window),
            value: values.total.get(&(pair, index)).cloned().flatten(),
            groups: group_by.get(&pair.1).map(|(_, group_by)| values.groups(pair, index, group_by)),
        }
    });
    Ok(axum::Json(rows))
}

/// The range, whose ends must be midnights at least a day apart (Python SDK).
fn range(request: &GetUsage) -> Result<Period, ApiError> {
    for (field, instant) in [("starting_on", request.starting_on), ("ending_before", request.ending_before)] {
        if instant.0.time() != NaiveTime::MIN {
            return Err(ApiError::field(field, "must be midnight UTC"));
        }
    }
    Period::new(request.starting_on.0, request.ending_before.0)
        .ok_or_else(|| ApiError::field("ending_before", "must be after starting_on"))
}

fn window_length(size: WindowSize, range: Period) -> TimeDelta {
    match size {
        WindowSize::Hour => TimeDelta::hours(1),
        WindowSize::Day => TimeDelta::days(1),
        WindowSize::None => range.end - range.start,
    }
}

fn window_count(range: Period, window: TimeDelta) -> i64 {
    (range.end - range.start).num_seconds() / window.num_seconds()
}

/// The pairs that are asked for, in order, from the one that the last page ended in; no more than a page can
/// show. Named customers and metrics come whether they have usage or not; where a list is omitted, only what
/// has usage in the range.
async fn pairs(
    db: &mut sqlx::PgConnection,
    environment_id: EnvironmentId,
    request: &GetUsage,
    range: Period,
    from: Option<Pair>,
) -> Result<Vec<Pair>, ApiError> {
    let customers: Option<Vec<Uuid>> =
        request.customer_ids.as_ref().map(|ids| sorted(ids.iter().map(|id| id.0).collect()));
    let metrics: Option<Vec<Uuid>> = request
        .billable_metrics
        .as_ref()
        .map(|metrics| sorted(metrics.iter().map(|metric| metric.id.0).collect()));
    if let Some(ids) = &customers {
        customer::require(db, environment_id, ids).await?;
    }
    if let Some(ids) = &metrics {
        let found = billable_metric::find_many(db, environment_id, ids).await?;
        let found: HashSet<Uuid> = found.iter().map(|metric| metric.id.0).collect();
        if let Some(missing) = ids.iter().find(|id| !found.contains(*id)) {
            return Err(ApiError::not_found("billable metric", missing));
        }
    }
    match (&customers, &metrics) {
        (Some(customers), Some(metrics)) => {
            let customers = customers.iter().skip_while(|id| from.is_some_and(|(first, _)| **id < first.0));
            let pairs = customers.flat_map(|customer| {
                metrics.iter().map(|metric| (CustomerId(*customer), BillableMetricId(*metric)))
            });
            Ok(pairs.filter(|pair| from.is_none_or(|from| *pair >= from)).take(ROWS_MAX + 1).collect())
        }
        (customers, metrics) => {
            let (customers, metrics) = (customers.as_deref(), metrics.as_deref());
            Ok(pairs_with_usage(db, environment_id, customers, metrics, range, from, ROWS_MAX + 1).await?)
        }
    }
}

fn sorted(mut ids: Vec<Uuid>) -> Vec<Uuid> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// One page of rows and one more: each pair with each of its windows, after the cursor.
fn slots(pairs: &[Pair], range: Period, window: TimeDelta, after: Option<(Pair, i64)>) -> Vec<(Pair, i64)> {
    let count = window_count(range, window);
    let first = |pair: &Pair| match &after {
        Some((last, index)) if pair == last => index + 1,
        _ => 0,
    };
    pairs
        .iter()
        .flat_map(|pair| (first(pair)..count).map(|index| (*pair, index)))
        .take(ROWS_MAX + 1)
        .collect()
}

async fn load_metrics(
    db: &mut sqlx::PgConnection,
    environment_id: EnvironmentId,
    ids: impl Iterator<Item = BillableMetricId>,
) -> Result<BTreeMap<BillableMetricId, BillableMetricRow>, sqlx::Error> {
    let ids = sorted(ids.map(|id| id.0).collect());
    let metrics = billable_metric::find_many(db, environment_id, &ids).await?;
    Ok(metrics.into_iter().map(|metric| (metric.id, metric)).collect())
}

/// The place of the group name and the grouping that each metric is asked with.
fn group_keys(
    request: &GetUsage,
    metrics: &BTreeMap<BillableMetricId, BillableMetricRow>,
) -> Result<BTreeMap<BillableMetricId, (usize, GroupBy)>, ApiError> {
    let mut places = BTreeMap::new();
    let mut seen = HashSet::new();
    for (index, input) in request.billable_metrics.iter().flatten().enumerate() {
        if !seen.insert(input.id) {
            return Err(ApiError::field(&format!("billable_metrics[{index}].id"), "is named twice"));
        }
        let (Some(group_by), Some(metric)) = (&input.group_by, metrics.get(&input.id)) else {
            continue;
        };
        let path = format!("billable_metrics[{index}].group_by");
        let simple = [group_by.key.clone()];
        if !metric.definition.group_keys.iter().flatten().any(|key| key[..] == simple) {
            let reason = format!("`{}` is not a group key of the metric that is one property", group_by.key);
            return Err(ApiError::field(&format!("{path}.key"), reason));
        }
        if group_by.values.as_ref().is_some_and(|values| values.is_empty() || values.len() > GROUP_VALUES_MAX)
        {
            return Err(ApiError::field(
                &format!("{path}.values"),
                format!("1 to {GROUP_VALUES_MAX} values"),
            ));
        }
        let names = metric.definition.group_names();
        let place =
            names.iter().position(|name| *name == group_by.key).expect("group names hold every group key");
        places.insert(input.id, (place, group_by.clone()));
    }
    Ok(places)
}

/// What was read: the whole aggregate of each slot, and the aggregate of each of its group values.
struct Values {
    total: HashMap<(Pair, i64), Option<ExactNumber>>,
    grouped: BTreeMap<Pair, BTreeMap<String, HashMap<i64, Option<ExactNumber>>>>,
}

impl Values {
    /// The group values of a window: the ones asked for, else the first of those seen anywhere in the range.
    fn groups(&self, pair: Pair, index: i64, group_by: &GroupBy) -> BTreeMap<String, Option<ExactNumber>> {
        let seen = self.grouped.get(&pair);
        let value = |name: &String| {
            let windows = seen.and_then(|seen| seen.get(name));
            (name.clone(), windows.and_then(|windows| windows.get(&index)).cloned().flatten())
        };
        match &group_by.values {
            Some(names) => names.iter().map(value).collect(),
            None => seen.into_iter().flat_map(BTreeMap::keys).take(GROUP_VALUES_MAX).map(value).collect(),
        }
    }
}

async fn read(
    db: &mut sqlx::PgConnection,
    environment_id: EnvironmentId,
    pairs: &[Pair],
    metrics: &BTreeMap<BillableMetricId, BillableMetricRow>,
    group_by: &BTreeMap<BillableMetricId, (usize, GroupBy)>,
    range: Period,
    window: TimeDelta,
) -> Result<Values, sqlx::Error> {
    let customer_ids = sorted(pairs.iter().map(|(customer, _)| customer.0).collect());
    let subjects = customer::subjects_by_customer(db, environment_id, &customer_ids).await?;
    let ask = |pair: &Pair, group_place| MetricSubjects {
        customer_id: pair.0,
        metric_id: pair.1,
        aggregation: metrics[&pair.1].definition.aggregation_type,
        subject_ids: subjects[&pair.0].iter().map(|received| subject_id(environment_id, received)).collect(),
        group_place,
    };
    let hours = window.num_hours();
    let whole: Vec<MetricSubjects> = pairs.iter().map(|pair| ask(pair, None)).collect();
    let split: Vec<MetricSubjects> = pairs
        .iter()
        .filter_map(|pair| group_by.get(&pair.1).map(|(place, _)| ask(pair, Some(*place))))
        .collect();
    let slot = |row: &WindowRow| ((row.customer_id, row.metric_id), row.window);
    let total = PostgresRollups.windows(db, environment_id, &whole, range, hours).await?;
    let total = total.into_iter().map(|row| (slot(&row), row.value.map(ExactNumber))).collect();
    let mut grouped: BTreeMap<Pair, BTreeMap<String, HashMap<i64, Option<ExactNumber>>>> = BTreeMap::new();
    if !split.is_empty() {
        for row in PostgresRollups.windows(db, environment_id, &split, range, hours).await? {
            let (pair, index) = slot(&row);
            let name = row.group_value.unwrap_or_default();
            grouped
                .entry(pair)
                .or_default()
                .entry(name)
                .or_default()
                .insert(index, row.value.map(ExactNumber));
        }
    }
    Ok(Values { total, grouped })
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("getUsage").tag("Usage").summary("Get usage by window").description(
        "The absolute aggregate of each window, without prices, conversions or rounding; rows by customer, metric and \
         window. An event counts as soon as its ingest was answered.",
    )
}
