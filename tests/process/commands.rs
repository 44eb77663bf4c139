//! What is asked from the shell: exit codes and what is said.

use serde_json::Value;

use crate::support::{Database, Launch, Place, execute};

#[test]
fn doctor_finds_a_served_private_database_well() {
    let place = Place::new();
    let launch = Launch::new(&place);
    let server = launch.serve();
    let output = launch.run(&["doctor"]).succeeded();
    for line in [
        "ok    PostgreSQL binaries: ",
        "ok    connection: ",
        "ok    migrations: all ",
        "ok    tokens: 1 in use",
    ] {
        assert!(output.stdout.contains(line), "`{line}` is not in: {}", output.stdout);
    }
    assert!(!output.stdout.contains("FAIL"));
    assert_eq!(server.client.get("/readyz").status, 200, "the doctor took the database along");
    server.stop();
}

#[test]
fn doctor_leads_from_an_empty_database_to_a_good_one() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url);
    launch.run(&["doctor"]).failed(&["FAIL  migrations: ", "start `upbeat serve`"]);
    launch.run(&["migrate"]).succeeded();
    launch.run(&["doctor"]).failed(&["ok    migrations", "FAIL  tokens: ", "start `upbeat serve`"]);
    launch.run(&["token", "create", "--environment", "sandbox", "--name", "first"]).succeeded();
    let output = launch.run(&["doctor"]).succeeded();
    // The PostgreSQL of the tests is fast rather than durable.
    let hint = "hint  settings: fsync is off: a crash of the machine loses events that were answered; \
                ALTER SYSTEM SET fsync = 'on', then restart PostgreSQL";
    assert!(output.stdout.contains(hint), "{}", output.stdout);
}

#[test]
fn doctor_says_what_is_wrong_with_the_address() {
    let (place, database) = (Place::new(), Database::new());
    let password = "pass-word-that-stays-secret";
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let closed_address = closed.local_addr().expect("an address").to_string();
    drop(closed);
    let url = database.url_with_password(password);
    let wrong = [
        "not an address".to_owned(),
        format!("mysql://upbeat:{password}@127.0.0.1/upbeat"),
        format!("postgres://upbeat:{password}@127.0.0.1:no-port/upbeat"),
        url.replacen(&database.address(), &closed_address, 1),
        url.replacen(&database.name, "no_such_database", 1),
    ];
    for url in wrong {
        let output = Launch::new(&place).database(&url).run(&["doctor"]).failed(&["FAIL  "]);
        let mend = output.stdout.lines().find(|line| line.starts_with("FAIL")).unwrap_or_default();
        assert!(mend.contains("DATABASE_URL"), "{url}: what to mend is not in: {mend}");
        assert!(!output.text().contains(password), "{url}: the password is in: {}", output.text());
    }
}

#[test]
fn serve_says_what_is_wrong_with_the_address() {
    let place = Place::new();
    let output = Launch::new(&place).database("not an address").run(&["serve", "--listen", "127.0.0.1:0"]);
    output.failed(&["DATABASE_URL is not a PostgreSQL address"]);
    let output = Launch::new(&place).database("postgres://x:hush-hush@127.0.0.1:1/x").run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
    ]);
    let output = output.failed(&["cannot connect to PostgreSQL"]);
    assert!(!output.text().contains("hush-hush"));
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    launch.serve().stop();
    execute(
        &database.options(),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', true, '\\x00', 0)",
    );
    launch.run(&["doctor"]).failed(&["FAIL  migrations: ", "newer version"]);
    launch.run(&["serve", "--listen", "127.0.0.1:0"]).failed(&["9999"]);
}

#[test]
fn migrating_twice_is_migrating_once() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url);
    for _ in 0..2 {
        assert_eq!(launch.run(&["migrate"]).succeeded().stdout, "The database is migrated.\n");
    }
}

#[test]
fn commands_stop_the_private_postgres_that_they_started() {
    let place = Place::new();
    let launch = Launch::new(&place);
    launch.run(&["migrate"]).succeeded();
    assert!(place.postgres_is_gone());
    launch.run(&["token", "archive", "00000000-0000-0000-0000-000000000000"]).failed(&["no token in use"]);
    assert!(place.postgres_is_gone(), "a command that fails leaves PostgreSQL running");
}

#[test]
fn openapi_prints_the_document_without_any_database() {
    let place = Place::new();
    let output = Launch::new(&place).database("nowhere").run(&["openapi"]).succeeded();
    let document: Value = serde_json::from_str(&output.stdout).expect("JSON and nothing else");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    assert!(document["paths"]["/v1/ingest"]["post"].is_object());
}

#[test]
fn the_served_document_is_the_printed_one() {
    let (place, database) = (Place::new(), Database::new());
    let launch = Launch::new(&place).database(&database.url).bootstrapped();
    let server = launch.serve();
    let printed: Value = serde_json::from_str(&launch.run(&["openapi"]).succeeded().stdout).expect("JSON");
    assert_eq!(server.client.get("/openapi.json").json(), printed);
    assert!(server.client.get("/docs").text.contains("<html"));
    server.stop();
}
