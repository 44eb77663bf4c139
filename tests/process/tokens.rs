//! Tokens: how they come to be known, and how they never get known.

use std::fs;

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
