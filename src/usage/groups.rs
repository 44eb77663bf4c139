//! `POST /v1/usage/groups`

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use aide::transform::TransformOperation;
use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::calc::{Counts, WindowSize, Windows, group_id};
use super::group_by::{GROUP_VALUES_MAX, GroupBy, check_texts};
use super::ingest::Metering;
use super::range::{current_period, dates};
use super::sql::{Counted, by_groups, by_window, total};
use super::store::{PostgresRollups, Question, RollupStore};
use super::uncounted::begin_usage_read;
use super::window_rows::{Cut, WindowRow, window_rows};
use crate::access::{App, Caller};
use crate::catalog::billable_metric::{self, BillableMetricRow, Counting};
use crate::customer;
use crate::error::ApiError;
use crate::id::{BillableMetricId, CustomerId, EnvironmentId, GroupId};
use crate::money::{Decimal, plain};
use crate::time::{Instant, Period};
use crate::wire::{CursorKey, ExactNumber, Json, Page, PageRequest, Query, Timestamp};

#[derive(Deserialize, Serialize, JsonSchema)]
pub struct GetUsageByGroup {
    customer_id: CustomerId,
    billable_metric_id: BillableMetricId,
    window_size: WindowSize,
    /// Inclusive; at midnight UTC. Needed unless `current_period` is true.
    starting_on: Option<Timestamp>,
    /// Exclusive; at midnight UTC. Needed unless `current_period` is true.
    ending_before: Option<Timestamp>,
    /// The whole billing period of the customer's contract that runs now, in place of two dates.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    current_period: bool,
    /// A whole group key of the metric, of one with SQL any of its columns; its properties in any order; rows sort by them in the order given.
    group_key: Option<Vec<String>>,
    /// Only these values of properties in `group_key`; at most 200 in all, an empty list is all.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    group_filters: BTreeMap<String, Vec<String>>,
    /// Deprecated: `group_key` and `group_filters` of one property.
    group_by: Option<GroupBy>,
}

/// The usage of one window and, where it is split, of one group (schema `PagedUsageAggregate`).
#[derive(Serialize, JsonSchema)]
pub struct GroupUsageRow {
    starting_on: Instant,
    ending_before: Instant,
    /// Deprecated: the property, where the group key is one.
    group_key: Option<String>,
    /// Deprecated: its value.
    group_value: Option<String>,
    /// The value of each property of the group key; one that is null is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<BTreeMap<String, String>>,
    /// Null where no event matches.
    value: Option<ExactNumber>,
}

/// Windows of a query that are counted before it is looked whether they fill the page.
const WINDOWS_AT_ONCE: usize = 32;

/// What the rows are split by; without names they are not.
#[derive(Default)]
struct Grouping {
    names: Vec<String>,
    /// The place of each among the metric's group names.
    places: Vec<usize>,
    /// At a place only these values.
    kept_values: Vec<(usize, Vec<String>)>,
}

impl Grouping {
    /// Whether only values that are kept are in a group.
    fn keeps(&self, group: &[Option<String>]) -> bool {
        self.kept_values.iter().all(|(place, kept)| {
            let shown = self.places.iter().position(|known| known == place);
            let value = shown.and_then(|shown| group[shown].as_ref());
            value.is_some_and(|value| kept.contains(value))
        })
    }
}

/// The end of a page.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct Position {
    /// When the first page was asked for: later ones stay in the billing period that was current then.
    began_at: Timestamp,
    /// Where the last row's window starts.
    starting_on: Timestamp,
    /// A group with the last row's values, where rows are split. The values themselves would make cursors of any
    /// length, and they are the customer's data in a URL.
    group_id: Option<GroupId>,
}

pub async fn handler(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    Query(page): Query<PageRequest>,
    Json(request): Json<GetUsageByGroup>,
) -> Result<axum::Json<Page<GroupUsageRow>>, ApiError> {
    let environment_id = caller.environment_id();
    let dates = dates(request.current_period, request.starting_on, request.ending_before)?;
    request.check_grouping()?;
    let key = CursorKey::new("usage by group", "next_page", environment_id, &request);
    let position: Option<Position> = key.decode(page.next_page.as_deref())?;
    let began_at = position.map_or(caller.now, |position| position.began_at.0);

    let customer_id = request.customer_id;
    let (mut db, uncounted) =
        begin_usage_read(&app.db, environment_id, Some(customer_id), metering.recent()).await?;
    let state = uncounted.state_of(customer_id)?;
    let received = &*customer::subjects_in(&mut db, environment_id, customer_id, Some(state)).await?;
    let metric_id = request.billable_metric_id;
    let known =
        billable_metric::find_known(&mut db, environment_id, &[metric_id.0], uncounted.catalog()).await?;
    let metric = known.first().ok_or_else(|| ApiError::not_found("billable metric", metric_id))?;
    let grouping = request.grouping(&metric.definition)?;
    let range = match dates {
        Some(range) => range,
        None => current_period(&mut db, environment_id, request.customer_id, began_at).await?,
    };
    let windows = Windows::new(request.window_size, range);
    let limit = page.limit.get();
    let rows = match &metric.definition {
        Counting::Sql(definition) => {
            let counted = Counted { environment_id, metric_id: metric.id, definition, received };
            let rows = read_query(&mut db, &counted, &grouping, &windows, position, limit + 1).await?;
            rows.ok_or_else(|| key.refused())?
        }
        Counting::Streaming(_) => {
            let metric = metric.clone().streaming().expect("it is one");
            let question = question(environment_id, customer_id, received, &metric, &grouping, range);
            let uncounted = uncounted.counts(&mut db, slice::from_ref(&question)).await?;
            let after = match position {
                Some(position) => {
                    let row =
                        row_at(&mut db, environment_id, &question, &windows, position, &uncounted).await?;
                    Some(row.ok_or_else(|| key.refused())?)
                }
                None => None,
            };
            read(&mut db, environment_id, question, &windows, after, limit + 1, &uncounted).await?
        }
    };
    // It is undone behind the answer.
    drop(db);

    let position = |row: &Row| Position {
        began_at: Timestamp(began_at),
        starting_on: Timestamp(windows.at(row.window).start),
        group_id: row.group_id,
    };
    let page = Page::cut(rows, limit, |row| key.encode(&position(row)));
    Ok(axum::Json(page.map(|row| row.show(&windows, &grouping.names))))
}

impl GetUsageByGroup {
    /// 400 where the grouping is wrong whatever the metric.
    fn check_grouping(&self) -> Result<(), ApiError> {
        if let Some(group_by) = &self.group_by {
            if self.group_key.is_some() {
                return Err(ApiError::field("group_by", "cannot be combined with group_key"));
            }
            group_by.check_values("group_by")?;
        }
        let key = self.group_key.as_deref().unwrap_or_default();
        if self.group_key.is_some() && key.is_empty() {
            return Err(ApiError::field("group_key", "must name at least one property"));
        }
        if key.iter().collect::<BTreeSet<_>>().len() < key.len() {
            return Err(ApiError::field("group_key", "names a property twice"));
        }
        if let Some(name) = self.group_filters.keys().find(|name| !key.contains(name)) {
            return Err(ApiError::field("group_filters", format!("`{name}` is not in group_key")));
        }
        if self.group_filters.values().map(Vec::len).sum::<usize>() > GROUP_VALUES_MAX {
            return Err(ApiError::field(
                "group_filters",
                format!("at most {GROUP_VALUES_MAX} values in all"),
            ));
        }
        self.group_filters
            .iter()
            .try_for_each(|(name, values)| check_texts(&format!("group_filters.{name}"), values))
    }

    /// What to split by; 400 unless it is a whole group key of the metric.
    fn grouping(&self, counting: &Counting) -> Result<Grouping, ApiError> {
        let (field, names) = match (&self.group_key, &self.group_by) {
            (Some(names), _) => ("group_key", names.clone()),
            (None, Some(group_by)) => ("group_by.key", vec![group_by.key.clone()]),
            (None, None) => return Ok(Grouping::default()),
        };
        let places = places_of_key(counting, &names).ok_or_else(|| {
            ApiError::field(
                field,
                format!("`{}` is not a group key of the metric as a whole", names.join("`, `")),
            )
        })?;
        let kept = |name: &String| match &self.group_by {
            Some(group_by) => group_by.values.clone(),
            None => self.group_filters.get(name).filter(|values| !values.is_empty()).cloned(),
        };
        let kept_values =
            names.iter().zip(&places).filter_map(|(name, place)| Some((*place, kept(name)?))).collect();
        Ok(Grouping { names, places, kept_values })
    }
}

/// Where the properties of a group key stand among the group names of a metric: of a query any of its columns are one
/// (our decision).
fn places_of_key(counting: &Counting, key: &[String]) -> Option<Vec<usize>> {
    match counting {
        Counting::Streaming(definition) => definition.places_of_group_key(key),
        Counting::Sql(definition) => {
            let names = definition.group_names();
            key.iter().map(|name| names.iter().position(|known| known == name)).collect()
        }
    }
}

/// The customer's usage of the metric in the range, split by the grouping.
fn question(
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    received: &[String],
    metric: &BillableMetricRow,
    grouping: &Grouping,
    period: Period,
) -> Question {
    Question {
        group_places: grouping.places.clone(),
        kept_values: grouping.kept_values.clone(),
        ..Question::new(environment_id, customer_id, received, metric, period)
    }
}

/// A row before it is shown.
struct Row {
    window: i64,
    /// Set where rows are split.
    group_id: Option<GroupId>,
    /// By the names of the grouping; null where a query has none.
    group_values: Vec<Option<String>>,
    value: Option<ExactNumber>,
}

impl Row {
    fn of_group(row: WindowRow) -> Self {
        Self {
            window: row.window,
            group_id: row.group_id,
            group_values: row.group_values.into_iter().map(Some).collect(),
            value: row.value.map(ExactNumber),
        }
    }

    fn show(self, windows: &Windows, names: &[String]) -> GroupUsageRow {
        let window = windows.at(self.window);
        let single = match (names, &self.group_values[..]) {
            ([name], [value]) => Some((name.clone(), value.clone())),
            _ => None,
        };
        let (group_key, group_value) = single.unzip();
        let values = names.iter().cloned().zip(self.group_values);
        let values = values.filter_map(|(name, value)| Some((name, value?)));
        let group = (!names.is_empty()).then(|| values.collect());
        GroupUsageRow {
            starting_on: window.start,
            ending_before: window.end,
            group_key,
            group_value: group_value.flatten(),
            group,
            value: self.value,
        }
    }
}

/// The window and the group values that a page ended with; nothing where the list has no such row.
async fn row_at(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    question: &Question,
    windows: &Windows,
    position: Position,
    uncounted: &Counts,
) -> Result<Option<(i64, Vec<String>)>, sqlx::Error> {
    let Some(window) = windows.starting_at(position.starting_on.0) else {
        return Ok(None);
    };
    let places = &question.group_places;
    match position.group_id {
        Some(group_id) if !places.is_empty() => {
            let values = match uncounted.values_of_group(question.metric_id, group_id) {
                Some(values) => Some(values.clone()),
                None => {
                    PostgresRollups.values_of_group(db, environment_id, question.metric_id, group_id).await?
                }
            };
            Ok(values.map(|values| (window, places.iter().map(|place| values[*place].clone()).collect())))
        }
        None if places.is_empty() => Ok(Some((window, Vec::new()))),
        _ => Ok(None),
    }
}

/// The rows behind `after`, at most `limit`.
async fn read(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    question: Question,
    windows: &Windows,
    after: Option<(i64, Vec<String>)>,
    limit: usize,
    uncounted: &Counts,
) -> Result<Vec<Row>, sqlx::Error> {
    if question.group_places.is_empty() {
        let first = after.map_or(0, |(last, _)| last + 1);
        every_window(db, environment_id, question, windows, first, limit, uncounted).await
    } else {
        groups_with_events(db, environment_id, question, windows, after, limit, uncounted).await
    }
}

/// A row for each window from `first` on, at most `limit`; only their part of the range is read.
async fn every_window(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    question: Question,
    windows: &Windows,
    first: i64,
    limit: usize,
    uncounted: &Counts,
) -> Result<Vec<Row>, sqlx::Error> {
    let limit = i64::try_from(limit).expect("limits are small");
    let indexes = first..windows.count().min(first + limit);
    if indexes.is_empty() {
        return Ok(Vec::new());
    }
    let question = Question { period: windows.span(&indexes), ..question };
    let rows = window_rows(db, environment_id, &[question], windows, &Cut::default(), uncounted).await?;
    let mut values: BTreeMap<i64, Option<String>> =
        rows.into_iter().map(|row| (row.window, row.value)).collect();
    let row = |window| Row {
        window,
        group_id: None,
        group_values: Vec::new(),
        value: values.remove(&window).flatten().map(ExactNumber),
    };
    Ok(indexes.map(row).collect())
}

/// A row for each window and group with events behind `after`, at most `limit`. The first windows alone fill most
/// pages, so the range is read in steps that double rather than whole.
async fn groups_with_events(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    question: Question,
    windows: &Windows,
    after: Option<(i64, Vec<String>)>,
    limit: usize,
    uncounted: &Counts,
) -> Result<Vec<Row>, sqlx::Error> {
    let mut first = after.as_ref().map_or(0, |(window, _)| *window);
    let mut step = 1;
    let mut rows = Vec::new();
    while first < windows.count() && rows.len() < limit {
        let indexes = first..windows.count().min(first + step);
        (first, step) = (indexes.end, step * 2);
        let question = Question { period: windows.span(&indexes), ..question.clone() };
        let cut = Cut { after: after.clone(), limit: Some(limit - rows.len()) };
        let part = window_rows(db, environment_id, &[question], windows, &cut, uncounted).await?;
        rows.extend(part.into_iter().map(Row::of_group));
    }
    Ok(rows)
}

/// The rows of a query behind `position`, at most `limit`; nothing where no row is there.
async fn read_query(
    db: &mut PgConnection,
    counted: &Counted<'_>,
    grouping: &Grouping,
    windows: &Windows,
    position: Option<Position>,
    limit: usize,
) -> Result<Option<Vec<Row>>, sqlx::Error> {
    let is_grouped = !grouping.places.is_empty();
    let first = match position {
        Some(position) if position.group_id.is_some() != is_grouped => return Ok(None),
        Some(position) => match windows.starting_at(position.starting_on.0) {
            Some(window) => window + i64::from(!is_grouped),
            None => return Ok(None),
        },
        None => 0,
    };
    let count = i64::try_from(limit).expect("limits are small");
    let last = if is_grouped { windows.count() } else { windows.count().min(first + count) };
    if first >= last {
        return Ok(Some(Vec::new()));
    }
    let (facts, _) = counted.facts(db, windows.span(&(first..last))).await?;
    let number = |value: Decimal| Some(ExactNumber(plain(&value)));
    if !is_grouped {
        let mut answers = by_window(db, &facts, windows, first..last, limit).await?;
        let row = |window| {
            let value = answers.remove(&window).and_then(|answers| number(total(&answers)));
            Row { window, group_id: None, group_values: Vec::new(), value }
        };
        return Ok(Some((first..last).map(row).collect()));
    }
    let (mut rows, mut next) = (Vec::new(), first);
    let mut behind = position.and_then(|position| position.group_id);
    while next < last && rows.len() < limit {
        let answers = by_window(db, &facts, windows, next..last, WINDOWS_AT_ONCE).await?;
        next = match answers.last_key_value() {
            Some((window, _)) if answers.len() == WINDOWS_AT_ONCE => window + 1,
            _ => last,
        };
        for (window, answers) in answers {
            let mut groups = by_groups(&answers, &grouping.places);
            groups.retain(|group, _| grouping.keeps(group));
            let of_window = groups.into_iter().map(|(group_values, value)| Row {
                window,
                group_id: Some(query_group_id(counted, &group_values)),
                group_values,
                value: number(value),
            });
            let mut of_window: Vec<Row> = of_window.collect();
            if let (Some(group_id), true) = (behind, window == first) {
                let seen = of_window.iter().position(|row| row.group_id == Some(group_id));
                let Some(seen) = seen else { return Ok(None) };
                of_window.drain(..=seen);
                behind = None;
            }
            rows.extend(of_window);
        }
    }
    if behind.is_some() {
        return Ok(None);
    }
    rows.truncate(limit);
    Ok(Some(rows))
}

/// The identity of a tuple of group values of a query.
fn query_group_id(counted: &Counted<'_>, values: &[Option<String>]) -> GroupId {
    let marked = values.iter().map(|value| value.as_ref().map_or(String::new(), |value| format!("={value}")));
    group_id(counted.environment_id, counted.metric_id, &marked.collect::<Vec<_>>())
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("getUsageByGroup").tag("Usage").summary("Get one customer's usage of one metric by group").description(
        "The absolute aggregate of each window, without prices, conversions or rounding. Without a group key a row for \
         each window; with one a row for each window and group that has events, by window and then by group values in \
         byte order. An event counts as soon as its ingest was answered.",
    )
}
