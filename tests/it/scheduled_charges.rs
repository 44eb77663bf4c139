//! Scheduled charges: what a request may say, and how they are shown (reference: contracts, section 5.2).

use serde_json::{Value, json};

use crate::contract_ends::faults;
use crate::support::{Api, charge, product_update};
use crate::world::{NOW, World, number, refuse, with, without};

const CREATE: &str = "/v1/contracts/create";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

/// A good contract with one charge of one item, and one of a recurring schedule.
async fn world() -> (Api, World, Value) {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let fee = api.fixed_product("Fee").await;
    let recurring = json!({
        "starting_at": "2026-04-01T00:00:00Z", "ending_before": "2026-07-01T00:00:00Z", "frequency": "MONTHLY",
        "amount_distribution": "EACH", "amount": 5,
    });
    let good = json!({
        "customer_id": world.customer, "starting_at": "2026-03-01T00:00:00Z",
        "scheduled_charges": [
            charge(&fee, &[("2026-04-01T00:00:00Z", 5)]),
            { "product_id": fee, "schedule": { "recurring_schedule": recurring } },
        ],
    });
    (api, world, good)
}

#[tokio::test]
async fn a_charge_is_shown_with_its_items_in_both_versions() {
    let (api, world, good) = world().await;
    let mut body = good;
    body["scheduled_charges_on_usage_invoices"] = json!("all");
    let first = &mut body["scheduled_charges"][0];
    first["name"] = json!("Set-up");
    first["netsuite_sales_order_id"] = json!("n");
    first["schedule"]["do_not_invoice"] = json!(false);
    first["schedule"]["schedule_items"] = json!([
        { "timestamp": "2026-04-30T10:20:30.123456+02:00", "unit_price": number("0.10"), "quantity": number("3.50") },
        { "timestamp": "2026-03-10T00:00:00Z", "amount": number("-7.25"), "unit_price": null, "quantity": null },
    ]);
    let made = api.post(CREATE, body).await.data();
    let usd = json!({ "id": "2714e483-4ff1-48e4-9e25-ac732e8f24f2", "name": "USD (cents)" });
    let charges = &made["contract"]["scheduled_charges"];
    let mut expected = json!({
        "id": charges[0]["id"], "product": { "id": charges[0]["product"]["id"], "name": "Fee" }, "name": "Set-up",
        "netsuite_sales_order_id": "n", "custom_fields": {},
        "schedule": { "credit_type": usd, "schedule_items": [
            {
                "id": charges[0]["schedule"]["schedule_items"][0]["id"], "invoice_id": null, "amount": number("0.35"),
                "unit_price": number("0.1"), "quantity": number("3.5"), "timestamp": "2026-04-30T08:20:30.123456Z",
            },
            {
                "id": charges[0]["schedule"]["schedule_items"][1]["id"], "invoice_id": null, "amount": number("-7.25"),
                "unit_price": number("-7.25"), "quantity": 1, "timestamp": "2026-03-10T00:00:00Z",
            },
        ] },
    });
    assert_eq!(charges[0], expected, "in the order in which they were sent");
    assert_eq!(charges[1].get("name"), None);
    let dates: Vec<&Value> = charges[1]["schedule"]["schedule_items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["timestamp"])
        .collect();
    assert_eq!(dates, ["2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z"]);

    api.work().await;
    let of_contract = json!({ "customer_id": world.customer, "contract_id": made["id"] });
    let flat = api.post("/v2/contracts/get", of_contract.clone()).await.data();
    let invoices = api.get(&format!("/v1/customers/{}/invoices?type=SCHEDULED", world.customer)).await.data();
    assert_eq!((&invoices[0]["status"], &invoices[0]["total"]), (&json!("FINALIZED"), &number("-7.25")));
    expected["schedule"]["schedule_items"][1]["invoice_id"] = invoices[0]["id"].clone();
    assert_eq!(flat["scheduled_charges"][0], expected, "the invoice once it is finalized");
    assert_eq!(flat["scheduled_charges_on_usage_invoices"], "ALL");
    let nested = api.post("/v1/contracts/get", of_contract).await.data();
    assert_eq!(nested["scheduled_charges_on_usage_invoices"], "ALL");
    for terms in ["initial", "current"] {
        assert_eq!(nested[terms]["scheduled_charges"], flat["scheduled_charges"], "{terms}");
        assert_eq!(nested[terms]["scheduled_charges_on_usage_invoices"], "ALL", "{terms}");
    }
    let of_customer = json!({ "customer_id": world.customer });
    for version in ["v1", "v2"] {
        let listed = api.post(&format!("/{version}/contracts/list"), of_customer.clone()).await.data();
        let shown = if version == "v1" { &nested } else { &flat };
        assert!(listed.as_array().expect("a list").contains(shown), "{version}");
    }
}

#[tokio::test]
async fn nothing_asked_for_is_nothing_shown() {
    let (api, _, good) = world().await;
    for body in [
        without(&good, "/scheduled_charges"),
        with(&good, "/scheduled_charges", json!(null)),
        with(&good, "/scheduled_charges", json!([])),
    ] {
        let contract = api.post(CREATE, body).await.data()["contract"].clone();
        assert_eq!(contract["scheduled_charges"], json!([]));
        assert_eq!(contract.get("scheduled_charges_on_usage_invoices"), None);
    }
}

#[tokio::test]
async fn an_amount_or_a_unit_price_with_a_quantity() {
    let (api, _, good) = world().await;
    for (place, path) in [
        ("/scheduled_charges/0/schedule/schedule_items/0", "scheduled_charges[0].schedule.schedule_items[0]"),
        (
            "/scheduled_charges/1/schedule/recurring_schedule",
            "scheduled_charges[1].schedule.recurring_schedule",
        ),
    ] {
        let bare = without(&good, &format!("{place}/amount"));
        let field = |body: &Value, name: &str| with(body, &format!("{place}/{name}"), json!(2));
        let priced = field(&bare, "unit_price");
        let whole = field(&priced, "quantity");
        for (body, field) in [
            (bare.clone(), "amount"),
            (priced.clone(), "quantity"),
            (field(&bare, "quantity"), "unit_price"),
            (field(&good, "unit_price"), "amount"),
            (field(&good, "quantity"), "amount"),
            (field(&whole, "amount"), "amount"),
            (with(&good, &format!("{place}/amount"), json!("5")), "amount"),
            (with(&good, &format!("{place}/amount"), number("1e400")), "amount"),
            (
                with(&whole, &format!("{place}/quantity"), number("0.12345678901234567890123456789")),
                "quantity",
            ),
        ] {
            api.post(CREATE, body).await.refused(400, &[&format!("{path}.{field}: ")]);
        }
        api.post(CREATE, whole).await.id();
    }
}

#[tokio::test]
async fn one_kind_of_schedule_in_its_own_words() {
    let (api, _, good) = world().await;
    let items = "/scheduled_charges/0/schedule";
    let recurring = "/scheduled_charges/1/schedule/recurring_schedule";
    let both = with(
        &good,
        &format!("{items}/recurring_schedule"),
        good["scheduled_charges"][1]["schedule"]["recurring_schedule"].clone(),
    );
    let set = |field: &str, value: Value| with(&good, &format!("{recurring}/{field}"), value);
    let path = "scheduled_charges[1].schedule.recurring_schedule";
    let cases = [
        (both, "scheduled_charges[0].schedule: ".to_owned()),
        (with(&good, items, json!({})), "scheduled_charges[0].schedule: ".to_owned()),
        (
            with(&good, &format!("{items}/schedule_items"), json!([])),
            "scheduled_charges[0].schedule.schedule_items: ".to_owned(),
        ),
        (
            with(&good, &format!("{items}/schedule_items"), json!([{ "amount": 1 }])),
            "scheduled_charges[0].schedule.schedule_items[0]: ".to_owned(),
        ),
        (
            with(&good, &format!("{items}/schedule_items/0/timestamp"), json!("2026-04-01")),
            "scheduled_charges[0].schedule.schedule_items[0].timestamp: ".to_owned(),
        ),
        (set("ending_before", json!("2026-04-01T00:00:00Z")), format!("{path}.ending_before: ")),
        (set("ending_before", json!("2026-03-01T00:00:00Z")), format!("{path}.ending_before: ")),
        (set("frequency", json!("WEEKLY")), format!("{path}.frequency: ")),
        (set("frequency", json!("DAILY")), format!("{path}.frequency: ")),
        (set("amount_distribution", json!("SPLIT")), format!("{path}.amount_distribution: ")),
        (without(&good, &format!("{recurring}/frequency")), "`frequency`".to_owned()),
        (without(&good, &format!("{recurring}/amount_distribution")), "`amount_distribution`".to_owned()),
        (without(&good, &format!("{recurring}/ending_before")), "`ending_before`".to_owned()),
        (without(&good, "/scheduled_charges/0/schedule"), "`schedule`".to_owned()),
        (without(&good, "/scheduled_charges/0/product_id"), "`product_id`".to_owned()),
        (with(&good, "/scheduled_charges/0/name", json!("")), "scheduled_charges[0].name: ".to_owned()),
        (
            with(&good, &format!("{items}/do_not_invoice"), json!(true)),
            "scheduled_charges[0].schedule.do_not_invoice: ".to_owned(),
        ),
        (
            with(&good, &format!("{items}/credit_type_id"), json!(UNKNOWN)),
            "scheduled_charges[0].schedule.credit_type_id: ".to_owned(),
        ),
        (
            with(&good, "/scheduled_charges/1/custom_fields", json!({ "a": "b" })),
            "scheduled_charges[1].custom_fields.a: ".to_owned(),
        ),
        (
            with(&good, "/scheduled_charges_on_usage_invoices", json!("SOME")),
            "scheduled_charges_on_usage_invoices: ".to_owned(),
        ),
    ];
    for (body, part) in cases {
        let answer = api.post(CREATE, body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        answer.refused(400, &[&part]);
    }
    for frequency in ["quarterly", "Semi_Annual", "ANNUAL"] {
        api.post(CREATE, set("frequency", json!(frequency))).await.id();
    }
}

#[tokio::test]
async fn a_charge_is_of_a_fixed_product_that_is_not_archived() {
    let (api, world, good) = world().await;
    let product = |id: &str| with(&good, "/scheduled_charges/1/product_id", json!(id));
    let field = "scheduled_charges[1].product_id: ";
    api.post(CREATE, product(UNKNOWN)).await.refused(404, &[field, UNKNOWN]);
    refuse(&api, CREATE, vec![(product(&world.product), field), (product("x"), field)]).await;
    let archived = api.fixed_product("Old").await;
    sqlx::query("UPDATE product SET archived_at = created_at WHERE name = 'Old'")
        .execute(&api.app.db)
        .await
        .expect("archived");
    refuse(&api, CREATE, vec![(product(&archived), field)]).await;
    let listed = api.post("/v1/contracts/list", json!({ "customer_id": world.customer })).await.data();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "nothing was made");
}

#[tokio::test]
async fn a_contract_has_at_most_ten_thousand_items() {
    let (api, world, good) = world().await;
    let items = |count: usize| {
        let item = |index: usize| {
            let at =
                chrono::DateTime::from_timestamp(1_800_000_000 + i64::try_from(index).expect("small"), 0);
            json!({ "timestamp": at.expect("in range").to_rfc3339(), "amount": 1 })
        };
        (0..count).map(item).collect::<Value>()
    };
    let set = |body: &Value, items: Value| with(body, "/scheduled_charges/0/schedule/schedule_items", items);
    let alone = with(&good, "/scheduled_charges", json!([good["scheduled_charges"][0]]));
    api.post(CREATE, set(&alone, items(10_001)))
        .await
        .refused(400, &["scheduled_charges[0].schedule.schedule_items: ", "10000"]);
    api.post(CREATE, set(&good, items(9_998)))
        .await
        .refused(400, &["scheduled_charges[1].schedule.recurring_schedule: ", "10000"]);
    let centuries = with(
        &with(
            &good,
            "/scheduled_charges/1/schedule/recurring_schedule/starting_at",
            json!("1970-01-01T00:00:00Z"),
        ),
        "/scheduled_charges/1/schedule/recurring_schedule/ending_before",
        json!("9999-12-31T00:00:00Z"),
    );
    api.post(CREATE, centuries)
        .await
        .refused(400, &["scheduled_charges[1].schedule.recurring_schedule: ", "10000"]);

    let made = api.post(CREATE, set(&good, items(9_997))).await.data();
    let path = format!("/v1/customers/{}/invoices?type=SCHEDULED", world.customer);
    assert_eq!(api.get(&path).await.data().as_array().map(Vec::len), Some(100));
    let archive = json!({ "customer_id": world.customer, "contract_id": made["id"], "void_invoices": false });
    api.post("/v1/contracts/archive", archive).await.id();
    let voided: i64 = sqlx::query_scalar("SELECT count(*) FROM invoice WHERE status = 'VOID'")
        .fetch_one(&api.app.db)
        .await
        .expect("a count");
    assert_eq!(voided, 10_000, "one for each date");
}

#[tokio::test]
async fn a_uniqueness_key_is_used_up_by_an_archived_contract_too() {
    let (api, world, good) = world().await;
    let keyed = with(&good, "/uniqueness_key", json!("k"));
    let refused = with(&keyed, "/scheduled_charges/0/product_id", json!(UNKNOWN));
    api.post(CREATE, refused).await.refused(404, &[]);
    let contract = api.post(CREATE, keyed.clone()).await.id();
    let archive = json!({ "customer_id": world.customer, "contract_id": contract, "void_invoices": true });
    for _ in 0..2 {
        let answer = api.post(CREATE, keyed.clone()).await;
        assert_eq!(answer.body, json!({ "message": "This uniqueness key has already been used." }));
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["x-should-retry"]),
            (409, &"false".parse().expect("text"))
        );
        api.post("/v1/contracts/archive", archive.clone()).await;
    }
    let invoices = api.get(&format!("/v1/customers/{}/invoices?type=SCHEDULED", world.customer)).await.data();
    assert_eq!(invoices.as_array().map(Vec::len), Some(3), "of one contract alone");
}

/// The name and the first tag of the first line of each scheduled or riding invoice.
async fn labels(api: &Api, customer: &str) -> Vec<String> {
    let label = |invoice: &Value| {
        let line =
            invoice["line_items"].as_array().expect("lines").iter().find(|line| line["type"] == "scheduled");
        let line = line?;
        let (status, date) = (invoice["status"].as_str()?, &invoice["end_timestamp"].as_str()?[..10]);
        Some(format!("{date} {status} {} {}", line["name"].as_str()?, line["product_tags"]))
    };
    api.invoices(customer).await.iter().filter_map(label).collect()
}

#[tokio::test]
async fn a_line_is_called_what_its_product_is_called_on_its_date() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let fee = api.fixed_product("Old").await;
    let update = async |starting_at: &str, changes: Value| {
        let path = "/v1/contract-pricing/products/update";
        api.post(path, product_update(&fee, starting_at, changes)).await.id();
    };
    update("2026-04-10T00:00:00Z", json!({ "name": "New" })).await;
    let dates = ["03-20", "04-01", "04-10", "05-01", "07-15"].map(|day| format!("2026-{day}T00:00:00Z"));
    let dates: Vec<(&str, i64)> = dates.iter().map(|date| (&**date, 1)).collect();
    let contract = async |more: Value| {
        let mut body = json!({
            "customer_id": customer, "starting_at": "2026-03-01T00:00:00Z", "scheduled_charges": [charge(&fee, &dates)],
        });
        body.as_object_mut().expect("a body").extend(more.as_object().expect("more").clone());
        api.post(CREATE, body).await.id()
    };
    contract(json!({ "scheduled_charges_on_usage_invoices": "ALL" })).await;
    let names = async || labels(&api, &customer).await;
    assert_eq!(
        names().await,
        [
            "2026-03-20 DRAFT Old []",
            "2026-04-01 DRAFT Old []",
            "2026-04-10 DRAFT New []",
            "2026-05-01 DRAFT New []",
            "2026-07-15 DRAFT New []"
        ],
        "the one of 1 May will ride on the statement of April, which has not begun"
    );
    api.move_clock("2026-04-05T00:00:00Z").await;
    update("2026-01-01T00:00:00Z", json!({ "name": "Backdated", "tags": ["t"] })).await;
    let expected = [
        "2026-03-20 FINALIZED Old []",
        "2026-04-01 FINALIZED Old []",
        "2026-04-10 DRAFT New [\"t\"]",
        "2026-05-01 DRAFT New [\"t\"]",
        "2026-07-15 DRAFT New [\"t\"]",
    ];
    assert_eq!(names().await, expected);
    assert_eq!(faults(&api).await, [""; 0], "each is recomputed from the updates that it saw");
    let cancelled = contract(json!({ "name": "second" })).await;
    api.work().await;
    let archive = json!({ "customer_id": customer, "contract_id": cancelled, "void_invoices": true });
    api.post("/v1/contracts/archive", archive).await.id();
    update("2026-02-01T00:00:00Z", json!({ "name": "Again", "tags": [] })).await;
    let mut voided = names().await;
    voided.retain(|label| label.contains("VOID"));
    assert_eq!(
        voided,
        [
            "2026-03-20 VOID Backdated [\"t\"]",
            "2026-04-01 VOID Backdated [\"t\"]",
            "2026-04-10 VOID New [\"t\"]",
            "2026-05-01 VOID New [\"t\"]",
            "2026-07-15 VOID New [\"t\"]"
        ]
    );
    assert_eq!(faults(&api).await, [""; 0]);
    let shown = api.post("/v2/contracts/list", json!({ "customer_id": customer })).await.data();
    assert_eq!(shown[0]["scheduled_charges"][0]["product"]["name"], "Again", "as it is called now");
}

#[tokio::test]
async fn a_charge_goes_out_as_its_customer_is_on_its_date() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acct").await;
    let fee = api.fixed_product("Fee").await;
    let dates = ["03-15", "04-01", "04-15", "05-01"].map(|day| format!("2026-{day}T00:00:00Z"));
    let dates: Vec<(&str, i64)> = dates.iter().map(|date| (&**date, 1)).collect();
    let body = json!({
        "customer_id": customer, "starting_at": "2026-03-01T00:00:00Z", "scheduled_charges": [charge(&fee, &dates)],
        "scheduled_charges_on_usage_invoices": "ALL",
    });
    let contract = api.post(CREATE, body).await.id();
    let set = json!({
        "customer_id": customer, "billable_status": "unbillable", "effective_at": "2026-04-01T00:00:00Z",
    });
    api.post("/v1/customers/setBillableStatus", set).await.data();
    let statuses = async || -> Vec<String> {
        let one = |invoice: &Value| {
            let text = |field: &str| invoice[field].as_str().expect("text").to_owned();
            format!("{} {} {}", &text("end_timestamp")[..10], text("status"), text("billable_status"))
        };
        api.invoices(&customer).await.iter().map(one).collect()
    };
    assert_eq!(
        statuses().await,
        [
            "2026-03-15 DRAFT billable",
            "2026-04-01 DRAFT billable",
            "2026-04-15 DRAFT unbillable",
            "2026-05-01 DRAFT unbillable"
        ]
    );
    api.move_clock("2026-04-20T00:00:00Z").await;
    assert_eq!(
        statuses().await,
        [
            "2026-03-15 FINALIZED billable",
            "2026-04-01 FINALIZED billable",
            "2026-04-15 FINALIZED unbillable",
            "2026-05-01 DRAFT unbillable"
        ],
        "what rides is billed with its statement, whose start decides"
    );
    let again = json!({
        "customer_id": customer, "billable_status": "billable", "effective_at": "2026-04-15T00:00:00Z",
    });
    api.post("/v1/customers/setBillableStatus", again).await.refused(400, &["effective_at"]);
    assert_eq!(faults(&api).await, [""; 0]);
    let archive = json!({ "customer_id": customer, "contract_id": contract, "void_invoices": false });
    api.post("/v1/contracts/archive", archive).await.id();
    assert_eq!(faults(&api).await, [""; 0]);
}
