//! Commits and credits: what a request may say, what is kept, and how it is shown (reference: credits and commits, 2 to 6).

use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, Role};
use upbeat::contract::balance::{self, BalanceFilter, BalanceV1, Kind, Reckoned};
use upbeat::id::{BalanceId, CustomerId};
use upbeat::time::{Instant, parse_instant};
use uuid::Uuid;

use crate::support::{Answer, Api, charge};
use crate::world::{NOW, World, number, refuse, with, without};

const CREATE: &str = "/v1/contracts/create";
const COMMIT: &str = "/v1/contracts/customerCommits/create";
const CREDIT: &str = "/v1/contracts/customerCredits/create";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

struct Desk {
    api: Api,
    world: World,
    /// A FIXED product.
    fee: String,
}

impl Desk {
    async fn new() -> Self {
        let api = Api::at(NOW).await;
        let world = World::new(&api).await;
        let fee = api.fixed_product("Fee").await;
        Self { api, world, fee }
    }

    /// A prepaid commit of a contract: two segments, two payments.
    fn prepaid(&self) -> Value {
        json!({
            "type": "PREPAID", "product_id": self.fee, "name": "Year", "priority": 5,
            "access_schedule": access(&[("2026-03-01", "2026-06-01", 600), ("2026-06-01", "2026-09-01", 400)]),
            "invoice_schedule": { "schedule_items": [
                { "timestamp": "2026-04-01T00:00:00Z", "amount": 500 },
                { "timestamp": "2026-05-01T00:00:00Z", "unit_price": 100, "quantity": 4 },
            ] },
        })
    }

    fn postpaid(&self) -> Value {
        json!({
            "type": "postpaid", "product_id": self.fee, "priority": 1,
            "access_schedule": access(&[("2026-03-01", "2026-06-01", 1000)]),
            "invoice_schedule": { "schedule_items": [{ "timestamp": "2026-06-01T00:00:00Z", "amount": 1000 }] },
        })
    }

    fn credit(&self) -> Value {
        json!({
            "product_id": self.fee, "priority": 1, "access_schedule": access(&[("2026-03-01", "2026-04-01", 50)]),
        })
    }

    /// A contract of the world's customer with these terms.
    fn contract(&self, terms: &Value) -> Value {
        let mut body = json!({
            "customer_id": self.world.customer, "rate_card_id": self.world.card, "starting_at": "2026-03-01T00:00:00Z",
        });
        for (name, term) in terms.as_object().expect("terms") {
            body[name] = term.clone();
        }
        body
    }

    fn of_customer(&self, grant: &Value) -> Value {
        with(grant, "/customer_id", json!(self.world.customer))
    }

    async fn made(&self, terms: &Value) -> Value {
        self.api.post(CREATE, self.contract(terms)).await.data()["contract"].clone()
    }

    /// What a list of the customer's balances has, as v1 shows it.
    async fn list(&self, filter: BalanceFilter) -> Vec<Value> {
        let mut db = self.api.app.db.acquire().await.expect("a connection");
        let environment = upbeat::access::find_environment(&mut db, EnvironmentKind::Sandbox).await;
        let environment = environment.expect("the sandbox").id;
        let customer = CustomerId(id(&json!(self.world.customer)));
        let mut shown = Vec::new();
        let mut after = None;
        loop {
            let page =
                balance::list(&mut db, environment, customer, &filter, after, 2).await.expect("a page");
            let Some(last) = page.last() else { return shown };
            after = Some((last.created_at, last.id.0));
            let now = instant(NOW);
            let page = balance::whole_balances(&mut db, environment, customer, page, None, now)
                .await
                .expect("whole");
            let view =
                |whole| serde_json::to_value(BalanceV1::new(whole, Reckoned::default())).expect("JSON");
            shown.extend(page.iter().map(view));
        }
    }
}

fn everything() -> BalanceFilter {
    BalanceFilter {
        kind: Kind::Both,
        id: None,
        covering_date: None,
        starting_at: None,
        effective_before: None,
        include_contract_balances: true,
        include_archived: false,
        access_type: None,
    }
}

/// The same with amounts that are units of usage.
fn of_units(grant: &Value) -> Value {
    with(grant, "/access_schedule/access_type", json!("quantity"))
}

fn instant(text: &str) -> Instant {
    parse_instant(text).expect("an instant")
}

fn id(value: &Value) -> Uuid {
    value.as_str().and_then(|text| text.parse().ok()).expect("an id")
}

fn access(segments: &[(&str, &str, i64)]) -> Value {
    let item = |(start, end, amount): &(&str, &str, i64)| {
        json!({
            "amount": amount, "starting_at": format!("{start}T00:00:00Z"), "ending_before": format!("{end}T00:00:00Z"),
        })
    };
    json!({ "schedule_items": segments.iter().map(item).collect::<Vec<_>>() })
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one contract, shown in both")]
async fn a_contract_shows_its_commits_and_credits_in_both_versions() {
    let desk = Desk::new().await;
    let (api, world) = (&desk.api, &desk.world);
    for entity in ["commit", "contract_credit"] {
        let key = json!({ "entity": entity, "key": "order", "enforce_uniqueness": false });
        assert_eq!(api.post("/v1/customFields/addKey", key).await.status, 200);
    }
    let commit = json!({
        "type": "prepaid", "product_id": desk.fee, "name": "Year", "description": "d", "priority": number("1.50"),
        "rate_type": "commit_rate", "rollover_fraction": number("0.25"), "amount": 1000,
        "access_schedule": access(&[("2026-06-01", "2026-09-01", 400), ("2026-03-01", "2026-06-01", 600)]),
        "invoice_schedule": { "schedule_items": [
            { "timestamp": "2026-03-05T10:20:30Z", "amount": number("500.50") },
            { "timestamp": "2026-05-01T00:00:00Z", "unit_price": 100, "quantity": 4 },
        ] },
        "applicable_product_ids": [world.product, world.product], "applicable_product_tags": ["ai", "ai"],
        "netsuite_sales_order_id": "n", "custom_fields": { "order": "7" },
        "payment_gate_config": { "payment_gate_type": "none" }, "hierarchy_configuration": null,
    });
    let credit = json!({
        "product_id": desk.fee,
        "access_schedule": with(&access(&[("2026-03-01", "2026-04-01", 50)]), "/credit_type_id", json!(world.unit)),
        "specifiers": [{
            "product_id": world.product, "product_tags": ["ai"], "pricing_group_values": { "model": "small" },
            "presentation_group_values": { "user": "ada" }, "exclude": [{ "product_tags": ["old"] }],
        }],
        "rollover_fraction": 1, "custom_fields": { "order": "8" },
    });
    let terms = json!({ "commits": [commit, desk.postpaid()], "credits": [credit] });
    let made = desk.made(&terms).await;
    let contract = made["id"].as_str().expect("an id");
    let of_contract = json!({ "customer_id": world.customer, "contract_id": contract });
    api.work().await;
    let flat = api.post("/v2/contracts/get", of_contract.clone()).await.data();
    let first = &flat["commits"][0];
    let segments = &first["access_schedule"]["schedule_items"];
    let payments = &first["invoice_schedule"]["schedule_items"];
    let invoices = api.get(&format!("/v1/customers/{}/invoices?type=SCHEDULED", world.customer)).await.data();
    let finalized: Vec<&Value> = invoices
        .as_array()
        .expect("invoices")
        .iter()
        .filter(|invoice| invoice["status"] == "FINALIZED")
        .collect();
    assert_eq!(finalized.len(), 1, "{invoices}");
    let usd = json!({ "id": "2714e483-4ff1-48e4-9e25-ac732e8f24f2", "name": "USD (cents)" });
    let expected = json!({
        "id": first["id"], "type": "PREPAID", "rate_type": "COMMIT_RATE", "name": "Year", "description": "d",
        "priority": number("1.5"), "contract": { "id": contract }, "product": { "id": desk.fee, "name": "Fee" },
        "access_schedule": { "access_type": "SPEND", "credit_type": usd, "schedule_items": [
            { "id": segments[0]["id"], "amount": 600, "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-06-01T00:00:00Z" },
            { "id": segments[1]["id"], "amount": 400, "starting_at": "2026-06-01T00:00:00Z", "ending_before": "2026-09-01T00:00:00Z" },
        ] },
        "invoice_schedule": { "credit_type": usd, "do_not_invoice": false, "schedule_items": [
            {
                "id": payments[0]["id"], "invoice_id": finalized[0]["id"], "amount": number("500.5"),
                "unit_price": number("500.5"), "quantity": 1, "timestamp": "2026-03-05T10:20:30Z",
            },
            {
                "id": payments[1]["id"], "invoice_id": null, "amount": 400, "unit_price": 100, "quantity": 4,
                "timestamp": "2026-05-01T00:00:00Z",
            },
        ] },
        "applicable_product_ids": [world.product], "applicable_product_tags": ["ai"],
        "applicable_contract_ids": [contract], "rollover_fraction": number("0.25"), "cost_basis": number("0.9005"),
        "netsuite_sales_order_id": "n",
        "custom_fields": { "order": "7" }, "created_at": first["created_at"], "created_by": first["created_by"],
    });
    assert_eq!(first, &expected);
    assert!(first["created_at"].as_str().is_some_and(|at| at.starts_with("2026-03-10T12")), "{first}");
    assert_eq!(first["created_by"], flat["created_by"]);
    let second = &flat["commits"][1];
    assert_eq!(
        (&second["type"], second.get("name"), &second["rate_type"]),
        (&json!("POSTPAID"), None, &json!("LIST_RATE"))
    );
    let granted = &flat["credits"][0];
    assert_eq!(granted["type"], "CREDIT");
    assert_eq!(granted["access_schedule"]["credit_type"], json!({ "id": world.unit, "name": "AI credits" }));
    assert_eq!(granted["specifiers"], terms["credits"][0]["specifiers"]);
    assert_eq!(granted["custom_fields"], json!({ "order": "8" }));
    for field in ["rollover_fraction", "applicable_product_ids", "rate_type", "ledger", "balance", "name"] {
        assert_eq!(granted.get(field), None, "{field}");
    }
    assert_eq!(flat["scheduled_charges"], json!([]), "payments are shown with their commits alone");
    assert_eq!(flat["has_more"], json!({ "commits": false, "credits": false }));

    let nested = api.post("/v1/contracts/get", of_contract.clone()).await.data();
    assert_eq!(nested["current"]["commits"], flat["commits"]);
    assert_eq!(nested["current"]["credits"][0]["rate_type"], "LIST_RATE");
    for field in ["created_at", "rollover_fraction"] {
        assert_eq!(nested["current"]["credits"][0].get(field), None, "{field}");
    }
    for kind in ["commits", "credits"] {
        assert_eq!(nested["initial"][kind], nested["current"][kind], "{kind}");
    }
    let listed = api.post("/v2/contracts/list", json!({ "customer_id": world.customer })).await.data();
    assert!(listed.as_array().expect("a list").contains(&flat));
    let then = with(&of_contract, "/as_of_date", json!(NOW));
    let known = api.post("/v2/contracts/get", then).await.data();
    assert_eq!(known["commits"].as_array().map(Vec::len), Some(2));

    for (entity, object) in [("commit", first), ("contract_credit", granted)] {
        let set = json!({ "entity": entity, "entity_id": object["id"], "custom_fields": { "order": "9" } });
        assert_eq!(api.post("/v1/customFields/setValues", set).await.status, 200, "{entity}");
    }
    let crossed =
        json!({ "entity": "commit", "entity_id": granted["id"], "custom_fields": { "order": "9" } });
    api.post("/v1/customFields/setValues", crossed).await.refused(404, &["commit"]);
    let flat = api.post("/v2/contracts/get", of_contract).await.data();
    assert_eq!(flat["commits"][0]["custom_fields"], json!({ "order": "9" }));
}

#[tokio::test]
async fn payments_recur_and_are_divided_as_charges_are() {
    let desk = Desk::new().await;
    let recurring = json!({
        "starting_at": "2026-04-30T00:00:00Z", "ending_before": "2026-07-30T00:00:00Z", "frequency": "monthly",
        "amount_distribution": "divided_rounded", "amount": 100_000,
    });
    let mut commit = desk.prepaid();
    commit["invoice_schedule"] = json!({ "recurring_schedule": recurring });
    let made = desk.made(&json!({ "commits": [commit] })).await;
    let items = made["commits"][0]["invoice_schedule"]["schedule_items"].as_array().expect("items").clone();
    let shown: Vec<(&str, &Value)> =
        items.iter().map(|item| (item["timestamp"].as_str().expect("a date"), &item["amount"])).collect();
    let amounts = [json!(33_333), json!(33_333), json!(33_334)];
    let dates = ["2026-04-30T00:00:00Z", "2026-05-30T00:00:00Z", "2026-06-30T00:00:00Z"];
    assert_eq!(shown, dates.into_iter().zip(&amounts).collect::<Vec<_>>());
    // One occurrence is one payment, which is what a postpaid commit has.
    let mut postpaid = desk.postpaid();
    postpaid["invoice_schedule"] = json!({ "recurring_schedule": {
        "starting_at": "2026-06-01T00:00:00Z", "ending_before": "2026-06-02T00:00:00Z", "frequency": "ANNUAL",
        "amount_distribution": "EACH", "amount": 1000,
    } });
    desk.made(&json!({ "commits": [postpaid] })).await;
}

#[tokio::test]
async fn what_is_not_invoiced_is_kept_and_makes_no_invoice() {
    let desk = Desk::new().await;
    let mut commit = desk.prepaid();
    commit["invoice_schedule"]["do_not_invoice"] = json!(true);
    let made = desk
        .made(&json!({ "commits": [commit.clone(), without(&desk.prepaid(), "/invoice_schedule")] }))
        .await;
    assert_eq!(made["commits"][0]["invoice_schedule"]["do_not_invoice"], json!(true));
    assert_eq!(made["commits"][1].get("invoice_schedule"), None);
    desk.api.post(COMMIT, desk.of_customer(&commit)).await.id();
    let path = format!("/v1/customers/{}/invoices?type=SCHEDULED", desk.world.customer);
    assert_eq!(desk.api.get(&path).await.data(), json!([]));
    let kept = desk.list(BalanceFilter { include_contract_balances: false, ..everything() }).await;
    assert_eq!(kept[0]["invoice_schedule"]["schedule_items"][1]["invoice_id"], Value::Null);
}

#[tokio::test]
async fn a_customer_has_commits_and_credits_of_its_own() {
    let desk = Desk::new().await;
    let (api, world) = (&desk.api, &desk.world);
    let mut commit = desk.of_customer(&desk.prepaid());
    commit["invoice_schedule"]["schedule_items"][0]["timestamp"] = json!("2026-03-01T00:00:00Z");
    commit["invoice_contract_id"] = json!(world.contract);
    commit["applicable_contract_ids"] = json!([world.contract, world.contract]);
    commit["salesforce_opportunity_id"] = json!("s");
    commit["uniqueness_key"] = json!("k");
    let made = api.post(COMMIT, commit).await;
    let made_commit = made.body["data"]["id"].clone();
    assert_eq!(made.body, json!({ "data": { "id": made_commit } }));
    let credit = api.post(CREDIT, desk.of_customer(&desk.credit())).await.id();
    api.work().await;
    let listed = desk.list(everything()).await;
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["id"], &listed[1]["id"]), (&made_commit, &json!(credit)));
    assert_eq!(listed[0]["invoice_contract"], json!({ "id": world.contract }));
    assert_eq!(listed[0]["applicable_contract_ids"], json!([world.contract]));
    assert_eq!(
        (&listed[0]["uniqueness_key"], &listed[0]["salesforce_opportunity_id"]),
        (&json!("k"), &json!("s"))
    );
    assert!(listed[0]["invoice_schedule"]["schedule_items"][0]["invoice_id"].is_string(), "{}", listed[0]);
    for field in ["contract", "recurring_commit_id", "rolled_over_from", "archived_at", "ledger", "balance"] {
        assert_eq!(listed[0].get(field), None, "{field}");
    }
    assert_eq!(listed[1].get("applicable_contract_ids"), None, "all contracts");
    let of_contract = json!({ "customer_id": world.customer, "contract_id": world.contract });
    let contract = api.post("/v2/contracts/get", of_contract).await.data();
    assert_eq!((&contract["commits"], &contract["credits"]), (&json!([]), &json!([])));
    assert_eq!(contract["scheduled_charges"], json!([]));
}

/// Every rule of a commit, wherever the commit is made.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of refusals")]
async fn a_commit_that_makes_no_sense_is_refused_by_its_field() {
    let desk = Desk::new().await;
    let (prepaid, postpaid, world) = (desk.prepaid(), desk.postpaid(), &desk.world);
    let specifiers = |specifiers: Value| with(&prepaid, "/specifiers", specifiers);
    let first = "/access_schedule/schedule_items/0";
    let recurring = json!({
        "starting_at": "2026-06-01T00:00:00Z", "ending_before": "2026-08-02T00:00:00Z", "frequency": "MONTHLY",
        "amount_distribution": "EACH", "amount": 1,
    });
    let cases = vec![
        (without(&prepaid, "/type"), "missing field `type`"),
        (with(&prepaid, "/type", json!("CREDIT")), "type: "),
        (without(&prepaid, "/product_id"), "missing field `product_id`"),
        (with(&prepaid, "/product_id", json!(world.product)), "product_id: must be a FIXED product"),
        (with(&prepaid, "/name", json!("")), "name: must not be empty"),
        (with(&prepaid, "/rate_type", json!("OTHER")), "rate_type: "),
        (with(&prepaid, "/priority", json!("1")), "priority: must be a number"),
        (
            with(&prepaid, "/access_schedule/schedule_items", json!([])),
            "access_schedule.schedule_items: must not be empty",
        ),
        (
            without(&prepaid, "/access_schedule/schedule_items"),
            "access_schedule: missing field `schedule_items`",
        ),
        (
            with(&prepaid, "/access_schedule/access_type", json!("UNITS")),
            "access_schedule.access_type: unknown variant `UNITS`",
        ),
        (
            with(&of_units(&prepaid), "/access_schedule/credit_type_id", json!(world.unit)),
            "access_schedule.credit_type_id: cannot be combined with access_type",
        ),
        (of_units(&postpaid), "access_schedule.access_type: a POSTPAID commit cannot be of `QUANTITY`"),
        (
            with(&prepaid, "/access_schedule/credit_type_id", json!(NOBODY)),
            "access_schedule.credit_type_id: no pricing unit",
        ),
        (
            with(&prepaid, &format!("{first}/amount"), json!(-1)),
            "access_schedule.schedule_items[0].amount: must not be negative",
        ),
        (
            without(&prepaid, &format!("{first}/amount")),
            "access_schedule.schedule_items[0]: missing field `amount`",
        ),
        (
            with(&prepaid, &format!("{first}/starting_at"), json!("2026-03-01T00:30:00Z")),
            "access_schedule.schedule_items[0].starting_at: must be on an hour",
        ),
        (
            with(&prepaid, &format!("{first}/ending_before"), json!("2026-06-01T00:00:01Z")),
            "access_schedule.schedule_items[0].ending_before: must be on an hour",
        ),
        (
            with(&prepaid, &format!("{first}/ending_before"), json!("2026-03-01T00:00:00Z")),
            "access_schedule.schedule_items[0].ending_before: must be after starting_at",
        ),
        (with(&prepaid, "/invoice_schedule", json!({})), "invoice_schedule: give either"),
        (
            with(&prepaid, "/invoice_schedule/recurring_schedule", recurring.clone()),
            "invoice_schedule: give either",
        ),
        (
            with(&prepaid, "/invoice_schedule/schedule_items", json!([])),
            "invoice_schedule.schedule_items: must not be empty",
        ),
        (
            with(&prepaid, "/invoice_schedule/credit_type_id", json!(world.unit)),
            "invoice_schedule.credit_type_id: no currency",
        ),
        (
            with(&prepaid, "/invoice_schedule/schedule_items/0/quantity", json!(2)),
            "invoice_schedule.schedule_items[0].amount: cannot be combined",
        ),
        (
            with(&prepaid, "/invoice_schedule/schedule_items/0/unit_price", json!(2)),
            "invoice_schedule.schedule_items[0].amount: cannot be combined",
        ),
        (
            without(&prepaid, "/invoice_schedule/schedule_items/1/quantity"),
            "invoice_schedule.schedule_items[1].quantity: is required",
        ),
        (
            without(&prepaid, "/invoice_schedule/schedule_items/1/unit_price"),
            "invoice_schedule.schedule_items[1].unit_price: is required",
        ),
        (
            without(&prepaid, "/invoice_schedule/schedule_items/0/amount"),
            "invoice_schedule.schedule_items[0].amount: ",
        ),
        (
            with(
                &prepaid,
                "/invoice_schedule",
                json!({ "recurring_schedule": with(&recurring, "/unit_price", json!(2)) }),
            ),
            "invoice_schedule.recurring_schedule.amount: cannot be combined",
        ),
        (
            with(&prepaid, "/invoice_schedule/schedule_items/0/amount", json!(-1)),
            "invoice_schedule: payment 1 of it is negative",
        ),
        (
            with(
                &prepaid,
                "/invoice_schedule",
                json!({ "recurring_schedule": with(&recurring, "/frequency", json!("WEEKLY")) }),
            ),
            "invoice_schedule.recurring_schedule.frequency: ",
        ),
        (
            with(&specifiers(json!([{ "product_tags": ["a"] }])), "/applicable_product_tags", json!(["a"])),
            "specifiers: cannot be combined",
        ),
        (
            with(
                &specifiers(json!([{ "product_tags": ["a"] }])),
                "/applicable_product_ids",
                json!([world.product]),
            ),
            "specifiers: cannot be combined",
        ),
        (specifiers(json!([{ "product_tags": ["a"] }, {}])), "specifiers[1]: is empty"),
        (
            specifiers(json!([{ "presentation_group_values": { "a": null } }])),
            "specifiers[0].presentation_group_values.a: ",
        ),
        (specifiers(json!([{ "exclude": [{}] }])), "specifiers[0].exclude[0].product_tags: must name a tag"),
        (
            with(&prepaid, "/custom_fields", json!({ "x": "y" })),
            "custom_fields.x: is not a custom field key of commit",
        ),
        (without(&postpaid, "/invoice_schedule"), "invoice_schedule: is required for POSTPAID"),
        (
            with(
                &postpaid,
                "/access_schedule",
                access(&[("2026-03-01", "2026-04-01", 500), ("2026-04-01", "2026-05-01", 500)]),
            ),
            "access_schedule.schedule_items: a POSTPAID commit has one item",
        ),
        (
            with(&postpaid, "/invoice_schedule", prepaid["invoice_schedule"].clone()),
            "invoice_schedule: a POSTPAID commit has one payment",
        ),
        (
            with(&postpaid, "/invoice_schedule", json!({ "recurring_schedule": recurring })),
            "invoice_schedule: a POSTPAID commit has one payment",
        ),
        (
            with(&postpaid, "/invoice_schedule/schedule_items/0/amount", json!(999)),
            "invoice_schedule: the amount must be that",
        ),
        (
            with(&postpaid, "/invoice_schedule/schedule_items/0/timestamp", json!("2026-05-31T23:59:59Z")),
            "invoice_schedule: the true-up of a POSTPAID commit must not be dated before",
        ),
        (
            with(&postpaid, "/access_schedule/credit_type_id", json!(world.unit)),
            "access_schedule.credit_type_id: a POSTPAID commit is in a currency",
        ),
        (
            with(&postpaid, "/invoice_schedule/credit_type_id", json!(euro(&desk.api).await)),
            "invoice_schedule.credit_type_id: must be that",
        ),
    ];
    let before = desk.api.number("SELECT count(*) FROM contract").await;
    for (commit, part) in cases {
        let inside = if part.starts_with("missing") { "commits[1]: " } else { "commits[1]." };
        let second = desk.contract(&json!({ "commits": [prepaid, commit] }));
        refuse(&desk.api, CREATE, vec![(second, format!("{inside}{part}").as_str())]).await;
        let mut own = desk.of_customer(&commit);
        own["invoice_contract_id"] = json!(world.contract);
        desk.api.post(COMMIT, own).await.refused(400, &[part]);
    }
    assert_eq!(desk.api.number("SELECT count(*) FROM contract").await, before);
    assert_eq!(desk.api.number("SELECT count(*) FROM balance").await, 0, "nothing is kept");
}

async fn euro(api: &Api) -> String {
    let units = api.get("/v1/credit-types/list").await.data();
    let units = units.as_array().expect("units");
    let euro = units.iter().find(|unit| unit["name"] == "EUR").expect("the euro");
    euro["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn what_only_a_contract_takes() {
    let desk = Desk::new().await;
    let prepaid = desk.prepaid();
    let twice = with(&prepaid, "/temporary_id", json!("t"));
    let gated = |kind: &str| with(&prepaid, "/payment_gate_config", json!({ "payment_gate_type": kind }));
    let cases = vec![
        (json!([without(&prepaid, "/access_schedule")]), "commits[0].access_schedule: is required"),
        (
            json!([with(&without(&prepaid, "/access_schedule"), "/amount", json!(5))]),
            "commits[0].access_schedule: is required",
        ),
        (json!([with(&prepaid, "/amount", json!(999))]), "commits[0].amount: is not the total"),
        (
            json!([with(&prepaid, "/rollover_fraction", json!(100))]),
            "commits[0].rollover_fraction: must be from 0 to 1",
        ),
        (
            json!([with(&prepaid, "/rollover_fraction", number("-0.1"))]),
            "commits[0].rollover_fraction: must be from 0 to 1",
        ),
        (json!([twice, twice]), "commits[1].temporary_id: another commit"),
        (
            json!([gated("STRIPE")]),
            "commits[0].payment_gate_config.payment_gate_type: `STRIPE` is not supported",
        ),
        (
            json!([gated("external")]),
            "commits[0].payment_gate_config.payment_gate_type: `external` is not supported",
        ),
        (
            json!([with(&prepaid, "/hierarchy_configuration", json!({ "child_access": { "type": "ALL" } }))]),
            "commits[0].hierarchy_configuration: is not supported",
        ),
        (
            json!([with(&prepaid, "/spend_tracker_attributes", json!({ "counts_as_discounted": true }))]),
            "commits[0].spend_tracker_attributes: is not supported",
        ),
        (json!(vec![json!({ "type": "PREPAID", "product_id": desk.fee }); 1001]), "commits: at most 1000"),
    ];
    for (commits, part) in cases {
        refuse(&desk.api, CREATE, vec![(desk.contract(&json!({ "commits": commits })), part)]).await;
    }
    let credit = desk.credit();
    let cases = vec![
        (with(&credit, "/rollover_fraction", json!(2)), "credits[0].rollover_fraction: must be"),
        (with(&credit, "/product_id", json!(desk.world.product)), "credits[0].product_id: must be a FIXED"),
        (
            with(&credit, "/custom_fields", json!({ "x": "y" })),
            "credits[0].custom_fields.x: is not a custom field key of contract_credit",
        ),
        (without(&credit, "/access_schedule"), "credits[0]: missing field `access_schedule`"),
        (with(&credit, "/specifiers", json!([{}])), "credits[0].specifiers[0]: is empty"),
    ];
    for (credit, part) in cases {
        refuse(&desk.api, CREATE, vec![(desk.contract(&json!({ "credits": [credit] })), part)]).await;
    }
    // A schedule of charges and the payments for commits count together.
    let many: Vec<(&str, i64)> = vec![("2026-04-01T00:00:00Z", 1); 9999];
    let terms = json!({ "scheduled_charges": [charge(&desk.fee, &many)], "commits": [prepaid] });
    refuse(
        &desk.api,
        CREATE,
        vec![(desk.contract(&terms), "commits[0].invoice_schedule.schedule_items: with it")],
    )
    .await;
    let package = json!({ "customer_id": desk.world.customer, "package_id": desk.world.package,
                          "starting_at": "2026-03-01T00:00:00Z", "commits": [prepaid], "credits": [] });
    refuse(&desk.api, CREATE, vec![(package, "commits: cannot stand beside a package")]).await;
}

#[tokio::test]
async fn what_only_a_customer_takes() {
    let desk = Desk::new().await;
    let (api, world) = (&desk.api, &desk.world);
    let other = api.customer("acct-2").await;
    let body = json!({ "customer_id": other, "starting_at": "2026-03-01T00:00:00Z" });
    let foreign = api.post(CREATE, body.clone()).await.id();
    let gone = api.post(CREATE, desk.contract(&json!({}))).await.id();
    let archive = json!({ "customer_id": world.customer, "contract_id": gone, "void_invoices": true });
    assert_eq!(api.post("/v1/contracts/archive", archive).await.status, 200);
    let commit = desk.of_customer(&desk.prepaid());
    let credit = desk.of_customer(&desk.credit());
    let billed = with(&commit, "/invoice_contract_id", json!(world.contract));
    for (path, body, part) in [
        (COMMIT, commit.clone(), "invoice_contract_id: is required"),
        (COMMIT, desk.of_customer(&desk.postpaid()), "invoice_contract_id: is required"),
        (COMMIT, without(&billed, "/priority"), "missing field `priority`"),
        (COMMIT, without(&billed, "/access_schedule"), "missing field `access_schedule`"),
        (
            COMMIT,
            with(&billed, "/invoice_contract_id", json!(gone)),
            "invoice_contract_id: the contract is archived",
        ),
        (COMMIT, with(&billed, "/uniqueness_key", json!("")), "uniqueness_key: must have 1 to 128"),
        (
            CREDIT,
            with(&credit, "/uniqueness_key", json!("x".repeat(129))),
            "uniqueness_key: must have 1 to 128",
        ),
        (CREDIT, without(&credit, "/priority"), "missing field `priority`"),
        (
            CREDIT,
            with(&credit, "/applicable_contract_ids", json!([gone])),
            "applicable_contract_ids[0]: the contract is archived",
        ),
        (CREDIT, with(&credit, "/applicable_contract_ids", json!(["x"])), "applicable_contract_ids[0]: "),
        (CREDIT, with(&credit, "/product_id", json!(world.product)), "product_id: must be a FIXED"),
    ] {
        api.post(path, body).await.refused(400, &[part]);
    }
    for (path, body, part) in [
        (COMMIT, with(&billed, "/customer_id", json!(NOBODY)), "customer"),
        (COMMIT, with(&billed, "/product_id", json!(NOBODY)), "product_id: product"),
        (CREDIT, with(&credit, "/product_id", json!(NOBODY)), "product_id: product"),
        (COMMIT, with(&billed, "/invoice_contract_id", json!(foreign)), "invoice_contract_id: contract"),
        (
            COMMIT,
            with(&billed, "/applicable_contract_ids", json!([world.contract, foreign])),
            "applicable_contract_ids[1]: contract",
        ),
        (
            COMMIT,
            with(&billed, "/applicable_product_ids", json!([NOBODY])),
            "applicable_product_ids[0]: product",
        ),
        (
            CREDIT,
            with(&credit, "/specifiers", json!([{ "product_id": NOBODY }])),
            "specifiers[0].product_id: product",
        ),
        (CREDIT, with(&credit, "/customer_id", json!(NOBODY)), "customer"),
    ] {
        api.post(path, body).await.refused(404, &[part]);
    }
    let production = api.with_token(EnvironmentKind::Production, Role::Admin).await;
    production.post(COMMIT, billed.clone()).await.refused(404, &["customer"]);
    assert_eq!(api.number("SELECT count(*) FROM balance").await, 0);
    assert_eq!(api.number("SELECT count(*) FROM uniqueness_key WHERE resource = 'balance'").await, 0);

    let archived = api.post("/v1/credit-types/archive", json!({ "id": world.unit })).await;
    assert_eq!(archived.status, 200);
    let in_unit = with(&credit, "/access_schedule/credit_type_id", json!(world.unit));
    api.post(CREDIT, in_unit)
        .await
        .refused(400, &["access_schedule.credit_type_id: the pricing unit is archived"]);
    let archived = api.post("/v1/contract-pricing/products/archive", json!({ "product_id": desk.fee })).await;
    assert_eq!(archived.status, 200);
    api.post(COMMIT, billed).await.refused(400, &["product_id: the product is archived"]);
    assert_eq!(api.post("/v1/customers/archive", json!({ "id": other })).await.status, 200);
    let of_archived = with(&credit, "/customer_id", json!(other));
    api.post(CREDIT, of_archived).await.refused(400, &["customer_id: the customer is archived"]);
}

/// The rules that a credit shares with a commit, wherever the credit is made.
#[tokio::test]
async fn a_credit_that_makes_no_sense_is_refused_by_its_field() {
    let desk = Desk::new().await;
    let (credit, world) = (desk.credit(), &desk.world);
    let items = "/access_schedule/schedule_items";
    let item = "access_schedule.schedule_items[0]";
    let tags = with(&credit, "/specifiers", json!([{ "product_tags": ["a"] }]));
    let cases = vec![
        (without(&credit, "/product_id"), "missing field `product_id`".to_owned()),
        (
            with(&credit, "/product_id", json!(world.product)),
            "product_id: must be a FIXED product".to_owned(),
        ),
        (with(&credit, "/name", json!("")), "name: must not be empty".to_owned()),
        (with(&credit, "/rate_type", json!("OTHER")), "rate_type: ".to_owned()),
        (with(&credit, "/priority", json!("1")), "priority: must be a number".to_owned()),
        (with(&credit, items, json!([])), "access_schedule.schedule_items: must not be empty".to_owned()),
        (
            with(&credit, &format!("{items}/0/amount"), json!(-1)),
            format!("{item}.amount: must not be negative"),
        ),
        (
            with(&credit, &format!("{items}/0/starting_at"), json!("2026-03-01T00:00:30Z")),
            format!("{item}.starting_at: must be on an hour"),
        ),
        (
            with(&credit, &format!("{items}/0/ending_before"), json!("2026-02-01T00:00:00Z")),
            format!("{item}.ending_before: must be after starting_at"),
        ),
        (
            with(&credit, "/access_schedule/credit_type_id", json!(NOBODY)),
            "access_schedule.credit_type_id: no pricing unit".to_owned(),
        ),
        (
            with(&of_units(&credit), "/access_schedule/credit_type_id", json!(world.unit)),
            "access_schedule.credit_type_id: cannot be combined with access_type".to_owned(),
        ),
        (with(&tags, "/applicable_product_tags", json!(["a"])), "specifiers: cannot be combined".to_owned()),
        (
            with(&tags, "/applicable_product_ids", json!([world.product])),
            "specifiers: cannot be combined".to_owned(),
        ),
        (with(&credit, "/specifiers", json!([{}])), "specifiers[0]: is empty".to_owned()),
        (
            with(&credit, "/custom_fields", json!({ "x": "y" })),
            "custom_fields.x: is not a custom field key of contract_credit".to_owned(),
        ),
    ];
    for (wrong, part) in cases {
        let inside = if part.starts_with("missing") { "credits[1]: " } else { "credits[1]." };
        let second = desk.contract(&json!({ "credits": [credit, wrong] }));
        refuse(&desk.api, CREATE, vec![(second, format!("{inside}{part}").as_str())]).await;
        desk.api.post(CREDIT, desk.of_customer(&wrong)).await.refused(400, &[&part]);
    }
    assert_eq!(desk.api.number("SELECT count(*) FROM balance").await, 0, "nothing is kept");
}

#[tokio::test]
async fn what_commits_and_credits_of_a_contract_name_is_looked_up() {
    let desk = Desk::new().await;
    let (prepaid, credit) = (desk.prepaid(), desk.credit());
    let archived = desk.api.fixed_product("Old").await;
    let archive = json!({ "product_id": archived });
    assert_eq!(desk.api.post("/v1/contract-pricing/products/archive", archive).await.status, 200);
    let before = desk.api.number("SELECT count(*) FROM contract").await;
    for (list, one) in [("commits", &prepaid), ("credits", &credit)] {
        let second = |field: &str, value: Value| {
            desk.contract(&json!({ list: [one, with(one, &format!("/{field}"), value)] }))
        };
        for (field, value, named) in [
            ("product_id", json!(NOBODY), "product_id"),
            ("applicable_product_ids", json!([desk.world.product, NOBODY]), "applicable_product_ids[1]"),
            ("specifiers", json!([{ "product_id": NOBODY }]), "specifiers[0].product_id"),
        ] {
            let part = format!("{list}[1].{named}: product {NOBODY} was not found");
            desk.api.post(CREATE, second(field, value)).await.refused(404, &[&part]);
        }
        let part = format!("{list}[1].product_id: the product is archived");
        refuse(&desk.api, CREATE, vec![(second("product_id", json!(archived)), &part)]).await;
    }
    assert_eq!(desk.api.number("SELECT count(*) FROM contract").await, before, "nothing is kept");
}

#[tokio::test]
async fn a_key_makes_one_commit_or_credit_ever() {
    let desk = Desk::new().await;
    let mut commit = desk.of_customer(&without(&desk.prepaid(), "/invoice_schedule"));
    commit["uniqueness_key"] = json!("once");
    let credit = with(&desk.of_customer(&desk.credit()), "/uniqueness_key", json!("once"));
    let replica = desk.api.replica();
    let (first, second, third) = tokio::join!(
        desk.api.post(COMMIT, commit.clone()),
        replica.post(COMMIT, commit.clone()),
        replica.post(CREDIT, credit.clone()),
    );
    let statuses: Vec<u16> = [&first, &second, &third].map(|answer: &Answer| answer.status.as_u16()).to_vec();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 2, "{statuses:?}");
    for (path, body) in [(COMMIT, commit), (CREDIT, credit)] {
        desk.api.post(path, body).await.refused(409, &["uniqueness key has already been used"]);
    }
    assert_eq!(desk.list(everything()).await.len(), 1);
}

#[tokio::test]
async fn overrides_name_commits_of_the_request_and_of_the_customer() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let free = desk.of_customer(&without(&desk.prepaid(), "/invoice_schedule"));
    let owned = api.post(COMMIT, free).await.id();
    let credit = api.post(CREDIT, desk.of_customer(&desk.credit())).await.id();
    let terms = |specifier: Value| {
        json!({
            "commits": [with(&desk.prepaid(), "/temporary_id", json!("mine"))],
            "overrides": [{
                "starting_at": "2026-03-01T00:00:00Z", "type": "MULTIPLIER", "multiplier": 0.5,
                "is_commit_specific": true, "override_specifiers": [specifier],
            }],
        })
    };
    let made = desk.made(&terms(json!({ "commit_ids": ["mine", owned] }))).await;
    let named = &made["overrides"][0]["override_specifiers"][0]["commit_ids"];
    assert_eq!(named, &json!([made["commits"][0]["id"], owned]));
    let made = desk.made(&terms(json!({ "any_commit_or_credit_ids": [credit, "mine"] }))).await;
    let named = &made["overrides"][0]["override_specifiers"][0]["any_commit_or_credit_ids"];
    assert_eq!(named, &json!([credit, made["commits"][0]["id"]]));
    let path = "overrides[0].override_specifiers[0]";
    for (specifier, part) in [
        (json!({ "commit_ids": ["mine", "yours"] }), "commit_ids[1]: commit yours was not found"),
        (json!({ "commit_ids": [NOBODY] }), "commit_ids[0]: commit 00000000"),
        (json!({ "commit_ids": [credit] }), "commit_ids[0]: commit "),
        (
            json!({ "any_commit_or_credit_ids": [owned, NOBODY] }),
            "any_commit_or_credit_ids[1]: commit or credit 00000000",
        ),
        (json!({ "recurring_commit_ids": ["mine"] }), "recurring_commit_ids[0]: recurring commit mine"),
    ] {
        let answer = api.post(CREATE, desk.contract(&terms(specifier))).await;
        answer.refused(404, &[format!("{path}.{part}").as_str()]);
    }
    let other = api.customer("acct-2").await;
    let foreign =
        with(&desk.contract(&terms(json!({ "commit_ids": [owned] }))), "/customer_id", json!(other));
    api.post(CREATE, foreign).await.refused(404, &["commit_ids[0]: commit "]);
}

#[tokio::test]
async fn a_new_customer_has_a_contract_with_commits() {
    let desk = Desk::new().await;
    let body = json!({
        "customer": { "name": "Northwind" },
        "contract": without(&desk.contract(&json!({ "commits": [desk.prepaid()] })), "/customer_id"),
    });
    let path = "/v1/composite/createCustomerWithContract";
    let made = desk.api.post(path, body.clone()).await.data();
    let one = json!({ "customer_id": made["customer_id"], "contract_id": made["contract_id"] });
    let shown = desk.api.post("/v2/contracts/get", one).await.data();
    assert_eq!(shown["commits"][0]["name"], "Year");
    let wrong = with(&body, "/contract/commits/0/rollover_fraction", json!(3));
    refuse(&desk.api, path, vec![(wrong, "contract.commits[0].rollover_fraction: must be")]).await;
}

#[tokio::test]
async fn a_list_has_what_its_filter_says() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let grant = |path: &'static str, segments: &[(&str, &str, i64)]| {
        let base = if path == COMMIT { without(&desk.prepaid(), "/invoice_schedule") } else { desk.credit() };
        let body = desk.of_customer(&with(&base, "/access_schedule", access(segments)));
        async move { api.post(path, body).await.id() }
    };
    let gap = grant(COMMIT, &[("2026-01-01", "2026-02-01", 1), ("2026-03-01", "2026-04-01", 1)]).await;
    let march = grant(CREDIT, &[("2026-03-01", "2026-04-01", 1)]).await;
    let year = grant(COMMIT, &[("2026-01-01", "2027-01-01", 1)]).await;
    let contract = desk.made(&json!({ "credits": [desk.credit()] })).await;
    let owned = contract["credits"][0]["id"].as_str().expect("an id").to_owned();
    let all = [&gap, &march, &year, &owned];
    let cases: Vec<(BalanceFilter, Vec<&String>)> = vec![
        (everything(), all.to_vec()),
        (BalanceFilter { include_contract_balances: false, ..everything() }, vec![&gap, &march, &year]),
        (BalanceFilter { kind: Kind::Commits, ..everything() }, vec![&gap, &year]),
        (BalanceFilter { kind: Kind::Credits, ..everything() }, vec![&march, &owned]),
        (BalanceFilter { id: Some(BalanceId(id(&json!(march)))), ..everything() }, vec![&march]),
        (BalanceFilter { covering_date: Some(instant("2026-02-10T00:00:00Z")), ..everything() }, vec![&year]),
        (
            BalanceFilter { covering_date: Some(instant("2026-03-01T00:00:00Z")), ..everything() },
            all.to_vec(),
        ),
        (BalanceFilter { covering_date: Some(instant("2026-04-01T00:00:00Z")), ..everything() }, vec![&year]),
        (BalanceFilter { starting_at: Some(instant("2026-03-31T23:00:00Z")), ..everything() }, all.to_vec()),
        (BalanceFilter { starting_at: Some(instant("2026-04-01T00:00:00Z")), ..everything() }, vec![&year]),
        (
            BalanceFilter { effective_before: Some(instant("2026-03-01T00:00:00Z")), ..everything() },
            vec![&gap, &year],
        ),
        (BalanceFilter { effective_before: Some(instant("2026-01-01T00:00:00Z")), ..everything() }, vec![]),
    ];
    for (filter, expected) in cases {
        let listed = desk.list(filter.clone()).await;
        let ids: Vec<&str> = listed.iter().map(|one| one["id"].as_str().expect("an id")).collect();
        assert_eq!(ids, expected, "{filter:?}");
    }
    api.sql(&format!("UPDATE balance SET archived_at = now() WHERE id = '{gap}'")).await;
    assert_eq!(desk.list(everything()).await.len(), 3);
    let with_archived = desk.list(BalanceFilter { include_archived: true, ..everything() }).await;
    assert_eq!(with_archived.len(), 4);
    assert!(with_archived[0]["archived_at"].is_string());
}

#[tokio::test]
async fn a_contract_with_many_grants_shows_those_that_end_last() {
    let desk = Desk::new().await;
    let credit = |day: usize| {
        let start = format!("2026-{:02}-{:02}", 3 + day / 28, 1 + day % 28);
        let end = format!("2026-{:02}-{:02}", 4 + day / 28, 1 + day % 28);
        with(&desk.credit(), "/access_schedule", access(&[(&start, &end, 1)]))
    };
    let credits: Vec<Value> = (0..103).map(credit).collect();
    let made = desk.made(&json!({ "credits": credits })).await;
    assert_eq!(made["credits"].as_array().map(Vec::len), Some(103), "the answer to the request has all");
    let of_contract = json!({ "customer_id": desk.world.customer, "contract_id": made["id"] });
    let flat = desk.api.post("/v2/contracts/get", of_contract.clone()).await.data();
    assert_eq!(flat["has_more"], json!({ "commits": false, "credits": true }));
    let all = made["credits"].as_array().expect("credits");
    assert_eq!(flat["credits"].as_array().expect("credits").as_slice(), &all[3..]);
    let nested = desk.api.post("/v1/contracts/get", of_contract).await.data();
    assert_eq!(nested["current"]["credits"].as_array().map(Vec::len), Some(103));
}
