//! Previews of events (reference: metering, section 7; invoicing, section 10).

use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, RateLimits, Role, Settings};

use crate::support::{Api, Metric, Rates, lines, product_update};
use crate::world::{NOW, World, number, refuse, with};

const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

/// Previews are limited to eight a second, which tests may exceed.
async fn unlimited() -> Api {
    let api = Api::at(NOW).await;
    let off = "POST /v1/customers/{customer_id}/previewEvents=off".parse().expect("a limit");
    api.replica_with(Settings { rate_limits: RateLimits::new(&[off]), ..Settings::default() })
}

fn path(customer: &str) -> String {
    format!("/v1/customers/{customer}/previewEvents")
}

fn event(at: &str, properties: Value) -> Value {
    json!({ "event_type": "use", "timestamp": at, "properties": properties })
}

async fn preview(api: &Api, customer: &str, mode: &str, events: &[Value]) -> Vec<Value> {
    let answer = api.post(&path(customer), json!({ "events": events, "mode": mode })).await.data();
    answer.as_array().expect("invoices").clone()
}

/// A card with a product of each aggregation, by zone and user, in tiers that more usage moves through.
async fn all_aggregations(api: &Api) -> Rates {
    let rates = api.rate_card().await;
    let tiers = json!({
        "rate_type": "TIERED", "tiers": [{ "size": 3, "price": 10 }, { "price": 1 }],
        "pricing_group_values": { "zone": "a" },
    });
    for (aggregation, key) in [
        ("COUNT", None),
        ("SUM", Some("n")),
        ("MAX", Some("n")),
        ("UNIQUE", Some("user")),
        ("LATEST", Some("n")),
    ] {
        let metric = api.metric(Metric { aggregation, key, groups: &["zone", "team"] }).await;
        let whole = api.product(aggregation, &metric, json!({})).await;
        api.flat(&rates, &whole, "2026-01-01T00:00:00Z", "2", json!({})).await;
        api.flat(&rates, &whole, "2026-03-06T00:00:00Z", "5", json!({})).await;
        let keys = json!({
            "pricing_group_key": ["zone"], "presentation_group_key": ["team"],
            "quantity_conversion": { "operation": "DIVIDE", "conversion_factor": 3 },
            "quantity_rounding": { "rounding_method": "ROUND_UP", "decimal_places": 1 },
        });
        let split = api.product(&format!("{aggregation} by zone"), &metric, keys).await;
        api.rate(&rates, &split, "2026-01-01T00:00:00Z", tiers.clone()).await;
    }
    rates
}

#[tokio::test]
async fn a_preview_is_the_draft_that_the_events_would_make() {
    let api = unlimited().await;
    let rates = all_aggregations(&api).await;
    let customer = api.customer("acct").await;
    api.contract(&customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
    let row = |day: i32, zone: &str, team: &str, user: &str, n: Value| {
        event(
            &format!("2026-03-{day:02}T08:30:00Z"),
            json!({ "zone": zone, "team": team, "user": user, "n": n }),
        )
    };
    let there = [
        row(2, "a", "x", "ada", json!(4)),
        row(5, "a", "y", "bob", json!("9.5")),
        row(7, "a", "x", "ada", json!(6)),
        row(7, "b", "x", "cyd", json!(100)),
    ];
    let asked = [
        row(3, "a", "x", "bob", json!(11)),
        row(7, "a", "x", "ada", json!(5)),
        row(7, "a", "z", "dan", json!("many")),
        row(9, "b", "y", "ada", number("0.1")),
        json!({ "event_type": "other", "properties": { "zone": "a", "team": "x", "user": "eve", "n": 1 } }),
        json!({ "event_type": "use" }),
    ];
    let send = async |api: &Api, subject: &str, events: &[Value]| {
        let sent = events.iter().zip(0..).map(|(event, number)| {
            let id = format!("{subject} {} {number}", events.len());
            let event = with(&with(event, "/transaction_id", json!(id)), "/customer_id", json!(subject));
            if event.get("timestamp").is_some() { event } else { with(&event, "/timestamp", json!(NOW)) }
        });
        api.events(sent.collect()).await;
    };
    send(&api, "acct", &there).await;
    let merged = preview(&api, &customer, "merge", &asked).await;
    let replaced = preview(&api, &customer, "replace", &asked).await;
    send(&api, "acct", &asked).await;
    let own = format!("/v1/customers/{customer}/invoices");
    assert_eq!(json!(merged), api.get(&own).await.data());

    // Nothing but these events: what they make for somebody who has no others.
    let other = api.customer("other").await;
    api.contract(&other, &rates, "2026-03-01T00:00:00Z", json!({})).await;
    send(&api, "other", &asked).await;
    let alone = api.invoice(&other, "2026-03-01").await;
    assert_eq!((replaced.len(), lines(&replaced[0])), (1, lines(&alone)));
    assert_eq!(replaced[0]["total"], alone["total"]);
}

#[tokio::test]
async fn nothing_of_a_preview_is_kept() {
    let api = unlimited().await;
    let world = World::new(&api).await;
    let asked = [with(
        &event("2026-03-09T00:00:00Z", json!({ "tokens": 7, "model": "small" })),
        "/transaction_id",
        json!("t"),
    )];
    let draft = api.invoice(&world.customer, "2026-03-01").await;
    for mode in ["merge", "replace"] {
        assert_eq!(preview(&api, &world.customer, mode, &asked).await[0]["total"], 21, "{mode}");
    }
    assert_eq!(api.invoice(&world.customer, "2026-03-01").await, draft);
    for table in ["event_batch", "event_key", "usage_rollup", "usage_group", "subject", "invoice"] {
        assert_eq!(api.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    let sent = with(&asked[0], "/customer_id", json!("acct-1"));
    api.events(json!([sent])).await;
    assert_eq!(api.invoice(&world.customer, "2026-03-01").await["total"], 21, "its id was not used up");
}

#[tokio::test]
async fn an_event_whose_id_was_sent_counts_for_nothing() {
    let api = unlimited().await;
    let world = World::new(&api).await;
    let one = |id: &str| {
        with(
            &event("2026-03-09T00:00:00Z", json!({ "tokens": 7, "model": "small" })),
            "/transaction_id",
            json!(id),
        )
    };
    // Whoever sent it: an id is of the whole environment.
    api.events(json!([with(&one("used"), "/customer_id", json!("somebody"))])).await;
    let total = async |mode: &str, events: &[Value]| {
        preview(&api, &world.customer, mode, events).await[0]["total"].clone()
    };
    for mode in ["merge", "replace"] {
        assert_eq!(total(mode, &[one("used")]).await, 0, "{mode}");
        assert_eq!(total(mode, &[one("used"), one("new")]).await, 21, "{mode}");
    }
    api.move_clock("2026-04-13T12:00:00Z").await;
    let later = |id: &str| with(&one(id), "/timestamp", json!("2026-04-13T00:00:00Z"));
    assert_eq!(total("merge", &[later("used")]).await, 0, "held for 34 days");
    api.move_clock("2026-04-13T12:00:01Z").await;
    assert_eq!(total("merge", &[later("used")]).await, 21, "and free after that");
    // Dated ahead it is held for longer.
    let ahead = with(&later("ahead"), "/timestamp", json!("2026-04-14T12:00:00Z"));
    api.events(json!([with(&ahead, "/customer_id", json!("somebody"))])).await;
    api.move_clock("2026-05-18T00:00:00Z").await;
    let last = with(&one("ahead"), "/timestamp", json!("2026-05-18T00:00:00Z"));
    assert_eq!(total("merge", std::slice::from_ref(&last)).await, 0);
    api.move_clock("2026-05-18T12:00:01Z").await;
    assert_eq!(total("merge", &[last]).await, 21);
}

#[tokio::test]
async fn each_contract_and_each_statement_that_an_event_is_in_has_its_invoice() {
    let api = unlimited().await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &["project"] }).await;
    let product = api.product("Units", &metric, json!({})).await;
    let rates = api.rate_card().await;
    api.flat(&rates, &product, "2026-01-01T00:00:00Z", "10", json!({})).await;
    let customer = api.customer("acct").await;
    assert_eq!(preview(&api, &customer, "merge", &[event(NOW, json!({}))]).await, Vec::<Value>::new());
    let start = "2026-03-01T00:00:00Z";
    let filter =
        |project: &str| json!({ "usage_filter": { "group_key": "project", "group_values": [project] } });
    let first = api.contract(&customer, &rates, start, filter("p1")).await;
    let second = api.contract(&customer, &rates, start, filter("p2")).await;
    api.contract(&customer, &rates, "2026-08-01T00:00:00Z", filter("p1")).await;
    let archived = api.contract(&customer, &rates, start, filter("p1")).await;
    let archive = json!({ "customer_id": customer, "contract_id": archived, "void_invoices": true });
    api.post("/v1/contracts/archive", archive).await.data();

    api.move_clock("2026-04-01T12:00:00Z").await;
    let n = |at: &str, project: &str, n: i32| event(at, json!({ "n": n, "project": project }));
    let totals = async |events: &[Value]| -> Vec<(String, String, i64)> {
        let invoices = preview(&api, &customer, "merge", events).await;
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let shown = |invoice: &Value| {
            assert_eq!(invoice["status"], "DRAFT");
            let start = text(&invoice["start_timestamp"])[..10].to_owned();
            (text(&invoice["contract_id"]), start, invoice["total"].as_i64().expect("whole"))
        };
        invoices.iter().map(shown).collect()
    };
    let row = |contract: &str, start: &str, total: i64| (contract.to_owned(), start.to_owned(), total);
    assert_eq!(
        totals(&[n("2026-04-01T00:00:00Z", "p1", 1), n("2026-04-01T01:00:00Z", "p2", 2)]).await,
        [row(&first, "2026-04-01", 10), row(&second, "2026-04-01", 20)]
    );
    assert_eq!(
        totals(&[n("2026-03-31T23:59:59Z", "p1", 3), n("2026-04-01T00:00:00Z", "p1", 4)]).await,
        [
            row(&first, "2026-03-01", 30),
            row(&first, "2026-04-01", 40),
            row(&second, "2026-03-01", 0),
            row(&second, "2026-04-01", 0),
        ],
        "March is in its grace"
    );
    api.move_clock("2026-04-30T12:00:00Z").await;
    assert_eq!(
        totals(&[n("2026-05-01T00:00:00Z", "p2", 5), n("2026-03-31T00:00:00Z", "p2", 6)]).await,
        [
            row(&first, "2026-04-01", 0),
            row(&first, "2026-05-01", 0),
            row(&second, "2026-04-01", 0),
            row(&second, "2026-05-01", 50),
        ],
        "March is final, May begins within a day"
    );
}

#[tokio::test]
async fn lines_of_nothing_are_left_out_on_request() {
    let api = unlimited().await;
    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let product = api.product("Calls", &metric, json!({})).await;
    let rates = api.rate_card().await;
    api.flat(&rates, &product, "2026-01-01T00:00:00Z", "10", json!({})).await;
    let customer = api.customer("acct").await;
    api.contract(&customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
    let mut body = json!({ "events": [{ "event_type": "nothing" }] });
    for (skip, expected) in [(json!(null), 1), (json!(false), 1), (json!(true), 0)] {
        body["skip_zero_qty_line_items"] = skip;
        let invoice = api.post(&path(&customer), body.clone()).await.data()[0].clone();
        assert_eq!(invoice["line_items"].as_array().map(Vec::len), Some(expected), "{body}");
        assert_eq!(invoice["total"], 0);
    }
}

#[tokio::test]
async fn a_preview_that_makes_no_sense_is_refused() {
    let api = unlimited().await;
    let world = World::new(&api).await;
    let good = json!({ "events": [{ "event_type": "use" }] });
    let change = |pointer: &str, value: Value| with(&good, pointer, value);
    let event = |field: &str, value: Value| change(&format!("/events/0/{field}"), value);
    let many = |count: usize| change("/events", json!(vec![json!({ "event_type": "use" }); count]));
    let twice =
        json!([{ "event_type": "use", "transaction_id": "t" }, { "event_type": "b", "transaction_id": "t" }]);
    refuse(
        &api,
        &path(&world.customer),
        vec![
            (json!({}), "`events`"),
            (many(0), "events: "),
            (many(101), "events: "),
            (with(&many(0), "/mode", json!("merge")), "events: "),
            (change("/mode", json!("add")), "mode: "),
            (change("/skip_zero_qty_line_items", json!("yes")), "skip_zero_qty_line_items: "),
            (change("/more", json!(1)), "`more`"),
            (change("/events/0", json!({})), "`event_type`"),
            (event("event_type", json!("")), "events[0].event_type: "),
            (event("event_type", json!(7)), "events[0].event_type: "),
            (event("timestamp", json!("2026-03-10")), "events[0].timestamp: "),
            (event("timestamp", json!("2026-02-04T11:59:59Z")), "events[0].timestamp: "),
            (event("timestamp", json!("2026-03-11T12:00:01Z")), "events[0].timestamp: "),
            (event("properties", json!([1])), "events[0].properties: "),
            (event("properties", json!("n")), "events[0].properties: "),
            (event("transaction_id", json!("")), "events[0].transaction_id: "),
            (event("transaction_id", json!("x".repeat(129))), "events[0].transaction_id: "),
            (change("/events", twice), "events[1].transaction_id: "),
        ],
    )
    .await;
    api.post(&path(UNKNOWN), good.clone()).await.refused(404, &["customer", "was not found"]);
    api.post(&path(&world.customer), many(100)).await.data();
    let extra = event("customer_id", json!("ignored"));
    api.post(&path(&world.customer), extra).await.data();
    let reader = api.with_token(EnvironmentKind::Sandbox, Role::Reader).await;
    reader.post(&path(&world.customer), good).await.data();
}

#[tokio::test]
async fn what_a_query_counts_is_not_previewed() {
    let api = unlimited().await;
    let query = json!({ "name": "query", "sql": "SELECT SUM(properties.n) AS value FROM events" });
    let query = api.post("/v1/billable-metrics/create", query).await.id();
    let product = api.product("Units", &query, json!({})).await;
    let rates = api.rate_card().await;
    api.flat(&rates, &product, "2026-01-01T00:00:00Z", "3", json!({})).await;
    let customer = api.customer("acct").await;
    let contract = api.contract(&customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
    let events = json!({ "events": [event("2026-03-09T00:00:00Z", json!({ "n": 5 }))] });
    for mode in ["replace", "merge"] {
        let body = with(&events, "/mode", json!(mode));
        api.post(&path(&customer), body).await.refused(400, &[&contract, "SQL", &query]);
    }

    // It counted only for statements that are past.
    let sum = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
    let swap = product_update(&product, "2026-03-01T00:00:00Z", json!({ "billable_metric_id": sum }));
    api.post("/v1/contract-pricing/products/update", swap).await.id();
    assert_eq!(api.post(&path(&customer), events).await.data()[0]["total"], 15);
}

#[tokio::test]
async fn what_rides_on_a_statement_is_on_its_preview() {
    let api = unlimited().await;
    let world = World::new(&api).await;
    let fee = api.fixed_product("Fee").await;
    let customer = api.customer("rider").await;
    let body = json!({
        "customer_id": customer, "rate_card_id": world.card, "starting_at": "2026-03-01T00:00:00Z",
        "scheduled_charges_on_usage_invoices": "ALL",
        "scheduled_charges": [crate::support::charge(&fee, &[("2026-04-01T00:00:00Z", 500)])],
    });
    api.post("/v1/contracts/create", body).await.id();
    let asked = [event("2026-03-09T00:00:00Z", json!({ "tokens": 7, "model": "small" }))];
    assert_eq!(preview(&api, &customer, "merge", &asked).await[0]["total"], 521);
}
