//! `bench naive`: the server that a good engineer writes on the first day. Every request is a transaction: one
//! INSERT of many rows that passes over transaction ids that are there, and one upsert of the hourly sums that the
//! new rows change. It does the same work as Upbeat for the three metrics, and none of the rest (contracts, clocks,
//! late aliases, definitions that change).

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bigdecimal::BigDecimal;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::types::Json;
use sqlx::{Executor, PgConnection, PgPool};
use tokio::net::TcpListener;

use crate::event::REQUEST;

const CONNECTIONS: u32 = 16;
/// How often a transaction that PostgreSQL gave up is tried.
const ATTEMPTS: usize = 5;

const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS event (
         transaction_id text PRIMARY KEY,
         customer_id    text NOT NULL,
         event_type     text NOT NULL,
         happened_at    timestamptz NOT NULL,
         received_at    timestamptz NOT NULL DEFAULT now(),
         properties     jsonb NOT NULL
     )",
    "CREATE TABLE IF NOT EXISTS rollup (
         customer_id text NOT NULL,
         metric      text NOT NULL,
         hour        timestamptz NOT NULL,
         group_value text NOT NULL,
         event_count bigint NOT NULL,
         total       numeric,
         greatest    numeric,
         PRIMARY KEY (customer_id, metric, hour, group_value)
     ) WITH (fillfactor = 60)",
];

/// What is counted: the property, and nothing for the number of events.
const METRICS: [(&str, Option<&str>); 3] =
    [("requests", None), ("tokens", Some("tokens")), ("longest", Some("duration_ms"))];
const GROUP_KEY: &str = "model";

#[derive(Clone)]
struct App {
    db: PgPool,
    token: Arc<str>,
}

#[derive(Deserialize)]
struct Event {
    transaction_id: String,
    customer_id: String,
    event_type: String,
    timestamp: DateTime<Utc>,
    #[serde(default)]
    properties: Map<String, Value>,
}

/// Customer, metric, hour, group.
type Key = (String, &'static str, DateTime<Utc>, String);

/// What a rollup gains.
#[derive(Default)]
struct Gain {
    count: i64,
    total: Option<BigDecimal>,
    greatest: Option<BigDecimal>,
}

pub async fn serve(address: &str, database_url: &str, token: &str) {
    let db = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .test_before_acquire(false)
        .connect(database_url)
        .await
        .expect("PostgreSQL answers");
    for statement in TABLES {
        db.execute(*statement).await.expect("the tables");
    }
    let router = Router::new()
        .route("/readyz", get(|| async { "ready" }))
        .route("/v1/ingest", post(ingest))
        .with_state(App { db, token: token.into() });
    let listener = TcpListener::bind(address).await.expect("a free address");
    axum::serve(listener, router).await.expect("the server ends with its process");
}

async fn ingest(
    State(app): State<App>,
    headers: HeaderMap,
    axum::Json(events): axum::Json<Vec<Event>>,
) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if given.and_then(|value| value.strip_prefix("Bearer ")) != Some(&*app.token) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    for _ in 1..ATTEMPTS {
        match keep(&app.db, &events).await {
            Err(error) if is_transient(&error) => {}
            outcome => return answer(outcome),
        }
    }
    answer(keep(&app.db, &events).await)
}

fn answer(outcome: Result<(), sqlx::Error>) -> Response {
    match outcome {
        Ok(()) => axum::Json(json!({})).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Whether PostgreSQL undid the transaction for the sake of another one.
fn is_transient(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

async fn keep(db: &PgPool, events: &[Event]) -> Result<(), sqlx::Error> {
    let mut transaction = db.begin().await?;
    let new = insert(&mut transaction, events).await?;
    let gains = gains(&new);
    if !gains.is_empty() {
        upsert(&mut transaction, gains).await?;
    }
    transaction.commit().await
}

/// Keeps the events whose transaction id is new, and answers them.
async fn insert<'a>(db: &mut PgConnection, events: &'a [Event]) -> Result<Vec<&'a Event>, sqlx::Error> {
    // In the order of the ids, so that requests with the same ids wait for each other instead of locking up.
    let first: BTreeMap<&str, &Event> =
        events.iter().rev().map(|event| (event.transaction_id.as_str(), event)).collect();
    let column = |value: fn(&Event) -> &str| first.values().map(|event| value(event)).collect::<Vec<&str>>();
    let inserted: Vec<String> = sqlx::query_scalar(
        "INSERT INTO event (transaction_id, customer_id, event_type, happened_at, properties)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::jsonb[])
         ON CONFLICT (transaction_id) DO NOTHING RETURNING transaction_id",
    )
    .bind(column(|event| &event.transaction_id))
    .bind(column(|event| &event.customer_id))
    .bind(column(|event| &event.event_type))
    .bind(first.values().map(|event| event.timestamp).collect::<Vec<_>>())
    .bind(first.values().map(|event| Json(&event.properties)).collect::<Vec<_>>())
    .fetch_all(db)
    .await?;
    Ok(inserted.iter().filter_map(|id| first.get(id.as_str()).copied()).collect())
}

/// What the events add to the rollups.
fn gains(events: &[&Event]) -> HashMap<Key, Gain> {
    let mut gains: HashMap<Key, Gain> = HashMap::new();
    for event in events.iter().filter(|event| event.event_type == REQUEST) {
        let Some(group) = event.properties.get(GROUP_KEY).and_then(Value::as_str) else { continue };
        let hour = event.timestamp.duration_trunc(TimeDelta::hours(1)).expect("a time that can be cut");
        for (metric, property) in METRICS {
            let value = property.map(|property| event.properties.get(property).and_then(number));
            // An event without the number does not count for the metric.
            let Some(value) = value.map_or(Some(None), |value| value.map(Some)) else { continue };
            let key = (event.customer_id.clone(), metric, hour, group.to_owned());
            gains.entry(key).or_default().add(value);
        }
    }
    gains
}

/// A number, also one that was sent as a string; never through a binary float.
fn number(value: &Value) -> Option<BigDecimal> {
    match value {
        Value::Number(number) => BigDecimal::from_str(&number.to_string()).ok(),
        Value::String(text) => BigDecimal::from_str(text).ok(),
        _ => None,
    }
}

impl Gain {
    fn add(&mut self, value: Option<BigDecimal>) {
        self.count += 1;
        if let Some(value) = value {
            self.greatest = self.greatest.take().max(Some(value.clone()));
            self.total = Some(self.total.take().map_or(value.clone(), |total| total + value));
        }
    }
}

async fn upsert(db: &mut PgConnection, gains: HashMap<Key, Gain>) -> Result<(), sqlx::Error> {
    // In the order of the key: two requests that change the same rollups would lock each other up otherwise.
    let gains: BTreeMap<Key, Gain> = gains.into_iter().collect();
    sqlx::query(
        "INSERT INTO rollup AS old (customer_id, metric, hour, group_value, event_count, total, greatest)
         SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::bigint[], $6::numeric[],
                              $7::numeric[])
         ON CONFLICT (customer_id, metric, hour, group_value) DO UPDATE SET
             event_count = old.event_count + excluded.event_count,
             total = old.total + excluded.total,
             greatest = greatest(old.greatest, excluded.greatest)",
    )
    .bind(gains.keys().map(|key| key.0.as_str()).collect::<Vec<_>>())
    .bind(gains.keys().map(|key| key.1).collect::<Vec<_>>())
    .bind(gains.keys().map(|key| key.2).collect::<Vec<_>>())
    .bind(gains.keys().map(|key| key.3.as_str()).collect::<Vec<_>>())
    .bind(gains.values().map(|gain| gain.count).collect::<Vec<_>>())
    .bind(gains.values().map(|gain| gain.total.clone()).collect::<Vec<_>>())
    .bind(gains.values().map(|gain| gain.greatest.clone()).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}
