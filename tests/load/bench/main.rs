//! How fast events come in and usage is read, against two others on the same machine in the same run; how fast invoices
//! become final, and balances are read.
//!
//! ```text
//! make bench                                 # everything, and the table in README.md
//! BENCH_QUICK=1 make bench                   # a look: one short round, no table
//! BENCH_ONLY=saturation,reads make bench     # these scenarios, no table
//! BENCH_PRELOAD=1 make bench                 # also on top of 75 million transaction ids
//! BENCH_EVENTS=100000000 BENCH_ONLY=reads make bench   # reads after so many events of others, no table
//! ```
//!
//! One of the others is a server that does an INSERT for every request (`naive`), the other is what PostgreSQL can do
//! at all: the same rows by COPY into a table without an index (`copy`). Every server and every sender is a process of
//! its own; PostgreSQL is one that keeps what it commits. In the end every event that was answered with 200 must be in
//! the usage exactly once; then the floors are held against what was measured.

mod balances;
mod contender;
mod copy;
mod event;
mod finalize;
mod http;
mod load;
mod machine;
mod naive;
mod pace;
mod postgres;
mod preload;
mod process;
mod rating;
mod read;
mod report;
mod scenario;
mod server;
mod upbeat;

use std::env;
use std::process::ExitCode;

use ::upbeat::time::{Clock, SystemClock};

use crate::machine::Machine;
use crate::postgres::Postgres;
use crate::report::Report;
use crate::scenario::{Bench, NAMES, Plan};
use crate::server::TOKEN;

/// As in the server.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => return measure().await,
        ["settings"] => print!("{}", postgres::settings()),
        ["naive", address] => {
            let database_url = env::var("DATABASE_URL").expect("DATABASE_URL");
            naive::serve(address, &database_url, TOKEN).await;
        }
        ["load"] => process::finish(&load::run(process::job()).await),
        ["copy"] => process::finish(&copy::run(process::job()).await),
        ["rate"] => process::finish(&rating::run(&process::job())),
        ["read"] => process::finish(&read::run(process::job()).await),
        other => panic!("not a part of the measurement: {other:?}"),
    }
    ExitCode::SUCCESS
}

async fn measure() -> ExitCode {
    let is_set = |name| env::var(name).is_ok_and(|value| !value.is_empty() && value != "0");
    let mut plan = if is_set("BENCH_QUICK") { Plan::quick() } else { Plan::full() };
    if let Ok(events) = env::var("BENCH_EVENTS") {
        plan.earlier_events = events.parse().expect("BENCH_EVENTS is a number of events");
    }
    let only = env::var("BENCH_ONLY").ok().filter(|names| !names.is_empty());
    let mut scenarios: Vec<&str> = match &only {
        Some(names) => names.split(',').map(str::trim).collect(),
        None => NAMES.to_vec(),
    };
    let is_written = only.is_none() && !plan.is_quick && plan.earlier_events == 0;
    for name in &scenarios {
        assert!(NAMES.contains(name), "there is no scenario `{name}`, but {}", NAMES.join(", "));
    }
    if !is_set("BENCH_PRELOAD") {
        scenarios.retain(|name| *name != "preloaded");
        println!("preloaded is left out: it takes BENCH_PRELOAD=1, time and disk");
    }

    let url = env::var("UPBEAT_TEST_DATABASE_URL").expect("`make bench` starts a PostgreSQL and names it");
    let mut postgres = Postgres::connect(&url).await;
    let now = SystemClock.now();
    let directory = postgres.data_directory().await;
    let machine = Machine::new(postgres.version().await, &directory, now.date_naive());
    assert_ne!(machine.file_system, "tmpfs", "{directory} is memory: what is written there is not kept");
    println!(
        "events of {} bytes, {}",
        event::json_length(now),
        if plan.is_quick { "a quick look" } else { "in full" }
    );
    let mut bench = Bench { postgres, plan, now, report: Report::default() };
    for scenario in scenarios {
        bench.run(scenario).await;
    }

    let (verdicts, is_good) = bench.report.verdicts();
    println!("\n{}\n{verdicts}", bench.report.table());
    if is_written {
        bench.report.write(&machine, bench.plan.rounds);
        println!("The tables are in README.md.");
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
