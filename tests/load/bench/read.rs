//! `bench read`: reads at a fixed rate while another process sends events, and looks whether an event is in the
//! usage as soon as its 200 is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::event::{Random, Source, Totals, requests};
use crate::http::{Http, get, post};
use crate::pace::{Pace, Times};

/// Connections of one operation.
const CONNECTIONS: usize = 4;

#[derive(Serialize, Deserialize)]
pub struct Job {
    pub address: String,
    pub token: String,
    /// Of each operation.
    pub per_second: u64,
    pub warm_millis: u64,
    pub window_millis: u64,
    pub operations: Vec<Operation>,
    /// Looked for where it is set.
    pub visibility: Option<Visibility>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Operation {
    pub path: String,
    /// Sent in turn; none where there is nothing to send.
    pub bodies: Vec<Value>,
}

/// Events of one customer, and the question how many there are.
#[derive(Clone, Serialize, Deserialize)]
pub struct Visibility {
    /// Of one customer, who gets events from nobody else.
    pub source: Source,
    /// Those that are there already.
    pub known: u64,
    /// `POST /v1/usage` for the customer and the metric that counts.
    pub usage: Value,
}

#[derive(Default, Serialize, Deserialize)]
pub struct Outcome {
    /// In the order of the job.
    pub times: Vec<Times>,
    /// What the events that were sent amount to.
    pub totals: Totals,
    /// From the sending of an event to the usage that shows it.
    pub visible: Times,
    /// Every answer that did not show the event.
    pub misses: Vec<String>,
}

pub async fn run(job: Job) -> Outcome {
    let job = Arc::new(job);
    let start = Instant::now() + Duration::from_millis(20);
    let window = start + Duration::from_millis(job.warm_millis);
    let mut readers = Vec::new();
    // In turns: at one instant they would wait for one another, which callers who know nothing of each other seldom do.
    let streams = u32::try_from(job.operations.len() + 1).expect("a few");
    let turn = Duration::from_secs(1) / u32::try_from(job.per_second).expect("a small number") / streams;
    for (operation, number) in job.operations.iter().zip(1..) {
        let count = (job.warm_millis + job.window_millis) * job.per_second / 1000;
        let pace = Pace::new(start + turn * number, job.per_second, count);
        let mut of_operation = Vec::new();
        for turn in 0..CONNECTIONS {
            of_operation.push(reader(&job, operation, turn, window, pace.clone()).await);
        }
        readers.push(of_operation);
    }
    let mut outcome = Outcome::default();
    if let Some(visibility) = &job.visibility {
        look(&job, visibility, start, window, &mut outcome).await;
    }
    for of_operation in readers {
        let mut times = Vec::new();
        for reader in of_operation {
            times.extend(reader.await.expect("a connection that reads to its end"));
        }
        outcome.times.push(Times::of(times));
    }
    outcome
}

/// One of the connections that read.
async fn reader(
    job: &Job,
    operation: &Operation,
    mut turn: usize,
    window: Instant,
    pace: Pace,
) -> JoinHandle<Vec<Duration>> {
    let mut requests: Vec<Vec<u8>> =
        operation.bodies.iter().map(|body| post(&operation.path, &job.token, body)).collect();
    if requests.is_empty() {
        requests.push(get(&operation.path, Some(&job.token)));
    }
    let mut http = Http::open(&job.address).await.expect("the server listens");
    tokio::spawn(async move {
        let mut times = Vec::new();
        while let Some(due) = pace.next().await {
            turn += CONNECTIONS;
            http.call(&requests[turn % requests.len()]).await.expect("the server answers").ok();
            if due >= window {
                times.push(due.elapsed());
            }
        }
        times
    })
}

/// Sends an event and asks for the usage at once, over and over.
async fn look(job: &Job, visibility: &Visibility, start: Instant, window: Instant, outcome: &mut Outcome) {
    let Visibility { source, known, usage } = visibility;
    let mut random = Random::new();
    let mut event = requests(source, 1, 1, &job.token, &mut random).remove(0);
    let usage = post("/v1/usage", &job.token, usage);
    let mut http = Http::open(&job.address).await.expect("the server listens");
    let count = (job.warm_millis + job.window_millis) * job.per_second / 1000;
    let pace = Pace::new(start, job.per_second, count);
    let mut times = Vec::new();
    while let Some(due) = pace.next().await {
        event.stamp(source, &mut random);
        let sent = Instant::now();
        http.call(&event.bytes).await.expect("the server answers").ok();
        outcome.totals.add(event.totals);
        let answer = http.call(&usage).await.expect("the server answers").json();
        if due >= window {
            times.push(sent.elapsed());
        }
        let expected = known + outcome.totals.requests;
        let value = &answer["data"][0]["value"];
        if value.as_u64() != Some(expected) {
            outcome.misses.push(format!("{value} events in the usage, {expected} answered with 200"));
        }
    }
    outcome.visible = Times::of(times);
}
