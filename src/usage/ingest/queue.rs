//! Requests that wait to be committed together.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::ApiError;
use crate::event::Events;
use crate::id::EnvironmentId;
use crate::time::Instant;

/// What may wait; beyond it requests are refused, so that a slow disk does not fill the memory.
const ROOM_BYTES: usize = 64 << 20;

/// What one flush takes. Keys that are written together share the way to their place in the index: where it has half a
/// million to a million keys, one of a thousand costs PostgreSQL 4.4 µs, of four thousand 3.4, of twenty thousand 2.4
/// (2026-11-30). But the more events, the longer each waits, and the less goes on side by side.
const FLUSH_EVENTS_MAX: usize = 8000;
const FLUSH_BYTES_MAX: usize = 4 << 20;

/// Lookups of keys in sealed slots that no filter spares one flush, about: a slot that has none is asked for each key, and
/// an answer takes 10 to 14 µs from memory (2026-11-30) and more from a disk, while a flush must end in seconds.
const LOOKUPS_MAX: usize = 50_000;

/// While a flush of an environment is under way, another one begins when so many of its events wait; fewer wait for the
/// end. Each flush costs some round trips however small it is.
const PARALLEL_EVENTS_MIN: usize = 300;

/// Most flushes of one environment at a time: while one waits for the disk others use the processor.
const FLUSHES_MAX: usize = 3;

/// How many flushes may be under way: one environment, however much it sends or how long its flushes hang, leaves room
/// for one of another.
pub const COMMITTERS: usize = FLUSHES_MAX + 1;

/// One request's events, and who waits for them to be kept.
pub struct Waiting {
    pub environment_id: EnvironmentId,
    pub events: Events,
    /// The environment's time by which the events are young enough.
    pub checked_at: Instant,
    pub answer: oneshot::Sender<Result<(), ApiError>>,
    /// How many requests came before it.
    number: u64,
    _room: OwnedSemaphorePermit,
}

/// The queue of this process.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    /// What one flush takes at the moment.
    events_max: AtomicUsize,
    lanes: Mutex<Lanes>,
    ready: Notify,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Lanes {
    lanes: HashMap<EnvironmentId, Lane>,
    requests: u64,
}

/// The requests of one environment.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    /// How many wait.
    events: usize,
    /// How many flushes are under way.
    flushes: usize,
}

/// Requests that are to be committed together; their flush is under way until this is dropped.
pub struct Batch {
    pub requests: Vec<Waiting>,
    environment_id: EnvironmentId,
    queue: Queue,
}

impl Queue {
    #[must_use]
    pub fn new() -> Self {
        let room = Arc::new(Semaphore::new(ROOM_BYTES));
        let events_max = AtomicUsize::new(FLUSH_EVENTS_MAX);
        Self(Arc::new(Inner { events_max, lanes: Mutex::default(), ready: Notify::new(), room }))
    }

    /// From now on flushes are as large as suits this number of sealed slots without a filter.
    pub fn suit_unscreened(&self, slots: usize) {
        let events_max = (LOOKUPS_MAX / slots.max(1)).min(FLUSH_EVENTS_MAX);
        self.0.events_max.store(events_max, Ordering::Relaxed);
    }

    /// Hands the events over and waits until they are committed; 429 where too much waits already. A caller that gives
    /// up waiting does not stop them.
    pub async fn submit(
        &self,
        environment_id: EnvironmentId,
        events: Events,
        checked_at: Instant,
    ) -> Result<(), ApiError> {
        let size = u32::try_from(events.size_bytes().min(ROOM_BYTES)).expect("the room is smaller than 4 GB");
        let Ok(room) = self.0.room.clone().try_acquire_many_owned(size) else {
            return Err(ApiError::Overloaded);
        };
        let (answer, answered) = oneshot::channel();
        self.lanes().push(Waiting { environment_id, events, checked_at, answer, number: 0, _room: room });
        self.0.ready.notify_one();
        answered.await.unwrap_or_else(|lost| Err(ApiError::internal("a flush of events was lost", lost)))
    }

    /// The requests of one environment that waited longest, as many as fit into a flush; waits for the first.
    pub async fn next_flush(&self) -> Batch {
        loop {
            if let Some(batch) = self.take() {
                return batch;
            }
            self.0.ready.notified().await;
        }
    }

    fn take(&self) -> Option<Batch> {
        let mut lanes = self.lanes();
        let (environment_id, requests) = lanes.take(self.0.events_max.load(Ordering::Relaxed))?;
        if lanes.next().is_some() {
            // For another committer.
            self.0.ready.notify_one();
        }
        Some(Batch { requests, environment_id, queue: self.clone() })
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.0.lanes.lock().expect("no thread panics while it holds the queue")
    }
}

impl Lanes {
    fn push(&mut self, request: Waiting) {
        let lane = self.lanes.entry(request.environment_id).or_default();
        lane.events += request.events.len();
        lane.waiting.push_back(Waiting { number: self.requests, ..request });
        self.requests += 1;
    }

    /// The environment whose flush is to begin now: of those that may, one with the fewest flushes under way, and of
    /// these the one whose first request waits longest.
    fn next(&self) -> Option<EnvironmentId> {
        let ready = self.lanes.iter().filter(|(_, lane)| lane.is_ready());
        let first = ready.filter_map(|(id, lane)| Some((lane.flushes, lane.waiting.front()?.number, *id)));
        first.min_by_key(|(flushes, number, _)| (*flushes, *number)).map(|(_, _, id)| id)
    }

    fn take(&mut self, events_max: usize) -> Option<(EnvironmentId, Vec<Waiting>)> {
        let environment_id = self.next()?;
        let lane = self.lanes.get_mut(&environment_id)?;
        lane.flushes += 1;
        Some((environment_id, lane.take(events_max)))
    }
}

impl Lane {
    fn is_ready(&self) -> bool {
        self.flushes == 0 || self.flushes < FLUSHES_MAX && self.events >= PARALLEL_EVENTS_MIN
    }

    /// As many as fit into a flush, one at least.
    fn take(&mut self, events_max: usize) -> Vec<Waiting> {
        let (mut count, mut bytes) = (0, 0);
        let mut taken = Vec::new();
        while let Some(next) = self.waiting.front() {
            count += next.events.len();
            bytes += next.events.size_bytes();
            if !taken.is_empty() && (count > events_max || bytes > FLUSH_BYTES_MAX) {
                break;
            }
            self.events -= next.events.len();
            taken.extend(self.waiting.pop_front());
        }
        taken
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let mut lanes = self.queue.lanes();
        if let Some(lane) = lanes.lanes.get_mut(&self.environment_id) {
            lane.flushes -= 1;
            if lane.flushes == 0 && lane.waiting.is_empty() {
                lanes.lanes.remove(&self.environment_id);
            }
        }
        if lanes.next().is_some() {
            self.queue.0.ready.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, Utc};
    use tokio::time::timeout;
    use uuid::Uuid;

    use super::*;
    use crate::event::parse_batch;

    const ONE: EnvironmentId = EnvironmentId(Uuid::from_u128(1));
    const OTHER: EnvironmentId = EnvironmentId(Uuid::from_u128(2));

    /// Hands over a request of a hundred events, which nobody waits for.
    async fn submit(queue: &Queue, environment_id: EnvironmentId) {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let event =
            r#"{"transaction_id":"t","customer_id":"c","event_type":"e","timestamp":"1970-01-01T00:00:00Z"}"#;
        let body = format!("[{}]", [event; 100].join(","));
        let events = parse_batch(body.as_bytes(), environment_id, now).expect("sound events");
        let waits = timeout(Duration::ZERO, queue.submit(environment_id, events, now)).await;
        assert!(waits.is_err(), "it waits for a flush");
    }

    async fn next(queue: &Queue) -> Option<Batch> {
        timeout(Duration::from_millis(20), queue.next_flush()).await.ok()
    }

    #[tokio::test]
    async fn flushes_are_smaller_while_sealed_slots_have_no_filter() {
        let queue = Queue::new();
        for (unscreened, requests) in [(0, 80), (6, 80), (10, 50), (36, 13), (10_000, 1)] {
            queue.suit_unscreened(unscreened);
            for _ in 0..100 {
                submit(&queue, ONE).await;
            }
            let batch = next(&queue).await.expect("many wait");
            assert_eq!(batch.requests.len(), requests, "{unscreened} slots");
            drop(batch);
            queue.suit_unscreened(0);
            while next(&queue).await.is_some() {}
        }
    }

    #[tokio::test]
    async fn one_environment_leaves_room_for_a_flush_of_another() {
        let queue = Queue::new();
        for _ in 0..300 {
            submit(&queue, ONE).await;
        }
        let mut flushes = Vec::new();
        for _ in 0..FLUSHES_MAX {
            let batch = next(&queue).await.expect("many wait");
            assert_eq!((batch.environment_id, batch.requests.len()), (ONE, 80));
            flushes.push(batch);
        }
        assert!(next(&queue).await.is_none(), "the last committer is for others");
        submit(&queue, OTHER).await;
        let other = next(&queue).await.expect("it is ready");
        assert_eq!((other.environment_id, other.requests.len()), (OTHER, 1));
        assert_eq!(flushes.len() + 1, COMMITTERS);

        // Of two that may go on, the one with fewer flushes under way comes first, though the other waits longer.
        for _ in 0..5 {
            submit(&queue, OTHER).await;
        }
        flushes.pop();
        assert_eq!(next(&queue).await.expect("it is ready").environment_id, OTHER);
        assert_eq!(next(&queue).await.expect("it is ready").environment_id, ONE);
    }
}
