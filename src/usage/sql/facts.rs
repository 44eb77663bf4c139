use std::borrow::Cow;
use std::ops::Range;

use sqlx::PgConnection;

use super::answer::Answer;
use super::print::{Printed, print};
use super::run::{answers, passing_rows};
use crate::catalog::billable_metric::sql::{Query, SqlDefinition};
use crate::error::NotComputable;
use crate::event::{PropertyValue, RAW_EVENTS_MAX, RawEvent, parse_properties};
use crate::id::BillableMetricId;
use crate::time::{Instant, Period};

/// The events that count for a query, in the order of time and, of one instant, of arrival.
pub struct Facts {
    pub(super) metric_id: BillableMetricId,
    pub(super) printed: Printed,
    pub(super) rows: Rows,
}

/// Events by columns.
#[derive(Default)]
pub(super) struct Rows {
    pub instants: Vec<Instant>,
    pub event_types: Vec<String>,
    /// In the order of the printed columns: texts and then numbers.
    pub properties: Vec<Vec<Option<String>>>,
}

impl Rows {
    /// The columns that the statement wants.
    pub fn of<'a>(
        printed: &Printed,
        events: impl IntoIterator<Item = (Instant, &'a str, &'a str)>,
        names: &[String],
    ) -> Result<Self, sqlx::Error> {
        let (texts, numbers) = (&printed.text_columns, &printed.number_columns);
        let mut rows = Self { properties: vec![Vec::new(); texts.len() + numbers.len()], ..Self::default() };
        for (timestamp, event_type, properties) in events {
            rows.instants.push(timestamp);
            rows.event_types.push(event_type.to_owned());
            let properties =
                parse_properties(properties).map_err(|error| sqlx::Error::Decode(error.into()))?;
            let (text_columns, number_columns) = rows.properties.split_at_mut(texts.len());
            for (property, column) in texts.iter().zip(text_columns) {
                let value = properties.get(&names[*property]).and_then(PropertyValue::into_text);
                column.push(value.map(Cow::into_owned));
            }
            for (property, column) in numbers.iter().zip(number_columns) {
                column.push(properties.get(&names[*property]).and_then(|value| value.as_number()));
            }
        }
        Ok(rows)
    }

    /// Those at these places alone, which ascend.
    fn keep(&mut self, places: &[usize]) {
        fn kept<T: Clone>(column: &[T], places: &[usize]) -> Vec<T> {
            places.iter().map(|place| column[*place].clone()).collect()
        }
        self.instants = kept(&self.instants, places);
        self.event_types = kept(&self.event_types, places);
        for column in &mut self.properties {
            *column = kept(column, places);
        }
    }
}

impl Facts {
    /// Those of the events that the query takes: without them it would answer the same.
    pub async fn of(
        db: &mut PgConnection,
        metric_id: BillableMetricId,
        definition: &SqlDefinition,
        events: &[RawEvent],
    ) -> Result<Self, sqlx::Error> {
        let query = readable(metric_id, definition)?;
        if events.len() > RAW_EVENTS_MAX {
            let reason = format!("it has more than {RAW_EVENTS_MAX} events to read");
            return Err(stopped(metric_id, reason));
        }
        let mut events: Vec<&RawEvent> = events.iter().collect();
        events.sort_unstable_by_key(|event| (event.timestamp, event.seq));
        let printed = print(query);
        let events = events
            .into_iter()
            .map(|event| (event.timestamp, event.event_type.as_str(), event.properties_json.as_str()));
        let mut rows = Rows::of(&printed, events, &query.properties)?;
        if let Some(places) = passing_rows(db, metric_id, &printed, &rows).await? {
            rows.keep(&places);
        }
        Ok(Self { metric_id, printed, rows })
    }

    /// Whether any of them lies in the period.
    #[must_use]
    pub fn any_within(&self, period: Period) -> bool {
        !self.places(period).is_empty()
    }

    fn places(&self, period: Period) -> Range<usize> {
        let before = |end: Instant| self.rows.instants.partition_point(|instant| *instant < end);
        before(period.start)..before(period.end)
    }

    /// What the query answers over the events of each period; nothing where a period has none.
    pub async fn answers(
        &self,
        db: &mut PgConnection,
        periods: &[Period],
    ) -> Result<Vec<Vec<Answer>>, sqlx::Error> {
        let slices: Vec<Range<usize>> = periods.iter().map(|period| self.places(*period)).collect();
        answers(db, self, &slices).await
    }
}

/// The query of a stored definition.
pub(super) fn readable(
    metric_id: BillableMetricId,
    definition: &SqlDefinition,
) -> Result<&Query, sqlx::Error> {
    definition.query().map_err(|refusal| stopped(metric_id, refusal.to_string()))
}

/// Why a query goes no further.
pub(super) fn stopped(metric_id: BillableMetricId, reason: impl std::fmt::Display) -> sqlx::Error {
    NotComputable::new(format!("the SQL of billable metric {metric_id} was stopped: {reason}")).into()
}
