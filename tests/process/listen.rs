//! The server's sockets: slow clients, large heads, settings.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{BOOTSTRAP, Database, Launch, Place, Server, answer, wait_until};

/// How long after its limit a connection may still stand, on a busy machine.
const LATE: Duration = Duration::from_secs(8);

/// A server with a limit of so many seconds on heads, and of one on requests.
fn hurried(place: &Place, database: &Database, head_seconds: &str) -> Server {
    Launch::new(place)
        .database(&database.url)
        .bootstrapped()
        .environment("UPBEAT_HEADER_TIMEOUT", head_seconds)
        .environment("UPBEAT_REQUEST_TIMEOUT", "1")
        .serve()
}

/// Waits until the server closes the connection; what it said before.
#[track_caller]
fn until_closed(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(LATE)).expect("a socket option");
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection still stands: {error}"),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn open_files(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("its files").count()
}

#[test]
fn a_client_that_does_not_finish_its_head_is_cut_and_others_are_served() {
    let (place, database) = (Place::new(), Database::new());
    let server = hurried(&place, &database, "6");
    let before = open_files(&server);
    let heads = [
        "",
        "G",
        "GET /v1/customers HTTP/1.1\r\nhost: upbeat\r\n",
        "POST /v1/ingest HTTP/1.1\r\nauthorization: Be",
    ];
    let start = Instant::now();
    let mut slow: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut stream = server.client.connect().expect("a connection");
            stream.write_all(heads[number % heads.len()].as_bytes()).expect("half a head");
            stream
        })
        .collect();
    // `before` may count a connection that ended since.
    let stand = wait_until(Duration::from_secs(5), || open_files(&server) >= slow.len());
    assert!(stand, "{} files are open", open_files(&server));
    let asked_at = Instant::now();
    server.client.get("/v1/customers").data();
    assert!(asked_at.elapsed() < Duration::from_secs(5), "others are served at once");
    for stream in &mut slow {
        let said = until_closed(stream);
        assert!(!said.contains("200 OK"), "{said}");
    }
    assert!(start.elapsed() > Duration::from_millis(5900), "a head has its time");
    assert!(wait_until(LATE, || open_files(&server) <= before + 5), "{} files are open", open_files(&server));
    server.stop();
}

#[test]
fn a_client_that_trickles_its_head_is_cut() {
    let (place, database) = (Place::new(), Database::new());
    let server = hurried(&place, &database, "1");
    let mut stream = server.client.connect().expect("a connection");
    let start = Instant::now();
    let mut head = b"GET /healthz HTTP/1.1\r\n".iter().chain(b"x-slow: 1\r\n".iter().cycle());
    while stream.write_all(&[*head.next().expect("endless")]).is_ok() {
        assert!(start.elapsed() < LATE, "it may go on for ever");
        sleep(Duration::from_millis(100));
    }
    server.client.get("/v1/customers").data();
    server.stop();
}

#[test]
fn a_client_that_does_not_finish_its_body_gets_an_answer_in_time() {
    let (place, database) = (Place::new(), Database::new());
    let server = hurried(&place, &database, "1");
    let requests = [
        ("", "/v1/customers"),
        ("idempotency-key: k\r\n", "/v1/customers"),
        ("", "/v1/ingest"),
        ("", "/sandbox/clock"),
        ("", "/v1/contracts/list"),
    ];
    let start = Instant::now();
    let slow: Vec<TcpStream> = requests
        .iter()
        .cycle()
        .take(50)
        .map(|(headers, path)| {
            let mut stream = server.client.begin(headers, path, 1000).expect("a connection");
            stream.write_all(b"{\"name\": \"").expect("half a body");
            stream
        })
        .collect();
    let asked_at = Instant::now();
    server.client.get("/v1/customers").data();
    server.client.post("/v1/customers", &json!({ "name": "whole" })).id();
    assert!(asked_at.elapsed() < Duration::from_secs(5), "others are served at once");
    for stream in slow {
        let answer = answer(stream).expect("an answer");
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text);
        assert!(answer.json()["message"].as_str().is_some_and(|text| text.contains("within 1 seconds")));
    }
    assert!(start.elapsed() < Duration::from_secs(1) + LATE, "{:?}", start.elapsed());
    assert_eq!(server.client.get("/v1/customers").data().as_array().map(Vec::len), Some(1));
    server.stop();
}

#[test]
fn a_client_that_is_still_sending_sees_its_refusal() {
    let (place, database) = (Place::new(), Database::new());
    let server = Launch::new(&place).database(&database.url).bootstrapped().serve();
    for length in [10, 4_000_000] {
        let mut stream = server.client.connect().expect("a connection");
        // Nobody reads the body of a request without a token.
        let head = format!("POST /v1/customers HTTP/1.1\r\nhost: upbeat\r\ncontent-length: {length}\r\n");
        for last in ["", "connection: close\r\n"] {
            write!(stream, "{head}{last}\r\n").expect("a head");
            sleep(Duration::from_millis(300));
            stream.write_all(&vec![b' '; length]).expect("the body is still taken");
            if last.is_empty() {
                let mut status = [0; 12];
                stream.read_exact(&mut status).expect("an answer");
                assert_eq!(&status, b"HTTP/1.1 401");
                let mut rest = [0; 4096];
                let _ = stream.read(&mut rest).expect("the rest of it");
            }
        }
        // The connection was kept for this one.
        assert_eq!(answer(stream).expect("an answer").status, 401, "{length}");
    }

    // One who never sends is answered too, and one who waits for leave to send at once.
    let stream = server.client.begin("", "/v1/nothing", 10).expect("a connection");
    assert_eq!(answer(stream).expect("an answer").status, 404);
    let asked_at = Instant::now();
    let stream = server.client.begin("expect: 100-continue\r\n", "/v1/nothing", 10).expect("a connection");
    assert_eq!(answer(stream).expect("an answer").status, 404);
    assert!(asked_at.elapsed() < Duration::from_millis(1500), "{:?}", asked_at.elapsed());
    server.stop();
}

#[test]
fn a_connection_is_kept_between_requests_and_not_for_ever() {
    let (place, database) = (Place::new(), Database::new());
    let server = hurried(&place, &database, "1");
    let mut stream = server.client.connect().expect("a connection");
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: upbeat\r\n\r\n").expect("a request");
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        let mut rest = [0; 4096];
        let _ = stream.read(&mut rest).expect("the rest of it");
        sleep(Duration::from_millis(300));
    }
    until_closed(&mut stream);
    server.stop();
}

#[test]
fn heads_of_16_kilobytes_are_read_and_endless_ones_are_not() {
    let (place, database) = (Place::new(), Database::new());
    let server = Launch::new(&place).database(&database.url).bootstrapped().serve();
    let one = format!("x-large: {}\r\n", "x".repeat(16 * 1024));
    server.client.get_with(&one, "/v1/customers").data();
    let many: Vec<String> = (0..80).map(|number| format!("x-{number}: {}\r\n", "x".repeat(200))).collect();
    server.client.get_with(&many.concat(), "/v1/customers").data();
    let query = format!("/v1/customers?unknown={}", "x".repeat(16 * 1024));
    server.client.get(&query).data();

    let mut stream = server.client.connect().expect("a connection");
    let endless = thread::spawn(move || {
        let line = format!("x: {}\r\n", "x".repeat(1000));
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\n");
        (0..10_000).take_while(|_| stream.write_all(line.as_bytes()).is_ok()).count()
    });
    assert!(endless.join().expect("no panic") < 10_000, "ten megabytes of head are taken");
    server.client.get("/v1/customers").data();
    server.stop();
}

/// The line of the audit log for a customer made with these headers.
fn line_of_a_change(server: &Server, headers: &str) -> Value {
    let body = json!({ "name": "x" }).to_string();
    let mut stream = server.client.begin(headers, "/v1/customers", body.len()).expect("a connection");
    stream.write_all(body.as_bytes()).expect("a body");
    let id = answer(stream).expect("an answer").id();
    let lines = server.client.get("/v1/auditLogs?sort=date_desc&limit=1").data();
    assert_eq!(lines[0]["resource_id"], id);
    lines[0].clone()
}

#[test]
fn the_log_has_the_address_and_only_a_trusted_proxy_may_name_another() {
    let (place, database) = (Place::new(), Database::new());
    let launch = || Launch::new(&place).database(&database.url).bootstrapped();
    let server = launch().serve();
    let line = line_of_a_change(&server, "x-forwarded-for: 203.0.113.9\r\nuser-agent: test/1\r\n");
    assert_eq!(
        (&line["request"]["ip"], &line["request"]["user_agent"]),
        (&json!("127.0.0.1"), &json!("test/1"))
    );
    server.stop();
    let server = launch().environment("UPBEAT_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8").serve();
    let line = line_of_a_change(&server, "x-forwarded-for: 198.51.100.1, 203.0.113.9, 10.0.0.7\r\n");
    assert_eq!(line["request"]["ip"], "203.0.113.9");
    server.stop();
}

#[test]
fn settings_are_read_and_empty_ones_are_none() {
    const NAMES: [&str; 4] =
        ["UPBEAT_TRUSTED_PROXIES", "UPBEAT_CORS_ORIGINS", "UPBEAT_RATE_LIMITS", "UPBEAT_SERVICES"];
    let (place, database) = (Place::new(), Database::new());
    let launch = || Launch::new(&place).database(&database.url).bootstrapped();
    let server = NAMES.iter().fold(launch(), |launch, name| launch.environment(name, "")).serve();
    assert_eq!(server.client.get("/v1/services").json()["services"][0]["ips"], json!([]));
    server.stop();

    let server = launch()
        .environment("UPBEAT_CORS_ORIGINS", "https://app.example.com")
        .environment("UPBEAT_RATE_LIMITS", "GET /v1/customers=1, POST /v1/customers/create=off")
        .environment("UPBEAT_SERVICES", "api=203.0.113.10,webhooks=203.0.113.11")
        .serve();
    let services = server.client.get("/v1/services").json();
    assert_eq!(
        services["services"][0],
        json!({ "name": "api", "usage": "accepts_connections_at", "ips": ["203.0.113.10"] })
    );
    let page = server.client.get_with("origin: https://app.example.com\r\n", "/v1/customers");
    assert_eq!((page.status, page.header("access-control-allow-origin")), (200, "https://app.example.com"));
    let second = (0..20).map(|_| server.client.get("/v1/customers")).find(|answer| answer.status == 429);
    assert_eq!(second.expect("one of them is refused").header("x-metronome-rate-limit-type"), "client");
    server.stop();
}

#[test]
fn settings_that_would_do_nothing_are_refused_at_start() {
    let (place, database) = (Place::new(), Database::new());
    let wrong = [
        ("UPBEAT_RATE_LIMITS", "POST /v1/ingst=5", "`POST /v1/ingst` is no operation"),
        ("UPBEAT_RATE_LIMITS", "POST /v1/ingest=5/customer", "is not about customers"),
        ("UPBEAT_RATE_LIMITS", "POST /v1/ingest=0", "is not a rate limit"),
        ("UPBEAT_CORS_ORIGINS", "https://app.example.com/", "is not an origin"),
        ("UPBEAT_TRUSTED_PROXIES", "proxy.example.com", "is not a network"),
        ("UPBEAT_SERVICES", "api=example.com", "is not a service and an address"),
        ("UPBEAT_REQUEST_TIMEOUT", "0", "1..=3600"),
        ("UPBEAT_HEADER_TIMEOUT", "soon", "soon"),
    ];
    for (name, value, reason) in wrong {
        let launch = Launch::new(&place).database(&database.url).environment(name, value);
        let output = launch.run(&["serve", "--listen", "127.0.0.1:0"]).failed(&[reason]);
        assert!(!output.text().contains(BOOTSTRAP));
    }
}
