//! `POST /v1/upbeat/usage/unrated`: an own extension. The usage of customers that no contract bills.
//!
//! It is cut and priced by what makes invoices, and only the answer to "is there a price" is kept. What is on a final invoice is
//! looked at with the prices that this saw: a rate that is added later bills nothing of it, unless the invoice is made anew. What
//! metrics count that are SQL is in [`queries`].

mod agreed;
mod queries;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aide::transform::TransformOperation;
use axum::extract::State;
use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use self::agreed::Cards;
use self::queries::unrated_of_queries;
use crate::access::{App, Caller};
use crate::catalog::billable_metric::{self, AggregationType, AnyMetricRow, BillableMetricRow};
use crate::catalog::rate::GroupValues;
use crate::customer;
use crate::error::ApiError;
use crate::event::subject_id;
use crate::id::{BillableMetricId, CustomerId, EnvironmentId, GroupId, SubjectId};
use crate::money::{Decimal, plain, zero};
use crate::rating::calc::{Cuts, Deal, UnratedReason, unrated_cuts, unrated_reason};
use crate::time::{Instant, Period};
use crate::usage::calc::{Tally, group_id};
use crate::usage::get::UsageCursor;
use crate::usage::{
    Piece, PostgresRollups, Reading, RollupStore, SegmentedMetric, begin_usage_snapshot, days,
    subjects_with_events, subjects_with_usage,
};
use crate::wire::{CursorKey, ExactNumber, Json, Page, Query, Timestamp};

/// Rows on a page (our decision: like usage, the operation has no limit parameter).
const ROWS_MAX: usize = 1000;

/// How many customers one page looks at, how many of them with usage, and for how many usage is looked for at once.
const CUSTOMERS_MAX: usize = 1000;
const WITH_USAGE_MAX: usize = 100;
const CUSTOMERS_AT_ONCE: usize = 250;

/// Of how many days the usage of a customer is read at first; then twice as many, or half, as long as few pieces come of
/// them, or many.
const DAYS_AT_FIRST: i32 = 8;
const FEW_PIECES: usize = 5_000;
const MANY_PIECES: usize = 20_000;

#[derive(Deserialize, Serialize, JsonSchema)]
pub struct ListUnratedUsage {
    /// All customers that are not archived when omitted; none when empty.
    customer_ids: Option<Vec<CustomerId>>,
    /// All metrics that are not archived, or that a product uses, when omitted; none when empty.
    billable_metric_ids: Option<Vec<BillableMetricId>>,
    /// Inclusive; at midnight UTC. The first day on which events could be dated when omitted.
    starting_on: Option<Timestamp>,
    /// Exclusive; at midnight UTC, at most 100 days later. Behind the last day on which events can be dated when omitted.
    ending_before: Option<Timestamp>,
}

/// The usage of one customer, metric, tuple of group values and day that is billed nowhere for one reason.
#[derive(Serialize, JsonSchema)]
pub struct UnratedRow {
    customer_id: CustomerId,
    billable_metric_id: BillableMetricId,
    billable_metric_name: String,
    /// Of every property among the metric's group keys.
    group_values: GroupValues,
    start_timestamp: Instant,
    end_timestamp: Instant,
    /// Null of a metric with SQL, which says itself what it counts.
    event_count: Option<i64>,
    /// What the metric counted, where that adds up: of COUNT and SUM, and what the day adds to the quantity of a metric with SQL;
    /// else null.
    value: Option<ExactNumber>,
    /// `NO_CONTRACT`: no contract is in force, or the usage filter of each leaves it out. `NO_PRODUCT`: no product on the
    /// rate card counts by the metric. `NO_RATE`: its pricing group values have no rate, as where a name is misspelt.
    /// `NOT_ENTITLED`: they have one that is not entitled. Of several contracts and products the last of these.
    reason: UnratedReason,
}

/// Where a row stands among those of its customer.
type RowKey = (Instant, BillableMetricId, GroupId, UnratedReason);

/// Where a page begins.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Place {
    starting_on: Timestamp,
    ending_before: Timestamp,
    customer_id: CustomerId,
    /// The last row of the customer that was shown.
    after: Option<(Timestamp, BillableMetricId, GroupId, UnratedReason)>,
}

/// The metrics that are asked about.
struct Asked {
    streaming: BTreeMap<BillableMetricId, BillableMetricRow>,
    /// Of these, what contracts sell.
    sql: BTreeMap<BillableMetricId, AnyMetricRow>,
}

/// What a row adds up.
struct Amount {
    pub group_values: GroupValues,
    pub event_count: Option<i64>,
    pub value: Option<Decimal>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<UsageCursor>,
    Json(request): Json<ListUnratedUsage>,
) -> Result<axum::Json<Page<UnratedRow>>, ApiError> {
    let environment_id = caller.environment_id();
    let key = CursorKey::new("unrated usage", "next_page", environment_id, &request);
    let place: Option<Place> = key.decode(page.next_page.as_deref())?;
    let period = match place {
        Some(Place { starting_on, ending_before, .. }) => {
            days(Some(starting_on), Some(ending_before), caller.now).map_err(|_| key.refused())?
        }
        None => days(request.starting_on, request.ending_before, caller.now)?,
    };
    let mut snapshot = begin_usage_snapshot(&app.db, environment_id).await?;
    let metrics = metrics(&mut snapshot, environment_id, request.billable_metric_ids.as_deref()).await?;
    let mut search = Search {
        db: &mut snapshot,
        environment_id,
        period,
        metrics: &metrics,
        cards: Cards::default(),
        rows: Vec::new(),
        with_usage: 0,
    };
    let from = place.map(|place| place.customer_id);
    let after = place
        .and_then(|place| place.after)
        .map(|(day, metric_id, group, reason)| (day.0, metric_id, group, reason));
    let next = search.run(request.customer_ids, from, after).await?;
    let rows = search.rows;
    // It is undone behind the answer.
    drop(snapshot);

    let encode = |(customer_id, after): (CustomerId, Option<RowKey>)| {
        let after = after.map(|(day, metric_id, group, reason)| (Timestamp(day), metric_id, group, reason));
        key.encode(&Place {
            starting_on: Timestamp(period.start),
            ending_before: Timestamp(period.end),
            customer_id,
            after,
        })
    };
    let data = rows.into_iter().map(|(customer_id, key, amount)| shown(&metrics, customer_id, key, amount));
    Ok(axum::Json(Page { data: data.collect(), next_page: next.map(encode) }))
}

/// The metrics that are asked about; 404 where one is not there.
async fn metrics(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: Option<&[BillableMetricId]>,
) -> Result<Asked, ApiError> {
    let by_id = |metrics: Vec<AnyMetricRow>| metrics.into_iter().map(|metric| (metric.id, metric)).collect();
    let Some(ids) = ids else {
        let all = billable_metric::all_metrics(db, environment_id).await?;
        let seen = all.into_iter().filter(|(metric, is_used)| *is_used || metric.archived_at.is_none());
        let streaming = seen.map(|(metric, _)| (metric.id, metric)).collect();
        let sql = by_id(billable_metric::all_sql_metrics(db, environment_id).await?);
        return Ok(Asked { streaming, sql });
    };
    let distinct: BTreeSet<Uuid> = ids.iter().map(|id| id.0).collect();
    let distinct: Vec<Uuid> = distinct.into_iter().collect();
    let found = billable_metric::find_many(db, environment_id, &distinct).await?;
    if let Some(missing) = ids.iter().find(|id| !found.iter().any(|metric| metric.id == **id)) {
        return Err(ApiError::not_found("billable metric", missing));
    }
    let (sql, streaming): (Vec<AnyMetricRow>, Vec<AnyMetricRow>) =
        found.into_iter().partition(|metric| metric.definition.is_sql());
    let streaming = streaming.into_iter().filter_map(AnyMetricRow::streaming);
    Ok(Asked { streaming: streaming.map(|metric| (metric.id, metric)).collect(), sql: by_id(sql) })
}

/// A page in the making.
struct Search<'a> {
    db: &'a mut PgConnection,
    environment_id: EnvironmentId,
    period: Period,
    metrics: &'a Asked,
    cards: Cards,
    rows: Vec<(CustomerId, RowKey, Amount)>,
    /// How many customers with usage were looked at.
    with_usage: usize,
}

impl Search<'_> {
    /// Looks for rows until the page is full; answers where the next one begins, if there is one.
    async fn run(
        &mut self,
        named: Option<Vec<CustomerId>>,
        mut from: Option<CustomerId>,
        mut after: Option<RowKey>,
    ) -> Result<Option<(CustomerId, Option<RowKey>)>, ApiError> {
        let named: Option<BTreeSet<CustomerId>> = named.map(BTreeSet::from_iter);
        for _ in 0..CUSTOMERS_MAX / CUSTOMERS_AT_ONCE {
            let customers = match &named {
                Some(named) => {
                    let left = named.iter().filter(|id| Some(**id) >= from);
                    left.take(CUSTOMERS_AT_ONCE).copied().collect()
                }
                None => customer::active_ids(self.db, self.environment_id, from, CUSTOMERS_AT_ONCE).await?,
            };
            for (customer_id, subject_ids) in self.with_usage(&customers).await? {
                if self.with_usage == WITH_USAGE_MAX {
                    return Ok(Some((customer_id, None)));
                }
                self.with_usage += 1;
                let after = after.take().filter(|_| Some(customer_id) == from);
                self.look_at(customer_id, &subject_ids, after).await?;
                if self.rows.len() > ROWS_MAX {
                    self.rows.truncate(ROWS_MAX);
                    return Ok(self.rows.last().map(|(customer_id, key, _)| (*customer_id, Some(*key))));
                }
            }
            match customers.last() {
                Some(last) if customers.len() == CUSTOMERS_AT_ONCE => {
                    from = Some(CustomerId(Uuid::from_u128(last.0.as_u128().saturating_add(1))));
                }
                _ => return Ok(None),
            }
        }
        Ok(from.map(|from| (from, None)))
    }

    /// Those of the customers that have usage, and what events call them; 404 where one is not there.
    async fn with_usage(
        &mut self,
        customers: &[CustomerId],
    ) -> Result<Vec<(CustomerId, Vec<SubjectId>)>, ApiError> {
        let ids: Vec<Uuid> = customers.iter().map(|id| id.0).collect();
        let received = customer::subjects_of_known(self.db, self.environment_id, &ids).await?;
        let environment_id = self.environment_id;
        let subjects = |names: &Vec<String>| -> Vec<SubjectId> {
            names.iter().map(|name| subject_id(environment_id, name)).collect()
        };
        let subjects: BTreeMap<CustomerId, Vec<SubjectId>> =
            received.iter().map(|(id, names)| (*id, subjects(names))).collect();
        let all: Vec<Uuid> = subjects.values().flatten().map(|id| id.0).collect();
        let metric_ids: Vec<Uuid> = self.metrics.streaming.keys().map(|id| id.0).collect();
        let used = if self.metrics.sql.is_empty() {
            subjects_with_usage(self.db, environment_id, &all, &metric_ids, self.period).await?
        } else {
            subjects_with_events(self.db, environment_id, &all, self.period).await?
        };
        let used: BTreeSet<SubjectId> = used.into_iter().collect();
        let has_usage = |(_, own): &(CustomerId, Vec<SubjectId>)| own.iter().any(|id| used.contains(id));
        Ok(subjects.into_iter().filter(has_usage).collect())
    }

    /// Adds the rows of a customer behind one of them, until there are more than a page shows.
    async fn look_at(
        &mut self,
        customer_id: CustomerId,
        subject_ids: &[SubjectId],
        after: Option<RowKey>,
    ) -> Result<(), sqlx::Error> {
        let first = after.map_or(self.period.start, |(day, ..)| day.max(self.period.start));
        let left = Period { start: first, end: self.period.end };
        let agreed =
            agreed::of_customer(self.db, self.environment_id, customer_id, left, &mut self.cards).await?;
        let is_asked = |id| self.metrics.sql.contains_key(&id);
        let mut queried =
            unrated_of_queries(self.db, self.environment_id, subject_ids, &agreed, is_asked, left).await?;
        let (mut start, mut length) = (first, DAYS_AT_FIRST);
        while start < self.period.end && self.rows.len() <= ROWS_MAX {
            let end = self.period.end.min(start + TimeDelta::days(length.into()));
            let chunk = Period { start, end };
            let deals: Vec<Deal<'_>> = agreed.iter().flat_map(|agreed| agreed.deals(chunk)).collect();
            let metric_ids = self.metrics.streaming.keys().copied();
            let cuts = unrated_cuts(&deals, chunk, metric_ids).also_at(midnights(chunk));
            let pieces = self.pieces(subject_ids, &cuts).await?;
            length = match pieces.len() {
                ..FEW_PIECES => length * 2,
                MANY_PIECES.. => (length / 2).max(1),
                _ => length,
            };
            let mut rows = self.unrated(&deals, pieces, &cuts);
            rows.extend(queried.extract_if(.., |(day, ..), _| chunk.contains(*day)));
            let rows = rows.into_iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
            self.rows.extend(rows.map(|(key, amount)| (customer_id, key, amount)));
            start = end;
        }
        Ok(())
    }

    async fn pieces(&mut self, subject_ids: &[SubjectId], cuts: &Cuts) -> Result<Vec<Piece>, sqlx::Error> {
        // The values of no UNIQUE metric are wanted, which do not add up: all count as what has none.
        let segmented = |metric_id| SegmentedMetric {
            metric_id,
            aggregation: AggregationType::Count,
            starts: cuts.starts(metric_id),
            filter_changes: &[],
        };
        let metrics: Vec<SegmentedMetric<'_>> = cuts.metric_ids().map(segmented).collect();
        let end = cuts.period().end;
        PostgresRollups.pieces(self.db, self.environment_id, subject_ids, &metrics, end, Reading::Once).await
    }

    /// What of the pieces is billed nowhere.
    fn unrated(&self, deals: &[Deal<'_>], pieces: Vec<Piece>, cuts: &Cuts) -> BTreeMap<RowKey, Amount> {
        let mut rows: BTreeMap<RowKey, (Arc<Vec<String>>, Tally)> = BTreeMap::new();
        for Piece { metric_id, group_values, segment, tally } in pieces {
            let segment = cuts.segment(metric_id, segment);
            let names = self.metrics.streaming[&metric_id].definition.group_names();
            let groups: Vec<(&str, &str)> =
                names.iter().map(|name| &**name).zip(group_values.iter().map(String::as_str)).collect();
            let Some(reason) = unrated_reason(deals, metric_id, &groups, segment) else { continue };
            let group = group_id(self.environment_id, metric_id, &group_values);
            let key = (midnight(segment.start), metric_id, group, reason);
            let (_, sum) = rows.entry(key).or_insert_with(|| (group_values, Tally::default()));
            sum.merge(&tally);
        }
        let amount = |(key, (values, tally)): (RowKey, (Arc<Vec<String>>, Tally))| {
            let metric = &self.metrics.streaming[&key.1];
            let value = match metric.definition.aggregation_type {
                AggregationType::Count => Some(Decimal::from(tally.event_count)),
                AggregationType::Sum => Some(tally.total.unwrap_or_else(zero)),
                AggregationType::Max | AggregationType::Latest | AggregationType::Unique => None,
            };
            let names = metric.definition.group_names().into_iter().map(str::to_owned);
            let group_values = names.zip(values.iter().cloned()).collect();
            (key, Amount { group_values, event_count: Some(tally.event_count), value })
        };
        rows.into_iter().map(amount).collect()
    }
}

fn midnights(period: Period) -> impl Iterator<Item = Instant> {
    let next = |day: &Instant| Some(*day + TimeDelta::days(1));
    std::iter::successors(Some(period.start), next).take_while(move |day| *day < period.end)
}

fn midnight(instant: Instant) -> Instant {
    crate::time::of_day(instant.date_naive()).start
}

fn shown(
    metrics: &Asked,
    customer_id: CustomerId,
    (day, metric_id, _, reason): RowKey,
    Amount { group_values, event_count, value }: Amount,
) -> UnratedRow {
    let streaming = metrics.streaming.get(&metric_id).map(|metric| &metric.name);
    let name = streaming.or_else(|| metrics.sql.get(&metric_id).map(|metric| &metric.name));
    UnratedRow {
        customer_id,
        billable_metric_id: metric_id,
        billable_metric_name: name.cloned().expect("it was asked about"),
        group_values,
        start_timestamp: day,
        end_timestamp: day + TimeDelta::days(1),
        event_count,
        value: value.map(|value| ExactNumber(plain(&value))),
        reason,
    }
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("listUnratedUsage").tag("Usage").summary("List usage that no contract bills").description(
        "The usage of customers, by day and group values, for which no contract that is in force has an entitled rate, \
         and why: a misspelt model, a rate that is missing, a product that is off. Usage before a contract's first \
         statement counts as billed. What a metric with SQL counts is looked at in the statements of the contracts that sell \
         it, and listed where none of them bills what a day adds to its quantity. A page looks at 1,000 customers at \
         most, of which 100 with usage: it may be short or empty and have a next one. A rate, an override or a contract that is added \
         later bills the usage in statements that are still open, and takes it from this list; what a final invoice left \
         out stays until that is made anew. An own extension.",
    )
}
