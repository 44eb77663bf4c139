//! What stands around every operation: rate limits, the time limit, cross-origin rules, services.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{Method, Request};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use upbeat::access::{EnvironmentKind, RateLimits, Role, Settings};

use crate::support::{Answer, Api};
use crate::world::{NOW, World};

fn limited(api: &Api, limits: &[&str]) -> Api {
    let limits: Vec<_> = limits.iter().map(|text| text.parse().expect("a limit")).collect();
    api.replica_with(Settings { rate_limits: RateLimits::new(&limits), ..Settings::default() })
}

fn hurried(api: &Api) -> Api {
    api.replica_with(Settings { request_timeout: Duration::from_millis(400), ..Settings::default() })
}

#[track_caller]
fn is_too_many(answer: &Answer, limit_type: &str) {
    answer.refused(429, &["too many requests"]);
    assert_eq!(answer.header("x-metronome-rate-limit-type"), limit_type);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.body.as_object().map(serde_json::Map::len), Some(1), "only a message");
}

/// Sends one request again and again, in turn by these callers and many at once, until some are refused. Answers one
/// of those; of the others there were a second's worth, and what the time since then allows.
async fn over(callers: &[&Api], per_second: u128, method: Method, path: &str) -> Answer {
    let start = Instant::now();
    let mut served = 0;
    for _ in 0..20 {
        let mut running = JoinSet::new();
        for api in callers.iter().cycle().take(50) {
            let (api, method, path) = ((*api).clone(), method.clone(), path.to_owned());
            running.spawn(async move { api.send(method, &path, Body::from("{}")).await });
        }
        let (refused, others): (Vec<Answer>, Vec<Answer>) =
            running.join_all().await.into_iter().partition(|answer| answer.status == 429);
        served += others.len() as u128;
        if let Some(refused) = refused.into_iter().next() {
            let allowed = per_second + per_second * start.elapsed().as_millis() / 1000 + 1;
            assert!(per_second <= served && served <= allowed, "{path}: {served} of {per_second} a second");
            return refused;
        }
    }
    panic!("{path}: {served} requests in {:?} and none refused", start.elapsed());
}

#[tokio::test]
async fn an_operation_over_its_limit_is_429_until_a_second_is_over() {
    let api = Api::new().await;
    let limit = &["GET /v1/customers=3"];
    let list = "/v1/customers";
    let limited_api = limited(&api, limit);
    let reader = limited_api.with_token(EnvironmentKind::Sandbox, Role::Reader).await;
    let production = limited_api.with_token(EnvironmentKind::Production, Role::Admin).await;
    is_too_many(&over(&[&limited_api, &reader], 3, Method::GET, list).await, "client");
    // Another operation, environment or process has requests of its own.
    for _ in 0..3 {
        production.get(list).await.data();
        api.get(list).await.data();
        limited_api.post(list, json!({ "name": "another operation" })).await.id();
    }
    limited_api.with_bearer("unknown").get(list).await.refused(401, &[]);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..3 {
        limited_api.get(list).await.data();
    }
    let head = over(&[&limited(&api, limit)], 3, Method::HEAD, list).await;
    assert_eq!(head.header("x-metronome-rate-limit-type"), "client");
}

/// Sends a request that one a second is served of until it is refused, which the second should be. Answers how many
/// were served and the refusal.
async fn second(send: impl AsyncFn() -> Answer) -> (i64, Answer) {
    for served in 0..20 {
        let answer = send().await;
        if answer.status == 429 {
            return (served, answer);
        }
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    panic!("twenty requests, none of them refused");
}

#[tokio::test]
async fn a_customer_over_its_limit_does_not_hold_up_others() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let other = api.customer("other").await;
    let limited =
        limited(&api, &["POST /v1/contracts/list=1/customer", "GET /v1/customers/{customer_id}=1/customer"]);
    let list =
        async |customer: &str| limited.post("/v1/contracts/list", json!({ "customer_id": customer })).await;
    let get = async |customer: &str| limited.get(&format!("/v1/customers/{customer}")).await;
    assert_eq!(list(&world.customer).await.data().as_array().map(Vec::len), Some(1), "the body arrives");
    is_too_many(&second(async || list(&world.customer.to_uppercase()).await).await.1, "customer");
    assert_eq!(list(&other).await.data(), json!([]));
    get(&world.customer).await.data();
    is_too_many(&second(async || get(&world.customer.to_uppercase()).await).await.1, "customer");
    get(&other).await.data();
    // What names no customer is refused for that.
    for body in ["{}", "7", "", "{"] {
        limited.send(Method::POST, "/v1/contracts/list", Body::from(body)).await.refused(400, &[]);
    }
}

#[tokio::test]
async fn what_a_limit_sends_away_is_not_done_and_not_recorded() {
    let api = Api::new().await;
    let limited = limited(&api, &["POST /v1/customers=1"]);
    let (served, refused) =
        second(async || limited.post("/v1/customers", json!({ "name": "a" })).await).await;
    is_too_many(&refused, "client");
    assert!(served >= 1);
    assert_eq!(api.number("SELECT count(*) FROM customer").await, served);
    assert_eq!(api.number("SELECT count(*) FROM audit_log").await, served);
}

#[tokio::test]
async fn search_and_preview_are_limited_unless_they_are_set_otherwise() {
    let api = Api::new().await;
    let preview = "/v1/customers/00000000-0000-4000-8000-000000000000/previewEvents";
    is_too_many(&over(&[&api], 5, Method::POST, "/v1/events/search").await, "client");
    is_too_many(&over(&[&api], 8, Method::POST, preview).await, "client");
    let free =
        limited(&api, &["POST /v1/events/search=off", "post /v1/customers/{customer_id}/previewEvents=off"]);
    for path in ["/v1/events/search", preview] {
        for _ in 0..30 {
            assert_ne!(free.post(path, json!({})).await.status, 429);
        }
    }
}

/// Half a body, and nothing after it.
struct Half(Option<Bytes>);

impl hyper::body::Body for Half {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}

#[track_caller]
fn is_too_slow(answer: &Answer) {
    answer.refused(503, &["was not served within"]);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.headers.get("x-should-retry"), None);
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(!answer.header("x-request-id").is_empty());
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up_wherever_it_is_read() {
    let api = Api::at(NOW).await;
    let limits = RateLimits::new(&["POST /v1/contracts/create=99/customer".parse().expect("a limit")]);
    let request_timeout = Duration::from_millis(300);
    let hurried = api.replica_with(Settings { rate_limits: limits, request_timeout, ..Settings::default() });
    for path in
        ["/v1/customers", "/v1/contracts/create", "/v1/ingest", "/sandbox/clock", "/v2/contracts/list"]
    {
        for key in [None, Some("k")] {
            let mut request = hurried.builder(Method::POST, path);
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            let half = Half(Some(Bytes::from_static(b"{\"name\": \"")));
            let start = Instant::now();
            let answer = hurried.request(request.body(Body::new(half)).expect("a request")).await;
            is_too_slow(&answer);
            assert!(start.elapsed() < Duration::from_secs(5), "{path} {key:?}: {:?}", start.elapsed());
        }
    }
    assert_eq!(api.number("SELECT count(*) FROM idempotency_key").await, 0);
    assert_eq!(
        api.number("SELECT count(*) FROM audit_log").await,
        1,
        "but for the clock nothing was changed"
    );
    // Whoever has no token is not waited for at all.
    let request = Request::builder().method(Method::POST).uri("/v1/customers");
    let answer = hurried.request(request.body(Body::new(Half(None))).expect("a request")).await;
    answer.refused(401, &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_that_takes_too_long_is_undone() {
    let api = Api::new().await;
    let hurried = hurried(&api);
    let body = json!({ "name": "a", "ingest_aliases": ["a"] });
    for key in [None, Some("k")] {
        let mut held = api.app.db.begin().await.expect("a transaction");
        sqlx::raw_sql("LOCK TABLE ingest_alias IN SHARE MODE").execute(&mut *held).await.expect("the lock");
        let answer = match key {
            None => hurried.post("/v1/customers", body.clone()).await,
            Some(key) => hurried.keyed(key, "/v1/customers", body.clone()).await,
        };
        is_too_slow(&answer);
        held.rollback().await.expect("the lock is gone");
        api.until_waiting(0).await;
        // Its connection is the server's again once everything is undone.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(api.number("SELECT count(*) FROM customer").await, 0, "{key:?}");
        assert_eq!(api.number("SELECT count(*) FROM audit_log").await, 0, "{key:?}");
        assert_eq!(api.number("SELECT count(*) FROM idempotency_key").await, 0, "{key:?}");
    }
    let first = hurried.keyed("k", "/v1/customers", body.clone()).await;
    let repeat = hurried.keyed("k", "/v1/customers", body).await;
    assert_eq!((first.status.as_u16(), &repeat.text), (200, &first.text));
    assert_eq!(api.number("SELECT count(*) FROM customer").await, 1);
}

/// An answer that said 503 would be repeated, and the change made twice.
#[tokio::test]
async fn a_change_that_has_begun_to_commit_is_not_given_up() {
    let api = Api::new().await;
    api.sql(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON customer DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION dawdle()",
    )
    .await;
    let hurried = hurried(&api);
    let start = Instant::now();
    let id = hurried.post("/v1/customers", json!({ "name": "a" })).await.id();
    assert!(start.elapsed() > Duration::from_millis(900), "the commit takes a second");
    assert_eq!(api.get("/v1/customers").await.data()[0]["id"], json!(id));
}

#[tokio::test]
async fn a_clock_that_is_moved_far_takes_the_time_that_it_needs() {
    let api = Api::at("2016-01-01T00:00:00Z").await;
    let customer = api.customer("acct").await;
    let rates = api.rate_card().await;
    let weekly = json!({ "usage_statement_schedule": { "frequency": "WEEKLY" } });
    api.contract(&customer, &rates, "2016-01-01T00:00:00Z", weekly).await;
    let request_timeout = Duration::from_millis(50);
    let hurried = api.replica_with(Settings { request_timeout, ..Settings::default() });
    let start = Instant::now();
    let moved = hurried.post("/sandbox/clock", json!({ "now": "2019-01-01T00:00:00Z" })).await.data();
    assert_eq!(moved["now"], "2019-01-01T00:00:00Z");
    assert!(start.elapsed() > request_timeout, "there was much to do");
}

/// A preflight of a page of `origin`, and the headers that matter in its answer.
async fn preflight(api: &Api, origin: &str, path: &str) -> (u16, [String; 3]) {
    let asked = "authorization, content-type, idempotency-key, x-stainless-lang, x-stainless-retry-count";
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri(path)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", asked);
    let answer = api.request(request.body(Body::empty()).expect("a request")).await;
    let header = |name: &str| answer.header(&format!("access-control-allow-{name}")).to_owned();
    assert!([String::new(), asked.to_owned()].contains(&header("headers")), "{}", header("headers"));
    (answer.status.as_u16(), [header("origin"), header("methods"), header("headers")])
}

async fn read_by_a_page(api: &Api, origin: &str) -> Answer {
    let request = api.builder(Method::GET, "/v1/customers").header("origin", origin);
    api.request(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn pages_of_other_origins_may_call_only_where_that_is_set() {
    const PAGE: &str = "https://app.example.com";
    const OTHER: &str = "https://evil.example.com";
    let api = Api::new().await;
    let with = |origins: &[&str]| {
        let cors_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        api.replica_with(Settings { cors_origins, ..Settings::default() })
    };
    // Nothing set: as if nobody had ever heard of it.
    let (status, allowed) = preflight(&api, PAGE, "/v1/customers").await;
    assert_eq!((status, allowed), (405, Default::default()));
    let answer = read_by_a_page(&api, PAGE).await;
    assert_eq!((answer.status.as_u16(), answer.headers.get("access-control-allow-origin")), (200, None));

    let some = with(&["http://localhost:3000", PAGE]);
    for path in ["/v1/customers", "/v1/ingest", "/v1/nothing"] {
        let (status, [origin, methods, headers]) = preflight(&some, PAGE, path).await;
        assert_eq!((status, origin.as_str()), (200, PAGE));
        assert!(methods.contains("POST") && methods.contains("GET") && headers.contains("idempotency-key"));
        let (_, [origin, ..]) = preflight(&some, OTHER, path).await;
        assert_eq!(origin, "");
    }
    let answer = read_by_a_page(&some, PAGE).await;
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    let exposed = answer.header("access-control-expose-headers");
    for name in ["x-request-id", "retry-after", "x-should-retry", "x-metronome-rate-limit-type"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    assert_eq!(read_by_a_page(&some, OTHER).await.headers.get("access-control-allow-origin"), None);
    // A page sees why it was refused.
    let refused = read_by_a_page(&some.with_bearer("unknown"), PAGE).await;
    assert_eq!((refused.status.as_u16(), refused.header("access-control-allow-origin")), (401, PAGE));

    let all = with(&["*"]);
    for origin in [PAGE, OTHER, "null"] {
        let (status, [allowed, ..]) = preflight(&all, origin, "/v1/customers").await;
        assert_eq!((status, allowed.as_str()), (200, "*"));
        assert_eq!(read_by_a_page(&all, origin).await.header("access-control-allow-origin"), "*");
    }
    assert_eq!(read_by_a_page(&all, PAGE).await.headers.get("access-control-allow-credentials"), None);
}

#[tokio::test]
async fn what_is_not_built_or_not_there_says_so_in_json() {
    let api = Api::new().await;
    let missing = upbeat::app::MISSING.iter().find(|(method, _)| *method == "POST");
    if let Some((_, route)) = missing {
        let path =
            route.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>();
        let answer = api.post(&path.join("/"), json!({})).await;
        answer.refused(501, &[route, "not supported"]);
        assert_eq!(
            (answer.header("x-should-retry"), answer.header("content-type")),
            ("false", "application/json")
        );
        assert_eq!(answer.body.as_object().map(serde_json::Map::len), Some(1));
        api.with_bearer("unknown").post(&path.join("/"), json!({})).await.refused(401, &[]);
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = api.send(method, "/v1/customers/archive", Body::empty()).await;
        answer.refused(405, &["method"]);
        assert_eq!(answer.header("allow"), "POST");
    }
    api.post("/v1/customers/archive/", json!({})).await.refused(404, &["/v1/customers/archive/"]);
}

#[tokio::test]
async fn services_have_names_and_the_addresses_that_are_set() {
    let api = Api::new().await;
    let answer = api.get("/v1/services").await;
    let service = |name: &str, usage: &str, ips: Value| json!({ "name": name, "usage": usage, "ips": ips });
    let (at, from) = ("accepts_connections_at", "makes_connections_from");
    let none = [
        service("api", at, json!([])),
        service("ingest", at, json!([])),
        service("webhooks", from, json!([])),
    ];
    assert_eq!(answer.body, json!({ "services": none }), "no envelope, no pages");

    let service_addresses = [
        ("webhooks", "203.0.113.10"),
        ("api", "203.0.113.20"),
        ("webhooks", "2001:db8::1"),
        ("metrics", "203.0.113.30"),
    ];
    let service_addresses =
        service_addresses.map(|(name, ip)| (name.to_owned(), ip.parse().expect("an address"))).to_vec();
    let set = api.replica_with(Settings { service_addresses, ..Settings::default() });
    let expected = json!([
        service("api", at, json!(["203.0.113.20"])),
        service("ingest", at, json!([])),
        service("webhooks", from, json!(["203.0.113.10", "2001:db8::1"])),
        service("metrics", at, json!(["203.0.113.30"])),
    ]);
    let reader = set.with_token(EnvironmentKind::Production, Role::Reader).await;
    assert_eq!(reader.get("/v1/services").await.body, json!({ "services": expected }));
    set.with_bearer("unknown").get("/v1/services").await.refused(401, &[]);
}
