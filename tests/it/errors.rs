//! The shape of everything that is not a success, and of successes without a body.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{Answer, Api};
use crate::world::{NOW, World};

#[track_caller]
fn only_a_message(answer: &Answer) {
    let members: Vec<&String> = answer.body.as_object().expect("a JSON object").keys().collect();
    assert_eq!(members, ["message"], "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[tokio::test]
async fn an_unknown_path_is_404() {
    let api = Api::new().await;
    for path in ["/", "/v1", "/v1/nothing", "/v1/customers/", "/v2/customers", "/V1/customers", "/v1/%00"] {
        let answer = api.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        only_a_message(&answer);
    }
}

#[tokio::test]
async fn a_wrong_method_is_405() {
    let api = Api::new().await;
    let cases = [
        (Method::DELETE, "/v1/customers"),
        (Method::PUT, "/v1/customers"),
        (Method::GET, "/v1/ingest"),
        (Method::PATCH, "/v1/contracts/create"),
        (Method::GET, "/v2/contracts/get"),
        (Method::POST, "/healthz"),
    ];
    for (method, path) in cases {
        let answer = api.send(method, path, Body::empty()).await;
        assert_eq!(answer.status, 405, "{path}");
        only_a_message(&answer);
    }
}

#[tokio::test]
async fn v1_answers_a_message_and_v2_a_code_beside_it() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    let customer = json!({ "customer_id": unknown, "contract_id": world.contract });
    let contract = json!({ "customer_id": world.customer, "contract_id": unknown });
    let malformed = json!({ "customer_id": 7 });
    for (body, status) in [(&customer, 404), (&contract, 404), (&malformed, 400)] {
        let answer = api.post("/v1/contracts/get", body.clone()).await;
        answer.refused(status, &[]);
        only_a_message(&answer);
    }
    let cases =
        [(&customer, "CustomerNotFound"), (&contract, "ContractNotFound"), (&malformed, "BadRequest")];
    for (body, code) in cases {
        let answer = api.post("/v2/contracts/get", body.clone()).await;
        answer.refused(400, &[]);
        assert_eq!(answer.body["code"], code, "{}", answer.body);
        assert_eq!(answer.body.as_object().map(serde_json::Map::len), Some(2), "{}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    let answer = api.post("/v2/contracts/list", json!({ "customer_id": unknown })).await;
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &json!("CustomerNotFound")));
    let answer = api.send(Method::POST, "/v2/contracts/list", Body::from("{")).await;
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &json!("BadRequest")));
}

#[tokio::test]
async fn v2_without_a_token_has_no_code() {
    let api = Api::new().await.with_bearer("unknown");
    let answer = api.post("/v2/contracts/get", json!({})).await;
    answer.refused(401, &[]);
    only_a_message(&answer);
}

#[tokio::test]
async fn a_customers_contract_is_missing_under_another_customer() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let other = api.customer("acct-2").await;
    let body = json!({ "customer_id": other, "contract_id": world.contract });
    api.post("/v1/contracts/get", body.clone()).await.refused(404, &["contract"]);
    let answer = api.post("/v2/contracts/get", body).await;
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &json!("ContractNotFound")));
    let invoice = format!("/v1/customers/{other}/invoices/{}", world.invoice);
    api.get(&invoice).await.refused(404, &["invoice"]);
}

#[tokio::test]
async fn a_conflict_tells_the_sdks_not_to_retry() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let alias = api.post("/v1/customers", json!({ "name": "x", "ingest_aliases": ["acct-1"] })).await;
    let contract = json!({ "customer_id": world.customer, "starting_at": NOW, "uniqueness_key": "k" });
    api.post("/v1/contracts/create", contract.clone()).await.id();
    let key = api.post("/v1/contracts/create", contract).await;
    for answer in [alias, key] {
        answer.refused(409, &[]);
        only_a_message(&answer);
        assert_eq!(answer.headers["x-should-retry"], "false");
    }
    let mistake = api.post("/v1/customers", json!({})).await;
    assert!(!mistake.headers.contains_key("x-should-retry"), "a 400 is not retried anyway");
}

#[tokio::test]
async fn an_empty_200_has_no_content_type() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let events = json!([{ "transaction_id": "t", "customer_id": "c", "event_type": "e", "timestamp": NOW }]);
    let aliases = format!("/v1/customers/{customer}/setIngestAliases");
    let requests = [("/v1/ingest", events), (aliases.as_str(), json!({ "ingest_aliases": [] }))];
    for (path, body) in requests {
        let answer = api.post(path, body).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &Value::Null), "{path}");
        assert!(!answer.headers.contains_key("content-type"), "{path}");
        assert_eq!(answer.headers["content-length"], "0", "{path}");
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let api = Api::new().await;
    let answers = [
        api.get("/v1/customers").await,
        api.get("/nothing").await,
        api.get("/healthz").await,
        api.with_bearer("unknown").get("/v1/customers").await,
        api.post("/v2/contracts/get", json!({})).await,
    ];
    let mut seen = std::collections::BTreeSet::new();
    for answer in answers {
        let id = answer.headers["x-request-id"].to_str().expect("text").to_owned();
        assert!(!id.is_empty() && seen.insert(id), "each its own");
    }
}

#[tokio::test]
async fn a_plain_request_id_is_echoed_and_any_other_replaced() {
    let api = Api::new().await;
    let too_long = "x".repeat(65);
    for (given, echoed) in [("my-id_7", true), ("a b", false), (too_long.as_str(), false), ("", false)] {
        let request = Request::builder().uri("/healthz").header("x-request-id", given);
        let answer = api.request(request.body(Body::empty()).expect("a request")).await;
        let id = answer.headers["x-request-id"].to_str().expect("text");
        assert_eq!(id == given, echoed, "{given}");
        assert!(!id.is_empty());
    }
}

#[tokio::test]
async fn any_accept_header_is_served() {
    let api = Api::new().await;
    for accept in ["*/*", "application/json", "text/html", "application/xml;q=0"] {
        let request = Request::builder().uri("/nothing").header("accept", accept);
        let answer = api.request(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, 404, "{accept}");
    }
}
