//! What load balancers and Prometheus ask.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use crate::support::{Answer, Api};

async fn probe(api: &Api, path: &str) -> Answer {
    api.request(Request::builder().uri(path).body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn a_healthy_server_is_alive_and_ready_without_a_token() {
    let api = Api::new().await;
    let alive = probe(&api, "/healthz").await;
    assert_eq!((alive.status.as_u16(), alive.body), (200, json!({ "status": "ok" })));
    let ready = probe(&api, "/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.body), (200, json!({ "status": "ready" })));
}

#[tokio::test]
async fn a_database_that_is_not_migrated_is_not_ready() {
    let api = Api::new().await;
    let last = "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
    sqlx::query(last).execute(&api.app.db).await.expect("undone");
    probe(&api, "/readyz").await.refused(503, &["migrated"]);
    sqlx::query("DROP TABLE _sqlx_migrations").execute(&api.app.db).await.expect("dropped");
    probe(&api, "/readyz").await.refused(503, &["database"]);
    assert_eq!(probe(&api, "/healthz").await.status, 200);
}

#[tokio::test]
async fn without_a_database_the_server_is_alive_but_serves_503() {
    let api = Api::new().await;
    api.app.db.close().await;
    api.app.reserved_db.close().await;
    assert_eq!(probe(&api, "/healthz").await.status, 200);
    probe(&api, "/readyz").await.refused(503, &["database"]);
    for answer in [api.get("/v1/customers").await, api.post("/v1/ingest", json!([])).await] {
        answer.refused(503, &["database"]);
        assert!(answer.headers.contains_key("retry-after"));
        assert_eq!(answer.body.as_object().map(serde_json::Map::len), Some(1));
    }
}

#[tokio::test]
async fn metrics_are_prometheus_text_and_count_by_route() {
    let api = Api::new().await;
    let handle = upbeat::telemetry::start_metrics();
    let router = upbeat::app::app(api.app.clone(), Some(handle));
    api.customer("acct").await;
    api.get("/v1/customers/00000000-0000-4000-8000-000000000000").await.refused(404, &[]);
    api.get("/nothing/at/all").await.refused(404, &[]);
    let request = Request::builder().uri("/metrics").body(Body::empty()).expect("a request");
    let response = router.oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    for part in
        ["route=\"/v1/customers/{customer_id}\"", "route=\"unmatched\"", "upbeat_http_request_seconds_bucket"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("00000000-0000"), "no path of a caller becomes a label");
}
