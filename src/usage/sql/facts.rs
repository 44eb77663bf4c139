//! Reading the events that queries count, within bounds.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::answer::Answer;
use super::print::{Printed, print};
use super::run::{FILTERING_LIMIT, answers, passing_rows};
use crate::catalog::billable_metric::sql::{Query, SqlDefinition};
use crate::catalog::usage_filter::UsageFilters;
use crate::error::NotComputable;
use crate::event::{
    Bookmark, Fact, Properties, PropertyValue, Scope, SegmentReader, Segments, parse_properties,
};
use crate::id::BillableMetricId;
use crate::time::{Instant, Period};

/// Most events that one query counts at once, and most bytes of them; they are in memory (our decision).
const EVENTS_MAX: usize = 1_000_000;
const BYTES_MAX: usize = 64 << 20;

/// Most events that are looked through for those that a query takes (our decision).
pub const LOOKED_THROUGH_MAX: usize = 20_000_000;

/// Of more than this, so many at a time are in memory.
const LARGE_BYTES: usize = 4 << 20;
const LARGE_AT_ONCE: usize = 4;

static LARGE: Semaphore = Semaphore::const_new(LARGE_AT_ONCE);

/// A metric and its query.
pub type MetricQuery<'a> = (BillableMetricId, &'a SqlDefinition);

/// The events that count for a query, in the order of time and, of one instant, of arrival.
pub struct Facts {
    pub(super) metric_id: BillableMetricId,
    pub(super) printed: Printed,
    pub(super) rows: Rows,
    /// Held while they are in memory, where they are large; shared by those that were read together.
    _room: Option<Arc<SemaphorePermit<'static>>>,
}

/// Events by columns.
#[derive(Default)]
pub(super) struct Rows {
    pub instants: Vec<Instant>,
    /// The order of arrival.
    pub seqs: Vec<i64>,
    pub event_types: Vec<Arc<str>>,
    /// In the order of the printed columns: texts and then numbers.
    pub properties: Vec<Vec<Option<Box<str>>>>,
}

/// An event of which a query reads some columns.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub timestamp: Instant,
    pub seq: i64,
    pub event_type: &'a str,
}

impl Rows {
    pub fn new(printed: &Printed) -> Self {
        let columns = printed.text_columns.len() + printed.number_columns.len();
        Self { properties: vec![Vec::new(); columns], ..Self::default() }
    }

    /// Adds an event with the columns that the statement wants.
    pub fn push(
        &mut self,
        printed: &Printed,
        names: &[String],
        types: &mut HashSet<Arc<str>>,
        event: Given<'_>,
        properties: &Properties<'_>,
    ) {
        self.instants.push(event.timestamp);
        self.seqs.push(event.seq);
        let known = types.get(event.event_type).cloned();
        self.event_types.push(known.unwrap_or_else(|| {
            let event_type: Arc<str> = event.event_type.into();
            types.insert(event_type.clone());
            event_type
        }));
        let (texts, numbers) = self.properties.split_at_mut(printed.text_columns.len());
        for (property, column) in printed.text_columns.iter().zip(texts) {
            let value = properties.get(&names[*property]).and_then(PropertyValue::into_text);
            column.push(value.map(|text| text.into_owned().into_boxed_str()));
        }
        for (property, column) in printed.number_columns.iter().zip(numbers) {
            let value = properties.get(&names[*property]).and_then(|value| value.as_number());
            column.push(value.map(String::into_boxed_str));
        }
    }

    pub fn len(&self) -> usize {
        self.instants.len()
    }

    /// Those at these places, each at most once, in the order of the places.
    fn keep(&mut self, places: &[usize]) {
        fn kept<T: Clone>(column: &[T], places: &[usize]) -> Vec<T> {
            places.iter().map(|place| column[*place].clone()).collect()
        }
        self.instants = kept(&self.instants, places);
        self.seqs = kept(&self.seqs, places);
        self.event_types = kept(&self.event_types, places);
        for column in &mut self.properties {
            *column = places.iter().map(|place| column[*place].take()).collect();
        }
    }

    fn append(&mut self, mut more: Self) {
        self.instants.append(&mut more.instants);
        self.seqs.append(&mut more.seqs);
        self.event_types.append(&mut more.event_types);
        for (column, more) in self.properties.iter_mut().zip(&mut more.properties) {
            column.append(more);
        }
    }

    fn sort(&mut self) {
        let mut places: Vec<usize> = (0..self.len()).collect();
        places.sort_unstable_by_key(|place| (self.instants[*place], self.seqs[*place]));
        self.keep(&places);
    }

    /// What they take in memory and on the way to the database, about.
    fn bytes(&self) -> usize {
        let texts = self.properties.iter().flatten().flatten();
        let event_types: usize = self.event_types.iter().map(|text| text.len()).sum();
        texts.map(|text| text.len()).sum::<usize>()
            + event_types
            + self.len() * (32 + 8 * self.properties.len())
    }
}

/// The events of one query while they are read.
struct Reading<'a> {
    metric_id: BillableMetricId,
    query: &'a Query,
    event_types: Option<BTreeSet<&'a str>>,
    printed: Printed,
    types: HashSet<Arc<str>>,
    rows: Rows,
    bytes: usize,
    /// How much longer the database may look for the events that it takes.
    time_left: Duration,
}

impl<'a> Reading<'a> {
    fn new((metric_id, definition): MetricQuery<'a>) -> Result<Self, sqlx::Error> {
        let query = readable(metric_id, definition)?;
        let printed = print(query);
        let rows = Rows::new(&printed);
        let (event_types, types) = (query.event_types(), HashSet::new());
        let time_left = FILTERING_LIMIT;
        Ok(Self { metric_id, query, event_types, printed, types, rows, bytes: 0, time_left })
    }

    /// Whether the query may take events of this type.
    fn takes(&self, event_type: &str) -> bool {
        self.event_types.as_ref().is_none_or(|event_types| event_types.contains(event_type))
    }

    /// Those of the events that the query takes: without the others it would answer the same.
    async fn of(
        &mut self,
        db: &mut PgConnection,
        events: &[(Fact<'_>, Properties<'_>)],
    ) -> Result<Rows, sqlx::Error> {
        let mut rows = Rows::new(&self.printed);
        for (fact, properties) in events {
            if !self.takes(fact.event_type) {
                continue;
            }
            let given = Given { timestamp: fact.timestamp, seq: fact.seq, event_type: fact.event_type };
            rows.push(&self.printed, &self.query.properties, &mut self.types, given, properties);
        }
        let began = std::time::Instant::now();
        if let Some(places) = passing_rows(db, self.metric_id, &self.printed, &rows, self.time_left).await? {
            rows.keep(&places);
            self.time_left = self.time_left.saturating_sub(began.elapsed());
        }
        Ok(rows)
    }

    /// Keeps some more events; fails where they are too many.
    fn add(&mut self, rows: Rows) -> Result<(), sqlx::Error> {
        self.bytes += rows.bytes();
        self.rows.append(rows);
        if self.rows.len() > EVENTS_MAX {
            return Err(stopped(self.metric_id, format!("it counts more than {EVENTS_MAX} events")));
        }
        if self.bytes > BYTES_MAX {
            let reason = format!("the events that it counts take more than {} MiB", BYTES_MAX >> 20);
            return Err(stopped(self.metric_id, reason));
        }
        Ok(())
    }

    fn finish(mut self, room: Option<Arc<SemaphorePermit<'static>>>) -> Facts {
        self.rows.sort();
        Facts { metric_id: self.metric_id, printed: self.printed, rows: self.rows, _room: room }
    }
}

impl Facts {
    /// The events of a scope for each of the queries, read once for all; those that the usage filter of their time does
    /// not let pass are left out. Beside them how many events were looked through. Nothing where they are too many
    /// together, though each of several queries may have few enough.
    pub async fn read(
        db: &mut PgConnection,
        scope: &Scope,
        filters: &UsageFilters,
        queries: &[MetricQuery<'_>],
    ) -> Result<Option<(Vec<Self>, usize)>, sqlx::Error> {
        let mut readings = queries.iter().map(|query| Reading::new(*query)).collect::<Result<Vec<_>, _>>()?;
        let mut pages = Pages::new(scope, filters);
        let mut room = None;
        while let Some(page) = pages.next(db).await? {
            if pages.looked_through > LOOKED_THROUGH_MAX {
                let reason =
                    format!("the customer has more than {LOOKED_THROUGH_MAX} events to look through");
                let metric_id = queries.first().map(|(metric_id, _)| *metric_id).expect("somebody reads");
                return Err(stopped(metric_id, reason));
            }
            let events = pages.events(&page, &readings)?;
            for reading in &mut readings {
                let rows = reading.of(db, &events).await?;
                reading.add(rows)?;
            }
            let bytes: usize = readings.iter().map(|reading| reading.bytes).sum();
            if bytes > BYTES_MAX {
                return Ok(None);
            }
            if bytes > LARGE_BYTES && room.is_none() {
                room = Some(Arc::new(LARGE.acquire().await.expect("it is never closed")));
            }
        }
        let facts = readings.into_iter().map(|reading| reading.finish(room.clone())).collect();
        Ok(Some((facts, pages.looked_through)))
    }

    /// Whether any of them lies in the period.
    #[must_use]
    pub fn any_within(&self, period: Period) -> bool {
        !self.places(period).is_empty()
    }

    /// When the first of them is that is dated at this instant or later.
    #[must_use]
    pub fn first_from(&self, instant: Instant) -> Option<Instant> {
        let place = self.rows.instants.partition_point(|earlier| *earlier < instant);
        self.rows.instants.get(place).copied()
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

/// Those of the queries that take any event of the scope, and how many events were looked through for them: no more than it
/// takes, and about `most`; nothing where that is not enough.
pub async fn with_events(
    db: &mut PgConnection,
    scope: &Scope,
    queries: &[MetricQuery<'_>],
    most: usize,
) -> Result<Option<(Vec<BillableMetricId>, usize)>, sqlx::Error> {
    let mut open = queries.iter().map(|query| Reading::new(*query)).collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::new();
    let filters = UsageFilters::default();
    let mut pages = Pages::new(scope, &filters);
    while !open.is_empty() {
        let Some(page) = pages.next(db).await? else { break };
        if pages.looked_through > most {
            return Ok(None);
        }
        let events = pages.events(&page, &open)?;
        let mut undecided = Vec::with_capacity(open.len());
        for mut reading in open {
            if reading.of(db, &events).await?.len() > 0 {
                found.push(reading.metric_id);
            } else {
                undecided.push(reading);
            }
        }
        open = undecided;
    }
    Ok(Some((found, pages.looked_through)))
}

/// The events of a scope, some at a time.
struct Pages<'a> {
    scope: &'a Scope,
    filters: &'a UsageFilters,
    bookmark: Option<Bookmark>,
    /// How many events were unpacked, wanted or not.
    looked_through: usize,
}

impl<'a> Pages<'a> {
    fn new(scope: &'a Scope, filters: &'a UsageFilters) -> Self {
        Self { scope, filters, bookmark: None, looked_through: 0 }
    }

    async fn next(&mut self, db: &mut PgConnection) -> Result<Option<Vec<crate::event::Facts>>, sqlx::Error> {
        let Some((page, last)) = Segments.read(db, self.scope, self.bookmark).await? else { return Ok(None) };
        self.bookmark = Some(last);
        self.looked_through += page.iter().map(|facts| facts.iter().len()).sum::<usize>();
        Ok(Some(page))
    }

    /// Those of a page that may count for one of the readings.
    fn events<'p>(
        &'p self,
        page: &'p [crate::event::Facts],
        readings: &[Reading<'_>],
    ) -> Result<Vec<(Fact<'p>, Properties<'p>)>, sqlx::Error> {
        let facts = page.iter().flat_map(|facts| self.scope.facts(facts)).map(|(_, fact)| fact);
        let facts = facts.filter(|fact| readings.iter().any(|reading| reading.takes(fact.event_type)));
        let facts = facts.map(|fact| {
            let properties = parse_properties(fact.properties_json);
            Ok((fact, properties.map_err(|error| sqlx::Error::Decode(error.into()))?))
        });
        let is_billed = |(fact, properties): &(Fact<'_>, Properties<'_>)| {
            let text_of =
                |key: &str| properties.get(key).and_then(PropertyValue::into_text).map(Cow::into_owned);
            self.filters.is_empty() || self.filters.routes(fact.timestamp, text_of)
        };
        facts.filter(|event| event.as_ref().map_or(true, is_billed)).collect()
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
