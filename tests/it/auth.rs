//! Who may call what.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;
use upbeat::access::{self, EnvironmentKind, Role};

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
    let world = World::new(&api).await;
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
    let world = World::new(&api).await;
    let reader = api.with_token(EnvironmentKind::Sandbox, Role::Reader).await;
    for operation in world.operations() {
        let method: Method = operation.method.parse().expect("a method");
        let body =
            if operation.body.is_null() { Body::empty() } else { Body::from(operation.body.to_string()) };
        let answer = reader.send(method, &operation.path, body).await;
        let expected = if operation.writes { 403 } else { 200 };
        let name = (operation.method, operation.route);
        assert_eq!(answer.status.as_u16(), expected, "{name:?}: {}", answer.body);
    }
    let customers = api.get("/v1/customers").await.data();
    assert_eq!(customers.as_array().map(Vec::len), Some(1), "nothing was made");
}

#[tokio::test]
async fn a_writer_may_do_whatever_an_admin_may() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
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
