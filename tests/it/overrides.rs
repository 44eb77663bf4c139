//! Overrides of contracts (reference: pricing, section 8).

use serde_json::{Value, json};

use crate::support::{Api, Metric, Rates};
use crate::world::{NOW, number, refuse, with, without};

const CREATE: &str = "/v1/contracts/create";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";
const USD: &str = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";

/// A card with a plain product, a dimensional one and a seat, and a product that is on no card.
struct Shop {
    api: Api,
    customer: String,
    rates: Rates,
    plain: String,
    regional: String,
    seat: String,
    elsewhere: String,
}

impl Shop {
    async fn new() -> Self {
        let api = Api::at(NOW).await;
        let metric =
            api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &["region", "user"] }).await;
        let rates = api.rate_card().await;
        let plain = api.product("Plain", &metric, json!({ "presentation_group_key": ["user"] })).await;
        api.flat(&rates, &plain, "2026-01-01T00:00:00Z", "100", json!({})).await;
        let regional = api.product("Regional", &metric, json!({ "pricing_group_key": ["region"] })).await;
        let values = json!({ "pricing_group_values": { "region": "eu" } });
        api.flat(&rates, &regional, "2026-01-01T00:00:00Z", "100", values).await;
        let seat = json!({ "name": "Seat", "type": "SUBSCRIPTION" });
        let seat = api.post("/v1/contract-pricing/products/create", seat).await.id();
        let monthly = json!({ "billing_frequency": "MONTHLY" });
        api.flat(&rates, &seat, "2026-01-01T00:00:00Z", "2000", monthly).await;
        let elsewhere = api.product("Elsewhere", &metric, json!({})).await;
        let customer = api.customer("acme").await;
        Self { api, customer, rates, plain, regional, seat, elsewhere }
    }

    /// A contract with these overrides.
    fn body(&self, overrides: &Value) -> Value {
        json!({
            "customer_id": self.customer, "rate_card_id": self.rates.card, "starting_at": "2026-03-01T00:00:00Z",
            "overrides": overrides,
        })
    }

    async fn create(&self, overrides: Value) -> String {
        self.api.post(CREATE, self.body(&overrides)).await.id()
    }

    async fn read(&self, version: u8, contract: &str) -> Value {
        let body = json!({ "customer_id": self.customer, "contract_id": contract });
        self.api.post(&format!("/v{version}/contracts/get"), body).await.data()
    }

    /// That each override alone is 400 with a message that begins with its path.
    async fn refuse(&self, prioritization: &str, cases: Vec<(Value, &str)>) {
        let body = |one: Value| {
            let mut body = self.body(&json!([one]));
            body["multiplier_override_prioritization"] = json!(prioritization);
            body
        };
        let cases = cases.into_iter().map(|(one, part)| (body(one), part)).collect();
        refuse(&self.api, CREATE, cases).await;
    }
}

fn starting(more: Value) -> Value {
    let mut one = json!({ "starting_at": "2026-03-01T00:00:00Z" });
    one.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    one
}

fn times(multiplier: &str, more: Value) -> Value {
    with(&with(&starting(more), "/type", json!("MULTIPLIER")), "/multiplier", number(multiplier))
}

fn flat(price: i64, more: Value) -> Value {
    let rate = json!({ "rate_type": "FLAT", "price": price });
    with(&with(&starting(more), "/type", json!("OVERWRITE")), "/overwrite_rate", rate)
}

/// The overrides of a contract without what the server made up.
fn said(overrides: &Value) -> Vec<Value> {
    let said = |one: &Value| {
        assert_eq!(one["created_at"], NOW);
        without(&without(one, "/id"), "/created_at")
    };
    overrides.as_array().expect("a list").iter().map(said).collect()
}

#[tokio::test]
async fn overrides_are_shown_as_the_documents_say_in_their_order() {
    let shop = Shop::new().await;
    let made = shop
        .api
        .post(
            CREATE,
            shop.body(&json!([
                times("0.90", json!({ "product_id": shop.plain, "entitled": true, "priority": 2 })),
                times(
                    "0.8",
                    json!({
                        "applicable_product_tags": ["ai", "gpu"], "ending_before": "2026-04-01T00:00:00Z",
                    })
                ),
                flat(
                    85,
                    json!({ "override_specifiers": [
                    { "product_id": shop.regional, "pricing_group_values": { "region": "eu" } },
                ] })
                ),
                times(
                    "0.5",
                    json!({ "override_specifiers": [
                    { "product_tags": ["ai"], "exclude": [{ "product_tags": ["gpu"] }] },
                    { "presentation_group_values": { "user": null }, "product_id": shop.plain },
                ] })
                ),
                starting(json!({ "entitled": false, "override_specifiers": [{ "product_id": shop.seat }] })),
                times("0.75", json!({ "is_commit_specific": true, "target": "commit_rate" })),
            ])),
        )
        .await
        .data();
    let contract = made["id"].as_str().expect("an id");
    let flat_view = shop.read(2, contract).await;
    assert_eq!(made["contract"], flat_view, "the answer to create is the contract as v2 shows it");
    let common = json!({
        "starting_at": "2026-03-01T00:00:00Z", "applicable_product_tags": [], "is_commit_specific": false,
        "target": "LIST_RATE",
    });
    let one = |more: Value| {
        let mut one = common.clone();
        one.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        one
    };
    let usd = json!({ "id": USD, "name": "USD (cents)" });
    let expected = [
        one(json!({
            "product": { "id": shop.plain, "name": "Plain" }, "override_specifiers": [{ "product_id": shop.plain }],
            "entitled": true, "type": "MULTIPLIER", "priority": 2, "multiplier": number("0.9"),
        })),
        one(json!({
            "applicable_product_tags": ["ai", "gpu"], "ending_before": "2026-04-01T00:00:00Z", "type": "MULTIPLIER",
            "multiplier": number("0.8"),
        })),
        one(json!({
            "override_specifiers": [{ "product_id": shop.regional, "pricing_group_values": { "region": "eu" } }],
            "type": "OVERWRITE", "overwrite_rate": { "rate_type": "FLAT", "price": 85, "credit_type": usd },
        })),
        one(json!({
            "override_specifiers": [
                { "product_tags": ["ai"], "exclude": [{ "product_tags": ["gpu"] }] },
                { "product_id": shop.plain, "presentation_group_values": { "user": null } },
            ],
            "type": "MULTIPLIER", "multiplier": number("0.5"),
        })),
        one(json!({
            "product": { "id": shop.seat, "name": "Seat" }, "override_specifiers": [{ "product_id": shop.seat }],
            "entitled": false,
        })),
        one(json!({
            "type": "MULTIPLIER", "multiplier": number("0.75"), "is_commit_specific": true, "target": "COMMIT_RATE",
        })),
    ];
    assert_eq!(said(&flat_view["overrides"]), expected);

    let nested = shop.read(1, contract).await;
    assert_eq!(nested["initial"]["overrides"], nested["current"]["overrides"]);
    let mut with_flat_rate = expected.to_vec();
    for (field, value) in [("rate_type", json!("FLAT")), ("price", json!(85)), ("credit_type", usd)] {
        with_flat_rate[2][field] = value;
    }
    assert_eq!(said(&nested["current"]["overrides"]), with_flat_rate);
    let of_customer = json!({ "customer_id": shop.customer });
    let listed = shop.api.post("/v2/contracts/list", of_customer.clone()).await.data();
    assert_eq!(listed[0]["overrides"], flat_view["overrides"]);
    let listed = shop.api.post("/v1/contracts/list", of_customer).await.data();
    assert_eq!(listed[0]["current"]["overrides"], nested["current"]["overrides"]);
    shop.api.move_clock("2026-03-11T00:00:00Z").await;
    let then = json!({ "customer_id": shop.customer, "contract_id": contract, "as_of_date": NOW });
    let then = shop.api.post("/v2/contracts/get", then).await.data();
    assert_eq!(then["overrides"], flat_view["overrides"]);
}

#[tokio::test]
async fn other_spellings_are_taken() {
    let shop = Shop::new().await;
    let yearly =
        json!({ "override_specifiers": [{ "product_id": shop.seat, "billing_frequency": "yearly" }] });
    let tiers = json!([{ "size": 10, "multiplier": 0.8 }, { "multiplier": 1.5 }]);
    let tiered = starting(json!({ "type": "tiered", "tiers": tiers, "priority": 0.5 }));
    let mut body = shop.body(&json!([
        with(&flat(500, yearly), "/type", json!("overwrite")),
        times("1", json!({ "rate_target": "list_rate", "priority": 1, "product_id": null })),
        tiered,
    ]));
    body["multiplier_override_prioritization"] = json!("explicit");
    let overrides = shop.api.post(CREATE, body).await.data()["contract"]["overrides"].clone();
    assert_eq!(overrides[0]["override_specifiers"][0]["billing_frequency"], "ANNUAL");
    assert_eq!(overrides[1]["target"], "LIST_RATE");
    assert_eq!(overrides[2]["override_tiers"], tiers);
    assert_eq!((&overrides[2]["type"], &overrides[2]["priority"]), (&json!("TIERED"), &number("0.5")));
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of refusals")]
async fn what_makes_no_sense_by_itself_is_refused_by_its_field() {
    let shop = Shop::new().await;
    let of_plain = || json!({ "product_id": shop.plain });
    let tiered = |tiers: Value| starting(json!({ "type": "TIERED", "tiers": tiers, "priority": 1 }));
    let at = |one: &Value, pointer: &str, value: Value| with(one, pointer, value);
    let good = times("0.9", json!({}));
    let specifiers = |one: Value| json!({ "override_specifiers": [one] });
    shop.refuse(
        "LOWEST_MULTIPLIER",
        vec![
            (without(&good, "/starting_at"), "overrides[0]: missing field `starting_at`"),
            (at(&good, "/starting_at", json!("2026-03-01T00:30:00Z")), "overrides[0].starting_at: must be on an hour"),
            (at(&good, "/ending_before", json!("2026-03-01T00:00:00Z")), "overrides[0].ending_before: must be after"),
            (
                at(&good, "/ending_before", json!("2026-05-01T00:30:00Z")),
                "overrides[0].ending_before: must be on an hour",
            ),
            (starting(json!({})), "overrides[0].type: is required where entitled"),
            (at(&good, "/type", json!("DISCOUNT")), "overrides[0].type: "),
            (without(&good, "/multiplier"), "overrides[0].multiplier: is required for MULTIPLIER"),
            (at(&good, "/multiplier", json!(-1)), "overrides[0].multiplier: must not be negative"),
            (at(&good, "/priority", json!(0)), "overrides[0].priority: must be greater than 0"),
            (at(&good, "/tiers", json!([])), "overrides[0].tiers: is only for the type TIERED"),
            (without(&flat(1, of_plain()), "/overwrite_rate"), "overrides[0].overwrite_rate: is required"),
            (at(&flat(1, of_plain()), "/multiplier", json!(1)), "overrides[0].multiplier: is only for the type"),
            (flat(-1, of_plain()), "overrides[0].overwrite_rate.price: must not be negative"),
            (
                at(&flat(1, of_plain()), "/overwrite_rate/rate_type", json!("TIERED")),
                "overrides[0].overwrite_rate.price: is not for TIERED",
            ),
            (
                at(&flat(1, of_plain()), "/overwrite_rate/rate_type", json!("CUSTOM")),
                "overrides[0].overwrite_rate.rate_type: ",
            ),
            (
                at(&flat(1, of_plain()), "/overwrite_rate/custom_rate", json!({ "a": 1 })),
                "overrides[0].overwrite_rate.custom_rate: is not supported",
            ),
            (flat(1, json!({})), "overrides[0].product_id: is required for OVERWRITE"),
            (flat(1, json!({ "applicable_product_tags": ["ai"] })), "overrides[0].applicable_product_tags: "),
            (
                flat(1, specifiers(json!({ "product_tags": ["ai"], "product_id": shop.plain }))),
                "overrides[0].override_specifiers[0].product_tags: ",
            ),
            (
                flat(1, specifiers(json!({ "pricing_group_values": { "region": "eu" } }))),
                "overrides[0].override_specifiers[0].product_id: is required for OVERWRITE",
            ),
            (
                flat(1, specifiers(json!({
                    "product_id": shop.plain, "presentation_group_values": { "user": "u" },
                }))),
                "overrides[0].override_specifiers[0].presentation_group_values: is only for the type MULTIPLIER",
            ),
            (
                at(&times("1", specifiers(json!({ "product_id": shop.plain }))), "/product_id", json!(shop.plain)),
                "overrides[0].override_specifiers[0]: cannot be combined with product_id",
            ),
            (
                times("1", json!({ "applicable_product_tags": ["ai"], "override_specifiers": [{}] })),
                "overrides[0].override_specifiers[0]: cannot be combined with applicable_product_tags",
            ),
            (
                times("1", json!({ "applicable_product_tags": ["ai"], "product_id": shop.plain })),
                "overrides[0].applicable_product_tags: give either",
            ),
            (
                times("1", specifiers(json!({ "commit_ids": ["c"] }))),
                "overrides[0].override_specifiers[0].commit_ids: is only for overrides with is_commit_specific",
            ),
            (
                times("1", specifiers(json!({ "recurring_commit_ids": ["c"] }))),
                "overrides[0].override_specifiers[0].recurring_commit_ids: is only for overrides with",
            ),
            (
                times("1", specifiers(json!({ "any_commit_or_credit_ids": ["c"] }))),
                "overrides[0].override_specifiers[0].any_commit_or_credit_ids: is only for overrides with",
            ),
            (at(&good, "/target", json!("COMMIT_RATE")), "overrides[0].target: COMMIT_RATE is only for"),
            (
                times("1", json!({ "is_commit_specific": true, "entitled": true })),
                "overrides[0].entitled: is not for overrides with is_commit_specific",
            ),
            (
                times("1", json!({ "is_commit_specific": true, "override_specifiers": [
                    { "any_commit_or_credit_ids": ["a"], "commit_ids": ["b"] },
                ] })),
                "overrides[0].override_specifiers[0].any_commit_or_credit_ids: is in place of",
            ),
            (tiered(json!([{ "multiplier": 1 }])), "overrides[0].type: TIERED needs"),
        ],
    )
    .await;
    let priority = "overrides[0].priority: is required for ";
    shop.refuse(
        "EXPLICIT",
        vec![
            (good.clone(), &format!("{priority}MULTIPLIER")),
            (without(&tiered(json!([{ "multiplier": 1 }])), "/priority"), &format!("{priority}TIERED")),
            (tiered(Value::Null), "overrides[0].tiers: is required for TIERED"),
            (tiered(json!([])), "overrides[0].tiers: must not be empty"),
            (
                with(
                    &tiered(json!([{ "multiplier": 1 }])),
                    "/override_specifiers",
                    json!([{ "product_id": shop.plain, "presentation_group_values": { "user": "u" } }]),
                ),
                "overrides[0].override_specifiers[0].presentation_group_values: is only for the type MULTIPLIER",
            ),
            (tiered(json!([{ "multiplier": -1 }])), "overrides[0].tiers[0].multiplier: must not be negative"),
            (tiered(json!([{ "size": 0, "multiplier": 1 }])), "overrides[0].tiers[0].size: must be greater"),
            (
                tiered(json!([{ "multiplier": 1 }, { "multiplier": 1 }])),
                "overrides[0].tiers[0].size: is required on every tier but the last",
            ),
        ],
    )
    .await;
    let many: Vec<Value> = vec![times("1", json!({})); 1001];
    refuse(&shop.api, CREATE, vec![(shop.body(&json!(many)), "overrides: at most 1000")]).await;
    let body = json!({ "customer_id": shop.customer });
    assert_eq!(shop.api.post("/v2/contracts/list", body).await.data(), json!([]), "nothing of it was kept");
}

#[tokio::test]
async fn what_does_not_fit_the_card_is_refused() {
    let shop = Shop::new().await;
    let specifiers = |one: Value| json!({ "override_specifiers": [one] });
    let euro = shop.api.get("/v1/credit-types/list").await.data();
    let euro = euro.as_array().expect("a list").iter().find(|unit| unit["name"] == "EUR").expect("the euro")
        ["id"]
        .clone();
    let share = json!({ "rate_type": "PERCENTAGE", "price": 0.1 });
    let metric = Metric { aggregation: "SUM", key: Some("n"), groups: &["region", "user"] };
    let metric = shop.api.metric(metric).await;
    let of_two = json!({ "pricing_group_key": ["region", "user"] });
    let of_two = shop.api.product("Of two", &metric, of_two).await;
    let values = json!({ "pricing_group_values": { "region": "eu", "user": "u" } });
    shop.api.flat(&shop.rates, &of_two, "2026-01-01T00:00:00Z", "100", values).await;
    shop.refuse(
        "LOWEST_MULTIPLIER",
        vec![
            (
                times("1", json!({ "product_id": shop.elsewhere })),
                &format!("overrides[0].product_id: No such product in rate card: {}", shop.elsewhere),
            ),
            (
                times("1", specifiers(json!({ "product_id": shop.elsewhere }))),
                "overrides[0].override_specifiers[0].product_id: No such product in rate card",
            ),
            (
                with(&flat(1, json!({ "product_id": shop.plain })), "/overwrite_rate/credit_type_id", euro),
                "overrides[0].overwrite_rate.credit_type_id: must be",
            ),
            (
                with(&flat(1, json!({ "product_id": shop.plain })), "/overwrite_rate", share),
                "overrides[0].overwrite_rate.rate_type: PERCENTAGE is not for a USAGE product",
            ),
            (
                flat(1, specifiers(json!({ "product_id": shop.seat }))),
                "overrides[0].override_specifiers[0].billing_frequency: is required",
            ),
            (flat(1, json!({ "product_id": shop.seat })), "overrides[0].billing_frequency: is required"),
            (
                flat(1, specifiers(json!({
                    "product_id": shop.regional, "pricing_group_values": { "zone": "a" },
                }))),
                "overrides[0].override_specifiers[0].pricing_group_values: must have all of the keys region",
            ),
            (
                flat(1, specifiers(json!({ "product_id": of_two, "pricing_group_values": { "region": "eu" } }))),
                "overrides[0].override_specifiers[0].pricing_group_values: must have all of the keys region, user",
            ),
            (
                flat(1, specifiers(json!({
                    "product_id": shop.plain, "pricing_group_values": { "region": "eu" },
                }))),
                "overrides[0].override_specifiers[0].pricing_group_values: the product has no pricing group key",
            ),
        ],
    )
    .await;
    let cardless =
        without(&shop.body(&json!([times("1", json!({ "product_id": shop.plain }))])), "/rate_card_id");
    refuse(&shop.api, CREATE, vec![(cardless, "overrides[0].product_id: No such product in rate card")])
        .await;

    let second = |one: Value| shop.body(&json!([times("1", json!({})), one]));
    let commits = |field: &str| {
        let mut specifier = json!({ "product_id": shop.plain });
        specifier[field] = json!(["mine"]);
        second(times("1", json!({ "is_commit_specific": true, "override_specifiers": [{}, specifier] })))
    };
    for (body, part) in [
        (second(times("1", json!({ "product_id": NOBODY }))), "overrides[1].product_id: product "),
        (
            second(times("1", specifiers(json!({ "product_id": NOBODY })))),
            "overrides[1].override_specifiers[0].product_id: product ",
        ),
        (
            commits("commit_ids"),
            "overrides[1].override_specifiers[1].commit_ids[0]: commit mine was not found",
        ),
        (
            commits("recurring_commit_ids"),
            "overrides[1].override_specifiers[1].recurring_commit_ids[0]: recurring commit mine was not found",
        ),
        (
            commits("any_commit_or_credit_ids"),
            "overrides[1].override_specifiers[1].any_commit_or_credit_ids[0]: commit or credit mine was not found",
        ),
    ] {
        shop.api.post(CREATE, body).await.refused(404, &[part]);
    }
}

#[tokio::test]
async fn a_repeated_request_makes_the_overrides_once() {
    let shop = Shop::new().await;
    let body = shop.body(&json!([times("0.9", json!({})), times("0.8", json!({}))]));
    let first = shop.api.keyed("once", CREATE, body.clone()).await.data();
    assert_eq!(shop.api.keyed("once", CREATE, body).await.data(), first);
    assert_eq!(shop.api.number("SELECT count(*) FROM contract_override").await, 2);
}

#[tokio::test]
async fn an_overwrite_may_be_in_a_unit_that_the_card_converts() {
    let shop = Shop::new().await;
    let credit = shop.api.post("/v1/credit-types/create", json!({ "name": "AI credits" })).await.id();
    let body = json!({ "name": "Credits", "credit_type_conversions": [
        { "custom_credit_type_id": credit, "fiat_per_custom_credit": 2 },
    ] });
    let card = shop.api.post("/v1/contract-pricing/rate-cards/create", body).await.id();
    let rates = Rates { card: card.clone() };
    let in_credits = json!({ "credit_type_id": credit });
    shop.api.flat(&rates, &shop.plain, "2026-01-01T00:00:00Z", "10", in_credits).await;
    let mut body = shop.body(&json!([flat(7, json!({ "product_id": shop.plain }))]));
    body["rate_card_id"] = json!(card);
    let made = shop.api.post(CREATE, body).await.data();
    let unit = &made["contract"]["overrides"][0]["overwrite_rate"]["credit_type"];
    assert_eq!(unit, &json!({ "id": credit, "name": "AI credits" }), "that of the product's rates");
}

#[tokio::test]
async fn finalized_invoices_keep_the_overrides_that_they_saw() {
    let shop = Shop::new().await;
    shop.create(json!([times("0.5", json!({ "product_id": shop.plain }))])).await;
    shop.api.event("acme", "2026-03-05T00:00:00Z", json!({ "n": 10, "user": "u", "region": "eu" })).await;
    shop.api.move_clock("2026-04-03T00:00:00Z").await;
    let invoice = shop.api.invoice(&shop.customer, "2026-03-01").await;
    assert_eq!((&invoice["status"], &invoice["total"]), (&json!("FINALIZED"), &json!(1500)));
    let seen = "SELECT count(*) FROM invoice JOIN contract_override ON added = seen_override";
    assert_eq!(shop.api.number(seen).await, 1);
}
