//! Contracts that renew others: what is refused, what is taken over while the old contract's last statement is a draft, and
//! what stays so (reference: contracts 5.5, credits and commits 12).

use serde_json::{Value, json};
use upbeat::money::Decimal;

use crate::contract_ends::faults;
use crate::support::Api;
use crate::world::{World, number, refuse, with, without};

const CREATE: &str = "/v1/contracts/create";
const LIST: &str = "/v1/contracts/customerBalances/list";
const END: &str = "/v1/contracts/updateEndDate";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

/// A customer whose tokens cost 3 each, on a contract from March on that has commits and credits.
pub struct Desk {
    pub api: Api,
    pub world: World,
    pub old: String,
}

impl Desk {
    /// With one commit.
    async fn new(commit: Value) -> Self {
        Self::with(json!({ "commits": [commit] })).await
    }

    /// With these terms, whose commits and credits name no product.
    pub async fn with(mut terms: Value) -> Self {
        let api = Api::at("2026-03-10T12:00:00Z").await;
        let world = World::new(&api).await;
        // The world's own contract would bill the same usage.
        let end = json!({ "customer_id": world.customer, "contract_id": world.contract });
        assert_eq!(
            api.post("/v1/contracts/archive", with(&end, "/void_invoices", json!(true))).await.status,
            200
        );
        for granted in terms.as_object_mut().expect("terms").values_mut().filter_map(Value::as_array_mut) {
            for one in granted {
                one["product_id"] = json!(world.fee);
            }
        }
        terms["customer_id"] = json!(world.customer);
        terms["rate_card_id"] = json!(world.card);
        terms["starting_at"] = json!("2026-03-01T00:00:00Z");
        let old = api.post(CREATE, terms).await.id();
        Self { api, world, old }
    }

    pub fn renewal(&self, at: &str) -> Value {
        json!({
            "customer_id": self.world.customer, "rate_card_id": self.world.card,
            "starting_at": format!("{at}T00:00:00Z"),
            "transition": { "type": "RENEWAL", "from_contract_id": self.old },
        })
    }

    pub async fn spend(&self, day: &str, cents: i64) {
        let properties = json!({ "tokens": cents / 3, "model": "small" });
        self.api.event("acct-1", &format!("{day}T05:00:00Z"), properties).await;
    }

    pub async fn clock(&self, day: &str) {
        self.api.move_clock(&format!("{day}T12:00:00Z")).await;
    }

    /// The old commit and what was taken over of it.
    pub async fn both(&self) -> (Value, Value) {
        let all = self.all().await;
        assert_eq!(all.len(), 2, "{all:?}");
        (all[0].clone(), all[1].clone())
    }

    /// All commits and credits by creation, archived ones too.
    pub async fn all(&self) -> Vec<Value> {
        let request = json!({
            "customer_id": self.world.customer, "include_ledgers": true, "include_balance": true,
            "include_contract_balances": true, "include_archived": true, "limit": 25,
        });
        let answer = self.api.post(LIST, request).await;
        assert_eq!(answer.body["next_page"], Value::Null, "one page holds all");
        answer.data().as_array().expect("a list").clone()
    }

    /// Checks that nothing is lost and nothing there twice: what was taken of the one is what the other begins with,
    /// every ledger sums to what is left, and every invoice follows from the facts.
    pub async fn is_sound(&self) {
        let all = self.all().await;
        let number = |value: &Value| value.to_string().parse::<Decimal>().expect("a number");
        let entries = |balance: &Value| balance["ledger"].as_array().cloned().unwrap_or_default();
        let of_type = |entry: &&Value, part: &str| entry["type"].as_str().expect("a type").ends_with(part);
        for taken in all.iter().filter(|balance| balance.get("rolled_over_from").is_some()) {
            let from = &taken["rolled_over_from"];
            let origin =
                if from.get("commit_id").is_some() { &from["commit_id"] } else { &from["credit_id"] };
            let origin = all.iter().find(|balance| balance["id"] == *origin).expect("its origin is listed");
            let mut rollovers = entries(origin);
            rollovers.retain(|entry| of_type(&entry, "_ROLLOVER"));
            let moved: Decimal = rollovers
                .iter()
                .filter(|entry| entry["new_contract_id"] == taken["contract"]["id"])
                .map(|entry| number(&entry["amount"]))
                .sum();
            let begins = number(amount(taken));
            assert_eq!(-moved, begins, "of {origin} something else is taken than {taken} begins with");
        }
        // Of a promise that is over, what is still to be billed stands in the ledger.
        for balance in all.iter().filter(|balance| balance["type"] != "POSTPAID") {
            let sum: Decimal = entries(balance).iter().map(|entry| number(&entry["amount"])).sum();
            assert_eq!(sum, number(&balance["balance"]), "{balance}");
        }
        assert_eq!(faults(&self.api).await, Vec::<String>::new());
    }
}

pub fn commit(kind: &str, fraction: &str) -> Value {
    let mut commit = json!({
        "type": kind, "name": "Commit", "priority": 1, "rollover_fraction": number(fraction),
        "access_schedule": { "schedule_items": [{
            "amount": 900, "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2027-03-01T00:00:00Z",
        }] },
    });
    if kind == "POSTPAID" {
        commit["invoice_schedule"] =
            json!({ "schedule_items": [{ "amount": 900, "timestamp": "2027-03-01T00:00:00Z" }] });
    }
    commit
}

/// A ledger as `03-01 PREPAID_COMMIT_SEGMENT_START 900`.
pub fn ledger(balance: &Value) -> Vec<String> {
    let entry = |entry: &Value| {
        let (at, kind) =
            (entry["timestamp"].as_str().expect("an instant"), entry["type"].as_str().expect("a type"));
        format!("{} {kind} {}", &at[5..10], entry["amount"])
    };
    balance["ledger"].as_array().expect("a ledger").iter().map(entry).collect()
}

pub fn amount(balance: &Value) -> &Value {
    &balance["access_schedule"]["schedule_items"][0]["amount"]
}

#[tokio::test]
async fn what_cannot_be_renewed_is_refused_by_name() {
    let desk = Desk::new(commit("PREPAID", "1")).await;
    let good = desk.renewal("2026-04-01");
    let of = |field: &str, value: Value| with(&good, &format!("/transition/{field}"), value);
    let cases = vec![
        (of("type", json!("SUPERSEDE")), "transition.type"),
        (
            of("future_invoice_behavior", json!({ "trueup": "LATER" })),
            "transition.future_invoice_behavior.trueup",
        ),
        (
            of("from_contract_id", json!(desk.world.contract)),
            "transition.from_contract_id: the contract is archived",
        ),
        (with(&good, "/starting_at", json!("2026-03-01T00:00:00Z")), "starting_at: must be after the start"),
        (with(&good, "/starting_at", json!("2026-02-01T00:00:00Z")), "starting_at: must be after the start"),
    ];
    refuse(&desk.api, CREATE, cases).await;
    let stranger = desk.api.customer("acct-9").await;
    let missing = vec![
        (of("from_contract_id", json!(UNKNOWN)), "transition.from_contract_id: customer"),
        (with(&good, "/customer_id", json!(stranger)), "transition.from_contract_id: customer"),
        (of("from_contract_id", json!("x")), "transition.from_contract_id"),
        (of("from_contract_id", json!(null)), "transition.from_contract_id"),
        (without(&good, "/transition/from_contract_id"), "`from_contract_id`"),
        (without(&good, "/transition/type"), "`type`"),
        (with(&good, "/transition", json!("RENEWAL")), "transition"),
    ];
    refuse(&desk.api, CREATE, missing).await;
    desk.api.post(CREATE, with(&good, "/customer_id", json!(UNKNOWN))).await.refused(404, &["customer"]);
    let first = json!({ "customer": { "name": "a" }, "contract": without(&good, "/customer_id") });
    desk.api
        .post("/v1/composite/createCustomerWithContract", first)
        .await
        .refused(400, &["contract.transition"]);
    let shown = desk
        .api
        .post("/v2/contracts/get", json!({ "customer_id": desk.world.customer, "contract_id": desk.old }));
    let shown = shown.await.data();
    assert_eq!((&shown["transitions"], shown.get("ending_before")), (&json!([]), None), "nothing was begun");

    let new = desk.api.post(CREATE, of("type", json!("renewal"))).await.id();
    let already = format!("contract {new} renewed it already");
    let later = with(&good, "/starting_at", json!("2026-05-01T00:00:00Z"));
    refuse(&desk.api, CREATE, vec![(later, &already)]).await;
    let old = json!({ "customer_id": desk.world.customer, "contract_id": desk.old });
    let held = format!("contract_id: contract {new} renewed it and took over");
    refuse(&desk.api, END, vec![(with(&old, "/ending_before", json!("2026-05-01T00:00:00Z")), &held)]).await;
    refuse(&desk.api, "/v1/contracts/archive", vec![(with(&old, "/void_invoices", json!(false)), &held)])
        .await;
}

#[tokio::test]
async fn a_late_event_on_the_old_contract_changes_what_is_taken_over() {
    let desk = Desk::new(commit("PREPAID", "0.5")).await;
    desk.spend("2026-03-09", 300).await;
    desk.clock("2026-04-01").await;
    let created = desk.api.post(CREATE, desk.renewal("2026-04-01")).await.data();
    let new = created["id"].as_str().expect("an id").to_owned();
    let transition = json!([{ "type": "RENEWAL", "from_contract_id": desk.old, "to_contract_id": new }]);
    assert_eq!(created["contract"]["transitions"], transition);
    let (old, taken) = desk.both().await;
    assert_eq!((amount(&taken), &taken["balance"], &old["balance"]), (&json!(450), &json!(450), &json!(0)));
    assert_eq!(taken["rolled_over_from"], json!({ "commit_id": old["id"], "contract_id": desk.old }));
    for field in ["rollover_fraction", "invoice_schedule", "created_by"] {
        assert_eq!(taken.get(field), None, "{field}");
    }
    // March is a draft until noon of the second.
    desk.spend("2026-03-31", 240).await;
    let (old, taken) = desk.both().await;
    assert_eq!(
        (amount(&taken), &taken["balance"]),
        (&json!(360), &json!(360)),
        "what is left is less than half"
    );
    let read = json!({ "customer_id": desk.world.customer, "contract_id": new });
    let shown = desk.api.post("/v2/contracts/get", read).await.data();
    assert_eq!((amount(&shown["commits"][0]), &shown["transitions"]), (&json!(360), &transition));
    desk.spend("2026-04-01", 390).await;
    let draft = desk.api.invoice(&desk.world.customer, "2026-04-01").await;
    assert_eq!(draft["total"], json!(30));
    assert_eq!(
        ledger(&old),
        [
            "03-01 PREPAID_COMMIT_SEGMENT_START 900",
            "04-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -540",
            "04-01 PREPAID_COMMIT_ROLLOVER -360",
        ]
    );
    desk.clock("2026-05-03").await;
    desk.api.work().await;
    let (old, taken) = desk.both().await;
    assert_eq!(
        ledger(&taken),
        ["04-01 PREPAID_COMMIT_SEGMENT_START 360", "05-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -360"]
    );
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());

    // From the first usage invoice of the new contract on, nothing changes it.
    let segment = &old["access_schedule"]["schedule_items"][0]["id"];
    let edit = |id: &Value| {
        json!({
            "customer_id": desk.world.customer, "commit_id": id,
            "access_schedule": { "update_schedule_items": [{ "id": segment, "amount": 90 }] },
        })
    };
    let path = "/v2/contracts/commits/edit";
    refuse(&desk.api, path, vec![(edit(&old["id"]), "access_schedule: a renewal took over")]).await;
    refuse(&desk.api, path, vec![(edit(&taken["id"]), "commit_id: what a renewal took over")]).await;
    let archive = |id: &Value| json!({ "customer_id": desk.world.customer, "commit_id": id });
    let cases = vec![
        (archive(&old["id"]), "commit_id: a renewal took over"),
        (archive(&taken["id"]), "commit_id: what a renewal took over"),
    ];
    refuse(&desk.api, "/v2/contracts/commits/archive", cases).await;
    let end = with(&archive(&taken["id"]), "/access_ending_before", json!("2026-06-01T00:00:00Z"));
    refuse(
        &desk.api,
        "/v1/contracts/customerCommits/updateEndDate",
        vec![(end, "commit_id: what a renewal")],
    )
    .await;

    // What a void invoice gives back is not drawn once more.
    let march = desk.api.invoice(&desk.world.customer, "2026-03-01").await["id"].clone();
    assert_eq!(desk.api.post("/v1/invoices/void", json!({ "id": march })).await.status, 200);
    assert_eq!(desk.api.post("/v1/invoices/regenerate", json!({ "id": march })).await.status, 200);
    let (old, taken) = desk.both().await;
    assert_eq!(ledger(&old).last().map(String::as_str), Some("04-01 PREPAID_COMMIT_ROLLOVER -360"));
    assert_eq!(amount(&taken), &json!(360));
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_promise_moves_and_what_is_short_of_the_rest_is_billed_or_not() {
    for (trueup, closing, total) in
        [(json!(null), "TRUEUP", 150), (json!("AS_IS"), "TRUEUP", 150), (json!("remove"), "EXPIRATION", 0)]
    {
        let desk = Desk::new(commit("POSTPAID", "0.5")).await;
        desk.spend("2026-03-09", 300).await;
        desk.clock("2026-04-01").await;
        let behavior = json!({ "trueup": trueup });
        let new = with(&desk.renewal("2026-04-01"), "/transition/future_invoice_behavior", behavior);
        let new = with(&new, "/ending_before", json!("2026-06-01T00:00:00Z"));
        desk.api.post(CREATE, new).await.id();
        desk.clock("2026-06-03").await;
        desk.api.work().await;
        let (old, taken) = desk.both().await;
        assert_eq!(
            ledger(&old),
            [
                "03-01 POSTPAID_COMMIT_INITIAL_BALANCE 900".to_owned(),
                "04-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -300".to_owned(),
                "04-01 POSTPAID_COMMIT_ROLLOVER -450".to_owned(),
                format!("04-01 POSTPAID_COMMIT_{closing} -150"),
            ],
            "{trueup}"
        );
        assert_eq!(
            ledger(&taken),
            ["04-01 POSTPAID_COMMIT_INITIAL_BALANCE 450", "06-01 POSTPAID_COMMIT_TRUEUP -450"]
        );
        let path = format!("/v1/customers/{}/invoices?type=SCHEDULED&status=FINALIZED", desk.world.customer);
        let billed = desk.api.get(&path).await.data();
        let totals: Vec<i64> =
            billed.as_array().expect("a list").iter().filter_map(|one| one["total"].as_i64()).collect();
        assert_eq!(totals.iter().sum::<i64>(), total + 450, "{billed}");
        assert_eq!(faults(&desk.api).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_renewal_by_mistake_gives_back_what_it_took() {
    let desk = Desk::new(commit("PREPAID", "1")).await;
    let new = desk.api.post(CREATE, desk.renewal("2026-04-01")).await.id();
    let archive = json!({ "customer_id": desk.world.customer, "contract_id": new, "void_invoices": true });
    assert_eq!(desk.api.post("/v1/contracts/archive", archive).await.status, 200);
    let open = json!({ "customer_id": desk.world.customer, "contract_id": desk.old });
    assert_eq!(desk.api.post(END, open).await.status, 200);
    desk.clock("2026-04-10").await;
    desk.spend("2026-04-05", 300).await;
    let (old, _) = desk.both().await;
    assert_eq!((&old["balance"], ledger(&old).len()), (&json!(600), 2), "{old}");
    let again = desk.api.post(CREATE, desk.renewal("2026-05-01")).await.data()["contract"].clone();
    assert_eq!(again["transitions"].as_array().map(Vec::len), Some(1));
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
}
