//! Lists: pages, limits, cursors.

use std::fmt::Write;

use axum::body::Body;
use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Answer, Api};
use crate::world::{NOW, World, number};

/// A list and where it takes its limit and cursor.
struct List {
    method: Method,
    path: String,
    body: Value,
    cursor: &'static str,
    /// The limit and the cursor are in the body.
    in_body: bool,
    limit_max: usize,
    /// What tells two rows apart.
    key: &'static str,
}

impl List {
    fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            body: Value::Null,
            cursor: "next_page",
            in_body: false,
            limit_max: 100,
            key: "/id",
        }
    }

    fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, body, ..Self::get(path) }
    }

    /// One page; parameters as they are, a number without quotes in a body.
    async fn page(&self, api: &Api, limit: Option<Value>, cursor: Option<&str>) -> Answer {
        let mut path = self.path.clone();
        let mut body = self.body.clone();
        if self.in_body {
            if let Some(limit) = limit {
                body["limit"] = limit;
            }
            if let Some(cursor) = cursor {
                body[self.cursor] = json!(cursor);
            }
        } else {
            path.push(if path.contains('?') { '&' } else { '?' });
            if let Some(limit) = limit {
                let _ = write!(path, "limit={}&", limit.to_string().trim_matches('"'));
            }
            if let Some(cursor) = cursor {
                let _ = write!(path, "{}={cursor}", self.cursor);
            }
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        api.send(self.method.clone(), &path, body).await
    }

    /// The keys of all rows, by pages of `limit`.
    async fn walk(&self, api: &Api, limit: usize) -> Vec<Value> {
        let mut keys = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.page(api, Some(json!(limit)), cursor.as_deref()).await;
            assert_eq!(page.status, 200, "{}: {}", self.path, page.body);
            let rows = page.body["data"].as_array().expect("rows");
            keys.extend(rows.iter().map(|row| row.pointer(self.key).expect("the key").clone()));
            let next = page.body.get(self.cursor).expect("the cursor is there, or null");
            assert!(rows.len() <= limit && (next.is_null() || rows.len() == limit), "{}", self.path);
            match next.as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return keys,
            }
        }
    }
}

/// A server on which every list has five rows or more.
async fn full() -> (Api, World, Vec<List>) {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let card = crate::support::Rates { card: world.card.clone() };
    for index in 0..4 {
        api.customer(&format!("more {index}")).await;
        let metric = json!({ "name": "m", "aggregation_type": "COUNT" });
        let metric = api.post("/v1/billable-metrics/create", metric).await.id();
        let product = api.product("p", &metric, json!({})).await;
        api.rate_card().await;
        api.flat(&card, &product, "2026-01-01T00:00:00Z", "1", json!({})).await;
        api.flat(&card, &product, "2026-05-01T00:00:00Z", "2", json!({})).await;
        // two of them start together
        let start = format!("2026-0{}-01T00:00:00Z", 1 + index / 2);
        api.contract(&world.customer, &card, &start, json!({ "ending_before": "2026-04-01T00:00:00Z" }))
            .await;
    }
    for name in ["a", "b", "c", "d", "e"] {
        let schedule = json!({
            "customer_id": world.customer, "contract_id": world.contract, "schedule_name": name,
            "starting_at": NOW, "value": name,
        });
        assert_eq!(api.post("/v1/contracts/updateNamedSchedule", schedule).await.status, 200);
        api.post("/v1/credit-types/create", json!({ "name": name })).await.id();
        api.post("/v1/packages/create", json!({ "name": name })).await.id();
        let of_package = json!({
            "customer_id": world.customer, "starting_at": "2026-03-01T00:00:00Z", "package_id": world.package,
        });
        api.post("/v1/contracts/create", of_package).await.id();
    }
    for model in ["a", "b", "c", "d", "e"] {
        api.event("acct-1", NOW, json!({ "model": model, "tokens": 1 })).await;
    }
    let mut days = json!({
        "customer_id": world.customer, "billable_metric_id": world.metric, "window_size": "DAY",
        "starting_on": "2026-03-05T00:00:00Z", "ending_before": "2026-03-12T00:00:00Z",
    });
    let every_day = List { key: "/starting_on", ..List::post("/v1/usage/groups", days.clone()) };
    days["group_key"] = json!(["model"]);
    let models = List { key: "/group_value", ..List::post("/v1/usage/groups", days) };
    let contracts = |path: &str| List {
        cursor: "cursor",
        in_body: true,
        limit_max: 20,
        ..List::post(path, json!({ "customer_id": world.customer }))
    };
    let lists = vec![
        List::get("/v1/customers"),
        List::get("/v1/billable-metrics"),
        List::get(format!("/v1/customers/{}/billable-metrics", world.customer)),
        List::get(format!("/v1/customers/{}/billable-metrics?on_current_plan=true", world.customer)),
        List::get("/v1/credit-types/list"),
        List::get(format!("/v1/customers/{}/invoices", world.customer)),
        List::get(format!("/v1/customers/{}/invoices?sort=date_desc", world.customer)),
        List::post("/v1/contract-pricing/products/list", json!({})),
        List::post("/v1/contract-pricing/rate-cards/list", json!({})),
        List {
            key: "/product_id",
            ..List::post(
                "/v1/contract-pricing/rate-cards/getRates",
                json!({ "rate_card_id": world.card, "at": NOW }),
            )
        },
        List {
            // several rows have the same product, several the same start
            key: "",
            ..List::post(
                "/v1/contract-pricing/rate-cards/getRateSchedule",
                json!({ "rate_card_id": world.card, "starting_at": "2026-01-01T00:00:00Z" }),
            )
        },
        List {
            key: "",
            in_body: true,
            ..List::post("/v1/contracts/listNamedSchedules", json!({ "customer_id": world.customer }))
        },
        List {
            key: "/contract_id",
            ..List::post("/v1/packages/listContractsOnPackage", json!({ "package_id": world.package }))
        },
        List::post("/v1/packages/list", json!({})),
        contracts("/v1/contracts/list"),
        contracts("/v2/contracts/list"),
        every_day,
        models,
    ];
    (api, world, lists)
}

#[tokio::test]
async fn pages_of_any_size_hold_every_row_once_in_one_order() {
    let (api, _, lists) = full().await;
    for list in lists {
        let whole = list.walk(&api, list.limit_max).await;
        assert!(whole.len() >= 5, "{}: {}", list.path, whole.len());
        for limit in [1, 2, whole.len() - 1, whole.len()] {
            assert_eq!(list.walk(&api, limit).await, whole, "{} by {limit}", list.path);
        }
        let default = list.page(&api, None, None).await;
        assert_eq!(default.body["data"].as_array().map(Vec::len), Some(whole.len()), "{}", list.path);
        assert_eq!(default.body[list.cursor], Value::Null);
        assert_eq!(list.page(&api, None, Some("")).await.status, 200, "an empty cursor is the first page");
    }
}

#[tokio::test]
async fn a_limit_out_of_range_is_400() {
    let (api, _, lists) = full().await;
    for list in lists {
        let limits =
            [json!(0), json!(list.limit_max + 1), json!(-1), json!("abc"), json!(1.5), json!(u64::MAX)];
        for limit in limits.into_iter().chain([json!("1e9"), number("1e9"), json!(1_000_000_000)]) {
            let answer = list.page(&api, Some(limit.clone()), None).await;
            assert_eq!(answer.status, 400, "{} {limit}: {}", list.path, answer.body);
            answer.refused(400, &["limit:"]);
        }
        assert_eq!(list.page(&api, Some(json!(list.limit_max)), None).await.status, 200, "{}", list.path);
    }
}

#[tokio::test]
async fn garbage_is_not_a_cursor() {
    let (api, _, lists) = full().await;
    for list in lists {
        let page = list.page(&api, Some(json!(1)), None).await;
        let good = page.body[list.cursor].as_str().expect("a next page").to_owned();
        let cut = good[..good.len() - 4].to_owned();
        let (half, longer) = (&good[..good.len() / 2], format!("{good}AAAA"));
        for bad in
            ["abc", "AAAA", "0", "null", "%20", "eyJhIjoxfQ", "~~~~", half, cut.as_str(), longer.as_str()]
        {
            let answer = list.page(&api, Some(json!(1)), Some(bad)).await;
            assert_eq!(answer.status, 400, "{} {bad}: {}", list.path, answer.body);
            answer.refused(400, &[list.cursor]);
        }
    }
}

#[tokio::test]
async fn a_cursor_of_another_list_is_400() {
    let (api, _, lists) = full().await;
    let mut cursors = Vec::new();
    for list in &lists {
        let page = list.page(&api, Some(json!(1)), None).await;
        cursors.push(page.body[list.cursor].as_str().expect("a next page").to_owned());
    }
    for (index, list) in lists.iter().enumerate() {
        for (other, cursor) in cursors.iter().enumerate() {
            // both versions of the contract list may share theirs
            let alike =
                list.path.ends_with("contracts/list") && lists[other].path.ends_with("contracts/list");
            if index == other || alike {
                continue;
            }
            let answer = list.page(&api, Some(json!(1)), Some(cursor)).await;
            assert_eq!(answer.status, 400, "{} with one of {}", list.path, lists[other].path);
        }
    }
}

#[tokio::test]
async fn a_cursor_with_other_filters_is_400() {
    let (api, world, _) = full().await;
    let other_customer = api.customer("other").await;
    let invoices = format!("/v1/customers/{}/invoices", world.customer);
    let metrics = format!("/v1/customers/{}/billable-metrics", world.customer);
    let contracts =
        |body: Value| List { cursor: "cursor", in_body: true, ..List::post("/v2/contracts/list", body) };
    let rates = |at: &str| {
        let body = json!({ "rate_card_id": world.card, "at": at });
        List::post("/v1/contract-pricing/rate-cards/getRates", body)
    };
    let groups = |window: &str, models: &[&str]| {
        let body = json!({
            "customer_id": world.customer, "billable_metric_id": world.metric, "window_size": window,
            "current_period": true, "group_key": ["model"], "group_filters": { "model": models },
        });
        List::post("/v1/usage/groups", body)
    };
    let schedule = |more: Value| {
        let mut body = json!({ "rate_card_id": world.card, "starting_at": "2026-01-01T00:00:00Z" });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        List::post("/v1/contract-pricing/rate-cards/getRateSchedule", body)
    };
    let pairs = [
        (schedule(json!({})), schedule(json!({ "starting_at": "2026-01-02T00:00:00Z" }))),
        (schedule(json!({})), schedule(json!({ "ending_before": "2027-01-01T00:00:00Z" }))),
        (schedule(json!({})), schedule(json!({ "selectors": [{}] }))),
        (schedule(json!({})), rates(NOW)),
        (groups("DAY", &[]), groups("HOUR", &[])),
        (groups("DAY", &[]), groups("DAY", &["a", "b"])),
        (List::get("/v1/customers"), List::get("/v1/customers?only_archived=true")),
        (List::get("/v1/customers"), List::get("/v1/customers?ingest_alias=acct-1")),
        (List::get("/v1/billable-metrics"), List::get("/v1/billable-metrics?include_archived=true")),
        (List::get(&metrics), List::get(format!("{metrics}?on_current_plan=true"))),
        (List::get(&metrics), List::get(format!("{metrics}?include_archived=true"))),
        (List::get(&metrics), List::get(format!("/v1/customers/{other_customer}/billable-metrics"))),
        (
            List::post("/v1/contract-pricing/products/list", json!({})),
            List::post("/v1/contract-pricing/products/list", json!({ "archive_filter": "ALL" })),
        ),
        (List::get(&invoices), List::get(format!("{invoices}?sort=date_desc"))),
        (List::get(&invoices), List::get(format!("{invoices}?status=DRAFT"))),
        (List::get(&invoices), List::get(format!("/v1/customers/{other_customer}/invoices"))),
        (rates(NOW), rates("2026-03-10T13:00:00Z")),
        (
            contracts(json!({ "customer_id": world.customer })),
            contracts(json!({ "customer_id": world.customer, "include_archived": true })),
        ),
        (
            contracts(json!({ "customer_id": world.customer })),
            contracts(json!({ "customer_id": other_customer })),
        ),
    ];
    for (one, other) in pairs {
        let page = one.page(&api, Some(json!(1)), None).await;
        let cursor = page.body[one.cursor].as_str().expect("a next page").to_owned();
        assert_eq!(one.page(&api, Some(json!(2)), Some(&cursor)).await.status, 200, "the limit may change");
        let answer = other.page(&api, Some(json!(1)), Some(&cursor)).await;
        assert_eq!(answer.status, 400, "{} {}", other.path, other.body);
    }
}

#[tokio::test]
async fn rows_that_come_later_do_not_disturb_a_walk() {
    let api = Api::at(NOW).await;
    for index in 0..3 {
        api.customer(&index.to_string()).await;
    }
    let list = List::get("/v1/customers");
    let first = list.page(&api, Some(json!(2)), None).await;
    let cursor = first.body["next_page"].as_str().expect("a next page").to_owned();
    let seen = first.body["data"][1]["id"].as_str().expect("an id").to_owned();
    api.post("/v1/customers/archive", json!({ "id": seen })).await.id();
    api.customer("new").await;
    let rest = list.page(&api, Some(json!(2)), Some(&cursor)).await;
    let names: Vec<&str> =
        rest.body["data"].as_array().expect("rows").iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["2", "new"]);
}

#[tokio::test]
async fn lists_are_in_the_order_of_the_reference() {
    let (api, _, _) = full().await;
    let names = |data: Value| -> Vec<String> {
        data.as_array().expect("rows").iter().map(|row| row["name"].to_string()).collect()
    };
    let customers = names(api.get("/v1/customers").await.data());
    assert_eq!(
        customers,
        ["\"acct-1\"", "\"more 0\"", "\"more 1\"", "\"more 2\"", "\"more 3\""],
        "oldest first"
    );
    let metrics = names(api.get("/v1/billable-metrics").await.data());
    assert_eq!(metrics.last().map(String::as_str), Some("\"metric\""), "newest first");
}

#[tokio::test]
async fn usage_pages_by_a_thousand_rows() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let body = json!({
        "customer_ids": [world.customer], "billable_metrics": [{ "id": world.metric }], "window_size": "HOUR",
        "starting_on": "2026-01-01T00:00:00Z", "ending_before": "2026-03-01T00:00:00Z",
    });
    let first = api.post("/v1/usage", body.clone()).await;
    assert_eq!(first.body["data"].as_array().map(Vec::len), Some(1000));
    let cursor = first.body["next_page"].as_str().expect("a next page").to_owned();
    let rest = api.post(&format!("/v1/usage?next_page={cursor}"), body.clone()).await;
    assert_eq!(rest.body["data"].as_array().map(Vec::len), Some(59 * 24 - 1000));
    assert_eq!(rest.body.get("next_page"), Some(&Value::Null));
    assert_eq!(rest.body["data"][0]["start_timestamp"], first.body["data"][999]["end_timestamp"]);
    let mut other = body;
    other["window_size"] = json!("DAY");
    api.post(&format!("/v1/usage?next_page={cursor}"), other.clone()).await.refused(400, &["next_page"]);
    api.post("/v1/usage?next_page=abc", other).await.refused(400, &["next_page"]);
}

#[tokio::test]
async fn list_filters_take_arrays_in_three_spellings() {
    let api = Api::at(NOW).await;
    let (a, b) = (api.customer("a").await, api.customer("b").await);
    api.customer("c").await;
    let queries = [
        format!("customer_ids={a},{b}"),
        format!("customer_ids={a}%2C{b}"),
        format!("customer_ids={a}&customer_ids={b}"),
        format!("customer_ids[]={a}&customer_ids[]={b}"),
        format!("customer_ids%5B%5D={a}&customer_ids%5B%5D={b}"),
    ];
    for query in queries {
        let data = api.get(&format!("/v1/customers?{query}")).await.data();
        assert_eq!(data.as_array().map(Vec::len), Some(2), "{query}");
    }
    let many = |count: usize| vec![a.as_str(); count].join(",");
    assert_eq!(api.get(&format!("/v1/customers?customer_ids={}", many(100))).await.status, 200);
    api.get(&format!("/v1/customers?customer_ids={}", many(101))).await.refused(400, &["customer_ids"]);
    let accounts = vec!["x"; 101].join(",");
    api.get(&format!("/v1/customers?salesforce_account_ids={accounts}"))
        .await
        .refused(400, &["salesforce_account_ids"]);
    for query in ["only_archived=maybe", "only_archived=1"] {
        api.get(&format!("/v1/customers?{query}")).await.refused(400, &["only_archived"]);
    }
}

#[tokio::test]
async fn a_position_that_a_list_cannot_have_is_refused() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    for name in 0..2 {
        api.customer(&format!("more {name}")).await;
    }
    let usage = json!({
        "customer_ids": [world.customer], "billable_metrics": [{ "id": world.metric }], "window_size": "HOUR",
        "starting_on": "2026-01-01T00:00:00Z", "ending_before": "2026-03-01T00:00:00Z",
    });
    let first = api.post("/v1/usage", usage.clone()).await.body;
    let cursor = first["next_page"].as_str().expect("more than a page of hours");
    let last: i64 = 1416;
    for index in [i64::MAX, i64::MIN, -1_000_000_000_000, -1, last] {
        let forged = with_position(cursor, |position| position[1] = json!(index));
        let answer = api.post(&format!("/v1/usage?next_page={forged}"), usage.clone()).await;
        answer.refused(400, &["next_page"]);
    }
    let card = crate::support::Rates { card: world.card.clone() };
    let values = json!({ "pricing_group_values": { "model": "small" } });
    api.flat(&card, &world.product, "2026-02-01T00:00:00Z", "4", values).await;
    let path = "/v1/contract-pricing/rate-cards/getRateSchedule?limit=1";
    let schedule = json!({ "rate_card_id": world.card, "starting_at": "2026-01-01T00:00:00Z" });
    let first = api.post(path, schedule.clone()).await.body;
    let cursor = first["next_page"].as_str().expect("more than a page of rates");
    for start in [json!("-200000-01-01T00:00:00Z"), json!(7), Value::Null] {
        let forged = with_position(cursor, |position| position[1] = start);
        let answer = api.post(&format!("{path}&next_page={forged}"), schedule.clone()).await;
        answer.refused(400, &["next_page"]);
    }
    let nowhere = with_position(cursor, |position| position[0][0] = json!(i32::MAX));
    let answer = api.post(&format!("{path}&next_page={nowhere}"), schedule).await;
    assert_eq!(answer.data(), json!([]), "behind the last product is the end");
    let first = api.get("/v1/customers?limit=1").await.body;
    let cursor = first["next_page"].as_str().expect("more than a page of customers");
    for instant in ["-200000-01-01T00:00:00Z", "+260000-01-01T00:00:00Z"] {
        let forged = with_position(cursor, |position| position[0] = json!(instant));
        api.get(&format!("/v1/customers?limit=1&next_page={forged}")).await.refused(400, &["next_page"]);
    }
}

/// A cursor with its position changed: what a caller can make of an honest one.
fn with_position(cursor: &str, change: impl FnOnce(&mut Value)) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).expect("base64");
    let (binding, position) = bytes.split_at(8);
    let mut position = serde_json::from_slice(position).expect("a position");
    change(&mut position);
    URL_SAFE_NO_PAD.encode([binding, position.to_string().as_bytes()].concat())
}
