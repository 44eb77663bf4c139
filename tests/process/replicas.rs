//! Several processes on one database.

use std::thread::{self, sleep};
use std::time::Duration;

use serde_json::json;

use crate::support::{
    Billing, Client, Database, Launch, PATIENCE, Place, event, execute, kept_transactions, wait_until,
};

const CONTRACTS: usize = 10;

/// Sets the sandbox's clock behind the servers' backs, so that only workers find what has become due.
fn let_time_pass(database: &Database, now: &str) {
    execute(
        &database.options(),
        &format!("UPDATE environment SET frozen_at = '{now}' WHERE kind = 'SANDBOX'"),
    );
}

fn count_finalized(client: &Client, billing: &Billing) -> usize {
    let finalized = |number| {
        let statements = billing.statements(client, number);
        statements.iter().filter(|(_, status, _)| status == "FINALIZED").count()
    };
    (0..billing.customers.len()).map(finalized).sum()
}

/// How many invoices a server's own worker finalized.
fn finalized_by(client: &Client) -> usize {
    let metrics = client.get("/metrics").text;
    let value = metrics.lines().find_map(|line| line.strip_prefix("upbeat_invoices_finalized_total "));
    value.map_or(0, |value| value.parse().expect("a count"))
}

#[test]
fn two_servers_share_tokens_and_finalize_each_statement_once() {
    let (place, database) = (Place::new(), Database::new());
    let launch = |name: &str| {
        Launch::new(&place).database(&database.url).data_dir(&place.path.join(name)).bootstrapped()
    };
    let (mut one, mut other) = (launch("one").start(&[]), launch("other").start(&[]));
    assert!(one.becomes_ready(PATIENCE), "{}", one.stderr());
    assert!(other.becomes_ready(PATIENCE), "{}", other.stderr());

    let billing = Billing::set_up(&one.client, "2026-01-15T00:00:00Z", "2026-01-01T00:00:00Z", CONTRACTS);
    let events: Vec<_> = (0..CONTRACTS)
        .map(|number| event(&format!("e{number}"), number, "2026-01-15T00:00:00Z", 7))
        .collect();
    assert_eq!(other.client.post("/v1/ingest", &json!(events)).status, 200);
    let_time_pass(&database, "2027-01-15T00:00:00Z");
    assert!(wait_until(PATIENCE, || count_finalized(&one.client, &billing) == CONTRACTS * 12));
    for number in 0..CONTRACTS {
        let statements = billing.statements(&other.client, number);
        assert_eq!(statements.len(), 13, "{statements:?}");
        assert_eq!(statements[0], ("2026-01".to_owned(), "FINALIZED".to_owned(), Billing::total(7)));
    }
    let by_each = [finalized_by(&one.client), finalized_by(&other.client)];
    assert_eq!(by_each.iter().sum::<usize>(), CONTRACTS * 12, "{by_each:?}");
    for server in [&one, &other] {
        assert!(!server.stderr().contains("ERROR"), "{}", server.stderr());
    }
    Launch::new(&place).database(&database.url).run(&["verify"]).succeeded();
    one.stop();
    other.stop();
}

#[test]
fn one_transaction_sent_to_two_servers_at_once_counts_once() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    let (one, other) = (launch.serve(), launch.serve());
    let billing = Billing::set_up(&one.client, "2026-01-15T00:00:00Z", "2026-01-01T00:00:00Z", 1);
    thread::scope(|scope| {
        for number in 0..50 {
            let client = if number % 2 == 0 { &one.client } else { &other.client };
            scope.spawn(move || {
                let body = json!([event("the one", 0, "2026-01-15T00:00:00Z", 4)]);
                assert_eq!(client.post("/v1/ingest", &body).status, 200);
            });
        }
    });
    for server in [&one, &other] {
        assert_eq!(billing.statements(&server.client, 0)[0].2, Billing::total(4));
    }
    launch.run(&["verify"]).succeeded();
    one.stop();
    other.stop();
}

#[test]
fn overlapping_batches_sent_to_two_servers_at_once_count_once() {
    const IDS: u64 = 3000;
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    let (one, other) = (launch.serve(), launch.serve());
    let billing = Billing::set_up(&one.client, "2026-01-15T00:00:00Z", "2026-01-01T00:00:00Z", 1);
    let batch = |start: u64, step: u64| -> Vec<_> {
        let ids = (0..100).map(|position| (start + position * step) % IDS);
        ids.map(|id| event(&format!("e{id}"), 0, "2026-01-15T00:00:00Z", 1 + id % 5)).collect()
    };
    thread::scope(|scope| {
        for sender in 0..8 {
            let client = if sender % 2 == 0 { &one.client } else { &other.client };
            let batch = &batch;
            // Each covers all ids, from elsewhere and in another order; none of the steps shares a factor with the
            // number of ids.
            let step = [1, 7, 11, 13][usize::try_from(sender / 2).expect("small")];
            scope.spawn(move || {
                for number in 0..IDS / 100 {
                    let body = json!(batch(sender * 371 + number * 100 * step, step));
                    assert_eq!(client.post("/v1/ingest", &body).status, 200);
                }
            });
        }
    });
    let amount: u64 = (0..IDS).map(|id| 1 + id % 5).sum();
    for server in [&one, &other] {
        assert_eq!(billing.statements(&server.client, 0)[0].2, Billing::total(amount));
    }
    let kept = kept_transactions(&database.options());
    assert_eq!(kept.len(), usize::try_from(IDS).expect("small"));
    launch.run(&["verify"]).succeeded();
    one.stop();
    other.stop();
}

#[test]
fn without_its_worker_a_server_leaves_due_work_to_a_worker_elsewhere() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    let server = launch.start(&["--no-worker"]).ready();
    let billing = Billing::set_up(&server.client, "2026-01-15T00:00:00Z", "2026-01-01T00:00:00Z", 2);
    let_time_pass(&database, "2026-04-15T00:00:00Z");
    sleep(Duration::from_secs(2));
    assert_eq!(count_finalized(&server.client, &billing), 0);

    let worker = launch.work();
    assert!(wait_until(PATIENCE, || count_finalized(&server.client, &billing) == 2 * 3));
    worker.stop();
    assert!(server.client.get("/readyz").status == 200);
    server.stop();
}

#[test]
fn a_killed_worker_holds_nothing_up() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    let server = launch.start(&["--no-worker"]).ready();
    let billing = Billing::set_up(&server.client, "2026-01-15T00:00:00Z", "2026-01-01T00:00:00Z", CONTRACTS);
    let mut worker = launch.work();
    let_time_pass(&database, "2027-01-15T00:00:00Z");
    sleep(Duration::from_millis(700));
    worker.kill();
    let worker = launch.work();
    assert!(wait_until(PATIENCE, || count_finalized(&server.client, &billing) == CONTRACTS * 12));
    launch.run(&["verify"]).succeeded();
    worker.stop();
    server.stop();
}
