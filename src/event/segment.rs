//! Facts by subject and day: for everything that rollups cannot answer.

use std::future::Future;
use std::ops::Range;

use chrono::NaiveDate;
use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use super::codec::Facts;
use super::fact::{Fact, subject_id};
use crate::id::{EnvironmentId, SubjectId};
use crate::time::Period;

/// Most batches that are read at once.
pub(super) const BATCHES_AT_ONCE: i64 = 2000;

/// What is unpacked at once, about: one payload more at most. Events may be large, and what they take shows only when they
/// are unpacked.
pub(super) const UNPACKED_BYTES: usize = 64 << 20;

/// Events that are read at once, and bytes of their payloads, about.
pub(super) const EVENTS_A_PAGE: i64 = 20_000;
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

/// A payload as it was read.
pub(super) struct Payload {
    pub codec: i16,
    pub payload: Vec<u8>,
}

impl Payload {
    pub fn unpack(&self) -> Result<Facts, sqlx::Error> {
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
pub(super) fn unpack_some<T>(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::codec::{CODEC, pack};
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
