//! Facts by subject and day: for everything that rollups cannot answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;

use chrono::NaiveDate;
use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use super::codec::{CODEC, Facts, pack};
use super::fact::{Fact, subject_id};
use crate::id::{EnvironmentId, SubjectId};
use crate::money::Decimal;
use crate::time::Period;

/// Batches that are turned into segments at once, and how many events they may have together.
const BATCHES_AT_ONCE: i64 = 2000;
const EVENTS_AT_ONCE: i64 = 200_000;

/// What is unpacked at once to be written again, about: one payload more at most. Events may be large, and what they take
/// shows only when they are unpacked.
const UNPACKED_BYTES: usize = 64 << 20;

/// Bytes of payloads that are fetched for it, about.
const FETCHED_BYTES: i64 = 16 << 20;

/// A segment whose payload is as large as this is not merged with others any more.
const MERGED_BYTES_MAX: i32 = 2 << 20;

/// Segments of one subject and day that are merged into one when there are so many.
const SEGMENTS_MAX: i64 = 8;

/// Events that are read at once, and bytes of their payloads, about.
const EVENTS_A_PAGE: i64 = 20_000;
const BYTES_A_PAGE: i64 = 4 << 20;

/// Which facts to read; repeats are never among them.
#[derive(Clone, Debug)]
pub struct Scope {
    pub environment_id: EnvironmentId,
    /// Unset: of every subject.
    pub subject_ids: Option<Vec<SubjectId>>,
    /// Unset: of any time.
    pub period: Option<Period>,
    /// Which orders of arrival.
    pub seqs: Range<i64>,
}

impl Scope {
    /// The facts of the subjects in a period, whenever they arrived.
    #[must_use]
    pub fn of_subjects(environment_id: EnvironmentId, subject_ids: Vec<SubjectId>, period: Period) -> Self {
        Self {
            environment_id,
            subject_ids: Some(subject_ids),
            period: Some(period),
            seqs: i64::MIN..i64::MAX,
        }
    }

    /// Those of the facts that are in it, with their subjects.
    pub fn facts<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = (SubjectId, Fact<'a>)> {
        let subjects: Vec<Option<SubjectId>> = facts
            .customers()
            .map(|received| subject_id(self.environment_id, received))
            .map(|id| self.subject_ids.as_ref().is_none_or(|ids| ids.contains(&id)).then_some(id))
            .collect();
        facts.iter().filter_map(move |(customer, fact)| {
            let is_in = !fact.is_duplicate
                && self.seqs.contains(&fact.seq)
                && self.period.is_none_or(|period| period.contains(fact.timestamp));
            Some((subjects[customer].filter(|_| is_in)?, fact))
        })
    }

    fn ids(&self) -> Option<Vec<Uuid>> {
        self.subject_ids.as_ref().map(|ids| ids.iter().map(|id| id.0).collect())
    }

    /// The first and the last day that may have facts.
    fn days(&self) -> (NaiveDate, NaiveDate) {
        match self.period {
            Some(period) => (period.start.date_naive(), period.end.date_naive()),
            None => (NaiveDate::default(), NaiveDate::from_ymd_opt(9999, 12, 31).expect("a day")),
        }
    }
}

/// How far a reading came.
#[derive(Clone, Copy, Debug)]
pub enum Bookmark {
    /// The last segment that was read.
    Segment(Uuid, NaiveDate, i64),
    /// The last batch that was read.
    Batch(i64),
}

/// Raw facts, for what rollups cannot answer.
pub trait SegmentReader {
    /// The facts from `after` on, in no order, some payloads at a time; nothing when all are read. Payloads hold more
    /// than the scope: [`Scope::facts`] picks. To see each fact once, all calls must be in one snapshot.
    fn read(
        &self,
        db: &mut PgConnection,
        scope: &Scope,
        after: Option<Bookmark>,
    ) -> impl Future<Output = Result<Option<(Vec<Facts>, Bookmark)>, sqlx::Error>> + Send;
}

/// Segments, and the batches that are not in segments yet.
#[derive(Clone, Copy)]
pub struct Segments;

impl SegmentReader for Segments {
    async fn read(
        &self,
        db: &mut PgConnection,
        scope: &Scope,
        after: Option<Bookmark>,
    ) -> Result<Option<(Vec<Facts>, Bookmark)>, sqlx::Error> {
        let after_batch = match after {
            Some(Bookmark::Batch(batch_id)) => batch_id,
            Some(Bookmark::Segment(..)) | None => {
                if after.is_none() {
                    // Batches that are pending in this snapshot may be in segments soon, and their slot gone.
                    db.execute("LOCK TABLE event_batch IN ACCESS SHARE MODE").await?;
                }
                let page = segments_after(db, scope, after).await?;
                if page.is_some() {
                    return Ok(page);
                }
                i64::MIN
            }
        };
        pending_after(db, scope, after_batch).await
    }
}

struct Payload {
    codec: i16,
    payload: Vec<u8>,
}

impl Payload {
    fn unpack(&self) -> Result<Facts, sqlx::Error> {
        Facts::unpack(self.codec, &self.payload).map_err(|error| sqlx::Error::Decode(error.into()))
    }
}

/// The first of the payloads, and how far that is.
fn page(
    payloads: impl Iterator<Item = Result<(Bookmark, Payload), sqlx::Error>>,
) -> Result<Option<(Vec<Facts>, Bookmark)>, sqlx::Error> {
    let (bookmarks, facts): (Vec<Bookmark>, Vec<Facts>) =
        unpack_some(payloads, usize::MAX)?.into_iter().unzip();
    Ok(bookmarks.last().map(|last| (facts, *last)))
}

/// The first of the payloads, with what stands beside each, until they take [`UNPACKED_BYTES`]; without those that take
/// more than `most` alone.
fn unpack_some<T>(
    payloads: impl Iterator<Item = Result<(T, Payload), sqlx::Error>>,
    most: usize,
) -> Result<Vec<(T, Facts)>, sqlx::Error> {
    let mut left = UNPACKED_BYTES;
    let mut unpacked = Vec::new();
    for payload in payloads {
        let (beside, payload) = payload?;
        let facts = payload.unpack()?;
        let bytes = facts.size_bytes();
        if bytes > most {
            continue;
        }
        unpacked.push((beside, facts));
        if bytes >= left {
            break;
        }
        left -= bytes;
    }
    Ok(unpacked)
}

/// Some segments behind the bookmark, in the order of their key.
async fn segments_after(
    db: &mut PgConnection,
    scope: &Scope,
    after: Option<Bookmark>,
) -> Result<Option<(Vec<Facts>, Bookmark)>, sqlx::Error> {
    let (subject, day, segment) = match after {
        Some(Bookmark::Segment(subject, day, segment)) => (subject, day, segment),
        _ => (Uuid::nil(), NaiveDate::default(), i64::MIN),
    };
    let (first_day, last_day) = scope.days();
    let subject_ids = scope.ids();
    let rows = sqlx::query!(
        r#"SELECT subject_id AS "subject_id!", day AS "day!", segment AS "segment!", codec AS "codec!",
                  payload AS "payload!"
           FROM (
               SELECT *, sum(event_count) OVER before - event_count AS events_before,
                      sum(octet_length(payload)) OVER before - octet_length(payload) AS bytes_before
               FROM (
                   SELECT * FROM event_segment
                   WHERE environment_id = $1 AND ($2::uuid[] IS NULL OR subject_id = ANY($2))
                     AND day BETWEEN $3 AND $4 AND (subject_id, day, segment) > ($5, $6, $7)
                   ORDER BY subject_id, day, segment LIMIT $8
               ) next
               WINDOW before AS (ORDER BY subject_id, day, segment)
           ) page
           WHERE events_before < $8 AND bytes_before < $9
           ORDER BY subject_id, day, segment"#,
        scope.environment_id.0,
        subject_ids.as_deref(),
        first_day,
        last_day,
        subject,
        day,
        segment,
        EVENTS_A_PAGE,
        BYTES_A_PAGE,
    )
    .fetch_all(db)
    .await?;
    let payloads = rows.into_iter().map(|row| {
        let bookmark = Bookmark::Segment(row.subject_id, row.day, row.segment);
        Ok((bookmark, Payload { codec: row.codec, payload: row.payload }))
    });
    page(payloads)
}

/// Some of the batches behind this one that are not in segments yet, in the order of arrival.
async fn pending_after(
    db: &mut PgConnection,
    scope: &Scope,
    after: i64,
) -> Result<Option<(Vec<Facts>, Bookmark)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT batch_id AS "batch_id!", codec AS "codec?", payload AS "payload?"
           FROM (
               SELECT pending.batch_id, codec, payload,
                      sum(event_count) OVER before - coalesce(event_count, 0) AS events_before,
                      sum(octet_length(payload)) OVER before - coalesce(octet_length(payload), 0) AS bytes_before
               FROM (
                   SELECT batch_id, slot FROM segment_pending
                   WHERE environment_id = $1 AND batch_id > $2 ORDER BY batch_id LIMIT $3
               ) pending
               LEFT JOIN event_batch batch ON batch.slot = pending.slot AND batch.batch_id = pending.batch_id
                    AND batch.environment_id = $1
               WINDOW before AS (ORDER BY pending.batch_id)
           ) page
           WHERE coalesce(events_before, 0) < $4 AND coalesce(bytes_before, 0) < $5
           ORDER BY batch_id"#,
        scope.environment_id.0,
        after,
        BATCHES_AT_ONCE,
        EVENTS_A_PAGE,
        BYTES_A_PAGE,
    )
    .fetch_all(db)
    .await?;
    let payloads = rows.into_iter().map(|row| {
        // Its slot was dropped between the snapshot and the lock: to go on would lose its events in silence.
        let missing = || sqlx::Error::Decode(format!("the batch {} is gone", row.batch_id).into());
        let (codec, payload) = row.codec.zip(row.payload).ok_or_else(missing)?;
        Ok((Bookmark::Batch(row.batch_id), Payload { codec, payload }))
    });
    page(payloads)
}

/// The newest batch that is not in segments yet.
pub async fn newest_loose_batch(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT max(batch_id) FROM segment_pending WHERE environment_id = $1",
        environment_id.0
    )
    .fetch_one(db)
    .await
}

/// Turns the oldest batches that are not in segments yet, up to one, into segments; answers how many. The caller
/// commits. Of concurrent callers one works and the others find nothing to do.
pub async fn make_segments(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    up_to: i64,
) -> Result<usize, sqlx::Error> {
    if !begin_making(db, environment_id).await? {
        return Ok(0);
    }
    let batches = sqlx::query!(
        r#"SELECT batch_id AS "batch_id!", codec AS "codec!", payload AS "payload!"
           FROM (
               SELECT next.batch_id, codec, payload, sum(event_count) OVER before - event_count AS events_before,
                      sum(octet_length(payload)) OVER before - octet_length(payload) AS bytes_before
               FROM (
                   SELECT slot, batch_id FROM segment_pending
                   WHERE environment_id = $1 AND batch_id <= $4 ORDER BY batch_id LIMIT $2
               ) next
               JOIN event_batch batch ON batch.slot = next.slot AND batch.batch_id = next.batch_id
                    AND batch.environment_id = $1
               WINDOW before AS (ORDER BY next.batch_id)
           ) page
           WHERE events_before < $3 AND bytes_before < $5
           ORDER BY batch_id"#,
        environment_id.0,
        BATCHES_AT_ONCE,
        EVENTS_AT_ONCE,
        up_to,
        FETCHED_BYTES,
    )
    .fetch_all(&mut *db)
    .await?;
    let batches = batches
        .into_iter()
        .map(|batch| Ok((batch.batch_id, Payload { codec: batch.codec, payload: batch.payload })));
    let batches = unpack_some(batches, usize::MAX)?;
    let Some((segment, _)) = batches.first() else { return Ok(0) };
    let (segment, count) = (*segment, batches.len());
    let (ids, facts): (Vec<i64>, Vec<Facts>) = batches.into_iter().unzip();
    // Nobody else takes them away, as one at a time makes segments.
    sqlx::query!(
        "DELETE FROM segment_pending WHERE environment_id = $1 AND batch_id = ANY($2)",
        environment_id.0,
        &ids,
    )
    .execute(&mut *db)
    .await?;
    let new = by_subject_and_day(environment_id, &facts);
    keep(db, environment_id, &new, |_| segment).await?;
    let days: Vec<(SubjectId, NaiveDate)> = new.into_keys().collect();
    drop(facts);
    merge_crowded(db, environment_id, &days).await?;
    Ok(count)
}

/// Whether nobody else makes segments of the environment until the transaction ends.
async fn begin_making(db: &mut PgConnection, environment_id: EnvironmentId) -> Result<bool, sqlx::Error> {
    const SEGMENTS: i64 = 0x0075_7062_6561_7402;
    let (_, low) = environment_id.0.as_u64_pair();
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "begun!""#, low.cast_signed() ^ SEGMENTS)
        .fetch_one(db)
        .await
}

/// The key of a segment.
type Key = (SubjectId, NaiveDate, i64);

type BySubjectAndDay<'a> = BTreeMap<(SubjectId, NaiveDate), Vec<Fact<'a>>>;

/// The facts that count.
fn by_subject_and_day<'a>(
    environment_id: EnvironmentId,
    facts: impl IntoIterator<Item = &'a Facts>,
) -> BySubjectAndDay<'a> {
    let mut days = BySubjectAndDay::new();
    for facts in facts {
        let subjects: Vec<SubjectId> =
            facts.customers().map(|received| subject_id(environment_id, received)).collect();
        for (customer, fact) in facts.iter().filter(|(_, fact)| !fact.is_duplicate) {
            days.entry((subjects[customer], fact.timestamp.date_naive())).or_default().push(fact);
        }
    }
    days
}

/// Keeps the facts as segments of these numbers.
async fn keep(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    days: &BySubjectAndDay<'_>,
    number: impl Fn(&(SubjectId, NaiveDate)) -> i64,
) -> Result<(), sqlx::Error> {
    let subjects: Vec<Uuid> = days.keys().map(|(subject, _)| subject.0).collect();
    let dates: Vec<NaiveDate> = days.keys().map(|(_, day)| *day).collect();
    let numbers: Vec<i64> = days.keys().map(number).collect();
    let counts: Vec<i32> =
        days.values().map(|facts| i32::try_from(facts.len()).expect("a segment is small")).collect();
    let payloads: Vec<Vec<u8>> = days.values().map(|facts| pack(facts).payload).collect();
    sqlx::query!(
        "INSERT INTO event_segment (environment_id, subject_id, day, segment, event_count, codec, payload)
         SELECT $1, subject_id, day, segment, event_count, $2, payload
         FROM unnest($3::uuid[], $4::date[], $5::bigint[], $6::int[], $7::bytea[])
              AS given (subject_id, day, segment, event_count, payload)",
        environment_id.0,
        CODEC,
        &subjects,
        &dates,
        &numbers,
        &counts,
        &payloads,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Merges the segments of those of the days that have many of one size, so that a month of a busy subject is a few
/// payloads and an event is written again only as often as its segment grows eightfold. Days beyond a bound wait until
/// they are touched again: busy subjects fill up at the same time.
async fn merge_crowded(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    days: &[(SubjectId, NaiveDate)],
) -> Result<(), sqlx::Error> {
    let (subjects, dates): (Vec<Uuid>, Vec<NaiveDate>) =
        days.iter().map(|(subject, day)| (subject.0, *day)).unzip();
    let crowded = sqlx::query!(
        r#"WITH small AS (
               SELECT segment.*,
                      count(*) OVER (PARTITION BY subject_id, day, floor(log($4::numeric, event_count))) AS alike
               FROM unnest($2::uuid[], $3::date[]) AS given (subject_id, day)
               JOIN event_segment segment USING (subject_id, day)
               WHERE segment.environment_id = $1 AND event_count < $5 AND octet_length(payload) < $8
           ), crowded AS (
               SELECT *, sum(event_count) OVER before - event_count AS events_before,
                      sum(octet_length(payload)) OVER before - octet_length(payload) AS bytes_before
               FROM small WHERE alike >= $4::numeric
               WINDOW before AS (ORDER BY subject_id, day, segment)
           )
           SELECT subject_id AS "subject_id!: SubjectId", day AS "day!", segment AS "segment!", codec AS "codec!",
                  payload AS "payload!"
           FROM crowded WHERE events_before < $6 AND bytes_before < $7
           ORDER BY subject_id, day, segment"#,
        environment_id.0,
        &subjects,
        &dates,
        Decimal::from(SEGMENTS_MAX),
        i32::try_from(EVENTS_A_PAGE).expect("a small number"),
        EVENTS_AT_ONCE,
        FETCHED_BYTES,
        MERGED_BYTES_MAX,
    )
    .fetch_all(&mut *db)
    .await?;
    let crowded = crowded.into_iter().map(|row| {
        let key = (row.subject_id, row.day, row.segment);
        Ok((key, Payload { codec: row.codec, payload: row.payload }))
    });
    // Those that are large already are left as they are, or they would always come first.
    let crowded = unpack_some(crowded, UNPACKED_BYTES / 4)?;
    // Of a day of which there is one alone, it stays.
    let is_alike = |((subject, day, _), _): &(Key, Facts), ((other, same, _), _): &(Key, Facts)| {
        (subject, day) == (other, same)
    };
    let merged: Vec<&[(Key, Facts)]> = crowded.chunk_by(is_alike).filter(|day| day.len() > 1).collect();
    let gone = merged
        .iter()
        .flat_map(|day| day.iter())
        .map(|((subject, day, segment), _)| ((subject.0, *day), *segment));
    let ((subjects, dates), segments): ((Vec<Uuid>, Vec<NaiveDate>), Vec<i64>) = gone.unzip();
    sqlx::query!(
        "DELETE FROM event_segment gone
         USING unnest($2::uuid[], $3::date[], $4::bigint[]) AS given (subject_id, day, segment)
         WHERE gone.environment_id = $1 AND gone.subject_id = given.subject_id AND gone.day = given.day
           AND gone.segment = given.segment",
        environment_id.0,
        &subjects,
        &dates,
        &segments,
    )
    .execute(&mut *db)
    .await?;
    // A merged segment takes the number of the first that is gone.
    let first = |day: &&[(Key, Facts)]| ((day[0].0.0, day[0].0.1), day[0].0.2);
    let numbers: BTreeMap<(SubjectId, NaiveDate), i64> = merged.iter().map(first).collect();
    let facts = merged.iter().flat_map(|day| day.iter()).map(|(_, facts)| facts);
    keep(db, environment_id, &by_subject_and_day(environment_id, facts), |day| numbers[day]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    #[test]
    fn no_more_is_unpacked_than_the_memory_takes() {
        let properties = format!(r#"{{"text":"{}"}}"#, "e".repeat(24 << 20));
        let fact = |seq| Fact {
            transaction_id: "t",
            customer_id: "c",
            event_type: "e",
            timestamp: Instant::default(),
            received_at: Instant::default(),
            seq,
            properties_json: &properties,
            is_duplicate: false,
        };
        let payload = |seq| Ok((seq, Payload { codec: CODEC, payload: pack(&[fact(seq)]).payload }));
        let unpacked = |seqs: Range<i64>, most| -> Vec<i64> {
            let unpacked = unpack_some(seqs.map(payload), most).expect("payloads");
            unpacked
                .into_iter()
                .map(|(seq, facts)| {
                    assert_eq!(facts.iter().next().expect("one").1.seq, seq);
                    seq
                })
                .collect()
        };
        assert_eq!(unpacked(0..2, usize::MAX), [0, 1]);
        assert_eq!(unpacked(0..9, usize::MAX), [0, 1, 2]);
        assert_eq!(unpacked(0..0, usize::MAX), [0; 0]);
        assert_eq!(unpacked(0..9, 8 << 20), [0; 0], "each alone is larger");
    }
}
