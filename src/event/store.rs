//! The tables of facts, behind the traits that name what they must do.

use std::collections::HashSet;
use std::future::Future;

use sqlx::PgConnection;
use uuid::Uuid;

use super::fact::{Event, ReceivedEvent, StoredEvent, subject_id, transaction_key};
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

/// A transaction key, how long no repeat of it may count, and the event that takes it.
#[derive(Clone, Copy, Debug)]
pub struct KeyHold {
    pub key: Uuid,
    pub expires_at: Instant,
    pub subject_id: SubjectId,
    pub seq: i64,
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

    /// The events of these transaction ids that are dated `since` or later, in no order: of each id the one that
    /// counts, and the first `repeats_max` of its repeats.
    fn find(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        transaction_ids: &[String],
        since: Instant,
        repeats_max: i64,
    ) -> impl Future<Output = Result<Vec<ReceivedEvent>, sqlx::Error>> + Send;

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
        let ids: Vec<Uuid> = keys.iter().map(|hold| hold.key).collect();
        let expiries: Vec<Instant> = keys.iter().map(|hold| hold.expires_at).collect();
        let subjects: Vec<Uuid> = keys.iter().map(|hold| hold.subject_id.0).collect();
        let seqs: Vec<i64> = keys.iter().map(|hold| hold.seq).collect();
        // In key order, so that two requests that share keys wait for one another and never deadlock.
        let admitted = sqlx::query_scalar!(
            "INSERT INTO event_key AS held (environment_id, key, expires_at, subject_id, seq)
             SELECT $1, key, expires_at, subject_id, seq
             FROM unnest($2::uuid[], $3::timestamptz[], $4::uuid[], $5::bigint[])
                  AS given (key, expires_at, subject_id, seq)
             ORDER BY key
             ON CONFLICT (environment_id, key) DO UPDATE
                 SET expires_at = excluded.expires_at, subject_id = excluded.subject_id, seq = excluded.seq
                 WHERE held.expires_at < $6
             RETURNING key",
            environment_id.0,
            &ids,
            &expiries,
            &subjects,
            &seqs,
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

    async fn find(
        &self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        transaction_ids: &[String],
        since: Instant,
        repeats_max: i64,
    ) -> Result<Vec<ReceivedEvent>, sqlx::Error> {
        let places = places_of(db, environment_id, transaction_ids, since, repeats_max).await?;
        let (subjects, seqs): (Vec<Uuid>, Vec<i64>) = places.into_iter().unzip();
        sqlx::query_as!(
            ReceivedEvent,
            r#"SELECT event.subject_id AS "subject_id: SubjectId", event.seq, transaction_id,
                      subject.received AS customer_id, event_type, happened_at AS timestamp, received_at,
                      properties AS properties_json, is_duplicate
               FROM unnest($2::uuid[], $3::bigint[]) AS given (subject_id, seq)
               JOIN event ON event.environment_id = $1 AND event.subject_id = given.subject_id
                    AND event.seq = given.seq
               JOIN subject ON subject.environment_id = $1 AND subject.id = given.subject_id
               WHERE happened_at >= $4"#,
            environment_id.0,
            &subjects,
            &seqs,
            since,
        )
        .fetch_all(db)
        .await
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

/// Where the events of these transaction ids are, by subject and order. An event that counts is where its key says:
/// a key is held for as long as its event can be found, so a key that was taken over hides none.
async fn places_of(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    transaction_ids: &[String],
    since: Instant,
    repeats_max: i64,
) -> Result<Vec<(Uuid, i64)>, sqlx::Error> {
    let keys: Vec<Uuid> = transaction_ids.iter().map(|id| transaction_key(environment_id, id)).collect();
    let holders = sqlx::query!(
        "SELECT subject_id, seq FROM event_key WHERE environment_id = $1 AND key = ANY($2)",
        environment_id.0,
        &keys,
    )
    .fetch_all(&mut *db)
    .await?;
    let repeats = sqlx::query!(
        r#"SELECT repeat.subject_id AS "subject_id!", repeat.seq AS "seq!"
           FROM unnest($2::text[]) AS given (transaction_id)
           CROSS JOIN LATERAL (
               SELECT subject_id, seq FROM event
               WHERE event.environment_id = $1 AND event.transaction_id = given.transaction_id AND is_duplicate
                 AND happened_at >= $3
               ORDER BY seq LIMIT $4
           ) AS repeat"#,
        environment_id.0,
        transaction_ids,
        since,
        repeats_max,
    )
    .fetch_all(db)
    .await?;
    let holders = holders.into_iter().map(|row| (row.subject_id, row.seq));
    Ok(holders.chain(repeats.into_iter().map(|row| (row.subject_id, row.seq))).collect())
}
