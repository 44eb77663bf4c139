//! What whole days add up to, remembered by this process.
//!
//! The usage of a month is some hundred hours of each metric and group, and all but those of today mostly stay as they were: so
//! readers ask for the names of days (`usage_day`), and read the hours only of days that they do not know by that name. Of many
//! days they remember also what all but the last of them add up to, which stays as it is while the last one goes on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::calc::{Hour, Tally};
use super::window::tally;
use crate::id::{BillableMetricId, EnvironmentId, GroupId, SubjectId};
use crate::memo::Memo;
use crate::time::{Instant, Period};

/// Sums of groups that are remembered of single days, and as many of runs of them: sixty megabytes each at most.
const SUMS_MAX: u64 = 200_000;

/// Most rows that are read to remember days. Where there are more, each day has so many groups that it is better to have
/// PostgreSQL add them up over all days.
const ROWS_MAX: usize = 50_000;

/// Pairs of subject and metric that are remembered for being in a question of that kind.
const WIDE_MAX: u64 = 10_000;

/// Days before the last one that are worth remembering together.
const RUN_MIN: usize = 2;

static KNOWN: LazyLock<Memo<Cell, Vec<GroupSum>>> = LazyLock::new(|| Memo::new(SUMS_MAX, 8));

static RUNS: LazyLock<Memo<Vec<Cell>, Vec<GroupSum>>> = LazyLock::new(|| Memo::new(SUMS_MAX, 8));

static WIDE: LazyLock<Memo<(Uuid, BillableMetricId), ()>> = LazyLock::new(|| Memo::new(WIDE_MAX, 1));

/// What one metric counts of a subject's day in one state of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Cell {
    version: Uuid,
    subject_id: Uuid,
    metric_id: BillableMetricId,
    day: NaiveDate,
}

/// The usage of one group.
#[derive(Clone, Debug)]
pub struct GroupSum {
    pub group_id: GroupId,
    /// In the order of the metric's group names.
    pub group_values: Arc<Vec<String>>,
    /// Without its newest value and its distinct values.
    pub tally: Tally,
}

/// A time whose usage of a metric is asked for. Those of one metric do not overlap.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub metric_id: BillableMetricId,
    /// From an hour to an hour.
    pub period: Period,
}

/// By group.
pub type Sums = BTreeMap<GroupId, GroupSum>;

/// Hours to read, all of them in days of one subject.
struct Range {
    subject_id: Uuid,
    metric_id: BillableMetricId,
    period: Period,
    /// The place of the term that it adds to, where it is of a part of a day.
    part_of: Option<usize>,
}

/// What a question is summed up from.
struct Term {
    /// The place of the question.
    question: usize,
    /// All of the days that it sums up, where they are to be remembered together.
    run: Option<Vec<Cell>>,
    sums: Sums,
}

impl Term {
    fn of(question: usize) -> Self {
        Self { question, run: None, sums: Sums::new() }
    }
}

/// Gives the days of these hours new names, before any of the hours is touched: so two who touch hours of one day wait for one
/// another here, and hold nothing that the other one may want.
pub async fn rename(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    hours: impl Iterator<Item = &Hour>,
) -> Result<(), sqlx::Error> {
    let days: HashSet<(Uuid, NaiveDate)> =
        hours.map(|hour| (hour.subject_id.0, hour.hour.date_naive())).collect();
    let mut days: Vec<(Uuid, NaiveDate)> = days.into_iter().collect();
    days.sort_unstable();
    let (subjects, days): (Vec<Uuid>, Vec<NaiveDate>) = days.into_iter().unzip();
    sqlx::query!(
        "INSERT INTO usage_day (environment_id, subject_id, day, version)
         SELECT $1, subject_id, day, (SELECT gen_random_uuid())
         FROM unnest($2::uuid[], $3::date[]) AS given (subject_id, day)
         ON CONFLICT (environment_id, subject_id, day) DO UPDATE SET version = excluded.version",
        environment_id.0,
        &subjects,
        &days,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What the subjects used in each of the times that are asked for, in their order; nothing where that is too much to be
/// remembered by the day. `db` must be in a snapshot.
pub async fn sums(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subject_ids: &[SubjectId],
    asked: &[Asked],
) -> Result<Option<Vec<Sums>>, sqlx::Error> {
    let subjects: Vec<Uuid> = subject_ids.iter().map(|id| id.0).collect();
    let is_wide = |subject: &Uuid| asked.iter().any(|one| WIDE.find(&(*subject, one.metric_id)).is_some());
    if subjects.iter().any(is_wide) {
        return Ok(None);
    }
    let Some(span) = asked.iter().map(|one| one.period).reduce(Period::and) else {
        return Ok(Some(Vec::new()));
    };
    let days = named_days(db, environment_id, subject_ids, span).await?;
    let mut terms: Vec<Term> = (0..asked.len()).map(Term::of).collect();
    let mut ranges: Vec<Range> = Vec::new();
    let mut unknown: HashMap<Cell, usize> = HashMap::new();
    for (question, Asked { metric_id, period }) in asked.iter().enumerate() {
        let metric_id = *metric_id;
        let (first, last) = (period.start.date_naive(), period.end.date_naive());
        for subject_id in subjects.iter().copied() {
            let mut whole_days: Vec<Cell> = Vec::new();
            for ((_, day), version) in days.range((subject_id, first)..=(subject_id, last)) {
                let whole = day_of(*day);
                let Some(part) = period.clip(whole.start, Some(whole.end)) else { continue };
                if part == whole {
                    whole_days.push(Cell { version: *version, subject_id, metric_id, day: *day });
                } else {
                    ranges.push(Range { subject_id, metric_id, period: part, part_of: Some(question) });
                }
            }
            let mut add_days = |term: &mut Term, place: usize, cells: &[Cell]| {
                for cell in cells {
                    match KNOWN.find(cell) {
                        Some(known) => add(&mut term.sums, &known),
                        None => {
                            unknown.insert(*cell, place);
                            extend(&mut ranges, *cell);
                        }
                    }
                }
            };
            let last = if whole_days.len() > RUN_MIN { whole_days.pop() } else { None };
            if last.is_none() {
                add_days(&mut terms[question], question, &whole_days);
                continue;
            }
            add_days(&mut terms[question], question, last.as_slice());
            if let Some(known) = RUNS.find(&whole_days) {
                add(&mut terms[question].sums, &known);
                continue;
            }
            let mut term = Term::of(question);
            add_days(&mut term, terms.len(), &whole_days);
            terms.push(Term { run: Some(whole_days), ..term });
        }
    }
    if !ranges.is_empty() {
        let Some(rows) = read(db, environment_id, &ranges, &terms).await? else {
            for Range { subject_id, metric_id, .. } in ranges {
                WIDE.keep((subject_id, metric_id), Arc::new(()), 1);
            }
            return Ok(None);
        };
        let mut by_cell: HashMap<Cell, Vec<GroupSum>> =
            unknown.keys().map(|cell| (*cell, Vec::new())).collect();
        for Row { range, day, sum } in rows {
            let Range { subject_id, metric_id, part_of, .. } = ranges[range];
            match part_of {
                Some(place) => add(&mut terms[place].sums, &[sum]),
                None => {
                    let cell = Cell { version: days[&(subject_id, day)], subject_id, metric_id, day };
                    by_cell.get_mut(&cell).expect("only unknown days are read").push(sum);
                }
            }
        }
        for (cell, of_day) in by_cell {
            add(&mut terms[unknown[&cell]].sums, &of_day);
            let weight = of_day.len();
            KNOWN.keep(cell, Arc::new(of_day), weight);
        }
    }
    Ok(Some(summed_up(terms, asked.len())))
}

/// What the terms of each question add up to; runs of days are remembered.
fn summed_up(terms: Vec<Term>, questions: usize) -> Vec<Sums> {
    let mut sums = vec![Sums::new(); questions];
    for Term { question, run, sums: own } in terms {
        let Some(run) = run else {
            sums[question] = own;
            continue;
        };
        let run_sums: Vec<GroupSum> = own.into_values().collect();
        add(&mut sums[question], &run_sums);
        let weight = run.len() + run_sums.len();
        RUNS.keep(run, Arc::new(run_sums), weight);
    }
    sums
}

fn day_of(day: NaiveDate) -> Period {
    let start = day.and_time(NaiveTime::MIN).and_utc();
    Period { start, end: start + TimeDelta::days(1) }
}

fn add(sums: &mut Sums, of_day: &[GroupSum]) {
    for sum in of_day {
        match sums.get_mut(&sum.group_id) {
            Some(known) => known.tally.merge(&sum.tally),
            None => {
                sums.insert(sum.group_id, sum.clone());
            }
        }
    }
}

/// The day to be read; with the day before, if that is to be read as well.
fn extend(ranges: &mut Vec<Range>, cell: Cell) {
    let Cell { subject_id, metric_id, day, .. } = cell;
    let period = day_of(day);
    match ranges.last_mut() {
        Some(last)
            if last.part_of.is_none()
                && (last.subject_id, last.metric_id, last.period.end)
                    == (subject_id, metric_id, period.start) =>
        {
            last.period.end = period.end;
        }
        _ => ranges.push(Range { subject_id, metric_id, period, part_of: None }),
    }
}

/// What the states of the days with usage are called, by subject and day; of all that are in the span, and in part.
pub type DayNames = BTreeMap<(Uuid, NaiveDate), Uuid>;

/// The names of days of these subjects.
pub async fn named_days(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subject_ids: &[SubjectId],
    span: Period,
) -> Result<DayNames, sqlx::Error> {
    let subjects: Vec<Uuid> = subject_ids.iter().map(|id| id.0).collect();
    let days = sqlx::query!(
        // Days of a list of subjects would be looked for by the environment alone in a plan that is made while there are few.
        r#"SELECT given.subject_id AS "subject_id!", of_subject.day, of_subject.version
           FROM unnest((SELECT $2::uuid[])) AS given (subject_id)
           CROSS JOIN LATERAL (
               SELECT day, version FROM usage_day
               WHERE environment_id = $1 AND usage_day.subject_id = given.subject_id AND day BETWEEN $3 AND $4
               OFFSET 0
           ) AS of_subject"#,
        environment_id.0,
        &subjects,
        span.start.date_naive(),
        span.end.date_naive(),
    )
    .fetch_all(db)
    .await?;
    Ok(days.into_iter().map(|row| ((row.subject_id, row.day), row.version)).collect())
}

/// What a group adds on a day of a range.
struct Row {
    range: usize,
    day: NaiveDate,
    sum: GroupSum,
}

/// Adds up the hours of the ranges by day and group; nothing where there are too many. The values of groups that `known` has
/// are not read.
async fn read(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ranges: &[Range],
    known: &[Term],
) -> Result<Option<Vec<Row>>, sqlx::Error> {
    let subjects: Vec<Uuid> = ranges.iter().map(|range| range.subject_id).collect();
    let metrics: Vec<Uuid> = ranges.iter().map(|range| range.metric_id.0).collect();
    let starts: Vec<Instant> = ranges.iter().map(|range| range.period.start).collect();
    let ends: Vec<Instant> = ranges.iter().map(|range| range.period.end).collect();
    let rows = sqlx::query!(
        r#"SELECT range AS "range!", day AS "day!", group_id AS "group_id!: GroupId",
                  event_count AS "event_count!", total, greatest
           FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
                WITH ORDINALITY AS given (subject_id, metric_id, starts_at, ends_at, range)
           CROSS JOIN LATERAL (
               SELECT (hour AT TIME ZONE 'UTC')::date AS day, group_id,
                      sum(event_count)::bigint AS event_count, sum(total) AS total, max(greatest_value) AS greatest
               FROM usage_rollup
               WHERE environment_id = $1 AND usage_rollup.subject_id = given.subject_id
                 AND billable_metric_id = given.metric_id AND hour >= given.starts_at AND hour < given.ends_at
               -- hashed and not sorted, as in `window`
               GROUP BY '0'::text::xid, 1, 2
               OFFSET 0
           ) AS sum
           LIMIT $6"#,
        environment_id.0,
        &subjects,
        &metrics,
        &starts,
        &ends,
        i64::try_from(ROWS_MAX + 1).expect("a small number"),
    )
    .fetch_all(&mut *db)
    .await?;
    if rows.len() > ROWS_MAX {
        return Ok(None);
    }
    let known = known.iter().flat_map(|term| term.sums.values());
    let mut values: HashMap<GroupId, Arc<Vec<String>>> =
        known.map(|sum| (sum.group_id, Arc::clone(&sum.group_values))).collect();
    let range_of = |number: i64| usize::try_from(number - 1).expect("numbers count from 1");
    let mut unknown: HashSet<(BillableMetricId, GroupId)> = HashSet::new();
    for row in &rows {
        if !values.contains_key(&row.group_id) {
            unknown.insert((ranges[range_of(row.range)].metric_id, row.group_id));
        }
    }
    values.extend(values_of_groups(db, environment_id, unknown).await?);
    let rows = rows.into_iter().map(|row| {
        let group_values = Arc::clone(&values[&row.group_id]);
        let tally = tally(row.event_count, row.total, row.greatest);
        Row {
            range: range_of(row.range),
            day: row.day,
            sum: GroupSum { group_id: row.group_id, group_values, tally },
        }
    });
    Ok(Some(rows.collect()))
}

async fn values_of_groups(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    groups: HashSet<(BillableMetricId, GroupId)>,
) -> Result<HashMap<GroupId, Arc<Vec<String>>>, sqlx::Error> {
    if groups.is_empty() {
        return Ok(HashMap::new());
    }
    let (metrics, ids): (Vec<Uuid>, Vec<Uuid>) =
        groups.into_iter().map(|(metric_id, group_id)| (metric_id.0, group_id.0)).unzip();
    let rows = sqlx::query!(
        r#"SELECT known.id AS "id: GroupId", known.group_values
           FROM unnest($2::uuid[], $3::uuid[]) AS given (metric_id, id)
           CROSS JOIN LATERAL (
               SELECT id, group_values FROM usage_group
               WHERE environment_id = $1 AND billable_metric_id = given.metric_id AND usage_group.id = given.id
               OFFSET 0
           ) AS known"#,
        environment_id.0,
        &metrics,
        &ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, Arc::new(row.group_values))).collect())
}
