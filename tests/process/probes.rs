//! What the operator's machinery asks, also while the database is gone.

use std::fs;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    Billing, Client, Database, Launch, Line, PATIENCE, Place, Proxy, event, execute, signal, wait_until,
};

/// No answer may take longer while the database is gone.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// Status and message of requests that are sent at once; each must be answered in time.
#[track_caller]
fn answers_in_time(client: &Client, paths: &[&str]) -> Vec<(u16, String)> {
    let get = |path: &str| {
        let start = Instant::now();
        let answer = client.get(path);
        assert!(start.elapsed() < ANSWER_TIME, "GET {path} takes {:?}", start.elapsed());
        (answer.status, answer.json()["message"].as_str().unwrap_or_default().to_owned())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = paths.iter().map(|path| scope.spawn(move || get(path))).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer in time")).collect()
    })
}

/// The probes and the API while there is no database: answers, in time, that say so.
#[track_caller]
fn answers_without_its_database(client: &Client) {
    let answers = answers_in_time(client, &["/healthz", "/readyz", "/v1/customers"]);
    let unreachable = (503, "the database cannot be reached".to_owned());
    assert_eq!(
        answers,
        [(200, String::new()), (503, "the database does not answer".to_owned()), unreachable]
    );
}

#[test]
fn probes_need_no_token_and_requests_are_counted() {
    let (place, database) = (Place::new(), Database::new());
    let mut server = Launch::new(&place).database(&database.url).bootstrapped().serve();
    server.client.get("/v1/customers").data();
    server.client.token = String::new();
    assert_eq!(server.client.get("/healthz").json(), json!({ "status": "ok" }));
    assert_eq!(server.client.get("/readyz").json(), json!({ "status": "ready" }));
    assert_eq!(server.client.get("/v1/customers").status, 401);
    let metrics = server.client.get("/metrics");
    assert_eq!(metrics.status, 200);
    for (route, status) in [("/v1/customers", 200), ("/v1/customers", 401), ("/healthz", 200)] {
        let is_counted = metrics.text.lines().any(|line| {
            line.starts_with("upbeat_http_requests_total{")
                && line.contains(&format!("route=\"{route}\""))
                && line.contains(&format!("status=\"{status}\""))
        });
        assert!(is_counted, "{route} {status} is not in: {}", metrics.text);
    }
    server.stop();
}

#[test]
fn usage_that_is_billed_nowhere_is_counted_by_the_reason() {
    let (place, database) = (Place::new(), Database::new());
    let server = Launch::new(&place).database(&database.url).bootstrapped().serve();
    let billing = Billing::set_up(&server.client, "2026-01-15T00:00:00Z", "2026-01-01T00:00:00Z", 1);
    let mut unmetered = event("a", 0, "2026-01-15T00:00:00Z", 1);
    unmetered["event_type"] = json!("no metric of this name");
    let mut unclaimed = event("b", 0, "2026-01-15T00:00:00Z", 1);
    unclaimed["customer_id"] = json!("nobody");
    let billed = event("c", 0, "2026-01-15T00:00:00Z", 7);
    let list = |path: &str| server.client.post(path, &json!({})).data()[0]["id"].clone();
    let off = json!({
        "rate_card_id": list("/v1/contract-pricing/rate-cards/list"),
        "product_id": list("/v1/contract-pricing/products/list"),
        "starting_at": "2026-01-15T12:00:00Z", "entitled": false, "rate_type": "FLAT", "price": 1,
    });
    server.client.post("/v1/contract-pricing/rate-cards/addRate", &off).data();
    let not_entitled = [1, 2].map(|n| event(&format!("d{n}"), 0, "2026-01-15T12:00:00Z", n));
    let query = json!({ "name": "Events", "sql": "SELECT COUNT(*) AS value FROM events" });
    let query = server.client.post("/v1/billable-metrics/create", &query).id();
    let product = json!({ "name": "Events", "type": "USAGE", "billable_metric_id": query });
    let mut of_query = off.clone();
    of_query["product_id"] = json!(server.client.post("/v1/contract-pricing/products/create", &product).id());
    of_query["starting_at"] = json!("2026-01-01T00:00:00Z");
    server.client.post("/v1/contract-pricing/rate-cards/addRate", &of_query).data();
    let early = event("e", 0, "2025-12-31T23:00:00Z", 5);
    let events = json!([unmetered, unclaimed, billed, not_entitled[0], not_entitled[1], early]);
    assert_eq!(server.client.post("/v1/ingest", &events).status, 200);
    server.client.post("/sandbox/clock", &json!({ "now": "2026-02-03T00:00:00Z" })).data();
    assert_eq!(billing.statements(&server.client, 0)[0].2, "21");
    let metrics = server.client.get("/metrics").text;
    let mut counts: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("upbeat_usage_un") && !line.ends_with(" 0")).collect();
    counts.sort_unstable();
    let expected = [
        "upbeat_usage_unmatched_events_total{reason=\"NO_CUSTOMER\"} 1",
        "upbeat_usage_unmatched_events_total{reason=\"NO_METRIC\"} 1",
        "upbeat_usage_unrated_events_total{reason=\"NOT_ENTITLED\"} 2",
        "upbeat_usage_unrated_quantities_total{reason=\"NOT_ENTITLED\"} 1",
    ];
    assert_eq!(counts, expected);
    server.stop();
}

#[test]
fn a_killed_private_postgres_is_answered_with_503_and_the_next_start_mends_it() {
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    let server = launch.serve();
    let customer = server.client.post("/v1/customers", &json!({ "name": "kept" })).id();
    signal("KILL", &place.postmasters());
    for (status, message) in answers_in_time(&server.client, &["/readyz", "/v1/customers"]) {
        // A server that mends it at once is better than one that says so.
        assert!(status == 200 || status == 503 && message.contains("the database"), "{status}: {message}");
    }
    server.stop();
    assert!(place.postgres_is_gone());

    let server = launch.serve();
    assert_eq!(server.client.get(&format!("/v1/customers/{customer}")).data()["name"], "kept");
    server.stop();
}

fn answers_503_until_the_database_is_back(line: Line) {
    let (place, database) = (Place::new(), Database::new());
    let proxy = Proxy::to(&database.address());
    let mut server =
        Launch::new(&place).database(&database.url_through(&proxy.address)).bootstrapped().serve();
    proxy.set(line);
    sleep(Duration::from_millis(100));
    answers_without_its_database(&server.client);
    proxy.set(Line::Open);
    assert!(wait_until(PATIENCE, || server.is_ready()), "it does not find back: {}", server.stderr());
    server.client.get("/v1/customers").data();
    server.stop();
}

#[test]
fn a_database_that_refuses_connections_is_answered_with_503_until_it_is_back() {
    answers_503_until_the_database_is_back(Line::Refused);
}

#[test]
fn a_database_that_closes_connections_is_answered_with_503_until_it_is_back() {
    answers_503_until_the_database_is_back(Line::Cut);
}

#[test]
fn a_database_that_falls_silent_is_answered_with_503_until_it_is_back() {
    answers_503_until_the_database_is_back(Line::Silent);
}

#[test]
fn a_server_stops_in_good_time_while_its_database_is_gone() {
    let (place, database) = (Place::new(), Database::new());
    let proxy = Proxy::to(&database.address());
    let mut server =
        Launch::new(&place).database(&database.url_through(&proxy.address)).bootstrapped().serve();
    proxy.set(Line::Silent);
    sleep(Duration::from_secs(1));
    server.signal("TERM");
    server.stops();
}

#[test]
fn an_idle_server_is_small() {
    let (place, database) = (Place::new(), Database::new());
    let server = Launch::new(&place).database(&database.url).bootstrapped().serve();
    sleep(Duration::from_secs(2));
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("its status");
    // What it allocated; the program itself is several times larger here than a release build of it.
    let resident = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib < 30 * 1024, "{kib} KiB are resident");
    server.stop();
}

#[test]
fn statements_of_requests_that_were_given_up_do_not_keep_their_connections() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    let server = launch.environment("UPBEAT_REQUEST_TIMEOUT", "1").serve();
    let options = database.options();
    let holder = thread::spawn(move || {
        execute(&options, "BEGIN; LOCK TABLE rate_card; SELECT pg_sleep(12); COMMIT");
    });
    sleep(Duration::from_millis(500));
    // More than the server has connections.
    let list = "/v1/contract-pricing/rate-cards/list";
    thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| assert_eq!(server.client.post(list, &json!({})).status, 503));
        }
    });
    let answers = || server.client.get("/v1/customers").status == 200;
    assert!(wait_until(Duration::from_secs(5), answers), "given-up statements hold every connection");
    assert!(!holder.is_finished(), "the lock is still held");
    holder.join().expect("the session ends");
    assert_eq!(server.client.post(list, &json!({})).status, 200);
    server.stop();
}
