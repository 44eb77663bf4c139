//! Rate cards, their aliases and their rates (reference: pricing, sections 4 and 5).

use serde_json::{Value, json};
use upbeat::access::{self, EnvironmentKind};
use upbeat::invoice::verify_invoices;

use crate::support::{Api, Metric, Rates, lines};
use crate::world::{NOW, number, refuse, with, without};

const CREATE: &str = "/v1/contract-pricing/rate-cards/create";
const GET: &str = "/v1/contract-pricing/rate-cards/get";
const LIST: &str = "/v1/contract-pricing/rate-cards/list";
const UPDATE: &str = "/v1/contract-pricing/rate-cards/update";
const ARCHIVE: &str = "/v1/contract-pricing/rate-cards/archive";
const SET_ORDER: &str = "/v1/contract-pricing/rate-cards/setRateCardProductsOrder";
const MOVE: &str = "/v1/contract-pricing/rate-cards/moveRateCardProducts";
const ADD_RATE: &str = "/v1/contract-pricing/rate-cards/addRate";
const ADD_RATES: &str = "/v1/contract-pricing/rate-cards/addRates";
const GET_RATES: &str = "/v1/contract-pricing/rate-cards/getRates";

const NOBODY: &str = "00000000-0000-4000-8000-000000000000";
const USD: &str = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";

/// An object with the members of another.
trait Merged {
    fn merged(self, more: Value) -> Value;
}

impl Merged for Value {
    fn merged(mut self, more: Value) -> Value {
        let more = more.as_object().expect("an object").clone();
        self.as_object_mut().expect("an object").extend(more);
        self
    }
}

async fn unit(api: &Api, name: &str) -> String {
    let units = api.get("/v1/credit-types/list").await.data();
    let unit = units.as_array().expect("units").iter().find(|unit| unit["name"] == name).expect("the unit");
    unit["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn pricing_units_are_the_currencies_with_dollars_in_cents() {
    let api = Api::at(NOW).await;
    let units = api.get("/v1/credit-types/list").await.data();
    assert_eq!(units[0], json!({ "id": USD, "name": "USD (cents)", "is_currency": true }));
    assert!(units.as_array().expect("units").iter().all(|unit| unit["is_currency"] == json!(true)));
    let production =
        api.with_token(upbeat::access::EnvironmentKind::Production, upbeat::access::Role::Reader).await;
    assert_eq!(production.get("/v1/credit-types/list").await.data(), units);
}

#[tokio::test]
async fn a_card_is_shown_as_it_was_made() {
    let api = Api::at(NOW).await;
    let euro = unit(&api, "EUR").await;
    let body = json!({
        "name": "Card", "description": "All", "fiat_credit_type_id": euro,
        "credit_type_conversions": [{ "custom_credit_type_id": euro, "fiat_per_custom_credit": 2.50 }],
        "aliases": [{ "name": "std", "starting_at": "2026-01-01T00:00:00Z" }],
    });
    let id = api.post(CREATE, body).await.id();
    let shown = api.post(GET, json!({ "id": id })).await.data();
    let euro = json!({ "id": euro, "name": "EUR" });
    let expected = json!({
        "id": id, "name": "Card", "description": "All", "fiat_credit_type": euro,
        "credit_type_conversions": [{ "custom_credit_type": euro, "fiat_per_custom_credit": "2.5" }],
        "aliases": [{ "name": "std", "starting_at": "2026-01-01T00:00:00Z" }],
        "custom_fields": {}, "created_at": NOW, "created_by": "test token",
    });
    assert_eq!(shown, expected);
    assert_eq!(api.post("/v1/contract-pricing/rate-cards/list", json!({})).await.data(), json!([shown]));
    let plain = api.rate_card().await.card;
    let shown = api.post(GET, json!({ "id": plain })).await.data();
    assert_eq!(shown["fiat_credit_type"], json!({ "id": USD, "name": "USD (cents)" }));
    api.post(GET, json!({ "id": "00000000-0000-4000-8000-000000000000" })).await.refused(404, &["rate card"]);
}

#[tokio::test]
async fn a_card_that_makes_no_sense_is_refused() {
    let api = Api::at(NOW).await;
    let conversion = |unit: &str, price: &str| {
        let conversion = json!({ "custom_credit_type_id": unit, "fiat_per_custom_credit": number(price) });
        json!({ "name": "a", "credit_type_conversions": [conversion] })
    };
    let mut twice = conversion(USD, "1");
    twice["credit_type_conversions"] =
        json!([twice["credit_type_conversions"][0], twice["credit_type_conversions"][0]]);
    let aliases = |aliases: Value| json!({ "name": "a", "aliases": aliases });
    let (one, two) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    let price = "credit_type_conversions[0].fiat_per_custom_credit:";
    let credits = api.post("/v1/credit-types/create", json!({ "name": "AI credits" })).await.id();
    refuse(
        &api,
        CREATE,
        vec![
            (json!({ "name": "" }), "name:"),
            (
                json!({ "name": "a", "fiat_credit_type_id": "00000000-0000-4000-8000-000000000000" }),
                "fiat_credit_type_id:",
            ),
            (json!({ "name": "a", "fiat_credit_type_id": "USD" }), "fiat_credit_type_id:"),
            (
                json!({ "name": "a", "fiat_credit_type_id": credits }),
                "fiat_credit_type_id: is not the id of a currency",
            ),
            (conversion(USD, "0"), price),
            (conversion(USD, "-1"), price),
            (conversion(USD, "1e400"), price),
            (twice, "credit_type_conversions[1].custom_credit_type_id:"),
            (aliases(json!([{ "name": " " }])), "aliases[0].name:"),
            (aliases(json!([{}])), "aliases[0]: missing field `name`"),
            (
                aliases(json!([{ "name": "x", "starting_at": two, "ending_before": one }])),
                "aliases[0].ending_before:",
            ),
            (
                aliases(json!([{ "name": "x", "starting_at": one, "ending_before": one }])),
                "aliases[0].ending_before:",
            ),
            (aliases(json!([{ "name": "x" }, { "name": "x" }])), "aliases[1]"),
            (
                aliases(json!([{ "name": "x", "starting_at": one }, { "name": "x", "starting_at": two }])),
                "aliases[1]",
            ),
        ],
    )
    .await;
    let touching = json!([
        { "name": "x", "ending_before": one }, { "name": "x", "starting_at": one, "ending_before": two },
        { "name": "x", "starting_at": two }, { "name": "X" },
    ]);
    api.post(CREATE, aliases(touching)).await.id();
}

/// The alias windows of a card as `start..end`.
async fn windows(api: &Api, card: &str) -> Vec<String> {
    let shown = api.post(GET, json!({ "id": card })).await.data();
    let date = |value: &Value| value.as_str().map_or(String::new(), |text| text[..10].to_owned());
    let window =
        |alias: &Value| format!("{}..{}", date(&alias["starting_at"]), date(&alias["ending_before"]));
    shown["aliases"].as_array().expect("aliases").iter().map(window).collect()
}

async fn card_with(api: &Api, start: Option<&str>, end: Option<&str>) -> String {
    let mut alias = json!({ "name": "std" });
    for (field, date) in [("starting_at", start), ("ending_before", end)] {
        if let Some(date) = date {
            alias[field] = json!(format!("{date}T00:00:00Z"));
        }
    }
    api.post(CREATE, json!({ "name": "card", "aliases": [alias] })).await.id()
}

#[tokio::test]
async fn an_alias_is_handed_over_for_the_window_that_is_taken() {
    let api = Api::at(NOW).await;
    let first = card_with(&api, None, None).await;
    assert_eq!(windows(&api, &first).await, [".."]);
    let second = card_with(&api, Some("2026-03-01"), None).await;
    assert_eq!(windows(&api, &first).await, ["..2026-03-01"]);
    let third = card_with(&api, Some("2026-02-01"), Some("2026-04-01")).await;
    assert_eq!(windows(&api, &first).await, ["..2026-02-01"]);
    assert_eq!(windows(&api, &second).await, ["2026-04-01.."]);
    assert_eq!(windows(&api, &third).await, ["2026-02-01..2026-04-01"]);
    let fourth = card_with(&api, Some("2026-02-10"), Some("2026-02-20")).await;
    assert_eq!(windows(&api, &third).await, ["2026-02-01..2026-02-10", "2026-02-20..2026-04-01"]);

    let customer = api.customer("acct").await;
    for (date, card) in [
        ("2025-06-01", &first),
        ("2026-02-01", &third),
        ("2026-02-10", &fourth),
        ("2026-02-20", &third),
        ("2026-04-01", &second),
        ("2030-01-01", &second),
    ] {
        let start = format!("{date}T00:00:00Z");
        let body = json!({ "customer_id": customer, "starting_at": start, "rate_card_alias": "std" });
        let contract = api.post("/v1/contracts/create", body).await.data()["contract"].clone();
        assert_eq!(contract["rate_card_id"], json!(card), "{date}");
    }

    let last = card_with(&api, None, None).await;
    for card in [&first, &second, &third, &fourth] {
        assert!(windows(&api, card).await.is_empty());
    }
    assert_eq!(windows(&api, &last).await, [".."]);
    let contracts = api.post("/v2/contracts/list", json!({ "customer_id": customer })).await.data();
    assert_eq!(contracts[0]["rate_card_id"], json!(first), "a contract stays with its card");
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let api = Api::at(NOW).await;
    let body = json!({ "name": "Card", "description": "All", "aliases": [{ "name": "std" }] });
    let id = api.post(CREATE, body).await.id();
    let mut expected = api.post(GET, json!({ "id": id })).await.data();
    for (change, field, value) in [
        (json!({ "name": "Renamed" }), "name", json!("Renamed")),
        (json!({ "description": "New" }), "description", json!("New")),
        (json!({ "description": "" }), "description", json!("")),
        (json!({ "aliases": [{ "name": "x" }] }), "aliases", json!([{ "name": "x" }])),
        (json!({ "name": "Again", "description": null, "aliases": null }), "name", json!("Again")),
        (json!({ "name": null, "aliases": [] }), "aliases", json!([])),
        (
            json!({ "add_credit_type_conversions": [{ "custom_credit_type_id": USD, "fiat_per_custom_credit": 2 }] }),
            "credit_type_conversions",
            json!([{
                "custom_credit_type": { "id": USD, "name": "USD (cents)" }, "fiat_per_custom_credit": "2",
            }]),
        ),
        // a card's currency is for life, and no field of an update
        (json!({ "name": "Last", "fiat_credit_type_id": NOBODY, "unknown": 1 }), "name", json!("Last")),
    ] {
        let answer = api.post(UPDATE, with(&change, "/rate_card_id", json!(id))).await.data();
        assert_eq!(answer, json!({ "id": id }), "{change}");
        expected[field] = value;
        assert_eq!(api.post(GET, json!({ "id": id })).await.data(), expected, "{change}");
    }
    assert_eq!(api.post(LIST, json!({})).await.data(), json!([expected]));
}

#[tokio::test]
async fn an_update_that_makes_no_sense_is_refused_and_changes_nothing() {
    let api = Api::at(NOW).await;
    let conversion = json!({ "custom_credit_type_id": USD, "fiat_per_custom_credit": 1 });
    let body = json!({
        "name": "Card", "aliases": [{ "name": "std" }], "credit_type_conversions": [conversion],
    });
    let id = api.post(CREATE, body).await.id();
    let before = api.post(GET, json!({ "id": id })).await.data();
    let update =
        |more: Value| with(&json!({ "name": "New", "aliases": [] }), "/rate_card_id", json!(id)).merged(more);
    let add =
        |more: Value| update(json!({ "add_credit_type_conversions": [conversion.clone().merged(more)] }));
    let (one, two) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    let converted = "add_credit_type_conversions[0].custom_credit_type_id: is converted by the card already";
    let price = "add_credit_type_conversions[0].fiat_per_custom_credit:";
    refuse(
        &api,
        UPDATE,
        vec![
            (json!({ "name": "New" }), "`rate_card_id`"),
            (update(json!({ "rate_card_id": "x" })), "rate_card_id:"),
            (json!({ "rate_card_id": id }), "at least one of name, description, aliases"),
            (json!({ "rate_card_id": id, "name": null, "aliases": null }), "at least one of"),
            (update(json!({ "name": " " })), "name:"),
            (update(json!({ "description": 1 })), "description:"),
            (update(json!({ "aliases": "std" })), "aliases:"),
            (update(json!({ "aliases": [{}] })), "aliases[0]: missing field `name`"),
            (update(json!({ "aliases": [{ "name": "" }] })), "aliases[0].name:"),
            (update(json!({ "aliases": [{ "name": "n".repeat(256) }] })), "aliases[0].name:"),
            (
                update(json!({ "aliases": [{ "name": "x", "starting_at": "soon" }] })),
                "aliases[0].starting_at:",
            ),
            (
                update(json!({ "aliases": [{ "name": "x", "starting_at": two, "ending_before": one }] })),
                "aliases[0].ending_before:",
            ),
            (
                update(json!({ "aliases": [{ "name": "x" }, { "name": "x", "starting_at": one }] })),
                "aliases[1]:",
            ),
            (update(json!({ "aliases": vec![json!({ "name": "x" }); 101] })), "aliases:"),
            (add(json!({})), converted),
            (add(json!({ "fiat_per_custom_credit": 2 })), converted),
            (add(json!({ "fiat_per_custom_credit": 0 })), price),
            (add(json!({ "fiat_per_custom_credit": -1 })), price),
            (add(json!({ "fiat_per_custom_credit": "1" })), price),
            (
                add(json!({ "custom_credit_type_id": NOBODY })),
                "add_credit_type_conversions[0].custom_credit_type_id: is not the id of a pricing unit",
            ),
            (
                add(json!({ "custom_credit_type_id": "x" })),
                "add_credit_type_conversions[0].custom_credit_type_id:",
            ),
        ],
    )
    .await;
    api.post(UPDATE, update(json!({ "rate_card_id": NOBODY }))).await.refused(404, &["rate card", NOBODY]);
    assert_eq!(api.post(GET, json!({ "id": id })).await.data(), before);

    let plain = api.rate_card().await.card;
    let twice = json!({ "rate_card_id": plain, "add_credit_type_conversions": [conversion, conversion] });
    let part = "add_credit_type_conversions[1].custom_credit_type_id: is converted twice";
    api.post(UPDATE, twice).await.refused(400, &[part]);
}

#[tokio::test]
async fn an_update_hands_aliases_over_between_cards() {
    let api = Api::at(NOW).await;
    let set = async |card: &str, aliases: Value| {
        api.post(UPDATE, json!({ "rate_card_id": card, "aliases": aliases })).await.id();
    };
    let first = card_with(&api, None, None).await;
    let second = api.rate_card().await.card;
    let june = json!([{ "name": "std", "starting_at": "2026-06-01T00:00:00Z", "ending_before": "2026-07-01T00:00:00Z" }]);
    set(&second, june.clone()).await;
    assert_eq!(windows(&api, &first).await, ["..2026-06-01", "2026-07-01.."]);
    assert_eq!(windows(&api, &second).await, ["2026-06-01..2026-07-01"]);
    set(&second, june).await;
    assert_eq!(
        windows(&api, &first).await,
        ["..2026-06-01", "2026-07-01.."],
        "the same again changes nothing"
    );
    assert_eq!(windows(&api, &second).await, ["2026-06-01..2026-07-01"]);

    let from_august = json!([{ "name": "std", "starting_at": "2026-08-01T00:00:00Z" }]);
    set(&second, from_august).await;
    assert_eq!(windows(&api, &first).await, ["..2026-06-01", "2026-07-01..2026-08-01"]);
    assert_eq!(windows(&api, &second).await, ["2026-08-01.."], "the list is replaced");
    let customer = api.customer("acct").await;
    let contract = |start: &str| json!({ "customer_id": customer, "rate_card_alias": "std", "starting_at": format!("{start}T00:00:00Z") });
    let held_by = async |start: &str| {
        let answer = api.post("/v1/contracts/create", contract(start)).await.data();
        answer["contract"]["rate_card_id"].as_str().expect("a card").to_owned()
    };
    assert_eq!(held_by("2026-05-31").await, first);
    let nobodys = api.post("/v1/contracts/create", contract("2026-06-01")).await;
    nobodys.refused(404, &["rate_card_alias: ", "std", "2026-06-01"]);
    assert_eq!(held_by("2026-07-31").await, first);
    assert_eq!(held_by("2026-08-01").await, second);

    set(&first, json!([])).await;
    assert!(windows(&api, &first).await.is_empty());
    assert_eq!(windows(&api, &second).await, ["2026-08-01.."], "another card's windows stay");
    set(&first, json!([{ "name": "std" }, { "name": "Std", "ending_before": "2026-06-01T00:00:00Z" }])).await;
    assert_eq!(windows(&api, &first).await, ["..2026-06-01", ".."], "names differ by their casing");
    assert!(windows(&api, &second).await.is_empty());
    let contracts = api.post("/v2/contracts/list", json!({ "customer_id": customer })).await.data();
    let cards: Vec<&Value> =
        contracts.as_array().expect("contracts").iter().map(|contract| &contract["rate_card_id"]).collect();
    assert_eq!(cards, [&json!(first), &json!(first), &json!(second)], "contracts stay with their card");
}

#[tokio::test]
async fn an_archived_card_takes_nothing_new_and_keeps_what_it_has() {
    let priced = Priced::new(json!({ "name": "card", "aliases": [{ "name": "std" }] })).await;
    let (api, card) = (&priced.api, &priced.rates.card);
    api.post(ADD_RATE, priced.flat()).await.data();
    let customer = api.customer("acct").await;
    api.contract(&customer, &priced.rates, "2026-03-01T00:00:00Z", json!({})).await;
    api.event("acct", NOW, json!({ "tokens": 5, "model": "a", "zone": "b" })).await;
    let shown = api.post(GET, json!({ "id": card })).await.data();
    let draft = api.invoice(&customer, "2026-03-01").await;
    assert_eq!(draft["total"], json!(10));

    assert_eq!(api.post(ARCHIVE, json!({ "id": card })).await.data(), json!({ "id": card }));
    api.move_clock("2026-03-11T00:00:00Z").await;
    assert_eq!(api.post(ARCHIVE, json!({ "id": card })).await.data(), json!({ "id": card }), "once more");
    api.post(ARCHIVE, json!({ "id": NOBODY })).await.refused(404, &["rate card", NOBODY]);
    refuse(api, ARCHIVE, vec![(json!({}), "`id`"), (json!({ "id": "x" }), "id:")]).await;

    assert_eq!(api.post(LIST, json!({})).await.data(), json!([]));
    assert_eq!(api.post(GET, json!({ "id": card })).await.data(), shown);
    let contract = json!({ "customer_id": customer, "starting_at": "2026-03-01T00:00:00Z" });
    let by_id = with(&contract, "/rate_card_id", json!(card));
    api.post("/v1/contracts/create", by_id).await.refused(400, &["rate_card_id: ", "archived"]);
    let by_alias = with(&contract, "/rate_card_alias", json!("std"));
    api.post("/v1/contracts/create", by_alias.clone()).await.refused(404, &["rate_card_alias: ", "std"]);

    let archived = "rate_card_id: the rate card is archived";
    let rate = without(&priced.flat(), "/rate_card_id");
    for (path, body) in [
        (ADD_RATE, priced.flat()),
        (ADD_RATES, json!({ "rate_card_id": card, "rates": [rate] })),
        (UPDATE, json!({ "rate_card_id": card, "name": "x" })),
        (UPDATE, json!({ "rate_card_id": card, "aliases": [] })),
        (SET_ORDER, json!({ "rate_card_id": card, "product_order": [priced.plain] })),
        (MOVE, json!({ "rate_card_id": card, "product_moves": [] })),
    ] {
        refuse(api, path, vec![(body, archived)]).await;
    }
    assert_eq!(api.post(GET, json!({ "id": card })).await.data(), shown);
    assert_eq!(priced.rates(json!({})).await.len(), 1, "its rates are still read");

    assert_eq!(api.invoice(&customer, "2026-03-01").await, draft);
    api.event("acct", "2026-03-10T13:00:00Z", json!({ "tokens": 1, "model": "a", "zone": "b" })).await;
    api.move_clock("2026-04-02T00:00:00Z").await;
    let finalized = api.invoice(&customer, "2026-03-01").await;
    assert_eq!((&finalized["status"], &finalized["total"]), (&json!("FINALIZED"), &json!(12)));
    assert_eq!(api.invoice(&customer, "2026-04-01").await["status"], "DRAFT", "the contract goes on");

    let heir = card_with(api, Some("2026-01-01"), None).await;
    assert_eq!(windows(api, card).await, ["..2026-01-01"], "its alias can be taken over");
    let by_alias = api.post("/v1/contracts/create", by_alias).await.data();
    assert_eq!(by_alias["contract"]["rate_card_id"], json!(heir));
}

/// A card with five products `A` to `E`, each with a rate from January, on one metric; and a customer on it.
struct Ordered {
    api: Api,
    card: String,
    products: Vec<String>,
    customer: String,
}

impl Ordered {
    async fn new() -> Self {
        let api = Api::at(NOW).await;
        let metric = api.metric(Metric { aggregation: "SUM", key: Some("tokens"), groups: &[] }).await;
        let rates = api.rate_card().await;
        let mut products = Vec::new();
        for name in ["A", "B", "C", "D", "E"] {
            let product = api.product(name, &metric, json!({})).await;
            api.flat(&rates, &product, "2026-01-01T00:00:00Z", "1", json!({})).await;
            products.push(product);
        }
        let customer = api.customer("acct").await;
        api.contract(&customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
        Self { api, card: rates.card, products, customer }
    }

    /// The id of the product with this letter.
    fn id(&self, letter: char) -> &str {
        &self.products["ABCDE".find(letter).expect("a product")]
    }

    fn order_of(&self, letters: &str) -> Value {
        let ids: Vec<&str> = letters.chars().map(|letter| self.id(letter)).collect();
        json!({ "rate_card_id": self.card, "product_order": ids })
    }

    fn moves(&self, moves: &[(char, Value)]) -> Value {
        let moves: Vec<Value> = moves
            .iter()
            .map(|(letter, position)| json!({ "product_id": self.id(*letter), "position": position }))
            .collect();
        json!({ "rate_card_id": self.card, "product_moves": moves })
    }

    /// The order in which rates are read.
    async fn rates(&self) -> String {
        let rates = self.api.post(GET_RATES, json!({ "rate_card_id": self.card, "at": NOW })).await.data();
        names(&rates, "product_name")
    }

    /// The order of the lines of the invoice that starts then.
    async fn lines(&self, start: &str) -> String {
        names(&self.api.invoice(&self.customer, start).await["line_items"], "name")
    }
}

fn names(rows: &Value, field: &str) -> String {
    rows.as_array().expect("rows").iter().filter_map(|row| row[field].as_str()).collect()
}

#[tokio::test]
async fn the_order_of_the_products_is_the_order_of_the_lines() {
    let ordered = Ordered::new().await;
    assert_eq!(ordered.lines("2026-03-01").await, "ABCDE", "in the order of their first rates");
    for (listed, expected) in [
        ("EDCBA", "EDCBA"),
        ("", "EDCBA"),
        ("AC", "ACEDB"),
        ("B", "BACED"),
        ("ABCDE", "ABCDE"),
        ("ABCDE", "ABCDE"),
        ("DB", "DBACE"),
    ] {
        let answer = ordered.api.post(SET_ORDER, ordered.order_of(listed)).await.data();
        assert_eq!(answer, json!({ "id": ordered.card }));
        assert_eq!(ordered.lines("2026-03-01").await, expected, "{listed}");
        assert_eq!(ordered.rates().await, expected, "{listed}");
    }
    // more of the same product moves nothing; a new product goes last
    let rates = Rates { card: ordered.card.clone() };
    ordered.api.flat(&rates, ordered.id('D'), "2026-03-05T00:00:00Z", "2", json!({})).await;
    let metric = ordered.api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let last = ordered.api.product("F", &metric, json!({})).await;
    ordered.api.flat(&rates, &last, "2026-01-01T00:00:00Z", "1", json!({})).await;
    assert_eq!(ordered.rates().await, "DBACEF");
    assert_eq!(ordered.lines("2026-03-01").await, "DDBACEF");
}

#[tokio::test]
async fn products_are_moved_one_after_another() {
    let ordered = Ordered::new().await;
    let huge: Value = number("1e27");
    for (moves, expected) in [
        (vec![('C', json!(0))], "CABDE"),
        (vec![('C', json!(1))], "ACBDE"),
        (vec![('A', json!(4))], "CBDEA"),
        (vec![('A', json!(5))], "CBDEA"),
        (vec![('C', json!(4)), ('B', json!(4))], "DEACB"),
        (vec![('D', json!(99))], "EACBD"),
        (vec![('E', huge)], "ACBDE"),
        (vec![('C', json!(2)), ('C', json!(0)), ('E', json!(1))], "CEABD"),
        (vec![('B', json!(1.0))], "CBEAD"),
        (vec![], "CBEAD"),
    ] {
        let body = ordered.moves(&moves);
        let answer = ordered.api.post(MOVE, body.clone()).await.data();
        assert_eq!(answer, json!({ "id": ordered.card }));
        assert_eq!(ordered.lines("2026-03-01").await, expected, "{moves:?}");
        assert_eq!(ordered.rates().await, expected, "{moves:?}");
    }
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused_and_changes_nothing() {
    let ordered = Ordered::new().await;
    let api = &ordered.api;
    let metric = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let elsewhere = api.product("Elsewhere", &metric, json!({})).await;
    let order = ordered.order_of("BA");
    refuse(
        api,
        SET_ORDER,
        vec![
            (without(&order, "/rate_card_id"), "`rate_card_id`"),
            (without(&order, "/product_order"), "`product_order`"),
            (with(&order, "/product_order", json!(null)), "product_order:"),
            (with(&order, "/product_order/1", json!("x")), "product_order[1]:"),
            (with(&order, "/product_order/1", json!(NOBODY)), "product_order[1]: the product has no rate"),
            (with(&order, "/product_order/1", json!(elsewhere)), "product_order[1]: the product has no rate"),
            (ordered.order_of("BAB"), "product_order[2]: the product is listed twice"),
        ],
    )
    .await;
    let moves = ordered.moves(&[('B', json!(0)), ('A', json!(1))]);
    let position = "product_moves[1].position: must be a whole number from 0";
    refuse(
        api,
        MOVE,
        vec![
            (without(&moves, "/rate_card_id"), "`rate_card_id`"),
            (without(&moves, "/product_moves"), "`product_moves`"),
            (without(&moves, "/product_moves/1/product_id"), "product_moves[1]: missing field `product_id`"),
            (without(&moves, "/product_moves/1/position"), "product_moves[1]: missing field `position`"),
            (with(&moves, "/product_moves/1/product_id", json!("x")), "product_moves[1].product_id:"),
            (with(&moves, "/product_moves/1/product_id", json!(NOBODY)), "product_moves[1].product_id: the product"),
            (with(&moves, "/product_moves/1/product_id", json!(elsewhere)), "product_moves[1].product_id: the product"),
            (with(&moves, "/product_moves/1/position", json!(-1)), position),
            (with(&moves, "/product_moves/1/position", json!(0.5)), position),
            (with(&moves, "/product_moves/1/position", json!("0")), "product_moves[1].position:"),
            (with(&moves, "/product_moves/1/position", json!(null)), "product_moves[1].position:"),
            (
                json!({ "rate_card_id": ordered.card, "product_moves": vec![moves["product_moves"][0].clone(); 1001] }),
                "product_moves:",
            ),
        ],
    )
    .await;
    for (path, body) in [(SET_ORDER, order), (MOVE, moves)] {
        let of_nobody = with(&body, "/rate_card_id", json!(NOBODY));
        api.post(path, of_nobody).await.refused(404, &["rate card", NOBODY]);
    }
    assert_eq!(ordered.rates().await, "ABCDE");
}

#[tokio::test]
async fn a_new_order_leaves_final_invoices_as_they_are() {
    let ordered = Ordered::new().await;
    let api = &ordered.api;
    api.event("acct", NOW, json!({ "tokens": 3 })).await;
    api.move_clock("2026-04-02T00:00:00Z").await;
    let finalized = api.invoice(&ordered.customer, "2026-03-01").await;
    assert_eq!(finalized["status"], "FINALIZED");
    api.post(SET_ORDER, ordered.order_of("ECA")).await.id();
    assert_eq!(api.invoice(&ordered.customer, "2026-03-01").await, finalized);
    assert_eq!(ordered.lines("2026-03-01").await, "ABCDE");
    assert_eq!(ordered.lines("2026-04-01").await, "ECABD");
    assert_eq!(
        lines(&api.invoice(&ordered.customer, "2026-04-01").await)[0],
        "E 04-01..05-01 0 × 1 = 0",
        "and nothing else is different"
    );
    let mut db = api.app.db.acquire().await.expect("a connection");
    let sandbox = access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
    drop(db);
    let (checked, faults) = verify_invoices(&api.app.db, sandbox.id).await.expect("a check");
    assert!(checked == 1 && faults.is_empty(), "{checked}: {faults:?}");
}

#[tokio::test]
async fn the_audit_log_says_what_changed_on_a_card() {
    let ordered = Ordered::new().await;
    let (api, card) = (&ordered.api, &ordered.card);
    api.post(UPDATE, json!({ "rate_card_id": card, "name": "New", "aliases": [] })).await.id();
    api.post(UPDATE, json!({ "rate_card_id": card, "name": " " })).await.refused(400, &["name"]);
    api.post(SET_ORDER, ordered.order_of("BA")).await.id();
    api.post(MOVE, ordered.moves(&[('A', json!(0))])).await.id();
    api.post(ARCHIVE, json!({ "id": card })).await.id();
    api.post(ARCHIVE, json!({ "id": card })).await.id();
    let path = format!("/v1/auditLogs?resource_type=rate_card&resource_id={card}");
    let log = api.get(&path).await.data();
    let line = |entry: &Value| {
        let text = |field: &str| entry[field].as_str().expect("text").to_owned();
        format!("{}: {}", text("action"), text("description"))
    };
    let said: Vec<String> = log.as_array().expect("entries").iter().map(line).collect();
    assert_eq!(
        said[6..],
        [
            "update: Updated name, aliases of rate card New",
            "set_product_order: Set the order of the products of rate card New",
            "move_products: Moved products of rate card New",
            "archive: Archived rate card New",
            "archive: Rate card New was archived already",
        ]
    );
}

/// A card with a product priced by model, and one that is not.
pub struct Priced {
    pub api: Api,
    pub rates: Rates,
    pub by_model: String,
    pub plain: String,
}

impl Priced {
    pub async fn new(body: Value) -> Self {
        let api = Api::at(NOW).await;
        let metric =
            api.metric(Metric { aggregation: "SUM", key: Some("tokens"), groups: &["model", "zone"] }).await;
        let by_model = json!({ "pricing_group_key": ["model", "zone"], "tags": ["ai", "new"] });
        let by_model = api.product("By model", &metric, by_model).await;
        let plain = api.product("Plain", &metric, json!({ "tags": ["old"] })).await;
        let card = api.post(CREATE, body).await.id();
        Self { api, rates: Rates { card }, by_model, plain }
    }

    pub fn flat(&self) -> Value {
        json!({
            "rate_card_id": self.rates.card, "product_id": self.plain, "starting_at": "2026-01-01T00:00:00Z",
            "entitled": true, "rate_type": "FLAT", "price": 2,
        })
    }

    pub fn tiered(&self) -> Value {
        let tiers = json!([{ "size": 10, "price": 3 }, { "size": 10, "price": 2 }, { "price": 1 }]);
        with(&with(&without(&self.flat(), "/price"), "/rate_type", json!("TIERED")), "/tiers", tiers)
    }

    pub fn of_model(&self, model: &str, zone: &str) -> Value {
        let values = json!({ "model": model, "zone": zone });
        with(&with(&self.flat(), "/product_id", json!(self.by_model)), "/pricing_group_values", values)
    }

    async fn rates(&self, more: Value) -> Vec<Value> {
        let mut body = json!({ "rate_card_id": self.rates.card, "at": NOW });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.api.post(GET_RATES, body).await.data().as_array().expect("rates").clone()
    }
}

#[tokio::test]
async fn a_rate_is_answered_as_it_was_added() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let usd = json!({ "id": USD, "name": "USD (cents)" });
    let flat = priced.api.post(ADD_RATE, priced.flat()).await.data();
    assert_eq!(flat, json!({ "rate_type": "FLAT", "price": 2, "credit_type": usd }));
    let tiered = priced.api.post(ADD_RATE, priced.tiered()).await.data();
    let tiers = json!([{ "size": 10, "price": 3 }, { "size": 10, "price": 2 }, { "price": 1 }]);
    assert_eq!(tiered, json!({ "rate_type": "TIERED", "tiers": tiers, "credit_type": usd }));
    let of_model = priced.api.post(ADD_RATE, priced.of_model("a", "b")).await.data();
    assert_eq!(of_model["pricing_group_values"], json!({ "model": "a", "zone": "b" }));
    let quickstart = priced.api.post("/v1/contract-pricing/rate-cards/rates/add", priced.flat()).await.data();
    assert_eq!(quickstart, flat);
}

#[tokio::test]
async fn a_rate_has_the_price_that_its_type_asks_for() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let (flat, tiered) = (priced.flat(), priced.tiered());
    refuse(
        &priced.api,
        ADD_RATE,
        vec![
            (without(&flat, "/price"), "price:"),
            (with(&flat, "/price", json!(null)), "price:"),
            (with(&flat, "/price", json!(-1)), "price:"),
            (with(&flat, "/tiers", json!([{ "price": 1 }])), "tiers:"),
            (without(&tiered, "/tiers"), "tiers:"),
            (with(&tiered, "/tiers", json!([])), "tiers:"),
            (with(&tiered, "/price", json!(1)), "price:"),
            (without(&tiered, "/tiers/0/size"), "tiers[0].size:"),
            (with(&tiered, "/tiers/1/size", json!(null)), "tiers[1].size:"),
            (with(&tiered, "/tiers/1/size", json!(0)), "tiers[1].size:"),
            (with(&tiered, "/tiers/0/size", json!(-5)), "tiers[0].size:"),
            (with(&tiered, "/tiers/2/size", json!(0)), "tiers[2].size:"),
            (with(&tiered, "/tiers/2/price", json!(-1)), "tiers[2].price:"),
            (with(&tiered, "/tiers/0/price", number("1e400")), "tiers[0].price:"),
            (with(&tiered, "/tiers/0/size", number("123456789012345678901234567890")), "tiers[0].size:"),
        ],
    )
    .await;
    let sized = priced.api.post(ADD_RATE, with(&tiered, "/tiers/2/size", json!(7))).await.data();
    assert_eq!(sized["tiers"][2], json!({ "price": 1 }), "the last tier has no end");
    priced.api.post(ADD_RATE, with(&tiered, "/tiers/2/size", json!(null))).await.data();
    priced.api.post(ADD_RATE, with(&flat, "/price", json!(0))).await.data();
    priced.api.post(ADD_RATE, with(&tiered, "/tiers", json!([{ "price": 0 }]))).await.data();
}

#[tokio::test]
async fn pricing_group_values_are_those_of_the_product() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let good = priced.of_model("a", "b");
    refuse(
        &priced.api,
        ADD_RATE,
        vec![
            (without(&good, "/pricing_group_values"), "pricing_group_values:"),
            (with(&good, "/pricing_group_values", json!({})), "pricing_group_values:"),
            (without(&good, "/pricing_group_values/zone"), "pricing_group_values:"),
            (with(&good, "/pricing_group_values/user", json!("x")), "pricing_group_values:"),
            (
                with(&good, "/pricing_group_values", json!({ "model": "a", "Zone": "b" })),
                "pricing_group_values:",
            ),
            (with(&priced.flat(), "/pricing_group_values", json!({ "model": "a" })), "pricing_group_values:"),
        ],
    )
    .await;
    priced.api.post(ADD_RATE, good).await.data();
    priced.api.post(ADD_RATE, with(&priced.flat(), "/pricing_group_values", json!({}))).await.data();
}

#[tokio::test]
async fn a_rate_is_in_the_unit_of_its_card() {
    let api = Api::at(NOW).await;
    let euro = unit(&api, "EUR").await;
    let priced = Priced::new(json!({ "name": "card", "fiat_credit_type_id": euro })).await;
    let flat = priced.flat();
    refuse(
        &priced.api,
        ADD_RATE,
        vec![
            (flat.clone(), "credit_type_id:"),
            (with(&flat, "/credit_type_id", json!(null)), "credit_type_id:"),
            (with(&flat, "/credit_type_id", json!(USD)), "credit_type_id:"),
            (
                with(&flat, "/credit_type_id", json!("00000000-0000-4000-8000-000000000000")),
                "credit_type_id:",
            ),
        ],
    )
    .await;
    let added = priced.api.post(ADD_RATE, with(&flat, "/credit_type_id", json!(euro))).await.data();
    assert_eq!(added["credit_type"], json!({ "id": euro, "name": "EUR" }));
    let dollars = Priced::new(json!({ "name": "card" })).await;
    let in_euro = with(&dollars.flat(), "/credit_type_id", json!(euro));
    refuse(&dollars.api, ADD_RATE, vec![(in_euro, "credit_type_id:")]).await;
    dollars.api.post(ADD_RATE, with(&dollars.flat(), "/credit_type_id", json!(USD))).await.data();
}

#[tokio::test]
async fn a_rate_names_a_card_a_product_and_a_time_that_exist() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let unknown = json!("00000000-0000-4000-8000-000000000000");
    let flat = priced.flat();
    let answer = priced.api.post(ADD_RATE, with(&flat, "/rate_card_id", unknown.clone())).await;
    answer.refused(404, &["rate card"]);
    priced
        .api
        .post(ADD_RATE, with(&flat, "/product_id", unknown))
        .await
        .refused(404, &["product_id: product"]);
    let start = "2026-01-01T00:00:00Z";
    refuse(
        &priced.api,
        ADD_RATE,
        vec![
            (with(&flat, "/ending_before", json!(start)), "ending_before:"),
            (with(&flat, "/ending_before", json!("2025-01-01T00:00:00Z")), "ending_before:"),
        ],
    )
    .await;
    assert!(priced.rates(json!({})).await.is_empty(), "nothing of it was kept");
    priced.api.post(ADD_RATE, with(&flat, "/ending_before", json!(null))).await.data();
}

#[tokio::test]
async fn many_rates_are_added_in_order_or_not_at_all() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let rate = |price: i32| without(&with(&priced.flat(), "/price", json!(price)), "/rate_card_id");
    let many = |rates: Vec<Value>| json!({ "rate_card_id": priced.rates.card, "rates": rates });
    refuse(
        &priced.api,
        ADD_RATES,
        vec![
            (many(vec![]), "rates:"),
            (many(vec![rate(1), rate(-2)]), "rates[1].price:"),
            (
                many(vec![rate(1), with(&rate(2), "/pricing_group_values", json!({ "a": "b" }))]),
                "rates[1].pricing",
            ),
            (
                many(vec![without(&with(&priced.tiered(), "/tiers/0/size", json!(0)), "/rate_card_id")]),
                "rates[0].tiers[0].size:",
            ),
        ],
    )
    .await;
    let unknown = with(&rate(1), "/product_id", json!("00000000-0000-4000-8000-000000000000"));
    priced.api.post(ADD_RATES, many(vec![rate(1), unknown])).await.refused(404, &["rates[1].product_id: "]);
    assert!(priced.rates(json!({})).await.is_empty());
    let answer = priced.api.post(ADD_RATES, many(vec![rate(1), rate(2), rate(3)])).await.data();
    assert_eq!(answer, json!({ "id": priced.rates.card }));
    let rates = priced.rates(json!({})).await;
    assert_eq!((rates.len(), &rates[0]["rate"]["price"]), (1, &json!(3)), "the last one is in force");
}

#[tokio::test]
async fn rates_are_read_at_an_instant_with_the_bounds_of_their_stretch() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    let add = async |start: &str, end: Value, price: i32, entitled: bool| {
        let mut body = with(&priced.flat(), "/starting_at", json!(start));
        body["ending_before"] = end;
        body["price"] = json!(price);
        body["entitled"] = json!(entitled);
        priced.api.post(ADD_RATE, body).await.data();
    };
    add("2026-01-01T00:00:00Z", Value::Null, 1, true).await;
    add("2026-03-01T00:00:00Z", json!("2026-04-01T00:00:00Z"), 2, true).await;
    add("2026-06-01T00:00:00Z", Value::Null, 3, false).await;
    let at = async |at: &str| {
        let rates = priced.rates(json!({ "at": at })).await;
        let text = |value: &Value| value.as_str().map_or(String::new(), |text| text[..10].to_owned());
        let row = |rate: &Value| {
            let (start, end) = (text(&rate["starting_at"]), text(&rate["ending_before"]));
            format!("{start}..{end} {} {}", rate["rate"]["price"], rate["entitled"])
        };
        rates.iter().map(row).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(at("2025-12-31T23:59:59Z").await, "");
    assert_eq!(at("2026-01-01T00:00:00Z").await, "2026-01-01..2026-03-01 1 true");
    assert_eq!(at("2026-03-31T23:59:59Z").await, "2026-03-01..2026-04-01 2 true");
    assert_eq!(at("2026-04-01T00:00:00Z").await, "2026-04-01..2026-06-01 1 true");
    assert_eq!(at("2026-06-01T00:00:00Z").await, "2026-06-01.. 3 false");
}

#[tokio::test]
async fn a_row_of_rates_has_every_field_of_the_reference() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    priced.api.post(ADD_RATE, priced.of_model("large", "fra")).await.data();
    let values = json!({ "model": "large", "zone": "fra" });
    let expected = json!({
        "product_id": priced.by_model, "product_name": "By model", "product_tags": ["ai", "new"],
        "product_custom_fields": {}, "pricing_group_values": values, "starting_at": "2026-01-01T00:00:00Z",
        "entitled": true,
        "rate": {
            "rate_type": "FLAT", "price": 2, "pricing_group_values": values,
            "credit_type": { "id": USD, "name": "USD (cents)" },
        },
    });
    assert_eq!(priced.rates(json!({})).await, [expected]);
}

#[tokio::test]
async fn selectors_are_alternatives_whose_conditions_all_hold() {
    let priced = Priced::new(json!({ "name": "card" })).await;
    priced.api.post(ADD_RATE, priced.flat()).await.data();
    for (model, zone) in [("b", "x"), ("a", "y"), ("a", "x")] {
        priced.api.post(ADD_RATE, priced.of_model(model, zone)).await.data();
    }
    let found = async |selectors: Value| {
        let rates = priced.rates(json!({ "selectors": selectors })).await;
        let name = |rate: &Value| match rate["pricing_group_values"].as_object() {
            Some(values) => values.values().filter_map(Value::as_str).collect::<Vec<_>>().concat(),
            None => "plain".to_owned(),
        };
        rates.iter().map(name).collect::<Vec<_>>().join(" ")
    };
    let (plain, by_model) = (&priced.plain, &priced.by_model);
    for (selectors, expected) in [
        (json!([]), "plain ax ay bx"),
        (json!([{}]), "plain ax ay bx"),
        (json!([{ "product_id": plain }]), "plain"),
        (json!([{ "product_id": "00000000-0000-4000-8000-000000000000" }]), ""),
        (json!([{ "product_tags": ["new", "none"] }]), "ax ay bx"),
        (json!([{ "product_tags": [] }]), ""),
        (json!([{ "pricing_group_values": { "model": "a", "zone": "x" } }]), "ax"),
        (json!([{ "pricing_group_values": { "model": "a" } }]), ""),
        (json!([{ "partial_pricing_group_values": { "model": "a" } }]), "ax ay"),
        (json!([{ "partial_pricing_group_values": { "model": "A" } }]), ""),
        (json!([{ "partial_pricing_group_values": { "model": "a", "zone": "y" } }]), "ay"),
        (json!([{ "product_id": plain, "product_tags": ["ai"] }]), ""),
        (json!([{ "product_id": by_model, "partial_pricing_group_values": { "zone": "y" } }]), "ay"),
        (json!([{ "product_id": plain }, { "partial_pricing_group_values": { "model": "b" } }]), "plain bx"),
        (json!([{ "billing_frequency": "MONTHLY" }]), ""),
    ] {
        assert_eq!(found(selectors.clone()).await, expected, "{selectors}");
    }
    refuse(
        &priced.api,
        GET_RATES,
        vec![
            (json!({ "rate_card_id": priced.rates.card }), "`at`"),
            (json!({ "at": NOW }), "`rate_card_id`"),
            (
                json!({ "rate_card_id": priced.rates.card, "at": NOW, "selectors": [{}, { "product_id": "x" }] }),
                "selectors[1].product_id:",
            ),
        ],
    )
    .await;
    let unknown = json!({ "rate_card_id": "00000000-0000-4000-8000-000000000000", "at": NOW });
    priced.api.post(GET_RATES, unknown).await.refused(404, &["rate card"]);
}
