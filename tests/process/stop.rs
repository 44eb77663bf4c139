//! Stopping: what is under way is finished, the exit code is 0, nothing is left.

use std::io::Write;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Billing, Database, Launch, Place, answer, wait_until};

/// Sends a signal while a request has sent half of its body and other connections are idle.
fn stops_in_order(signal: &str) {
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    let mut server = launch.serve();
    let body = json!({ "name": "sent slowly" }).to_string();
    let (first, second) = body.split_at(body.len() / 2);
    let mut request = server.client.begin_post("/v1/customers", body.len()).expect("a connection");
    request.write_all(first.as_bytes()).expect("half a body");
    let _idle = server.client.connect().expect("a connection that sends nothing");
    let mut keep_alive = server.client.connect().expect("a connection that is kept");
    keep_alive.write_all(b"GET /healthz HTTP/1.1\r\nhost: upbeat\r\n\r\n").expect("a request");
    sleep(Duration::from_millis(300));

    server.signal(signal);
    let refuses = || server.client.connect().is_err();
    assert!(wait_until(Duration::from_secs(5), refuses), "it still takes connections");
    assert!(!server.has_ended(), "it does not wait for the request under way");
    request.write_all(second.as_bytes()).expect("the other half");
    let answer = answer(request).expect("an answer");
    let customer = answer.id();

    let start = Instant::now();
    server.stops();
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "idle connections hold it up for {:?}",
        start.elapsed()
    );
    assert!(place.postgres_is_gone());

    let server = launch.serve();
    assert_eq!(server.client.get(&format!("/v1/customers/{customer}")).data()["name"], "sent slowly");
    server.stop();
}

#[test]
fn sigterm_finishes_requests_and_leaves_nothing_running() {
    stops_in_order("TERM");
}

#[test]
fn sigint_finishes_requests_and_leaves_nothing_running() {
    stops_in_order("INT");
}

/// As where the collector of the log died, or its disk is full.
#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let place = Place::new();
    let unwritable = ["bash", "-c", r#"exec "$0" "$@" 2>/dev/full"#, env!("CARGO_BIN_EXE_upbeat")];
    let server = Launch::new(&place).bootstrapped().program(unwritable).serve();
    server.client.post("/v1/customers", &json!({ "name": "unlogged" })).id();
    server.stop();
    assert!(place.postgres_is_gone());
}

#[test]
fn sigterm_lets_a_clock_move_arrive() {
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    let mut server = launch.serve();
    let client = server.client.clone();
    let billing = Billing::set_up(&client, "2026-01-15T00:00:00Z", "2026-01-01T00:00:00Z", 10);
    let mover =
        thread::spawn(move || client.post("/sandbox/clock", &json!({ "now": "2027-01-15T00:00:00Z" })));
    sleep(Duration::from_millis(200));
    server.signal("TERM");
    assert_eq!(mover.join().expect("an answer").data()["now"], "2027-01-15T00:00:00Z");
    server.stops();

    let server = launch.serve();
    for number in 0..10 {
        let statements = billing.statements(&server.client, number);
        assert_eq!(statements.iter().filter(|(_, status, _)| status == "FINALIZED").count(), 12);
    }
    server.stop();
}

#[test]
fn half_a_head_holds_a_stop_up_no_longer_than_a_head_may_take() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    let mut server = launch.environment("UPBEAT_HEADER_TIMEOUT", "2").serve();
    let mut half = server.client.connect().expect("a connection");
    half.write_all(b"GET /v1/customers HTTP/1.1\r\nhost: ").expect("half a head");
    sleep(Duration::from_millis(300));
    let start = Instant::now();
    server.signal("TERM");
    server.stops();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
