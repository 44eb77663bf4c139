//! Ledgers and balances over HTTP (reference: credits and commits, 8 to 10).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::concurrency::race;
use crate::support::Api;
use crate::world::{World, refuse, with};

const LIST: &str = "/v1/contracts/customerBalances/list";
const NET: &str = "/v1/contracts/customerBalances/getNetBalance";
const ENTRY: &str = "/v1/contracts/addManualBalanceLedgerEntry";
const END_COMMIT: &str = "/v1/contracts/customerCommits/updateEndDate";
const END_CREDIT: &str = "/v1/contracts/customerCredits/updateEndDate";
const EDIT: &str = "/v2/contracts/commits/edit";
const ARCHIVE: &str = "/v2/contracts/commits/archive";
const ARCHIVE_CREDIT: &str = "/v2/contracts/credits/archive";
const DISABLE: &str = "/v1/contracts/commits/disableTrueup";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// A customer whose tokens cost 3 each, on a contract from March on, and what is granted to it.
struct Desk {
    api: Api,
    world: World,
}

impl Desk {
    async fn new() -> Self {
        let api = Api::at("2026-03-10T12:00:00Z").await;
        let world = World::new(&api).await;
        Self { api, world }
    }

    fn of_customer(&self) -> Value {
        json!({ "customer_id": self.world.customer })
    }

    /// Usage that costs so many cents.
    async fn spend(&self, day: &str, cents: i64) {
        assert_eq!(cents % 3, 0);
        let properties = json!({ "tokens": cents / 3, "model": "small" });
        self.api.event("acct-1", &format!("{day}T05:00:00Z"), properties).await;
    }

    fn grant(&self, segments: &[(&str, &str, i64)], more: Value) -> Value {
        let items: Vec<Value> = segments
            .iter()
            .map(|(start, end, amount)| {
                json!({
                    "amount": amount, "starting_at": format!("{start}T00:00:00Z"),
                    "ending_before": format!("{end}T00:00:00Z"),
                })
            })
            .collect();
        let mut grant = json!({
            "customer_id": self.world.customer, "product_id": self.world.fee, "priority": 1,
            "access_schedule": { "schedule_items": items },
        });
        for (name, value) in more.as_object().expect("fields") {
            grant[name] = value.clone();
        }
        grant
    }

    async fn credit(&self, segments: &[(&str, &str, i64)], more: Value) -> String {
        self.api.post("/v1/contracts/customerCredits/create", self.grant(segments, more)).await.id()
    }

    async fn commit(&self, segments: &[(&str, &str, i64)], more: Value) -> String {
        let mut grant = self.grant(segments, json!({ "type": "PREPAID" }));
        for (name, value) in more.as_object().expect("fields") {
            grant[name] = value.clone();
        }
        self.api.post("/v1/contracts/customerCommits/create", grant).await.id()
    }

    /// All that there is to see of a commit or credit.
    async fn seen(&self, id: &str) -> Value {
        let request = json!({
            "customer_id": self.world.customer, "id": id, "include_ledgers": true, "include_balance": true,
            "include_contract_balances": true, "include_archived": true,
        });
        self.api.post(LIST, request).await.data()[0].clone()
    }

    async fn balance(&self, id: &str) -> Value {
        self.seen(id).await["balance"].clone()
    }

    /// The ledger as lines of day, type and amount.
    async fn ledger(&self, id: &str) -> Vec<String> {
        lines(&self.seen(id).await["ledger"])
    }

    async fn segment(&self, id: &str, index: usize) -> String {
        let seen = self.seen(id).await;
        seen["access_schedule"]["schedule_items"][index]["id"].as_str().expect("a segment").to_owned()
    }

    async fn net(&self, more: Value) -> Value {
        let mut request = self.of_customer();
        for (name, value) in more.as_object().expect("fields") {
            request[name] = value.clone();
        }
        self.api.post(NET, request).await.data()["balance"].clone()
    }

    async fn write(&self, id: &str, amount: i64) {
        let segment = self.segment(id, 0).await;
        let entry = self.entry(id, &segment, amount);
        assert_eq!(self.api.post(ENTRY, entry).await.status, 200);
    }

    fn entry(&self, id: &str, segment: &str, amount: i64) -> Value {
        json!({
            "customer_id": self.world.customer, "id": id, "segment_id": segment, "amount": amount,
            "reason": "Goodwill",
        })
    }

    async fn total(&self, start: &str) -> Value {
        self.api.invoice(&self.world.customer, start).await["total"].clone()
    }

    async fn ids(&self, more: Value) -> Vec<String> {
        let mut request = self.of_customer();
        for (name, value) in more.as_object().expect("fields") {
            request[name] = value.clone();
        }
        let mut ids = Vec::new();
        loop {
            let page = self.api.post(LIST, request.clone()).await;
            assert_eq!(page.status, 200, "{}", page.body);
            let listed = page.body["data"].as_array().expect("a list");
            ids.extend(listed.iter().map(|one| one["id"].as_str().expect("an id").to_owned()));
            match &page.body["next_page"] {
                Value::Null => return ids,
                next => request["next_page"] = next.clone(),
            }
        }
    }
}

fn lines(ledger: &Value) -> Vec<String> {
    let line = |entry: &Value| {
        let (day, kind) = (entry["timestamp"].as_str(), entry["type"].as_str());
        format!("{} {} {}", &day.expect("a timestamp")[..10], kind.expect("a type"), entry["amount"])
    };
    ledger.as_array().expect("a ledger").iter().map(line).collect()
}

#[tokio::test]
async fn credits_e1_a_credit_from_draft_to_expiry() {
    let desk = Desk::new().await;
    let credit = desk.credit(&[("2026-03-01", "2026-04-01", 25_000)], json!({})).await;
    desk.spend("2026-03-10", 9000).await;
    let seen = desk.seen(&credit).await;
    assert_eq!(
        lines(&seen["ledger"]),
        ["2026-03-01 CREDIT_SEGMENT_START 25000", "2026-04-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -9000"]
    );
    let deduction = &seen["ledger"][1];
    assert_eq!(deduction["invoice_id"], json!(desk.world.invoice));
    assert_eq!(deduction["contract_id"], json!(desk.world.contract));
    assert_eq!(deduction["segment_id"], seen["access_schedule"]["schedule_items"][0]["id"]);
    assert_eq!(seen["balance"], json!(16_000));
    assert_eq!(desk.net(json!({})).await, json!(16_000));
    assert_eq!(desk.net(json!({ "invoice_inclusion_mode": "FINALIZED" })).await, json!(25_000));

    desk.api.move_clock("2026-03-20T12:00:00Z").await;
    desk.spend("2026-03-20", 8352).await;
    desk.api.move_clock("2026-04-01T01:00:00Z").await;
    assert_eq!(
        desk.ledger(&credit).await[1..],
        ["2026-04-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -17352", "2026-04-01 CREDIT_EXPIRATION -7648"]
    );
    desk.spend("2026-03-31", 399).await;
    let frozen =
        ["2026-04-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -17751", "2026-04-01 CREDIT_EXPIRATION -7249"];
    assert_eq!(desk.ledger(&credit).await[1..], frozen);
    desk.api.move_clock("2026-04-05T00:00:00Z").await;
    desk.spend("2026-03-31", 300).await;
    assert_eq!(desk.ledger(&credit).await[1..], frozen);
    assert_eq!((desk.balance(&credit).await, desk.net(json!({})).await), (json!(0), json!(0)));
}

#[tokio::test]
async fn credits_e11_manual_entries_and_the_floor() {
    let desk = Desk::new().await;
    let commit = desk.commit(&[("2026-03-01", "2026-04-01", 50_001)], json!({})).await;
    let other = desk.commit(&[("2026-03-01", "2026-06-01", 7000)], json!({ "priority": 9 })).await;
    desk.spend("2026-03-10", 20_001).await;
    assert_eq!(desk.balance(&commit).await, json!(30_000));
    // A draft follows at once, so what was to be drawn is drawn of the other, and the rest is due.
    desk.write(&commit, -40_000).await;
    assert_eq!((desk.balance(&commit).await, desk.balance(&other).await), (json!(0), json!(0)));
    assert_eq!(desk.total("2026-03-01").await, json!(20_001 - 10_001 - 7000));
    desk.write(&commit, 25_000).await;
    assert_eq!((desk.balance(&commit).await, desk.balance(&other).await), (json!(15_000), json!(7000)));
    assert_eq!(desk.net(json!({})).await, json!(22_000));
    desk.api.move_clock("2026-04-05T00:00:00Z").await;
    // No invoice follows any more, and the segment is drawn below zero.
    desk.write(&commit, -100_000).await;
    assert_eq!(
        desk.ledger(&commit).await,
        [
            "2026-03-01 PREPAID_COMMIT_SEGMENT_START 50001",
            "2026-03-01 PREPAID_COMMIT_MANUAL -40000",
            "2026-03-01 PREPAID_COMMIT_MANUAL 25000",
            "2026-03-01 PREPAID_COMMIT_MANUAL -100000",
            "2026-04-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -20001",
        ]
    );
    assert_eq!(desk.net(json!({})).await, json!(7000));
    let entry = desk.seen(&commit).await["ledger"][1].clone();
    assert_eq!(
        entry,
        json!({
            "type": "PREPAID_COMMIT_MANUAL", "timestamp": "2026-03-01T00:00:00Z", "amount": -40_000, "reason": "Goodwill",
        })
    );
}

#[tokio::test]
async fn a_manual_entry_that_makes_no_sense_is_refused_by_its_field() {
    let desk = Desk::new().await;
    let commit = desk.commit(&[("2026-03-01", "2026-04-01", 100)], json!({})).await;
    let segment = desk.segment(&commit, 0).await;
    let good = desk.entry(&commit, &segment, 5);
    let set = |field: &str, value: Value| with(&good, &format!("/{field}"), value);
    refuse(
        &desk.api,
        ENTRY,
        vec![
            (set("amount", json!(0)), "amount: "),
            (set("amount", json!("1")), "amount: "),
            (set("reason", json!(" ")), "reason: "),
            (set("per_group_amounts", json!({ "alice": 5 })), "per_group_amounts: "),
            (set("timestamp", json!("2026-02-28T23:00:00Z")), "timestamp: "),
            (set("timestamp", json!("2026-04-01T00:00:00.000001Z")), "timestamp: "),
        ],
    )
    .await;
    for (field, part) in [
        ("customer_id", "customer"),
        ("id", "commit or credit"),
        ("segment_id", "segment"),
        ("contract_id", "contract"),
    ] {
        desk.api.post(ENTRY, set(field, json!(NOBODY))).await.refused(404, &[part]);
    }
    assert_eq!(desk.ledger(&commit).await.len(), 1, "nothing was written");
    let keyed = set("uniqueness_key", json!("once"));
    assert_eq!(desk.api.post(ENTRY, keyed.clone()).await.status, 200);
    desk.api.post(ENTRY, with(&keyed, "/amount", json!(7))).await.refused(409, &["uniqueness key"]);
    assert_eq!(desk.balance(&commit).await, json!(105));
    // Its end is within it, and a date in the future counts at once.
    let late = set("timestamp", json!("2026-04-01T00:00:00Z"));
    assert_eq!(desk.api.post(ENTRY, late).await.status, 200);
    assert_eq!(desk.balance(&commit).await, json!(110));
    let of_commit = json!({ "customer_id": desk.world.customer, "commit_id": commit });
    desk.api.post(ARCHIVE, of_commit).await.id();
    refuse(&desk.api, ENTRY, vec![(good, "id: ")]).await;
}

#[tokio::test]
async fn credits_e17_a_commit_that_is_ended_early() {
    let desk = Desk::new().await;
    let commit = desk
        .commit(&[("2026-03-01", "2026-06-01", 60_000), ("2026-06-01", "2026-07-01", 900)], json!({}))
        .await;
    desk.spend("2026-03-10", 6000).await;
    desk.api.move_clock("2026-04-20T00:00:00Z").await;
    desk.spend("2026-04-09", 3999).await;
    desk.spend("2026-04-15", 3501).await;
    assert_eq!(desk.total("2026-04-01").await, json!(0));
    let end = |at: &str| json!({ "customer_id": desk.world.customer, "commit_id": commit, "access_ending_before": at });
    refuse(
        &desk.api,
        END_COMMIT,
        vec![
            (end("2026-08-01T00:00:00Z"), "access_ending_before: "),
            (end("2026-03-01T00:00:00Z"), "access_ending_before: "),
            (end("2026-04-10T00:30:00Z"), "access_ending_before: "),
            (json!({ "customer_id": desk.world.customer, "commit_id": commit }), "access_ending_before: "),
        ],
    )
    .await;
    let of_nobody = with(&end("2026-04-10T00:00:00Z"), "/commit_id", json!(NOBODY));
    desk.api.post(END_COMMIT, of_nobody).await.refused(404, &["commit"]);
    let as_credit = json!({
        "customer_id": desk.world.customer, "credit_id": commit, "access_ending_before": "2026-04-10T00:00:00Z",
    });
    desk.api.post(END_CREDIT, as_credit).await.refused(404, &["credit"]);
    assert_eq!(desk.api.post(END_COMMIT, end("2026-04-10T00:00:00Z")).await.id(), commit);
    assert_eq!(desk.total("2026-04-01").await, json!(3501));
    assert_eq!(
        desk.ledger(&commit).await,
        [
            "2026-03-01 PREPAID_COMMIT_SEGMENT_START 60000",
            "2026-04-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -6000",
            "2026-04-10 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -3999",
            "2026-04-10 PREPAID_COMMIT_EXPIRATION -50001",
        ]
    );
    let items = desk.seen(&commit).await["access_schedule"]["schedule_items"].clone();
    assert_eq!(items.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn credits_e18_an_edit_in_the_middle_of_the_term() {
    let desk = Desk::new().await;
    let paid = json!({
        "invoice_contract_id": desk.world.contract,
        "invoice_schedule": { "schedule_items": [
            { "timestamp": "2026-03-10T00:00:00Z", "amount": 1000 }, { "timestamp": "2026-06-01T00:00:00Z", "amount": 1 },
        ] },
    });
    let commit = desk.commit(&[("2026-03-01", "2026-05-01", 10_000)], paid).await;
    desk.spend("2026-03-10", 9000).await;
    desk.api.move_clock("2026-04-10T00:00:00Z").await;
    assert_eq!(desk.balance(&commit).await, json!(1000));
    let seen = desk.seen(&commit).await;
    let (segment, payments) = (desk.segment(&commit, 0).await, &seen["invoice_schedule"]["schedule_items"]);
    assert!(payments[0]["invoice_id"].is_string() && payments[1]["invoice_id"].is_null(), "{payments}");
    let of_commit = json!({ "customer_id": desk.world.customer, "commit_id": commit });
    let edit = |fields: Value| {
        let mut edit = of_commit.clone();
        edit.as_object_mut().expect("an object").extend(fields.as_object().expect("fields").clone());
        edit
    };
    let access = |word: &str, item: Value| edit(json!({ "access_schedule": { word: [item] } }));
    let invoice = |word: &str, item: Value| edit(json!({ "invoice_schedule": { word: [item] } }));
    refuse(
        &desk.api,
        EDIT,
        vec![
            (
                access("remove_schedule_items", json!({ "id": segment })),
                "access_schedule.remove_schedule_items[0].id: ",
            ),
            (
                access("update_schedule_items", json!({ "id": NOBODY })),
                "access_schedule.update_schedule_items[0].id: ",
            ),
            (
                access("update_schedule_items", json!({ "id": segment, "amount": -1 })),
                "access_schedule.update_schedule_items[0].amount: ",
            ),
            (
                access(
                    "update_schedule_items",
                    json!({ "id": segment, "ending_before": "2026-03-01T00:00:00Z" }),
                ),
                "access_schedule.update_schedule_items[0].ending_before: ",
            ),
            (
                invoice("remove_schedule_items", json!({ "id": payments[0]["id"] })),
                "invoice_schedule.remove_schedule_items[0].id: ",
            ),
            (
                invoice("update_schedule_items", json!({ "id": payments[0]["id"], "amount": 5 })),
                "invoice_schedule.update_schedule_items[0].id: ",
            ),
            (
                invoice("add_schedule_items", json!({ "timestamp": "2026-03-01T00:00:00Z" })),
                "invoice_schedule.add_schedule_items[0].amount: ",
            ),
            (edit(json!({ "product_id": desk.world.product })), "product_id: "),
            (edit(json!({ "product_id": NOBODY })), "product_id: "),
            (edit(json!({ "applicable_product_ids": [NOBODY] })), "applicable_product_ids[0]: "),
            (edit(json!({ "invoice_contract_id": NOBODY })), "invoice_contract_id: "),
            (
                edit(json!({ "applicable_product_tags": ["a"], "specifiers": [{ "product_tags": ["b"] }] })),
                "specifiers: ",
            ),
            (
                edit(json!({ "hierarchy_configuration": { "child_access": { "type": "ALL" } } })),
                "hierarchy_configuration: ",
            ),
            (with(&edit(json!({})), "/commit_id", json!(NOBODY)), "commit_id: "),
        ],
    )
    .await;
    let of_nobody = desk.api.post(EDIT, with(&edit(json!({})), "/customer_id", json!(NOBODY))).await;
    assert_eq!((of_nobody.status.as_u16(), &of_nobody.body["code"]), (400, &json!("CustomerNotFound")));

    let longer = json!({
        "name": "Longer", "priority": null,
        "access_schedule": {
            "update_schedule_items": [{ "id": segment, "amount": 20_000, "ending_before": "2027-01-01T00:00:00Z" }],
        },
        "invoice_schedule": {
            "remove_schedule_items": [{ "id": payments[1]["id"] }],
            "add_schedule_items": [{ "timestamp": "2026-04-10T00:00:00Z", "unit_price": 500, "quantity": 2 }],
        },
    });
    assert_eq!(desk.api.post(EDIT, edit(longer)).await.id(), commit);
    let edited = desk.seen(&commit).await;
    assert_eq!(
        (&edited["balance"], &edited["name"], edited.get("priority")),
        (&json!(11_000), &json!("Longer"), None)
    );
    assert_eq!(lines(&edited["ledger"])[0], "2026-03-01 PREPAID_COMMIT_SEGMENT_START 20000");
    desk.api.move_clock("2026-04-10T01:00:00Z").await;
    let now = desk.seen(&commit).await["invoice_schedule"]["schedule_items"].clone();
    assert_eq!(now[0], payments[0], "what is invoiced stays");
    assert!(now[1]["invoice_id"].is_string() && now.get(2).is_none(), "{now}");
    assert_ne!(now[1]["invoice_id"], now[0]["invoice_id"]);
}

#[tokio::test]
async fn an_edit_of_what_a_commit_pays_for_reaches_the_draft() {
    let desk = Desk::new().await;
    let commit = desk
        .commit(&[("2026-03-01", "2026-05-01", 1000)], json!({ "applicable_product_tags": ["none"] }))
        .await;
    desk.spend("2026-03-10", 300).await;
    assert_eq!((desk.total("2026-03-01").await, desk.balance(&commit).await), (json!(300), json!(1000)));
    let of_commit = json!({ "customer_id": desk.world.customer, "commit_id": commit });
    let wider = with(&of_commit, "/applicable_product_tags", Value::Null);
    let wider = with(&wider, "/applicable_product_ids", json!([desk.world.product]));
    desk.api.post(EDIT, wider).await.id();
    assert_eq!((desk.total("2026-03-01").await, desk.balance(&commit).await), (json!(0), json!(700)));
    let seen = desk.seen(&commit).await;
    assert_eq!(
        (&seen["applicable_product_ids"], seen.get("applicable_product_tags")),
        (&json!([desk.world.product]), None)
    );
}

#[tokio::test]
async fn what_is_archived_has_no_ledger_and_pays_for_nothing() {
    let desk = Desk::new().await;
    let commit = desk.commit(&[("2026-03-01", "2026-05-01", 1000)], json!({})).await;
    let credit = desk.credit(&[("2026-03-01", "2026-05-01", 100)], json!({ "priority": 0 })).await;
    desk.spend("2026-03-10", 300).await;
    assert_eq!((desk.balance(&commit).await, desk.balance(&credit).await), (json!(800), json!(0)));
    let of_credit = json!({ "customer_id": desk.world.customer, "credit_id": credit });
    assert_eq!(desk.api.post(ARCHIVE_CREDIT, of_credit.clone()).await.id(), credit);
    assert_eq!((desk.balance(&commit).await, desk.balance(&credit).await), (json!(700), json!(0)));
    let seen = desk.seen(&credit).await;
    assert_eq!(seen.get("ledger"), Some(&Value::Null));
    assert_eq!(desk.ids(json!({})).await, std::slice::from_ref(&commit));
    assert_eq!(desk.ids(json!({ "include_archived": true })).await, [commit.clone(), credit.clone()]);
    refuse(&desk.api, ARCHIVE_CREDIT, vec![(of_credit, "credit_id: ")]).await;
    // A finalized invoice holds the commit.
    desk.api.move_clock("2026-04-05T00:00:00Z").await;
    let of_commit = json!({ "customer_id": desk.world.customer, "commit_id": commit });
    refuse(&desk.api, ARCHIVE, vec![(of_commit, "commit_id: a finalized invoice drew it")]).await;
    let answer = desk.api.post(ARCHIVE, json!({ "customer_id": NOBODY, "commit_id": commit })).await;
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &json!("CustomerNotFound")));
}

#[tokio::test]
async fn credits_e5_a_true_up_that_is_disabled_lapses() {
    let desk = Desk::new().await;
    let promise = json!({
        "type": "POSTPAID", "invoice_contract_id": desk.world.contract,
        "invoice_schedule": { "schedule_items": [{ "timestamp": "2026-04-01T00:00:00Z", "amount": 12_000 }] },
    });
    let commit = desk.commit(&[("2026-03-01", "2026-04-01", 12_000)], promise).await;
    let prepaid = desk.commit(&[("2026-03-01", "2026-04-01", 3000)], json!({})).await;
    desk.spend("2026-03-10", 5400).await;
    assert_eq!((desk.balance(&commit).await, desk.balance(&prepaid).await), (json!(9600), json!(0)));
    assert_eq!(desk.total("2026-03-01").await, json!(2400), "what is spent of a promise is paid for");
    let disable = |commit: &str, contract: &str| json!({ "customer_id": desk.world.customer, "commit_id": commit, "contract_id": contract });
    let contract = &desk.world.contract;
    refuse(&desk.api, DISABLE, vec![(disable(&prepaid, contract), "commit_id: only a POSTPAID")]).await;
    desk.api.post(DISABLE, disable(&commit, NOBODY)).await.refused(404, &["commit"]);
    for _ in 0..2 {
        assert_eq!(desk.api.post(DISABLE, disable(&commit, contract)).await.id(), commit);
    }
    desk.api.move_clock("2026-04-05T00:00:00Z").await;
    assert_eq!(
        desk.ledger(&commit).await,
        [
            "2026-03-01 POSTPAID_COMMIT_INITIAL_BALANCE 12000",
            "2026-04-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -2400",
            "2026-04-01 POSTPAID_COMMIT_EXPIRATION -9600",
        ]
    );
    let seen = desk.seen(&commit).await;
    assert_eq!((seen["ledger"][0].get("segment_id"), seen["ledger"][2].get("segment_id")), (None, None));
    let end = json!({
        "customer_id": desk.world.customer, "commit_id": commit, "access_ending_before": "2026-03-20T00:00:00Z",
    });
    refuse(&desk.api, END_COMMIT, vec![(end, "commit_id: ")]).await;
}

#[tokio::test]
async fn credits_e5_a_true_up_that_is_billed_closes_the_ledger() {
    let desk = Desk::new().await;
    let promise = json!({
        "type": "POSTPAID", "invoice_contract_id": desk.world.contract,
        "invoice_schedule": { "schedule_items": [{ "timestamp": "2026-04-01T00:00:00Z", "amount": 12_000 }] },
    });
    let commit = desk.commit(&[("2026-03-01", "2026-04-01", 12_000)], promise).await;
    desk.spend("2026-03-10", 2400).await;
    desk.api.move_clock("2026-04-05T00:00:00Z").await;
    let seen = desk.seen(&commit).await;
    assert_eq!(lines(&seen["ledger"])[2..], ["2026-04-01 POSTPAID_COMMIT_TRUEUP -9600"]);
    assert!(seen["ledger"][2]["invoice_id"].is_string());
    let disable = json!({
        "customer_id": desk.world.customer, "commit_id": commit, "contract_id": desk.world.contract,
    });
    refuse(&desk.api, DISABLE, vec![(disable, "commit_id: the true-up")]).await;
    let segment = desk.segment(&commit, 0).await;
    refuse(&desk.api, ENTRY, vec![(desk.entry(&commit, &segment, 5), "id: what was left")]).await;
}

#[tokio::test]
async fn a_net_balance_sums_what_its_filters_say() {
    let desk = Desk::new().await;
    let now = ("2026-03-01", "2026-05-01");
    let commit = desk.commit(&[(now.0, now.1, 1000)], json!({})).await;
    let credit = desk.credit(&[(now.0, now.1, 200)], json!({})).await;
    desk.commit(&[("2026-05-01", "2026-06-01", 50_000)], json!({})).await;
    desk.credit(&[("2026-01-01", "2026-02-01", 60_000)], json!({})).await;
    let in_unit = with(
        &desk.grant(&[(now.0, now.1, 7)], json!({})),
        "/access_schedule/credit_type_id",
        json!(desk.world.unit),
    );
    desk.api.post("/v1/contracts/customerCredits/create", in_unit).await.id();
    let of_contract = json!({
        "customer_id": desk.world.customer, "rate_card_id": desk.world.card, "starting_at": "2026-03-01T00:00:00Z",
        "commits": [{
            "type": "PREPAID", "product_id": desk.world.fee,
            "access_schedule": desk.grant(&[(now.0, now.1, 30)], json!({}))["access_schedule"],
        }],
    });
    desk.api.post("/v1/contracts/create", of_contract).await.id();
    let promise = json!({
        "type": "POSTPAID", "invoice_contract_id": desk.world.contract,
        "invoice_schedule": { "schedule_items": [{ "timestamp": "2026-05-01T00:00:00Z", "amount": 4 }] },
    });
    desk.commit(&[(now.0, now.1, 4)], promise).await;
    for (entity, id, tier) in [("commit", &commit, "gold"), ("contract_credit", &credit, "gold")] {
        let key = json!({ "entity": entity, "key": "tier", "enforce_uniqueness": false });
        assert_eq!(desk.api.post("/v1/customFields/addKey", key).await.status, 200);
        let fields = json!({ "entity": entity, "entity_id": id, "custom_fields": { "tier": tier } });
        assert_eq!(desk.api.post("/v1/customFields/setValues", fields).await.status, 200);
    }
    for (filters, sum) in [
        (json!([]), 1234),
        (json!([{}]), 1234),
        (json!([{ "balance_types": ["PREPAID_COMMIT", "CREDIT"] }]), 1230),
        (json!([{ "balance_types": ["POSTPAID_COMMIT"] }]), 4),
        (json!([{ "ids": [commit] }, { "balance_types": ["CREDIT"] }]), 1200),
        (json!([{ "ids": [commit], "balance_types": ["CREDIT"] }]), 0),
        (json!([{ "custom_fields": { "tier": "gold" } }]), 1200),
        (json!([{ "custom_fields": { "tier": "gold" }, "balance_types": ["CREDIT"] }]), 200),
        (json!([{ "custom_fields": { "tier": "silver" } }]), 0),
    ] {
        assert_eq!(desk.net(json!({ "filters": filters })).await, json!(sum), "{filters}");
    }
    assert_eq!(desk.net(json!({ "credit_type_id": desk.world.unit })).await, json!(7));
    let asked = |field: &str, value: Value| with(&desk.of_customer(), &format!("/{field}"), value);
    for (request, field) in [
        (asked("customer_id", json!(NOBODY)), "customer_id: "),
        (asked("credit_type_id", json!(NOBODY)), "credit_type_id: "),
        (asked("access_type", json!("UNITS")), "access_type: "),
        (
            with(&asked("access_type", json!("QUANTITY")), "/credit_type_id", json!(desk.world.unit)),
            "credit_type_id: cannot be combined",
        ),
        (asked("invoice_inclusion_mode", json!("DRAFT")), "invoice_inclusion_mode: "),
        (asked("filters", json!([{ "balance_types": ["PREPAID"] }])), "filters[0].balance_types[0]: "),
    ] {
        refuse(&desk.api, NET, vec![(request, field)]).await;
    }
}

#[tokio::test]
async fn lists_have_what_their_filters_say_page_by_page() {
    let desk = Desk::new().await;
    let spring = desk.credit(&[("2026-03-01", "2026-05-01", 10)], json!({})).await;
    let both =
        desk.commit(&[("2026-01-01", "2026-02-01", 10), ("2026-06-01", "2026-07-01", 10)], json!({})).await;
    let past = desk.commit(&[("2026-01-01", "2026-02-01", 10)], json!({})).await;
    let of_contract = json!({
        "customer_id": desk.world.customer, "starting_at": "2026-03-01T00:00:00Z",
        "credits": [{
            "product_id": desk.world.fee,
            "access_schedule": desk.grant(&[("2026-03-01", "2026-05-01", 30)], json!({}))["access_schedule"],
        }],
    });
    let contract = desk.api.post("/v1/contracts/create", of_contract).await.id();
    let all = desk.ids(json!({ "include_contract_balances": true })).await;
    assert_eq!((all.len(), &all[..3]), (4, &[spring.clone(), both.clone(), past.clone()][..]));
    let own = all[3].clone();
    let (spring, both, past) = (spring.as_str(), both.as_str(), past.as_str());
    for (filter, ids) in [
        (json!({}), vec![spring, both, past]),
        (json!({ "limit": 1 }), vec![spring, both, past]),
        (json!({ "id": both }), vec![both]),
        (json!({ "covering_date": "2026-01-31T23:59:59Z" }), vec![both, past]),
        (json!({ "covering_date": "2026-04-01T00:00:00Z" }), vec![spring]),
        (json!({ "covering_date": "2026-02-01T00:00:00Z" }), vec![]),
        (json!({ "starting_at": "2026-05-01T00:00:00Z" }), vec![both]),
        (json!({ "effective_before": "2026-03-01T00:00:00Z" }), vec![both, past]),
        (json!({ "exclude_zero_balances": true }), vec![spring]),
        (json!({ "exclude_zero_balances": true, "covering_date": "2026-01-01T00:00:00Z" }), vec![]),
        (
            json!({ "exclude_zero_balances": true, "include_contract_balances": true, "limit": 1 }),
            vec![spring, own.as_str()],
        ),
    ] {
        assert_eq!(desk.ids(filter.clone()).await, ids, "{filter}");
    }
    let listed = async |path: &str, more: Value| {
        let mut request = desk.of_customer();
        request.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        let listed = desk.api.post(path, request).await.data();
        let ids = listed
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["id"].as_str().expect("an id").to_owned());
        ids.collect::<Vec<String>>()
    };
    assert_eq!(listed("/v1/contracts/customerCommits/list", json!({})).await, [both, past]);
    assert_eq!(listed("/v1/contracts/customerCommits/list", json!({ "commit_id": spring })).await, [""; 0]);
    let with_contracts = json!({ "include_contract_credits": true });
    assert_eq!(listed("/v1/contracts/customerCredits/list", with_contracts).await, [spring, own.as_str()]);
    refuse(
        &desk.api,
        LIST,
        vec![
            (with(&desk.of_customer(), "/limit", json!(26)), "limit: "),
            (with(&desk.of_customer(), "/limit", json!(0)), "limit: "),
            (with(&desk.of_customer(), "/next_page", json!("?")), "next_page: "),
        ],
    )
    .await;
    // What a list does not ask for is not there, and a contract shows the same.
    let plain = desk.api.post(LIST, desk.of_customer()).await.data();
    assert_eq!((plain[0].get("balance"), plain[0].get("ledger")), (None, None));
    let seen = desk.seen(&own).await;
    for path in ["/v1/contracts/get", "/v2/contracts/get"] {
        let request = json!({
            "customer_id": desk.world.customer, "contract_id": contract, "include_balance": true, "include_ledgers": true,
        });
        let shown = desk.api.post(path, request).await.data();
        let shown = shown.get("current").unwrap_or(&shown);
        assert_eq!(
            (&shown["credits"][0]["balance"], &shown["credits"][0]["ledger"]),
            (&json!(30), &seen["ledger"]),
            "{path}"
        );
    }
}

#[tokio::test]
async fn archiving_a_contract_expires_its_commits_and_keeps_their_ledgers() {
    let desk = Desk::new().await;
    let of_contract = json!({
        "customer_id": desk.world.customer, "starting_at": "2026-03-01T00:00:00Z",
        "commits": [{
            "type": "PREPAID", "product_id": desk.world.fee,
            "access_schedule": desk.grant(&[("2026-03-01", "2026-05-01", 30)], json!({}))["access_schedule"],
        }],
    });
    let contract = desk.api.post("/v1/contracts/create", of_contract).await.id();
    let commit = desk.ids(json!({ "include_contract_balances": true })).await.remove(0);
    let archive =
        json!({ "customer_id": desk.world.customer, "contract_id": contract, "void_invoices": true });
    desk.api.post("/v1/contracts/archive", archive).await.id();
    assert_eq!(
        desk.ledger(&commit).await,
        ["2026-03-01 PREPAID_COMMIT_SEGMENT_START 30", "2026-03-10 PREPAID_COMMIT_EXPIRATION -30"]
    );
    assert_eq!(desk.balance(&commit).await, json!(0));
    assert_eq!(desk.ids(json!({ "include_contract_balances": true })).await, [""; 0]);
}

/// Whichever comes first, the invoice draws what there was then, and the ledger sums.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_manual_entry_that_races_a_finalization_comes_before_or_after_it() {
    let desk = Desk::new().await;
    let commit = desk.commit(&[("2026-03-01", "2026-04-01", 1000)], json!({})).await;
    desk.spend("2026-03-10", 1500).await;
    let segment = desk.segment(&commit, 0).await;
    let entries = (0..4).map(|_| (ENTRY.to_owned(), desk.entry(&commit, &segment, 100)));
    let clock = ("/sandbox/clock".to_owned(), json!({ "now": "2026-04-05T00:00:00Z" }));
    let requests: Vec<(String, Value)> = entries.chain([clock]).collect();
    assert_eq!(race(&desk.api, requests).await, BTreeMap::from([(200, 5)]));
    desk.api.move_clock("2026-04-06T00:00:00Z").await;
    let seen = desk.seen(&commit).await;
    let amount = |kind: &str| -> i64 {
        let entries = seen["ledger"].as_array().expect("a ledger");
        let own = entries.iter().filter(|entry| entry["type"].as_str().expect("a type").ends_with(kind));
        own.map(|entry| entry["amount"].as_i64().expect("a number")).sum()
    };
    let drawn = -amount("DEDUCTION");
    assert!((1000..=1400).contains(&drawn) && drawn % 100 == 0, "{seen}");
    assert_eq!(amount("MANUAL"), 400);
    assert_eq!(1400 - drawn + amount("EXPIRATION"), 0, "{seen}");
    assert_eq!(desk.total("2026-03-01").await, json!(1500 - drawn));
}

/// The tables say how many rows a read of one grant among thousands touches.
#[tokio::test]
async fn a_net_balance_does_not_load_what_has_expired() {
    let desk = Desk::new().await;
    let old = desk.credit(&[("2026-01-01", "2026-02-01", 5)], json!({})).await;
    let copies = format!(
        "INSERT INTO balance SELECT (balance).* FROM (
             SELECT jsonb_populate_record(balance, jsonb_build_object('id', gen_random_uuid(), 'terms', '\"broken\"'::jsonb))
                    AS balance
             FROM balance, generate_series(1, 5000) WHERE id = '{}'
         ) AS copies",
        old.parse::<Uuid>().expect("an id")
    );
    desk.api.sql(&copies).await;
    desk.credit(&[("2026-03-01", "2026-05-01", 42)], json!({})).await;
    desk.spend("2026-03-10", 3).await;
    // The terms of the others cannot even be read.
    assert_eq!(desk.net(json!({})).await, json!(39));
    let current = json!({ "covering_date": "2026-03-10T00:00:00Z", "include_balance": true });
    assert_eq!(desk.ids(current).await.len(), 1);
    assert_eq!(desk.ids(json!({ "exclude_zero_balances": true })).await.len(), 1);
    desk.api.move_clock("2026-04-05T00:00:00Z").await;
    assert_eq!(desk.net(json!({})).await, json!(39));
}
