//! Recurring commits and credits: what a request may say, how they are shown, when what they make is made (reference:
//! credits and commits, section 11).

use serde_json::{Value, json};

use crate::contract_ends::faults;
use crate::support::Api;
use crate::world::{NOW, World, number, refuse, with, without};

const CREATE: &str = "/v1/contracts/create";
const END: &str = "/v1/contracts/updateEndDate";
const USD: &str = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

/// A good contract from 1 March with a recurring commit and a recurring credit.
async fn world() -> (Api, World, Value) {
    let api = Api::at(NOW).await;
    let world = World::new(&api).await;
    let fee = api.fixed_product("Plan").await;
    let commit = json!({
        "product_id": fee, "priority": 1, "starting_at": "2026-03-01T00:00:00Z",
        "access_amount": { "unit_price": 100, "quantity": 31, "credit_type_id": USD },
        "invoice_amount": { "unit_price": 50, "quantity": 31, "credit_type_id": USD },
        "commit_duration": { "value": 1 },
    });
    let good = json!({
        "customer_id": world.customer, "starting_at": "2026-03-01T00:00:00Z", "name": "with grants",
        "recurring_commits": [commit], "recurring_credits": [without(&commit, "/invoice_amount")],
    });
    (api, world, good)
}

/// What recurring commits and credits made, by type and start: `TYPE start..end amount`, and what became of it.
async fn made(api: &Api) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT type || ' ' || to_char(starts_at AT TIME ZONE 'UTC', 'MM-DD') || '..' ||
                to_char(ends_at AT TIME ZONE 'UTC', 'MM-DD') || ' ' || (terms #>> '{segments,0,amount}') ||
                CASE WHEN archived_at IS NULL THEN '' ELSE ' archived' END
         FROM balance WHERE recurring_id IS NOT NULL ORDER BY type DESC, starts_at, id",
    )
    .fetch_all(&api.app.db)
    .await
    .expect("a list")
}

/// The scheduled invoices of the customer: `STATUS date total`.
async fn purchases(api: &Api, customer: &str) -> Vec<String> {
    let path = format!("/v1/customers/{customer}/invoices?type=SCHEDULED&limit=100");
    let invoices = api.get(&path).await.data();
    let one = |invoice: &Value| {
        let date = &invoice["issued_at"].as_str().expect("a date")[5..10];
        format!("{} {date} {}", invoice["status"].as_str().expect("a status"), invoice["total"])
    };
    invoices.as_array().expect("a list").iter().map(one).collect()
}

#[tokio::test]
async fn they_are_shown_as_they_were_agreed() {
    let (api, world, mut good) = world().await;
    let usd =
        |unit_price: &str| json!({ "unit_price": number(unit_price), "quantity": 2, "credit_type_id": USD });
    let rounding = |places: i64| json!({ "rounding_method": "half_up", "decimal_places": places });
    let commit = &mut good["recurring_commits"][0];
    for (field, value) in [
        ("name", json!("Monthly")),
        ("description", json!("d")),
        ("access_amount", usd("0.10")),
        ("invoice_amount", usd("0.05")),
        ("rate_type", json!("commit_rate")),
        ("ending_before", json!("2026-12-01T00:00:00Z")),
        ("recurrence_frequency", json!("quarterly")),
        ("proration", json!("first")),
        ("proration_rounding", json!({ "access": rounding(-2), "invoice": rounding(5) })),
        ("rollover_fraction", number("0.5")),
        ("applicable_product_ids", json!([world.product])),
        ("applicable_product_tags", json!(["a"])),
        ("netsuite_sales_order_id", json!("n")),
        ("temporary_id", json!("mine")),
        ("commit_duration", json!({ "value": number("2.0"), "unit": "periods" })),
    ] {
        commit[field] = value;
    }
    let credit = &mut good["recurring_credits"][0];
    credit["specifiers"] =
        json!([{ "product_id": world.product, "pricing_group_values": { "model": "small" } }]);
    credit["proration_rounding"] = json!({ "access": { "rounding_method": "CEILING", "decimal_places": 0 } });
    let contract = api.post(CREATE, good.clone()).await.data()["contract"].clone();
    let product = json!({ "id": good["recurring_commits"][0]["product_id"], "name": "Plan" });
    let rounded = |places: i64| json!({ "rounding_method": "HALF_UP", "decimal_places": places });
    let commit = json!({
        "id": contract["recurring_commits"][0]["id"], "contract": { "id": contract["id"] }, "product": product,
        "name": "Monthly", "description": "d", "access_amount": with(&usd("0.1"), "/access_type", json!("SPEND")),
        "invoice_amount": usd("0.05"), "priority": 1, "rate_type": "COMMIT_RATE",
        "commit_duration": { "value": 2, "unit": "PERIODS" },
        "starting_at": "2026-03-01T00:00:00Z", "anchor_date": "2026-03-01T00:00:00Z",
        "ending_before": "2026-12-01T00:00:00Z", "recurrence_frequency": "QUARTERLY", "proration": "FIRST",
        "proration_rounding": { "access": rounded(-2), "invoice": rounded(5) }, "rollover_fraction": number("0.5"),
        "applicable_product_ids": [world.product], "applicable_product_tags": ["a"], "netsuite_sales_order_id": "n",
    });
    assert_eq!(contract["recurring_commits"], json!([commit]));
    let credit = json!({
        "id": contract["recurring_credits"][0]["id"], "contract": { "id": contract["id"] }, "product": product,
        "access_amount": { "unit_price": 100, "quantity": 31, "credit_type_id": USD, "access_type": "SPEND" },
        "priority": 1, "rate_type": "LIST_RATE", "commit_duration": { "value": 1, "unit": "PERIODS" },
        "starting_at": "2026-03-01T00:00:00Z", "anchor_date": "2026-03-01T00:00:00Z", "proration": "FIRST_AND_LAST",
        "proration_rounding": { "access": { "rounding_method": "CEILING", "decimal_places": 0 } },
        "specifiers": [{ "product_id": world.product, "pricing_group_values": { "model": "small" } }],
    });
    assert_eq!(contract["recurring_credits"], json!([credit]));
    let of_contract = json!({ "customer_id": world.customer, "contract_id": contract["id"] });
    let nested = api.post("/v1/contracts/get", of_contract).await.data();
    for terms in ["initial", "current"] {
        for list in ["recurring_commits", "recurring_credits"] {
            assert_eq!(nested[terms][list], contract[list], "{terms} {list}");
        }
    }
    let others = json!({ "customer_id": world.customer, "contract_id": world.contract });
    let other = api.post("/v2/contracts/get", others).await.data();
    assert_eq!((&other["recurring_commits"], &other["recurring_credits"]), (&json!([]), &json!([])));
}

/// Periods of its own are counted from its first one, which does not start before the contract does; those of usage
/// statements as these are.
#[tokio::test]
async fn the_anchor_of_the_periods_is_told() {
    let (api, world, mut good) = world().await;
    good["starting_at"] = json!("2026-03-12T00:00:00Z");
    let anchors = async |good: &Value| -> [Value; 2] {
        let contract = api.post(CREATE, good.clone()).await.data()["contract"].clone();
        let of_contract = json!({ "customer_id": world.customer, "contract_id": contract["id"] });
        let nested = api.post("/v1/contracts/get", of_contract).await.data();
        ["recurring_commits", "recurring_credits"].map(|list| {
            let anchor = &contract[list][0]["anchor_date"];
            assert_eq!(nested["current"][list][0]["anchor_date"], *anchor);
            anchor.clone()
        })
    };
    let first = json!("2026-03-01T00:00:00Z");
    assert_eq!(anchors(&good).await, [first.clone(), first.clone()]);
    good["recurring_commits"][0]["recurrence_frequency"] = json!("MONTHLY");
    assert_eq!(anchors(&good).await, [json!("2026-03-12T00:00:00Z"), first.clone()], "with the contract");
    good["recurring_commits"][0]["starting_at"] = json!("2026-04-20T06:00:00Z");
    good["recurring_credits"][0]["starting_at"] = json!("2026-04-20T06:00:00Z");
    assert_eq!(anchors(&good).await, [json!("2026-04-20T06:00:00Z"), first]);
    let day = json!("2026-01-31T00:00:00Z");
    good["usage_statement_schedule"] =
        json!({ "frequency": "MONTHLY", "day": "CUSTOM_DATE", "billing_anchor_date": day });
    assert_eq!(anchors(&good).await[1], day, "the day of all months, of which some have none");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a line or two for each mistake")]
async fn what_makes_no_sense_is_refused_by_name() {
    let (api, world, good) = world().await;
    let commit = |field: &str, value: Value| with(&good, &format!("/recurring_commits/0/{field}"), value);
    let credit = |field: &str, value: Value| with(&good, &format!("/recurring_credits/0/{field}"), value);
    let no_commit = |field: &str| without(&good, &format!("/recurring_commits/0/{field}"));
    let mut two_daily = commit("recurrence_frequency", json!("DAILY"));
    two_daily["recurring_credits"][0]["recurrence_frequency"] = json!("daily");
    let mut one_name = commit("temporary_id", json!("a"));
    one_name["recurring_credits"][0]["temporary_id"] = json!("a");
    let mut name_of_commit = commit("temporary_id", json!("a"));
    name_of_commit["commits"] = json!([{
        "type": "PREPAID", "product_id": good["recurring_commits"][0]["product_id"], "temporary_id": "a",
        "access_schedule": { "schedule_items": [
            { "amount": 1, "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z" },
        ] },
    }]);
    let old_unit = api.post("/v1/credit-types/create", json!({ "name": "Old" })).await.id();
    api.post("/v1/credit-types/archive", json!({ "id": old_unit })).await.id();
    let old_unit = json!({ "unit_price": 1, "quantity": 1, "credit_type_id": old_unit });
    let old_product = api.fixed_product("Old").await;
    api.post("/v1/contract-pricing/products/archive", json!({ "product_id": old_product })).await.id();
    let mut many = good.clone();
    many["recurring_commits"] = vec![good["recurring_commits"][0].clone(); 101].into();
    let unit = json!({ "unit_price": 1, "quantity": 1, "credit_type_id": UNKNOWN });
    let custom = json!({ "unit_price": 1, "quantity": 1, "credit_type_id": world.unit });
    let quantities =
        json!({ "unit_price": 1, "quantity": 1, "credit_type_id": USD, "access_type": "QUANTITY" });
    let rounding = |method: &str, places: &str| json!({ "access": { "rounding_method": method, "decimal_places": number(places) } });
    refuse(
        &api,
        CREATE,
        vec![
            (no_commit("product_id"), "recurring_commits[0]: missing field `product_id`"),
            (no_commit("priority"), "recurring_commits[0]: missing field `priority`"),
            (no_commit("commit_duration"), "recurring_commits[0]: missing field `commit_duration`"),
            (no_commit("starting_at"), "recurring_commits[0]: missing field `starting_at`"),
            (no_commit("access_amount"), "recurring_commits[0]: missing field `access_amount`"),
            (no_commit("access_amount/quantity"), "recurring_commits[0].access_amount.quantity: is required"),
            (
                commit("access_amount/unit_price", json!(-1)),
                "recurring_commits[0].access_amount.unit_price: ",
            ),
            (commit("access_amount/quantity", json!(-1)), "recurring_commits[0].access_amount.quantity: "),
            (commit("access_amount", unit.clone()), "recurring_commits[0].access_amount.credit_type_id: "),
            (
                commit("access_amount", quantities),
                "recurring_commits[0].access_amount.credit_type_id: cannot be combined with access_type",
            ),
            (
                commit("access_amount/access_type", json!("UNITS")),
                "recurring_commits[0].access_amount.access_type: unknown variant `UNITS`",
            ),
            (
                commit("invoice_amount/unit_price", json!(-1)),
                "recurring_commits[0].invoice_amount.unit_price: ",
            ),
            (commit("invoice_amount", unit), "recurring_commits[0].invoice_amount.credit_type_id: "),
            (
                commit("invoice_amount", custom.clone()),
                "recurring_commits[0].invoice_amount.credit_type_id: ",
            ),
            (credit("invoice_amount", custom), "recurring_credits[0].invoice_amount: "),
            (commit("invoice_amount/quantity", json!(-1)), "recurring_commits[0].invoice_amount.quantity: "),
            (
                credit("access_amount", old_unit),
                "recurring_credits[0].access_amount.credit_type_id: the pricing unit is archived",
            ),
            (
                credit("product_id", json!(old_product)),
                "recurring_credits[0].product_id: the product is archived",
            ),
            (commit("commit_duration/value", json!(0)), "recurring_commits[0].commit_duration.value: "),
            (commit("commit_duration/value", number("1.5")), "recurring_commits[0].commit_duration.value: "),
            (commit("commit_duration/value", json!(1001)), "recurring_commits[0].commit_duration.value: "),
            (commit("commit_duration/unit", json!("DAYS")), "recurring_commits[0].commit_duration.unit: "),
            (commit("starting_at", json!("2026-03-01T00:30:00Z")), "recurring_commits[0].starting_at: "),
            (commit("ending_before", json!("2026-03-01T00:00:00Z")), "recurring_commits[0].ending_before: "),
            (
                commit("recurrence_frequency", json!("SEMI_ANNUAL")),
                "recurring_commits[0].recurrence_frequency: ",
            ),
            (two_daily, "recurring_credits[0].recurrence_frequency: "),
            (commit("proration", json!("SOME")), "recurring_commits[0].proration: "),
            (
                commit("proration_rounding", rounding("HALF_DOWN", "0")),
                "recurring_commits[0].proration_rounding.access.rounding_method: ",
            ),
            (
                commit("proration_rounding", rounding("FLOOR", "6")),
                "recurring_commits[0].proration_rounding.access.decimal_places: ",
            ),
            (
                credit("proration_rounding", rounding("FLOOR", "0.5")),
                "recurring_credits[0].proration_rounding.access.decimal_places: ",
            ),
            (commit("rollover_fraction", number("1.01")), "recurring_commits[0].rollover_fraction: "),
            (commit("rollover_fraction", number("-0.1")), "recurring_commits[0].rollover_fraction: "),
            (commit("rate_type", json!("LIST")), "recurring_commits[0].rate_type: "),
            (commit("name", json!("")), "recurring_commits[0].name: "),
            (one_name, "recurring_credits[0].temporary_id: "),
            (name_of_commit, "recurring_commits[0].temporary_id: a commit"),
            (many, "recurring_commits: "),
            (
                commit("subscription_config", json!({ "subscription_id": UNKNOWN })),
                "recurring_commits[0].subscription_config: is not supported",
            ),
            (
                credit("hierarchy_configuration", json!({ "child_access": { "type": "ALL" } })),
                "recurring_credits[0].hierarchy_configuration: is not supported",
            ),
            (commit("specifiers", json!([{}])), "recurring_commits[0].specifiers[0]: "),
            (commit("product_id", json!(world.product)), "recurring_commits[0].product_id: "),
        ],
    )
    .await;
    for (field, place) in [
        ("product_id", "recurring_commits[0].product_id: product"),
        ("applicable_product_ids", "recurring_commits[0].applicable_product_ids[0]: product"),
    ] {
        let value = if field == "product_id" { json!(UNKNOWN) } else { json!([UNKNOWN]) };
        api.post(CREATE, commit(field, value)).await.refused(404, &[place]);
    }
    api.post(CREATE, with(&good, "/customer_id", json!(UNKNOWN))).await.refused(404, &["customer"]);
    assert_eq!(made(&api).await, Vec::<String>::new(), "nothing is kept of what is refused");
    for nothing in [json!(null), json!([])] {
        let mut body = with(&good, "/recurring_commits", nothing.clone());
        body["recurring_credits"] = nothing;
        api.post(CREATE, body).await.id();
    }
    let mut beside = json!({
        "customer_id": world.customer, "starting_at": "2026-03-01T00:00:00Z", "package_id": world.package,
    });
    beside["recurring_credits"] = good["recurring_credits"].clone();
    api.post(CREATE, beside).await.refused(400, &["recurring_credits: cannot stand beside a package"]);
}

#[tokio::test]
async fn each_is_made_as_the_period_before_it_starts_and_paid_as_its_own_does() {
    let (api, world, good) = world().await;
    api.post(CREATE, good).await.id();
    let two = ["PREPAID 03-01..04-01 3100", "PREPAID 04-01..05-01 3100"];
    let credits = ["CREDIT 03-01..04-01 3100", "CREDIT 04-01..05-01 3100"];
    assert_eq!(made(&api).await, [two, credits].concat(), "with the contract");
    api.work().await;
    assert_eq!(purchases(&api, &world.customer).await, ["FINALIZED 03-01 1550", "DRAFT 04-01 1550"]);
    api.move_clock("2026-03-31T23:59:59Z").await;
    assert_eq!(made(&api).await.len(), 4);
    api.move_clock("2026-04-01T00:00:00Z").await;
    assert_eq!(made(&api).await[2], "PREPAID 05-01..06-01 3100");
    assert_eq!(
        purchases(&api, &world.customer).await,
        ["FINALIZED 03-01 1550", "FINALIZED 04-01 1550", "DRAFT 05-01 1550"]
    );
    assert_eq!(made(&api).await.len(), 6);
    assert_eq!(faults(&api).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_start_long_ago_makes_everything_since_in_steps() {
    let (api, world, mut good) = world().await;
    good["starting_at"] = json!("2025-09-01T00:00:00Z");
    let commit = &mut good["recurring_commits"][0];
    commit["starting_at"] = json!("2025-01-01T00:00:00Z");
    commit["recurrence_frequency"] = json!("DAILY");
    good["recurring_credits"] = json!([]);
    api.post(CREATE, good).await.id();
    assert_eq!(made(&api).await.len(), 100, "no more in one request");
    api.work().await;
    let all = made(&api).await;
    // From 1 September, with its contract, to 10 March, and the next day's.
    assert_eq!((all.len(), all[0].as_str()), (192, "PREPAID 09-01..09-02 3100"));
    assert_eq!(all[191], "PREPAID 03-11..03-12 3100");
    let purchases = api.number("SELECT count(*) FROM invoice WHERE type = 'SCHEDULED'").await;
    assert_eq!(purchases, 191, "each is paid on its day, with none twice");
    let of_month = api.number("SELECT count(*) FROM invoice WHERE type = 'USAGE'").await;
    assert_eq!(of_month, 6);
    assert_eq!(api.number("SELECT count(*) FROM due_work WHERE last_error IS NOT NULL").await, 0);
    let left = format!(
        "SELECT count(*) FROM due_work WHERE customer_id = '{}' AND kind = 'create_recurring_balances'",
        world.customer
    );
    assert_eq!(api.number(&left).await, 1, "the next day's");
}

#[tokio::test]
async fn what_has_not_started_follows_the_end_of_its_contract() {
    let (api, world, good) = world().await;
    let contract = api.post(CREATE, good).await.id();
    api.work().await;
    let end = async |at: Option<&str>| {
        let body = json!({ "customer_id": world.customer, "contract_id": contract, "ending_before": at });
        api.post(END, body).await.id();
        api.work().await;
        let commits = made(&api).await.into_iter().filter(|line| line.starts_with("PREPAID")).collect();
        let commits: Vec<String> = commits;
        (commits, purchases(&api, &world.customer).await)
    };
    let march = "PREPAID 03-01..04-01 3100".to_owned();
    let paid = "FINALIZED 03-01 1550".to_owned();
    let half = end(Some("2026-04-16T00:00:00Z")).await;
    assert_eq!(half.0, [march.clone(), "PREPAID 04-01..04-16 1550".to_owned()], "cut, and prorated");
    assert_eq!(half.1, [paid.clone(), "DRAFT 04-01 775".to_owned()]);
    let none = end(Some("2026-04-01T00:00:00Z")).await;
    assert_eq!(none.0, [march.clone(), "PREPAID 04-01..04-16 1550 archived".to_owned()]);
    assert_eq!(none.1, std::slice::from_ref(&paid));
    let inside = end(Some("2026-03-20T00:00:00Z")).await;
    let cut = ["PREPAID 03-01..03-20 3100".to_owned(), none.0[1].clone()];
    assert_eq!(inside.0, cut, "what has started stays, but for its end");
    let again = end(None).await;
    assert_eq!(again.0, [march, "PREPAID 04-01..05-01 3100".to_owned()], "back, and whole");
    assert_eq!(again.1, [paid, "DRAFT 04-01 1550".to_owned()]);
    api.move_clock("2026-06-02T12:00:00Z").await;
    assert_eq!(
        purchases(&api, &world.customer).await,
        [
            "FINALIZED 03-01 1550",
            "FINALIZED 04-01 1550",
            "FINALIZED 05-01 1550",
            "FINALIZED 06-01 1550",
            "DRAFT 07-01 1550"
        ]
    );
    assert_eq!(faults(&api).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_move_of_the_end_leaves_alone_what_it_does_not_touch() {
    let (api, world, mut good) = world().await;
    good["ending_before"] = json!("2026-06-01T00:00:00Z");
    let contract = api.post(CREATE, good).await.id();
    api.work().await;
    let of_customer = json!({
        "customer_id": world.customer, "include_contract_commits": true,
        "starting_at": "2026-04-01T00:00:00Z",
    });
    let listed = api.post("/v1/contracts/customerCommits/list", of_customer).await.data();
    let items = |commit: &Value| commit["access_schedule"]["schedule_items"][0].clone();
    let of_april = |commit: &&Value| items(commit)["starting_at"] == "2026-04-01T00:00:00Z";
    let april =
        listed.as_array().expect("a list").iter().find(of_april).expect("the commit of April").clone();
    let edit = json!({
        "customer_id": world.customer, "commit_id": april["id"],
        "access_schedule": {
            "update_schedule_items": [{ "id": items(&april)["id"], "amount": 5000 }],
            "add_schedule_items": [
                { "amount": 300, "starting_at": "2026-05-01T00:00:00Z", "ending_before": "2026-05-20T00:00:00Z" },
            ],
        },
        "invoice_schedule": {
            "update_schedule_items": [
                { "id": april["invoice_schedule"]["schedule_items"][0]["id"], "unit_price": 900, "quantity": 1 },
            ],
            "add_schedule_items": [{ "timestamp": "2026-03-25T00:00:00Z", "amount": 11 }],
        },
    });
    assert_eq!(api.post("/v2/contracts/commits/edit", edit).await.status, 200);
    let end = async |at: &str| {
        let body = json!({ "customer_id": world.customer, "contract_id": contract, "ending_before": at });
        api.post(END, body).await.id();
        api.work().await;
        let commits: Vec<String> =
            made(&api).await.into_iter().filter(|line| line.starts_with("PREPAID 04")).collect();
        (commits, purchases(&api, &world.customer).await)
    };
    let edited = ["PREPAID 04-01..05-20 5000"];
    for untouched in ["2026-07-01T00:00:00Z", "2026-05-01T00:00:00Z"] {
        let (commits, paid) = end(untouched).await;
        assert_eq!(commits, edited, "{untouched}");
        assert_eq!(paid, ["FINALIZED 03-01 1550", "DRAFT 03-25 11", "DRAFT 04-01 900"], "{untouched}");
    }
    let (commits, paid) = end("2026-04-16T00:00:00Z").await;
    assert_eq!(commits, ["PREPAID 04-01..05-20 5000"], "what was agreed by hand is not prorated");
    assert_eq!(paid, ["FINALIZED 03-01 1550", "DRAFT 03-25 11", "DRAFT 04-01 900"]);
    let segments = "SELECT string_agg(segment ->> 'ending_before', ' ')
                    FROM balance, jsonb_array_elements(terms -> 'segments') AS segment
                    WHERE type = 'PREPAID' AND starts_at = '2026-04-01T00:00:00Z'";
    let ends: String = sqlx::query_scalar(segments).fetch_one(&api.app.db).await.expect("two segments");
    assert_eq!(ends, "2026-04-16T00:00:00Z 2026-05-20T00:00:00Z", "its own is cut, and not what was added");
    assert_eq!(faults(&api).await, Vec::<String>::new());
}

/// The commit of a period as it is listed, archived or not.
async fn commit_of(api: &Api, customer: &str, start: &str) -> Value {
    let listed = api
        .post(
            "/v1/contracts/customerCommits/list",
            json!({
                "customer_id": customer, "include_contract_commits": true, "include_archived": true,
                "include_ledgers": true, "include_balance": true,
            }),
        )
        .await
        .data();
    let is_it = |commit: &&Value| commit["access_schedule"]["schedule_items"][0]["starting_at"] == start;
    listed.as_array().expect("a list").iter().find(is_it).expect("the commit").clone()
}

/// What an end takes away before it starts comes back with all that somebody made of it.
#[tokio::test]
async fn what_an_end_takes_away_comes_back_as_somebody_made_it() {
    let (api, world, good) = world().await;
    let contract = api.post(CREATE, good).await.id();
    api.work().await;
    let april = async || commit_of(&api, &world.customer, "2026-04-01T00:00:00Z").await;
    let end = async |at: Option<&str>| {
        let body = json!({ "customer_id": world.customer, "contract_id": contract, "ending_before": at });
        api.post(END, body).await.id();
        api.work().await;
    };
    let made = april().await;
    let edit = json!({
        "customer_id": world.customer, "commit_id": made["id"], "name": "As agreed", "priority": 7,
        "applicable_product_tags": ["paid"],
        "invoice_schedule": { "add_schedule_items": [{ "timestamp": "2026-04-10T00:00:00Z", "amount": 11 }] },
    });
    assert_eq!(api.post("/v2/contracts/commits/edit", edit).await.status, 200);
    let entry = json!({
        "customer_id": world.customer, "id": made["id"], "contract_id": contract, "amount": 40, "reason": "goodwill",
        "segment_id": made["access_schedule"]["schedule_items"][0]["id"], "timestamp": "2026-04-01T00:00:00Z",
    });
    assert_eq!(api.post("/v1/contracts/addManualBalanceLedgerEntry", entry).await.status, 200);
    let agreed = april().await;
    end(Some("2026-04-01T00:00:00Z")).await;
    let gone = april().await;
    assert!(gone["archived_at"].is_string(), "{gone}");
    end(Some("2026-05-01T00:00:00Z")).await;
    let back = april().await;
    assert_eq!(back, agreed, "with the same payments");
    assert_eq!(
        purchases(&api, &world.customer).await,
        ["FINALIZED 03-01 1550", "DRAFT 04-01 1550", "DRAFT 04-10 11"]
    );
    end(Some("2026-04-01T00:00:00Z")).await;
    end(Some("2026-04-16T00:00:00Z")).await;
    let half = april().await;
    assert_eq!(
        [&half["name"], &half["priority"], &half["access_schedule"]["schedule_items"][0]["amount"]],
        [&json!("As agreed"), &json!(7), &json!(1550)],
        "and half, as its own period is cut"
    );
    assert_eq!(
        purchases(&api, &world.customer).await,
        ["FINALIZED 03-01 1550", "DRAFT 04-01 775", "DRAFT 04-10 11"]
    );
    assert_eq!(faults(&api).await, Vec::<String>::new());
}

/// What is paid before it starts is paid once, wherever the end of the contract goes, and is what was paid for.
#[tokio::test]
async fn what_is_paid_for_is_not_paid_again_as_it_comes_back() {
    let (api, world, good) = world().await;
    let contract = api.post(CREATE, good).await.id();
    api.work().await;
    let april = async || commit_of(&api, &world.customer, "2026-04-01T00:00:00Z").await;
    let made = april().await;
    let payment = &made["invoice_schedule"]["schedule_items"][0]["id"];
    let edit = json!({
        "customer_id": world.customer, "commit_id": made["id"],
        "invoice_schedule": {
            "update_schedule_items": [{ "id": payment, "timestamp": "2026-03-05T00:00:00Z" }],
            "add_schedule_items": [{ "timestamp": "2026-04-20T00:00:00Z", "amount": 11 }],
        },
    });
    assert_eq!(api.post("/v2/contracts/commits/edit", edit).await.status, 200);
    api.work().await;
    let paid = ["FINALIZED 03-01 1550", "FINALIZED 03-05 1550"].map(str::to_owned);
    let with =
        |more: &[&str]| [paid.as_slice(), &more.iter().map(ToString::to_string).collect::<Vec<_>>()].concat();
    assert_eq!(purchases(&api, &world.customer).await, with(&["DRAFT 04-20 11"]));
    for (at, until, more) in [
        ("2026-04-16T00:00:00Z", "2026-04-16T00:00:00Z", with(&[])),
        ("2026-04-01T00:00:00Z", "2026-04-16T00:00:00Z", with(&[])),
        ("2026-04-11T00:00:00Z", "2026-04-11T00:00:00Z", with(&[])),
        ("2026-04-21T00:00:00Z", "2026-04-21T00:00:00Z", with(&["DRAFT 04-20 11"])),
        ("2026-05-01T00:00:00Z", "2026-05-01T00:00:00Z", with(&["DRAFT 04-20 11"])),
    ] {
        let body = json!({ "customer_id": world.customer, "contract_id": contract, "ending_before": at });
        api.post(END, body).await.id();
        api.work().await;
        assert_eq!(purchases(&api, &world.customer).await, more, "{at}");
        let segment = april().await["access_schedule"]["schedule_items"][0].clone();
        assert_eq!((&segment["amount"], &segment["ending_before"]), (&json!(3100), &json!(until)), "{at}");
        assert_eq!(faults(&api).await, Vec::<String>::new(), "{at}");
    }
}

/// What somebody archived does not come back.
#[tokio::test]
async fn what_is_archived_by_hand_stays_archived_wherever_the_end_goes() {
    let (api, world, good) = world().await;
    let contract = api.post(CREATE, good).await.id();
    api.work().await;
    let april = commit_of(&api, &world.customer, "2026-04-01T00:00:00Z").await;
    let body = json!({ "customer_id": world.customer, "commit_id": april["id"] });
    assert_eq!(api.post("/v2/contracts/commits/archive", body).await.status, 200);
    for at in [json!("2026-04-01T00:00:00Z"), json!("2026-03-20T00:00:00Z"), Value::Null] {
        let body = json!({ "customer_id": world.customer, "contract_id": contract, "ending_before": at });
        api.post(END, body).await.id();
        api.work().await;
        let commits: Vec<String> =
            made(&api).await.into_iter().filter(|line| line.starts_with("PREPAID")).collect();
        let until = if at == "2026-03-20T00:00:00Z" { "03-20" } else { "04-01" };
        let march = format!("PREPAID 03-01..{until} 3100");
        assert_eq!(commits, [&march, "PREPAID 04-01..05-01 3100 archived"], "{at}");
        assert_eq!(purchases(&api, &world.customer).await, ["FINALIZED 03-01 1550"], "{at}");
        assert_eq!(faults(&api).await, Vec::<String>::new(), "{at}");
    }
}

#[tokio::test]
async fn an_end_that_comes_back_late_makes_what_was_missed() {
    let (api, world, good) = world().await;
    let contract = api.post(CREATE, good).await.id();
    let end = async |at: Option<&str>| {
        let body = json!({ "customer_id": world.customer, "contract_id": contract, "ending_before": at });
        api.post(END, body).await.id();
    };
    end(Some("2026-04-01T00:00:00Z")).await;
    api.move_clock("2026-05-20T00:00:00Z").await;
    assert_eq!(made(&api).await.len(), 4, "two of each, of which one is archived");
    end(None).await;
    api.work().await;
    let credits: Vec<String> =
        made(&api).await.into_iter().filter(|line| line.starts_with("CREDIT")).collect();
    assert_eq!(
        credits,
        [
            "CREDIT 03-01..04-01 3100",
            "CREDIT 04-01..05-01 3100",
            "CREDIT 05-01..06-01 3100",
            "CREDIT 06-01..07-01 3100"
        ]
    );
    assert_eq!(
        purchases(&api, &world.customer).await,
        ["FINALIZED 03-01 1550", "FINALIZED 04-01 1550", "FINALIZED 05-01 1550", "DRAFT 06-01 1550"]
    );
}

#[tokio::test]
async fn a_contract_that_is_archived_or_over_makes_nothing_more() {
    let (api, world, mut good) = world().await;
    good["ending_before"] = json!("2026-05-01T00:00:00Z");
    api.post(CREATE, good.clone()).await.id();
    let archived = api.post(CREATE, good.clone()).await.id();
    let body = json!({ "customer_id": world.customer, "contract_id": archived, "void_invoices": true });
    api.post("/v1/contracts/archive", body).await.id();
    api.move_clock("2026-08-01T00:00:00Z").await;
    let of = async |contract: &str| {
        api.number(&format!("SELECT count(*) FROM balance WHERE contract_id = '{contract}'")).await
    };
    assert_eq!(of(&archived).await, 4);
    assert_eq!(api.number("SELECT count(*) FROM balance").await, 8, "March and April of each");
    let due = "SELECT count(*) FROM due_work WHERE kind = 'create_recurring_balances'";
    assert_eq!(api.number(due).await, 0);
}

#[tokio::test]
async fn what_bills_and_draws_makes_what_another_worker_has_not_made_yet() {
    let (api, world, mut good) = world().await;
    good["starting_at"] = json!("2025-09-01T00:00:00Z");
    good["recurring_commits"][0]["starting_at"] = json!("2025-09-01T00:00:00Z");
    good["recurring_commits"][0]["recurrence_frequency"] = json!("DAILY");
    good["recurring_credits"] = json!([]);
    api.post(CREATE, good).await.id();
    assert_eq!(made(&api).await.len(), 100);
    api.sql("DELETE FROM due_work WHERE kind = 'create_recurring_balances'").await;
    api.work().await;
    assert_eq!(made(&api).await.len(), 192);
    let finalized = purchases(&api, &world.customer).await;
    assert_eq!(finalized.len(), 100, "a page of them");
    assert_eq!(api.number("SELECT count(*) FROM invoice WHERE type = 'SCHEDULED'").await, 191);
    assert_eq!(faults(&api).await, Vec::<String>::new());
}

#[tokio::test]
async fn overrides_name_recurring_ones_by_their_temporary_ids_or_ids() {
    let (api, world, mut good) = world().await;
    good["rate_card_id"] = json!(world.card);
    good["recurring_commits"][0]["temporary_id"] = json!("monthly");
    good["recurring_credits"][0]["temporary_id"] = json!("given");
    let naming = |body: &Value, field: &str, id: &str| {
        let mut specifier = json!({ "product_id": world.product });
        specifier[field] = json!([id]);
        let rule = json!({
            "starting_at": "2026-03-01T00:00:00Z", "type": "MULTIPLIER", "multiplier": number("0.5"),
            "is_commit_specific": true, "override_specifiers": [specifier],
        });
        with(body, "/overrides", json!([rule]))
    };
    let made = api.post(CREATE, naming(&good, "recurring_commit_ids", "monthly")).await.data();
    let commit = made["contract"]["recurring_commits"][0]["id"].as_str().expect("an id").to_owned();
    let credit = made["contract"]["recurring_credits"][0]["id"].as_str().expect("an id").to_owned();
    let named = |contract: &Value, field: &str| {
        contract["contract"]["overrides"][0]["override_specifiers"][0][field][0].clone()
    };
    assert_eq!(named(&made, "recurring_commit_ids"), json!(commit));
    let any = api.post(CREATE, naming(&good, "any_commit_or_credit_ids", "given")).await.data();
    assert_eq!(named(&any, "any_commit_or_credit_ids"), any["contract"]["recurring_credits"][0]["id"]);
    for (field, id) in [
        ("recurring_commit_ids", commit.as_str()),
        ("any_commit_or_credit_ids", &credit),
        ("any_commit_or_credit_ids", &commit),
    ] {
        let made = api.post(CREATE, naming(&good, field, id)).await.data();
        assert_eq!(named(&made, field), json!(id), "one of another contract of the customer");
    }
    for (field, id, part) in [
        ("recurring_commit_ids", "given", "recurring commit"),
        ("recurring_commit_ids", credit.as_str(), "recurring commit"),
        ("recurring_commit_ids", UNKNOWN, "recurring commit"),
        ("commit_ids", "monthly", "commit monthly"),
        ("commit_ids", &commit, "commit"),
        ("any_commit_or_credit_ids", UNKNOWN, "commit or credit"),
    ] {
        let path = format!("overrides[0].override_specifiers[0].{field}[0]: ");
        api.post(CREATE, naming(&good, field, id)).await.refused(404, &[&path, part]);
    }
}

/// A commit that lasts two periods may be drawn until its contract ends, as that is by now, also where it has started.
#[tokio::test]
async fn what_has_started_lasts_until_its_contract_ends() {
    let (api, world, mut good) = world().await;
    good["recurring_commits"][0]["commit_duration"] = json!({ "value": 2 });
    let contract = api.post(CREATE, good).await.id();
    api.work().await;
    let april = async || {
        let commits = made(&api).await.into_iter();
        commits.filter(|line| line.starts_with("PREPAID 04-01")).collect::<Vec<_>>()
    };
    let end = async |at: Option<&str>| {
        let body = json!({ "customer_id": world.customer, "contract_id": contract, "ending_before": at });
        api.post(END, body).await.id();
        api.work().await;
    };
    assert_eq!(april().await, ["PREPAID 04-01..06-01 3100"]);
    end(Some("2026-05-01T00:00:00Z")).await;
    assert_eq!(april().await, ["PREPAID 04-01..05-01 3100"]);
    api.move_clock("2026-04-02T00:00:00Z").await;
    end(None).await;
    assert_eq!(april().await, ["PREPAID 04-01..06-01 3100"], "it has started");
    end(Some("2026-05-10T00:00:00Z")).await;
    assert_eq!(april().await, ["PREPAID 04-01..05-10 3100"]);
    end(Some("2026-04-01T00:00:00Z")).await;
    assert_eq!(april().await, ["PREPAID 04-01..06-01 3100"], "of no use while its contract ends before it");
    end(Some("2026-05-20T00:00:00Z")).await;
    assert_eq!(april().await, ["PREPAID 04-01..05-20 3100"]);
    assert_eq!(faults(&api).await, Vec::<String>::new());
}

/// In the grace of a month the payment of the next one is pending yet where it rides on usage invoices: an end that is moved and
/// moved back leaves it to be paid, and one at the end of the month leaves neither commit nor payment of the next.
#[tokio::test]
async fn a_payment_that_rides_follows_its_commit_in_grace() {
    for back in [true, false] {
        let (api, world, mut good) = world().await;
        good["scheduled_charges_on_usage_invoices"] = json!("ALL");
        let contract = api.post(CREATE, good).await.id();
        api.move_clock("2026-04-01T06:00:00Z").await;
        let end = async |at: Option<&str>| {
            let body = json!({ "customer_id": world.customer, "contract_id": contract, "ending_before": at });
            api.post(END, body).await.id();
            api.work().await;
        };
        if back {
            end(Some("2026-03-20T00:00:00Z")).await;
            end(None).await;
        } else {
            end(Some("2026-04-01T00:00:00Z")).await;
        }
        api.move_clock("2026-04-03T00:00:00Z").await;
        let path = format!("/v1/customers/{}/invoices?type=USAGE&status=FINALIZED", world.customer);
        let invoices = api.get(&path).await.data();
        let totals = invoices.as_array().expect("a list").iter().map(|invoice| invoice["total"].as_i64());
        assert_eq!(totals.flatten().sum::<i64>(), if back { 1550 } else { 0 }, "back: {back}");
        assert_eq!(faults(&api).await, Vec::<String>::new(), "back: {back}");
    }
}
