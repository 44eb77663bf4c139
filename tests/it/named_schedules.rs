//! Named schedules of rate cards, customers and contracts (reference: pricing, section 9).

use serde_json::{Value, json};

use crate::support::Api;
use crate::world::{NOW, World, number, refuse, with};

const NOBODY: &str = "00000000-0000-4000-8000-000000000000";
const LIST: &str = "/v1/contracts/listNamedSchedules";

/// Where schedules are, and the body that names one object there.
struct Place {
    path: &'static str,
    body: Value,
}

impl Place {
    fn all(world: &World) -> [Self; 3] {
        let of_contract = json!({ "customer_id": world.customer, "contract_id": world.contract });
        [
            Self { path: "/v1/contract-pricing/rate-cards", body: json!({ "rate_card_id": world.card }) },
            Self { path: "/v1/customers", body: json!({ "customer_id": world.customer }) },
            Self { path: "/v1/contracts", body: of_contract },
        ]
    }

    fn get(&self) -> String {
        format!("{}/getNamedSchedule", self.path)
    }

    fn update(&self) -> String {
        format!("{}/updateNamedSchedule", self.path)
    }

    fn body(&self, more: Value) -> Value {
        let mut body = with(&self.body, "/schedule_name", json!("limits"));
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    }

    /// What it is of, and the field that names that.
    fn owner(&self) -> (&'static str, &'static str) {
        match self.path {
            "/v1/contract-pricing/rate-cards" => ("rate card", "/rate_card_id"),
            "/v1/customers" => ("customer", "/customer_id"),
            "/v1/contracts" => ("contract", "/contract_id"),
            path => panic!("{path} is no place"),
        }
    }

    async fn set(&self, api: &Api, start: &str, end: Option<&str>, value: Value) {
        let mut body = self.body(json!({ "starting_at": day(start), "value": value }));
        if let Some(end) = end {
            body["ending_before"] = json!(day(end));
        }
        let answer = api.post(&self.update(), body).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""), "{}", answer.text);
    }

    /// The segments as `start..end value`.
    async fn shown(&self, api: &Api, more: Value) -> Vec<String> {
        segments(&api.post(&self.get(), self.body(more)).await.data())
    }
}

fn day(date: &str) -> String {
    format!("2026-{date}T00:00:00Z")
}

fn segments(data: &Value) -> Vec<String> {
    let day_of = |value: &Value| value.as_str().map(|text| text[5..10].to_owned()).unwrap_or_default();
    let one = |row: &Value| {
        format!("{}..{} {}", day_of(&row["starting_at"]), day_of(&row["ending_before"]), row["value"])
    };
    data.as_array().expect("segments").iter().map(one).collect()
}

#[tokio::test]
async fn a_value_is_set_over_a_window_and_the_rest_stays() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    for place in Place::all(&world) {
        assert_eq!(place.shown(&api, json!({})).await, Vec::<String>::new(), "an unknown name has no values");
        place.set(&api, "01-01", None, json!(1)).await;
        place.set(&api, "02-01", Some("03-01"), json!(2)).await;
        assert_eq!(place.shown(&api, json!({})).await, ["01-01..02-01 1", "02-01..03-01 2", "03-01.. 1"]);
        place.set(&api, "02-15", Some("04-01"), json!(3)).await;
        let expected = ["01-01..02-01 1", "02-01..02-15 2", "02-15..04-01 3", "04-01.. 1"];
        assert_eq!(place.shown(&api, json!({})).await, expected);
        let at = |date: &str| json!({ "covering_date": day(date) });
        assert_eq!(place.shown(&api, at("02-15")).await, ["02-15..04-01 3"], "the start is included");
        assert_eq!(place.shown(&api, at("04-01")).await, ["04-01.. 1"], "the end is not");
        assert_eq!(
            place.shown(&api, json!({ "covering_date": "2025-12-31T00:00:00Z" })).await,
            Vec::<String>::new()
        );
        place.set(&api, "01-01", None, json!(3)).await;
        place.set(&api, "05-01", None, json!(3)).await;
        assert_eq!(
            place.shown(&api, json!({})).await,
            ["01-01..05-01 3", "05-01.. 3"],
            "equal neighbours stay apart"
        );
        let other = json!({ "schedule_name": "Limits" });
        assert_eq!(place.shown(&api, other).await, Vec::<String>::new(), "names are compared exactly");
    }
}

#[tokio::test]
async fn any_json_is_kept_as_it_is() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let exact = number("1.00000000000000000000000000000000000000000000000000000000001");
    let values = vec![
        json!(null),
        json!(false),
        json!("text"),
        json!([]),
        json!({ "b": [1, { "a": null }], "a": exact }),
        number("1e400"),
        exact,
        number("1.50"),
    ];
    for place in Place::all(&world) {
        for value in &values {
            place.set(&api, "01-01", None, value.clone()).await;
            let answer = api.post(&place.get(), place.body(json!({}))).await;
            assert_eq!(answer.body["data"][0]["value"], *value);
            assert!(answer.text.contains(&value.to_string()), "{} of {}", value, answer.text);
        }
    }
    let place = &Place::all(&world)[0];
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let body =
        place.body(json!({ "starting_at": NOW, "value": "HERE" })).to_string().replace("\"HERE\"", &deep);
    let answer = api.send(axum::http::Method::POST, &place.update(), body.into()).await;
    answer.refused(400, &["recursion limit"]);
}

#[tokio::test]
async fn a_schedule_of_a_contract_is_known_by_all_its_properties() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let [_, _, contract] = Place::all(&world);
    let properties = [json!({}), json!({ "region": "eu" }), json!({ "region": "eu", "tier": "gold" })];
    for (index, properties) in properties.iter().enumerate() {
        let body = contract.body(json!({ "starting_at": NOW, "value": index, "properties": properties }));
        assert_eq!(api.post(&contract.update(), body).await.status, 200);
    }
    for (index, properties) in properties.iter().enumerate() {
        let shown = contract.shown(&api, json!({ "properties": properties })).await;
        assert_eq!(shown, [format!("03-10.. {index}")]);
    }
    assert_eq!(contract.shown(&api, json!({})).await, ["03-10.. 0"], "no properties are none");
    let gold = json!({ "properties": { "tier": "gold" } });
    assert_eq!(contract.shown(&api, gold).await, Vec::<String>::new(), "a part of them is not all");
    // A list asks for a part of them.
    let found = async |filter: Value| {
        let mut body = json!({ "customer_id": world.customer });
        body.as_object_mut().expect("an object").extend(filter.as_object().expect("an object").clone());
        let data = api.post(LIST, body).await.data();
        let rows = data.as_array().expect("rows").clone();
        let mut values: Vec<i64> =
            rows.iter().filter_map(|row| row["segments"][0]["value"].as_i64()).collect();
        values.sort_unstable();
        (rows, values)
    };
    assert_eq!(found(json!({})).await.1, [0, 1, 2]);
    assert_eq!(found(json!({ "properties": { "region": "eu" } })).await.1, [1, 2]);
    assert_eq!(found(json!({ "properties": { "tier": "gold" } })).await.1, [2]);
    assert_eq!(found(json!({ "properties": { "tier": "iron" } })).await.1, Vec::<i64>::new());
    assert_eq!(found(json!({ "schedule_name": "limits", "contract_id": world.contract })).await.1, [0, 1, 2]);
    assert_eq!(found(json!({ "schedule_name": "others" })).await.1, Vec::<i64>::new());
    let (rows, _) = found(json!({ "properties": { "tier": "gold" } })).await;
    let expected = json!([{
        "contract_id": world.contract, "schedule_name": "limits", "properties": { "region": "eu", "tier": "gold" },
        "segments": [{ "value": 2, "starting_at": NOW }],
    }]);
    assert_eq!(json!(rows), expected);
    let (rows, values) = found(json!({ "covering_date": "2026-01-01T00:00:00Z" })).await;
    assert_eq!((rows.len(), values), (3, Vec::new()), "a schedule without a value then has no segments");
    // The schedules of a customer and of its card are none of its contracts'.
    for place in &Place::all(&world)[..2] {
        place.set(&api, "01-01", None, json!(9)).await;
    }
    assert_eq!(found(json!({})).await.1, [0, 1, 2]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let other = api.customer("other").await;
    for place in Place::all(&world) {
        let good = place.body(json!({ "starting_at": NOW, "value": 1 }));
        let without = |field: &str| crate::world::without(&good, field);
        refuse(
            &api,
            &place.update(),
            vec![
                (without("/value"), "missing field `value`"),
                (without("/starting_at"), "missing field `starting_at`"),
                (without("/schedule_name"), "missing field `schedule_name`"),
                (with(&good, "/schedule_name", json!("")), "schedule_name:"),
                (with(&good, "/schedule_name", json!("x".repeat(256))), "schedule_name: at most 255"),
                (with(&good, "/ending_before", json!(NOW)), "ending_before: must be after starting_at"),
                (with(&good, "/starting_at", json!("today")), "starting_at:"),
            ],
        )
        .await;
        let (owner, field) = place.owner();
        let unknown = with(&good, field, json!(NOBODY));
        for path in [place.update(), place.get()] {
            api.post(&path, unknown.clone()).await.refused(404, &[owner, NOBODY, "was not found"]);
        }
        assert_eq!(place.shown(&api, json!({})).await, Vec::<String>::new());
    }
    let [_, _, contract] = Place::all(&world);
    let foreign =
        with(&contract.body(json!({ "starting_at": NOW, "value": 1 })), "/customer_id", json!(other));
    for path in [contract.update(), contract.get()] {
        api.post(&path, foreign.clone()).await.refused(404, &["contract"]);
    }
    api.post(LIST, json!({ "customer_id": NOBODY })).await.refused(404, &["customer"]);
    let foreign = json!({ "customer_id": other, "contract_id": world.contract });
    api.post(LIST, foreign).await.refused(404, &["contract"]);
    let numbers = json!({ "customer_id": world.customer, "properties": { "a": 1 } });
    api.post(LIST, numbers).await.refused(400, &["properties.a"]);
}

#[tokio::test]
async fn what_is_archived_is_read_and_not_changed() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let places = Place::all(&world);
    for place in &places {
        place.set(&api, "01-01", None, json!(1)).await;
    }
    let of_contract =
        json!({ "customer_id": world.customer, "contract_id": world.contract, "void_invoices": true });
    let archives = [
        ("/v1/contract-pricing/rate-cards/archive", json!({ "id": world.card })),
        ("/v1/contracts/archive", of_contract),
        ("/v1/customers/archive", json!({ "id": world.customer })),
    ];
    for (path, body) in archives {
        assert_eq!(api.post(path, body).await.status, 200, "{path}");
    }
    for place in &places {
        let body = place.body(json!({ "starting_at": NOW, "value": 2 }));
        api.post(&place.update(), body).await.refused(400, &["archived"]);
        assert_eq!(place.shown(&api, json!({})).await, ["01-01.. 1"]);
    }
}

#[tokio::test]
async fn updates_of_one_schedule_at_once_follow_one_another() {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    for place in Place::all(&world) {
        let mut tasks = tokio::task::JoinSet::new();
        for month in 1..=9 {
            let (api, path) = (api.clone(), place.update());
            let (start, end) = (day(&format!("0{month}-01")), day("12-01"));
            let body = place.body(json!({ "starting_at": start, "ending_before": end, "value": month }));
            tasks.spawn(async move { api.post(&path, body).await.status.as_u16() });
        }
        assert_eq!(tasks.join_all().await, [200; 9]);
        let shown = place.shown(&api, json!({})).await;
        assert!(shown[0].starts_with("01-01"), "{shown:?}");
        assert!(shown.last().is_some_and(|last| last.contains("..12-01")), "{shown:?}");
    }
}
