//! When requests are due, and how long they took.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};

/// Requests at a fixed rate, taken by whichever connection is free.
#[derive(Clone)]
pub struct Pace(Arc<Mutex<mpsc::UnboundedReceiver<Instant>>>);

impl Pace {
    /// `count` instants, `per_second` of them a second, from `start` on.
    pub fn new(start: Instant, per_second: u64, count: u64) -> Self {
        let (due_now, queue) = mpsc::unbounded_channel();
        // A thread of its own, for the runtime's timer is late by up to a millisecond.
        thread::spawn(move || {
            for number in 0..count {
                let due = start + Duration::from_nanos(1_000_000_000 * number / per_second);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                // Nobody listens any more once every connection gave up.
                if due_now.send(due).is_err() {
                    break;
                }
            }
        });
        Self(Arc::new(Mutex::new(queue)))
    }

    pub async fn next(&self) -> Option<Instant> {
        self.0.lock().await.recv().await
    }
}

/// How long things took.
#[derive(Clone, Copy, Default, Debug, Serialize, Deserialize)]
pub struct Times {
    pub count: usize,
    pub p50_micros: u64,
    pub p99_micros: u64,
    pub max_micros: u64,
}

impl Times {
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
            times.get(place).map_or(0, |time| u64::try_from(time.as_micros()).expect("less than ages"))
        };
        Self { count: times.len(), p50_micros: at(50), p99_micros: at(99), max_micros: at(100) }
    }
}

impl Display for Times {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let [p50, p99, longest] =
            [self.p50_micros, self.p99_micros, self.max_micros].map(Duration::from_micros);
        write!(formatter, "p50 {p50:.2?}, p99 {p99:.2?}, longest {longest:.2?}")
    }
}
