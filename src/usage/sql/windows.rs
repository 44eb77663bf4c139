//! What queries count in windows of time.

use std::collections::BTreeMap;
use std::ops::Range;

use sqlx::PgConnection;

use super::answer::Answer;
use super::facts::Facts;
use crate::catalog::billable_metric::sql::SqlDefinition;
use crate::catalog::usage_filter::UsageFilters;
use crate::event::{Scope, subject_id};
use crate::id::{BillableMetricId, EnvironmentId};
use crate::time::Period;
use crate::usage::calc::Windows;

/// A metric whose query counts for one customer.
#[derive(Clone, Copy)]
pub struct Counted<'a> {
    pub environment_id: EnvironmentId,
    pub metric_id: BillableMetricId,
    pub definition: &'a SqlDefinition,
    /// What events call the customer.
    pub received: &'a [String],
}

impl Counted<'_> {
    /// The customer's events of the period that count, and how many were looked through for them.
    pub async fn facts(&self, db: &mut PgConnection, period: Period) -> Result<(Facts, usize), sqlx::Error> {
        let subjects = self.received.iter().map(|received| subject_id(self.environment_id, received));
        let scope = Scope::of_subjects(self.environment_id, subjects.collect(), period);
        let query = (self.metric_id, self.definition);
        let reading = Facts::read(db, &scope, &UsageFilters::default(), &[query]).await?;
        let (facts, looked_through) = reading.expect("one query alone is read or fails");
        Ok((facts.into_iter().next().expect("one query, one answer"), looked_through))
    }
}

/// What the query answers in each of these windows that has events, at most `limit` windows.
pub async fn by_window(
    db: &mut PgConnection,
    facts: &Facts,
    windows: &Windows,
    indexes: Range<i64>,
    limit: usize,
) -> Result<BTreeMap<i64, Vec<Answer>>, sqlx::Error> {
    let (mut with_events, mut next) = (Vec::new(), indexes.start);
    // From event to event: a range may have millions of windows.
    while next < indexes.end
        && with_events.len() < limit
        && let Some(event) = facts.first_from(windows.at(next).start)
    {
        next = windows.containing(event) + 1;
        with_events.push(next - 1);
    }
    let indexes: Vec<i64> = with_events.into_iter().filter(|index| *index < indexes.end).collect();
    let periods: Vec<Period> = indexes.iter().map(|index| windows.at(*index)).collect();
    let answers = facts.answers(db, &periods).await?;
    Ok(indexes.into_iter().zip(answers).collect())
}
