//! Commits and credits of units over HTTP: what a request may say, how they are shown and listed, and what is left of them
//! whoever writes and reads at once.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::concurrency::race;
use crate::contract_ends::faults;
use crate::support::Api;
use crate::world::{NOW, World, number, refuse, with, without};

const CREATE: &str = "/v1/contracts/create";
const COMMIT: &str = "/v1/contracts/customerCommits/create";
const CREDIT: &str = "/v1/contracts/customerCredits/create";
const LIST: &str = "/v1/contracts/customerBalances/list";
const COMMITS: &str = "/v1/contracts/customerCommits/list";
const CREDITS: &str = "/v1/contracts/customerCredits/list";
const NET: &str = "/v1/contracts/customerBalances/getNetBalance";
const ENTRY: &str = "/v1/contracts/addManualBalanceLedgerEntry";
const EDIT: &str = "/v2/contracts/commits/edit";
const END: &str = "/v1/contracts/customerCommits/updateEndDate";
const USD: &str = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";
/// The null id, which stands for the unit of quantities.
const NONE: &str = "00000000-0000-0000-0000-000000000000";
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// A customer whose tokens cost 3 each, on a contract from March on.
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

    /// A credit of so many units from the first of March until a date.
    fn credit(&self, amount: i64, until: &str) -> Value {
        json!({
            "customer_id": self.world.customer, "product_id": self.world.fee, "priority": 5,
            "access_schedule": { "access_type": "QUANTITY", "schedule_items": [{
                "amount": amount, "starting_at": "2026-03-01T00:00:00Z",
                "ending_before": format!("{until}T00:00:00Z"),
            }] },
        })
    }

    /// A prepaid commit of so many units.
    fn commit(&self, amount: i64, until: &str) -> Value {
        with(&self.credit(amount, until), "/type", json!("PREPAID"))
    }

    /// A prepaid commit of so many cents.
    fn money(&self, amount: i64, until: &str) -> Value {
        without(&self.commit(amount, until), "/access_schedule/access_type")
    }

    /// A contract without a rate card that has these terms.
    fn contract(&self, terms: Value) -> Value {
        let mut body = json!({ "customer_id": self.world.customer, "starting_at": "2026-03-01T00:00:00Z" });
        body.as_object_mut().expect("an object").extend(terms.as_object().expect("terms").clone());
        body
    }

    async fn made(&self, path: &str, body: Value) -> String {
        self.api.post(path, body).await.id()
    }

    async fn uses(&self, day: &str, tokens: i64) {
        let properties = json!({ "tokens": tokens, "model": "small" });
        self.api.event("acct-1", &format!("{day}T05:00:00Z"), properties).await;
    }

    /// All that there is to see of a commit or credit.
    async fn seen(&self, id: &str) -> Value {
        let request = json!({
            "customer_id": self.world.customer, "id": id, "include_ledgers": true, "include_balance": true,
            "include_contract_balances": true,
        });
        self.api.post(LIST, request).await.data()[0].clone()
    }

    async fn net(&self, more: Value) -> Value {
        self.api.post(NET, self.asking(more)).await.data()
    }

    /// A request about the customer.
    fn asking(&self, more: Value) -> Value {
        let mut request = json!({ "customer_id": self.world.customer });
        request.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        request
    }

    /// The ids that a list has, page by page.
    async fn ids(&self, path: &str, more: Value) -> Vec<String> {
        let mut request = self.asking(more);
        let mut ids = Vec::new();
        loop {
            let page = self.api.post(path, request.clone()).await;
            assert_eq!(page.status, 200, "{}", page.body);
            let listed = page.body["data"].as_array().expect("a list");
            ids.extend(listed.iter().map(|one| one["id"].as_str().expect("an id").to_owned()));
            match &page.body["next_page"] {
                Value::Null => return ids,
                next => request["next_page"] = next.clone(),
            }
        }
    }

    fn entry(&self, seen: &Value, amount: Value) -> Value {
        self.asking(json!({
            "id": seen["id"], "segment_id": seen["access_schedule"]["schedule_items"][0]["id"], "amount": amount,
            "reason": "Goodwill",
        }))
    }

    /// What is left of a commit, and what March costs.
    async fn state(&self, id: &str) -> (Value, Value) {
        let march = self.api.invoice(&self.world.customer, "2026-03-01").await;
        (self.seen(id).await["balance"].clone(), march["total"].clone())
    }
}

/// A ledger as lines of day, type and amount.
fn ledger(seen: &Value) -> Vec<String> {
    let line = |entry: &Value| {
        let (at, kind) = (entry["timestamp"].as_str(), entry["type"].as_str());
        format!("{} {} {}", &at.expect("a timestamp")[..10], kind.expect("a type"), entry["amount"])
    };
    seen["ledger"].as_array().expect("a ledger").iter().map(line).collect()
}

#[tokio::test]
async fn amounts_of_units_name_no_pricing_unit() {
    let desk = Desk::new().await;
    let good = desk.commit(5, "2026-04-01");
    let access =
        |body: &Value, field: &str, value: Value| with(body, &format!("/access_schedule/{field}"), value);
    let named = "access_schedule.credit_type_id: cannot be combined with access_type `QUANTITY`";
    let amount = "access_schedule.schedule_items[0].amount: ";
    for (wrong, part) in [
        (access(&good, "credit_type_id", json!(USD)), named),
        (access(&good, "credit_type_id", json!(desk.world.unit)), named),
        (access(&good, "credit_type_id", json!(NOBODY)), named),
        (access(&good, "credit_type_id", json!(NONE)), named),
        (access(&good, "access_type", json!("UNITS")), "access_schedule.access_type: "),
        (access(&good, "access_type", json!(5)), "access_schedule.access_type: "),
        (access(&good, "schedule_items/0/amount", json!(-1)), amount),
        (access(&good, "schedule_items/0/amount", json!("5")), amount),
        (access(&good, "schedule_items", json!([])), "access_schedule.schedule_items: must not be empty"),
    ] {
        let wrong_credit = without(&wrong, "/type");
        desk.api.post(COMMIT, wrong.clone()).await.refused(400, &[part]);
        desk.api.post(CREDIT, wrong_credit.clone()).await.refused(400, &[part]);
        for (list, one, other) in
            [("commits", &good, &wrong), ("credits", &without(&good, "/type"), &wrong_credit)]
        {
            let both = [without(one, "/customer_id"), without(other, "/customer_id")];
            let part = format!("{list}[1].{part}");
            refuse(&desk.api, CREATE, vec![(desk.contract(json!({ list: both })), part.as_str())]).await;
        }
    }
    let wrong = without(&access(&good, "credit_type_id", json!(USD)), "/customer_id");
    let first = json!({
        "customer": { "name": "Northwind" },
        "contract": { "starting_at": "2026-03-01T00:00:00Z", "commits": [wrong] },
    });
    let part = format!("contract.commits[0].{named}");
    refuse(&desk.api, "/v1/composite/createCustomerWithContract", vec![(first, part.as_str())]).await;

    // What is short of a promise is billed, and units have no price.
    let mut promise = with(&good, "/type", json!("POSTPAID"));
    promise["invoice_schedule"] =
        json!({ "schedule_items": [{ "timestamp": "2026-04-01T00:00:00Z", "amount": 5 }] });
    let of_money = "access_schedule.access_type: a POSTPAID commit cannot be of `QUANTITY`";
    let own = with(&promise, "/invoice_contract_id", json!(desk.world.contract));
    refuse(&desk.api, COMMIT, vec![(own, of_money)]).await;
    let of_contract = desk.contract(json!({ "commits": [without(&promise, "/customer_id")] }));
    let part = format!("commits[0].{of_money}");
    refuse(&desk.api, CREATE, vec![(of_contract, part.as_str())]).await;
    assert_eq!(desk.api.number("SELECT count(*) FROM balance").await, 0, "nothing is kept");

    // Null is as if it had been left out, and every casing is read.
    let without_unit =
        access(&access(&good, "credit_type_id", Value::Null), "access_type", json!("quantity"));
    let units = desk.made(COMMIT, without_unit).await;
    let money = desk.made(COMMIT, access(&good, "access_type", Value::Null)).await;
    let access = async |id: &str| desk.seen(id).await["access_schedule"].clone();
    let (units, money) = (access(&units).await, access(&money).await);
    assert_eq!((&units["access_type"], units.get("credit_type")), (&json!("QUANTITY"), None));
    assert_eq!((&money["access_type"], &money["credit_type"]["id"]), (&json!("SPEND"), &json!(USD)));
}

#[tokio::test]
async fn a_recurring_grant_of_units_names_no_pricing_unit_and_makes_units() {
    let desk = Desk::new().await;
    let recurring = |amount: &Value| {
        json!({
            "product_id": desk.world.fee, "priority": 1, "starting_at": "2026-03-01T00:00:00Z",
            "access_amount": amount, "commit_duration": { "value": 1 },
        })
    };
    let amount = json!({ "unit_price": 10, "quantity": 3, "access_type": "QUANTITY" });
    let named = "credit_type_id: cannot be combined with access_type `QUANTITY`";
    for list in ["recurring_commits", "recurring_credits"] {
        for (wrong, part) in [
            (with(&amount, "/credit_type_id", json!(USD)), named),
            (with(&amount, "/credit_type_id", json!(desk.world.unit)), named),
            (with(&amount, "/credit_type_id", json!(NOBODY)), named),
            (with(&amount, "/access_type", json!("UNITS")), "access_type: "),
            (with(&amount, "/quantity", json!(-1)), "quantity: "),
            (without(&amount, "/quantity"), "quantity: is required"),
        ] {
            let part = format!("{list}[0].access_amount.{part}");
            let body = desk.contract(json!({ list: [recurring(&wrong)] }));
            refuse(&desk.api, CREATE, vec![(body, part.as_str())]).await;
        }
    }
    assert_eq!(desk.api.number("SELECT count(*) FROM recurring_grant").await, 0, "nothing is kept");

    let price = json!({ "unit_price": 5, "quantity": 1, "credit_type_id": USD });
    let terms = json!({
        "recurring_commits": [with(&recurring(&amount), "/invoice_amount", price)],
        "recurring_credits": [recurring(&json!({ "unit_price": 100, "quantity": 2 }))],
    });
    let made = desk.api.post(CREATE, desk.contract(terms)).await.data()["contract"].clone();
    let of_units = with(&amount, "/credit_type_id", json!(NONE));
    let of_money = json!({ "unit_price": 100, "quantity": 2, "credit_type_id": USD, "access_type": "SPEND" });
    let of_contract = desk.asking(json!({ "contract_id": made["id"] }));
    let nested = desk.api.post("/v1/contracts/get", of_contract.clone()).await.data();
    let flat = desk.api.post("/v2/contracts/get", of_contract).await.data();
    for shown in [&made, &nested["initial"], &nested["current"], &flat] {
        assert_eq!(shown["recurring_commits"][0]["access_amount"], of_units);
        assert_eq!(shown["recurring_credits"][0]["access_amount"], of_money);
    }

    let all = desk.api.post(LIST, desk.asking(json!({ "include_contract_balances": true }))).await.data();
    let shown = |one: &Value| {
        let access = &one["access_schedule"];
        let unit = access["credit_type"]["name"].as_str().unwrap_or("no unit");
        format!("{} {} {unit} {}", one["type"], access["access_type"], access["schedule_items"][0]["amount"])
    };
    let mut all: Vec<String> = all.as_array().expect("a list").iter().map(shown).collect();
    all.sort();
    let (credits, commits) = (r#""CREDIT" "SPEND" USD (cents) 200"#, r#""PREPAID" "QUANTITY" no unit 30"#);
    assert_eq!(all, [credits, credits, commits, commits], "of March and April");
    desk.api.work().await;
    let path = format!("/v1/customers/{}/invoices?type=SCHEDULED&status=FINALIZED", desk.world.customer);
    let bought = desk.api.get(&path).await.data();
    assert_eq!((&bought[0]["total"], bought.get(1)), (&json!(5), None), "what is paid for it is money");
}

#[tokio::test]
async fn a_schedule_says_what_it_is_of_wherever_it_is_shown() {
    let desk = Desk::new().await;
    let units = without(&desk.commit(40, "2026-05-01"), "/customer_id");
    let money = without(&without(&desk.money(70, "2026-05-01"), "/customer_id"), "/type");
    let terms = json!({ "commits": [units], "credits": [money] });
    let made = desk.api.post(CREATE, desk.contract(terms)).await.data()["contract"].clone();
    let items = |amount: i64, shown: &Value| {
        json!([{
            "id": shown["access_schedule"]["schedule_items"][0]["id"], "amount": amount,
            "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-05-01T00:00:00Z",
        }])
    };
    let of_units = json!({ "access_type": "QUANTITY", "schedule_items": items(40, &made["commits"][0]) });
    let of_money = json!({
        "access_type": "SPEND", "credit_type": { "id": USD, "name": "USD (cents)" },
        "schedule_items": items(70, &made["credits"][0]),
    });
    let of_contract = desk.asking(json!({ "contract_id": made["id"] }));
    let nested = desk.api.post("/v1/contracts/get", of_contract.clone()).await.data();
    let flat = desk.api.post("/v2/contracts/get", of_contract).await.data();
    for shown in [&made, &nested["initial"], &nested["current"], &flat] {
        assert_eq!(shown["commits"][0]["access_schedule"], of_units);
        assert_eq!(shown["credits"][0]["access_schedule"], of_money);
    }
    for (path, more, expected) in [
        (LIST, json!({ "include_contract_balances": true, "id": made["commits"][0]["id"] }), &of_units),
        (LIST, json!({ "include_contract_balances": true, "id": made["credits"][0]["id"] }), &of_money),
        (COMMITS, json!({ "include_contract_commits": true }), &of_units),
        (CREDITS, json!({ "include_contract_credits": true }), &of_money),
    ] {
        let listed = desk.api.post(path, desk.asking(more)).await.data();
        assert_eq!(&listed[0]["access_schedule"], expected, "{path}");
    }
}

#[tokio::test]
async fn a_net_balance_is_of_money_or_of_units() {
    let desk = Desk::new().await;
    let until = "2026-05-01";
    let commit = with(&desk.commit(100, until), "/priority", json!(1));
    let commit = desk.made(COMMIT, commit).await;
    desk.made(COMMIT, desk.money(1000, until)).await;
    let tokens = with(&desk.money(9, until), "/access_schedule/credit_type_id", json!(desk.world.unit));
    desk.made(CREDIT, without(&tokens, "/type")).await;
    let later = "/access_schedule/schedule_items/0/starting_at";
    desk.made(CREDIT, with(&desk.credit(500, until), later, json!("2026-04-01T00:00:00Z"))).await;
    let of_contract = without(&desk.credit(7, until), "/customer_id");
    desk.made(CREATE, desk.contract(json!({ "credits": [of_contract] }))).await;
    desk.uses("2026-03-09", 30).await;

    let unit = desk.world.unit.as_str();
    for (more, balance, of) in [
        (json!({}), 1000, USD),
        (json!({ "access_type": "SPEND" }), 1000, USD),
        (json!({ "access_type": "spend", "credit_type_id": unit }), 9, unit),
        (json!({ "access_type": "QUANTITY" }), 77, NONE),
        (json!({ "access_type": "quantity", "credit_type_id": null }), 77, NONE),
        (json!({ "access_type": "QUANTITY", "invoice_inclusion_mode": "FINALIZED" }), 107, NONE),
        (json!({ "access_type": "QUANTITY", "filters": [{ "balance_types": ["CREDIT"] }] }), 7, NONE),
        (
            json!({ "access_type": "QUANTITY", "filters": [{ "balance_types": ["PREPAID_COMMIT"] }] }),
            70,
            NONE,
        ),
        (json!({ "access_type": "QUANTITY", "filters": [{ "ids": [commit] }] }), 70, NONE),
        (json!({ "filters": [{ "ids": [commit] }] }), 0, USD),
        (
            json!({ "access_type": "QUANTITY", "filters": [{ "balance_types": ["POSTPAID_COMMIT"] }] }),
            0,
            NONE,
        ),
    ] {
        let expected = json!({ "balance": balance, "credit_type_id": of });
        assert_eq!(desk.net(more.clone()).await, expected, "{more}");
    }
    let named = "credit_type_id: cannot be combined with access_type `QUANTITY`";
    let of_units = |id: &str| desk.asking(json!({ "access_type": "QUANTITY", "credit_type_id": id }));
    refuse(
        &desk.api,
        NET,
        vec![
            (of_units(USD), named),
            (of_units(unit), named),
            (of_units(NOBODY), named),
            (of_units(NONE), named),
            (desk.asking(json!({ "credit_type_id": NONE })), "credit_type_id: pricing unit"),
            (desk.asking(json!({ "access_type": "UNITS" })), "access_type: "),
        ],
    )
    .await;
    desk.api.move_clock("2026-04-05T00:00:00Z").await;
    assert_eq!(desk.net(json!({ "access_type": "QUANTITY" })).await["balance"], 577, "what began since");
}

#[tokio::test]
async fn a_list_has_money_or_units_or_both() {
    let desk = Desk::new().await;
    let until = "2026-05-01";
    let units = desk.made(COMMIT, desk.commit(10, until)).await;
    let spent = with(&desk.commit(20, until), "/priority", json!(1));
    let spent = desk.made(COMMIT, spent).await;
    let gift = desk.made(CREDIT, desk.credit(5, until)).await;
    let money = desk.made(COMMIT, desk.money(50, until)).await;
    let own = without(&desk.credit(3, until), "/customer_id");
    let own = desk.api.post(CREATE, desk.contract(json!({ "credits": [own] }))).await.data();
    let own = own["contract"]["credits"][0]["id"].as_str().expect("an id").to_owned();
    desk.uses("2026-03-09", 20).await;
    let [units, spent, gift, money, own] = [&units, &spent, &gift, &money, &own].map(String::as_str);
    let of_units = |more: Value| {
        let mut filter = json!({ "access_type": "QUANTITY" });
        filter.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        filter
    };
    for (path, filter, expected) in [
        (LIST, json!({}), vec![units, spent, gift, money]),
        (LIST, json!({ "access_type": null }), vec![units, spent, gift, money]),
        (LIST, of_units(json!({})), vec![units, spent, gift]),
        (LIST, json!({ "access_type": "quantity", "limit": 1 }), vec![units, spent, gift]),
        (LIST, of_units(json!({ "include_contract_balances": true })), vec![units, spent, gift, own]),
        (LIST, of_units(json!({ "id": money })), vec![]),
        (LIST, of_units(json!({ "covering_date": "2026-05-01T00:00:00Z" })), vec![]),
        (LIST, of_units(json!({ "exclude_zero_balances": true, "limit": 1 })), vec![units, gift]),
        (LIST, json!({ "exclude_zero_balances": true, "limit": 1 }), vec![units, gift, money]),
        (LIST, json!({ "access_type": "SPEND", "limit": 1 }), vec![money]),
        (LIST, json!({ "access_type": "SPEND", "exclude_zero_balances": true }), vec![money]),
        (COMMITS, json!({}), vec![units, spent, money]),
        (COMMITS, of_units(json!({ "limit": 1 })), vec![units, spent]),
        (COMMITS, of_units(json!({ "include_contract_commits": true })), vec![units, spent]),
        (COMMITS, of_units(json!({ "commit_id": money })), vec![]),
        (COMMITS, json!({ "access_type": "SPEND" }), vec![money]),
        (CREDITS, json!({ "access_type": "SPEND" }), Vec::new()),
        (CREDITS, json!({ "access_type": "QUANTITY" }), vec![gift]),
    ] {
        assert_eq!(desk.ids(path, filter.clone()).await, expected, "{path} {filter}");
    }
    for path in [LIST, COMMITS] {
        let wrong = desk.asking(json!({ "access_type": "UNITS" }));
        refuse(&desk.api, path, vec![(wrong, "access_type: ")]).await;
        let page = desk.api.post(path, desk.asking(of_units(json!({ "limit": 1 })))).await;
        let next = &page.body["next_page"];
        assert!(next.is_string(), "{}", page.body);
        let of_other = desk.asking(json!({ "access_type": "SPEND", "limit": 1, "next_page": next }));
        refuse(&desk.api, path, vec![(of_other, "next_page: ")]).await;
    }
}

#[tokio::test]
async fn what_is_written_by_hand_and_edited_is_in_units() {
    let desk = Desk::new().await;
    let commit = desk.made(COMMIT, desk.commit(50, "2026-05-01")).await;
    desk.uses("2026-03-09", 80).await;
    assert_eq!(desk.state(&commit).await, (json!(0), json!(90)));
    let seen = desk.seen(&commit).await;
    // 60 units, and then 39.5.
    for (amount, total) in [("10", "60"), ("-20.5", "121.5")] {
        let entry = desk.entry(&seen, number(amount));
        assert_eq!(desk.api.post(ENTRY, entry).await.status, 200);
        assert_eq!(desk.state(&commit).await, (json!(0), number(total)), "{amount}");
    }
    let segment = &seen["access_schedule"]["schedule_items"][0]["id"];
    let edit = desk.asking(json!({
        "commit_id": commit, "invoice_contract_id": desk.world.contract,
        "access_schedule": { "update_schedule_items": [{ "id": segment, "amount": 100 }] },
        "invoice_schedule": { "add_schedule_items": [{ "timestamp": "2026-06-01T00:00:00Z", "amount": 700 }] },
    }));
    assert_eq!(desk.made(EDIT, edit).await, commit);
    assert_eq!(desk.state(&commit).await, (number("9.5"), json!(0)));
    let seen = desk.seen(&commit).await;
    assert_eq!(seen["access_schedule"]["access_type"], "QUANTITY");
    assert_eq!(seen["invoice_schedule"]["credit_type"]["id"], USD, "what is paid for it is money");
    let end = json!({ "commit_id": commit, "access_ending_before": "2026-03-05T00:00:00Z" });
    assert_eq!(desk.made(END, desk.asking(end)).await, commit);
    assert_eq!(desk.state(&commit).await, (json!(0), json!(240)), "the usage came after its end");
    assert_eq!(
        ledger(&desk.seen(&commit).await),
        [
            "2026-03-01 PREPAID_COMMIT_SEGMENT_START 100",
            "2026-03-01 PREPAID_COMMIT_MANUAL 10",
            "2026-03-01 PREPAID_COMMIT_MANUAL -20.5",
            "2026-03-05 PREPAID_COMMIT_EXPIRATION -89.5",
        ]
    );
}

/// Whichever comes first, the invoice takes the units that there were then, and the ledger sums.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_entry_of_units_that_races_a_finalization_comes_before_or_after_it() {
    let desk = Desk::new().await;
    let commit = desk.made(COMMIT, desk.commit(1000, "2026-04-01")).await;
    desk.uses("2026-03-09", 1500).await;
    let seen = desk.seen(&commit).await;
    let entries = (0..4).map(|_| (ENTRY.to_owned(), desk.entry(&seen, json!(100))));
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
    assert_eq!(desk.state(&commit).await, (json!(0), json!(3 * (1500 - drawn))));
    assert_eq!(faults(&desk.api).await, [""; 0]);
}

/// What a draft takes is what the final invoice takes, and no reader sees both or neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn as_many_units_are_left_for_whoever_reads_while_an_invoice_is_finalized() {
    let desk = Desk::new().await;
    let commit = desk.made(COMMIT, desk.commit(100, "2026-05-01")).await;
    desk.uses("2026-03-09", 30).await;
    let api = desk.api.clone();
    let clock = tokio::spawn(async move { api.move_clock("2026-04-05T00:00:00Z").await });
    let replicas = [desk.api.clone(), desk.api.replica()];
    let requests = [
        (NET, desk.asking(json!({ "access_type": "QUANTITY" }))),
        (LIST, desk.asking(json!({ "access_type": "QUANTITY", "include_balance": true }))),
        (COMMITS, desk.asking(json!({ "access_type": "QUANTITY", "include_balance": true }))),
    ];
    let mut reading = JoinSet::new();
    for index in 0..60 {
        let (api, (path, body)) = (replicas[index % 2].clone(), requests[index % 3].clone());
        reading.spawn(async move { api.post(path, body).await });
    }
    for answer in reading.join_all().await {
        let read = answer.data();
        assert_eq!(read.get(0).unwrap_or(&read)["balance"], 70, "{read}");
    }
    clock.await.expect("the clock has moved");
    let march = desk.api.invoice(&desk.world.customer, "2026-03-01").await;
    assert_eq!((&march["status"], &march["total"]), (&json!("FINALIZED"), &json!(0)));
    assert_eq!(
        ledger(&desk.seen(&commit).await),
        [
            "2026-03-01 PREPAID_COMMIT_SEGMENT_START 100",
            "2026-04-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -30",
        ]
    );
    assert_eq!(faults(&desk.api).await, [""; 0]);
}

/// Each bills the 80 tokens: 100 units pay for one and for a quarter of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_contracts_share_the_units_of_one_commit() {
    let desk = Desk::new().await;
    let commit = desk.made(COMMIT, desk.commit(100, "2026-05-01")).await;
    let second = desk.contract(json!({ "rate_card_id": desk.world.card }));
    desk.made(CREATE, second).await;
    desk.uses("2026-03-09", 80).await;
    let march = async || {
        let mut invoices = desk.api.invoices(&desk.world.customer).await;
        invoices
            .retain(|invoice| invoice["start_timestamp"].as_str().expect("a start").starts_with("2026-03"));
        let shown = |invoice: &Value| {
            format!("{} {}", invoice["status"].as_str().expect("a status"), invoice["total"])
        };
        let mut shown: Vec<String> = invoices.iter().map(shown).collect();
        shown.sort();
        shown
    };
    assert_eq!(march().await, ["DRAFT 0", "DRAFT 180"]);
    assert_eq!(desk.seen(&commit).await["balance"], 0);
    let clock = ("/sandbox/clock".to_owned(), json!({ "now": "2026-04-05T00:00:00Z" }));
    assert_eq!(race(&desk.api, [clock.clone(), clock]).await, BTreeMap::from([(200, 2)]));
    assert_eq!(march().await, ["FINALIZED 0", "FINALIZED 180"]);
    let mut entries = ledger(&desk.seen(&commit).await);
    entries.sort();
    assert_eq!(
        entries,
        [
            "2026-03-01 PREPAID_COMMIT_SEGMENT_START 100",
            "2026-04-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -20",
            "2026-04-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -80",
        ]
    );
    assert_eq!(faults(&desk.api).await, [""; 0]);
}
