//! Many at once: exactly one wins, and nobody sees a fault.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use upbeat::access;
use upbeat::postgres::share_arrivals;

use crate::support::{Answer, Api, Metric};
use crate::world::NOW;

/// Sends all requests at once, in turn to two replicas; answers how often each status came.
async fn race(api: &Api, requests: impl IntoIterator<Item = (String, Value)>) -> BTreeMap<u16, usize> {
    let replicas = [api.clone(), api.replica()];
    let mut running = JoinSet::new();
    for (index, (path, body)) in requests.into_iter().enumerate() {
        let api = replicas[index % 2].clone();
        running.spawn(async move { api.post(&path, body).await });
    }
    let answers: Vec<Answer> = running.join_all().await;
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.status.as_u16()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_uniqueness_key_makes_one_contract() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let body =
        json!({ "customer_id": customer, "starting_at": "2026-03-01T00:00:00Z", "uniqueness_key": "k" });
    let requests = (0..50).map(|_| ("/v1/contracts/create".to_owned(), body.clone()));
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 1), (409, 49)]));
    let listed = api.post("/v1/contracts/list", json!({ "customer_id": customer })).await.data();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_uniqueness_key_makes_one_contract_over_many_customers() {
    let api = Api::at(NOW).await;
    let mut requests = Vec::new();
    for index in 0..10 {
        let customer = api.customer(&index.to_string()).await;
        let body =
            json!({ "customer_id": customer, "starting_at": "2026-03-01T00:00:00Z", "uniqueness_key": "k" });
        requests.extend((0..5).map(|_| ("/v1/contracts/create".to_owned(), body.clone())));
    }
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 1), (409, 49)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_alias_makes_one_customer() {
    let api = Api::at(NOW).await;
    let requests = (0..50).map(|index| {
        // each with the others in another order
        let mut aliases = vec![format!("own {index}"), "a".to_owned(), "b".to_owned()];
        aliases.rotate_left(index % 3);
        ("/v1/customers".to_owned(), json!({ "name": "x", "ingest_aliases": aliases }))
    });
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 1), (409, 49)]));
    assert_eq!(
        api.get("/v1/customers").await.data().as_array().map(Vec::len),
        Some(1),
        "a loser leaves nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_free_alias_goes_to_one_customer() {
    let api = Api::at(NOW).await;
    let mut requests = Vec::new();
    for index in 0..50 {
        let customer = api.customer(&format!("own {index}")).await;
        let path = format!("/v1/customers/{customer}/setIngestAliases");
        requests.push((path, json!({ "ingest_aliases": [format!("own {index}"), "free"] })));
    }
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 1), (409, 49)]));
    let held = api.get("/v1/customers?ingest_alias=free").await.data();
    assert_eq!(held.as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn customers_who_swap_aliases_wait_for_each_other_without_a_fault() {
    let api = Api::at(NOW).await;
    let mut requests = Vec::new();
    for pair in 0..20 {
        let names = [format!("left {pair}"), format!("right {pair}")];
        for (own, other) in [(0, 1), (1, 0)] {
            let customer = api.customer(&names[own]).await;
            let path = format!("/v1/customers/{customer}/setIngestAliases");
            requests.push((path, json!({ "ingest_aliases": [names[other]] })));
        }
    }
    let statuses = race(&api, requests).await;
    assert!(statuses.keys().all(|status| [200, 409].contains(status)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_transaction_id_counts_once_over_two_replicas() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let customer = api.customer("acct").await;
    let event = |id: String| json!({ "transaction_id": id, "customer_id": "acct", "event_type": "use", "timestamp": NOW });
    // every request brings the same id, one of its own, and two more that all share, in another order
    let requests = (0..50).map(|index| {
        let mut ids = vec!["same".to_owned(), "b".to_owned(), "a".to_owned(), format!("own {index}")];
        ids.rotate_left(index % 4);
        ("/v1/ingest".to_owned(), ids.into_iter().map(event).collect())
    });
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 50)]));
    let usage = json!({
        "customer_ids": [customer], "billable_metrics": [{ "id": metric }], "window_size": "NONE",
        "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z",
    });
    assert_eq!(api.post("/v1/usage", usage).await.data()[0]["value"], json!(53));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_name_of_many_cards_belongs_to_the_last() {
    let api = Api::at(NOW).await;
    let requests = (0..50).map(|index| {
        let alias = if index % 2 == 0 {
            json!({ "name": "standard" })
        } else {
            json!({ "name": "standard", "starting_at": "2026-03-01T00:00:00Z" })
        };
        let body = json!({ "name": "card", "aliases": [alias] });
        ("/v1/contract-pricing/rate-cards/create".to_owned(), body)
    });
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 50)]));
    let customer = api.customer("acct").await;
    let body = json!({ "customer_id": customer, "starting_at": NOW, "rate_card_alias": "standard" });
    api.post("/v1/contracts/create", body).await.id();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_cards_that_take_two_names_in_opposite_order_make_no_fault() {
    let api = Api::at(NOW).await;
    let requests = (0..50).map(|index| {
        let names = if index % 2 == 0 { ["a", "b"] } else { ["b", "a"] };
        let body = json!({ "name": "card", "aliases": [{ "name": names[0] }, { "name": names[1] }] });
        ("/v1/contract-pricing/rate-cards/create".to_owned(), body)
    });
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 50)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn archiving_and_contracting_one_customer_never_leaves_a_live_contract() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let contract = json!({ "customer_id": customer, "starting_at": "2026-03-01T00:00:00Z" });
    let mut requests: Vec<(String, Value)> =
        (0..20).map(|_| ("/v1/contracts/create".to_owned(), contract.clone())).collect();
    for at in [3, 9, 15] {
        requests.insert(at, ("/v1/customers/archive".to_owned(), json!({ "id": customer })));
    }
    let statuses = race(&api, requests).await;
    assert!(statuses.keys().all(|status| [200, 400].contains(status)), "{statuses:?}");
    let listed = api.post("/v1/contracts/list", json!({ "customer_id": customer })).await.data();
    assert_eq!(listed, json!([]), "every contract is archived");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn updates_of_one_product_that_exclude_each_other_never_meet() {
    let api = Api::at(NOW).await;
    let grouped = api.metric(Metric { aggregation: "COUNT", key: None, groups: &["model"] }).await;
    let plain = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    for _ in 0..3 {
        let product = api.product("P", &grouped, json!({})).await;
        // either is fine alone; after one of them the other is 400
        let changes = [json!({ "pricing_group_key": ["model"] }), json!({ "billable_metric_id": plain })];
        let requests = (0..20).map(|index| {
            let mut body = changes[index % 2].clone();
            body["product_id"] = json!(product);
            body["starting_at"] = json!(format!("2026-04-{:02}T00:00:00Z", 1 + index % 7));
            ("/v1/contract-pricing/products/update".to_owned(), body)
        });
        assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 10), (400, 10)]));
        let shown = api.post("/v1/contract-pricing/products/get", json!({ "id": product })).await.data();
        assert_eq!(shown["updates"].as_array().map(Vec::len), Some(10));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn metrics_come_and_go_while_events_arrive() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let customer = api.customer("acct").await;
    let requests = (0..60).map(|index| {
        if index % 3 == 0 {
            let body = json!({ "name": format!("metric {index}"), "aggregation_type": "COUNT" });
            return ("/v1/billable-metrics/create".to_owned(), body);
        }
        let event = json!({
            "transaction_id": index.to_string(), "customer_id": "acct", "event_type": "use", "timestamp": NOW,
        });
        ("/v1/ingest".to_owned(), json!([event]))
    });
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 60)]));
    let usage = json!({
        "customer_ids": [customer], "billable_metrics": [{ "id": metric }], "window_size": "NONE",
        "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z",
    });
    assert_eq!(api.post("/v1/usage", usage).await.data()[0]["value"], json!(40));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn more_clock_moves_than_connections_all_succeed() {
    let api = Api::new().await;
    let requests = (0..40).map(|_| ("/sandbox/clock".to_owned(), json!({ "live": true })));
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 40)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_in_flight_that_never_ends_stops_neither_ingest_nor_reads() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let environments =
        access::list_environments(&mut api.app.db.acquire().await.expect("a connection")).await;
    let mut stuck = api.app.db.begin().await.expect("a transaction");
    for environment in environments.expect("a list") {
        share_arrivals(&mut stuck, environment.id).await.expect("the lock");
    }
    let metric = json!({ "name": "m", "aggregation_type": "COUNT" });
    let waits = {
        let (api, metric) = (api.clone(), metric.clone());
        tokio::spawn(async move { api.post("/v1/billable-metrics/create", metric).await })
    };
    let event = json!([{
        "transaction_id": "t", "customer_id": customer, "event_type": "use", "timestamp": NOW, "properties": {},
    }]);
    let requests = (0..30).map(|_| ("/v1/ingest".to_owned(), event.clone()));
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 30)]));
    assert_eq!(api.get("/v1/customers").await.data()[0]["id"], json!(customer));
    waits.await.expect("an answer").refused(503, &["try again"]);
    stuck.rollback().await.expect("the lock is gone");
    api.post("/v1/billable-metrics/create", metric).await.id();
}
