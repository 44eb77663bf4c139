//! One flush: the events of many requests and their keys in one transaction, which also notes that their usage is to be
//! counted.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use super::queue::Waiting;
use crate::access::{self, App};
use crate::error::is_transient;
use crate::event::{
    Asked, BatchLog, DedupStore, Event, EventLog, Fact, Place, RecentBatches, Screens, SlottedKeys,
    SubjectsByName, is_wrong_guess, slot, subject_id,
};
use crate::id::{EnvironmentId, SubjectId};
use crate::postgres::begin_arrivals;
use crate::time::Instant;

/// How often a flush is tried again when PostgreSQL gave way to another transaction.
const ATTEMPTS: usize = 8;

/// Longest that a flush may take: without a limit one that hangs at a database that is gone would hold up all that
/// come behind it. Whether it was kept is unknown then; senders repeat it.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(20);

/// Subjects that are remembered, 16 bytes each.
const KNOWN_MAX: usize = 1_000_000;

/// What flushes of this process share.
pub struct Flusher {
    app: App,
    keys: SlottedKeys,
    recent: RecentBatches,
    known: Mutex<KnownSubjects>,
}

/// Subjects that earlier flushes of this process wrote, and that are therefore in the database.
#[derive(Default)]
struct KnownSubjects {
    /// By the server that has them. A database that is restored, or a standby that takes over, may be without the last of
    /// them, and no flush need fail in between.
    server_started_at: Option<Instant>,
    subjects: HashSet<SubjectId>,
}

impl KnownSubjects {
    /// The subjects that the server has for sure.
    fn of_server(&mut self, started_at: Instant) -> &mut HashSet<SubjectId> {
        if self.server_started_at.replace(started_at) != Some(started_at) || self.subjects.len() > KNOWN_MAX {
            self.subjects.clear();
        }
        &mut self.subjects
    }
}

/// Why nothing of a flush was kept.
pub enum FlushError {
    /// A sandbox's clock was set so far ahead that ids of the events may be free again that were held when they came.
    ClockMoved,
    Database(sqlx::Error),
}

impl From<sqlx::Error> for FlushError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// What was kept.
pub struct Kept {
    pub events: usize,
    pub repeats: usize,
}

impl Flusher {
    #[must_use]
    pub fn new(app: App, screens: Screens, recent: RecentBatches) -> Self {
        Self { app, keys: SlottedKeys::new(screens), recent, known: Mutex::default() }
    }

    /// Keeps the events of all the requests, or none. The requests are of one environment.
    pub async fn flush(&self, requests: &[Waiting]) -> Result<Kept, FlushError> {
        let environment_id = requests[0].environment_id;
        let flush = Flush::of(environment_id, requests);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let flushed = timeout(FLUSH_TIMEOUT, self.try_flush(&flush)).await;
            match flushed.unwrap_or_else(|late| Err(sqlx::Error::Io(late.into()).into())) {
                Ok(Some(kept)) => return Ok(kept),
                Ok(None) => self.open_slot(environment_id).await?,
                Err(FlushError::Database(error))
                    if attempts < ATTEMPTS && (is_transient(&error) || is_wrong_guess(&error)) => {}
                Err(error) => {
                    // A database that comes back may be without its last commits.
                    self.known().subjects.clear();
                    return Err(error);
                }
            }
        }
    }

    /// Nothing where the environment has no open slot yet.
    async fn try_flush(&self, flush: &Flush<'_>) -> Result<Option<Kept>, FlushError> {
        let environment_id = flush.environment_id;
        let mut transaction = begin_arrivals(&self.app.reserved_db, environment_id).await?;
        // The clock is read under the lock: an event that comes after an invoice was finalized has also arrived later.
        let now = self.app.clock.now();
        let place = Place::take(&mut transaction, environment_id, now, flush.events.len()).await?;
        let Some(place) = place else { return Ok(None) };
        if flush.checked_at.iter().any(|checked_at| place.received_at - *checked_at > slot::WAITING_MAX) {
            return Err(FlushError::ClockMoved);
        }

        let asked = Asked { keys: &flush.keys, positions: &flush.positions, checked_at: &flush.checked_at };
        let taken = self.keys.admit(&mut transaction, &place, asked).await?;
        let facts = flush.facts(&place, &taken);
        let repeats = facts.iter().filter(|fact| fact.is_duplicate).count();
        let new_subjects = self.unknown(flush, place.server_started_at);
        let mark = self.app.ids.next::<Uuid>();
        let batches =
            BatchLog.append(&mut transaction, &place, &facts, &flush.subjects, &new_subjects, mark).await?;
        transaction.commit().await?;
        for batch in batches {
            self.recent.keep(Arc::new(batch));
        }
        self.learn(&new_subjects, place.server_started_at);
        Ok(Some(Kept { events: facts.len(), repeats }))
    }

    async fn open_slot(&self, environment_id: EnvironmentId) -> Result<(), sqlx::Error> {
        let mut transaction = self.app.reserved_db.begin().await?;
        let now = access::environment_now(&mut transaction, environment_id, self.app.clock.now()).await?;
        slot::open(&mut transaction, environment_id, now).await?;
        transaction.commit().await
    }

    /// The subjects of the flush that may have no row yet.
    fn unknown<'a>(&self, flush: &Flush<'a>, server_started_at: Instant) -> Vec<(SubjectId, &'a str)> {
        let mut known = self.known();
        let known = known.of_server(server_started_at);
        let named = flush.subjects.iter().map(|(received, subject)| (*subject, *received));
        named.filter(|(subject, _)| !known.contains(subject)).collect()
    }

    /// Remembers subjects that were written.
    fn learn(&self, subjects: &[(SubjectId, &str)], server_started_at: Instant) {
        let mut known = self.known();
        known.of_server(server_started_at).extend(subjects.iter().map(|(subject, _)| *subject));
    }

    fn known(&self) -> MutexGuard<'_, KnownSubjects> {
        self.known.lock().expect("no thread panics while it holds what is known")
    }
}

/// The events of a flush in the order of their arrival.
struct Flush<'a> {
    environment_id: EnvironmentId,
    events: Vec<Event<'a>>,
    subjects: SubjectsByName<'a>,
    /// Sorted and distinct.
    keys: Vec<Uuid>,
    /// Of the first event of each key.
    positions: Vec<usize>,
    /// When the first event of each key was found young enough.
    checked_at: Vec<Instant>,
    /// The positions of events that repeat one before them in this flush.
    repeated: HashSet<usize>,
}

impl<'a> Flush<'a> {
    fn of(environment_id: EnvironmentId, requests: &'a [Waiting]) -> Self {
        let events: Vec<Event<'a>> = requests.iter().flat_map(|request| request.events.iter()).collect();
        let checks = requests.iter().flat_map(|request| request.events.iter().map(|_| request.checked_at));
        let checks: Vec<Instant> = checks.collect();
        let mut subjects = SubjectsByName::new();
        for Event { customer_id, .. } in &events {
            subjects.entry(*customer_id).or_insert_with(|| subject_id(environment_id, customer_id));
        }
        let mut order: Vec<(Uuid, usize)> = events.iter().map(|event| event.key).zip(0..).collect();
        order.sort_unstable();
        let repeats = order.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        let repeated = repeats.map(|pair| pair[1].1).collect();
        order.dedup_by_key(|(key, _)| *key);
        let (keys, positions): (Vec<Uuid>, Vec<usize>) = order.into_iter().unzip();
        let checked_at = positions.iter().map(|position| checks[*position]).collect();
        Self { environment_id, events, subjects, keys, positions, checked_at, repeated }
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

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    #[test]
    fn what_one_server_has_is_not_believed_of_another() {
        let mut known = KnownSubjects::default();
        let (first, other) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::days(1));
        let subject = SubjectId(Uuid::from_u128(7));
        known.of_server(first).insert(subject);
        assert!(known.of_server(first).contains(&subject));
        assert!(!known.of_server(other).contains(&subject));
        assert!(!known.of_server(first).contains(&subject), "nor again of the first, which may be restored");
    }
}
