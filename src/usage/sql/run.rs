//! Running printed statements, within bounds.

use std::ops::Range;
use std::time::Duration;

use sqlx::postgres::PgArguments;
use sqlx::query::Query as Statement;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Postgres, Row};

use super::answer::Answer;
use super::facts::{Facts, Rows, readable, stopped};
use super::print::{Printed, print};
use crate::catalog::billable_metric::sql::SqlDefinition;
use crate::event::ReceivedEvent;
use crate::id::BillableMetricId;
use crate::money::Decimal;
use crate::time::Instant;

/// The longest that one statement of a query may run (our decision).
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Most windows of one statement: it looks at all of its rows for each of them.
const SLICES_MAX: usize = 32;

/// What a query may take beside time. A sort that needs more uses the disk.
const BOUNDS: &str = "SET LOCAL transaction_read_only = on; SET LOCAL work_mem = '32MB'; \
                      SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL statement_timeout = ";

/// What the query answers over each slice of the facts.
pub(super) async fn answers(
    db: &mut PgConnection,
    facts: &Facts,
    slices: &[Range<usize>],
) -> Result<Vec<Vec<Answer>>, sqlx::Error> {
    let mut all: Vec<Vec<Answer>> = vec![Vec::new(); slices.len()];
    let wanted: Vec<usize> = (0..slices.len()).filter(|index| !slices[*index].is_empty()).collect();
    for chunk in wanted.chunks(SLICES_MAX) {
        let start = chunk.iter().map(|index| slices[*index].start).min().unwrap_or_default();
        let end = chunk.iter().map(|index| slices[*index].end).max().unwrap_or_default();
        let place = |place: usize| i64::try_from(place - start).expect("rows are counted");
        let firsts: Vec<i64> = chunk.iter().map(|index| place(slices[*index].start)).collect();
        let afters: Vec<i64> = chunk.iter().map(|index| place(slices[*index].end)).collect();
        let statement = AssertSqlSafe(facts.printed.answers.clone());
        let query = bind_rows(sqlx::query(statement), &facts.printed, &facts.rows, start..end);
        let query = bind_properties(query.bind(firsts).bind(afters), &facts.rows, start..end);
        for row in bounded(db, facts.metric_id, query).await? {
            let slice = usize::try_from(row.try_get::<i64, _>("slice")? - 1).expect("slices count from 1");
            let value: Option<Decimal> = row.try_get("value")?;
            all[chunk[slice]].push(Answer { groups: row.try_get("groups")?, value });
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
) -> Result<Option<Vec<usize>>, sqlx::Error> {
    let Some(filter) = &printed.filter else { return Ok(None) };
    if rows.instants.is_empty() {
        return Ok(None);
    }
    let all = 0..rows.instants.len();
    let query = bind_rows(sqlx::query(AssertSqlSafe(filter.clone())), printed, rows, all.clone());
    let found = bounded(db, metric_id, bind_properties(query, rows, all)).await?;
    let place = |row: &sqlx::postgres::PgRow| -> Result<usize, sqlx::Error> {
        let place: i64 = row.try_get("place")?;
        Ok(usize::try_from(place - 1).expect("places count from 1"))
    };
    found.iter().map(place).collect::<Result<Vec<_>, _>>().map(Some)
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
    let given = events.iter().map(|event| -> (Instant, &str, &str) {
        (event.timestamp, &event.event_type, &event.properties_json)
    });
    let rows = Rows::of(&printed, given, &query.properties)?;
    let Some(places) = passing_rows(db, metric_id, &printed, &rows).await? else {
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
    query.bind(&rows.instants[range.clone()]).bind(&rows.event_types[range]).bind(&printed.texts)
}

fn bind_properties<'q>(query: Bound<'q>, rows: &'q Rows, range: Range<usize>) -> Bound<'q> {
    rows.properties.iter().fold(query, |query, column| query.bind(&column[range.clone()]))
}

/// Runs a statement where it can change nothing and take only so much; the transaction is as it was before.
async fn bounded(
    db: &mut PgConnection,
    metric_id: BillableMetricId,
    query: Bound<'_>,
) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
    let mut savepoint = db.begin().await?;
    let bounds = format!("{BOUNDS}{}", TIME_LIMIT.as_millis());
    savepoint.execute(sqlx::raw_sql(AssertSqlSafe(bounds))).await?;
    let outcome = query.fetch_all(&mut *savepoint).await;
    savepoint.rollback().await?;
    outcome.map_err(|error| named(metric_id, error))
}

/// An error of the query rather than of the database is one with a name.
fn named(metric_id: BillableMetricId, error: sqlx::Error) -> sqlx::Error {
    let Some(refused) = error.as_database_error() else { return error };
    let code = refused.code().unwrap_or_default().into_owned();
    let reason = match &code[..] {
        "57014" => format!("it ran longer than {} seconds", TIME_LIMIT.as_secs()),
        code if code.starts_with("53") => "it needs more memory than there is".to_owned(),
        code if code.starts_with("54") => "it needs more than PostgreSQL can do".to_owned(),
        code if code.starts_with("22") => format!("it cannot be computed ({})", refused.message()),
        _ => return error,
    };
    stopped(metric_id, reason)
}
