//! Killed at any moment: what was acknowledged is there, nothing is there twice, and the same invoices follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::thread::{self, sleep};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Billing, Client, Launch, PATIENCE, Place, Seeded, at, event, execute, kept_transactions, signal,
    wait_until,
};

const NOW: &str = "2026-03-09T15:00:00Z";
const SENDERS: usize = 8;
/// As many as a request may have, so that some flushes are large and leave their usage to be counted later.
const BATCH: u64 = 100;

/// How often a server is killed under load; `UPBEAT_CRASH_ROUNDS` asks for more.
fn rounds() -> u64 {
    std::env::var("UPBEAT_CRASH_ROUNDS").map_or(3, |count| count.parse().expect("a number of rounds"))
}

/// What the moments of the kills follow from; `UPBEAT_CRASH_SEED` gives other moments than those of every run.
fn seed() -> u64 {
    std::env::var("UPBEAT_CRASH_SEED").map_or(0, |seed| seed.parse().expect("a seed"))
}

/// A batch of events as it was sent, and whether 200 came back.
struct Sent {
    batch: Vec<Value>,
    is_acknowledged: bool,
}

impl Sent {
    fn ids(&self) -> Vec<String> {
        self.batch.iter().map(|event| event["transaction_id"].as_str().expect("an id").to_owned()).collect()
    }

    fn amount(&self) -> u64 {
        self.batch.iter().filter_map(|event| event["properties"]["amount"].as_u64()).sum()
    }
}

/// Sends batch after batch until one gets no answer.
fn send_until_it_dies(client: &Client, round: u64, sender: usize, sent: &Mutex<Vec<Sent>>) {
    for number in 0.. {
        let event = |position: u64| {
            let id = format!("{round}-{sender}-{number}-{position}");
            event(&id, sender, NOW, 1 + (number + position) % 7)
        };
        let batch: Vec<Value> = (0..BATCH).map(event).collect();
        let outcome = client.try_post("/v1/ingest", &json!(batch));
        let is_acknowledged = outcome.as_ref().is_ok_and(|answer| answer.status == 200);
        sent.lock().expect("no sender panics").push(Sent { batch, is_acknowledged });
        match outcome {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => {
                assert!([500, 503].contains(&answer.status), "{answer:?}");
                sleep(Duration::from_millis(20));
            }
            Err(_) => return,
        }
    }
}

/// The draft totals of all customers, in the amount that they bill.
fn drafts(client: &Client, billing: &Billing) -> Vec<String> {
    let draft = |number| {
        let statements = billing.statements(client, number);
        assert_eq!(statements.len(), 1, "{statements:?}");
        statements[0].2.clone()
    };
    (0..billing.customers.len()).map(draft).collect()
}

/// What the customers' drafts must come to for these batches.
fn expected_drafts<'a>(batches: impl Iterator<Item = &'a Sent>) -> Vec<String> {
    let mut amounts = [0; SENDERS];
    for sent in batches {
        let sender: usize =
            sent.ids()[0].split('-').nth(1).and_then(|text| text.parse().ok()).expect("a sender");
        amounts[sender] += sent.amount();
    }
    amounts.map(Billing::total).to_vec()
}

/// Kills the server (with `kill`) under load, again and again, and checks what was counted after each time.
fn loses_and_repeats_nothing(seed: u64, kill: impl Fn(&Place, &mut crate::support::Server)) {
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    let mut seeded = Seeded::new(seed + 1000 * self::seed());
    let mut server = launch.serve();
    let billing = Billing::set_up(&server.client, NOW, "2026-03-01T00:00:00Z", SENDERS);
    let sent = Mutex::new(Vec::new());
    for round in 0..rounds() {
        let before = sent.lock().expect("no sender panicked").len();
        thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (client, sent) = (server.client.clone(), &sent);
                scope.spawn(move || send_until_it_dies(&client, round, sender, sent));
            }
            sleep(Duration::from_millis(seeded.between(400, 1200)));
            kill(&place, &mut server);
        });
        server = launch.serve();

        let kept = kept_transactions(&place.options());
        let kept_once: BTreeSet<&str> = kept.iter().map(String::as_str).collect();
        assert_eq!(kept.len(), kept_once.len(), "an event is kept twice");
        let mut sent = sent.lock().expect("no sender panicked");
        let acknowledged = sent[before..].iter().filter(|sent| sent.is_acknowledged).count();
        assert!(acknowledged > 5, "nothing was under way");
        for batch in sent.iter() {
            let ids = batch.ids();
            let count = ids.iter().filter(|id| kept_once.contains(id.as_str())).count();
            assert!(count == ids.len() || count == 0, "half a batch is kept: {ids:?}");
            assert!(count > 0 || !batch.is_acknowledged, "an acknowledged batch is lost: {ids:?}");
        }
        let is_kept = |batch: &&Sent| kept_once.contains(batch.ids()[0].as_str());
        let expected = expected_drafts(sent.iter().filter(is_kept));
        assert_eq!(drafts(&server.client, &billing), expected, "events and usage disagree");

        // Everything again, as a client does that does not know what arrived.
        for _ in 0..2 {
            thread::scope(|scope| {
                for batches in sent[before..].chunks((sent.len() - before).div_ceil(SENDERS)) {
                    let client = &server.client;
                    scope.spawn(move || {
                        for batch in batches {
                            assert_eq!(client.post("/v1/ingest", &json!(batch.batch)).status, 200);
                        }
                    });
                }
            });
            assert_eq!(drafts(&server.client, &billing), expected_drafts(sent.iter()));
        }
        for batch in sent.iter_mut() {
            batch.is_acknowledged = true;
        }
    }
    launch.run(&["verify"]).succeeded();
    server.stop();
    assert!(place.postgres_is_gone(), "the PostgreSQL that was taken over is left running");
}

#[test]
fn a_server_killed_during_ingest_loses_and_repeats_nothing() {
    loses_and_repeats_nothing(11, |_, server| server.kill());
}

#[test]
fn a_server_and_its_postgres_killed_during_ingest_lose_and_repeat_nothing() {
    loses_and_repeats_nothing(12, |place, server| {
        signal("KILL", &place.postmasters());
        server.kill();
    });
}

#[test]
fn a_server_that_loses_its_postgres_during_ingest_loses_and_repeats_nothing() {
    loses_and_repeats_nothing(14, |place, server| {
        signal("KILL", &place.postmasters());
        // It answers 503 meanwhile, and its senders go on.
        sleep(Duration::from_millis(300));
        server.kill();
    });
}

#[test]
fn killed_during_finalization_each_statement_is_finalized_once() {
    const CONTRACTS: usize = 30;
    const TARGET: &str = "2027-01-03T00:00:00Z";
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    let mut seeded = Seeded::new(13);
    let mut server = launch.serve();
    let billing = Billing::set_up(&server.client, "2026-01-15T00:00:00Z", "2026-01-01T00:00:00Z", CONTRACTS);
    let mut amounts: Vec<BTreeMap<String, u64>> = vec![BTreeMap::new(); CONTRACTS];
    let mut use_some = |client: &Client, round: usize, now: &str| {
        let events: Vec<Value> = (0..CONTRACTS)
            .map(|number| {
                let amount = u64::try_from(number + 10 * round + 1).expect("small");
                *amounts[number].entry(now[..7].to_owned()).or_default() += amount;
                event(&format!("{round}-{number}"), number, now, amount)
            })
            .collect();
        assert_eq!(client.post("/v1/ingest", &json!(events)).status, 200);
    };
    use_some(&server.client, 0, "2026-01-15T00:00:00Z");

    let mut before = at("2026-01-15T00:00:00Z");
    let mut interrupted = 0;
    for (round, latest) in [(1, 150), (2, 400), (3, 700), (4, 400), (5, 1000)] {
        let client = server.client.clone();
        let mover = thread::spawn(move || {
            client
                .try_post("/sandbox/clock", &json!({ "now": TARGET }))
                .is_ok_and(|answer| answer.status == 200)
        });
        sleep(Duration::from_millis(seeded.between(20, latest)));
        server.kill();
        interrupted += usize::from(!mover.join().expect("the mover does not panic"));
        server = launch.serve();

        let clock = server.client.get("/sandbox/clock").data();
        let now = clock["now"].as_str().expect("an instant").to_owned();
        assert_eq!(clock["frozen"], true);
        assert!(before <= at(&now) && at(&now) <= at(TARGET), "the clock went from {before} to {now}");
        before = at(&now);
        // At the instant where the clock stands the worker may still be busy; of everything before it nothing
        // is due.
        let is_due = |invoice: &Value| {
            let end = at(invoice["end_timestamp"].as_str().expect("an instant"));
            end + chrono::TimeDelta::hours(24) <= at(&now)
        };
        let agrees = |number| {
            let invoices = billing.invoices(&server.client, number);
            invoices.iter().all(|invoice| (invoice["status"] == "FINALIZED") == is_due(invoice))
        };
        for number in 0..CONTRACTS {
            assert!(wait_until(PATIENCE, || agrees(number)), "invoices do not agree with the clock at {now}");
        }
        use_some(&server.client, round, &now);
    }
    assert!(interrupted > 0, "no kill came in time");

    server.client.post("/sandbox/clock", &json!({ "now": TARGET })).data();
    for (number, amounts) in amounts.iter().enumerate() {
        let statement = |month: u32| {
            let month = format!("2026-{month:02}");
            let total = Billing::total(amounts.get(&month).copied().unwrap_or_default());
            (month, "FINALIZED".to_owned(), total)
        };
        let mut expected: Vec<_> = (1..=12).map(statement).collect();
        let total = Billing::total(amounts.get("2027-01").copied().unwrap_or_default());
        expected.push(("2027-01".to_owned(), "DRAFT".to_owned(), total));
        assert_eq!(billing.statements(&server.client, number), expected);
    }
    assert_eq!(server.client.get("/sandbox/clock").data()["now"], TARGET);
    launch.run(&["verify"]).succeeded();
    server.stop();
}

/// A credit for the first half of the year and a commit that is made anew every month: whatever dies on the way, every deduction
/// is there once, and what expired is what they left.
#[test]
fn killed_during_finalization_each_ledger_is_drawn_once() {
    const USERS: usize = 12;
    const MONTHS: u32 = 9;
    const CREDIT: u64 = 100_000;
    const USD: &str = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    let mut seeded = Seeded::new(15 + 1000 * seed());
    let mut server = launch.serve();
    let billing = Billing::set_up(&server.client, "2026-01-15T00:00:00Z", "2026-01-01T00:00:00Z", USERS);
    let fee = json!({ "name": "Fee", "type": "FIXED" });
    let fee = server.client.post("/v1/contract-pricing/products/create", &fee).id();
    for customer in &billing.customers {
        let credit = json!({
            "customer_id": customer, "product_id": fee, "name": "Credit", "priority": 2,
            "access_schedule": { "schedule_items": [{
                "amount": CREDIT, "starting_at": "2026-01-01T00:00:00Z", "ending_before": "2026-07-01T00:00:00Z",
            }] },
        });
        server.client.post("/v1/contracts/customerCredits/create", &credit).id();
        let money = |amount: u64| json!({ "unit_price": amount, "quantity": 1, "credit_type_id": USD });
        let grants = json!({
            "customer_id": customer, "starting_at": "2026-01-01T00:00:00Z",
            "recurring_commits": [{
                "product_id": fee, "priority": 1, "starting_at": "2026-01-01T00:00:00Z", "access_amount": money(500),
                "invoice_amount": money(400), "commit_duration": { "value": 1 },
            }],
        });
        server.client.post("/v1/contracts/create", &grants).id();
    }
    for month in 1..=MONTHS {
        let now = format!("2026-{month:02}-15T00:00:00Z");
        for _ in 0..2 {
            let (client, target) = (server.client.clone(), now.clone());
            let mover =
                thread::spawn(move || client.try_post("/sandbox/clock", &json!({ "now": target })).is_ok());
            sleep(Duration::from_millis(seeded.between(5, 250)));
            server.kill();
            mover.join().expect("the mover does not panic");
            server = launch.serve();
        }
        server.client.post("/sandbox/clock", &json!({ "now": now })).data();
        let events: Vec<Value> =
            (0..USERS).map(|number| event(&format!("{month}-{number}"), number, &now, 7)).collect();
        assert_eq!(server.client.post("/v1/ingest", &json!(events)).status, 200);
    }
    server.client.post("/sandbox/clock", &json!({ "now": "2026-11-03T00:00:00Z" })).data();
    for customer in &billing.customers {
        let request = json!({
            "customer_id": customer, "include_contract_balances": true, "include_ledgers": true,
        });
        let balances = server.client.post("/v1/contracts/customerBalances/list", &request).data();
        for balance in balances.as_array().expect("a list") {
            let ledger = balance["ledger"].as_array().expect("a ledger");
            let amounts = ledger.iter().map(|entry| entry["amount"].as_i64().expect("whole cents"));
            let access = &balance["access_schedule"]["schedule_items"][0];
            let is_over = at(access["ending_before"].as_str().expect("an end")) <= at("2026-11-03T00:00:00Z");
            assert!(!is_over || amounts.sum::<i64>() == 0, "{balance}");
            let deductions: BTreeSet<&str> =
                ledger.iter().filter_map(|entry| entry["invoice_id"].as_str()).collect();
            let drawn = ledger.iter().filter(|entry| entry["invoice_id"].is_string()).count();
            assert_eq!(deductions.len(), drawn, "an invoice draws twice: {balance}");
            if balance["name"] == "Credit" {
                assert_eq!(drawn, 6, "{balance}");
            }
        }
    }
    launch.run(&["verify"]).succeeded();
    server.stop();
}

/// A backend that is cut off in the middle of a statement of a client that is gone holds nothing up.
#[test]
fn a_lock_of_a_killed_server_does_not_outlive_it() {
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    let mut server = launch.serve();
    let billing = Billing::set_up(&server.client, NOW, "2026-03-01T00:00:00Z", 1);
    // A request that waits for the row of the customer's usage, held by another session, when the server dies.
    let options = place.options();
    let holder =
        thread::spawn(move || execute(&options, "BEGIN; LOCK TABLE event_batch; SELECT pg_sleep(3); COMMIT"));
    sleep(Duration::from_millis(500));
    let client = server.client.clone();
    let waiter =
        thread::spawn(move || client.try_post("/v1/ingest", &json!([event("held", 0, NOW, 5)])).is_ok());
    sleep(Duration::from_millis(500));
    server.kill();
    assert!(!waiter.join().expect("it does not panic"), "an acknowledgement that nothing stands behind");
    holder.join().expect("the session ends");
    let server = launch.serve();
    for _ in 0..2 {
        assert_eq!(server.client.post("/v1/ingest", &json!([event("held", 0, NOW, 5)])).status, 200);
    }
    assert_eq!(drafts(&server.client, &billing), [Billing::total(5)]);
    server.stop();
}
