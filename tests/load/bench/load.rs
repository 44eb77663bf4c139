//! `bench load`: sends events, in a process of its own so that it shares no runtime with a server.
//!
//! The job comes as JSON on standard input, the outcome goes as JSON to standard output.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::event::{Random, Source, Template, Totals, requests};
use crate::http::Http;
use crate::pace::{Pace, Times};

/// How long after the end a request that was due before it may still go out.
const GRACE: Duration = Duration::from_millis(500);

/// Different bodies of one connection.
const TEMPLATES: usize = 8;

/// Transaction ids that the outcome names.
const SAMPLE_MAX: usize = 2000;

#[derive(Clone, Serialize, Deserialize)]
pub struct Job {
    pub address: String,
    pub token: String,
    pub connections: usize,
    /// Events of a request.
    pub batch: usize,
    pub pressure: Pressure,
    /// Before the window: connections open, plans are made. Not measured, but sent and counted.
    pub warm_millis: u64,
    pub window_millis: u64,
    /// How many requests of a thousand are sent a second time, to the byte.
    pub resent_per_mille: u64,
    pub source: Source,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum Pressure {
    /// As much as the server takes.
    Saturate,
    /// Events a second.
    Rate(u64),
    /// As much as the server takes, until this many events are in.
    Fill(u64),
}

#[derive(Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Events answered with 200 in the window, repeats included.
    pub events_in_window: u64,
    /// Events answered with 200 at any time, repeats included.
    pub acknowledged: u64,
    /// What the acknowledged events amount to, each counted once.
    pub totals: Totals,
    /// Requests of the window that did not go out: the server was too far behind. They count among the times, with
    /// the time for which they had waited.
    pub not_sent: u64,
    /// From the instant at which a request was due; at saturation from when it was sent.
    pub times: Times,
    /// Some of the transaction ids.
    pub sample: Vec<String>,
}

/// What one connection saw.
#[derive(Default)]
struct Tally {
    outcome: Outcome,
    times: Vec<Duration>,
}

/// The instants between which answers count.
#[derive(Clone, Copy)]
struct Window {
    start: Instant,
    end: Instant,
}

struct Sender {
    job: Arc<Job>,
    window: Window,
    pace: Option<Pace>,
    /// Requests left to send, where there is a number.
    left: Arc<AtomicU64>,
    templates: Vec<Template>,
    random: Random,
    http: Http,
    tally: Tally,
}

pub async fn run(job: Job) -> Outcome {
    let job = Arc::new(job);
    let mut ready = Vec::new();
    let mut random = Random::new();
    for _ in 0..job.connections {
        let templates = requests(&job.source, TEMPLATES, job.batch, &job.token, &mut random);
        ready.push((templates, Http::open(&job.address).await.expect("the server listens")));
    }
    let start = Instant::now() + Duration::from_millis(20);
    let window_start = start + Duration::from_millis(job.warm_millis);
    let window = Window { start: window_start, end: window_start + Duration::from_millis(job.window_millis) };
    let pace = match job.pressure {
        Pressure::Rate(events) => {
            let batch = job.batch as u64;
            let count = (job.warm_millis + job.window_millis) * events / batch / 1000;
            Some(Pace::new(start, events / batch, count))
        }
        Pressure::Saturate | Pressure::Fill(_) => None,
    };
    let left = match job.pressure {
        Pressure::Fill(events) => events / job.batch as u64,
        Pressure::Saturate | Pressure::Rate(_) => u64::MAX,
    };
    let left = Arc::new(AtomicU64::new(left));
    let senders = ready.into_iter().map(|(templates, http)| Sender {
        job: job.clone(),
        window,
        pace: pace.clone(),
        left: left.clone(),
        templates,
        random: Random::new(),
        http,
        tally: Tally::default(),
    });
    let tasks: Vec<_> = senders.map(|sender| tokio::spawn(sender.run())).collect();
    let mut sum = Tally::default();
    for task in tasks {
        sum.add(task.await.expect("a connection that sends to its end"));
    }
    sum.outcome.times = Times::of(sum.times);
    sum.outcome
}

impl Sender {
    async fn run(mut self) -> Tally {
        let mut turn = 0;
        while let Some(due) = self.next_due().await {
            if self.pace.is_some() && Instant::now() > self.window.end + GRACE {
                if self.window.contains(due) {
                    self.tally.outcome.not_sent += 1;
                    self.tally.times.push(due.elapsed());
                }
                continue;
            }
            turn = (turn + 1) % self.templates.len();
            self.templates[turn].stamp(&self.job.source, &mut self.random);
            self.send(turn, due).await;
            self.tally.outcome.totals.add(self.templates[turn].totals);
            self.sample(turn);
            if self.random.below(1000) < self.job.resent_per_mille {
                self.send(turn, Instant::now()).await;
            }
        }
        self.tally
    }

    /// When the next request is due; nothing when there is none.
    async fn next_due(&mut self) -> Option<Instant> {
        if let Some(pace) = &self.pace {
            return pace.next().await;
        }
        let takes_one = |left: u64| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, takes_one).ok()?;
        let now = Instant::now();
        let is_open = matches!(self.job.pressure, Pressure::Fill(_)) || now < self.window.end;
        is_open.then_some(now)
    }

    async fn send(&mut self, turn: usize, due: Instant) {
        let request = &self.templates[turn].bytes;
        self.http.call(request).await.expect("the server answers").ok();
        let answered = Instant::now();
        let outcome = &mut self.tally.outcome;
        outcome.acknowledged += self.job.batch as u64;
        if self.window.contains(answered) {
            outcome.events_in_window += self.job.batch as u64;
        }
        if self.window.contains(due) {
            self.tally.times.push(answered - due);
        }
    }

    /// Remembers an id now and then.
    fn sample(&mut self, turn: usize) {
        if self.tally.outcome.sample.len() < SAMPLE_MAX / self.job.connections {
            self.tally.outcome.sample.push(self.templates[turn].transaction_id(0));
        }
    }
}

impl Window {
    fn contains(&self, instant: Instant) -> bool {
        self.start <= instant && instant < self.end
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.outcome.events_in_window += other.outcome.events_in_window;
        self.outcome.acknowledged += other.outcome.acknowledged;
        self.outcome.totals.add(other.outcome.totals);
        self.outcome.not_sent += other.outcome.not_sent;
        self.outcome.sample.extend(other.outcome.sample);
        self.times.extend(other.times);
    }
}
