//! `POST /v1/usage`

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use aide::transform::TransformOperation;
use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::{Counts, WindowSize, Windows};
use super::group_by::{GROUP_VALUES_MAX, GroupBy};
use super::ingest::Metering;
use super::range::between;
use super::settle::settle;
use super::sql::{Counted, LOOKED_THROUGH_MAX, MetricQuery, by_groups, by_window, total, with_events};
use super::store::{Question, pairs_with_usage};
use super::uncounted::{Uncounted, begin_usage_read};
use super::window_rows::{Cut, group_values, window_rows};
use crate::access::{App, Caller};
use crate::catalog::billable_metric::sql::SqlDefinition;
use crate::catalog::billable_metric::{self, AnyMetricRow, Counting};
use crate::catalog::version::CatalogVersion;
use crate::customer;
use crate::error::ApiError;
use crate::event::{Scope, subject_id};
use crate::id::{BillableMetricId, CustomerId, EnvironmentId};
use crate::money::{Decimal, plain};
use crate::time::{Instant, Period};
use crate::wire::{CursorKey, ExactNumber, Json, Page, Query, Timestamp};

/// Rows on a page (our decision: the operation has no limit parameter).
const ROWS_MAX: usize = 1000;

/// Pairs that can be on a page or say that there is a next one.
const PAIRS_MAX: usize = ROWS_MAX + 1;

/// How many customers are looked at for usage of queries at once.
const CUSTOMERS_AT_ONCE: usize = 500;

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

#[derive(Deserialize, JsonSchema)]
pub struct UsageCursor {
    pub next_page: Option<String>,
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

/// A row: a pair and the number of its window.
type Slot = (Pair, i64);

pub async fn handler(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    Query(page): Query<UsageCursor>,
    Json(request): Json<GetUsage>,
) -> Result<axum::Json<Page<UsageRow>>, ApiError> {
    let environment_id = caller.environment_id();
    let range = between(request.starting_on, request.ending_before)?;
    let windows = Windows::new(request.window_size, range);
    let key = CursorKey::new("usage", "next_page", environment_id, &request);
    let after: Option<Slot> = key.decode(page.next_page.as_deref())?;
    if after.is_some_and(|(_, index)| !(0..windows.count()).contains(&index)) {
        return Err(key.refused());
    }

    if request.customer_ids.is_none() || request.billable_metrics.is_none() {
        // What has usage is what has rollups.
        settle(&app.db, environment_id).await?;
    }
    let only = match request.customer_ids.as_deref() {
        Some([id]) => Some(*id),
        _ => None,
    };
    let (mut snapshot, uncounted) =
        begin_usage_read(&app.db, environment_id, only, metering.recent()).await?;
    let catalog = uncounted.catalog();
    let named = request.billable_metrics.iter().flatten().map(|metric| metric.id);
    let mut metrics = load_metrics(&mut snapshot, environment_id, named.clone(), catalog).await?;
    if let Some(missing) = named.into_iter().find(|id| !metrics.contains_key(id)) {
        return Err(ApiError::not_found("billable metric", missing));
    }
    let mut subjects = match (&request.customer_ids, only) {
        (_, Some(id)) => {
            let state = uncounted.state_of(id)?;
            let own = customer::subjects_in(&mut snapshot, environment_id, id, Some(state)).await?;
            BTreeMap::from([(id, own.to_vec())])
        }
        (Some(ids), None) => {
            let ids = sorted(ids.iter().map(|id| id.0).collect());
            customer::subjects_of_known(&mut snapshot, environment_id, &ids).await?
        }
        (None, None) => BTreeMap::new(),
    };
    let from = after.map(|(pair, index)| if index + 1 == windows.count() { following(pair) } else { pair });
    let budget = Budget { events: app.settings.sql_events_a_page, first_shown: None };
    let pairs = pairs(&mut snapshot, environment_id, &request, range, from, budget).await?;
    let mut slots = slots(&pairs.found, &windows, after);
    let shown = shown(&slots[..slots.len().min(ROWS_MAX)]);
    let found = shown.keys().map(|(_, metric)| *metric).filter(|id| !metrics.contains_key(id));
    let found = load_metrics(&mut snapshot, environment_id, found.collect::<Vec<_>>(), catalog).await?;
    metrics.extend(found);
    let groupings = groupings(&request, &metrics)?;
    if request.customer_ids.is_none() {
        let ids = sorted(shown.keys().map(|(customer, _)| customer.0).collect());
        subjects = customer::subjects_by_customer(&mut snapshot, environment_id, &ids).await?;
    }
    let asked = Asked {
        metrics: &metrics,
        groupings: &groupings,
        shown: &shown,
        subjects: &subjects,
        range,
        windows: &windows,
    };
    let mut budget = Budget { events: app.settings.sql_events_a_page, first_shown: None };
    let values = read(&mut snapshot, environment_id, &asked, &uncounted, &mut budget).await?;
    // It is undone behind the answer.
    drop(snapshot);

    let mut are_more = pairs.are_more;
    if let Some(unread) = values.unread {
        slots.retain(|(pair, _)| *pair < unread);
        are_more = true;
    }
    let page = match slots.last() {
        // An empty page would look like the last one.
        None if are_more => return Err(too_many_events()),
        Some(last) if are_more && slots.len() <= ROWS_MAX => {
            Page { next_page: Some(key.encode(last)), data: slots }
        }
        _ => Page::cut(slots, ROWS_MAX, |slot| key.encode(slot)),
    };
    let rows = page.map(|(pair, index)| {
        let window = windows.at(index);
        UsageRow {
            customer_id: pair.0,
            billable_metric_id: pair.1,
            billable_metric_name: metrics[&pair.1].name.clone(),
            start_timestamp: window.start,
            end_timestamp: window.end,
            value: values.total.get(&(pair, index)).cloned().flatten(),
            groups: groupings.contains_key(&pair.1).then(|| values.groups((pair, index))),
        }
    });
    Ok(axum::Json(rows))
}

/// What reading for one page may take: queries are counted from events, whose number nobody sees in a request.
struct Budget {
    /// How many events may be looked through.
    events: usize,
    /// The first customer that the page shows anyway.
    first_shown: Option<CustomerId>,
}

/// The first pair that comes after this one in order.
fn following((customer_id, metric_id): Pair) -> Pair {
    let next = metric_id.0.as_u128().saturating_add(1);
    (customer_id, BillableMetricId(Uuid::from_u128(next)))
}

fn too_many_events() -> ApiError {
    ApiError::BadRequest(
        "there are too many events to look through for the usage of metrics with SQL; name fewer customer_ids or \
         billable_metrics, or a shorter range"
            .to_owned(),
    )
}

/// Pairs in order.
struct Pairs {
    found: Vec<Pair>,
    /// Not all of them were looked for.
    are_more: bool,
}

/// The pairs that are asked for, whose customers are there, in order, from the one that the last page ended in; no more than a page can
/// show. Named customers and metrics come whether they have usage or not; where a list is omitted, only what
/// has usage in the range.
async fn pairs(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    request: &GetUsage,
    range: Period,
    from: Option<Pair>,
    budget: Budget,
) -> Result<Pairs, ApiError> {
    let customers: Option<Vec<Uuid>> =
        request.customer_ids.as_ref().map(|ids| sorted(ids.iter().map(|id| id.0).collect()));
    let metrics: Option<Vec<Uuid>> = request
        .billable_metrics
        .as_ref()
        .map(|metrics| sorted(metrics.iter().map(|metric| metric.id.0).collect()));
    match (&customers, &metrics) {
        (Some(customers), Some(metrics)) => {
            let customers = customers.iter().skip_while(|id| from.is_some_and(|(first, _)| **id < first.0));
            let pairs = customers.flat_map(|customer| {
                metrics.iter().map(|metric| (CustomerId(*customer), BillableMetricId(*metric)))
            });
            let pairs = pairs.filter(|pair| from.is_none_or(|from| *pair >= from)).take(PAIRS_MAX);
            Ok(Pairs { found: pairs.collect(), are_more: false })
        }
        (customers, metrics) => {
            let (customers, metrics) = (customers.as_deref(), metrics.as_deref());
            let mut found =
                pairs_with_usage(db, environment_id, customers, metrics, range, from, PAIRS_MAX).await?;
            let budget = Budget { first_shown: found.first().map(|(customer_id, _)| *customer_id), ..budget };
            let of_queries = query_pairs(db, environment_id, customers, metrics, range, from, budget).await?;
            found.extend(of_queries.found);
            if let Some(unknown) = of_queries.unknown_from {
                found.retain(|(customer_id, _)| *customer_id < unknown);
            }
            found.sort_unstable();
            found.truncate(PAIRS_MAX);
            Ok(Pairs { found, are_more: of_queries.unknown_from.is_some() })
        }
    }
}

/// Pairs of queries.
#[derive(Default)]
struct QueryPairs {
    found: Vec<Pair>,
    /// Set where the budget ran out: what this customer and those behind it have is not known.
    unknown_from: Option<CustomerId>,
}

/// The pairs whose metric is counted by a query that takes any event of the customer in the range; no more than a page
/// can show. While the page shows nothing more events are looked through than that.
async fn query_pairs(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customers: Option<&[Uuid]>,
    metrics: Option<&[Uuid]>,
    range: Period,
    from: Option<Pair>,
    mut budget: Budget,
) -> Result<QueryPairs, ApiError> {
    let mut metrics = match metrics {
        Some(ids) => billable_metric::find_many(db, environment_id, ids).await?,
        None => billable_metric::sql_metrics(db, environment_id).await?,
    };
    metrics.sort_by_key(|metric| metric.id);
    let query = |metric: &AnyMetricRow| match &metric.definition {
        Counting::Sql(definition) => Some((metric.id, definition.clone())),
        Counting::Streaming(_) => None,
    };
    let queries: Vec<(BillableMetricId, SqlDefinition)> = metrics.iter().filter_map(query).collect();
    let (mut pairs, mut in_vain) = (QueryPairs::default(), 0);
    let mut next = from.map(|(customer, _)| customer);
    while !queries.is_empty() {
        let batch = match customers {
            Some(ids) => ids.iter().map(|id| CustomerId(*id)).filter(|id| Some(*id) >= next).collect(),
            None => customer::active_ids(db, environment_id, next, CUSTOMERS_AT_ONCE).await?,
        };
        let ids: Vec<Uuid> = batch.iter().map(|id| id.0).collect();
        let subjects = customer::subjects_by_customer(db, environment_id, &ids).await?;
        for customer_id in &batch {
            let received = subjects[customer_id].iter();
            let subject_ids = received.map(|received| subject_id(environment_id, received)).collect();
            let scope = Scope::of_subjects(environment_id, subject_ids, range);
            let asked = queries.iter().filter(|(metric_id, _)| Some((*customer_id, *metric_id)) >= from);
            let asked: Vec<MetricQuery<'_>> =
                asked.map(|(metric_id, definition)| (*metric_id, definition)).collect();
            let is_empty =
                pairs.found.is_empty() && budget.first_shown.is_none_or(|first| first >= *customer_id);
            let most = if is_empty { LOOKED_THROUGH_MAX.saturating_sub(in_vain) } else { budget.events };
            let Some((found, looked_through)) = with_events(db, &scope, &asked, most).await? else {
                if is_empty {
                    return Err(too_many_events());
                }
                pairs.unknown_from = Some(*customer_id);
                return Ok(pairs);
            };
            budget.events = budget.events.saturating_sub(looked_through);
            in_vain += looked_through;
            pairs.found.extend(found.into_iter().map(|metric_id| (*customer_id, metric_id)));
            if pairs.found.len() >= PAIRS_MAX {
                return Ok(pairs);
            }
        }
        match batch.last() {
            Some(last) if customers.is_none() && batch.len() == CUSTOMERS_AT_ONCE => {
                next = Some(CustomerId(Uuid::from_u128(last.0.as_u128() + 1)));
            }
            _ => break,
        }
    }
    Ok(pairs)
}

fn sorted(mut ids: Vec<Uuid>) -> Vec<Uuid> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// One page of rows and one more: each pair with each of its windows, after the cursor.
fn slots(pairs: &[Pair], windows: &Windows, after: Option<Slot>) -> Vec<Slot> {
    let first = |pair: &Pair| match &after {
        Some((last, index)) if pair == last => index + 1,
        _ => 0,
    };
    pairs
        .iter()
        .flat_map(|pair| (first(pair)..windows.count()).map(|index| (*pair, index)))
        .take(ROWS_MAX + 1)
        .collect()
}

/// The windows of each pair on a page.
fn shown(slots: &[Slot]) -> BTreeMap<Pair, Range<i64>> {
    let mut shown: BTreeMap<Pair, Range<i64>> = BTreeMap::new();
    for (pair, index) in slots {
        shown.entry(*pair).or_insert(*index..*index).end = index + 1;
    }
    shown
}

async fn load_metrics(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: impl IntoIterator<Item = BillableMetricId>,
    catalog: Option<CatalogVersion>,
) -> Result<BTreeMap<BillableMetricId, AnyMetricRow>, sqlx::Error> {
    let ids = sorted(ids.into_iter().map(|id| id.0).collect());
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let metrics = billable_metric::find_known(db, environment_id, &ids, catalog).await?;
    Ok(metrics.iter().map(|metric| (metric.id, metric.clone())).collect())
}

/// What a metric is split by: the place of the group name, and the values to show where they are named.
struct Grouping {
    place: usize,
    values: Option<Vec<String>>,
}

/// The grouping that each metric is asked with.
fn groupings(
    request: &GetUsage,
    metrics: &BTreeMap<BillableMetricId, AnyMetricRow>,
) -> Result<BTreeMap<BillableMetricId, Grouping>, ApiError> {
    let mut groupings = BTreeMap::new();
    let mut seen = HashSet::new();
    for (index, input) in request.billable_metrics.iter().flatten().enumerate() {
        if !seen.insert(input.id) {
            return Err(ApiError::field(&format!("billable_metrics[{index}].id"), "is named twice"));
        }
        let (Some(group_by), Some(metric)) = (&input.group_by, metrics.get(&input.id)) else {
            continue;
        };
        let path = format!("billable_metrics[{index}].group_by");
        group_by.check_values(&path)?;
        let place = place_of_key(&metric.definition, &group_by.key).ok_or_else(|| {
            let reason = format!("`{}` is not a group key of the metric that is one property", group_by.key);
            ApiError::field(&format!("{path}.key"), reason)
        })?;
        groupings.insert(input.id, Grouping { place, values: group_by.values.clone() });
    }
    Ok(groupings)
}

/// Where a property stands among the group names of a metric, if it alone is a group key: any column of a query is.
fn place_of_key(counting: &Counting, key: &String) -> Option<usize> {
    match counting {
        Counting::Streaming(definition) => {
            definition.places_of_group_key(std::slice::from_ref(key)).map(|places| places[0])
        }
        Counting::Sql(definition) => definition.group_names().iter().position(|name| name == key),
    }
}

/// What to read for a page.
struct Asked<'a> {
    metrics: &'a BTreeMap<BillableMetricId, AnyMetricRow>,
    groupings: &'a BTreeMap<BillableMetricId, Grouping>,
    shown: &'a BTreeMap<Pair, Range<i64>>,
    /// What events call each customer.
    subjects: &'a BTreeMap<CustomerId, Vec<String>>,
    range: Period,
    windows: &'a Windows,
}

/// What was read: the whole aggregate of each row, the group values to show of each pair, and their aggregates.
struct Values {
    total: HashMap<Slot, Option<ExactNumber>>,
    names: HashMap<Pair, Vec<String>>,
    grouped: HashMap<Slot, HashMap<String, Option<ExactNumber>>>,
    /// Set where the budget ran out: the first pair that was not read.
    unread: Option<Pair>,
}

impl Values {
    fn groups(&self, slot: Slot) -> BTreeMap<String, Option<ExactNumber>> {
        let names = self.names.get(&slot.0).into_iter().flatten();
        let seen = self.grouped.get(&slot);
        let value = |name: &String| seen.and_then(|seen| seen.get(name)).cloned().flatten();
        names.map(|name| (name.clone(), value(name))).collect()
    }
}

/// Reads no more than the page shows, however long the range is and however many groups there are; only which
/// group values to show depends on the whole range.
async fn read(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    asked: &Asked<'_>,
    uncounted: &Uncounted,
    budget: &mut Budget,
) -> Result<Values, sqlx::Error> {
    let whole = questions(environment_id, asked);
    let (cut, uncounted) = (Cut::default(), uncounted.counts(db, &whole).await?);
    let rows = window_rows(db, environment_id, &whole, asked.windows, &cut, &uncounted).await?;
    let total: HashMap<Slot, Option<ExactNumber>> =
        rows.into_iter().map(|row| (row.slot(), row.value.map(ExactNumber))).collect();

    let mut split = split(whole, asked);
    let names = names(db, environment_id, &split, asked, &uncounted).await?;
    for question in &mut split {
        let names = names.get(&(question.customer_id, question.metric_id)).cloned().unwrap_or_default();
        question.kept_values = vec![(question.group_places[0], names)];
    }
    let mut grouped: HashMap<Slot, HashMap<String, Option<ExactNumber>>> = HashMap::new();
    if !split.is_empty() {
        for mut row in window_rows(db, environment_id, &split, asked.windows, &cut, &uncounted).await? {
            let name = row.group_values.remove(0);
            grouped.entry(row.slot()).or_default().insert(name, row.value.map(ExactNumber));
        }
    }
    let mut values = Values { total, names, grouped, unread: None };
    read_queries(db, environment_id, asked, &mut values, budget).await?;
    Ok(values)
}

/// Adds what queries count, until the budget is used up; the first pair is always read.
async fn read_queries(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    asked: &Asked<'_>,
    values: &mut Values,
    budget: &mut Budget,
) -> Result<(), sqlx::Error> {
    let mut is_first = true;
    for (pair, indexes) in asked.shown {
        let Counting::Sql(definition) = &asked.metrics[&pair.1].definition else { continue };
        if budget.events == 0 && !std::mem::take(&mut is_first) {
            values.unread = Some(*pair);
            return Ok(());
        }
        is_first = false;
        let received = &asked.subjects[&pair.0];
        let counted = Counted { environment_id, metric_id: pair.1, definition, received };
        let grouping = asked.groupings.get(&pair.1);
        // Which values to show depends on the whole range, as with rollups.
        let indexes = match grouping {
            Some(Grouping { values: None, .. }) => 0..asked.windows.count(),
            _ => indexes.clone(),
        };
        let (facts, looked_through) = counted.facts(db, asked.windows.span(&indexes)).await?;
        budget.events = budget.events.saturating_sub(looked_through);
        let answers = by_window(db, &facts, asked.windows, indexes, usize::MAX).await?;
        let number = |value: Decimal| Some(ExactNumber(plain(&value)));
        let mut seen = BTreeSet::new();
        for (window, answers) in answers {
            values.total.insert((*pair, window), number(total(&answers)));
            let Some(grouping) = grouping else { continue };
            for (mut group, value) in by_groups(&answers, &[grouping.place]) {
                // A key of JSON cannot be null (our decision: such usage is in the whole alone).
                let Some(name) = group.remove(0) else { continue };
                seen.insert(name.clone());
                values.grouped.entry((*pair, window)).or_default().insert(name, number(value));
            }
        }
        if let Some(grouping) = grouping {
            let seen = || seen.into_iter().take(GROUP_VALUES_MAX).collect();
            values.names.insert(*pair, grouping.values.clone().unwrap_or_else(seen));
        }
    }
    Ok(())
}

/// The windows of each pair on the page, not split by group.
fn questions(environment_id: EnvironmentId, asked: &Asked<'_>) -> Vec<Question> {
    let question = |((customer_id, metric_id), indexes): (&Pair, &Range<i64>)| {
        let (metric, period) = (asked.metrics[metric_id].clone().streaming()?, asked.windows.span(indexes));
        Some(Question::new(environment_id, *customer_id, &asked.subjects[customer_id], &metric, period))
    };
    asked.shown.iter().filter_map(question).collect()
}

/// Those of the questions whose metric is asked with a grouping, split by it.
fn split(questions: Vec<Question>, asked: &Asked<'_>) -> Vec<Question> {
    let split = |question: Question| {
        let grouping = asked.groupings.get(&question.metric_id)?;
        Some(Question { group_places: vec![grouping.place], ..question })
    };
    questions.into_iter().filter_map(split).collect()
}

/// The group values to show of each pair: the ones asked for, else the first of those seen anywhere in the range.
async fn names(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    split: &[Question],
    asked: &Asked<'_>,
    uncounted: &Counts,
) -> Result<HashMap<Pair, Vec<String>>, sqlx::Error> {
    let mut names: HashMap<Pair, Vec<String>> = HashMap::new();
    let mut unnamed = Vec::new();
    for question in split {
        match &asked.groupings[&question.metric_id].values {
            Some(values) => {
                names.insert((question.customer_id, question.metric_id), values.clone());
            }
            None => unnamed.push(Question { period: asked.range, ..question.clone() }),
        }
    }
    if !unnamed.is_empty() {
        names.extend(group_values(db, environment_id, &unnamed, GROUP_VALUES_MAX, uncounted).await?);
    }
    Ok(names)
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("getUsage").tag("Usage").summary("Get usage by window").description(
        "The absolute aggregate of each window, without prices, conversions or rounding; rows by customer, metric and \
         window. An event counts as soon as its ingest was answered.",
    )
}
