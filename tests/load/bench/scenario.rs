//! What is measured. In every scenario the contenders take turns in each round, so that a slow minute of the
//! machine hits all of them.

use std::slice;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::contender::{Contender, Load, Run, job, millis, source};
use crate::copy::{self, Format};
use crate::event::{SEAT, Source};
use crate::load::{self, Pressure};
use crate::postgres::Postgres;
use crate::preload::{LIVE, SEALED, preload_keys};
use crate::process::call;
use crate::rating;
use crate::read::{self, Operation, Visibility};
use crate::report::{
    AT_20K, AT_100K, Column, EMPTY, GROUPS, INVOICE, LOG_BYTES, MEMORY, POSTGRES_CPU, PRELOADED, RATING,
    RETRIES, Report, Row, SATURATION, SEARCH, SERVER_CPU, SINGLE, SUBJECTS, USAGE, VISIBLE,
};
use crate::server::{Kind, Server, TOKEN};
use crate::upbeat::{Api, groups_of, month_of, usage_of};

pub const NAMES: [&str; 11] = [
    "saturation",
    "single",
    "fixed",
    "retries",
    "preloaded",
    "subjects",
    "reads",
    "invoice",
    "rating",
    "finalize",
    "balances",
];

/// Whose events come in, where nothing else is said.
pub const CUSTOMERS: usize = 1000;

/// Of senders that send all they can, a request on each at a time. Requests wait for commits, and on a quarter of them both
/// processors rest for a tenth of the time: that is no saturation.
const CONNECTIONS: usize = 256;
/// Of senders that send at a rate.
const PACED_CONNECTIONS: usize = 64;

/// How often a second each operation is called while events come in.
pub const READS_PER_SECOND: u64 = 25;
const SEAT_EVENTS: u64 = 20_000;
pub const MONTH_SECONDS: u64 = 30 * 24 * 3600;

/// Of the contract whose draft is read, each priced in three groups.
const INVOICE_PRODUCTS: usize = 10;
const INVOICES_PER_SECOND: u64 = 200;

/// How often the large contract is priced in a round.
const RATINGS: usize = 15;

/// How long and how often.
pub struct Plan {
    pub is_quick: bool,
    pub rounds: usize,
    pub warm: Duration,
    pub window: Duration,
    pub read_window: Duration,
    /// Work that was put off has ended when nothing was written for so long.
    pub quiet_for: Duration,
    /// Events of other customers that are there before anything is read.
    pub earlier_events: u64,
    /// Events of the customer whose month is read.
    pub month_events: u64,
    /// How many of the keys of the full history are put in.
    pub history_per_mille: u64,
    /// How many of the contracts are made whose invoices become final.
    pub contracts_per_mille: usize,
}

impl Plan {
    pub fn full() -> Self {
        Self {
            is_quick: false,
            rounds: 3,
            warm: Duration::from_secs(1),
            window: Duration::from_secs(5),
            read_window: Duration::from_secs(15),
            quiet_for: Duration::from_secs(6),
            earlier_events: 0,
            month_events: 1_000_000,
            history_per_mille: 1000,
            contracts_per_mille: 1000,
        }
    }

    /// To see that everything works.
    pub fn quick() -> Self {
        Self {
            is_quick: true,
            rounds: 1,
            warm: Duration::from_millis(500),
            window: Duration::from_secs(2),
            read_window: Duration::from_secs(3),
            quiet_for: Duration::from_secs(1),
            earlier_events: 0,
            month_events: 50_000,
            history_per_mille: 10,
            contracts_per_mille: 100,
        }
    }
}

pub struct Bench {
    pub postgres: Postgres,
    pub plan: Plan,
    /// When the run began: events are dated by it.
    pub now: DateTime<Utc>,
    pub report: Report,
}

impl Bench {
    pub async fn run(&mut self, scenario: &str) {
        println!("\n{scenario}");
        let start = Instant::now();
        match scenario {
            "saturation" => self.saturation().await,
            "single" => self.single().await,
            "fixed" => self.fixed().await,
            "retries" => self.retries().await,
            "preloaded" => self.preloaded().await,
            "subjects" => self.subjects().await,
            "reads" => self.reads().await,
            "invoice" => self.invoice().await,
            "rating" => self.rating().await,
            "finalize" => self.finalize().await,
            "balances" => self.balances().await,
            _ => unreachable!("names are checked"),
        }
        println!("  {} s", start.elapsed().as_secs());
    }

    pub fn load(&self) -> Load {
        Load {
            connections: CONNECTIONS,
            batch: 100,
            pressure: Pressure::Saturate,
            warm: self.plan.warm,
            window: self.plan.window,
            resent_per_mille: 0,
            with_checkpoint: false,
            quiet_for: None,
        }
    }

    /// So many events a second.
    pub fn paced(&self, events: u64) -> Load {
        Load { connections: PACED_CONNECTIONS, pressure: Pressure::Rate(events), ..self.load() }
    }

    async fn contender(&mut self, kind: Kind, name: &str, customers: usize) -> Contender {
        Contender::new(kind, name, customers, &mut self.postgres, self.now).await
    }

    /// Both servers, each with its column.
    async fn both(&mut self, customers: usize) -> [(Column, Contender); 2] {
        [
            (Column::Upbeat, self.contender(Kind::Upbeat, "upbeat", customers).await),
            (Column::Naive, self.contender(Kind::Naive, "naive", customers).await),
        ]
    }

    async fn drop(&mut self, contenders: impl IntoIterator<Item = (Column, Contender)>) {
        for (_, contender) in contenders {
            contender.drop(&mut self.postgres).await;
        }
    }

    /// Everybody begins every round with empty tables, as COPY does.
    async fn saturation(&mut self) {
        let copies = [(Column::CopyText, Format::Text), (Column::CopyBinary, Format::Binary)];
        let database_url = self.postgres.create("bench_copy").await;
        let load = Load { quiet_for: Some(self.plan.quiet_for), ..self.load() };
        for _ in 0..self.plan.rounds {
            let mut contenders = self.both(CUSTOMERS).await;
            for (column, contender) in &mut contenders {
                let run = contender.run(&mut self.postgres, load).await;
                self.report.add(SATURATION, *column, run.events_per_second);
                self.report_cost(*column, &run);
            }
            for (column, format) in copies {
                self.copy(column, format, &database_url, contenders[0].1.source()).await;
            }
            self.drop(contenders).await;
        }
        self.postgres.drop("bench_copy").await;
    }

    fn report_cost(&mut self, column: Column, run: &Run) {
        let events = run.load.acknowledged.max(1);
        self.report.add(SERVER_CPU, column, run.server_cpu_micros * 1000 / events);
        self.report.add(POSTGRES_CPU, column, run.postgres_cpu_micros * 1000 / events);
        self.report.add(LOG_BYTES, column, run.log_bytes / events);
        self.report.add(MEMORY, column, run.peak_memory_kib);
    }

    async fn copy(&mut self, column: Column, format: Format, database_url: &str, source: Source) {
        let mut db = PgConnection::connect(database_url).await.expect("PostgreSQL answers");
        copy::create_table(&mut db).await;
        self.postgres.checkpoint().await;
        let job = copy::Job {
            database_url: database_url.to_owned(),
            format,
            warm_millis: millis(self.plan.warm),
            window_millis: millis(self.plan.window),
            source,
        };
        let before = (self.postgres.cpu_micros(), self.postgres.log_bytes().await);
        let outcome: copy::Outcome = call("copy", &job).await;
        let stored = copy::count(&mut db).await;
        assert_eq!(stored, outcome.acknowledged, "every row that was copied is there");
        let events = outcome.acknowledged.max(1);
        let cpu_micros = self.postgres.cpu_micros().saturating_sub(before.0);
        let log_bytes = self.postgres.log_bytes().await - before.1;
        let per_second = outcome.events_in_window * 1000 / millis(self.plan.window);
        self.report.add(SATURATION, column, per_second);
        self.report.add(POSTGRES_CPU, column, cpu_micros * 1000 / events);
        self.report.add(LOG_BYTES, column, log_bytes / events);
    }

    async fn single(&mut self) {
        let mut contenders = self.both(CUSTOMERS).await;
        let load = Load { batch: 1, ..self.load() };
        for _ in 0..self.plan.rounds {
            for (column, contender) in &mut contenders {
                let run = contender.run(&mut self.postgres, load).await;
                self.report.add(SINGLE, *column, run.events_per_second);
            }
        }
        self.drop(contenders).await;
    }

    async fn fixed(&mut self) {
        let mut contenders = self.both(CUSTOMERS).await;
        let loads =
            [(AT_20K, self.paced(20_000)), (AT_100K, Load { with_checkpoint: true, ..self.paced(100_000) })];
        for _ in 0..self.plan.rounds {
            for ([p50, p99, longest, answered], load) in loads {
                for (column, contender) in &mut contenders {
                    let run = contender.run(&mut self.postgres, load).await;
                    self.report.add(p50, *column, run.load.times.p50_micros);
                    self.report.add(p99, *column, run.load.times.p99_micros);
                    self.report.add(longest, *column, run.load.times.max_micros);
                    self.report.add(answered, *column, run.events_per_second);
                }
            }
        }
        self.drop(contenders).await;
    }

    async fn retries(&mut self) {
        let mut contender = self.contender(Kind::Upbeat, "upbeat", CUSTOMERS).await;
        for _ in 0..self.plan.rounds {
            for (row, resent_per_mille) in RETRIES.into_iter().zip([0, 50, 500, 1000]) {
                let load = Load { resent_per_mille, ..self.load() };
                let run = contender.run(&mut self.postgres, load).await;
                self.report.add(row, Column::Upbeat, run.events_per_second);
            }
        }
        contender.drop(&mut self.postgres).await;
    }

    async fn preloaded(&mut self) {
        let empty = self.contender(Kind::Upbeat, "empty", CUSTOMERS).await;
        let preloaded = self.contender(Kind::Upbeat, "preloaded", CUSTOMERS).await;
        let mut db = PgConnection::connect(&preloaded.database_url).await.expect("PostgreSQL answers");
        let part = |keys: u64| keys * self.plan.history_per_mille / 1000;
        preload_keys(&mut db, part(LIVE), part(SEALED), self.now).await;
        drop(db);
        let mut contenders = [(EMPTY, empty), (PRELOADED, preloaded)];
        for _ in 0..self.plan.rounds {
            for (row, contender) in &mut contenders {
                let load = self.load();
                let run = contender.run(&mut self.postgres, load).await;
                self.report.add(*row, Column::Upbeat, run.events_per_second);
            }
        }
        self.drop(contenders.map(|(_, contender)| (Column::Upbeat, contender))).await;
    }

    async fn subjects(&mut self) {
        for (row, customers) in SUBJECTS.into_iter().zip([50, 1000, 20_000]) {
            let mut contenders = self.both(customers).await;
            for _ in 0..self.plan.rounds {
                for (column, contender) in &mut contenders {
                    let load = self.load();
                    let run = contender.run(&mut self.postgres, load).await;
                    self.report.add(row, *column, run.events_per_second);
                }
            }
            self.drop(contenders).await;
        }
    }

    async fn reads(&mut self) {
        let mut contender = self.contender(Kind::Upbeat, "upbeat", CUSTOMERS).await;
        let operations = self.month(&mut contender).await;
        let visible = contender.customers[1].clone();
        let mut known = 0;
        for _ in 0..self.plan.rounds {
            let server = contender.start().await;
            server.rest().await;
            self.postgres.checkpoint().await;
            let requests = &contender.metrics.as_ref().expect("Upbeat has metrics").requests;
            let reading = read::Job {
                address: server.address.clone(),
                token: TOKEN.to_owned(),
                per_second: READS_PER_SECOND,
                warm_millis: millis(self.plan.warm),
                window_millis: millis(self.plan.read_window),
                operations: operations.iter().map(|(_, operation)| operation.clone()).collect(),
                visibility: Some(Visibility {
                    source: source(vec![visible.clone()], self.now),
                    known,
                    usage: usage_of(slice::from_ref(&visible), &[requests], self.now),
                }),
            };
            let load = Load { window: self.plan.read_window, ..self.paced(20_000) };
            let others = source(contender.customers[3..].to_vec(), self.now);
            let sending = job(&server, load, others);
            let (sent, read) = tokio::join!(
                call::<_, load::Outcome>("load", &sending),
                call::<_, read::Outcome>("read", &reading)
            );
            assert_eq!(read.misses, Vec::<String>::new(), "usage shows an event as soon as its 200 is there");
            contender.expected.add(sent.totals);
            contender.expected.add(read.totals);
            known += read.totals.requests;
            for ((row, operation), times) in operations.iter().zip(&read.times) {
                println!("  {:<20} {times}", operation.path);
                self.report.add(*row, Column::Upbeat, times.p99_micros);
            }
            println!("  {:<20} {}", "ingest and usage", read.visible);
            self.report.add(VISIBLE, Column::Upbeat, read.visible.p99_micros);
            contender.check(&server).await;
            server.stop().await;
        }
        contender.drop(&mut self.postgres).await;
    }

    /// Fills the month of the first customer and the groups of the third; answers what is read of them.
    async fn month(&mut self, contender: &mut Contender) -> [(Row, Operation); 3] {
        let server = contender.start().await;
        let mut api = Api::open(&server.address).await;
        let seats = api.seats().await;
        let [big, _, grouped] = [0, 1, 2].map(|place| contender.customers[place].clone());
        if self.plan.earlier_events > 0 {
            let others = source(contender.customers[3..].to_vec(), self.now);
            let start = Instant::now();
            let earlier = self.fill(&server, others, self.plan.earlier_events).await;
            println!("  {} events before, in {} s", self.plan.earlier_events, start.elapsed().as_secs());
            contender.expected.add(earlier.totals);
        }
        let month = Source { spread_seconds: MONTH_SECONDS, ..source(vec![big.clone()], self.now) };
        let filled = self.fill(&server, month, self.plan.month_events).await;
        contender.expected.add(filled.totals);
        let of_seats = Source {
            event_type: SEAT.to_owned(),
            models: 1000,
            spread_seconds: MONTH_SECONDS,
            ..source(vec![grouped.clone()], self.now)
        };
        let filled_seats = self.fill(&server, of_seats, SEAT_EVENTS).await;
        let usage = usage_of(slice::from_ref(&grouped), &[&seats], self.now);
        // What filling left to be done is no part of reading, and may take longer than a request is given.
        self.postgres.settle(self.plan.quiet_for).await;
        contender.in_order().await;
        // The server closes a connection that rests for as long as this takes.
        let mut api = Api::open(&server.address).await;
        let counted = &api.post("/v1/usage", &usage).await["data"][0]["value"];
        assert_eq!(counted.as_u64(), Some(filled_seats.totals.requests), "every seat is counted");
        contender.check(&server).await;
        server.stop().await;
        // A database at rest: otherwise autovacuum after the filling is measured.
        contender.vacuum().await;
        let tokens = &contender.metrics.as_ref().expect("Upbeat has metrics").tokens;
        let operation = |path: &str, bodies| Operation { path: path.to_owned(), bodies };
        let searches = filled.sample.chunks_exact(10).map(|ids| json!({ "transactionIds": ids }));
        let operations = [
            (USAGE, operation("/v1/usage", vec![usage_of(slice::from_ref(&big), &[tokens], self.now)])),
            (GROUPS, operation("/v1/usage/groups", vec![groups_of(&grouped, &seats, self.now)])),
            (SEARCH, operation("/v1/events/search", searches.collect())),
        ];
        try_out(contender, &operations, filled.totals.tokens).await;
        operations
    }

    /// Reads of a draft while events come in, those of its customer among them.
    async fn invoice(&mut self) {
        let mut contender = self.contender(Kind::Upbeat, "upbeat", CUSTOMERS).await;
        let server = contender.start().await;
        let month = Source {
            spread_seconds: MONTH_SECONDS,
            ..source(vec![contender.customers[0].clone()], self.now)
        };
        let filled = self.fill(&server, month, self.plan.month_events / 10).await;
        contender.expected.add(filled.totals);
        let tokens = &contender.metrics.as_ref().expect("Upbeat has metrics").tokens;
        let mut api = Api::open(&server.address).await;
        let card = api.card(tokens, INVOICE_PRODUCTS, month_of(self.now)).await;
        let path = api.contract(&contender.customers[0], &card, self.now).await;
        self.postgres.settle(self.plan.quiet_for).await;
        server.stop().await;
        contender.vacuum().await;
        for _ in 0..self.plan.rounds {
            let server = contender.start().await;
            let draft = Api::open(&server.address).await.get(&path).await;
            let lines = draft["data"]["line_items"].as_array().map(Vec::len);
            assert!(lines >= Some(INVOICE_PRODUCTS * 3), "each product in each of its groups: {draft}");
            self.postgres.checkpoint().await;
            let reading = read::Job {
                address: server.address.clone(),
                token: TOKEN.to_owned(),
                per_second: INVOICES_PER_SECOND,
                warm_millis: millis(self.plan.warm),
                window_millis: millis(self.plan.read_window),
                operations: vec![Operation { path: path.clone(), bodies: Vec::new() }],
                visibility: None,
            };
            let load = Load { window: self.plan.read_window, ..self.paced(5000) };
            let sending = job(&server, load, contender.source());
            let (sent, read) = tokio::join!(
                call::<_, load::Outcome>("load", &sending),
                call::<_, read::Outcome>("read", &reading)
            );
            contender.expected.add(sent.totals);
            println!("  a draft of {} lines  {}", lines.unwrap_or_default(), read.times[0]);
            self.report.add(INVOICE, Column::Upbeat, read.times[0].p99_micros);
            contender.check(&server).await;
            server.stop().await;
        }
        contender.drop(&mut self.postgres).await;
    }

    async fn rating(&mut self) {
        for _ in 0..self.plan.rounds {
            let outcome: rating::Outcome = call("rate", &rating::Job { repetitions: RATINGS }).await;
            let mut micros = outcome.micros;
            micros.sort_unstable();
            println!("  {} lines, {} to {} µs", outcome.lines, micros[0], micros[micros.len() - 1]);
            self.report.add(RATING, Column::Upbeat, micros[micros.len() / 2]);
        }
    }

    pub async fn fill(&self, server: &Server, source: Source, events: u64) -> load::Outcome {
        let load = Load { pressure: Pressure::Fill(events), ..self.load() };
        let outcome: load::Outcome = call("load", &job(server, load, source)).await;
        assert_eq!(outcome.totals.requests, events, "all events went in");
        outcome
    }
}

/// What is measured must have something to say: the usage what came in, the others as much as they can.
async fn try_out(contender: &Contender, operations: &[(Row, Operation); 3], tokens: u64) {
    let server = contender.start().await;
    let mut api = Api::open(&server.address).await;
    let [(_, of_usage), (_, of_groups), (_, of_search)] = operations;
    let answer = api.post(&of_usage.path, &of_usage.bodies[0]).await;
    assert_eq!(answer["data"][0]["value"].as_u64(), Some(tokens), "the month's tokens");
    let answer = api.post(&of_groups.path, &of_groups.bodies[0]).await;
    assert_eq!(answer["data"].as_array().map(Vec::len), Some(100), "a page of groups");
    let answer = api.post(&of_search.path, &of_search.bodies[0]).await;
    assert_eq!(answer.as_array().map(Vec::len), Some(10), "the events that are looked for");
    server.stop().await;
}
