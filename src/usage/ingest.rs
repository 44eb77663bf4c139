//! `POST /v1/ingest`: facts are kept and counted in one transaction.

use std::collections::HashSet;

use aide::generate::GenContext;
use aide::openapi::Operation;
use aide::operation::OperationInput;
use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::contribution;
use super::store::{Delta, PostgresRollups, RollupStore};
use crate::access::{self, App, Writer};
use crate::catalog::billable_metric;
use crate::error::{ApiError, is_transient};
use crate::event::{
    Arrival, BACKDATING, DedupStore, Event, EventLog, KeyHold, PostgresEvents, parse_batch, subject_id,
    transaction_key,
};
use crate::id::EnvironmentId;
use crate::postgres::{next_arrival, share_arrivals};
use crate::wire::{Empty, RawBody};

/// How often a request is tried again when PostgreSQL gave way to another one.
const ATTEMPTS: usize = 5;

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    EventsBody(body): EventsBody,
) -> Result<Empty, ApiError> {
    let events = parse_batch(&body, caller.now)?;
    for _ in 1..ATTEMPTS {
        match keep(&app, caller.environment_id(), &events).await {
            Err(error) if is_transient(&error) => {}
            outcome => return Ok(outcome.map(|()| Empty)?),
        }
    }
    keep(&app, caller.environment_id(), &events).await?;
    Ok(Empty)
}

async fn keep(app: &App, environment_id: EnvironmentId, events: &[Event]) -> Result<(), sqlx::Error> {
    let mut transaction = app.db.begin().await?;
    share_arrivals(&mut transaction, environment_id).await?;
    // Read under the lock: an event that comes after an invoice was finalized has also arrived later by the
    // clock.
    let received_at = access::environment_now(&mut transaction, environment_id, app.clock.now()).await?;
    let metrics = billable_metric::metrics_taking_events(&mut transaction, environment_id).await?;
    let number = next_arrival(&mut transaction).await?;
    let arrival = Arrival { number, received_at };

    let repeats = repeats(&mut transaction, environment_id, arrival, events).await?;
    PostgresEvents.append(&mut transaction, environment_id, arrival, events, &repeats).await?;

    let mut deltas = Vec::new();
    let new = events.iter().enumerate().filter(|(position, _)| !repeats.contains(position));
    for (position, event) in new {
        for metric in &metrics {
            let Some(contribution) = contribution(&metric.definition, &event.event_type, &event.properties)
            else {
                continue;
            };
            deltas.push(Delta {
                subject_id: subject_id(environment_id, &event.customer_id),
                metric_id: metric.id,
                aggregation: metric.definition.aggregation_type,
                happened_at: event.timestamp,
                seq: arrival.seq(position),
                contribution,
            });
        }
    }
    PostgresRollups.apply(&mut transaction, environment_id, &deltas).await?;
    transaction.commit().await?;

    metrics::counter!("upbeat_events_accepted_total").increment(events.len() as u64);
    metrics::counter!("upbeat_events_repeated_total").increment(repeats.len() as u64);
    Ok(())
}

/// The positions of events whose transaction id was used before, in this request or an earlier one.
async fn repeats(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    arrival: Arrival,
    events: &[Event],
) -> Result<HashSet<usize>, sqlx::Error> {
    let keys: Vec<Uuid> =
        events.iter().map(|event| transaction_key(environment_id, &event.transaction_id)).collect();
    let mut seen = HashSet::new();
    let first: Vec<bool> = keys.iter().map(|key| seen.insert(*key)).collect();
    let hold = |position: usize| KeyHold {
        key: keys[position],
        // Held by the later of arrival and timestamp: an event dated ahead could otherwise be replayed while it is
        // young.
        expires_at: events[position].timestamp.max(arrival.received_at) + BACKDATING,
        subject_id: subject_id(environment_id, &events[position].customer_id),
        seq: arrival.seq(position),
    };
    let holds: Vec<KeyHold> = (0..events.len()).filter(|position| first[*position]).map(hold).collect();
    let admitted = PostgresEvents.admit(db, environment_id, &holds, arrival.received_at).await?;
    let is_repeat = |position: &usize| !first[*position] || !admitted.contains(&keys[*position]);
    Ok((0..events.len()).filter(is_repeat).collect())
}

/// The body: read as text first, so that every bad event can be named.
pub struct EventsBody(axum::body::Bytes);

impl<S: Send + Sync> axum::extract::FromRequest<S> for EventsBody {
    type Rejection = ApiError;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, ApiError> {
        RawBody::from_request(request, state).await.map(|RawBody(bytes)| Self(bytes))
    }
}

/// One usage event (schema `Event`).
#[derive(JsonSchema)]
#[schemars(rename = "Event")]
#[expect(dead_code, reason = "documents the body that `event::parse_batch` reads")]
struct EventInput {
    /// At most 128 characters. The first event of an id counts, repeats within 34 days do not.
    transaction_id: String,
    /// The customer's id or one of its ingest aliases; it may be set later.
    customer_id: String,
    event_type: String,
    /// RFC 3339 with an offset; at most 34 days old and 24 hours ahead.
    timestamp: String,
    /// At most 2,000; numbers may be sent as strings.
    properties: Option<serde_json::Map<String, serde_json::Value>>,
}

impl OperationInput for EventsBody {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        crate::wire::Json::<Vec<EventInput>>::operation_input(ctx, operation);
    }
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("ingest").tag("Usage").summary("Send usage events").description(
        "1 to 100 events; 200 means that all of them are kept, 400 that none is. A repeat of a transaction id, an \
         unknown customer or an event that no metric counts is not an error. After a network error send the same \
         request again.",
    )
}
