//! Commits and credits of packages, recurring ones too, and what contracts have of them (reference: pricing, section 10;
//! contracts, section 10; credits and commits, section 11).

use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, Role};
use uuid::Uuid;

use crate::support::{Api, lines};
use crate::world::{NOW, World, number, refuse, with, without};

const CREATE: &str = "/v1/packages/create";
const GET: &str = "/v1/packages/get";
const LIST: &str = "/v1/packages/list";
const SIGN: &str = "/v1/contracts/create";
const USD: &str = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";
const START: &str = "2026-01-31T05:00:00Z";

fn length(value: i64, unit: &str) -> Value {
    json!({ "value": value, "unit": unit })
}

fn months(value: i64) -> Value {
    length(value, "MONTHS")
}

/// An access schedule of amounts, each with its offset and its length.
fn access(segments: &[(i64, Value, Value)]) -> Value {
    let item = |(amount, offset, duration): &(i64, Value, Value)| json!({ "amount": amount, "starting_at_offset": offset, "duration": duration });
    json!({ "schedule_items": segments.iter().map(item).collect::<Vec<_>>() })
}

/// An invoice schedule of amounts, each with its offset.
fn paid(payments: &[(i64, Value)]) -> Value {
    let item = |(amount, offset): &(i64, Value)| json!({ "unit_price": amount, "quantity": 1, "date_offset": offset });
    json!({ "schedule_items": payments.iter().map(item).collect::<Vec<_>>() })
}

struct Desk {
    api: Api,
    world: World,
}

impl Desk {
    async fn new() -> Self {
        let api = Api::at(NOW).await;
        let world = World::new(&api).await;
        Self { api, world }
    }

    fn prepaid(&self) -> Value {
        json!({
            "type": "prepaid", "product_id": self.world.fee, "name": "Year", "description": "d", "priority": 5,
            "rate_type": "commit_rate", "rollover_fraction": number("0.5"), "temporary_id": "year",
            "applicable_product_ids": [self.world.product],
            "access_schedule": access(&[(600, months(1), months(3)), (400, length(0, "DAYS"), months(1))]),
            "invoice_schedule": { "schedule_items": [
                { "unit_price": number("100.5"), "quantity": 4, "date_offset": length(0, "DAYS") },
                { "unit_price": 300, "quantity": 1, "date_offset": months(1) },
            ] },
        })
    }

    fn postpaid(&self) -> Value {
        json!({
            "type": "POSTPAID", "product_id": self.world.fee, "access_schedule": access(&[(5000, months(0), months(12))]),
            "invoice_schedule": paid(&[(5000, length(1, "YEARS"))]),
        })
    }

    fn credit(&self) -> Value {
        json!({
            "product_id": self.world.fee, "name": "Trial", "priority": 1,
            "access_schedule": access(&[(50, length(0, "DAYS"), length(2, "WEEKS"))]),
            "specifiers": [{ "product_id": self.world.product, "pricing_group_values": { "model": "small" } }],
        })
    }

    fn recurring_commit(&self) -> Value {
        json!({
            "product_id": self.world.fee, "name": "Monthly", "priority": 2, "starting_at_offset": months(1),
            "duration": months(6), "commit_duration": { "value": 2 }, "recurrence_frequency": "monthly",
            "access_amount": { "unit_price": 100, "quantity": 31, "credit_type_id": USD },
            "invoice_amount": { "unit_price": 50, "quantity": 31, "credit_type_id": USD },
            "proration": "last", "temporary_id": "monthly", "rollover_fraction": 1,
            "proration_rounding": { "invoice": { "rounding_method": "floor", "decimal_places": -2 } },
        })
    }

    fn recurring_credit(&self) -> Value {
        json!({
            "product_id": self.world.fee, "name": "Calls", "priority": 3, "starting_at_offset": months(0),
            "commit_duration": { "value": 1 }, "access_amount": { "unit_price": 10, "access_type": "quantity" },
            "applicable_product_tags": ["calls"],
        })
    }

    /// A package with one of each.
    fn package(&self) -> Value {
        json!({
            "name": "Starter", "rate_card_id": self.world.card, "duration": months(12),
            "commits": [self.prepaid(), self.postpaid()], "credits": [self.credit()],
            "recurring_commits": [self.recurring_commit()], "recurring_credits": [self.recurring_credit()],
            "overrides": [
                half(&json!({ "commit_ids": ["year"], "recurring_commit_ids": ["monthly"] })),
                half(&json!({ "product_id": self.world.product, "any_commit_or_credit_ids": ["monthly", "year"] })),
            ],
        })
    }

    async fn shown(&self, package: &str) -> Value {
        self.api.post(GET, json!({ "package_id": package })).await.data()
    }

    /// A contract of the package with a new customer.
    async fn sign(&self, alias: &str, package: &Value) -> (String, Value) {
        let package = self.api.post(CREATE, package.clone()).await.id();
        let customer = self.api.customer(alias).await;
        let body = json!({ "customer_id": customer, "starting_at": START, "package_id": package });
        let contract = self.api.post(SIGN, body).await.data()["contract"].clone();
        (customer, contract)
    }
}

/// An override that halves what is drawn of what a specifier names.
fn half(specifier: &Value) -> Value {
    json!({
        "starting_at_offset": length(0, "DAYS"), "type": "MULTIPLIER", "multiplier": number("0.5"),
        "is_commit_specific": true, "override_specifiers": [specifier],
    })
}

/// The value with a number in the place of each id, the same for the same.
fn anonymous(value: &Value) -> Value {
    fn walk(value: &Value, seen: &mut Vec<String>) -> Value {
        match value {
            Value::String(text) if Uuid::parse_str(text).is_ok() => {
                let place = seen.iter().position(|id| id == text).unwrap_or(seen.len());
                if place == seen.len() {
                    seen.push(text.clone());
                }
                json!(format!("#{place}"))
            }
            Value::Array(items) => items.iter().map(|item| walk(item, seen)).collect(),
            Value::Object(members) => Value::Object(
                members.iter().map(|(name, member)| (name.clone(), walk(member, seen))).collect(),
            ),
            other => other.clone(),
        }
    }
    walk(value, &mut Vec::new())
}

fn by_content(list: &mut Value) {
    list.as_array_mut().expect("a list").sort_by_key(|one| anonymous(one).to_string());
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|one| one["name"].as_str().unwrap_or_default()).collect()
}

/// The segments of a commit or credit, `start..end amount` each.
fn segments(balance: &Value) -> Vec<String> {
    let date = |value: &Value| value.as_str().expect("an instant")[..10].to_owned();
    let items = balance["access_schedule"]["schedule_items"].as_array().expect("segments").iter();
    items
        .map(|item| {
            format!("{}..{} {}", date(&item["starting_at"]), date(&item["ending_before"]), item["amount"])
        })
        .collect()
}

#[tokio::test]
async fn commits_and_credits_are_shown_as_they_were_made() {
    let desk = Desk::new().await;
    let (api, world) = (&desk.api, &desk.world);
    let in_units = json!({
        "product_id": world.fee, "access_schedule": with(&access(&[(7, months(0), months(1))]), "/credit_type_id", json!(world.unit)),
    });
    let of_units = with(&in_units, "/access_schedule", access(&[(8, months(0), months(1))]));
    let of_units = with(&of_units, "/access_schedule/access_type", json!("quantity"));
    let mut package = desk.package();
    package["credits"].as_array_mut().expect("credits").extend([in_units, of_units]);
    package["commits"][1]["invoice_schedule"]["do_not_invoice"] = json!(true);
    let package = api.post(CREATE, package).await.id();
    let data = desk.shown(&package).await;
    let (product, usd) =
        (json!({ "id": world.fee, "name": "Commit" }), json!({ "id": USD, "name": "USD (cents)" }));
    let segment = |list: &Value, place: usize| list["access_schedule"]["schedule_items"][place]["id"].clone();
    let payment =
        |list: &Value, place: usize| list["invoice_schedule"]["schedule_items"][place]["id"].clone();
    let (year, promise) = (&data["commits"][0], &data["commits"][1]);
    let commits = json!([
        {
            "id": year["id"], "type": "PREPAID", "product": product, "name": "Year", "description": "d", "priority": 5,
            "rate_type": "COMMIT_RATE", "rollover_fraction": number("0.5"), "applicable_product_ids": [world.product],
            "access_schedule": { "credit_type": usd, "access_type": "SPEND", "schedule_items": [
                { "id": segment(year, 0), "amount": 600, "starting_at_offset": months(1), "duration": months(3) },
                { "id": segment(year, 1), "amount": 400, "starting_at_offset": length(0, "DAYS"), "duration": months(1) },
            ] },
            "invoice_schedule": { "credit_type": usd, "do_not_invoice": false, "schedule_items": [
                { "id": payment(year, 0), "unit_price": number("100.5"), "quantity": 4, "date_offset": length(0, "DAYS") },
                { "id": payment(year, 1), "unit_price": 300, "quantity": 1, "date_offset": months(1) },
            ] },
            "custom_fields": {},
        },
        {
            "id": promise["id"], "type": "POSTPAID", "product": product, "rate_type": "LIST_RATE",
            "access_schedule": { "credit_type": usd, "access_type": "SPEND", "schedule_items": [
                { "id": segment(promise, 0), "amount": 5000, "starting_at_offset": months(0), "duration": months(12) },
            ] },
            "invoice_schedule": { "credit_type": usd, "do_not_invoice": true, "schedule_items": [
                { "id": payment(promise, 0), "unit_price": 5000, "quantity": 1, "date_offset": length(1, "YEARS") },
            ] },
            "custom_fields": {},
        },
    ]);
    assert_eq!(data["commits"], commits);
    let trial = &data["credits"][0];
    let credit = json!({
        "id": trial["id"], "type": "CREDIT", "product": product, "name": "Trial", "priority": 1, "rate_type": "LIST_RATE",
        "access_schedule": { "credit_type": usd, "access_type": "SPEND", "schedule_items": [
            { "id": segment(trial, 0), "amount": 50, "starting_at_offset": length(0, "DAYS"), "duration": length(2, "WEEKS") },
        ] },
        "specifiers": [{ "product_id": world.product, "pricing_group_values": { "model": "small" } }],
        "custom_fields": {},
    });
    assert_eq!(*trial, credit);
    let unit = json!({ "id": world.unit, "name": "AI credits" });
    assert_eq!(data["credits"][1]["access_schedule"]["credit_type"], unit);
    let quantity = &data["credits"][2]["access_schedule"];
    assert_eq!((quantity.get("credit_type"), &quantity["access_type"]), (None, &json!("QUANTITY")));
    // The world has a package of its own, with none of these.
    let listed = api.post(LIST, json!({})).await.data();
    assert_eq!(listed[1], data);
    let nothing = ["credits", "recurring_commits", "recurring_credits"].map(|list| listed[0].get(list));
    assert_eq!((&listed[0]["commits"], nothing), (&json!([]), [None; 3]));
}

#[tokio::test]
async fn recurring_ones_and_what_overrides_name_are_shown_as_they_were_made() {
    let desk = Desk::new().await;
    let package = desk.api.post(CREATE, desk.package()).await.id();
    let data = desk.shown(&package).await;
    let (commit, credit) = (&data["recurring_commits"][0], &data["recurring_credits"][0]);
    let product = json!({ "id": desk.world.fee, "name": "Commit" });
    let expected = json!([{
        "id": commit["id"], "product": product, "name": "Monthly", "priority": 2, "rate_type": "LIST_RATE",
        "access_amount": { "unit_price": 100, "quantity": 31, "credit_type_id": USD, "access_type": "SPEND" },
        "invoice_amount": { "unit_price": 50, "quantity": 31, "credit_type_id": USD },
        "commit_duration": { "value": 2, "unit": "PERIODS" }, "recurrence_frequency": "MONTHLY", "proration": "LAST",
        "proration_rounding": { "invoice": { "rounding_method": "FLOOR", "decimal_places": -2 } },
        "rollover_fraction": 1, "starting_at_offset": months(1), "duration": months(6),
    }]);
    assert_eq!(data["recurring_commits"], expected);
    let nobodys = "00000000-0000-0000-0000-000000000000";
    let expected = json!([{
        "id": credit["id"], "product": product, "name": "Calls", "priority": 3, "rate_type": "LIST_RATE",
        // A quantity that is left out is 1.
        "access_amount": { "unit_price": 10, "quantity": 1, "credit_type_id": nobodys, "access_type": "QUANTITY" },
        "commit_duration": { "value": 1, "unit": "PERIODS" }, "proration": "FIRST_AND_LAST",
        "applicable_product_tags": ["calls"], "starting_at_offset": months(0),
    }]);
    assert_eq!(data["recurring_credits"], expected);
    let year = &data["commits"][0]["id"];
    assert_eq!(
        data["overrides"][0]["override_specifiers"],
        json!([{ "commit_template_ids": [year], "recurring_commit_template_ids": [commit["id"]] }])
    );
    assert_eq!(
        data["overrides"][1]["override_specifiers"],
        json!([{ "product_id": desk.world.product, "any_commit_or_credit_template_ids": [commit["id"], year] }])
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one mistake after the other")]
async fn commits_and_credits_that_make_no_sense_are_refused_by_their_fields() {
    let desk = Desk::new().await;
    let (api, world, good) = (&desk.api, &desk.world, desk.package());
    let archived = api.fixed_product("Gone").await;
    api.post("/v1/contract-pricing/products/archive", json!({ "product_id": archived })).await.data();
    let spent = api.post("/v1/credit-types/create", json!({ "name": "Spent" })).await.id();
    api.post("/v1/credit-types/archive", json!({ "id": spent })).await.data();
    let commit = |field: &str, value: Value| with(&good, &format!("/commits/0/{field}"), value);
    let segment = "access_schedule/schedule_items/1";
    let payment = "invoice_schedule/schedule_items/0";
    let promise = |field: &str, value: Value| with(&good, &format!("/commits/1/{field}"), value);
    let credit = |field: &str, value: Value| with(&good, &format!("/credits/0/{field}"), value);
    let many = |list: &str, count: usize| {
        with(&good, &format!("/{list}"), json!(vec![good[list][0].clone(); count]))
    };
    let two = access(&[(2500, months(0), months(1)), (2500, months(1), months(1))]);
    let cases = vec![
        (many("commits", 1001), "commits: at most 1000 in one request"),
        (many("credits", 1001), "credits: at most 1000 in one request"),
        (commit("type", json!("CREDIT")), "commits[0].type: "),
        (without(&good, "/commits/0/access_schedule"), "commits[0]: missing field `access_schedule`"),
        (commit("name", json!(" ")), "commits[0].name: must not be empty"),
        (commit("priority", json!("1")), "commits[0].priority: must be a number"),
        (commit("rate_type", json!("OTHER")), "commits[0].rate_type: "),
        (commit("rollover_fraction", number("1.1")), "commits[0].rollover_fraction: must be from 0 to 1"),
        (commit("product_id", json!(world.product)), "commits[0].product_id: must be a FIXED product"),
        (commit("product_id", json!(archived)), "commits[0].product_id: the product is archived"),
        (
            commit("applicable_product_tags", json!(vec!["a"; 1001])),
            "commits[0].applicable_product_tags: at most",
        ),
        (
            commit("specifiers", json!([{ "product_tags": ["a"] }])),
            "commits[0].specifiers: cannot be combined",
        ),
        (credit("specifiers", json!([{}])), "credits[0].specifiers[0]: is empty"),
        (
            commit("access_schedule/schedule_items", json!([])),
            "commits[0].access_schedule.schedule_items: must not be empty",
        ),
        (
            commit(
                "access_schedule/schedule_items",
                json!(vec![access(&[(1, months(0), months(1))])["schedule_items"][0].clone(); 1001]),
            ),
            "commits[0].access_schedule.schedule_items: at most 1000",
        ),
        (
            commit(&format!("{segment}/amount"), json!(-1)),
            "commits[0].access_schedule.schedule_items[1].amount: must not be negative",
        ),
        (
            commit(&format!("{segment}/starting_at_offset/value"), json!(-1)),
            "commits[0].access_schedule.schedule_items[1].starting_at_offset.value: must not be negative",
        ),
        (
            commit(&format!("{segment}/duration/value"), json!(0)),
            "commits[0].access_schedule.schedule_items[1].duration.value: must be greater than 0",
        ),
        (
            without(&good, &format!("/commits/0/{segment}/duration")),
            "commits[0].access_schedule.schedule_items[1]: missing field `duration`",
        ),
        (
            commit("access_schedule/credit_type_id", json!(NOBODY)),
            "commits[0].access_schedule.credit_type_id: no pricing unit has the id",
        ),
        (
            credit("access_schedule/credit_type_id", json!(spent)),
            "credits[0].access_schedule.credit_type_id: the pricing unit is archived",
        ),
        (
            with(
                &credit("access_schedule/access_type", json!("QUANTITY")),
                "/credits/0/access_schedule/credit_type_id",
                json!(USD),
            ),
            "credits[0].access_schedule.credit_type_id: cannot be combined with access_type",
        ),
        (
            commit("invoice_schedule/schedule_items", json!([])),
            "commits[0].invoice_schedule.schedule_items: must not be empty",
        ),
        (
            commit("invoice_schedule/credit_type_id", json!(world.unit)),
            "commits[0].invoice_schedule.credit_type_id: no currency has the id",
        ),
        (
            commit(&format!("{payment}/unit_price"), json!(-1)),
            "commits[0].invoice_schedule.schedule_items[0].unit_price: must not be negative",
        ),
        (
            commit(&format!("{payment}/quantity"), json!(-1)),
            "commits[0].invoice_schedule.schedule_items[0].quantity: must not be negative",
        ),
        (
            commit(&format!("{payment}/date_offset/value"), json!(-1)),
            "commits[0].invoice_schedule.schedule_items[0].date_offset.value: must not be negative",
        ),
        (
            commit("custom_fields", json!({ "a": "b" })),
            "commits[0].custom_fields.a: is not a custom field key of package_commit",
        ),
        (
            credit("custom_fields", json!({ "a": "b" })),
            "credits[0].custom_fields.a: is not a custom field key of package_credit",
        ),
        (
            credit("custom_fields", json!({ "a": "b".repeat(201) })),
            "credits[0].custom_fields.a: must have at most",
        ),
        (
            promise("temporary_id", json!("year")),
            "commits[1].temporary_id: another commit of the request has it",
        ),
        (
            promise("access_schedule", two),
            "commits[1].access_schedule.schedule_items: a POSTPAID commit has one item",
        ),
        (
            without(&good, "/commits/1/invoice_schedule"),
            "commits[1].invoice_schedule: is required for POSTPAID",
        ),
        (
            promise("invoice_schedule", paid(&[(2500, months(12)), (2500, months(13))])),
            "commits[1].invoice_schedule: a POSTPAID commit has one payment",
        ),
        (
            promise("invoice_schedule", paid(&[(4999, months(12))])),
            "commits[1].invoice_schedule: the amount must be that of access_schedule",
        ),
        (
            promise("invoice_schedule", paid(&[(5000, months(11))])),
            "commits[1].invoice_schedule.schedule_items[0].date_offset: the true-up of a POSTPAID commit must not be dated",
        ),
        (
            promise("invoice_schedule", paid(&[(5000, length(0, "DAYS"))])),
            "commits[1].invoice_schedule.schedule_items[0].date_offset: the true-up of a POSTPAID commit must not be dated",
        ),
        (
            promise("access_schedule/credit_type_id", json!(world.unit)),
            "commits[1].access_schedule.credit_type_id: a POSTPAID commit is in a currency",
        ),
        (
            promise("access_schedule/access_type", json!("QUANTITY")),
            "commits[1].access_schedule.access_type: a POSTPAID commit cannot be of `QUANTITY`",
        ),
    ];
    refuse(api, CREATE, cases).await;
    for (body, part) in [
        (commit("product_id", json!(NOBODY)), "commits[0].product_id: product"),
        (commit("applicable_product_ids", json!([NOBODY])), "commits[0].applicable_product_ids[0]: product"),
        (credit("product_id", json!(NOBODY)), "credits[0].product_id: product"),
        (
            credit("specifiers", json!([{ "product_id": NOBODY }])),
            "credits[0].specifiers[0].product_id: product",
        ),
    ] {
        api.post(CREATE, body).await.refused(404, &[part]);
    }
    let foreign = api.with_token(EnvironmentKind::Production, Role::Admin).await;
    let alone = json!({ "name": "a", "credits": [desk.credit()] });
    foreign.post(CREATE, alone).await.refused(404, &["credits[0].product_id: product"]);
    let left =
        "SELECT (SELECT count(*) FROM package_balance) + (SELECT count(*) FROM package_recurring_grant)";
    assert_eq!(api.number(left).await, 0, "nothing of what was refused is kept");
}

#[tokio::test]
async fn recurring_ones_that_make_no_sense_are_refused_by_their_fields() {
    let desk = Desk::new().await;
    let (api, world, good) = (&desk.api, &desk.world, desk.package());
    let commit = |field: &str, value: Value| with(&good, &format!("/recurring_commits/0/{field}"), value);
    let credit = |field: &str, value: Value| with(&good, &format!("/recurring_credits/0/{field}"), value);
    let many = |list: &str| with(&good, &format!("/{list}"), json!(vec![good[list][0].clone(); 101]));
    let daily = with(
        &commit("recurrence_frequency", json!("DAILY")),
        "/recurring_credits/0/recurrence_frequency",
        json!("DAILY"),
    );
    let invoiced = json!({ "unit_price": 1, "quantity": 1, "credit_type_id": USD });
    let cases = vec![
        (many("recurring_commits"), "recurring_commits: at most 100 in one request"),
        (many("recurring_credits"), "recurring_credits: at most 100 in one request"),
        (without(&good, "/recurring_commits/0/priority"), "recurring_commits[0]: missing field `priority`"),
        (
            without(&good, "/recurring_commits/0/starting_at_offset"),
            "recurring_commits[0]: missing field `starting_at_offset`",
        ),
        (
            commit("starting_at_offset/value", json!(-1)),
            "recurring_commits[0].starting_at_offset.value: must not be negative",
        ),
        (commit("duration/value", json!(0)), "recurring_commits[0].duration.value: must be greater than 0"),
        (credit("duration", months(-1)), "recurring_credits[0].duration.value: must be greater than 0"),
        (
            commit("commit_duration/value", json!(0)),
            "recurring_commits[0].commit_duration.value: must be a whole number",
        ),
        (
            commit("access_amount/unit_price", json!(-1)),
            "recurring_commits[0].access_amount.unit_price: must not be negative",
        ),
        (
            commit("access_amount/credit_type_id", json!(NOBODY)),
            "recurring_commits[0].access_amount.credit_type_id: no pricing unit",
        ),
        (
            commit("invoice_amount/quantity", json!(-1)),
            "recurring_commits[0].invoice_amount.quantity: must not be negative",
        ),
        (
            commit("invoice_amount/credit_type_id", json!(world.unit)),
            "recurring_commits[0].invoice_amount.credit_type_id: no currency",
        ),
        (
            credit("invoice_amount", invoiced),
            "recurring_credits[0].invoice_amount: is only for recurring commits",
        ),
        (
            commit("rollover_fraction", json!(2)),
            "recurring_commits[0].rollover_fraction: must be from 0 to 1",
        ),
        (
            commit("product_id", json!(world.product)),
            "recurring_commits[0].product_id: a commit or credit is of a FIXED product",
        ),
        (
            daily,
            "recurring_credits[0].recurrence_frequency: at most one recurring commit or credit of a contract is DAILY",
        ),
        (
            commit("temporary_id", json!("year")),
            "recurring_commits[0].temporary_id: a commit of the request has `year`",
        ),
        (
            credit("temporary_id", json!("monthly")),
            "recurring_credits[0].temporary_id: another recurring commit or credit",
        ),
        (
            commit("subscription_config", json!({ "subscription_id": "s" })),
            "recurring_commits[0].subscription_config: is not supported",
        ),
        (
            credit("subscription_config", json!({ "subscription_id": "s" })),
            "recurring_credits[0].subscription_config: is not supported",
        ),
    ];
    refuse(api, CREATE, cases).await;
    api.post(CREATE, credit("product_id", json!(NOBODY)))
        .await
        .refused(404, &["recurring_credits[0].product_id: product"]);
}

#[tokio::test]
async fn overrides_of_a_package_name_its_own_commits_alone() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let owned = json!({
        "customer_id": desk.world.customer, "product_id": desk.world.fee, "priority": 1,
        "access_schedule": { "schedule_items": [
            { "amount": 1, "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z" },
        ] },
    });
    let owned = api.post("/v1/contracts/customerCredits/create", owned).await.id();
    let good = with(&desk.package(), "/recurring_credits/0/temporary_id", json!("calls"));
    let naming = |specifier: Value| with(&good, "/overrides", json!([half(&specifier)]));
    let path = "overrides[0].override_specifiers[0]";
    for (specifier, part) in [
        (json!({ "commit_ids": ["year", "yours"] }), "commit_ids[1]: commit yours was not found"),
        (json!({ "commit_ids": ["monthly"] }), "commit_ids[0]: commit monthly was not found"),
        (
            json!({ "recurring_commit_ids": ["year"] }),
            "recurring_commit_ids[0]: recurring commit year was not found",
        ),
        (json!({ "recurring_commit_ids": ["calls"] }), "recurring_commit_ids[0]: recurring commit"),
        (json!({ "any_commit_or_credit_ids": [owned] }), "any_commit_or_credit_ids[0]: commit or credit"),
    ] {
        api.post(CREATE, naming(specifier)).await.refused(404, &[&format!("{path}.{part}")]);
    }
    let plain =
        with(&naming(json!({ "commit_ids": ["year"] })), "/overrides/0/is_commit_specific", json!(false));
    let reason = format!("{path}.commit_ids: is only for overrides with is_commit_specific");
    refuse(api, CREATE, vec![(plain, reason.as_str())]).await;
    api.post(CREATE, naming(json!({ "any_commit_or_credit_ids": ["calls", "year"] }))).await.id();
}

/// What the package of [`Desk::package`] gives a contract from [`START`] on, written out.
fn written_out(desk: &Desk) -> Value {
    let dated = |mut one: Value, schedule: &str, items: Value| {
        one[schedule]["schedule_items"] = items;
        one
    };
    let segment = |amount: i64, start: &str, end: &str| json!({ "amount": amount, "starting_at": start, "ending_before": end });
    let february = "2026-02-28T05:00:00Z";
    let year = json!([segment(400, START, february), segment(600, february, "2026-05-28T05:00:00Z")]);
    let payments = json!([
        { "unit_price": number("100.5"), "quantity": 4, "timestamp": START },
        { "unit_price": 300, "quantity": 1, "timestamp": february },
    ]);
    let end = "2027-01-31T05:00:00Z";
    let promise = dated(desk.postpaid(), "access_schedule", json!([segment(5000, START, end)]));
    let true_up = json!([{ "amount": 5000, "timestamp": end }]);
    let trial = json!([segment(50, START, "2026-02-14T05:00:00Z")]);
    let mut monthly = without(&desk.recurring_commit(), "/starting_at_offset");
    monthly = with(&without(&monthly, "/duration"), "/starting_at", json!(february));
    let mut calls =
        with(&without(&desk.recurring_credit(), "/starting_at_offset"), "/starting_at", json!(START));
    calls["access_amount"]["quantity"] = json!(1);
    let rule = |specifier: &Value| {
        with(&without(&half(specifier), "/starting_at_offset"), "/starting_at", json!(START))
    };
    json!({
        "starting_at": START, "ending_before": end, "rate_card_id": desk.world.card,
        "commits": [
            dated(dated(desk.prepaid(), "access_schedule", year), "invoice_schedule", payments),
            dated(promise, "invoice_schedule", true_up),
        ],
        "credits": [dated(desk.credit(), "access_schedule", trial)],
        "recurring_commits": [with(&monthly, "/ending_before", json!("2026-08-28T05:00:00Z"))],
        "recurring_credits": [calls],
        "overrides": [
            rule(&json!({ "commit_ids": ["year"], "recurring_commit_ids": ["monthly"] })),
            rule(&json!({ "product_id": desk.world.product, "any_commit_or_credit_ids": ["monthly", "year"] })),
        ],
    })
}

#[tokio::test]
async fn a_contract_of_a_package_is_the_contract_that_says_the_same() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let (of_package, mut contract) = desk.sign("acct-2", &desk.package()).await;
    let own = api.customer("acct-2-own").await;
    let same = api.post(SIGN, with(&written_out(&desk), "/customer_id", json!(own))).await.data();
    contract.as_object_mut().expect("a contract").remove("package_id");
    assert_eq!(anonymous(&contract), anonymous(&same["contract"]));
    // Beside them stand those that the recurring one made.
    let commits = contract["commits"].as_array().expect("commits").iter();
    let by_hand: Vec<&Value> = commits.filter(|one| one.get("recurring_commit_id").is_none()).collect();
    let [year, promise] = by_hand[..] else { panic!("two commits of the package: {by_hand:?}") };
    assert_eq!(segments(year), ["2026-01-31..2026-02-28 400", "2026-02-28..2026-05-28 600"]);
    assert_eq!(
        (&promise["type"], segments(promise)),
        (&json!("POSTPAID"), vec!["2026-01-31..2027-01-31 5000".to_owned()])
    );
    assert_eq!(contract["overrides"][0]["override_specifiers"][0]["commit_ids"], json!([year["id"]]));

    // And so it is billed, with what is drawn, paid and made anew, until long after its end.
    for now in [NOW, "2026-04-02T00:00:00Z", "2027-03-05T00:00:00Z"] {
        api.move_clock(now).await;
        for alias in ["acct-2", "acct-2-own"] {
            api.event(alias, now, json!({ "model": "small", "tokens": 100 })).await;
        }
        let mut told = Vec::new();
        for customer in [&of_package, &own] {
            let invoices = api.get(&format!("/v1/customers/{customer}/invoices?limit=100")).await.data();
            let body = json!({
                "customer_id": customer, "include_contract_balances": true, "include_ledgers": true,
                "include_balance": true, "include_archived": true,
            });
            let balances = api.post("/v1/contracts/customerBalances/list", body).await.data();
            let mut all = json!({ "invoices": invoices, "balances": balances });
            // Where ids decide the order they do so by chance.
            for invoice in all["invoices"].as_array_mut().expect("invoices") {
                by_content(&mut invoice["line_items"]);
            }
            by_content(&mut all["invoices"]);
            by_content(&mut all["balances"]);
            told.push(all);
        }
        assert_eq!(anonymous(&told[0]), anonymous(&told[1]), "at {now}");
    }
    let march = api.invoice(&of_package, "2026-03-01").await;
    assert!(
        lines(&march).iter().any(|line| line.contains(" × 1.5 = ")),
        "half of the price: {:?}",
        lines(&march)
    );
}

#[tokio::test]
async fn what_lies_beyond_the_end_of_the_contract_is_cut_or_left_out() {
    let desk = Desk::new().await;
    let fee = &desk.world.fee;
    let granted = |name: &str, segments: &[(i64, Value, Value)]| json!({ "product_id": fee, "name": name, "access_schedule": access(segments) });
    let commit = |name: &str, segment: (i64, Value, Value), payment: (i64, Value)| {
        let body = with(&granted(name, &[segment]), "/invoice_schedule", paid(&[payment]));
        with(&with(&body, "/type", json!("PREPAID")), "/temporary_id", json!(name))
    };
    let mut promise = desk.postpaid();
    promise["name"] = json!("Promise");
    let recurring = |name: &str, offset: i64, duration: i64| {
        let body = with(&desk.recurring_commit(), "/starting_at_offset", months(offset));
        let body = with(&with(&body, "/duration", months(duration)), "/name", json!(name));
        with(&body, "/temporary_id", json!(name))
    };
    let package = json!({
        "name": "Short", "rate_card_id": desk.world.card, "duration": months(3),
        "commits": [
            commit("Paid late", (100, months(0), months(3)), (90, months(5))),
            commit("Never", (1000, length(1, "YEARS"), months(1)), (700, length(0, "DAYS"))),
            promise,
        ],
        "credits": [
            granted("Cut", &[(20, months(3), months(1)), (10, months(2), months(6))]),
            granted("None", &[(30, months(3), length(1, "DAYS"))]),
        ],
        "recurring_commits": [recurring("Beyond", 3, 1), recurring("Long", 1, 12)],
        "overrides": [
            half(&json!({ "commit_ids": ["Never"] })),
            half(&json!({ "commit_ids": ["Never", "Paid late"] })),
            half(&json!({ "recurring_commit_ids": ["Beyond"], "commit_ids": ["Never"] })),
            half(&json!({ "any_commit_or_credit_ids": ["Never", "Long"] })),
        ],
    });
    let (customer, contract) = desk.sign("acct-2", &package).await;
    // The 31st of April is the 30th.
    assert_eq!(contract["ending_before"], "2026-04-30T05:00:00Z");
    let made = |list: &str| {
        let list = contract[list].as_array().expect("a list").iter();
        list.filter(|one| one.get("recurring_commit_id").is_none()).cloned().collect::<Value>()
    };
    let (commits, credits) = (made("commits"), made("credits"));
    assert_eq!(names(&commits), ["Paid late", "Promise"]);
    assert_eq!(segments(&commits[0]), ["2026-01-31..2026-04-30 100"]);
    let payments = |commit: &Value| {
        let items = commit["invoice_schedule"]["schedule_items"].as_array().expect("payments").iter();
        items
            .map(|item| format!("{} {}", item["timestamp"].as_str().expect("a date"), item["amount"]))
            .collect::<Vec<_>>()
    };
    // Payments are kept as those of charges are.
    assert_eq!(payments(&commits[0]), ["2026-06-30T05:00:00Z 90"]);
    assert_eq!(segments(&commits[1]), ["2026-01-31..2027-01-31 5000"]);
    assert_eq!(payments(&commits[1]), ["2027-01-31T05:00:00Z 5000"]);
    assert_eq!(names(&credits), ["Cut"]);
    assert_eq!(segments(&credits[0]), ["2026-03-31..2026-04-30 10"]);
    let recurring = &contract["recurring_commits"];
    assert_eq!(names(recurring), ["Long"]);
    assert_eq!(
        (&recurring[0]["starting_at"], &recurring[0]["ending_before"]),
        (&json!("2026-02-28T05:00:00Z"), &contract["ending_before"])
    );
    let named: Vec<&Value> = contract["overrides"]
        .as_array()
        .expect("overrides")
        .iter()
        .map(|one| &one["override_specifiers"])
        .collect();
    let paid_late = json!([{ "commit_ids": [commits[0]["id"]] }]);
    let long = json!([{ "any_commit_or_credit_ids": [recurring[0]["id"]] }]);
    assert_eq!(named, [&paid_late, &long], "one that would be about everything else is left out");
    // Nothing is paid for what can never be drawn.
    let invoices =
        desk.api.get(&format!("/v1/customers/{customer}/invoices?type=SCHEDULED&limit=100")).await.data();
    let charged = invoices.as_array().expect("invoices").iter().flat_map(lines).collect::<Vec<_>>();
    assert!(charged.iter().any(|line| line.starts_with("Paid late ")), "{charged:?}");
    assert!(!charged.iter().any(|line| line.starts_with("Never ")), "{charged:?}");
    // What is short of the promise is billed as the contract ends, which cuts it.
    let at_the_end = |invoice: &&Value| invoice["start_timestamp"] == "2026-04-30T05:00:00+00:00";
    let true_up = invoices.as_array().expect("invoices").iter().find(at_the_end).expect("the true-up");
    assert_eq!(true_up["total"], 5000);
}

#[tokio::test]
async fn whether_a_true_up_falls_after_access_may_depend_on_the_start() {
    let desk = Desk::new().await;
    let mut promise = desk.postpaid();
    promise["access_schedule"] = access(&[(5000, length(0, "DAYS"), months(1))]);
    promise["invoice_schedule"] = paid(&[(5000, length(30, "DAYS"))]);
    let package = json!({ "name": "Promise", "rate_card_id": desk.world.card, "commits": [promise] });
    let package = desk.api.post(CREATE, package).await.id();
    let start =
        |at: &str| json!({ "customer_id": desk.world.customer, "starting_at": at, "package_id": package });
    let refused = desk.api.post(SIGN, start("2026-01-01T00:00:00Z")).await;
    refused.refused(
        400,
        &["commits[0].invoice_schedule: the true-up of a POSTPAID commit must not be dated before"],
    );
    desk.api.post(SIGN, start("2026-02-01T00:00:00Z")).await.id();
}

#[tokio::test]
async fn custom_fields_are_copied_to_what_a_contract_has() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let key = async |entity: &str| {
        let body = json!({ "entity": entity, "key": "kind", "enforce_uniqueness": false });
        assert_eq!(api.post("/v1/customFields/addKey", body).await.status, 200);
    };
    key("package_commit").await;
    key("package_credit").await;
    let mut package = desk.package();
    package["commits"][1]["custom_fields"] = json!({ "kind": "promise" });
    package["credits"][0]["custom_fields"] = json!({ "kind": "trial" });
    let package = api.post(CREATE, package).await.id();
    let shown = desk.shown(&package).await;
    let fields = |whole: &Value| {
        ["commits", "credits"].map(|list| {
            let list = whole[list].as_array().expect("a list").iter();
            list.map(|one| one["custom_fields"].clone()).collect::<Value>()
        })
    };
    let expected = [json!([{}, { "kind": "promise" }]), json!([{ "kind": "trial" }])];
    assert_eq!(fields(&shown), expected);
    let body = json!({ "customer_id": desk.world.customer, "starting_at": "2026-12-01T00:00:00Z", "package_id": package });
    // The keys must be those of a contract's as well.
    api.post(SIGN, body.clone())
        .await
        .refused(400, &["commits[1].custom_fields.kind: is not a custom field key of commit"]);
    key("commit").await;
    api.post(SIGN, body.clone()).await.refused(400, &["credits[0].custom_fields.kind:"]);
    key("contract_credit").await;
    let contract = api.post(SIGN, body).await.data()["contract"].clone();
    let made = |list: &str| {
        let list = contract[list].as_array().expect("a list").iter();
        let by_hand =
            list.filter(|one| one.get("recurring_commit_id").or(one.get("recurring_credit_id")).is_none());
        by_hand.map(|one| one["custom_fields"].clone()).collect::<Value>()
    };
    assert_eq!([made("commits"), made("credits")], expected);
    // Those of the package's never change.
    for (entity, id) in
        [("package_commit", &shown["commits"][1]["id"]), ("package_credit", &shown["credits"][0]["id"])]
    {
        let set =
            |id: &Value| json!({ "entity": entity, "entity_id": id, "custom_fields": { "kind": "other" } });
        api.post("/v1/customFields/setValues", set(id)).await.refused(400, &["entity: ", "fixed"]);
        api.post("/v1/customFields/setValues", set(&json!(NOBODY))).await.refused(404, &[entity]);
    }
    let other =
        json!({ "entity": "package_commit", "entity_id": shown["credits"][0]["id"], "custom_fields": {} });
    api.post("/v1/customFields/setValues", other).await.refused(404, &["package_commit"]);
}

#[tokio::test]
async fn what_a_package_names_is_looked_up_again_for_each_contract() {
    let desk = Desk::new().await;
    let api = &desk.api;
    for list in ["credits", "recurring_credits"] {
        let product = api.fixed_product("Grant").await;
        let mut grant = if list == "credits" { desk.credit() } else { desk.recurring_credit() };
        grant["product_id"] = json!(product);
        let package = json!({ "name": "a", "rate_card_id": desk.world.card, list: [grant] });
        let package = api.post(CREATE, package).await.id();
        let archive = json!({ "product_id": product });
        api.post("/v1/contract-pricing/products/archive", archive).await.data();
        let body = json!({ "customer_id": desk.world.customer, "starting_at": START, "package_id": package });
        api.post(SIGN, body).await.refused(400, &[&format!("{list}[0].product_id: the product is archived")]);
    }
}

#[tokio::test]
async fn payments_count_together_with_those_of_charges() {
    let desk = Desk::new().await;
    let items =
        |count: usize| vec![json!({ "unit_price": 1, "quantity": 1, "date_offset": months(0) }); count];
    let package = |payments: usize| {
        let mut package = desk.package();
        package["scheduled_charges"] =
            json!([{ "product_id": desk.world.fee, "schedule": { "schedule_items": items(9_990) } }]);
        package["commits"][0]["invoice_schedule"]["schedule_items"] = json!(items(payments));
        package
    };
    // The promise has one, too.
    let path = "commits[1].invoice_schedule.schedule_items: with it the package has more than 10000 scheduled payments";
    refuse(&desk.api, CREATE, vec![(package(10), path)]).await;
    desk.api.post(CREATE, package(9)).await.id();
}

#[tokio::test]
async fn dates_after_the_year_9999_are_refused_for_the_start() {
    let desk = Desk::new().await;
    let ages = || length(9000, "YEARS");
    let mut late_payment = desk.prepaid();
    late_payment["invoice_schedule"] = paid(&[(1, ages())]);
    for (list, grant, term) in [
        (
            "credits",
            with(&desk.credit(), "/access_schedule", access(&[(1, months(0), ages())])),
            "credits[0].access_schedule.schedule_items[0].duration",
        ),
        ("commits", late_payment, "commits[0].invoice_schedule.schedule_items[0].date_offset"),
        (
            "recurring_credits",
            with(&desk.recurring_credit(), "/starting_at_offset", ages()),
            "recurring_credits[0].starting_at_offset",
        ),
    ] {
        let package = desk.api.post(CREATE, json!({ "name": "a", list: [grant] })).await.id();
        let body = json!({ "customer_id": desk.world.customer, "starting_at": START, "package_id": package });
        desk.api.post(SIGN, body).await.refused(400, &["starting_at: ", term, "9999"]);
    }
}
