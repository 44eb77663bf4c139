//! Who may call what.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use chrono::TimeDelta;
use serde_json::json;
use upbeat::access::{self, EnvironmentKind, Peer, RateLimits, Role, Settings};

use crate::support::{Answer, Api};
use crate::world::{NOW, World};

async fn with_header(api: &Api, authorization: Option<&str>) -> Answer {
    let mut request = Request::builder().uri("/v1/customers");
    if let Some(text) = authorization {
        request = request.header("authorization", text);
    }
    api.request(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn without_a_bearer_token_is_401() {
    let api = Api::new().await;
    for header in [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Basic dTpw"), Some("abc")] {
        let answer = with_header(&api, header).await;
        answer.refused(401, &["Authorization: Bearer"]);
        assert_eq!(answer.headers["content-type"], "application/json", "{header:?}");
    }
}

#[tokio::test]
async fn an_unknown_token_is_401() {
    let api = Api::new().await;
    for token in ["0".repeat(64), "x".to_owned(), "é".to_owned(), "t".repeat(100_000)] {
        api.with_bearer(&token).get("/v1/customers").await.refused(401, &[]);
    }
}

#[tokio::test]
async fn an_archived_token_is_401_at_once() {
    let api = Api::new().await;
    let reader = api.with_token(EnvironmentKind::Sandbox, Role::Reader).await;
    reader.get("/v1/customers").await.data();
    let mut db = api.app.db.acquire().await.expect("a connection");
    let tokens = access::list(&mut db).await.expect("tokens");
    let token = tokens.iter().find(|token| token.role == Role::Reader).expect("the reader");
    assert!(access::archive(&mut db, token.id, api.app.clock.now()).await.expect("archived").is_some());
    reader.get("/v1/customers").await.refused(401, &["archived"]);
    api.get("/v1/customers").await.data();
}

#[tokio::test]
async fn the_scheme_is_read_in_any_casing() {
    let api = Api::new().await;
    let mut db = api.app.db.acquire().await.expect("a connection");
    let sandbox = access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
    let now = api.app.clock.now();
    access::bootstrap(&mut db, &api.app.ids, sandbox.id, "secret", now).await.expect("a token");
    for header in ["bearer secret", "BEARER secret", "Bearer  secret "] {
        assert_eq!(with_header(&api, Some(header)).await.status, 200, "{header}");
    }
}

#[tokio::test]
async fn every_operation_wants_a_token() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    for operation in world.operations() {
        let request = Request::builder().method(operation.method).uri(&operation.path);
        let body =
            if operation.body.is_null() { Body::empty() } else { Body::from(operation.body.to_string()) };
        let answer = api.request(request.body(body).expect("a request")).await;
        assert_eq!(answer.status, 401, "{} {}", operation.method, operation.route);
        assert_eq!(
            answer.body.as_object().map(serde_json::Map::len),
            Some(1),
            "only a message: {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a_token_is_looked_at_before_the_body() {
    let api = Api::new().await.with_bearer("unknown");
    api.send(Method::POST, "/v1/customers", Body::from("{")).await.refused(401, &[]);
    api.send(Method::POST, "/v1/ingest", Body::from("{")).await.refused(401, &[]);
}

#[tokio::test]
async fn a_reader_reads_and_changes_nothing() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let reader = api.with_token(EnvironmentKind::Sandbox, Role::Reader).await;
    let customers = async || api.get("/v1/customers").await.data();
    let before = customers().await;
    for operation in world.operations() {
        let method: Method = operation.method.parse().expect("a method");
        let body =
            if operation.body.is_null() { Body::empty() } else { Body::from(operation.body.to_string()) };
        let answer = reader.send(method, &operation.path, body).await;
        let expected = if operation.writes { 403 } else { 200 };
        let name = (operation.method, operation.route);
        assert_eq!(answer.status.as_u16(), expected, "{name:?}: {}", answer.body);
    }
    assert_eq!(customers().await, before, "nothing was made");
}

#[tokio::test]
async fn a_writer_may_do_whatever_an_admin_may() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let writer = api.with_token(EnvironmentKind::Sandbox, Role::Writer).await;
    for operation in world.operations() {
        let method: Method = operation.method.parse().expect("a method");
        let body =
            if operation.body.is_null() { Body::empty() } else { Body::from(operation.body.to_string()) };
        let answer = writer.send(method, &operation.path, body).await;
        assert_eq!(answer.status, 200, "{} {}: {}", operation.method, operation.route, answer.body);
    }
}

#[tokio::test]
async fn production_has_no_movable_clock() {
    let api = Api::new().await.with_token(EnvironmentKind::Production, Role::Admin).await;
    api.get("/sandbox/clock").await.refused(403, &["production"]);
    api.post("/sandbox/clock", json!({ "now": NOW })).await.refused(403, &["production"]);
}

/// A GET of `path`, or a POST of `{}`, from an address.
async fn from(api: &Api, peer: Option<&str>, forwarded: &[&str], method: Method, path: &str) -> Answer {
    let body = if method == Method::POST { Body::from("{}") } else { Body::empty() };
    let mut request = api.builder(method, path);
    for line in forwarded {
        request = request.header("x-forwarded-for", *line);
    }
    let mut request = request.body(body).expect("a request");
    if let Some(peer) = peer {
        request.extensions_mut().insert(Peer(peer.parse().expect("an address and a port")));
    }
    api.request(request).await
}

#[tokio::test]
async fn an_expired_token_is_401_on_the_moment() {
    let api = Api::new().await;
    let end = api.app.clock.now() + TimeDelta::milliseconds(1500);
    let token = api.with_new_token(EnvironmentKind::Sandbox, |token| token.expires_at = Some(end)).await;
    token.get("/v1/customers").await.data();
    // A frozen clock lengthens nothing.
    token.move_clock("2026-03-10T00:00:00Z").await;
    token.get("/v1/customers").await.data();
    while api.app.clock.now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for replica in [&token, &token.replica()] {
        replica.get("/v1/customers").await.refused(401, &["expired"]);
        replica.post("/v1/customers", json!({ "name": "x" })).await.refused(401, &["expired"]);
    }
    assert_eq!(api.number("SELECT count(*) FROM audit_log WHERE status = 'failure'").await, 0);
}

#[tokio::test]
async fn a_token_of_a_network_is_403_elsewhere() {
    let api = Api::new().await;
    let networks = vec!["203.0.113.0/24".to_owned(), "2001:db8::/32".to_owned()];
    let token = api.with_new_token(EnvironmentKind::Sandbox, |token| token.networks = Some(networks)).await;
    let status = async |peer: Option<&str>| {
        from(&token, peer, &[], Method::GET, "/v1/customers").await.status.as_u16()
    };
    for inside in ["203.0.113.0:1", "203.0.113.255:65535", "[2001:db8::1]:1", "[::ffff:203.0.113.7]:1"] {
        assert_eq!(status(Some(inside)).await, 200, "{inside}");
    }
    for outside in ["203.0.112.255:1", "203.0.114.0:1", "127.0.0.1:1", "[2001:db9::1]:1", "[::1]:1"] {
        assert_eq!(status(Some(outside)).await, 403, "{outside}");
    }
    assert_eq!(status(None).await, 403, "an unknown address is in no network");
    let claimed = from(&token, Some("127.0.0.1:1"), &["203.0.113.7"], Method::GET, "/v1/customers").await;
    claimed.refused(403, &["address"]);
    assert_eq!(claimed.body.as_object().map(serde_json::Map::len), Some(1), "only a message");
    let refused = from(&token, Some("127.0.0.1:1"), &[], Method::POST, "/v1/customers").await;
    refused.refused(403, &["address"]);
    let lines = api.get("/v1/auditLogs?sort=date_desc&limit=1").await.data();
    assert_eq!((&lines[0]["status"], &lines[0]["request"]["ip"]), (&json!("failure"), &json!("127.0.0.1")));
}

#[tokio::test]
async fn a_trusted_proxy_says_where_a_request_comes_from() {
    let api = Api::new().await;
    let networks = vec!["203.0.113.0/24".to_owned()];
    let bound = api.with_new_token(EnvironmentKind::Sandbox, |token| token.networks = Some(networks)).await;
    let trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    let behind = bound.replica_with(Settings { trusted_proxies, ..Settings::default() });
    let cases: [(&str, &[&str], u16); 8] = [
        ("10.0.0.1:1", &["203.0.113.7"], 200),
        ("10.0.0.1:1", &["198.51.100.1, 203.0.113.7, 10.9.9.9"], 200),
        ("10.0.0.1:1", &["198.51.100.1", "203.0.113.7"], 200),
        ("10.0.0.1:1", &["203.0.113.7, 198.51.100.1"], 403),
        ("10.0.0.1:1", &["203.0.113.7", "198.51.100.1"], 403),
        ("10.0.0.1:1", &[], 403),
        ("10.0.0.1:1", &["203.0.113.7:80"], 403),
        ("192.0.2.1:1", &["203.0.113.7"], 403),
    ];
    for (peer, forwarded, status) in cases {
        let answer = from(&behind, Some(peer), forwarded, Method::GET, "/v1/customers").await;
        assert_eq!(answer.status.as_u16(), status, "{peer} {forwarded:?}");
    }
    let answer = from(&bound, Some("10.0.0.1:1"), &["203.0.113.7"], Method::GET, "/v1/customers").await;
    assert_eq!(answer.status, 403, "no proxy is trusted unless it is set");
}

#[tokio::test]
async fn a_token_of_some_operations_is_403_for_others() {
    let api = Api::at(NOW).await;
    let world = World::whole(&api).await;
    let endpoints = ["POST /v1/ingest", "GET /v1/customers/*", "/v1/contracts/list", "* nothing"];
    let endpoints = endpoints.map(str::to_owned).to_vec();
    let token = api.with_new_token(EnvironmentKind::Sandbox, |token| token.endpoints = Some(endpoints)).await;
    let allowed = [
        ("POST", "/v1/ingest"),
        ("GET", "/v1/customers/{customer_id}"),
        ("GET", "/v1/customers/{customer_id}/invoices"),
        ("GET", "/v1/customers/{customer_id}/invoices/{invoice_id}"),
        ("POST", "/v1/contracts/list"),
    ];
    for operation in world.operations() {
        let name = (operation.method, operation.route);
        let method: Method = operation.method.parse().expect("a method");
        let body =
            if operation.body.is_null() { Body::empty() } else { Body::from(operation.body.to_string()) };
        let answer = token.send(method, &operation.path, body).await;
        // Later operations under the customer's path are allowed as well.
        let is_allowed = allowed.contains(&name) || name.0 == "GET" && name.1.starts_with("/v1/customers/");
        assert_eq!(answer.status.as_u16(), if is_allowed { 200 } else { 403 }, "{name:?}: {}", answer.text);
    }
    token.get("/v1/nothing").await.refused(404, &[]);
    api.get("/v1/customers").await.data();
}

#[tokio::test]
async fn restrictions_hold_under_a_key_and_a_rate_limit_too() {
    let api = Api::new().await;
    let endpoints = vec!["POST /v1/ingest".to_owned()];
    let token = api.with_new_token(EnvironmentKind::Sandbox, |token| token.endpoints = Some(endpoints)).await;
    api.keyed("k", "/v1/customers", json!({ "name": "a" })).await.id();
    token.keyed("k", "/v1/customers", json!({ "name": "a" })).await.refused(403, &["operation"]);
    let limits = RateLimits::new(&["POST /v1/customers=9".parse().expect("a limit")]);
    let limited = token.replica_with(Settings { rate_limits: limits, ..Settings::default() });
    limited.post("/v1/customers", json!({ "name": "a" })).await.refused(403, &["operation"]);
}
