//! Tokens: how they come to be known, and how they never get known.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::support::{BOOTSTRAP, Client, Database, Launch, Place, texts};

/// The id of the token with this name, from the list.
#[track_caller]
fn listed(launch: &Launch, name: &str) -> (String, String) {
    let output = launch.run(&["token", "list"]).succeeded();
    let line = output.stdout.lines().find(|line| line.contains(name));
    let line = line.unwrap_or_else(|| panic!("{name} is not in: {}", output.stdout)).to_owned();
    (line.split_whitespace().next().unwrap_or_default().to_owned(), line)
}

#[test]
fn tokens_come_and_go_beside_a_running_private_server() {
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    let server = launch.serve();

    let output =
        launch.run(&["token", "create", "--environment", "sandbox", "--name", "from the shell"]).succeeded();
    let secret = output.stdout.trim_end().to_owned();
    assert!(
        secret.len() >= 32 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "not only the secret: {output:?}"
    );
    assert!(!output.stderr.contains(&secret));
    let client = Client { token: secret.clone(), ..server.client.clone() };
    assert_eq!(client.get("/sandbox/clock").status, 200);

    let (id, line) = listed(&launch, "from the shell");
    assert!(line.contains("sandbox  admin") && line.ends_with("in use"), "{line}");
    let list = launch.run(&["token", "list"]).succeeded().text();
    assert!(!list.contains(&secret) && !list.contains(BOOTSTRAP), "{list}");

    launch.run(&["token", "archive", &id]).succeeded();
    assert_eq!(client.get("/sandbox/clock").status, 401);
    assert!(listed(&launch, "from the shell").1.contains("archived"));
    launch.run(&["token", "archive", &id]).failed(&[&id]);
    assert_eq!(server.client.get("/readyz").status, 200, "a command took the database along");
    server.stop();
}

#[test]
fn a_token_is_of_its_environment_and_role() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    let server = launch.serve();
    let create = |more: &[&str]| {
        let token =
            launch.run(&[&["token", "create", "--name", "a token"], more].concat()).succeeded().stdout;
        Client { token: token.trim().to_owned(), ..server.client.clone() }
    };
    let customer = json!({ "name": "new" });
    let reader = create(&["--environment", "sandbox", "--role", "reader"]);
    assert_eq!(
        (reader.get("/v1/customers").status, reader.post("/v1/customers", &customer).status),
        (200, 403)
    );
    let writer = create(&["--environment", "sandbox", "--role", "writer"]);
    let id = writer.post("/v1/customers", &customer).id();
    let production = create(&["--environment", "production"]);
    assert_eq!(production.get("/sandbox/clock").status, 403);
    assert_eq!(production.get(&format!("/v1/customers/{id}")).status, 404);
    server.stop();
}

#[test]
fn what_cannot_be_a_token_is_refused() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url);
    let create = |environment, name, role| {
        launch.run(&["token", "create", "--environment", environment, "--name", name, "--role", role])
    };
    create("staging", "x", "admin").failed(&["staging", "sandbox", "production"]);
    create("sandbox", "x", "owner").failed(&["owner", "admin", "writer", "reader"]);
    create("sandbox", " ", "admin").failed(&["--name must not be empty"]);
    launch.run(&["token", "archive", "not-an-id"]).failed(&["not-an-id"]);
    assert_eq!(launch.run(&["token", "list"]).succeeded().stdout, "");
}

#[test]
fn the_bootstrap_token_is_made_once() {
    let place = Place::new();
    let launch = Launch::new(&place).bootstrapped();
    for _ in 0..2 {
        let server = launch.serve();
        assert_eq!(server.client.get("/sandbox/clock").status, 200);
        assert!(!server.stdout().contains(BOOTSTRAP) && !server.stderr().contains(BOOTSTRAP));
        assert_eq!(texts(&place.options(), "SELECT name FROM access_token"), ["bootstrap"]);
        server.stop();
    }
    assert!(!place.data().join("sandbox-token").exists());
}

#[test]
fn a_bootstrap_token_that_is_too_short_is_refused_and_nothing_is_left_running() {
    let place = Place::new();
    let launch = Launch::new(&place).environment("UPBEAT_BOOTSTRAP_TOKEN", "short");
    launch.run(&["serve", "--listen", "127.0.0.1:0"]).failed(&["UPBEAT_BOOTSTRAP_TOKEN must have at least"]);
    assert!(place.postgres_is_gone(), "PostgreSQL is left running");
}

#[test]
fn a_first_token_that_cannot_be_saved_is_not_lost() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url);
    // The data directory is a file: nothing can be saved there.
    fs::write(place.data(), "").expect("a file in the way");
    launch.run(&["serve", "--listen", "127.0.0.1:0"]).failed(&["cannot write", "sandbox-token"]);
    fs::remove_file(place.data()).expect("the file goes away");
    let mut server = launch.serve();
    let secret = fs::read_to_string(place.data().join("sandbox-token")).unwrap_or_default();
    server.client.token = secret.trim().to_owned();
    assert_eq!(server.client.get("/sandbox/clock").status, 200, "{}", server.stdout());
    server.stop();
}

#[test]
fn secrets_never_reach_the_log() {
    let (place, database) = (Place::new(), Database::new());
    let password = "pass-word-that-stays-secret";
    let launch = Launch::new(&place)
        .database(&database.url_with_password(password))
        .environment("UPBEAT_LOG", "trace");
    let mut server = launch.serve();
    let secret =
        fs::read_to_string(place.data().join("sandbox-token")).expect("the first token").trim().to_owned();
    let wrong = Client { token: "a-wrong-token-that-stays-secret".to_owned(), ..server.client.clone() };
    assert_eq!(wrong.get("/v1/customers").status, 401);
    server.client.token.clone_from(&secret);
    assert_eq!(server.client.post("/v1/customers", &json!({ "name": "new" })).status, 200);
    assert_eq!(server.client.post("/v1/customers", &json!({ "name": 7 })).status, 400);
    assert_eq!(server.client.get("/sandbox/clock").status, 200);
    let pid = server.pid();
    server.signal("TERM");
    server.stops();

    let (stdout, stderr) = (server.stdout(), server.stderr());
    assert!(stderr.contains("/v1/customers") && stderr.contains("DEBUG"), "{pid} logs nothing: {stderr}");
    assert_eq!(stdout.matches(&secret).count(), 1, "the first token is printed once");
    for hidden in [&secret, &wrong.token] {
        assert!(!stderr.contains(hidden.as_str()), "a token is in the log");
    }
    assert!(
        !stderr.contains(password) && !stdout.contains(password),
        "the database's password is in the log"
    );
}

/// A token of the sandbox with more options, and a client that uses it.
fn create(launch: &Launch, client: &Client, name: &str, more: &[&str]) -> Client {
    let base = ["token", "create", "--environment", "sandbox", "--name", name];
    let secret = launch.run(&[&base, more].concat()).succeeded().stdout;
    Client { token: secret.trim().to_owned(), ..client.clone() }
}

#[test]
fn a_token_may_be_bound_to_operations_networks_and_an_end() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    let (one, other) = (launch.serve(), launch.serve());
    let of_both = |token: &Client, path: &str| {
        let there = Client { address: other.client.address.clone(), ..token.clone() };
        [token.get(path).status, there.get(path).status]
    };
    let create = |name: &str, more: &[&str]| create(&launch, &one.client, name, more);

    create("spelled", &["--endpoint", "POST /v1/customers/create", "--endpoint", "/v1/payments/*"]);
    let bound =
        create("operations", &["--endpoint", "GET /v1/customers", "--endpoint", "/v1/billable-metrics*"]);
    assert_eq!(of_both(&bound, "/v1/customers"), [200, 200]);
    assert_eq!(of_both(&bound, "/v1/billable-metrics"), [200, 200]);
    assert_eq!(bound.post("/v1/customers", &json!({ "name": "x" })).status, 403);
    assert_eq!(of_both(&bound, "/sandbox/clock"), [403, 403]);

    let here = create("here", &["--network", "127.0.0.1", "--network", "203.0.113.0/24", "--role", "writer"]);
    assert_eq!(of_both(&here, "/v1/customers"), [200, 200]);
    here.post("/v1/customers", &json!({ "name": "x" })).id();
    let elsewhere = create("elsewhere", &["--network", "203.0.113.0/24"]);
    assert_eq!(of_both(&elsewhere, "/v1/customers"), [403, 403]);
    let claimed = elsewhere.get_with("x-forwarded-for: 203.0.113.9\r\n", "/v1/customers");
    assert_eq!(claimed.status, 403);

    let seconds = |count: i64| {
        let epoch = texts(&database.options(), "SELECT extract(epoch FROM now())::bigint::text");
        let epoch: i64 = epoch[0].parse().expect("seconds");
        chrono::DateTime::from_timestamp(epoch + count, 0).expect("an instant").to_rfc3339()
    };
    let short = create("short", &["--expires-at", &seconds(4), "--role", "reader"]);
    assert_eq!(of_both(&short, "/v1/customers"), [200, 200]);
    assert!(listed(&launch, "short").1.contains("in use until "));
    sleep(Duration::from_secs(5));
    assert_eq!(of_both(&short, "/v1/customers"), [401, 401]);
    assert!(short.get("/v1/customers").text.contains("expired"));

    let (_, line) = listed(&launch, "operations");
    assert!(line.ends_with("in use  only for GET /v1/customers, /v1/billable-metrics*"), "{line}");
    assert!(listed(&launch, "here").1.ends_with("only from 127.0.0.1/32, 203.0.113.0/24"));
    assert!(listed(&launch, "short").1.contains("reader") && listed(&launch, "short").1.contains("expired "));
    let list = launch.run(&["token", "list"]).succeeded().text();
    for token in [&bound, &here, &elsewhere, &short] {
        assert!(!list.contains(&token.token) && list.contains(&token.token[..6]), "{list}");
    }

    let (id, _) = listed(&launch, "here");
    launch.run(&["token", "archive", &id]).succeeded();
    assert_eq!(of_both(&here, "/v1/customers"), [401, 401], "at once, everywhere");
    one.stop();
    other.stop();
}

#[test]
fn restrictions_that_would_lock_their_user_out_are_refused() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url);
    let refused = |more: &[&str], parts: &[&str]| {
        let base = ["token", "create", "--environment", "sandbox", "--name", "x"];
        launch.run(&[&base, more].concat()).failed(parts);
    };
    for endpoint in
        ["POST /v1/ingst", "GET /v1/ingest", "/v1/customers/7", "v1/ingest", "", "POST  /v1/ingest"]
    {
        refused(&["--endpoint", endpoint], &["names no operation"]);
    }
    refused(&["--endpoint", "/v1/ingest", "--endpoint", "/v1/nothing"], &["`/v1/nothing`"]);
    for network in ["somewhere", "10.0.0.0/33", "10.0.0"] {
        refused(&["--network", network], &["is not a network"]);
    }
    for end in ["2020-01-01T00:00:00Z", "1970-01-01T00:00:00Z"] {
        refused(&["--expires-at", end], &["must be in the future"]);
    }
    refused(&["--expires-at", "tomorrow"], &["RFC 3339"]);
    assert_eq!(launch.run(&["token", "list"]).succeeded().stdout, "");
}

#[test]
fn tokens_that_come_and_go_are_in_the_audit_log() {
    let place = Place::new();
    let launch = Launch::new(&place);
    let mut server = launch.serve();
    let first = fs::read_to_string(place.data().join("sandbox-token")).expect("the first token");
    first.trim().clone_into(&mut server.client.token);
    create(&launch, &server.client, "from the shell", &[]);
    let (id, _) = listed(&launch, "from the shell");
    launch.run(&["token", "create", "--environment", "production", "--name", "elsewhere"]).succeeded();
    launch.run(&["token", "archive", &id]).succeeded();
    launch.run(&["token", "archive", &id]).failed(&[]);
    server.stop();
    let launch = Launch::new(&place).bootstrapped();
    launch.serve().stop();
    let server = launch.serve();

    let lines = server.client.get("/v1/auditLogs").data();
    let lines: Vec<String> = lines
        .as_array()
        .expect("lines")
        .iter()
        .map(|line| {
            assert_eq!(line["request"]["id"], line["id"], "it is its own cause: {line}");
            let words = ["resource_type", "action", "status", "description"]
                .map(|name| line[name].as_str().expect("text"));
            format!("{}: {}", line["actor"]["name"].as_str().expect("a name"), words.join(" "))
        })
        .collect();
    let expected = [
        "first start: api_token create success Created the API token first",
        "command line: api_token create success Created the API token from the shell",
        "command line: api_token archive success Archived the API token from the shell",
        "UPBEAT_BOOTSTRAP_TOKEN: api_token create success Created the API token bootstrap",
    ];
    assert_eq!(lines, expected, "and nothing of the other environment");
    let of_token =
        server.client.get(&format!("/v1/auditLogs?resource_type=api_token&resource_id={id}")).data();
    assert_eq!(of_token.as_array().map(Vec::len), Some(2));
    assert!(!of_token.to_string().contains(&server.client.token));
    server.stop();
}
