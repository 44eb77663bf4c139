//! Packages, and contracts of them (reference: pricing, section 10; contracts, section 10).

use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, Role};

use crate::support::{Api, lines};
use crate::world::{NOW, World, number, refuse, with};

const CREATE: &str = "/v1/packages/create";
const GET: &str = "/v1/packages/get";
const LIST: &str = "/v1/packages/list";
const ARCHIVE: &str = "/v1/packages/archive";
const CONTRACTS: &str = "/v1/packages/listContractsOnPackage";
const SIGN: &str = "/v1/contracts/create";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

fn length(value: i64, unit: &str) -> Value {
    json!({ "value": value, "unit": unit })
}

fn item(price: &str, quantity: &str, offset: Value) -> Value {
    json!({ "unit_price": number(price), "quantity": number(quantity), "date_offset": offset })
}

fn fee(product: &str, items: Vec<Value>) -> Value {
    json!({ "product_id": product, "schedule": { "schedule_items": items } })
}

/// Every term that a package takes.
fn every_term(world: &World, product: &str) -> Value {
    json!({
        "name": "Starter 2026", "contract_name": "Starter", "rate_card_id": world.card, "uniqueness_key": "k",
        "aliases": [{ "name": "starter", "starting_at": "2026-01-01T00:00:00Z" }], "duration": length(12, "MONTHS"),
        "net_payment_terms_days": 30,
        "usage_statement_schedule": {
            "frequency": "QUARTERLY", "day": "CONTRACT_START",
            "invoice_generation_starting_at_offset": length(1, "MONTHS"),
        },
        "multiplier_override_prioritization": "EXPLICIT", "scheduled_charges_on_usage_invoices": "ALL",
        "scheduled_charges": [{
            "product_id": product, "name": "Onboarding", "custom_fields": { "kind": "once" },
            "schedule": { "schedule_items": [
                item("120.5", "2", length(0, "DAYS")), item("100", "1", length(1, "MONTHS")),
            ] },
        }],
    })
}

async fn key(api: &Api, entity: &str, key: &str) {
    let body = json!({ "entity": entity, "key": key, "enforce_uniqueness": false });
    assert_eq!(api.post("/v1/customFields/addKey", body).await.status, 200);
}

async fn setting() -> (Api, World, String) {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let product = api.fixed_product("Fee").await;
    key(&api, "package_scheduled_charge", "kind").await;
    (api, world, product)
}

async fn shown(api: &Api, package: &str) -> Value {
    api.post(GET, json!({ "package_id": package })).await.data()
}

async fn sign(api: &Api, customer: &str, start: &str, more: Value) -> Value {
    let mut body = json!({ "customer_id": customer, "starting_at": start });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    api.post(SIGN, body).await.data()["contract"].clone()
}

#[tokio::test]
async fn a_package_is_shown_as_it_was_made() {
    let (api, world, product) = setting().await;
    let package = api.post(CREATE, every_term(&world, &product)).await.id();
    let data = shown(&api, &package).await;
    let charge = &data["scheduled_charges"][0];
    let items = &charge["schedule"]["schedule_items"];
    let usd = json!({ "id": "2714e483-4ff1-48e4-9e25-ac732e8f24f2", "name": "USD (cents)" });
    let expected = json!({
        "id": package, "name": "Starter 2026", "contract_name": "Starter", "uniqueness_key": "k",
        "rate_card_id": world.card, "aliases": [{ "name": "starter", "starting_at": "2026-01-01T00:00:00Z" }],
        "duration": length(12, "MONTHS"), "net_payment_terms_days": 30,
        "usage_statement_schedule": { "frequency": "QUARTERLY", "day": "CONTRACT_START" },
        "multiplier_override_prioritization": "EXPLICIT", "scheduled_charges_on_usage_invoices": "ALL",
        "commits": [], "overrides": [],
        "scheduled_charges": [{
            "id": charge["id"], "product": { "id": product, "name": "Fee" }, "name": "Onboarding",
            "custom_fields": { "kind": "once" },
            "schedule": { "credit_type": usd, "schedule_items": [
                { "id": items[0]["id"], "unit_price": number("120.5"), "quantity": 2, "date_offset": length(0, "DAYS") },
                { "id": items[1]["id"], "unit_price": 100, "quantity": 1, "date_offset": length(1, "MONTHS") },
            ] },
        }],
        "created_at": NOW, "created_by": "test token",
    });
    assert_eq!(data, expected);
    // The world has a package of its own.
    assert_eq!(api.post(LIST, json!({})).await.data()[1], expected);
    // Least of all: a name.
    let least = api.post(CREATE, json!({ "name": "Least" })).await.id();
    let data = shown(&api, &least).await;
    let expected = json!({
        "id": least, "name": "Least", "aliases": [], "commits": [], "overrides": [], "scheduled_charges": [],
        "usage_statement_schedule": { "frequency": "MONTHLY", "day": "FIRST_OF_MONTH" },
        "multiplier_override_prioritization": "LOWEST_MULTIPLIER", "created_at": NOW, "created_by": "test token",
    });
    assert_eq!(data, expected);
    api.post(GET, json!({ "package_id": NOBODY })).await.refused(404, &["package"]);
    let by_alias =
        api.post(CREATE, json!({ "name": "By alias", "rate_card_alias": "nobody's yet" })).await.id();
    let data = shown(&api, &by_alias).await;
    assert_eq!((data.get("rate_card_id"), data.get("rate_card_alias")), (None, None));
}

#[tokio::test]
async fn terms_that_make_no_sense_are_refused() {
    let (api, world, product) = setting().await;
    let good = every_term(&world, &product);
    let archived = api.rate_card().await.card;
    api.post("/v1/contract-pricing/rate-cards/archive", json!({ "id": archived })).await.data();
    let item = "/scheduled_charges/0/schedule/schedule_items/1";
    let items = "scheduled_charges[0].schedule.schedule_items";
    let in_item = |field: &str, value: Value| with(&good, &format!("{item}/{field}"), value);
    let one = "2026-01-01T00:00:00Z";
    let window = json!([{ "name": "x", "starting_at": one, "ending_before": one }]);
    let generation = "/usage_statement_schedule/invoice_generation_starting_at_offset/value";
    let cases = [
        (with(&good, "/name", json!(" ")), "name:".to_owned()),
        (with(&good, "/uniqueness_key", json!("")), "uniqueness_key:".to_owned()),
        (with(&good, "/uniqueness_key", json!("x".repeat(129))), "uniqueness_key:".to_owned()),
        (with(&good, "/net_payment_terms_days", json!(-1)), "net_payment_terms_days:".to_owned()),
        (with(&good, "/rate_card_alias", json!("x")), "rate_card_alias: give either".to_owned()),
        (with(&good, "/rate_card_id", json!(archived)), "rate_card_id: the rate card is archived".to_owned()),
        (with(&good, "/duration/value", json!(0)), "duration.value: must be greater than 0".to_owned()),
        (with(&good, "/duration/value", json!(-1)), "duration.value: must be greater than 0".to_owned()),
        (with(&good, "/duration/value", number("1.5")), "duration.value:".to_owned()),
        (with(&good, "/duration/unit", json!("HOURS")), "duration.unit:".to_owned()),
        (with(&good, "/aliases", window), "aliases[0].ending_before:".to_owned()),
        (
            with(&good, "/aliases", json!([{ "name": "x" }, { "name": "x" }])),
            "aliases[1]: overlaps".to_owned(),
        ),
        (
            with(&good, generation, json!(-1)),
            "usage_statement_schedule.invoice_generation_starting_at_offset.value: must not be negative"
                .to_owned(),
        ),
        (
            in_item("date_offset", length(-1, "DAYS")),
            format!("{items}[1].date_offset.value: must not be negative"),
        ),
        (in_item("unit_price", json!("1")), format!("{items}[1].unit_price:")),
        (
            crate::world::without(&good, &format!("{item}/quantity")),
            format!("{items}[1]: missing field `quantity`"),
        ),
        (
            with(&good, "/scheduled_charges/0/schedule/schedule_items", json!([])),
            format!("{items}: must not be empty"),
        ),
        (
            with(&good, "/scheduled_charges/0/schedule/credit_type_id", json!(world.unit)),
            "scheduled_charges[0].schedule.credit_type_id: no currency".to_owned(),
        ),
        (
            with(&good, "/scheduled_charges/0/product_id", json!(world.product)),
            "scheduled_charges[0].product_id: a scheduled charge is of a FIXED product".to_owned(),
        ),
        (with(&good, "/scheduled_charges/0/name", json!("")), "scheduled_charges[0].name:".to_owned()),
        (
            with(&good, "/scheduled_charges/0/custom_fields", json!({ "other": "x" })),
            "scheduled_charges[0].custom_fields.other: is not a custom field key".to_owned(),
        ),
    ];
    refuse(&api, CREATE, cases.iter().map(|(body, part)| (body.clone(), part.as_str())).collect()).await;
    let unknown = with(&good, "/scheduled_charges/0/product_id", json!(NOBODY));
    api.post(CREATE, unknown).await.refused(404, &["scheduled_charges[0].product_id: product"]);
    api.post(CREATE, with(&good, "/rate_card_id", json!(NOBODY))).await.refused(404, &["rate card"]);
    let foreign = api.with_token(EnvironmentKind::Production, Role::Admin).await;
    foreign
        .post(CREATE, json!({ "name": "a", "rate_card_id": world.card }))
        .await
        .refused(404, &["rate card"]);
    assert_eq!(api.number("SELECT count(*) FROM package").await, 1, "that of the world");
    api.post(LIST, json!({ "archived": true })).await.refused(400, &["archived"]);
    api.post(ARCHIVE, json!({ "package_id": NOBODY, "id": NOBODY })).await.refused(400, &["id"]);
}

#[tokio::test]
async fn a_uniqueness_key_makes_one_package_ever() {
    let (api, world, product) = setting().await;
    let package = api.post(CREATE, every_term(&world, &product)).await.id();
    api.post(ARCHIVE, json!({ "package_id": package })).await.data();
    let again = api.post(CREATE, json!({ "name": "Other", "uniqueness_key": "k" })).await;
    again.refused(409, &["This uniqueness key has already been used."]);
    assert_eq!(again.header("x-should-retry"), "false");
    // A contract's key is another's.
    sign(&api, &world.customer, NOW_HOUR, json!({ "uniqueness_key": "k" })).await;
}

const NOW_HOUR: &str = "2026-03-10T12:00:00Z";

#[tokio::test]
async fn a_contract_takes_the_terms_of_its_package_over() {
    let (api, world, product) = setting().await;
    key(&api, "scheduled_charge", "kind").await;
    key(&api, "contract", "order").await;
    let package = api.post(CREATE, every_term(&world, &product)).await.id();
    let more = json!({ "package_id": package, "uniqueness_key": "u", "custom_fields": { "order": "7" } });
    let contract = sign(&api, &world.customer, "2026-01-31T05:00:00Z", more).await;
    let items = &contract["scheduled_charges"][0]["schedule"]["schedule_items"];
    let dates: Vec<_> = items.as_array().expect("items").iter().map(|item| &item["timestamp"]).collect();
    assert_eq!(dates, ["2026-01-31T05:00:00Z", "2026-02-28T05:00:00Z"]);
    assert_eq!((&items[0]["amount"], &items[1]["amount"]), (&json!(241), &json!(100)));
    let template = shown(&api, &package).await["scheduled_charges"][0].clone();
    assert_ne!(contract["scheduled_charges"][0]["id"], template["id"], "the contract's charge is its own");
    let expected = [
        ("package_id", json!(package)),
        ("name", json!("Starter")),
        ("rate_card_id", json!(world.card)),
        ("starting_at", json!("2026-01-31T05:00:00Z")),
        ("ending_before", json!("2027-01-31T05:00:00Z")),
        ("net_payment_terms_days", json!(30)),
        ("multiplier_override_prioritization", json!("EXPLICIT")),
        ("scheduled_charges_on_usage_invoices", json!("ALL")),
        (
            "usage_statement_schedule",
            json!({ "frequency": "QUARTERLY", "billing_anchor_date": "2026-01-31T05:00:00Z" }),
        ),
        ("custom_fields", json!({ "order": "7" })),
        ("uniqueness_key", json!("u")),
    ];
    for (field, value) in expected {
        assert_eq!(contract[field], value, "{field}");
    }
    assert_eq!(contract["scheduled_charges"][0]["custom_fields"], json!({ "kind": "once" }));
    let one = json!({ "customer_id": world.customer, "contract_id": contract["id"] });
    assert_eq!(api.post("/v2/contracts/get", one.clone()).await.data(), contract);
    let nested = api.post("/v1/contracts/get", one).await.data();
    assert_eq!((&nested["package_id"], &nested["current"]["name"]), (&json!(package), &json!("Starter")));
    // Usage statements begin where the package says.
    assert_eq!(
        api.number(
            "SELECT count(*) FROM contract WHERE invoice_generation_starting_at = '2026-02-28T05:00:00Z'"
        )
        .await,
        1
    );
    // Fields of the contract's charge change, those of the package's never.
    let set = |entity: &str, id: &Value| json!({ "entity": entity, "entity_id": id, "custom_fields": { "kind": "twice" } });
    let charge = &contract["scheduled_charges"][0]["id"];
    let changed = api.post("/v1/customFields/setValues", set("scheduled_charge", charge)).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let fixed =
        api.post("/v1/customFields/setValues", set("package_scheduled_charge", &template["id"])).await;
    fixed.refused(400, &["entity: ", "fixed"]);
    let delete =
        json!({ "entity": "package_scheduled_charge", "entity_id": template["id"], "keys": ["kind"] });
    api.post("/v1/customFields/deleteValues", delete).await.refused(400, &["entity: ", "fixed"]);
    let unknown =
        api.post("/v1/customFields/setValues", set("package_scheduled_charge", &json!(NOBODY))).await;
    unknown.refused(404, &["package_scheduled_charge"]);
    assert_eq!(
        shown(&api, &package).await["scheduled_charges"][0]["custom_fields"],
        json!({ "kind": "once" })
    );
}

#[tokio::test]
async fn a_contract_of_a_package_is_billed_like_any_other() {
    let (api, world, product) = setting().await;
    let package = json!({
        "name": "Plan", "rate_card_id": world.card,
        "scheduled_charges": [fee(&product, vec![item("5000", "1", length(0, "DAYS"))])],
    });
    let package = api.post(CREATE, package).await.id();
    let customer = api.customer("acct-2").await;
    sign(&api, &customer, "2026-03-01T00:00:00Z", json!({ "package_id": package })).await;
    api.event("acct-2", "2026-03-05T00:00:00Z", json!({ "model": "small", "tokens": 7 })).await;
    api.work().await;
    let invoices = api.invoices(&customer).await;
    let all: Vec<String> = invoices.iter().flat_map(lines).collect();
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.iter().any(|line| line == "Fee 1 × 5000 = 5000"), "{all:?}");
    assert!(all.iter().any(|line| line.ends_with("7 × 3 = 21")), "{all:?}");
}

#[tokio::test]
async fn only_a_few_terms_stand_beside_a_package() {
    let (api, world, product) = setting().await;
    let package = api.post(CREATE, every_term(&world, &product)).await.id();
    let good = json!({ "customer_id": world.customer, "starting_at": NOW_HOUR, "package_id": package });
    let grant = json!({
        "product_id": product, "priority": 1, "starting_at": NOW_HOUR, "commit_duration": { "value": 1 },
        "access_amount": { "unit_price": 1, "quantity": 1 },
    });
    let refused = [
        ("ending_before", json!("2027-01-01T00:00:00Z")),
        ("rate_card_id", json!(world.card)),
        ("rate_card_alias", json!("x")),
        ("usage_statement_schedule", json!({ "frequency": "MONTHLY" })),
        ("name", json!("x")),
        ("net_payment_terms_days", json!(1)),
        ("total_contract_value", json!(1)),
        ("netsuite_sales_order_id", json!("x")),
        ("salesforce_opportunity_id", json!("x")),
        ("multiplier_override_prioritization", json!("EXPLICIT")),
        ("scheduled_charges", json!([fee(&product, vec![])])),
        ("scheduled_charges_on_usage_invoices", json!("ALL")),
        ("usage_filter", json!({ "group_key": "model", "group_values": ["small"] })),
        ("overrides", json!([{ "starting_at": NOW_HOUR, "type": "MULTIPLIER", "multiplier": 1 }])),
        (
            "commits",
            json!([{ "type": "PREPAID", "product_id": product, "access_schedule": { "schedule_items": [] } }]),
        ),
        ("credits", json!([{ "product_id": product, "access_schedule": { "schedule_items": [] } }])),
        ("recurring_commits", json!([grant])),
        ("recurring_credits", json!([grant])),
    ];
    for (field, value) in refused {
        let answer = api.post(SIGN, with(&good, &format!("/{field}"), value)).await;
        answer.refused(400, &[&format!("{field}: cannot stand beside a package")]);
    }
    api.post(SIGN, with(&good, "/package_alias", json!("starter")))
        .await
        .refused(400, &["package_alias: give either"]);
    let count = api.number("SELECT count(*) FROM contract WHERE package_id IS NOT NULL").await;
    assert_eq!(count, 0);
    let nothing = with(&with(&good, "/scheduled_charges", json!([])), "/name", json!(null));
    // The keys of the package's charges must be those of a contract's as well.
    api.post(SIGN, nothing.clone()).await.refused(400, &["scheduled_charges[0].custom_fields.kind:"]);
    key(&api, "scheduled_charge", "kind").await;
    api.post(SIGN, nothing).await.id();
}

#[tokio::test]
async fn an_alias_names_the_package_that_holds_it_at_the_start() {
    let (api, world, _) = setting().await;
    let package = async |name: &str, aliases: Value| {
        api.post(CREATE, json!({ "name": name, "contract_name": name, "aliases": aliases })).await.id()
    };
    let old = package("Old", json!([{ "name": "n", "starting_at": "2024-01-01T00:00:00Z" }])).await;
    let new = package("New", json!([{ "name": "n", "starting_at": "2025-01-01T00:00:00Z" }])).await;
    let window = json!([
        { "name": "n", "starting_at": "2024-01-01T00:00:00Z", "ending_before": "2025-01-01T00:00:00Z" },
    ]);
    assert_eq!(shown(&api, &old).await["aliases"], window);
    // A rate card's alias of the same name is another.
    let card = json!({ "name": "card", "aliases": [{ "name": "n" }] });
    api.post("/v1/contract-pricing/rate-cards/create", card).await.id();
    let start = |at: &str| json!({ "customer_id": world.customer, "starting_at": at, "package_alias": "n" });
    for (at, holder) in [("2024-01-01", &old), ("2024-12-31", &old), ("2025-01-01", &new)] {
        let answer = api.post(SIGN, start(&format!("{at}T00:00:00Z"))).await.data();
        assert_eq!(answer["contract"]["package_id"], json!(holder), "{at}");
    }
    api.post(SIGN, start("2023-12-31T00:00:00Z")).await.refused(404, &["package_alias: no package holds"]);
    api.post(ARCHIVE, json!({ "package_id": new })).await.data();
    api.post(SIGN, start("2025-01-01T00:00:00Z")).await.refused(404, &["package_alias: no package holds"]);
    let by_id =
        |id: &str| json!({ "customer_id": world.customer, "starting_at": NOW_HOUR, "package_id": id });
    api.post(SIGN, by_id(&new)).await.refused(400, &["package_id: the package is archived"]);
    api.post(SIGN, by_id(NOBODY)).await.refused(404, &["package"]);
    let production = api.with_token(EnvironmentKind::Production, Role::Admin).await;
    let customer = production.customer("acct").await;
    production
        .post(SIGN, with(&by_id(&old), "/customer_id", json!(customer)))
        .await
        .refused(404, &["package"]);
}

#[tokio::test]
async fn the_card_of_an_alias_is_the_one_at_the_start() {
    let (api, world, _) = setting().await;
    let package = api.post(CREATE, json!({ "name": "Plan", "rate_card_alias": "std" })).await.id();
    let body = |at: &str| json!({ "customer_id": world.customer, "starting_at": at, "package_id": package });
    api.post(SIGN, body("2026-03-01T00:00:00Z")).await.refused(404, &["rate_card_alias"]);
    let mut cards = Vec::new();
    for start in ["2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"] {
        let card = json!({ "name": "card", "aliases": [{ "name": "std", "starting_at": start }] });
        cards.push(api.post("/v1/contract-pricing/rate-cards/create", card).await.id());
    }
    for (start, card) in [("2026-05-31T23:00:00Z", &cards[0]), ("2026-06-01T00:00:00Z", &cards[1])] {
        let contract = api.post(SIGN, body(start)).await.data()["contract"].clone();
        assert_eq!(contract["rate_card_id"], json!(card), "{start}");
    }
}

#[tokio::test]
async fn dates_after_the_year_9999_are_refused_for_the_start() {
    let (api, world, product) = setting().await;
    let long = api.post(CREATE, json!({ "name": "Long", "duration": length(7974, "YEARS") })).await.id();
    let charge = fee(&product, vec![item("1", "1", length(i64::MAX, "WEEKS"))]);
    let late = api.post(CREATE, json!({ "name": "Late", "scheduled_charges": [charge] })).await.id();
    for (package, term) in [(long, "duration"), (late, "scheduled_charges[0].schedule_items[0].date_offset")]
    {
        let body = json!({ "customer_id": world.customer, "starting_at": NOW_HOUR, "package_id": package });
        api.post(SIGN, body).await.refused(400, &["starting_at: ", term, "9999"]);
    }
}

#[tokio::test]
async fn archived_packages_are_listed_on_demand() {
    let api = Api::at(NOW).await;
    let mut ids = Vec::new();
    for number in 0..12 {
        ids.push(api.post(CREATE, json!({ "name": number.to_string() })).await.id());
    }
    for _ in 0..2 {
        assert_eq!(
            api.post(ARCHIVE, json!({ "package_id": ids[0] })).await.id(),
            ids[0],
            "once more changes nothing"
        );
    }
    api.post(ARCHIVE, json!({ "package_id": NOBODY })).await.refused(404, &["package"]);
    assert_eq!(shown(&api, &ids[0]).await["archived_at"], NOW);
    let names = async |filter: Value| {
        let data = api.post(&format!("{LIST}?limit=100"), filter).await.data();
        data.as_array()
            .expect("packages")
            .iter()
            .map(|row| row["id"].as_str().expect("an id").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(json!({})).await, ids[1..]);
    assert_eq!(names(json!({ "archive_filter": "not_archived" })).await, ids[1..]);
    assert_eq!(names(json!({ "archive_filter": "ARCHIVED" })).await, ids[..1]);
    assert_eq!(names(json!({ "archive_filter": "All" })).await, ids);
    let page = api.post(LIST, json!({})).await.body;
    assert_eq!(page["data"].as_array().map(Vec::len), Some(10), "ten when nothing is said");
    assert!(page["next_page"].is_string());
}

#[tokio::test]
async fn the_contracts_of_a_package_are_listed() {
    let (api, world, _) = setting().await;
    let package = api.post(CREATE, json!({ "name": "Plan", "duration": length(1, "YEARS") })).await.id();
    let other = api.customer("acct-2").await;
    let mut ids = Vec::new();
    for (customer, start) in
        [(&world.customer, "2024-01-01"), (&other, "2025-06-01"), (&world.customer, "2026-01-01")]
    {
        let start = format!("{start}T00:00:00Z");
        let contract = sign(&api, customer, &start, json!({ "package_id": package })).await;
        ids.push(contract["id"].as_str().expect("an id").to_owned());
    }
    sign(&api, &other, "2026-01-01T00:00:00Z", json!({})).await;
    let found = async |more: Value| {
        let mut body = json!({ "package_id": package });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let data = api.post(CONTRACTS, body).await.data();
        data.as_array()
            .expect("contracts")
            .iter()
            .map(|row| row["contract_id"].as_str().expect("an id").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found(json!({})).await, ids);
    let rows = api.post(CONTRACTS, json!({ "package_id": package })).await.data();
    let first = json!({
        "customer_id": world.customer, "contract_id": ids[0], "starting_at": "2024-01-01T00:00:00Z",
        "ending_before": "2025-01-01T00:00:00Z",
    });
    assert_eq!(rows[0], first);
    assert_eq!(found(json!({ "starting_at": "2025-06-01T00:00:00Z" })).await, ids[1..]);
    assert_eq!(found(json!({ "covering_date": "2026-03-01T00:00:00Z" })).await, ids[1..]);
    assert_eq!(found(json!({ "covering_date": "2025-01-01T00:00:00Z" })).await, Vec::<String>::new());
    let archive = json!({ "customer_id": other, "contract_id": ids[1], "void_invoices": false });
    api.post("/v1/contracts/archive", archive).await.data();
    assert_eq!(found(json!({})).await, [ids[0].clone(), ids[2].clone()]);
    assert_eq!(found(json!({ "include_archived": true })).await, ids);
    let end = json!({ "customer_id": world.customer, "contract_id": ids[2], "ending_before": "2028-01-01T00:00:00Z" });
    api.post("/v1/contracts/updateEndDate", end).await.data();
    assert_eq!(
        found(json!({ "covering_date": "2027-06-01T00:00:00Z" })).await,
        ids[2..],
        "changed, and still of it"
    );
    let both = json!({ "package_id": package, "starting_at": NOW, "covering_date": NOW });
    let answer = api.post(CONTRACTS, both).await;
    answer.refused(400, &["covering_date: cannot be combined"]);
    assert_eq!(answer.body["code"], "BadRequest");
    let unknown = api.post(CONTRACTS, json!({ "package_id": NOBODY })).await;
    unknown.refused(400, &["package"]);
    assert_eq!(unknown.body["code"], "PackageNotFound");
}

#[tokio::test]
async fn a_package_that_is_being_archived_gives_no_contract_afterwards() {
    let (api, world, _) = setting().await;
    let package = api.post(CREATE, json!({ "name": "Plan" })).await.id();
    let mut held = api.app.db.begin().await.expect("a transaction");
    sqlx::query("UPDATE package SET archived_at = now()").execute(&mut *held).await.expect("an archive");
    let signing = {
        let (api, customer, package) = (api.clone(), world.customer.clone(), package.clone());
        tokio::spawn(async move {
            let body = json!({ "customer_id": customer, "starting_at": NOW_HOUR, "package_id": package });
            api.post(SIGN, body).await
        })
    };
    api.until_waiting(1).await;
    held.commit().await.expect("a commit");
    signing.await.expect("an answer").refused(400, &["package_id: the package is archived"]);
}

/// Rules for a card that prices the world's product by model.
fn rules(product: &str) -> Value {
    json!([
        {
            "starting_at_offset": length(1, "MONTHS"), "duration": length(1, "MONTHS"), "type": "MULTIPLIER",
            "multiplier": number("0.5"), "priority": 1, "override_specifiers": [{ "product_id": product }],
        },
        {
            "starting_at_offset": length(0, "DAYS"), "type": "OVERWRITE",
            "overwrite_rate": { "rate_type": "FLAT", "price": 7 },
            "override_specifiers": [{ "product_id": product, "pricing_group_values": { "model": "small" } }],
        },
        {
            "starting_at_offset": length(2, "MONTHS"), "duration": length(30, "YEARS"), "type": "TIERED", "priority": 2,
            "tiers": [{ "size": 10, "multiplier": number("0.9") }, { "multiplier": number("0.8") }],
            "override_specifiers": [],
        },
        { "starting_at_offset": length(1, "YEARS"), "entitled": false, "override_specifiers": [] },
    ])
}

#[tokio::test]
async fn overrides_are_shown_by_offsets_and_taken_over_with_dates() {
    let (api, world, _) = setting().await;
    let package = json!({
        "name": "Plan", "rate_card_id": world.card, "duration": length(1, "YEARS"),
        "multiplier_override_prioritization": "EXPLICIT", "overrides": rules(&world.product),
    });
    let package = api.post(CREATE, package).await.id();
    let data = shown(&api, &package).await;
    let overrides = data["overrides"].as_array().expect("overrides");
    let usd = json!({ "id": "2714e483-4ff1-48e4-9e25-ac732e8f24f2", "name": "USD (cents)" });
    let first = json!({
        "id": overrides[0]["id"], "starting_at_offset": length(1, "MONTHS"), "duration": length(1, "MONTHS"),
        "product": { "id": world.product, "name": "Tokens" }, "applicable_product_tags": [],
        "override_specifiers": [{ "product_id": world.product }], "type": "MULTIPLIER", "multiplier": number("0.5"),
        "priority": 1, "is_commit_specific": false, "target": "LIST_RATE",
    });
    assert_eq!(overrides[0], first);
    assert_eq!(
        overrides[1]["overwrite_rate"],
        json!({ "rate_type": "FLAT", "price": 7, "credit_type": usd })
    );
    assert_eq!((&overrides[2]["override_specifiers"], overrides[2].get("ending_before")), (&json!([]), None));
    assert_eq!(overrides[2]["override_tiers"][0], json!({ "size": 10, "multiplier": number("0.9") }));
    assert_eq!((overrides.len(), &overrides[3]["entitled"]), (4, &json!(false)));

    let contract =
        sign(&api, &world.customer, "2026-01-31T05:00:00Z", json!({ "package_id": package })).await;
    let taken = contract["overrides"].as_array().expect("overrides");
    let dates: Vec<(&Value, Option<&Value>)> =
        taken.iter().map(|one| (&one["starting_at"], one.get("ending_before"))).collect();
    let (january, february) = (json!("2026-01-31T05:00:00Z"), json!("2026-02-28T05:00:00Z"));
    let (march, after_february) = (json!("2026-03-31T05:00:00Z"), json!("2026-03-28T05:00:00Z"));
    let end = json!("2027-01-31T05:00:00Z");
    // What would begin at the end is left out, and what goes on beyond it is cut.
    let expected = [(&february, Some(&after_february)), (&january, None), (&march, Some(&end))];
    assert_eq!(dates, expected);
    assert_ne!(taken[0]["id"], overrides[0]["id"]);
    assert_eq!((&taken[0]["multiplier"], &taken[1]["overwrite_rate"]["price"]), (&number("0.5"), &json!(7)));
    assert_eq!(taken[1]["overwrite_rate"]["credit_type"], usd);
    api.event("acct-1", "2026-03-05T00:00:00Z", json!({ "model": "small", "tokens": 10 })).await;
    let invoices = api.invoices(&world.customer).await;
    let of_contract = invoices.iter().filter(|invoice| invoice["contract_id"] == contract["id"]);
    let priced: Vec<String> = of_contract.flat_map(lines).filter(|line| line.contains(" 10 ")).collect();
    assert!(priced.iter().any(|line| line.ends_with("10 × 7 = 70")), "{priced:?}");
}

#[tokio::test]
async fn overrides_that_make_no_sense_are_refused() {
    let (api, world, product) = setting().await;
    let package = |rule: Value| json!({ "name": "a", "rate_card_id": world.card, "overrides": [rule] });
    let good = rules(&world.product)[0].clone();
    let change = |field: &str, value: Value| package(with(&good, &format!("/{field}"), value));
    let overwrite = rules(&world.product)[1].clone();
    let cases = vec![
        (
            package(crate::world::without(&good, "/starting_at_offset")),
            "overrides[0]: missing field `starting_at_offset`",
        ),
        (
            package(crate::world::without(&good, "/override_specifiers")),
            "overrides[0]: missing field `override_specifiers`",
        ),
        (
            change("starting_at_offset", length(-1, "DAYS")),
            "overrides[0].starting_at_offset.value: must not be negative",
        ),
        (change("duration", length(0, "DAYS")), "overrides[0].duration.value: must be greater than 0"),
        (change("multiplier", json!(-1)), "overrides[0].multiplier: must not be negative"),
        (change("type", json!("TIERED")), "overrides[0].type: TIERED needs"),
        (change("priority", json!(0)), "overrides[0].priority: must be greater than 0"),
        (change("product_id", json!(world.product)), "overrides[0].product_id: is not for packages"),
        (
            change("applicable_product_tags", json!(["a"])),
            "overrides[0].applicable_product_tags: is not for packages",
        ),
        (
            package(with(&overwrite, "/override_specifiers", json!([{ "product_tags": ["a"] }]))),
            "overrides[0].override_specifiers[0].product_tags:",
        ),
        (
            package(with(&overwrite, "/override_specifiers/0/pricing_group_values", json!({ "other": "x" }))),
            "overrides[0].override_specifiers[0].pricing_group_values:",
        ),
        (
            change("override_specifiers", json!([{ "product_id": product }])),
            "overrides[0].override_specifiers[0].product_id: No such product in rate card",
        ),
    ];
    refuse(&api, CREATE, cases).await;
    let unknown = with(&good, "/override_specifiers", json!([{ "product_id": NOBODY }]));
    api.post(CREATE, package(unknown.clone()))
        .await
        .refused(404, &["overrides[0].override_specifiers[0].product_id"]);
    let by_alias = |rule: &Value| json!({ "name": "a", "rate_card_alias": "std", "overrides": [rule] });
    api.post(CREATE, by_alias(&unknown))
        .await
        .refused(404, &["overrides[0].override_specifiers[0].product_id"]);
    // Whether the card of an alias prices the product is known when a contract is made.
    let off_card = with(&good, "/override_specifiers", json!([{ "product_id": product }]));
    let package = api.post(CREATE, by_alias(&off_card)).await.id();
    let alias = json!({ "rate_card_id": world.card, "aliases": [{ "name": "std" }] });
    api.post("/v1/contract-pricing/rate-cards/update", alias).await.data();
    let body = json!({ "customer_id": world.customer, "starting_at": NOW_HOUR, "package_id": package });
    api.post(SIGN, body).await.refused(400, &["overrides[0]", "No such product in rate card"]);
}
