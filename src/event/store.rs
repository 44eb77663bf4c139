//! The tables of facts, behind the traits that name what they must do.

use std::collections::HashSet;
use std::future::Future;

use sqlx::PgConnection;
use uuid::Uuid;

use super::fact::{Event, StoredEvent, subject_id};
use super::value::parse_properties;
use crate::id::{EnvironmentId, SubjectId};
use crate::time::Instant;

/// Positions within one request; arrival numbers leave room for them.
const POSITIONS: i64 = 1000;

/// When a request of events came in: the number that orders it among all requests, and the environment's time.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub number: i64,
    pub received_at: Instant,
}

impl Arrival {
    /// The order of one event of the request among all events.
    #[must_use]
    pub fn seq(&self, position: usize) -> i64 {
        self.number * POSITIONS + i64::try_from(position).expect("requests are small")
    }

    /// The first order of all events that arrive after this number.
    #[must_use]
    pub fn first_seq_after(number: i64) -> i64 {
        (number + 1) * POSITIONS
    }
}

/// A transaction key and how long no repeat of it may count.
#[derive(Clone, Copy, Debug)]
pub struct KeyHold {
    pub key: Uuid,
    pub expires_at: Instant,
}

/// Which transactions are new.
pub trait DedupStore {
    /// Takes the keys that are new or whose hold is over, and answers which they were. Of concurrent callers
    /// exactly one gets a key; the others wait until it commits or rolls back. Keys must not repeat within the
    /// call.
    fn admit(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        keys: &[KeyHold],
        now: Instant,
    ) -> impl Future<Output = Result<HashSet<Uuid>, sqlx::Error>> + Send;
}

/// The log of everything that was sent.
pub trait EventLog {
    /// Keeps the events of one request, repeats (by position) marked.
    fn append(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        arrival: Arrival,
        events: &[Event],
        repeats: &HashSet<usize>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// Raw facts, for what rollups cannot answer.
pub trait SegmentReader {
    /// Events of one subject that are not repeats, in the order of arrival, after `after`; at most `limit`.
    fn read(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        subject_id: SubjectId,
        after: i64,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<StoredEvent>, sqlx::Error>> + Send;

    /// Every subject that sent anything.
    fn subjects(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
    ) -> impl Future<Output = Result<Vec<SubjectId>, sqlx::Error>> + Send;
}

/// Facts as rows of PostgreSQL.
#[derive(Clone, Copy)]
pub struct PostgresEvents;

impl DedupStore for PostgresEvents {
    async fn admit(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        keys: &[KeyHold],
        now: Instant,
    ) -> Result<HashSet<Uuid>, sqlx::Error> {
        let (ids, expiries): (Vec<Uuid>, Vec<Instant>) =
            keys.iter().map(|hold| (hold.key, hold.expires_at)).unzip();
        // In key order, so that two requests that share keys wait for one another and never deadlock.
        let admitted = sqlx::query_scalar!(
            "INSERT INTO event_key AS held (environment_id, key, expires_at)
             SELECT $1, key, expires_at FROM unnest($2::uuid[], $3::timestamptz[]) AS given (key, expires_at)
             ORDER BY key
             ON CONFLICT (environment_id, key) DO UPDATE SET expires_at = excluded.expires_at
                 WHERE held.expires_at < $4
             RETURNING key",
            environment_id.0,
            &ids,
            &expiries,
            now,
        )
        .fetch_all(db)
        .await?;
        Ok(admitted.into_iter().collect())
    }
}

impl EventLog for PostgresEvents {
    async fn append(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        arrival: Arrival,
        events: &[Event],
        repeats: &HashSet<usize>,
    ) -> Result<(), sqlx::Error> {
        let subjects: Vec<Uuid> =
            events.iter().map(|event| subject_id(environment_id, &event.customer_id).0).collect();
        let received: Vec<String> = events.iter().map(|event| event.customer_id.clone()).collect();
        sqlx::query!(
            "INSERT INTO subject (environment_id, id, received)
             SELECT DISTINCT $1::uuid, id, received FROM unnest($2::uuid[], $3::text[]) AS given (id, received)
             ORDER BY id
             ON CONFLICT (environment_id, id) DO NOTHING",
            environment_id.0,
            &subjects,
            &received,
        )
        .execute(&mut *db)
        .await?;

        let seqs: Vec<i64> = (0..events.len()).map(|position| arrival.seq(position)).collect();
        let transactions: Vec<String> = events.iter().map(|event| event.transaction_id.clone()).collect();
        let types: Vec<String> = events.iter().map(|event| event.event_type.clone()).collect();
        let timestamps: Vec<Instant> = events.iter().map(|event| event.timestamp).collect();
        let properties: Vec<String> = events.iter().map(|event| event.properties_json.clone()).collect();
        let duplicates: Vec<bool> = (0..events.len()).map(|position| repeats.contains(&position)).collect();
        sqlx::query!(
            "INSERT INTO event (environment_id, subject_id, seq, transaction_id, event_type, happened_at, received_at,
                                properties, is_duplicate)
             SELECT $1, subject_id, seq, transaction_id, event_type, happened_at, $2, properties, is_duplicate
             FROM unnest($3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[], $8::text[], $9::bool[])
                  AS given (subject_id, seq, transaction_id, event_type, happened_at, properties, is_duplicate)",
            environment_id.0,
            arrival.received_at,
            &subjects,
            &seqs,
            &transactions,
            &types,
            &timestamps,
            &properties,
            &duplicates,
        )
        .execute(db)
        .await?;
        Ok(())
    }
}

impl SegmentReader for PostgresEvents {
    async fn read(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        subject_id: SubjectId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<StoredEvent>, sqlx::Error> {
        let rows = sqlx::query!(
            r#"SELECT seq, event_type, happened_at, properties
               FROM event WHERE environment_id = $1 AND subject_id = $2 AND seq > $3 AND NOT is_duplicate
               ORDER BY seq LIMIT $4"#,
            environment_id.0,
            subject_id.0,
            after,
            limit,
        )
        .fetch_all(db)
        .await?;
        let event = |seq, event_type, timestamp, properties: &str| {
            let properties =
                parse_properties(properties).map_err(|error| sqlx::Error::Decode(error.into()))?;
            Ok(StoredEvent { subject_id, seq, event_type, timestamp, properties })
        };
        rows.into_iter().map(|row| event(row.seq, row.event_type, row.happened_at, &row.properties)).collect()
    }

    async fn subjects(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
    ) -> Result<Vec<SubjectId>, sqlx::Error> {
        sqlx::query_scalar!(
            r#"SELECT id AS "id: SubjectId" FROM subject WHERE environment_id = $1 ORDER BY id"#,
            environment_id.0,
        )
        .fetch_all(db)
        .await
    }
}
