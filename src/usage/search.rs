//! `POST /v1/events/search`

use std::collections::{BTreeMap, HashMap, HashSet};

use aide::transform::TransformOperation;
use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::matches;
use super::ingest::Metering;
use super::sql;
use crate::access::{App, Caller};
use crate::casing::wire_enum;
use crate::catalog::billable_metric::{self, AggregationType, AnyMetricRow, BillableMetric, Counting};
use crate::catalog::version::seen_version;
use crate::custom_field::{self, CustomFields, ManagedEntity};
use crate::customer::{self, CustomerRow};
use crate::error::ApiError;
use crate::event::{BACKDATING, BatchLog, EventLog, Properties, ReceivedEvent, parse_properties, subject_id};
use crate::id::{CustomerId, EnvironmentId, deterministic};
use crate::postgres::begin_snapshot;
use crate::time::Instant;
use crate::wire::Json;

/// Most ids of one request (our decision: it is for samples).
const IDS_MAX: usize = 100;

/// Most repeats of one id that are shown (our decision: an answer has no pages, and a sender can repeat without end).
const REPEATS_MAX: usize = 1000;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SearchEvents {
    /// 1 to 100.
    #[schemars(length(min = 1, max = IDS_MAX))]
    transaction_ids: Vec<String>,
}

/// An event and what it was taken for.
#[derive(Serialize, JsonSchema)]
pub struct FoundEvent {
    id: Uuid,
    transaction_id: String,
    /// As it was sent.
    customer_id: String,
    event_type: String,
    timestamp: Instant,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    properties: Box<RawValue>,
    /// When it came in.
    processed_at: Instant,
    /// It repeats the transaction id of an event that counts, and counts for nothing itself.
    is_duplicate: bool,
    /// Whose usage it is, if anybody's; not told of repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_customer: Option<MatchedCustomer>,
    /// The active metrics whose filters let it pass; not told of repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_billable_metrics: Option<Vec<MatchedMetric>>,
}

wire_enum! {
    /// How a metric counts, where queries have a name too (schema `AggregationTypeForEventsSearch`).
    pub enum FoundAggregation {
        Count = "COUNT",
        Sum = "SUM",
        Max = "MAX",
        Unique = "UNIQUE",
        Latest = "LATEST",
        CustomSql = "custom_sql",
    }
}

/// A metric that takes an event.
#[derive(Serialize, JsonSchema)]
pub struct MatchedMetric {
    /// Its own aggregation is unset here.
    #[serde(flatten)]
    metric: BillableMetric,
    aggregation_type: FoundAggregation,
}

impl FoundAggregation {
    fn of(aggregation: Option<AggregationType>) -> Self {
        match aggregation {
            Some(AggregationType::Count) => Self::Count,
            Some(AggregationType::Sum) => Self::Sum,
            Some(AggregationType::Max) => Self::Max,
            Some(AggregationType::Unique) => Self::Unique,
            Some(AggregationType::Latest) => Self::Latest,
            None => Self::CustomSql,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub struct MatchedCustomer {
    id: CustomerId,
    name: String,
}

pub async fn handler(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    Json(request): Json<SearchEvents>,
) -> Result<axum::Json<Vec<FoundEvent>>, ApiError> {
    let environment_id = caller.environment_id();
    let ids = request.transaction_ids;
    if ids.is_empty() || ids.len() > IDS_MAX {
        return Err(ApiError::field("transactionIds", format!("must hold 1 to {IDS_MAX} ids")));
    }
    let ids = distinct(ids);
    let mut snapshot = begin_snapshot(&app.db).await?;
    // Events dated ahead are found too, though they are not of the last days (our decision: the sender looks for them).
    let since = caller.now - BACKDATING;
    let mut events =
        BatchLog.find(&mut snapshot, metering.screens(), environment_id, &ids, since, REPEATS_MAX).await?;
    let customers = customers(&mut snapshot, environment_id, &events).await?;
    let catalog = seen_version(&mut snapshot, environment_id).await?;
    let metrics = billable_metric::all_active(&mut snapshot, environment_id, catalog).await?;
    let active = active_metrics(&mut snapshot, &metrics, &events).await?;
    let metrics_shown = metrics.iter().map(|metric| (ManagedEntity::BillableMetric, metric.id.0)).collect();
    let state = catalog.map(|catalog| catalog.0);
    let fields = custom_field::of_all_in(&mut snapshot, environment_id, metrics_shown, state).await?;
    // It is undone behind the answer.
    drop(snapshot);

    let places: HashMap<&String, usize> = ids.iter().zip(0..).collect();
    events.sort_by_cached_key(|event| {
        (places[&event.transaction_id], event.received_at, event.is_duplicate, event.seq)
    });
    let found: Result<Vec<FoundEvent>, serde_json::Error> =
        events.into_iter().map(|event| show(environment_id, event, &customers, &active, &fields)).collect();
    found.map(axum::Json).map_err(|error| ApiError::internal("stored properties are not JSON", error))
}

/// Each id where it first stands: one that is named twice is found once (our decision).
fn distinct(mut ids: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    ids
}

/// Whom the strings in events mean now.
async fn customers(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    events: &[ReceivedEvent],
) -> Result<HashMap<String, CustomerRow>, sqlx::Error> {
    let mut received: Vec<String> = events.iter().map(|event| event.customer_id.clone()).collect();
    received.sort_unstable();
    received.dedup();
    customer::find_by_subjects(db, environment_id, &received).await
}

/// A metric that is not archived.
struct ActiveMetric<'m> {
    metric: &'m AnyMetricRow,
    /// The events that its query takes, by their order of arrival; none where it has no query.
    taken: HashSet<i64>,
}

impl ActiveMetric<'_> {
    fn takes(&self, event: &ReceivedEvent, properties: &Properties<'_>) -> bool {
        match &self.metric.definition {
            Counting::Streaming(definition) => matches(definition, &event.event_type, properties),
            Counting::Sql(_) => self.taken.contains(&event.seq),
        }
    }
}

/// The metrics with what of the events those take that have a query.
async fn active_metrics<'m>(
    db: &mut PgConnection,
    metrics: &'m [AnyMetricRow],
    events: &[ReceivedEvent],
) -> Result<Vec<ActiveMetric<'m>>, sqlx::Error> {
    let mut active = Vec::with_capacity(metrics.len());
    for metric in metrics {
        let mut taken = HashSet::new();
        if let Counting::Sql(definition) = &metric.definition {
            let passing = sql::passing(db, metric.id, definition, events).await?;
            let events = events.iter().zip(passing).filter(|(_, passes)| *passes);
            taken.extend(events.map(|(event, _)| event.seq));
        }
        active.push(ActiveMetric { metric, taken });
    }
    Ok(active)
}

fn show(
    environment_id: EnvironmentId,
    event: ReceivedEvent,
    customers: &HashMap<String, CustomerRow>,
    metrics: &[ActiveMetric<'_>],
    fields: &BTreeMap<(ManagedEntity, Uuid), CustomFields>,
) -> Result<FoundEvent, serde_json::Error> {
    let counts = !event.is_duplicate;
    let customer = customers.get(&event.customer_id).filter(|_| counts);
    let matched_billable_metrics = if counts { Some(matching(&event, metrics, fields)?) } else { None };
    Ok(FoundEvent {
        id: event_id(environment_id, &event),
        transaction_id: event.transaction_id,
        customer_id: event.customer_id,
        event_type: event.event_type,
        timestamp: event.timestamp,
        properties: RawValue::from_string(event.properties_json)?,
        processed_at: event.received_at,
        is_duplicate: event.is_duplicate,
        matched_customer: customer
            .map(|customer| MatchedCustomer { id: customer.id, name: customer.name.clone() }),
        matched_billable_metrics,
    })
}

fn matching(
    event: &ReceivedEvent,
    metrics: &[ActiveMetric<'_>],
    fields: &BTreeMap<(ManagedEntity, Uuid), CustomFields>,
) -> Result<Vec<MatchedMetric>, serde_json::Error> {
    let properties = parse_properties(&event.properties_json)?;
    let matching = metrics.iter().filter(|active| active.takes(event, &properties));
    let shown = |active: &ActiveMetric<'_>| {
        let mut shown = BillableMetric::from(active.metric.clone());
        let own = fields.get(&(ManagedEntity::BillableMetric, shown.id.0));
        shown.custom_fields = own.cloned().unwrap_or_default();
        MatchedMetric { aggregation_type: FoundAggregation::of(shown.aggregation_type.take()), metric: shown }
    };
    Ok(matching.map(shown).collect())
}

/// The same for the same event at every search: events have no id of their own.
fn event_id(environment_id: EnvironmentId, event: &ReceivedEvent) -> Uuid {
    let subject_id = subject_id(environment_id, &event.customer_id);
    let parts = [environment_id.to_string(), subject_id.to_string(), event.seq.to_string()];
    deterministic("event", &parts.each_ref().map(String::as_str))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("searchEvents").tag("Usage").summary("Find events by transaction id").description(
        "Events dated in the last 34 days or ahead, by the order of the ids and then by arrival; an id without events \
         is left out. The customer is the one that the event belongs to now. A metric is listed also where it was \
         made after the event came in and does not count it. Of one id the first 1,000 repeats are shown.",
    )
}
