//! One flush: the events of many requests, their keys and their usage in one transaction.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use sqlx::PgConnection;
use uuid::Uuid;

use super::super::calc::{Counter, Counts};
use super::super::store::{PostgresRollups, RollupStore};
use super::queue::Waiting;
use crate::access::{self, App};
use crate::catalog::billable_metric;
use crate::error::is_transient;
use crate::event::{
    BatchLog, DedupStore, Event, EventLog, Fact, Place, Screens, SlottedKeys, slot, subject_id,
};
use crate::id::{EnvironmentId, GroupId, SubjectId};
use crate::postgres::begin_arrivals;

/// How often a flush is tried again when PostgreSQL gave way to another transaction.
const ATTEMPTS: usize = 8;

/// Up to so many events their usage is counted within the flush. A larger flush is a sign of load: its usage is
/// counted together with that of others, because the cost is in the hours that are touched, not in the events.
const COUNTED_EVENTS_MAX: usize = 500;

/// Subjects and groups that are remembered, 16 bytes each.
const KNOWN_MAX: usize = 1_000_000;

/// What flushes of this process share.
pub struct Flusher {
    app: App,
    keys: SlottedKeys,
    known: Mutex<Known>,
}

/// What was kept.
pub struct Kept {
    pub events: usize,
    pub repeats: usize,
    /// Its usage is not in the rollups yet.
    pub is_pending: bool,
}

impl Flusher {
    #[must_use]
    pub fn new(app: App, screens: Screens) -> Self {
        let keys = SlottedKeys { screens };
        Self { app, keys, known: Mutex::new(Known::default()) }
    }

    /// Keeps the events of all the requests, or none. The requests are of one environment.
    pub async fn flush(&self, requests: &[Waiting]) -> Result<Kept, sqlx::Error> {
        let environment_id = requests[0].environment_id;
        let flush = Flush::of(environment_id, requests);
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.try_flush(&flush).await {
                Ok(Some(kept)) => return Ok(kept),
                Ok(None) => self.open_slot(environment_id).await?,
                Err(error) if is_transient(&error) && attempts < ATTEMPTS => {}
                Err(error) => {
                    // A database that comes back may be without its last commits.
                    *self.known() = Known::default();
                    return Err(error);
                }
            }
        }
    }

    /// Nothing where the environment has no open slot yet.
    async fn try_flush(&self, flush: &Flush<'_>) -> Result<Option<Kept>, sqlx::Error> {
        let environment_id = flush.environment_id;
        let mut transaction = begin_arrivals(&self.app.db, environment_id).await?;
        // The clock is read under the lock: an event that comes after an invoice was finalized has also arrived later.
        let now = self.app.clock.now();
        let place = Place::take(&mut transaction, environment_id, now, flush.events.len()).await?;
        let Some(place) = place else { return Ok(None) };

        let taken = self.keys.admit(&mut transaction, &place, &flush.keys).await?;
        let facts = flush.facts(&place, &taken);
        let repeats = facts.iter().filter(|fact| fact.is_duplicate).count();
        // Who counts at this moment keeps the hours locked: this flush would wait for it, and others behind this one.
        let is_pending = facts.len() > COUNTED_EVENTS_MAX || place.is_behind;
        let new_subjects = self.unknown(flush);
        BatchLog.append(&mut transaction, &place, &facts, &new_subjects, is_pending).await?;
        let mut counts = Counts::default();
        if !is_pending {
            counts = self.count(&mut transaction, &place, flush, &facts).await?;
            PostgresRollups.apply(&mut transaction, environment_id, &counts).await?;
        }
        transaction.commit().await?;
        self.learn(flush, &counts);
        Ok(Some(Kept { events: facts.len(), repeats, is_pending }))
    }

    /// What the facts that count add to the rollups; of the groups only those that may be new.
    async fn count(
        &self,
        db: &mut PgConnection,
        place: &Place,
        flush: &Flush<'_>,
        facts: &[Fact<'_>],
    ) -> Result<Counts, sqlx::Error> {
        let counter = self.counter(db, place).await?;
        let mut counts = Counts::default();
        for (fact, subject) in facts.iter().zip(&flush.subjects).filter(|(fact, _)| !fact.is_duplicate) {
            counter.count(*subject, fact, &mut counts).map_err(|error| sqlx::Error::Decode(error.into()))?;
        }
        let known = self.known();
        counts.groups.values_mut().for_each(|groups| groups.retain(|_, id| !known.groups.contains(id)));
        Ok(counts)
    }

    /// The metrics that count what arrives at `place`. None of them can be younger than that, so reflows play no part.
    async fn counter(&self, db: &mut PgConnection, place: &Place) -> Result<Arc<Counter>, sqlx::Error> {
        let cached = self.known().counters.get(&place.environment_id).cloned();
        if let Some((_, counter)) = cached.filter(|(arrival, _)| *arrival == place.metrics_arrival) {
            return Ok(counter);
        }
        let metrics = billable_metric::all_metrics(db, place.environment_id).await?;
        let counter = Arc::new(Counter::new(place.environment_id, metrics, &[]));
        self.known().counters.insert(place.environment_id, (place.metrics_arrival, counter.clone()));
        Ok(counter)
    }

    async fn open_slot(&self, environment_id: EnvironmentId) -> Result<(), sqlx::Error> {
        let mut transaction = self.app.db.begin().await?;
        let now = access::environment_now(&mut transaction, environment_id, self.app.clock.now()).await?;
        slot::open(&mut transaction, environment_id, now).await?;
        transaction.commit().await
    }

    /// The subjects of the flush that may have no row yet.
    fn unknown<'a>(&self, flush: &Flush<'a>) -> Vec<(SubjectId, &'a str)> {
        let known = self.known();
        let mut unknown: HashMap<SubjectId, &str> = HashMap::new();
        for (event, subject) in flush.events.iter().zip(&flush.subjects) {
            if !known.subjects.contains(subject) {
                unknown.insert(*subject, event.customer_id);
            }
        }
        unknown.into_iter().collect()
    }

    /// Remembers what a committed flush wrote.
    fn learn(&self, flush: &Flush<'_>, counts: &Counts) {
        let mut known = self.known();
        if known.subjects.len() > KNOWN_MAX {
            known.subjects.clear();
        }
        if known.groups.len() > KNOWN_MAX {
            known.groups.clear();
        }
        known.subjects.extend(&flush.subjects);
        known.groups.extend(counts.groups.values().flat_map(HashMap::values));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no thread panics while it holds what is known")
    }
}

/// What earlier flushes of this process found or wrote, and what is therefore in the database.
#[derive(Default)]
struct Known {
    subjects: HashSet<SubjectId>,
    groups: HashSet<GroupId>,
    /// The metrics of each environment, as they are since an arrival.
    counters: HashMap<EnvironmentId, (i64, Arc<Counter>)>,
}

/// The events of a flush in the order of their arrival.
struct Flush<'a> {
    environment_id: EnvironmentId,
    events: Vec<Event<'a>>,
    /// Of each event.
    subjects: Vec<SubjectId>,
    /// Sorted and distinct.
    keys: Vec<Uuid>,
    /// The positions of events that repeat one before them in this flush.
    repeated: HashSet<usize>,
}

impl<'a> Flush<'a> {
    fn of(environment_id: EnvironmentId, requests: &'a [Waiting]) -> Self {
        let events: Vec<Event<'a>> = requests.iter().flat_map(|request| request.events.iter()).collect();
        let mut ids: HashMap<&str, SubjectId> = HashMap::new();
        let subjects = events
            .iter()
            .map(|event| {
                let id = || subject_id(environment_id, event.customer_id);
                *ids.entry(event.customer_id).or_insert_with(id)
            })
            .collect();
        let mut order: Vec<(Uuid, usize)> = events.iter().map(|event| event.key).zip(0..).collect();
        order.sort_unstable();
        let repeats = order.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        let repeated = repeats.map(|pair| pair[1].1).collect();
        let mut keys: Vec<Uuid> = order.into_iter().map(|(key, _)| key).collect();
        keys.dedup();
        Self { environment_id, events, subjects, keys, repeated }
    }

    /// The events as they are kept; those whose key is taken are repeats.
    fn facts(&self, place: &Place, taken: &HashSet<Uuid>) -> Vec<Fact<'a>> {
        let fact = |(position, event): (usize, &Event<'a>)| Fact {
            transaction_id: event.transaction_id,
            customer_id: event.customer_id,
            event_type: event.event_type,
            timestamp: event.timestamp,
            received_at: place.received_at,
            seq: place.seq(position),
            properties_json: event.properties_json,
            is_duplicate: self.repeated.contains(&position) || taken.contains(&event.key),
        };
        self.events.iter().enumerate().map(|(position, event)| fact((position, event))).collect()
    }
}
