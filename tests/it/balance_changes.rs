//! Changes of commits and credits that make no sense, each refused by the field that is wrong (reference: credits and
//! commits, sections 8.4 and 10).

use serde_json::{Value, json};

use crate::support::Api;
use crate::world::{World, refuse, with, without};

const ENTRY: &str = "/v1/contracts/addManualBalanceLedgerEntry";
const END_COMMIT: &str = "/v1/contracts/customerCommits/updateEndDate";
const END_CREDIT: &str = "/v1/contracts/customerCredits/updateEndDate";
const EDIT: &str = "/v2/contracts/commits/edit";
const EDIT_CREDIT: &str = "/v2/contracts/credits/edit";
const ARCHIVE: &str = "/v2/contracts/commits/archive";
const ARCHIVE_CREDIT: &str = "/v2/contracts/credits/archive";
const DISABLE: &str = "/v1/contracts/commits/disableTrueup";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// A customer whose tokens cost 3 each, on a contract from March on; it is 10 March.
struct Desk {
    api: Api,
    world: World,
}

fn access(segments: &[(&str, &str, i64)]) -> Value {
    let item = |(start, end, amount): &(&str, &str, i64)| {
        json!({
            "amount": amount, "starting_at": format!("{start}T00:00:00Z"), "ending_before": format!("{end}T00:00:00Z"),
        })
    };
    json!({ "schedule_items": segments.iter().map(item).collect::<Vec<_>>() })
}

fn payment(day: &str, amount: i64) -> Value {
    json!({ "schedule_items": [{ "timestamp": format!("{day}T00:00:00Z"), "amount": amount }] })
}

/// An object with the members of another.
fn merged(one: &Value, other: &Value) -> Value {
    let mut merged = one.clone();
    merged.as_object_mut().expect("an object").extend(other.as_object().expect("an object").clone());
    merged
}

impl Desk {
    async fn new() -> Self {
        let api = Api::at("2026-03-10T12:00:00Z").await;
        let world = World::new(&api).await;
        Self { api, world }
    }

    fn grant(&self, segments: &[(&str, &str, i64)]) -> Value {
        json!({ "product_id": self.world.fee, "priority": 1, "access_schedule": access(segments) })
    }

    fn prepaid(&self, segments: &[(&str, &str, i64)]) -> Value {
        with(&self.grant(segments), "/type", json!("PREPAID"))
    }

    /// A promise for March and April, which is billed on the world's contract.
    fn promise(&self) -> Value {
        let more = json!({
            "type": "POSTPAID", "invoice_contract_id": self.world.contract,
            "invoice_schedule": payment("2026-05-01", 1000),
        });
        merged(&self.grant(&[("2026-03-01", "2026-05-01", 1000)]), &more)
    }

    async fn commit(&self, terms: &Value) -> String {
        let body = with(terms, "/customer_id", json!(self.world.customer));
        self.api.post("/v1/contracts/customerCommits/create", body).await.id()
    }

    async fn credit(&self, terms: &Value) -> String {
        let body = with(terms, "/customer_id", json!(self.world.customer));
        self.api.post("/v1/contracts/customerCredits/create", body).await.id()
    }

    /// A contract of its own with terms; answers it as v2 shows it.
    async fn contract(&self, terms: &Value) -> Value {
        let body = json!({ "customer_id": self.world.customer, "starting_at": "2026-03-01T00:00:00Z" });
        self.api.post("/v1/contracts/create", merged(&body, terms)).await.data()["contract"].clone()
    }

    /// A request about the customer, with fields.
    fn about(&self, fields: Value) -> Value {
        with(&fields, "/customer_id", json!(self.world.customer))
    }

    async fn seen(&self, id: &str) -> Value {
        let request = self.about(json!({
            "id": id, "include_ledgers": true, "include_balance": true, "include_contract_balances": true,
            "include_archived": true,
        }));
        self.api.post("/v1/contracts/customerBalances/list", request).await.data()[0].clone()
    }

    async fn segment(&self, id: &str, index: usize) -> Value {
        self.seen(id).await["access_schedule"]["schedule_items"][index]["id"].clone()
    }

    /// Usage that costs so many cents.
    async fn spend(&self, day: &str, cents: i64) {
        let properties = json!({ "tokens": cents / 3, "model": "small" });
        self.api.event("acct-1", &format!("{day}T05:00:00Z"), properties).await;
    }

    /// That an operation of v2 answers 400 with this code for the request.
    async fn coded(&self, path: &str, body: Value, code: &str, part: &str) {
        let answer = self.api.post(path, body).await;
        answer.refused(400, &[part]);
        assert_eq!(answer.body["code"], code, "{path}");
    }
}

const SPRING: (&str, &str) = ("2026-03-01", "2026-05-01");

#[tokio::test]
async fn an_end_that_makes_no_sense() {
    let desk = Desk::new().await;
    let commit = desk
        .commit(&desk.prepaid(&[("2026-03-01", "2026-04-01", 600), ("2026-04-01", "2026-06-01", 300)]))
        .await;
    let credit = desk.credit(&desk.grant(&[(SPRING.0, SPRING.1, 100)])).await;
    let at = |path: &str, id: &str, end: &str| {
        let field = if path == END_COMMIT { "commit_id" } else { "credit_id" };
        let mut body = desk.about(json!({ "access_ending_before": end }));
        body[field] = json!(id);
        body
    };
    let (good, late) = ("2026-04-10T00:00:00Z", "2026-08-01T00:00:00Z");
    let before = (desk.seen(&commit).await, desk.seen(&credit).await);
    for (path, id, kind, other) in
        [(END_COMMIT, &commit, "commit", &credit), (END_CREDIT, &credit, "credit", &commit)]
    {
        let end = at(path, id, good);
        let ends = |end: &str| at(path, id, end);
        let id_field = format!("{kind}_id");
        refuse(
            &desk.api,
            path,
            vec![
                (without(&end, "/customer_id"), "missing field `customer_id`"),
                (without(&end, &format!("/{id_field}")), &format!("missing field `{id_field}`")),
                (without(&end, "/access_ending_before"), "access_ending_before"),
                (ends(late), "access_ending_before: is later than the end that it has"),
                (ends("2026-03-01T00:00:00Z"), "access_ending_before: must be after the start"),
                (ends("2026-04-10T00:00:30Z"), "access_ending_before: must be on an hour"),
            ],
        )
        .await;
        for (field, id) in [("customer_id", NOBODY), (id_field.as_str(), NOBODY), (id_field.as_str(), other)]
        {
            let part = field.trim_end_matches("_id");
            let body = with(&end, &format!("/{field}"), json!(id));
            desk.api.post(path, body).await.refused(404, &[part, id]);
        }
    }
    let drop_payments = desk.about(json!({ "commit_id": commit, "invoices_ending_before": "soon" }));
    refuse(&desk.api, END_COMMIT, vec![(drop_payments, "invoices_ending_before: ")]).await;
    let promise = desk.commit(&desk.promise()).await;
    refuse(&desk.api, END_COMMIT, vec![(at(END_COMMIT, &promise, good), "commit_id: only a PREPAID")]).await;
    assert_eq!((desk.seen(&commit).await, desk.seen(&credit).await), before);

    // The credit, which ends first, pays for 100 of it, and the second segment of the commit for the rest.
    desk.api.move_clock("2026-04-10T00:00:00Z").await;
    desk.spend("2026-04-09", 300).await;
    desk.api.move_clock("2026-05-05T00:00:00Z").await;
    let part = "access_ending_before: a finalized invoice drew a segment";
    refuse(&desk.api, END_COMMIT, vec![(at(END_COMMIT, &commit, "2026-04-01T00:00:00Z"), part)]).await;
    desk.api.post(END_COMMIT, at(END_COMMIT, &commit, "2026-05-01T00:00:00Z")).await.id();

    let unused = desk.credit(&desk.grant(&[(SPRING.0, SPRING.1, 100)])).await;
    desk.api.post(ARCHIVE_CREDIT, desk.about(json!({ "credit_id": unused }))).await.id();
    let part = "credit_id: the credit is archived";
    refuse(&desk.api, END_CREDIT, vec![(at(END_CREDIT, &unused, good), part)]).await;
}

/// The schedules of a prepaid commit that is a customer's own.
#[tokio::test]
async fn an_edit_of_schedules_that_makes_no_sense() {
    let desk = Desk::new().await;
    let commit = desk.commit(&desk.prepaid(&[(SPRING.0, SPRING.1, 1000)])).await;
    let segment = desk.segment(&commit, 0).await;
    let edit = |fields: Value| desk.about(with(&fields, "/commit_id", json!(commit)));
    let access = |word: &str, items: Value| edit(json!({ "access_schedule": { word: items } }));
    let paid = |word: &str, items: Value| edit(json!({ "invoice_schedule": { word: items } }));
    let new = json!({ "amount": 5, "starting_at": "2026-06-01T00:00:00Z", "ending_before": "2026-07-01T00:00:00Z" });
    let added = |field: &str, value: Value| {
        access("add_schedule_items", json!([new, with(&new, &format!("/{field}"), value)]))
    };
    let on = |more: Value| merged(&json!({ "timestamp": "2026-06-01T00:00:00Z" }), &more);
    let (first, second) = ("access_schedule.add_schedule_items[0]", "access_schedule.add_schedule_items[1]");
    let payment = "invoice_schedule.add_schedule_items[0]";
    let cases = [
        (
            access("add_schedule_items", json!([without(&new, "/amount")])),
            format!("{first}: missing field `amount`"),
        ),
        (added("amount", json!(-1)), format!("{second}.amount: must not be negative")),
        (added("amount", json!("5")), format!("{second}.amount: ")),
        (
            added("starting_at", json!("2026-06-01T00:30:00Z")),
            format!("{second}.starting_at: must be on an hour"),
        ),
        (
            added("ending_before", json!("2026-06-01T00:00:00Z")),
            format!("{second}.ending_before: must be after starting_at"),
        ),
        (
            access(
                "update_schedule_items",
                json!([{ "id": segment, "starting_at": "2026-03-01T00:00:01Z" }]),
            ),
            "access_schedule.update_schedule_items[0].starting_at: must be on an hour".to_owned(),
        ),
        (
            access("update_schedule_items", json!([{ "amount": 1 }])),
            "access_schedule.update_schedule_items[0]: missing field `id`".to_owned(),
        ),
        (
            access("remove_schedule_items", json!([{ "id": NOBODY }])),
            "access_schedule.remove_schedule_items[0].id: is none of its schedule".to_owned(),
        ),
        (
            access("remove_schedule_items", json!([{ "id": segment }])),
            "access_schedule: one segment must be left".to_owned(),
        ),
        (paid("add_schedule_items", json!([on(json!({}))])), format!("{payment}.amount: ")),
        (
            paid("add_schedule_items", json!([on(json!({ "amount": 1, "quantity": 1 }))])),
            format!("{payment}.amount: cannot be combined"),
        ),
        (
            paid("add_schedule_items", json!([on(json!({ "unit_price": 1 }))])),
            format!("{payment}.quantity: is required"),
        ),
        (
            paid("add_schedule_items", json!([on(json!({ "quantity": 1 }))])),
            format!("{payment}.unit_price: is required"),
        ),
        (
            paid("add_schedule_items", json!([on(json!({ "amount": -1 }))])),
            format!("{payment}: must not be negative"),
        ),
        (
            paid("add_schedule_items", json!([on(json!({ "amount": 1 }))])),
            "invoice_contract_id: is required with an invoice_schedule".to_owned(),
        ),
        (
            paid("remove_schedule_items", json!([{ "id": NOBODY }])),
            "invoice_schedule.remove_schedule_items[0].id: is none of its schedule".to_owned(),
        ),
        (
            paid("update_schedule_items", json!([{ "id": NOBODY, "amount": 1 }])),
            "invoice_schedule.update_schedule_items[0].id: is none of its schedule".to_owned(),
        ),
    ];
    let before = desk.seen(&commit).await;
    for (body, part) in cases {
        desk.coded(EDIT, body, "BadRequest", &part).await;
    }
    assert_eq!(desk.seen(&commit).await, before, "a refusal leaves everything as it was");
}

/// What a commit of a customer, one of a contract, a promise and a credit are edited to.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of refusals")]
async fn an_edit_to_what_could_not_be_made() {
    let desk = Desk::new().await;
    let world = &desk.world;
    let commit = desk.commit(&desk.prepaid(&[(SPRING.0, SPRING.1, 1000)])).await;
    let credit = desk.credit(&desk.grant(&[(SPRING.0, SPRING.1, 100)])).await;
    let promise = desk.commit(&desk.promise()).await;
    let terms = json!({
        "commits": [desk.prepaid(&[(SPRING.0, SPRING.1, 50)])], "credits": [desk.grant(&[(SPRING.0, SPRING.1, 5)])],
    });
    let own = desk.contract(&terms).await;
    let other = desk.api.customer("acct-2").await;
    let foreign = json!({ "customer_id": other, "starting_at": "2026-03-01T00:00:00Z" });
    let foreign = desk.api.post("/v1/contracts/create", foreign).await.id();
    let of = |id: &Value, fields: Value| desk.about(with(&fields, "/commit_id", id.clone()));
    let of_credit = |id: &Value, fields: Value| desk.about(with(&fields, "/credit_id", id.clone()));
    let before = (desk.seen(&commit).await, desk.seen(&promise).await, desk.seen(&credit).await);

    // What both take.
    let both = vec![
        (json!({ "name": "" }), "name: must not be empty".to_owned()),
        (json!({ "rate_type": "OTHER" }), "rate_type: ".to_owned()),
        (json!({ "priority": "1" }), "priority: ".to_owned()),
        (json!({ "product_id": world.product }), "product_id: must be a FIXED product".to_owned()),
        (json!({ "product_id": NOBODY }), format!("product_id: product {NOBODY}")),
        (
            json!({ "applicable_product_ids": [world.product, NOBODY] }),
            format!("applicable_product_ids[1]: product {NOBODY}"),
        ),
        (json!({ "specifiers": [{}] }), "specifiers[0]: is empty".to_owned()),
        (
            json!({ "specifiers": [{ "product_id": NOBODY }] }),
            format!("specifiers[0].product_id: product {NOBODY}"),
        ),
        (
            json!({ "specifiers": [{ "product_tags": ["a"] }], "applicable_product_ids": [world.product] }),
            "specifiers: cannot be combined".to_owned(),
        ),
        (
            json!({ "applicable_contract_ids": [world.contract, foreign] }),
            format!("applicable_contract_ids[1]: contract {foreign}"),
        ),
        (
            json!({ "hierarchy_configuration": { "child_access": { "type": "ALL" } } }),
            "hierarchy_configuration: is not supported".to_owned(),
        ),
        (
            json!({ "access_schedule": { "remove_schedule_items": [{ "id": NOBODY }] } }),
            "access_schedule.remove_schedule_items[0].id: is none".to_owned(),
        ),
    ];
    for (fields, part) in both {
        desk.coded(EDIT, of(&json!(commit), fields.clone()), "BadRequest", &part).await;
        desk.coded(EDIT_CREDIT, of_credit(&json!(credit), fields), "BadRequest", &part).await;
    }
    let part = format!("invoice_contract_id: contract {foreign}");
    desk.coded(EDIT, of(&json!(commit), json!({ "invoice_contract_id": foreign })), "BadRequest", &part)
        .await;

    // A promise stays of one amount over one time, billed once and after it.
    let (segment, payment) = {
        let seen = &before.1;
        (
            seen["access_schedule"]["schedule_items"][0]["id"].clone(),
            seen["invoice_schedule"]["schedule_items"][0]["id"].clone(),
        )
    };
    let access = |word: &str, item: Value| json!({ "access_schedule": { word: [item] } });
    let paid = |word: &str, item: Value| json!({ "invoice_schedule": { word: [item] } });
    let new = json!({ "amount": 5, "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z" });
    for (fields, part) in [
        (access("add_schedule_items", new), "access_schedule: a POSTPAID commit has one segment"),
        (
            access("update_schedule_items", json!({ "id": segment, "amount": 999 })),
            "invoice_schedule: the amount of a POSTPAID commit must be that",
        ),
        (
            paid("update_schedule_items", json!({ "id": payment, "amount": 999 })),
            "invoice_schedule: the amount of a POSTPAID commit must be that",
        ),
        (
            access(
                "update_schedule_items",
                json!({ "id": segment, "ending_before": "2026-05-01T01:00:00Z" }),
            ),
            "invoice_schedule: the true-up of a POSTPAID commit must not be dated before",
        ),
        (
            paid("update_schedule_items", json!({ "id": payment, "timestamp": "2026-04-30T23:59:59Z" })),
            "invoice_schedule: the true-up of a POSTPAID commit must not be dated before",
        ),
        (
            paid("remove_schedule_items", json!({ "id": payment })),
            "invoice_schedule: a POSTPAID commit keeps its payment",
        ),
        (
            paid("add_schedule_items", json!({ "timestamp": "2026-06-01T00:00:00Z", "amount": 1 })),
            "invoice_schedule: a POSTPAID commit has one payment",
        ),
        (
            json!({ "applicable_contract_ids": [world.contract] }),
            "applicable_contract_ids: cannot be changed of a POSTPAID commit",
        ),
    ] {
        desk.coded(EDIT, of(&json!(promise), fields), "BadRequest", part).await;
    }

    // What is a contract's own is drawn by that contract and billed on it.
    let (own_commit, own_credit) = (&own["commits"][0]["id"], &own["credits"][0]["id"]);
    let part = "applicable_contract_ids: is for what is a customer's own";
    for value in [json!([world.contract]), Value::Null] {
        let fields = json!({ "applicable_contract_ids": value });
        desk.coded(EDIT, of(own_commit, fields.clone()), "BadRequest", part).await;
        desk.coded(EDIT_CREDIT, of_credit(own_credit, fields), "BadRequest", part).await;
    }
    let billed = json!({ "invoice_contract_id": world.contract });
    let part = "invoice_contract_id: is for the commits of a customer";
    desk.coded(EDIT, of(own_commit, billed), "BadRequest", part).await;

    // Whose they are.
    let name = || json!({ "name": "x" });
    let nobodys = |body: Value| with(&body, "/customer_id", json!(NOBODY));
    desk.coded(EDIT, nobodys(of(&json!(commit), name())), "CustomerNotFound", NOBODY).await;
    desk.coded(EDIT_CREDIT, nobodys(of_credit(&json!(credit), name())), "CustomerNotFound", NOBODY).await;
    for id in [NOBODY, credit.as_str()] {
        desk.coded(EDIT, of(&json!(id), name()), "BadRequest", &format!("commit_id: commit {id}")).await;
    }
    for id in [NOBODY, commit.as_str()] {
        let part = format!("credit_id: credit {id}");
        desk.coded(EDIT_CREDIT, of_credit(&json!(id), name()), "BadRequest", &part).await;
    }
    assert_eq!((desk.seen(&commit).await, desk.seen(&promise).await, desk.seen(&credit).await), before);

    desk.api.post(ARCHIVE, desk.about(json!({ "commit_id": commit }))).await.id();
    desk.api.post(ARCHIVE_CREDIT, desk.about(json!({ "credit_id": credit }))).await.id();
    desk.coded(EDIT, of(&json!(commit), name()), "BadRequest", "commit_id: the commit is archived").await;
    let part = "credit_id: the credit is archived";
    desk.coded(EDIT_CREDIT, of_credit(&json!(credit), name()), "BadRequest", part).await;
}

#[tokio::test]
async fn what_invoices_hold_is_void_before_it_is_taken_back() {
    let desk = Desk::new().await;
    let bought = merged(
        &desk.prepaid(&[(SPRING.0, SPRING.1, 30)]),
        &json!({ "invoice_contract_id": desk.world.contract, "invoice_schedule": payment("2026-03-10", 25) }),
    );
    let commit = desk.commit(&bought).await;
    let credit = desk.credit(&with(&desk.grant(&[(SPRING.0, SPRING.1, 60)]), "/priority", json!(0))).await;
    desk.api.work().await;
    let seen = desk.seen(&commit).await;
    let item = &seen["invoice_schedule"]["schedule_items"][0];
    assert!(item["invoice_id"].is_string(), "{seen}");
    let (of_commit, of_credit) =
        (desk.about(json!({ "commit_id": commit })), desk.about(json!({ "credit_id": credit })));
    let remove = json!({ "invoice_schedule": { "remove_schedule_items": [{ "id": item["id"] }] } });
    let remove = merged(&of_commit, &remove);
    let held = "invoice_schedule.remove_schedule_items[0].id: this payment is on an invoice";
    desk.coded(EDIT, remove.clone(), "BadRequest", held).await;
    desk.coded(ARCHIVE, of_commit.clone(), "BadRequest", "commit_id: a payment for it is on a finalized")
        .await;
    desk.api.post("/v1/invoices/void", json!({ "id": item["invoice_id"] })).await.id();
    desk.coded(EDIT, remove, "BadRequest", held).await;

    desk.spend("2026-03-10", 90).await;
    desk.api.move_clock("2026-04-05T00:00:00Z").await;
    assert_eq!(
        (&desk.seen(&commit).await["balance"], &desk.seen(&credit).await["balance"]),
        (&json!(0), &json!(0))
    );
    desk.coded(ARCHIVE, of_commit.clone(), "BadRequest", "commit_id: a finalized invoice drew it").await;
    desk.coded(ARCHIVE_CREDIT, of_credit.clone(), "BadRequest", "credit_id: a finalized invoice drew it")
        .await;
    let march = desk.api.invoice(&desk.world.customer, "2026-03-01").await;
    desk.api.post("/v1/invoices/void", json!({ "id": march["id"] })).await.id();

    for (path, body, field) in [(ARCHIVE, of_commit, "commit"), (ARCHIVE_CREDIT, of_credit, "credit")] {
        let id_field = format!("{field}_id");
        desk.coded(path, with(&body, "/customer_id", json!(NOBODY)), "CustomerNotFound", NOBODY).await;
        for id in [NOBODY, if field == "commit" { &credit } else { &commit }] {
            let part = format!("{id_field}: {field} {id}");
            desk.coded(path, with(&body, &format!("/{id_field}"), json!(id)), "BadRequest", &part).await;
        }
        let part = format!("missing field `{id_field}`");
        desk.coded(path, without(&body, &format!("/{id_field}")), "BadRequest", &part).await;
        desk.api.post(path, body.clone()).await.id();
        let part = format!("{id_field}: the {field} is archived already");
        desk.coded(path, body, "BadRequest", &part).await;
    }
}

#[tokio::test]
async fn an_entry_that_names_nothing_or_not_enough() {
    let desk = Desk::new().await;
    let commit = desk.commit(&desk.prepaid(&[(SPRING.0, SPRING.1, 100)])).await;
    let other = desk.credit(&desk.grant(&[(SPRING.0, SPRING.1, 100)])).await;
    let terms = json!({
        "ending_before": "2026-04-01T00:00:00Z",
        "commits": [desk.prepaid(&[("2026-03-01", "2026-04-01", 5), ("2026-05-01", "2026-06-01", 5)])],
    });
    let own = desk.contract(&terms).await;
    let (own, contract) = (&own["commits"][0], &own["id"]);
    let entry = desk.about(json!({
        "id": commit, "segment_id": desk.segment(&commit, 0).await, "amount": 5, "reason": "Goodwill",
    }));
    for field in ["customer_id", "id", "segment_id", "amount", "reason"] {
        let part = format!("missing field `{field}`");
        refuse(&desk.api, ENTRY, vec![(without(&entry, &format!("/{field}")), &part)]).await;
    }
    let set = |field: &str, value: Value| with(&entry, &format!("/{field}"), value);
    refuse(
        &desk.api,
        ENTRY,
        vec![
            (set("reason", json!("")), "reason: must not be empty"),
            (set("timestamp", json!("soon")), "timestamp: "),
            (set("uniqueness_key", json!("")), "uniqueness_key: must have 1 to 128"),
            (set("uniqueness_key", json!("x".repeat(129))), "uniqueness_key: must have 1 to 128"),
        ],
    )
    .await;
    let others = desk.segment(&other, 0).await;
    let part = format!("segment {}", others.as_str().expect("an id"));
    desk.api.post(ENTRY, set("segment_id", others)).await.refused(404, &[&part]);
    // A customer's own is none of a contract, and a contract's is none of another one.
    desk.api.post(ENTRY, set("contract_id", json!(desk.world.contract))).await.refused(404, &["contract"]);
    let items = &own["access_schedule"]["schedule_items"];
    let of_contract = merged(&entry, &json!({ "id": own["id"], "segment_id": items[0]["id"] }));
    let elsewhere = with(&of_contract, "/contract_id", json!(desk.world.contract));
    desk.api.post(ENTRY, elsewhere).await.refused(404, &["contract", &desk.world.contract]);
    let of_contract = with(&of_contract, "/contract_id", contract.clone());
    let never = with(&of_contract, "/segment_id", items[1]["id"].clone());
    refuse(&desk.api, ENTRY, vec![(never, "segment_id: the contract ends before")]).await;
    assert_eq!(desk.api.post(ENTRY, of_contract).await.status, 200);
    assert_eq!(desk.seen(&commit).await["balance"], json!(100), "nothing of the others was kept");
}

#[tokio::test]
async fn a_true_up_that_is_not_there_to_be_disabled() {
    let desk = Desk::new().await;
    let promise = desk.commit(&desk.promise()).await;
    let credit = desk.credit(&desk.grant(&[(SPRING.0, SPRING.1, 100)])).await;
    let other = desk.contract(&json!({})).await;
    let good = desk.about(json!({ "commit_id": promise, "contract_id": desk.world.contract }));
    for field in ["customer_id", "commit_id", "contract_id"] {
        let part = format!("missing field `{field}`");
        refuse(&desk.api, DISABLE, vec![(without(&good, &format!("/{field}")), &part)]).await;
    }
    for (field, id, part) in [
        ("customer_id", json!(NOBODY), "customer"),
        ("commit_id", json!(NOBODY), "commit"),
        ("commit_id", json!(credit), "commit"),
        ("contract_id", other["id"].clone(), "contract"),
        ("amendment_id", json!(NOBODY), "amendment"),
    ] {
        let body = with(&good, &format!("/{field}"), id.clone());
        desk.api.post(DISABLE, body).await.refused(404, &[part, id.as_str().expect("an id")]);
    }
    desk.api.post(ARCHIVE, desk.about(json!({ "commit_id": promise }))).await.id();
    refuse(&desk.api, DISABLE, vec![(good, "commit_id: the commit is archived")]).await;
}
