//! Many at once: exactly one wins, and nobody sees a fault.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use upbeat::access::{self, EnvironmentKind};
use upbeat::job::{self, DueWork};
use upbeat::postgres::share_arrivals;
use upbeat::usage::begin_settled_snapshot;

use crate::contract_ends::faults;
use crate::support::{Answer, Api, Metric};
use crate::world::{NOW, World};

/// Sends all requests at once, in turn to two replicas; answers how often each status came.
pub async fn race(api: &Api, requests: impl IntoIterator<Item = (String, Value)>) -> BTreeMap<u16, usize> {
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

/// Commits and credits share one space of keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_uniqueness_key_makes_one_commit_or_credit() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let other = api.customer("acct-2").await;
    let grant = |customer: &str, key: &str| {
        json!({
            "customer_id": customer, "product_id": world.fee, "priority": 1, "type": "PREPAID", "uniqueness_key": key,
            "access_schedule": { "schedule_items": [
                { "amount": 5, "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z" },
            ] },
        })
    };
    let path = |kind: &str| format!("/v1/contracts/customer{kind}/create");
    for (round, kinds) in
        [["Commits", "Commits"], ["Credits", "Credits"], ["Commits", "Credits"]].into_iter().enumerate()
    {
        let key = format!("key {round}");
        let before = api.number("SELECT count(*) FROM balance").await;
        let requests = (0..50).map(|index| {
            let customer = if index % 4 < 2 { &world.customer } else { &other };
            (path(kinds[index % 2]), grant(customer, &key))
        });
        assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 1), (409, 49)]), "{kinds:?}");
        assert_eq!(api.number("SELECT count(*) FROM balance").await, before + 1, "{kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_uniqueness_key_writes_one_entry_and_makes_one_package() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let credit = json!({
        "customer_id": world.customer, "product_id": world.fee, "priority": 1,
        "access_schedule": { "schedule_items": [
            { "amount": 5, "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z" },
        ] },
    });
    let credit = api.post("/v1/contracts/customerCredits/create", credit).await.id();
    let list = json!({ "customer_id": world.customer, "include_balance": true });
    let list = async || api.post("/v1/contracts/customerCredits/list", list.clone()).await.data();
    let segment = list().await[0]["access_schedule"]["schedule_items"][0]["id"].clone();
    let entry = json!({
        "customer_id": world.customer, "id": credit, "segment_id": segment, "amount": 7, "reason": "Goodwill",
        "uniqueness_key": "k",
    });
    let requests = (0..50).map(|_| ("/v1/contracts/addManualBalanceLedgerEntry".to_owned(), entry.clone()));
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 1), (409, 49)]));
    assert_eq!(list().await[0]["balance"], json!(12));
    let package = json!({ "name": "Plan", "uniqueness_key": "k" });
    let requests = (0..50).map(|_| ("/v1/packages/create".to_owned(), package.clone()));
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
async fn one_window_of_an_alias_ends_with_exactly_one_card() {
    let api = Api::at(NOW).await;
    let mut cards = Vec::new();
    for _ in 0..10 {
        cards.push(api.rate_card().await.card);
    }
    // every card has names of its own, too, and brings them in another order
    let requests = (0..50).map(|index| {
        let mut aliases = vec![
            json!({ "name": "std", "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z" }),
            json!({ "name": "other" }),
            json!({ "name": format!("own {}", index % 10) }),
        ];
        aliases.rotate_left(index % 3);
        let body = json!({ "rate_card_id": cards[index % 10], "aliases": aliases });
        ("/v1/contract-pricing/rate-cards/update".to_owned(), body)
    });
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 50)]));
    let shown = api.post("/v1/contract-pricing/rate-cards/list", json!({})).await.data();
    for name in ["std", "other"] {
        let held = |card: &&Value| {
            card["aliases"].as_array().expect("aliases").iter().any(|alias| alias["name"] == name)
        };
        let holders: Vec<&Value> = shown.as_array().expect("cards").iter().filter(held).collect();
        assert_eq!(holders.len(), 1, "{name}: {holders:?}");
    }
    let customer = api.customer("acct").await;
    let body = json!({ "customer_id": customer, "starting_at": NOW, "rate_card_alias": "std" });
    api.post("/v1/contracts/create", body).await.id();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn orders_and_new_products_of_one_card_lose_no_product() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let card = api.rate_card().await;
    let mut products = Vec::new();
    for index in 0..30 {
        products.push(api.product(&index.to_string(), &metric, json!({})).await);
    }
    let start = "2026-01-01T00:00:00Z";
    for product in &products[..10] {
        api.flat(&card, product, start, "1", json!({})).await;
    }
    let requests = (0..60).map(|index| {
        let path = |name: &str| format!("/v1/contract-pricing/rate-cards/{name}");
        let product = &products[index % 10];
        match index % 3 {
            0 => {
                let order = [product, &products[(index + 1) % 10]];
                let body = json!({ "rate_card_id": card.card, "product_order": order });
                (path("setRateCardProductsOrder"), body)
            }
            1 => {
                let moves = json!([{ "product_id": product, "position": index % 10 }]);
                (path("moveRateCardProducts"), json!({ "rate_card_id": card.card, "product_moves": moves }))
            }
            _ => {
                let rate = json!({
                    "product_id": products[10 + index / 3], "starting_at": start, "entitled": true,
                    "rate_type": "FLAT", "price": 1,
                });
                (path("addRates"), json!({ "rate_card_id": card.card, "rates": [rate] }))
            }
        }
    });
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 60)]));
    let positions: Vec<i32> = sqlx::query_scalar("SELECT position FROM rate_card_product ORDER BY position")
        .fetch_all(&api.app.db)
        .await
        .expect("the positions");
    assert_eq!(positions, (1..=30).collect::<Vec<i32>>(), "one place for each product");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_card_that_is_archived_takes_no_rate_after_it() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let (product, card) = (api.product("p", &metric, json!({})).await, api.rate_card().await);
    let rate = json!({
        "rate_card_id": card.card, "product_id": product, "starting_at": "2026-01-01T00:00:00Z",
        "entitled": true, "rate_type": "FLAT", "price": 1,
    });
    let path = |name: &str| format!("/v1/contract-pricing/rate-cards/{name}");
    let mut requests: Vec<(String, Value)> = (0..40).map(|_| (path("addRate"), rate.clone())).collect();
    requests.insert(15, (path("archive"), json!({ "id": card.card })));
    let statuses = race(&api, requests).await;
    assert!(statuses.keys().all(|status| [200, 400].contains(status)), "{statuses:?}");
    let rates: i64 =
        sqlx::query_scalar("SELECT count(*) FROM rate").fetch_one(&api.app.db).await.expect("a count");
    assert_eq!(usize::try_from(rates).expect("a count") + 1, statuses[&200], "what was answered is there");
    api.post(&path("addRate"), rate).await.refused(400, &["rate_card_id", "archived"]);
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

/// What a worker takes, in the transaction that holds it.
async fn taken(api: &Api, only: Option<&str>) -> (sqlx::Transaction<'static, sqlx::Postgres>, Vec<DueWork>) {
    let mut db = api.app.db.acquire().await.expect("a connection");
    let sandbox = access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
    drop(db);
    let (mut snapshot, _) = begin_settled_snapshot(&api.app.db, sandbox.id).await.expect("a snapshot");
    let now = sandbox.frozen_at.expect("a frozen clock");
    let works = job::take(&mut snapshot, sandbox.id, now, api.app.clock.now(), 64, only).await;
    (snapshot, works.expect("a look"))
}

/// A step may wait for what the customer has due before: that of a contract which renews another for the statements of that one.
#[tokio::test]
async fn a_worker_leaves_what_comes_after_a_step_of_its_customer_that_another_one_is_at() {
    let api = Api::at("2026-02-10T00:00:00Z").await;
    let customer = api.customer("acct").await;
    let contract = |start: &str, end: Value| json!({ "customer_id": customer, "starting_at": start, "ending_before": end });
    let ended = contract("2026-01-01T00:00:00Z", json!("2026-01-15T00:00:00Z"));
    let first = api.post("/v1/contracts/create", ended).await.id();
    let second = contract("2026-01-15T00:00:00Z", Value::Null);
    let second = api.post("/v1/contracts/create", second).await.id();
    let other = json!({ "customer_id": api.customer("other").await, "starting_at": "2026-01-01T00:00:00Z" });
    let other = api.post("/v1/contracts/create", other).await.id();

    let subjects =
        |works: &[DueWork]| -> Vec<String> { works.iter().map(|work| work.subject_id.to_string()).collect() };
    let (held, works) = taken(&api, None).await;
    assert_eq!(subjects(&works), [first]);
    for only in [None, Some(job::kind::FINALIZE_USAGE_STATEMENT)] {
        let (_, works) = taken(&api, only).await;
        assert_eq!(subjects(&works), [other.as_str()], "not {second}, which is due at the same time");
    }
    drop(held);
    api.work().await;
    assert_eq!(
        api.invoices(&customer).await.iter().filter(|invoice| invoice["status"] == "FINALIZED").count(),
        2
    );
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

/// Eight contracts, each of which bills the customer's 30 tokens of February at 3 cents.
async fn sign_eight_contracts(api: &Api, world: &World, customer: &str) {
    let used = json!({ "tokens": 30, "model": "small" });
    api.event("shared", "2026-02-20T00:00:00Z", used).await;
    for _ in 0..8 {
        let terms = json!({
            "customer_id": customer, "rate_card_id": world.card, "starting_at": "2026-01-01T00:00:00Z",
        });
        api.post("/v1/contracts/create", terms).await.id();
    }
}

/// A commit of 250 of the customer, for all its contracts.
async fn shared_commit(api: &Api, world: &World, customer: &str) -> String {
    let commit = json!({
        "customer_id": customer, "type": "PREPAID", "priority": 1, "product_id": world.fee,
        "access_schedule": { "schedule_items": [
            { "amount": 250, "starting_at": "2026-01-01T00:00:00Z", "ending_before": "2027-01-01T00:00:00Z" },
        ] },
    });
    api.post("/v1/contracts/customerCommits/create", commit).await.id()
}

/// The invoices of February that are final.
async fn februaries(api: &Api, customer: &str) -> Vec<Value> {
    let mut invoices = api.invoices(customer).await;
    invoices
        .retain(|one| one["status"] == "FINALIZED" && one["end_timestamp"] == "2026-03-01T00:00:00+00:00");
    invoices
}

/// Eight invoices of 90 drew all of the commit, and no cent twice.
async fn assert_drawn_once(api: &Api, customer: &str, commit: &str) {
    let totals: Vec<i64> =
        februaries(api, customer).await.iter().map(|one| one["total"].as_i64().expect("cents")).collect();
    assert_eq!((totals.len(), totals.iter().sum::<i64>()), (8, 8 * 90 - 250), "{totals:?}");
    let listed = json!({ "customer_id": customer, "commit_id": commit, "include_ledgers": true, "include_balance": true });
    let listed = api.post("/v1/contracts/customerCommits/list", listed).await.data();
    let ledger = listed[0]["ledger"].as_array().expect("a ledger");
    let sum: i64 = ledger.iter().map(|entry| entry["amount"].as_i64().expect("cents")).sum();
    assert_eq!((sum, &listed[0]["balance"]), (0, &json!(0)), "{ledger:?}");
    assert_eq!(faults(api).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_finalizations_of_one_customer_draw_its_commit_once() {
    let api = Api::at("2026-03-10T12:00:00Z").await;
    let world = World::new(&api).await;
    let customer = api.customer("shared").await;
    let commit = shared_commit(&api, &world, &customer).await;
    sign_eight_contracts(&api, &world, &customer).await;
    let replicas: Vec<Api> = (0..4).map(|_| api.replica()).collect();
    futures_util::future::join_all(replicas.iter().map(Api::work)).await;
    assert_drawn_once(&api, &customer, &commit).await;
}

/// Each is made by a request of its own, so that nothing but the lock on the customer keeps them apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_invoices_of_one_customer_that_are_made_anew_at_once_draw_its_commit_once() {
    let api = Api::at("2026-03-10T12:00:00Z").await;
    let world = World::new(&api).await;
    let customer = api.customer("shared").await;
    sign_eight_contracts(&api, &world, &customer).await;
    api.work().await;
    let ids: Vec<Value> =
        februaries(&api, &customer).await.into_iter().map(|one| one["id"].clone()).collect();
    for id in &ids {
        api.post("/v1/invoices/void", json!({ "id": id })).await.id();
    }
    let commit = shared_commit(&api, &world, &customer).await;
    let requests = ids.iter().map(|id| ("/v1/invoices/regenerate".to_owned(), json!({ "id": id })));
    assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 8)]));
    assert_drawn_once(&api, &customer, &commit).await;
}

/// A customer whose credit of 100 is to pay for 90 of usage in February, which is due and not finalized.
struct Due {
    customer: String,
    credit: String,
    segment: String,
}

impl Due {
    async fn new(api: &Api, world: &World, alias: &str) -> Self {
        let customer = api.customer(alias).await;
        let credit = json!({
            "customer_id": customer, "priority": 1, "product_id": world.fee,
            "access_schedule": { "schedule_items": [
                { "amount": 100, "starting_at": "2026-01-01T00:00:00Z", "ending_before": "2027-01-01T00:00:00Z" },
            ] },
        });
        let credit = api.post("/v1/contracts/customerCredits/create", credit).await.id();
        let listed = json!({ "customer_id": customer, "credit_id": credit });
        let listed = api.post("/v1/contracts/customerCredits/list", listed).await.data();
        let segment =
            listed[0]["access_schedule"]["schedule_items"][0]["id"].as_str().expect("an id").to_owned();
        api.event(alias, "2026-02-20T00:00:00Z", json!({ "tokens": 30, "model": "small" })).await;
        let terms = json!({
            "customer_id": customer, "rate_card_id": world.card, "starting_at": "2026-02-01T00:00:00Z",
        });
        api.post("/v1/contracts/create", terms).await.id();
        Self { customer, credit, segment }
    }

    /// Takes 50 away.
    fn entry(&self) -> (String, Value) {
        let entry = json!({
            "customer_id": self.customer, "id": self.credit, "segment_id": self.segment, "amount": -50, "reason": "r",
        });
        ("/v1/contracts/addManualBalanceLedgerEntry".to_owned(), entry)
    }

    async fn february(&self, api: &Api) -> Value {
        let invoices = api.invoices(&self.customer).await;
        let is_it = |invoice: &&Value| {
            invoice["status"] == "FINALIZED" && invoice["end_timestamp"] == "2026-03-01T00:00:00+00:00"
        };
        invoices.iter().find(is_it).expect("an invoice").clone()
    }

    /// What the ledger says beside its start, by type, and what is left.
    async fn ledger(&self, api: &Api) -> (Vec<String>, Value) {
        let listed = json!({
            "customer_id": self.customer, "credit_id": self.credit, "include_ledgers": true, "include_balance": true,
        });
        let listed = api.post("/v1/contracts/customerCredits/list", listed).await.data();
        let ledger = listed[0]["ledger"].as_array().expect("a ledger").clone();
        let line = |entry: &Value| format!("{} {}", entry["type"].as_str().expect("a type"), entry["amount"]);
        (ledger[1..].iter().map(line).collect(), listed[0]["balance"].clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_manual_entry_and_a_finalization_at_once_come_one_after_the_other() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    for round in 0..6 {
        let due = Due::new(&api, &world, &format!("due {round}")).await;
        let replica = api.replica();
        let (path, entry) = due.entry();
        let (answer, ()) = tokio::join!(api.post(&path, entry), replica.work());
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
        api.work().await;
        let (entries, left) = due.ledger(&api).await;
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let found = (entries, due.february(&api).await["total"].clone());
        let entry_last = (vec!["CREDIT_MANUAL -50", "CREDIT_AUTOMATED_INVOICE_DEDUCTION -90"], json!(0));
        let entry_first = (vec!["CREDIT_MANUAL -50", "CREDIT_AUTOMATED_INVOICE_DEDUCTION -50"], json!(40));
        assert!(found == entry_last || found == entry_first, "round {round}: {found:?}");
        assert_eq!(left, json!(0), "round {round}");
    }
    assert_eq!(faults(&api).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_manual_entry_and_a_void_at_once_come_one_after_the_other() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    for round in 0..6 {
        let due = Due::new(&api, &world, &format!("due {round}")).await;
        api.work().await;
        let february = due.february(&api).await;
        assert_eq!(february["total"], json!(0));
        let void = ("/v1/invoices/void".to_owned(), json!({ "id": february["id"] }));
        let mut requests = vec![due.entry(), void];
        requests.rotate_left(round % 2);
        assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 2)]), "round {round}");
        let (entries, left) = due.ledger(&api).await;
        // Whichever came first: the same is left.
        let drawn = ["CREDIT_MANUAL -50", "CREDIT_AUTOMATED_INVOICE_DEDUCTION -90", "CREDIT_CANCELED 90"];
        assert_eq!(
            (entries.as_slice(), left),
            (drawn.map(str::to_owned).as_slice(), json!(50)),
            "round {round}"
        );
        // The entry and the invoice in place of the void one.
        let again = ("/v1/invoices/regenerate".to_owned(), json!({ "id": february["id"] }));
        let mut requests = vec![due.entry(), again];
        requests.rotate_left(round % 2);
        assert_eq!(race(&api, requests).await, BTreeMap::from([(200, 2)]), "round {round}");
        let (_, left) = due.ledger(&api).await;
        // 50 are left for it, or nothing.
        let total = due.february(&api).await["total"].clone();
        assert!(total == json!(40) || total == json!(90), "round {round}: {total}");
        assert_eq!(left, json!(0), "round {round}");
    }
    assert_eq!(faults(&api).await, [""; 0]);
}
