//! Pricing units: the currencies, custom units, and rate cards that convert them (reference: pricing, section 2).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, Role};

use crate::support::Api;
use crate::world::{NOW, number, refuse};

const CREATE: &str = "/v1/credit-types/create";
const ARCHIVE: &str = "/v1/credit-types/archive";
const LIST: &str = "/v1/credit-types/list";
const CREATE_CARD: &str = "/v1/contract-pricing/rate-cards/create";
const UPDATE_CARD: &str = "/v1/contract-pricing/rate-cards/update";
const GET_CARD: &str = "/v1/contract-pricing/rate-cards/get";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// Ids that are the same in every deployment: contracts, prices and exports name them.
const CURRENCIES: [(&str, &str); 20] = [
    ("USD (cents)", "2714e483-4ff1-48e4-9e25-ac732e8f24f2"),
    ("AUD", "8f8969f2-c358-5cb7-adb7-19440568010a"),
    ("BRL", "ecec2628-930c-50a1-944a-fb61339108f5"),
    ("CAD", "3b3ba7f9-0831-5b20-88d1-589bac24d3a5"),
    ("CHF", "0de91774-140a-56f8-985e-fa8e20d428c7"),
    ("CNY", "4106b575-cdd1-5995-8a9c-18ff48847940"),
    ("CZK", "bc323e63-270b-5af5-91b2-4a6bd6cc1934"),
    ("DKK", "e6ca0edb-b39f-502e-a39e-07555fff7b26"),
    ("EUR", "0170e490-67d8-5e37-92ae-618de5e95d1d"),
    ("GBP", "120a8f52-d849-5033-bcb5-0085454a20ad"),
    ("INR", "f6bcd8ef-5910-597a-8775-207b223316fa"),
    ("MXN", "3f3eb654-67f3-5c18-8f7c-281e04673c19"),
    ("NGN", "479342a6-f3de-57c2-a7eb-315d3ce4d494"),
    ("NOK", "bd360fe8-ec0b-5add-979f-961f57d9ca8a"),
    ("NZD", "2b775474-3bb5-5276-84ce-7d1f3dc4d17e"),
    ("PLN", "526d6546-11bc-5a1b-a515-af89490d4449"),
    ("SEK", "3ec611a0-8d4d-5428-97dc-f1d94b4cf173"),
    ("SGD", "40e6a316-3926-5412-b7e6-682fe159f800"),
    ("TRY", "88c97f3f-4e22-5b9f-9a5f-56afe6f1eb31"),
    ("ZAR", "aa8269b4-6d5c-5b49-a0a0-63b043f59a06"),
];

async fn names(api: &Api) -> Vec<String> {
    let units = api.get(LIST).await.data();
    let custom = units.as_array().expect("units").iter().filter(|unit| unit["is_currency"] == json!(false));
    custom.map(|unit| unit["name"].as_str().expect("a name").to_owned()).collect()
}

async fn unit(api: &Api, name: &str) -> String {
    api.post(CREATE, json!({ "name": name })).await.id()
}

fn conversions(card: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let one = |row: &Value| (text(&row["custom_credit_type"]["name"]), text(&row["fiat_per_custom_credit"]));
    card["credit_type_conversions"].as_array().expect("conversions").iter().map(one).collect()
}

#[tokio::test]
async fn the_twenty_currencies_have_fixed_ids() {
    let api = Api::at(NOW).await;
    let units = api.get(LIST).await.data();
    let listed: BTreeSet<(String, String)> = units
        .as_array()
        .expect("units")
        .iter()
        .inspect(|unit| assert_eq!(unit["is_currency"], json!(true)))
        .map(|unit| {
            (
                unit["name"].as_str().expect("a name").to_owned(),
                unit["id"].as_str().expect("an id").to_owned(),
            )
        })
        .collect();
    let expected = CURRENCIES.map(|(name, id)| (name.to_owned(), id.to_owned()));
    assert_eq!(listed, BTreeSet::from(expected));
    // Each may be a card's currency.
    for (name, id) in CURRENCIES {
        let card = api.post(CREATE_CARD, json!({ "name": "a", "fiat_credit_type_id": id })).await.id();
        let shown = api.post(GET_CARD, json!({ "id": card })).await.data();
        assert_eq!(shown["fiat_credit_type"], json!({ "id": id, "name": name }));
    }
}

#[tokio::test]
async fn custom_units_are_listed_behind_the_currencies() {
    let api = Api::at(NOW).await;
    let credits = unit(&api, "AI credits").await;
    unit(&api, "Tokens").await;
    let units = api.get(LIST).await.data();
    assert_eq!(units[20], json!({ "id": credits, "name": "AI credits", "is_currency": false }));
    assert_eq!(names(&api).await, ["AI credits", "Tokens"]);
    let production = api.with_token(EnvironmentKind::Production, Role::Admin).await;
    assert_eq!(names(&production).await, Vec::<String>::new());
    unit(&production, "AI credits").await;
}

#[tokio::test]
async fn a_name_is_of_one_unit_in_use() {
    let api = Api::at(NOW).await;
    let credits = unit(&api, "AI credits").await;
    refuse(
        &api,
        CREATE,
        vec![
            (json!({}), "missing field `name`"),
            (json!({ "name": " " }), "name:"),
            (json!({ "name": "x".repeat(256) }), "name: at most 255"),
            (json!({ "name": "AI credits" }), "name: another pricing unit"),
            (json!({ "name": "EUR" }), "name: a currency"),
        ],
    )
    .await;
    unit(&api, "ai credits").await;
    api.post(ARCHIVE, json!({ "id": credits })).await.data();
    unit(&api, "AI credits").await;
}

#[tokio::test]
async fn an_archived_unit_leaves_the_list_for_good() {
    let api = Api::at(NOW).await;
    let credits = unit(&api, "AI credits").await;
    for _ in 0..2 {
        assert_eq!(api.post(ARCHIVE, json!({ "id": credits })).await.id(), credits);
    }
    assert_eq!(names(&api).await, Vec::<String>::new());
    api.post(ARCHIVE, json!({ "id": CURRENCIES[1].1 })).await.refused(400, &["id: ", "currency"]);
    api.post(ARCHIVE, json!({ "id": NOBODY })).await.refused(404, &["pricing unit"]);
    let production = api.with_token(EnvironmentKind::Production, Role::Admin).await;
    production.post(ARCHIVE, json!({ "id": credits })).await.refused(404, &["pricing unit"]);
}

#[tokio::test]
async fn a_card_converts_custom_units_at_exact_prices() {
    let api = Api::at(NOW).await;
    let (credits, tokens) = (unit(&api, "AI credits").await, unit(&api, "Tokens").await);
    let usd = CURRENCIES[0].1;
    let card = json!({
        "name": "Card",
        "credit_type_conversions": [
            { "custom_credit_type_id": credits, "fiat_per_custom_credit": 2 },
            { "custom_credit_type_id": usd, "fiat_per_custom_credit": 1 },
        ],
    });
    let card = api.post(CREATE_CARD, card).await.id();
    let more = json!({
        "rate_card_id": card,
        "add_credit_type_conversions": [
            { "custom_credit_type_id": tokens, "fiat_per_custom_credit": number("0.0123456789012345678901234567") },
        ],
    });
    api.post(UPDATE_CARD, more).await.data();
    let shown = api.post(GET_CARD, json!({ "id": card })).await.data();
    let expected = [("AI credits", "2"), ("USD (cents)", "1"), ("Tokens", "0.0123456789012345678901234567")];
    assert_eq!(conversions(&shown), expected.map(|(name, price)| (name.to_owned(), price.to_owned())));
    assert_eq!(shown["credit_type_conversions"][0]["custom_credit_type"]["id"], json!(credits));
    let listed = api.post("/v1/contract-pricing/rate-cards/list", json!({})).await.data();
    assert_eq!(listed, json!([shown]));
    // What is archived stays where it is used.
    api.post(ARCHIVE, json!({ "id": credits })).await.data();
    assert_eq!(api.post(GET_CARD, json!({ "id": card })).await.data(), shown);
}

#[tokio::test]
async fn a_conversion_that_makes_no_sense_is_refused() {
    let api = Api::at(NOW).await;
    let (credits, archived) = (unit(&api, "AI credits").await, unit(&api, "Old credits").await);
    api.post(ARCHIVE, json!({ "id": archived })).await.data();
    let production = api.with_token(EnvironmentKind::Production, Role::Admin).await;
    let foreign = unit(&production, "Foreign credits").await;
    let conversion = |unit: &str, price: &str| json!({ "custom_credit_type_id": unit, "fiat_per_custom_credit": number(price) });
    let card = json!({ "name": "Card", "credit_type_conversions": [conversion(&credits, "2")] });
    let card = api.post(CREATE_CARD, card).await.id();
    let cases = [
        (vec![conversion(&credits, "0")], "[0].fiat_per_custom_credit: must be greater than 0"),
        (vec![conversion(&credits, "-1")], "[0].fiat_per_custom_credit: must be greater than 0"),
        (vec![conversion(&archived, "1")], "[0].custom_credit_type_id: the pricing unit is archived"),
        (vec![conversion(&foreign, "1")], "[0].custom_credit_type_id: is not the id of a pricing unit"),
        (vec![conversion(NOBODY, "1")], "[0].custom_credit_type_id: is not the id of a pricing unit"),
        (vec![conversion(CURRENCIES[1].1, "1")], "[0].custom_credit_type_id: is a currency"),
    ];
    let twice = "[1].custom_credit_type_id: is converted twice";
    let twice = (vec![conversion(&credits, "1"), conversion(&credits, "1")], twice);
    let mut creations = Vec::new();
    for (conversions, reason) in cases.iter().chain([&twice]) {
        let reason = format!("credit_type_conversions{reason}");
        creations.push((json!({ "name": "a", "credit_type_conversions": conversions }), reason));
    }
    for (body, reason) in creations {
        api.post(CREATE_CARD, body).await.refused(400, &[&reason]);
    }
    let again =
        (vec![conversion(&credits, "2")], "[0].custom_credit_type_id: is converted by the card already");
    for (conversions, reason) in cases.iter().chain([&again]) {
        let body =
            json!({ "rate_card_id": card, "name": "Other", "add_credit_type_conversions": conversions });
        let reason = format!("add_credit_type_conversions{reason}");
        api.post(UPDATE_CARD, body).await.refused(400, &[&reason]);
    }
    let shown = api.post(GET_CARD, json!({ "id": card })).await.data();
    assert_eq!((conversions(&shown).len(), &shown["name"]), (1, &json!("Card")));
}
