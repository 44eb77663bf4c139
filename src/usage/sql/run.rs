//! Running printed statements, within bounds.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query as Statement;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Postgres, Row};

use super::answer::Answer;
use super::facts::{Facts, Given, Rows, readable, stopped};
use super::print::{Printed, print};
use crate::catalog::billable_metric::sql::SqlDefinition;
use crate::event::{ReceivedEvent, parse_properties};
use crate::id::BillableMetricId;
use crate::money::Decimal;

/// The longest that one statement of a query may run, and all of one question together (our decision).
pub const TIME_LIMIT: Duration = Duration::from_secs(10);
const TIME_LIMIT_IN_ALL: Duration = Duration::from_secs(30);

/// The longest that the events may be looked for which one query takes, all statements together (our decision).
pub(super) const FILTERING_LIMIT: Duration = Duration::from_mins(10);

/// Most windows of one statement: it looks at all of its rows for each of them.
const SLICES_MAX: usize = 32;

/// Most rows that a query may answer to one question, and most bytes of them (our decision).
const ANSWERS_MAX: usize = 200_000;
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// Most digits of a quantity (our decision).
const DIGITS_MAX: u64 = 4_000;

/// What a query may take beside time. A sort or a grouping that needs more memory uses the disk, up to a limit that only
/// a superuser can set: others are held by time alone. Texts of the query are constants to every plan, so that long
/// lists are looked up rather than gone through.
const BOUNDS: &str = "SET LOCAL transaction_read_only = on; SET LOCAL work_mem = '32MB'; \
     SET LOCAL hash_mem_multiplier = 1; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off; \
     SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = on; \
     DO $$ BEGIN SET LOCAL temp_file_limit = '512MB'; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$; \
     SET LOCAL statement_timeout = ";

/// What the query answers over each slice of the facts.
pub(super) async fn answers(
    db: &mut PgConnection,
    facts: &Facts,
    slices: &[Range<usize>],
) -> Result<Vec<Vec<Answer>>, sqlx::Error> {
    let mut all: Vec<Vec<Answer>> = vec![Vec::new(); slices.len()];
    let wanted: Vec<usize> = (0..slices.len()).filter(|index| !slices[*index].is_empty()).collect();
    let began = std::time::Instant::now();
    let mut room = Room { rows: ANSWERS_MAX, bytes: ANSWER_BYTES_MAX };
    for chunk in wanted.chunks(SLICES_MAX) {
        let start = chunk.iter().map(|index| slices[*index].start).min().unwrap_or_default();
        let end = chunk.iter().map(|index| slices[*index].end).max().unwrap_or_default();
        let place = |place: usize| i64::try_from(place - start).expect("rows are counted");
        let firsts: Vec<i64> = chunk.iter().map(|index| place(slices[*index].start)).collect();
        let afters: Vec<i64> = chunk.iter().map(|index| place(slices[*index].end)).collect();
        let statement = AssertSqlSafe(facts.printed.answers.clone());
        let query = bind_rows(sqlx::query(statement), &facts.printed, &facts.rows, start..end);
        let query = bind_properties(query.bind(firsts).bind(afters), &facts.rows, start..end);
        let left = TIME_LIMIT_IN_ALL.saturating_sub(began.elapsed());
        let read = |row: &PgRow| -> Result<(i64, Answer), sqlx::Error> {
            let value: Option<Decimal> = row.try_get("value")?;
            let digits = |value: &Decimal| value.digits() + value.fractional_digit_count().unsigned_abs();
            if value.as_ref().is_some_and(|value| digits(value) > DIGITS_MAX) {
                return Err(stopped(
                    facts.metric_id,
                    format!("its quantity has more than {DIGITS_MAX} digits"),
                ));
            }
            Ok((row.try_get("slice")?, Answer { groups: row.try_get("groups")?, value }))
        };
        for (slice, answer) in bounded(db, facts.metric_id, query, left, &mut room, read).await? {
            all[chunk[usize::try_from(slice - 1).expect("slices count from 1")]].push(answer);
        }
    }
    Ok(all)
}

/// The places of the rows that a filter of the query takes, from 0; nothing where it takes every row.
pub(super) async fn passing_rows(
    db: &mut PgConnection,
    metric_id: BillableMetricId,
    printed: &Printed,
    rows: &Rows,
    time_left: Duration,
) -> Result<Option<Vec<usize>>, sqlx::Error> {
    let Some(filter) = &printed.filter else { return Ok(None) };
    if rows.instants.is_empty() {
        return Ok(None);
    }
    let all = 0..rows.instants.len();
    let query = bind_rows(sqlx::query(AssertSqlSafe(filter.clone())), printed, rows, all.clone());
    let query = bind_properties(query, rows, all);
    let place = |row: &PgRow| -> Result<usize, sqlx::Error> {
        let place: i64 = row.try_get("place")?;
        Ok(usize::try_from(place - 1).expect("places count from 1"))
    };
    // As many as are given at most.
    let mut room = Room { rows: usize::MAX, bytes: usize::MAX };
    bounded(db, metric_id, query, time_left, &mut room, place).await.map(Some)
}

/// Which of the events a query takes in any of its parts.
pub async fn passing(
    db: &mut PgConnection,
    metric_id: BillableMetricId,
    definition: &SqlDefinition,
    events: &[ReceivedEvent],
) -> Result<Vec<bool>, sqlx::Error> {
    let query = readable(metric_id, definition)?;
    let printed = print(query);
    let (mut rows, mut types) = (Rows::new(&printed), HashSet::new());
    for event in events {
        let given = Given { timestamp: event.timestamp, seq: event.seq, event_type: &event.event_type };
        let properties = parse_properties(&event.properties_json);
        let properties = properties.map_err(|error| sqlx::Error::Decode(error.into()))?;
        rows.push(&printed, &query.properties, &mut types, given, &properties);
    }
    let Some(places) = passing_rows(db, metric_id, &printed, &rows, TIME_LIMIT).await? else {
        return Ok(vec![true; events.len()]);
    };
    let mut passing = vec![false; events.len()];
    for place in places {
        passing[place] = true;
    }
    Ok(passing)
}

type Bound<'q> = Statement<'q, Postgres, PgArguments>;

fn bind_rows<'q>(query: Bound<'q>, printed: &'q Printed, rows: &'q Rows, range: Range<usize>) -> Bound<'q> {
    let event_types: Vec<&str> = rows.event_types[range.clone()].iter().map(|text| &**text).collect();
    query.bind(&rows.instants[range]).bind(event_types).bind(&printed.texts)
}

fn bind_properties<'q>(query: Bound<'q>, rows: &'q Rows, range: Range<usize>) -> Bound<'q> {
    rows.properties.iter().fold(query, |query, column| {
        let column: Vec<Option<&str>> = column[range.clone()].iter().map(Option::as_deref).collect();
        query.bind(column)
    })
}

/// How much more may be answered.
struct Room {
    rows: usize,
    bytes: usize,
}

impl Room {
    /// Fails where the row is one too many.
    fn take(&mut self, metric_id: BillableMetricId, row: &PgRow) -> Result<(), sqlx::Error> {
        let bytes = (0..row.len())
            .map(|column| row.try_get_raw(column).map(|value| value.as_bytes().map_or(0, <[u8]>::len)));
        let bytes = bytes.sum::<Result<usize, _>>()?;
        self.rows = self
            .rows
            .checked_sub(1)
            .ok_or_else(|| stopped(metric_id, format!("it answers more than {ANSWERS_MAX} rows")))?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(|| {
            stopped(metric_id, format!("its answer takes more than {} MiB", ANSWER_BYTES_MAX >> 20))
        })?;
        Ok(())
    }
}

/// Runs a statement where it can change nothing and take only so much; the transaction is as it was before, unless the
/// database itself fails.
async fn bounded<T>(
    db: &mut PgConnection,
    metric_id: BillableMetricId,
    query: Bound<'_>,
    time_left: Duration,
    room: &mut Room,
    read: impl Fn(&PgRow) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, sqlx::Error> {
    let time = TIME_LIMIT.min(time_left);
    if time.is_zero() {
        return Err(stopped(metric_id, "it ran too long in all"));
    }
    let mut savepoint = db.begin().await?;
    let bounds = format!("{BOUNDS}{}", time.as_millis().max(1));
    savepoint.execute(sqlx::raw_sql(AssertSqlSafe(bounds))).await?;
    let outcome = collect(&mut savepoint, metric_id, query, room, read).await;
    savepoint.rollback().await?;
    outcome.map_err(|error| named(metric_id, error))
}

/// Row by row, so that no more than the room is ever in memory.
async fn collect<T>(
    db: &mut PgConnection,
    metric_id: BillableMetricId,
    query: Bound<'_>,
    room: &mut Room,
    read: impl Fn(&PgRow) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, sqlx::Error> {
    let mut rows = query.fetch(db);
    let mut all = Vec::new();
    while let Some(row) = rows.try_next().await? {
        room.take(metric_id, &row)?;
        all.push(read(&row)?);
    }
    Ok(all)
}

fn too_long(metric_id: BillableMetricId, limit: Duration) -> sqlx::Error {
    stopped(metric_id, format!("it ran longer than {} seconds", limit.as_secs()))
}

/// An error of the query rather than of the database is one with a name.
fn named(metric_id: BillableMetricId, error: sqlx::Error) -> sqlx::Error {
    let Some(refused) = error.as_database_error() else { return error };
    let code = refused.code().unwrap_or_default().into_owned();
    let reason = match &code[..] {
        "57014" => return too_long(metric_id, TIME_LIMIT),
        code if code.starts_with("53") => "it needs more room than a query may take".to_owned(),
        code if code.starts_with("54") => "it needs more than PostgreSQL can do".to_owned(),
        code if code.starts_with("22") => format!("it cannot be computed ({})", refused.message()),
        _ => return error,
    };
    stopped(metric_id, reason)
}
