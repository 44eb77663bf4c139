//! `bench copy`: the physical limit. The same rows go into a table without an index by COPY, two connections at a
//! time, a transaction for every thousand rows: nothing is parsed, compared or counted.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, Executor, PgConnection};

use crate::event::{Draft, Places, Random, Source, Template};

const CONNECTIONS: usize = 2;
/// Rows of a transaction.
const FLUSH: usize = 1000;
/// Different flushes of one connection.
const TEMPLATES: usize = 4;

const TABLE: &str = "DROP TABLE IF EXISTS event;
CREATE TABLE event (
    transaction_id text NOT NULL,
    customer_id    text NOT NULL,
    event_type     text NOT NULL,
    happened_at    timestamptz NOT NULL,
    properties     text NOT NULL
)";

#[derive(Serialize, Deserialize)]
pub struct Job {
    pub database_url: String,
    pub format: Format,
    pub warm_millis: u64,
    pub window_millis: u64,
    pub source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    Text,
    Binary,
}

#[derive(Serialize, Deserialize)]
pub struct Outcome {
    pub events_in_window: u64,
    pub acknowledged: u64,
}

/// The table that the rows go to, empty.
pub async fn create_table(db: &mut PgConnection) {
    db.execute(TABLE).await.expect("the table of the rows");
}

/// Rows in the table.
pub async fn count(db: &mut PgConnection) -> u64 {
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM event").fetch_one(db).await.expect("a count");
    u64::try_from(rows).expect("a count")
}

pub async fn run(job: Job) -> Outcome {
    let mut random = Random::new();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let db = PgConnection::connect(&job.database_url).await.expect("PostgreSQL answers");
        connections.push((db, flushes(&job, &mut random)));
    }
    let start = Instant::now() + Duration::from_millis(job.warm_millis);
    let end = start + Duration::from_millis(job.window_millis);
    let tasks = connections.into_iter().map(|(db, templates)| {
        let (source, format) = (job.source.clone(), job.format);
        tokio::spawn(copy(db, templates, source, format, start, end))
    });
    let mut sum = Outcome { events_in_window: 0, acknowledged: 0 };
    for task in tasks.collect::<Vec<_>>() {
        let part = task.await.expect("a connection that copies to its end");
        sum.events_in_window += part.events_in_window;
        sum.acknowledged += part.acknowledged;
    }
    sum
}

async fn copy(
    mut db: PgConnection,
    mut templates: Vec<Template>,
    source: Source,
    format: Format,
    start: Instant,
    end: Instant,
) -> Outcome {
    let mut random = Random::new();
    let statement = match format {
        Format::Text => "COPY event FROM STDIN",
        Format::Binary => "COPY event FROM STDIN (FORMAT binary)",
    };
    let mut outcome = Outcome { events_in_window: 0, acknowledged: 0 };
    let mut turn = 0;
    while Instant::now() < end {
        turn = (turn + 1) % templates.len();
        templates[turn].stamp(&source, &mut random);
        let mut copy = db.copy_in_raw(statement).await.expect("COPY begins");
        copy.send(templates[turn].bytes.as_slice()).await.expect("COPY takes rows");
        let rows = copy.finish().await.expect("COPY commits");
        let now = Instant::now();
        outcome.acknowledged += rows;
        if start <= now && now < end {
            outcome.events_in_window += rows;
        }
    }
    outcome
}

fn flushes(job: &Job, random: &mut Random) -> Vec<Template> {
    let event_type = job.source.event_type.as_str();
    match job.format {
        Format::Text => Template::many(&job.source, TEMPLATES, FLUSH, random, &|bytes, draft| {
            append_text(bytes, event_type, draft)
        }),
        Format::Binary => {
            let mut flushes = Template::many(&job.source, TEMPLATES, FLUSH, random, &|bytes, draft| {
                if bytes.is_empty() {
                    bytes.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
                }
                append_binary(bytes, event_type, draft)
            });
            for flush in &mut flushes {
                flush.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
            }
            flushes
        }
    }
}

/// Blank where a transaction's or a customer's id goes.
const BLANK: &str = "                                    ";

fn append_text(bytes: &mut Vec<u8>, event_type: &str, draft: &Draft) -> Places {
    let transaction_id = bytes.len();
    let customer = transaction_id + BLANK.len() + 1;
    let (timestamp, properties) = (draft.timestamp_text(), draft.properties());
    let row = format!("{BLANK}\t{BLANK}\t{event_type}\t{timestamp}\t{properties}\n");
    bytes.extend_from_slice(row.as_bytes());
    Places {
        transaction_id,
        customer,
        model: bytes.len() - 1 - properties.len() + place_of_model(&properties),
    }
}

fn append_binary(bytes: &mut Vec<u8>, event_type: &str, draft: &Draft) -> Places {
    bytes.extend_from_slice(&5_i16.to_be_bytes());
    let transaction_id = append_field(bytes, BLANK.as_bytes());
    let customer = append_field(bytes, BLANK.as_bytes());
    append_field(bytes, event_type.as_bytes());
    append_field(bytes, &micros_since_2000(draft.timestamp).to_be_bytes());
    let properties = draft.properties();
    let start = append_field(bytes, properties.as_bytes());
    Places { transaction_id, customer, model: start + place_of_model(&properties) }
}

/// Where the field's bytes begin.
fn append_field(bytes: &mut Vec<u8>, field: &[u8]) -> usize {
    let length = i32::try_from(field.len()).expect("a short field");
    bytes.extend_from_slice(&length.to_be_bytes());
    let start = bytes.len();
    bytes.extend_from_slice(field);
    start
}

fn micros_since_2000(instant: DateTime<Utc>) -> i64 {
    /// PostgreSQL's epoch by the one of Unix.
    const EPOCH: i64 = 946_684_800_000_000;
    instant.timestamp_micros() - EPOCH
}

fn place_of_model(properties: &str) -> usize {
    const NAME: &str = r#""model":"model-"#;
    properties.find(NAME).expect("events name a model") + NAME.len()
}
