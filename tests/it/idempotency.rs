//! The header `Idempotency-Key`.

use axum::body::Body;
use axum::http::{HeaderValue, Method};
use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;
use upbeat::access::{
    EnvironmentKind, RateLimits, Role, Settings, list_environments, sweep_idempotency_keys,
};
use upbeat::usage::begin_usage_snapshot;

use crate::gzip::stored;
use crate::support::{Answer, Api};
use crate::world::{NOW, World};

const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";
const CUSTOMERS: &str = "SELECT count(*) FROM customer";
const KEYS: &str = "SELECT count(*) FROM idempotency_key";

/// Every table and how many rows it has, when all usage is counted.
async fn rows(api: &Api) -> Vec<(String, i64)> {
    let mut db = api.app.db.acquire().await.expect("a connection");
    for environment in list_environments(&mut db).await.expect("the environments") {
        begin_usage_snapshot(&api.app.db, environment.id).await.expect("a snapshot");
    }
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            .fetch_all(&api.app.db)
            .await
            .expect("the tables");
    let mut rows = Vec::new();
    for table in tables {
        let query = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        rows.push((table, sqlx::query_scalar(query).fetch_one(&api.app.db).await.expect("a count")));
    }
    rows
}

/// A repeat is what the first answer was, and says that it is a repeat.
#[track_caller]
fn is_replay(repeat: &Answer, first: &Answer) {
    assert_eq!((repeat.status, &repeat.text), (first.status, &first.text));
    for name in ["content-type", "content-length", "x-should-retry"] {
        assert_eq!(repeat.header(name), first.header(name), "{name}");
    }
    assert_eq!((first.header("idempotency-replayed"), repeat.header("idempotency-replayed")), ("", "true"));
    assert_ne!(first.header("x-request-id"), repeat.header("x-request-id"));
}

#[tokio::test]
async fn a_repeat_of_any_operation_gets_the_same_bytes_and_changes_nothing() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    for operation in world.operations().into_iter().filter(|operation| operation.method == "POST") {
        let name = operation.route;
        if name == "/v1/ingest" {
            continue;
        }
        let first = api.keyed(name, &operation.path, operation.body.clone()).await;
        assert_eq!(first.status, 200, "{name}: {}", first.text);
        let before = rows(&api).await;
        for _ in 0..2 {
            is_replay(&api.keyed(name, &operation.path, operation.body.clone()).await, &first);
        }
        assert_eq!(rows(&api).await, before, "{name}");
    }
}

#[tokio::test]
async fn a_repeat_of_an_empty_200_has_no_content_type() {
    let api = Api::new().await;
    let customer = api.customer("acct").await;
    let path = format!("/v1/customers/{customer}/setIngestAliases");
    let first = api.keyed("k", &path, json!({ "ingest_aliases": ["a"] })).await;
    api.post(&path, json!({ "ingest_aliases": ["b"] })).await;
    let repeat = api.keyed("k", &path, json!({ "ingest_aliases": ["a"] })).await;
    is_replay(&repeat, &first);
    assert_eq!((repeat.status.as_u16(), repeat.text.as_str()), (200, ""));
    assert_eq!((repeat.headers.get("content-type"), repeat.header("content-length")), (None, "0"));
    let aliases = api.get(&format!("/v1/customers/{customer}")).await.data()["ingest_aliases"].clone();
    assert_eq!(aliases, json!(["b"]), "the repeat set nothing");
}

#[tokio::test]
async fn a_key_with_other_parameters_is_409() {
    let api = Api::new().await;
    api.keyed("k", "/v1/customers", json!({ "name": "a" })).await.id();
    let others = [
        ("/v1/customers", json!({ "name": "b" })),
        ("/v1/customers", json!({ "name": "a", "ingest_aliases": [] })),
        ("/v1/customers?x=1", json!({ "name": "a" })),
        ("/v1/customers/create", json!({ "name": "a" })),
        ("/v1/contract-pricing/rate-cards/create", json!({ "name": "a" })),
        ("/v1/contract-pricing/products/list", json!({})),
    ];
    for (path, body) in others {
        let answer = api.keyed("k", path, body).await;
        answer.refused(409, &["Idempotency-Key"]);
        assert_eq!((answer.header("x-should-retry"), answer.header("retry-after")), ("false", ""), "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    assert_eq!(api.number(CUSTOMERS).await, 1);
    assert_eq!(api.number("SELECT count(*) FROM rate_card").await, 0);
    api.keyed("another", "/v1/customers", json!({ "name": "b" })).await.id();
}

#[tokio::test]
async fn the_same_request_in_other_letters_is_a_repeat() {
    let api = Api::new().await;
    let first =
        api.keyed("k", "/v1/customers?a=1&b=2", json!({ "name": "é", "ingest_aliases": ["x", "y"] })).await;
    let body = r#" { "ingest_aliases" : ["x","y"],"name":"\u00e9" } "#;
    let plain = api.builder(Method::POST, "/v1/customers?b=2&a=1").header("idempotency-key", "k");
    is_replay(&api.request(plain.body(Body::from(body)).expect("a request")).await, &first);
    let zipped = api.builder(Method::POST, "/v1/customers?a=%31&b=2").header("idempotency-key", "k");
    let zipped = zipped.header("content-encoding", "gzip").body(Body::from(stored(body.as_bytes())));
    is_replay(&api.request(zipped.expect("a request")).await, &first);
    let swapped = json!({ "name": "é", "ingest_aliases": ["y", "x"] });
    api.keyed("k", "/v1/customers?a=1&b=2", swapped).await.refused(409, &[]);
    assert_eq!(api.number(CUSTOMERS).await, 1);

    let first = api.keyed("empty", "/v1/contract-pricing/products/list", json!({})).await;
    let empty =
        api.builder(Method::POST, "/v1/contract-pricing/products/list").header("idempotency-key", "empty");
    is_replay(&api.request(empty.body(Body::empty()).expect("a request")).await, &first);
}

#[tokio::test]
async fn a_404_stays_the_answer() {
    let api = Api::new().await;
    let key = json!({ "entity": "customer", "key": "tier" });
    let remove = "/v1/customFields/removeKey";
    let first = api.keyed("k", remove, key.clone()).await;
    first.refused(404, &["tier"]);
    let add = json!({ "entity": "customer", "key": "tier", "enforce_uniqueness": false });
    api.post("/v1/customFields/addKey", add).await;
    is_replay(&api.keyed("k", remove, key.clone()).await, &first);
    assert_eq!(api.number("SELECT count(*) FROM custom_field_key").await, 1, "the repeat removed nothing");
    assert_eq!(api.keyed("another", remove, key).await.status, 200);

    let nothing = api.keyed("path", "/v1/nothing", json!({})).await;
    nothing.refused(404, &[]);
    is_replay(&api.keyed("path", "/v1/nothing", json!({})).await, &nothing);
}

#[tokio::test]
async fn a_409_stays_the_answer() {
    let api = Api::new().await;
    let holder = api.customer("acct").await;
    let body = json!({ "name": "new", "ingest_aliases": ["acct"] });
    let first = api.keyed("k", "/v1/customers", body.clone()).await;
    first.refused(409, &["acct"]);
    let path = format!("/v1/customers/{holder}/setIngestAliases");
    assert_eq!(api.post(&path, json!({ "ingest_aliases": [] })).await.status, 200);
    let repeat = api.keyed("k", "/v1/customers", body.clone()).await;
    is_replay(&repeat, &first);
    assert_eq!(repeat.header("x-should-retry"), "false");
    api.keyed("another", "/v1/customers", body).await.id();
}

#[tokio::test]
async fn a_500_stays_the_answer() {
    let api = Api::new().await;
    api.sql("ALTER TABLE customer RENAME TO elsewhere").await;
    let first = api.keyed("k", "/v1/customers", json!({ "name": "a" })).await;
    first.refused(500, &["request id"]);
    assert!(!first.text.contains("customer"), "the cause is for the log: {}", first.text);
    api.sql("ALTER TABLE elsewhere RENAME TO customer").await;
    let repeat = api.keyed("k", "/v1/customers", json!({ "name": "a" })).await;
    is_replay(&repeat, &first);
    assert_eq!(repeat.header("x-should-retry"), "false");
    assert_eq!(api.number(CUSTOMERS).await, 0);
    api.keyed("another", "/v1/customers", json!({ "name": "a" })).await.id();
}

/// The key is free after `refused`: even a request with other parameters may use it.
async fn leaves_the_key_free(api: &Api, refused: Answer, status: u16) {
    assert_eq!(refused.status.as_u16(), status, "{}", refused.text);
    assert_eq!(api.number(KEYS).await, 0, "{status} is kept");
    let (before, name) = (api.number(CUSTOMERS).await, json!({ "name": status.to_string() }));
    let first = api.keyed("k", "/v1/customers", name.clone()).await;
    assert_eq!(first.status, 200, "after {status}: {}", first.text);
    is_replay(&api.keyed("k", "/v1/customers", name).await, &first);
    assert_eq!(api.number(CUSTOMERS).await, before + 1);
    api.sql("DELETE FROM idempotency_key").await;
}

#[tokio::test]
async fn what_was_refused_unseen_leaves_the_key_free() {
    let api = Api::new().await;
    leaves_the_key_free(&api, api.keyed("k", "/v1/customers", json!({ "name": 7 })).await, 400).await;
    let path = format!("/v1/customers/{UNKNOWN}/setIngestAliases");
    leaves_the_key_free(&api, api.keyed("k", &path, json!({})).await, 400).await;
    let body = json!({ "customer_id": UNKNOWN });
    leaves_the_key_free(&api, api.keyed("k", "/v2/contracts/list", body).await, 400).await;
    let unknown = api.with_bearer("unknown");
    leaves_the_key_free(&api, unknown.keyed("k", "/v1/customers", json!({ "name": "a" })).await, 401).await;
    let reader = api.with_token(EnvironmentKind::Sandbox, Role::Reader).await;
    leaves_the_key_free(&api, reader.keyed("k", "/v1/customers", json!({ "name": "a" })).await, 403).await;
    let large = json!({ "name": "x".repeat(11 << 20) });
    leaves_the_key_free(&api, api.keyed("k", "/v1/customers", large).await, 413).await;
    leaves_the_key_free(&api, api.keyed("k", "/v1/payments/list", json!({})).await, 501).await;

    let limits = RateLimits::new(&["POST /v1/customers=1".parse().expect("a limit")]);
    let limited = api.replica_with(Settings { rate_limits: limits, ..Settings::default() });
    let mut refused = limited.keyed("first", "/v1/customers", json!({ "name": "a" })).await;
    for number in 0..20 {
        api.sql("DELETE FROM idempotency_key").await;
        refused = limited.keyed("k", "/v1/customers", json!({ "name": number.to_string() })).await;
        if refused.status == 429 {
            break;
        }
    }
    leaves_the_key_free(&api, refused, 429).await;
}

#[tokio::test]
async fn a_key_is_one_line_of_1_to_255_printable_characters() {
    let api = Api::new().await;
    let longest = "k".repeat(255);
    let first = api.keyed(&longest, "/v1/customers", json!({ "name": "a" })).await;
    is_replay(&api.keyed(&longest, "/v1/customers", json!({ "name": "a" })).await, &first);
    let inside = api.keyed("a key, \"with\" 'signs'", "/v1/customers", json!({ "name": "b" })).await;
    assert_eq!(inside.status, 200);

    let send = async |api: &Api, values: &[&[u8]]| {
        let mut request = api
            .builder(Method::POST, "/v1/customers")
            .body(Body::from(r#"{"name": "c"}"#))
            .expect("a request");
        for value in values {
            let value = HeaderValue::from_bytes(value).expect("a header");
            request.headers_mut().append("idempotency-key", value);
        }
        api.request(request).await
    };
    let longer = "k".repeat(256);
    let wrong: [&[&[u8]]; 5] =
        [&[b""], &[longer.as_bytes()], &["clé".as_bytes()], &[b"a", b"a"], &[b"a", b"b"]];
    for values in wrong {
        send(&api, values).await.refused(400, &["Idempotency-Key:"]);
        send(&api.with_bearer("unknown"), values).await.refused(401, &[]);
    }
    assert_eq!(api.number(CUSTOMERS).await, 2);
    let failures =
        "SELECT count(*) FROM audit_log WHERE status = 'failure' AND description LIKE 'Idempotency-Key:%'";
    assert_eq!(api.number(failures).await, 5, "refused changes are recorded, whatever refuses them");
}

#[tokio::test]
async fn reads_by_get_have_no_key() {
    let api = Api::new().await;
    let longer = "k".repeat(256);
    for key in ["k", "", longer.as_str()] {
        for path in ["/v1/customers", "/v1/billable-metrics"] {
            let request = api.builder(Method::GET, path).header("idempotency-key", key);
            api.request(request.body(Body::empty()).expect("a request")).await.data();
        }
    }
    assert_eq!(api.number(KEYS).await, 0);
}

#[tokio::test]
async fn a_key_is_of_one_environment() {
    let sandbox = Api::new().await;
    let production = sandbox.with_token(EnvironmentKind::Production, Role::Admin).await;
    let body = json!({ "name": "a", "ingest_aliases": ["a"] });
    let one = sandbox.keyed("k", "/v1/customers", body.clone()).await;
    let other = production.keyed("k", "/v1/customers", body.clone()).await;
    assert_ne!(one.clone().id(), other.clone().id());
    production.keyed("k", "/v1/customers", json!({ "name": "b" })).await.refused(409, &[]);
    is_replay(&sandbox.keyed("k", "/v1/customers", body.clone()).await, &one);
    // and of all tokens of it
    let writer = sandbox.with_token(EnvironmentKind::Sandbox, Role::Writer).await;
    is_replay(&writer.keyed("k", "/v1/customers", body).await, &one);
}

#[tokio::test]
async fn a_post_that_reads_is_repeated_as_it_was_also_for_readers() {
    let api = Api::new().await;
    let reader = api.with_token(EnvironmentKind::Sandbox, Role::Reader).await;
    let list = "/v1/contract-pricing/rate-cards/list";
    let first = reader.keyed("k", list, json!({})).await;
    assert_eq!(first.clone().data(), json!([]));
    api.rate_card().await;
    is_replay(&reader.keyed("k", list, json!({})).await, &first);
    assert_eq!(reader.post(list, json!({})).await.data().as_array().map(Vec::len), Some(1));
    reader.keyed("k", &format!("{list}?limit=1"), json!({})).await.refused(409, &[]);
}

#[tokio::test]
async fn a_reader_is_not_told_what_a_writer_did() {
    let api = Api::new().await;
    let reader = api.with_token(EnvironmentKind::Sandbox, Role::Reader).await;
    let event = json!([{ "transaction_id": "t", "customer_id": "c", "event_type": "e", "timestamp": "2026-03-01T00:00:00Z" }]);
    api.move_clock("2026-03-01T00:00:00Z").await;
    for (path, body) in [("/v1/customers", json!({ "name": "a" })), ("/v1/ingest", event)] {
        assert_eq!(api.keyed(path, path, body.clone()).await.status, 200);
        reader.keyed(path, path, body).await.refused(403, &["reader"]);
    }
}

#[tokio::test]
async fn events_are_counted_once_whatever_the_key() {
    let api = Api::at(NOW).await;
    let event =
        |id: &str| json!([{ "transaction_id": id, "customer_id": "c", "event_type": "e", "timestamp": NOW }]);
    for (key, id) in [("k", "a"), ("k", "a"), ("k", "b"), ("other", "a"), ("", "c")] {
        let answer = api.keyed(key, "/v1/ingest", event(id)).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""), "{key} {id}");
        assert_eq!(answer.header("idempotency-replayed"), "");
    }
    assert_eq!(api.number("SELECT count(*) FROM event_key").await, 3);
    assert_eq!(api.number("SELECT count(*) FROM event_repeat").await, 2);
    assert_eq!(api.number(KEYS).await, 0);
}

#[tokio::test]
async fn an_answer_is_forgotten_after_24_hours_and_not_before() {
    let api = Api::new().await;
    let before = api.app.clock.now();
    let first = api.keyed("k", "/v1/customers", json!({ "name": "a" })).await;
    api.keyed("list", "/v1/contract-pricing/products/list", json!({})).await.data();
    let after = api.app.clock.now();
    let sweep = async |now| {
        let mut db = api.app.db.acquire().await.expect("a connection");
        sweep_idempotency_keys(&mut db, now).await.expect("a count")
    };
    assert_eq!(sweep(before + TimeDelta::hours(24)).await, 0);
    is_replay(&api.keyed("k", "/v1/customers", json!({ "name": "a" })).await, &first);
    assert_eq!(sweep(after + TimeDelta::hours(24) + TimeDelta::milliseconds(1)).await, 2);
    api.keyed("k", "/v1/customers", json!({ "name": "b" })).await.id();
    assert_eq!(api.number(CUSTOMERS).await, 2);
}

#[tokio::test]
async fn a_frozen_clock_neither_keeps_nor_forgets_answers() {
    let api = Api::at("2001-01-01T00:00:00Z").await;
    let first = api.keyed("k", "/v1/customers", json!({ "name": "a" })).await;
    let mut db = api.app.db.acquire().await.expect("a connection");
    assert_eq!(sweep_idempotency_keys(&mut db, api.app.clock.now()).await.expect("a count"), 0);
    drop(db);
    api.move_clock("2001-02-01T00:00:00Z").await;
    is_replay(&api.keyed("k", "/v1/customers", json!({ "name": "a" })).await, &first);
}

/// Sends requests at once under one key, in turn to two replicas.
async fn race(api: &Api, path: &'static str, bodies: impl IntoIterator<Item = Value>) -> Vec<Answer> {
    let replicas = [api.clone(), api.replica()];
    let mut running = JoinSet::new();
    for (index, body) in bodies.into_iter().enumerate() {
        let api = replicas[index % 2].clone();
        running.spawn(async move { api.keyed("k", path, body).await });
    }
    running.join_all().await
}

#[track_caller]
fn is_in_flight(answer: &Answer) {
    answer.refused(409, &["Idempotency-Key", "try again"]);
    assert_eq!(answer.headers.get("x-should-retry"), None, "the SDKs are to try again");
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_at_once_make_one_customer() {
    let api = Api::new().await;
    let body = json!({ "name": "a", "ingest_aliases": ["a"] });
    let answers = race(&api, "/v1/customers", (0..50).map(|_| body.clone())).await;
    let (done, refused): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.status == 200);
    let winners = done.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count();
    assert_eq!(winners, 1, "one does it");
    for answer in &done {
        assert_eq!(answer.text, done[0].text, "all others are told what it did");
    }
    for answer in refused {
        is_in_flight(answer);
    }
    assert_eq!(api.number(CUSTOMERS).await, 1);
    assert_eq!(
        api.number("SELECT count(*) FROM audit_log").await,
        1,
        "one line, and none for those in flight"
    );
    assert_eq!(api.keyed("k", "/v1/customers", body).await.text, done[0].text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_other_requests_under_one_key_make_one_customer() {
    let api = Api::new().await;
    let answers =
        race(&api, "/v1/customers", (0..50).map(|number| json!({ "name": number.to_string() }))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(answers.iter().all(|answer| [200, 409].contains(&answer.status.as_u16())));
    assert_eq!(api.number(CUSTOMERS).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_refusals_at_once_are_one_answer() {
    let api = Api::new().await;
    api.customer("taken").await;
    let body = json!({ "name": "a", "ingest_aliases": ["taken"] });
    let answers = race(&api, "/v1/customers", (0..50).map(|_| body.clone())).await;
    let first = api.keyed("k", "/v1/customers", body).await;
    for answer in answers.iter().filter(|answer| answer.headers.contains_key("x-should-retry")) {
        assert_eq!((answer.status, &answer.text), (first.status, &first.text));
    }
    for answer in answers.iter().filter(|answer| !answer.headers.contains_key("x-should-retry")) {
        is_in_flight(answer);
    }
    assert_eq!((first.status.as_u16(), api.number(CUSTOMERS).await), (409, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_one_is_at_work_others_are_told_to_come_again() {
    let api = Api::new().await;
    let mut held = api.app.db.begin().await.expect("a transaction");
    sqlx::raw_sql("LOCK TABLE customer IN SHARE MODE").execute(&mut *held).await.expect("the lock");
    let body = json!({ "name": "a" });
    let first = {
        let (api, body) = (api.clone(), body.clone());
        tokio::spawn(async move { api.keyed("k", "/v1/customers", body).await })
    };
    api.until_waiting(1).await;
    is_in_flight(&api.replica().keyed("k", "/v1/customers", body.clone()).await);
    is_in_flight(&api.keyed("k", "/v1/customers", json!({ "name": "other" })).await);
    held.rollback().await.expect("the lock is gone");
    let first = first.await.expect("an answer");
    assert_eq!(first.status, 200);
    is_replay(&api.replica().keyed("k", "/v1/customers", body).await, &first);
    api.keyed("k", "/v1/customers", json!({ "name": "other" })).await.refused(409, &["other parameters"]);
    assert_eq!(api.number(CUSTOMERS).await, 1);
}

/// Two requests under one key, the first refused (404, say) while the second has begun: once the refusal is kept,
/// the second may not be done, as nobody would be told.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_that_is_used_up_meanwhile_stops_the_change() {
    let api = Api::new().await;
    let mut held = api.app.db.begin().await.expect("a transaction");
    sqlx::raw_sql("LOCK TABLE customer IN SHARE MODE").execute(&mut *held).await.expect("the lock");
    let change = {
        let api = api.clone();
        tokio::spawn(async move { api.keyed("k", "/v1/customers", json!({ "name": "a" })).await })
    };
    api.until_waiting(1).await;
    api.sql(
        "INSERT INTO idempotency_key (environment_id, key, fingerprint, status, body, created_at)
         SELECT id, 'k', 'another request', 404, '{}', now() FROM environment WHERE kind = 'SANDBOX'",
    )
    .await;
    held.rollback().await.expect("the lock is gone");
    change.await.expect("an answer").refused(409, &["other parameters"]);
    assert_eq!(api.number(CUSTOMERS).await, 0);
    assert_eq!(api.number("SELECT count(*) FROM audit_log WHERE status = 'success'").await, 0);
}

#[tokio::test]
async fn a_clock_is_moved_once() {
    let api = Api::at("2026-01-01T00:00:00Z").await;
    api.customer("acct").await;
    let to = |now: &str| json!({ "now": now });
    let first = api.keyed("k", "/sandbox/clock", to("2026-02-01T00:00:00Z")).await;
    api.move_clock("2026-03-01T00:00:00Z").await;
    is_replay(&api.keyed("k", "/sandbox/clock", to("2026-02-01T00:00:00Z")).await, &first);
    assert_eq!(api.get("/sandbox/clock").await.data()["now"], "2026-03-01T00:00:00Z");
}
