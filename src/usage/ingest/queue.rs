//! Requests that wait to be committed together.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::ApiError;
use crate::event::Events;
use crate::id::EnvironmentId;

/// What may wait; beyond it requests are refused, so that a slow disk does not fill the memory.
const ROOM_BYTES: usize = 64 << 20;

/// What one flush takes: more events gain nothing, let each wait longer, and are unpacked together when one of them is
/// looked for.
const FLUSH_EVENTS_MAX: usize = 1000;
const FLUSH_BYTES_MAX: usize = 4 << 20;

/// One request's events, and who waits for them to be kept.
pub struct Waiting {
    pub environment_id: EnvironmentId,
    pub events: Events,
    pub answer: oneshot::Sender<Result<(), ApiError>>,
    _room: OwnedSemaphorePermit,
}

/// The queue of this process.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    waiting: Mutex<VecDeque<Waiting>>,
    ready: Notify,
    room: Arc<Semaphore>,
}

impl Queue {
    #[must_use]
    pub fn new() -> Self {
        let room = Arc::new(Semaphore::new(ROOM_BYTES));
        Self(Arc::new(Inner { waiting: Mutex::new(VecDeque::new()), ready: Notify::new(), room }))
    }

    /// Hands the events over and waits until they are committed; 429 where too much waits already. A caller that gives
    /// up waiting does not stop them.
    pub async fn submit(&self, environment_id: EnvironmentId, events: Events) -> Result<(), ApiError> {
        let size = u32::try_from(events.size_bytes().min(ROOM_BYTES)).expect("the room is smaller than 4 GB");
        let Ok(room) = self.0.room.clone().try_acquire_many_owned(size) else {
            return Err(ApiError::Overloaded);
        };
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { environment_id, events, answer, _room: room };
        self.lock().push_back(waiting);
        self.0.ready.notify_one();
        answered.await.unwrap_or_else(|lost| Err(ApiError::internal("a flush of events was lost", lost)))
    }

    /// The requests of one environment that waited longest, as many as fit into a flush; waits for the first.
    pub async fn next_flush(&self) -> Vec<Waiting> {
        loop {
            let flush = self.take();
            if !flush.is_empty() {
                return flush;
            }
            self.0.ready.notified().await;
        }
    }

    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.lock();
        let Some(environment_id) = waiting.front().map(|first| first.environment_id) else {
            return Vec::new();
        };
        let (mut events, mut bytes) = (0, 0);
        let mut flush = Vec::new();
        let mut others = VecDeque::new();
        while let Some(next) = waiting.pop_front() {
            let (count, size) = (next.events.len(), next.events.size_bytes());
            let fits =
                flush.is_empty() || events + count <= FLUSH_EVENTS_MAX && bytes + size <= FLUSH_BYTES_MAX;
            if !fits {
                waiting.push_front(next);
                break;
            }
            if next.environment_id != environment_id {
                others.push_back(next);
                continue;
            }
            (events, bytes) = (events + count, bytes + size);
            flush.push(next);
        }
        while let Some(other) = others.pop_back() {
            waiting.push_front(other);
        }
        if !waiting.is_empty() {
            // For the other committer.
            self.0.ready.notify_one();
        }
        flush
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.0.waiting.lock().expect("no thread panics while it holds the queue")
    }
}
