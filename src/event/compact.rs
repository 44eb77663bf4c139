//! Batches become segments of one subject and day each, and small segments larger ones.
//!
//! It is work in the background on the processors and the disk that requests wait for. So what takes the processor is done
//! beside the threads that answer, and what is written is written a little at a time: whoever commits waits until all that
//! was written before is on the disk, and of many MB that would be a tenth of a second.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use super::codec::{CODEC, Facts, pack};
use super::fact::{Fact, subject_id};
use super::segment::{BATCHES_AT_ONCE, EVENTS_A_PAGE, Payload, UNPACKED_BYTES, unpack_some};
use crate::id::{EnvironmentId, SubjectId};

/// Most events that are turned into segments, or merged, at once.
const EVENTS_AT_ONCE: i64 = 200_000;

/// Bytes of payloads that are fetched for it, about.
const FETCHED_BYTES: i64 = 16 << 20;

/// A segment whose payload is as large as this is not merged with others any more.
const MERGED_BYTES_MAX: i32 = 2 << 20;

/// Segments of one subject and day, and of one size, that are merged into one when there are so many.
const SEGMENTS_MAX: i32 = 8;

/// The numbers of events that part one size from the next.
const SIZES: [i32; 4] = [8, 64, 512, 4096];

/// How often what is crowded is merged after each making. An event is merged twice or three times until its segment is
/// large, and of what is not merged in time there would be more each time.
const MERGES_MAX: usize = 4;

/// Bytes that are written in one statement, about, and what it leaves to others afterwards.
const WRITTEN_BYTES: usize = 1 << 20;
const BREATH: Duration = Duration::from_millis(5);

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
    let batches = batches.into_iter().map(|batch| {
        let payload = Payload { codec: batch.codec, payload: batch.payload };
        (batch.batch_id, payload)
    });
    let batches: Vec<(i64, Payload)> = batches.collect();
    let (ids, segments) = beside(move || segments_of(environment_id, batches)).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    // Nobody else takes them away, as one at a time makes segments.
    sqlx::query!(
        "DELETE FROM segment_pending WHERE environment_id = $1 AND batch_id = ANY($2)",
        environment_id.0,
        &ids,
    )
    .execute(&mut *db)
    .await?;
    keep(db, environment_id, &segments).await?;
    let days: Vec<(SubjectId, NaiveDate)> =
        segments.iter().map(|segment| (segment.subject_id, segment.day)).collect();
    drop(segments);
    for _ in 0..MERGES_MAX {
        if !merge_crowded(db, environment_id, &days).await? {
            break;
        }
    }
    Ok(ids.len())
}

/// Whether nobody else makes segments of the environment until the transaction ends.
async fn begin_making(db: &mut PgConnection, environment_id: EnvironmentId) -> Result<bool, sqlx::Error> {
    const SEGMENTS: i64 = 0x0075_7062_6561_7402;
    let (_, low) = environment_id.0.as_u64_pair();
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "begun!""#, low.cast_signed() ^ SEGMENTS)
        .fetch_one(db)
        .await
}

/// Runs what takes the processor for a tenth of a second, on a thread that may.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, sqlx::Error> + Send + 'static,
) -> Result<T, sqlx::Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| sqlx::Error::Decode(error.into()))?
}

/// A segment that is to be written.
struct NewSegment {
    subject_id: SubjectId,
    day: NaiveDate,
    number: i64,
    event_count: i32,
    /// In [`CODEC`].
    payload: Vec<u8>,
}

impl NewSegment {
    fn new(subject_id: SubjectId, day: NaiveDate, number: i64, facts: &[Fact<'_>]) -> Self {
        let event_count = i32::try_from(facts.len()).expect("a segment is small");
        Self { subject_id, day, number, event_count, payload: pack(facts).payload }
    }
}

/// The first of the batches, as many as the memory takes, and their events by subject and day; these segments have the number
/// of the first batch.
fn segments_of(
    environment_id: EnvironmentId,
    batches: Vec<(i64, Payload)>,
) -> Result<(Vec<i64>, Vec<NewSegment>), sqlx::Error> {
    let batches = unpack_some(batches.into_iter().map(Ok), usize::MAX)?;
    let Some((number, _)) = batches.first() else { return Ok((Vec::new(), Vec::new())) };
    let days = by_subject_and_day(environment_id, batches.iter().map(|(_, facts)| facts));
    let segments = days.iter().map(|((subject, day), facts)| NewSegment::new(*subject, *day, *number, facts));
    Ok((batches.iter().map(|(id, _)| *id).collect(), segments.collect()))
}

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

/// Writes the segments, a little at a time.
async fn keep(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    segments: &[NewSegment],
) -> Result<(), sqlx::Error> {
    let mut rest = segments;
    while !rest.is_empty() {
        let (some, others) = rest.split_at(fitting(rest));
        keep_some(db, environment_id, some).await?;
        rest = others;
        tokio::time::sleep(BREATH).await;
    }
    Ok(())
}

/// How many of the segments are written in one statement; one at least.
fn fitting(segments: &[NewSegment]) -> usize {
    let mut bytes = 0;
    let fits = |segment: &&NewSegment| {
        bytes += segment.payload.len();
        bytes <= WRITTEN_BYTES
    };
    segments.iter().take_while(fits).count().max(1)
}

async fn keep_some(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    segments: &[NewSegment],
) -> Result<(), sqlx::Error> {
    let subjects: Vec<Uuid> = segments.iter().map(|segment| segment.subject_id.0).collect();
    let dates: Vec<NaiveDate> = segments.iter().map(|segment| segment.day).collect();
    let numbers: Vec<i64> = segments.iter().map(|segment| segment.number).collect();
    let counts: Vec<i32> = segments.iter().map(|segment| segment.event_count).collect();
    let payloads: Vec<&[u8]> = segments.iter().map(|segment| segment.payload.as_slice()).collect();
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
        &payloads as &[&[u8]],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Merges the segments of those of the days that have many of one size, so that a month of a busy subject is a few
/// payloads and an event is written again only as often as its segment grows eightfold. False where nothing was merged. Days
/// beyond a bound wait for the next time: busy subjects fill up at the same time.
async fn merge_crowded(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    days: &[(SubjectId, NaiveDate)],
) -> Result<bool, sqlx::Error> {
    let (subjects, dates): (Vec<Uuid>, Vec<NaiveDate>) =
        days.iter().map(|(subject, day)| (subject.0, *day)).unzip();
    let crowded = sqlx::query!(
        r#"WITH small AS (
               SELECT segment.*,
                      count(*) OVER (PARTITION BY subject_id, day, width_bucket(event_count, $4::int[])) AS alike
               FROM unnest($2::uuid[], $3::date[]) AS given (subject_id, day)
               JOIN event_segment segment USING (subject_id, day)
               WHERE segment.environment_id = $1 AND event_count < $5 AND octet_length(payload) < $8
           ), crowded AS (
               SELECT *, sum(event_count) OVER before - event_count AS events_before,
                      sum(octet_length(payload)) OVER before - octet_length(payload) AS bytes_before
               FROM small WHERE alike >= $9::int
               WINDOW before AS (ORDER BY subject_id, day, segment)
           )
           SELECT subject_id AS "subject_id!: SubjectId", day AS "day!", segment AS "segment!", codec AS "codec!",
                  payload AS "payload!"
           FROM crowded WHERE events_before < $6 AND bytes_before < $7
           ORDER BY subject_id, day, segment"#,
        environment_id.0,
        &subjects,
        &dates,
        &SIZES,
        i32::try_from(EVENTS_A_PAGE).expect("a small number"),
        EVENTS_AT_ONCE,
        FETCHED_BYTES,
        MERGED_BYTES_MAX,
        SEGMENTS_MAX,
    )
    .fetch_all(&mut *db)
    .await?;
    let crowded = crowded.into_iter().map(|row| {
        let payload = Payload { codec: row.codec, payload: row.payload };
        ((row.subject_id, row.day, row.segment), payload)
    });
    let crowded: Vec<(Key, Payload)> = crowded.collect();
    let (gone, segments) = beside(move || merged(environment_id, crowded)).await?;
    if segments.is_empty() {
        return Ok(false);
    }
    let ((subjects, dates), numbers): ((Vec<Uuid>, Vec<NaiveDate>), Vec<i64>) =
        gone.into_iter().map(|(subject, day, number)| ((subject.0, day), number)).unzip();
    sqlx::query!(
        "DELETE FROM event_segment gone
         USING unnest($2::uuid[], $3::date[], $4::bigint[]) AS given (subject_id, day, segment)
         WHERE gone.environment_id = $1 AND gone.subject_id = given.subject_id AND gone.day = given.day
           AND gone.segment = given.segment",
        environment_id.0,
        &subjects,
        &dates,
        &numbers,
    )
    .execute(&mut *db)
    .await?;
    keep(db, environment_id, &segments).await?;
    Ok(true)
}

/// The key of a segment.
type Key = (SubjectId, NaiveDate, i64);

/// The first of the segments, as many as the memory takes: those that go, and what takes their place, one for each day, which
/// has the number of the first that is gone.
fn merged(
    environment_id: EnvironmentId,
    crowded: Vec<(Key, Payload)>,
) -> Result<(Vec<Key>, Vec<NewSegment>), sqlx::Error> {
    // Those that are large already are left as they are, or they would always come first.
    let crowded = unpack_some(crowded.into_iter().map(Ok), UNPACKED_BYTES / 4)?;
    let (mut gone, mut segments) = (Vec::new(), Vec::new());
    let is_alike = |((subject, day, _), _): &(Key, Facts), ((other, same, _), _): &(Key, Facts)| {
        (subject, day) == (other, same)
    };
    // Of a day of which there is one alone, it stays.
    for day in crowded.chunk_by(is_alike).filter(|day| day.len() > 1) {
        gone.extend(day.iter().map(|(key, _)| *key));
        let (_, _, number) = day[0].0;
        let facts = by_subject_and_day(environment_id, day.iter().map(|(_, facts)| facts));
        segments.extend(
            facts.iter().map(|((subject, day), facts)| NewSegment::new(*subject, *day, number, facts)),
        );
    }
    Ok((gone, segments))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;

    use super::*;

    const ENVIRONMENT: EnvironmentId = EnvironmentId(Uuid::from_u128(1));

    /// Which facts a payload has, by their order of arrival.
    fn seqs(payload: &Payload) -> Vec<i64> {
        payload.unpack().expect("a payload").iter().map(|(_, fact)| fact.seq).collect()
    }

    fn written(segment: NewSegment) -> (Key, Payload) {
        let key = (segment.subject_id, segment.day, segment.number);
        (key, Payload { codec: CODEC, payload: segment.payload })
    }

    proptest! {
        #[test]
        fn each_fact_that_counts_is_in_one_segment_before_and_after_merging(
            batches in prop::collection::vec(prop::collection::vec(("[ab]", 0_i64..3, any::<bool>()), 1..6), 1..5),
        ) {
            // Whose, of which day, and in which batch they are.
            let mut expected: BTreeMap<(SubjectId, NaiveDate), Vec<i64>> = BTreeMap::new();
            let mut segments = Vec::new();
            for (number, batch) in (0_i64..).zip(&batches) {
                let fact = |(place, (customer_id, day, is_duplicate)): (i64, &'_ (String, i64, bool))| Fact {
                    transaction_id: "t",
                    customer_id: customer_id.clone().leak(),
                    event_type: "e",
                    timestamp: DateTime::UNIX_EPOCH + TimeDelta::days(*day),
                    received_at: DateTime::UNIX_EPOCH,
                    seq: number * 10 + place,
                    properties_json: "{}",
                    is_duplicate: *is_duplicate,
                };
                let facts: Vec<Fact<'_>> = (0..).zip(batch).map(fact).collect();
                for fact in facts.iter().filter(|fact| !fact.is_duplicate) {
                    let day = (subject_id(ENVIRONMENT, fact.customer_id), fact.timestamp.date_naive());
                    expected.entry(day).or_default().push(fact.seq);
                }
                let payload = Payload { codec: CODEC, payload: pack(&facts).payload };
                let (ids, made) = segments_of(ENVIRONMENT, vec![(number, payload)]).expect("payloads");
                prop_assert_eq!(ids, vec![number]);
                segments.extend(made.into_iter().map(written));
            }
            segments.sort_by_key(|(key, _)| *key);
            let all = |segments: &[(Key, Payload)]| {
                let mut found: BTreeMap<(SubjectId, NaiveDate), Vec<i64>> = BTreeMap::new();
                for ((subject, day, _), payload) in segments {
                    found.entry((*subject, *day)).or_default().extend(seqs(payload));
                }
                found
            };
            prop_assert_eq!(&all(&segments), &expected);

            let first: BTreeMap<(SubjectId, NaiveDate), i64> =
                segments.iter().rev().map(|((subject, day, number), _)| ((*subject, *day), *number)).collect();
            let (gone, made) = merged(ENVIRONMENT, segments.iter().map(|(key, payload)| {
                (*key, Payload { codec: payload.codec, payload: payload.payload.clone() })
            }).collect()).expect("payloads");
            segments.retain(|(key, _)| !gone.contains(key));
            segments.extend(made.into_iter().map(written));
            segments.sort_by_key(|(key, _)| *key);
            prop_assert_eq!(&all(&segments), &expected);
            let numbers: Vec<((SubjectId, NaiveDate), i64)> =
                segments.iter().map(|((subject, day, number), _)| ((*subject, *day), *number)).collect();
            prop_assert_eq!(numbers, first.into_iter().collect::<Vec<_>>(), "one for each day");
        }
    }
}
