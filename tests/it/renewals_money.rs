//! What renewals make of money, whatever happens to both contracts before and afterwards: nothing is lost, and nothing
//! is there twice (reference: credits and commits, section 12).

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::concurrency::race;
use crate::contract_ends::faults;
use crate::renewals::{Desk, amount, commit, ledger};
use crate::support::Api;
use crate::world::{beyond_all_bounds, number, refuse, with, without};

const CREATE: &str = "/v1/contracts/create";
const END: &str = "/v1/contracts/updateEndDate";
const ARCHIVE: &str = "/v1/contracts/archive";
const VOID: &str = "/v1/invoices/void";
const REGENERATE: &str = "/v1/invoices/regenerate";
const WRITE: &str = "/v1/contracts/addManualBalanceLedgerEntry";

/// What a commit or credit grants: its name, its priority, what of it may be taken over, and its segments.
fn granted(name: &str, priority: i64, fraction: &str, segments: &[(i64, &str, &str)]) -> Value {
    let segment = |(amount, from, to): &(i64, &str, &str)| {
        json!({
            "amount": amount, "starting_at": format!("{from}T00:00:00Z"), "ending_before": format!("{to}T00:00:00Z"),
        })
    };
    let segments: Vec<Value> = segments.iter().map(segment).collect();
    let mut granted =
        json!({ "name": name, "priority": priority, "access_schedule": { "schedule_items": segments } });
    if !fraction.is_empty() {
        granted["rollover_fraction"] = number(fraction);
    }
    granted
}

fn prepaid(name: &str, priority: i64, fraction: &str, segments: &[(i64, &str, &str)]) -> Value {
    with(&granted(name, priority, fraction, segments), "/type", json!("PREPAID"))
}

impl Desk {
    /// The new contract, which is open-ended.
    async fn renewed(&self, at: &str) -> String {
        self.api.post(CREATE, self.renewal(at)).await.id()
    }

    async fn ok(&self, path: &str, body: Value) {
        let answer = self.api.post(path, body.clone()).await;
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.body);
    }

    fn of(&self, contract: &str) -> Value {
        json!({ "customer_id": self.world.customer, "contract_id": contract })
    }

    /// An entry by hand into the first segment of a balance.
    fn entry(&self, balance: &Value, amount: i64) -> Value {
        json!({
            "customer_id": self.world.customer, "id": balance["id"], "contract_id": balance["contract"]["id"],
            "segment_id": balance["access_schedule"]["schedule_items"][0]["id"], "amount": amount, "reason": "r",
        })
    }

    /// The id of the usage invoice that starts on this date and is finalized.
    async fn finalized(&self, start: &str) -> Value {
        let invoices = self.api.invoices(&self.world.customer).await;
        let is_meant = |invoice: &&Value| {
            let starts = invoice["start_timestamp"].as_str().is_some_and(|text| text.starts_with(start));
            starts && invoice["status"] == "FINALIZED" && invoice["type"] == "USAGE"
        };
        invoices.iter().find(is_meant).unwrap_or_else(|| panic!("{start} of {invoices:?}"))["id"].clone()
    }

    /// `STATUS date total` of the scheduled invoices.
    async fn scheduled(&self) -> Vec<String> {
        let invoices = self.api.invoices(&self.world.customer).await;
        let scheduled = invoices.iter().filter(|invoice| invoice["type"] == "SCHEDULED");
        let shown = |invoice: &Value| {
            let date = &invoice["start_timestamp"].as_str().expect("a date")[5..10];
            format!("{} {date} {}", invoice["status"].as_str().expect("a status"), invoice["total"])
        };
        scheduled.map(shown).collect()
    }

    /// What was taken over, as `name amount`, without what is archived; by name.
    async fn taken(&self) -> Vec<String> {
        let mut all = self.all().await;
        all.retain(|one| one.get("rolled_over_from").is_some() && one.get("archived_at").is_none());
        let shown = |one: &Value| format!("{} {}", one["name"].as_str().expect("a name"), amount(one));
        let mut shown: Vec<String> = all.iter().map(shown).collect();
        shown.sort();
        shown
    }
}

#[tokio::test]
async fn each_segment_that_is_open_just_before_takes_part_up_to_its_cap() {
    let year = |amount| [(amount, "2026-03-01", "2027-03-01")];
    let two = [(50, "2026-03-01", "2026-04-01"), (60, "2026-04-01", "2026-09-01")];
    let commits = json!([
        prepaid("All", 9, "1", &year(900)),
        prepaid("Spent", 1, "0.25", &year(500)),
        prepaid("No fraction", 9, "", &year(100)),
        prepaid("Nothing of it", 9, "0", &year(100)),
        prepaid("Ends just then", 8, "1", &two),
        prepaid("Later", 9, "1", &[(70, "2026-05-01", "2026-09-01")]),
        prepaid("Gone before", 9, "1", &[(70, "2026-03-01", "2026-03-15")]),
    ]);
    let credits = json!([granted("Gift", 2, "0.5", &year(300)), granted("Third", 9, "0.3333", &year(100))]);
    let desk = Desk::with(json!({ "commits": commits, "credits": credits })).await;
    desk.spend("2026-03-09", 600).await;
    desk.clock("2026-04-01").await;
    desk.renewed("2026-04-01").await;
    let taken = ["All 900", "Ends just then 50", "Gift 150", "Third 33.33"];
    assert_eq!(
        desk.taken().await,
        [&taken[..3], &["Spent 0", taken[3]]].concat(),
        "live, as long as it may change"
    );
    desk.clock("2026-05-03").await;
    assert_eq!(desk.taken().await, taken);
    let gift = desk.all().await.into_iter().find(|one| one["name"] == "Gift").expect("the gift");
    assert_eq!(
        ledger(&gift),
        [
            "03-01 CREDIT_SEGMENT_START 300",
            "04-01 CREDIT_AUTOMATED_INVOICE_DEDUCTION -100",
            "04-01 CREDIT_ROLLOVER -150",
            "04-01 CREDIT_EXPIRATION -50",
        ]
    );
    desk.is_sound().await;
}

#[tokio::test]
async fn until_it_is_final_it_moves_with_all_that_changes_the_old_contract() {
    let desk = Desk::with(json!({ "commits": [commit("PREPAID", "1")] })).await;
    desk.spend("2026-03-09", 300).await;
    desk.clock("2026-04-03").await;
    desk.renewed("2026-04-01").await;
    assert_eq!(desk.taken().await, ["Commit 600"]);
    let march = desk.finalized("2026-03-01").await;
    desk.ok(VOID, json!({ "id": march })).await;
    assert_eq!(desk.taken().await, ["Commit 900"], "a void invoice draws nothing");
    desk.spend("2026-03-31", 60).await;
    desk.ok(REGENERATE, json!({ "id": march })).await;
    assert_eq!(desk.taken().await, ["Commit 540"]);
    let (old, taken) = desk.both().await;
    desk.ok(WRITE, desk.entry(&old, -40)).await;
    assert_eq!(desk.taken().await, ["Commit 500"]);
    desk.ok(WRITE, desk.entry(&old, -1000)).await;
    assert_eq!(desk.taken().await, ["Commit 0"], "below nothing there is nothing to take");
    desk.ok(WRITE, desk.entry(&old, 1000)).await;
    desk.ok(WRITE, desk.entry(&taken, 7)).await;
    assert_eq!(desk.taken().await, ["Commit 500"], "what is given to the new one is its own");
    let segment = &old["access_schedule"]["schedule_items"][0]["id"];
    let edit = json!({
        "customer_id": desk.world.customer, "commit_id": old["id"],
        "access_schedule": { "update_schedule_items": [{ "id": segment, "amount": 800 }] },
    });
    desk.ok("/v2/contracts/commits/edit", edit).await;
    assert_eq!(desk.taken().await, ["Commit 400"]);
    desk.spend("2026-04-02", 900).await;
    let draft = desk.api.invoice(&desk.world.customer, "2026-04-01").await;
    assert_eq!(draft["total"], json!(493));
    desk.clock("2026-05-03").await;
    let april = desk.api.invoice(&desk.world.customer, "2026-04-01").await;
    assert_eq!((&april["total"], &april["status"]), (&json!(493), &json!("FINALIZED")));
    assert_eq!(desk.taken().await, ["Commit 400"]);
    desk.is_sound().await;
}

#[tokio::test]
async fn once_it_is_final_no_invoice_of_the_old_contract_changes_it() {
    for (late, expired) in [(0, -150), (210, 0), (-90, -240)] {
        let desk = Desk::with(json!({ "commits": [commit("PREPAID", "0.5")] })).await;
        desk.spend("2026-03-09", 300).await;
        desk.clock("2026-04-03").await;
        desk.renewed("2026-04-01").await;
        desk.clock("2026-05-03").await;
        assert_eq!(desk.taken().await, ["Commit 450"]);
        desk.spend("2026-03-31", late).await;
        let march = desk.finalized("2026-03-01").await;
        desk.ok(VOID, json!({ "id": march })).await;
        assert_eq!(desk.taken().await, ["Commit 450"]);
        desk.is_sound().await;
        desk.ok(REGENERATE, json!({ "id": march })).await;
        let (old, _) = desk.both().await;
        let sum = |kind: &str| -> i64 {
            let entries = old["ledger"].as_array().expect("a ledger").iter();
            let of_kind =
                entries.filter(|entry| entry["type"].as_str().is_some_and(|one| one.contains(kind)));
            of_kind.filter_map(|entry| entry["amount"].as_i64()).sum()
        };
        let drawn = sum("DEDUCTION") + sum("CANCELED");
        assert_eq!((sum("ROLLOVER"), drawn, sum("EXPIRATION")), (-450, -450 - expired, expired), "{old}");
        let march = desk.finalized("2026-03-01").await;
        let path =
            format!("/v1/customers/{}/invoices/{}", desk.world.customer, march.as_str().expect("an id"));
        let due = 300 + late - (450 + expired);
        assert_eq!(desk.api.get(&path).await.data()["total"], json!(due), "what is not there to draw is due");
        desk.is_sound().await;
    }
}

#[tokio::test]
async fn a_contract_that_is_archived_keeps_only_what_its_invoices_drew() {
    for (void_invoices, kept) in [(true, 0), (false, 240)] {
        let desk = Desk::with(json!({ "commits": [commit("PREPAID", "1")] })).await;
        desk.spend("2026-03-09", 300).await;
        desk.clock("2026-04-10").await;
        let new = desk.renewed("2026-04-01").await;
        desk.spend("2026-04-05", 240).await;
        desk.clock("2026-05-03").await;
        let (old, taken) = desk.both().await;
        assert_eq!((amount(&taken), &taken["balance"]), (&json!(600), &json!(360)));
        let archive = with(&desk.of(&new), "/void_invoices", json!(void_invoices));
        desk.ok(ARCHIVE, archive).await;
        let (_, taken) = desk.both().await;
        assert_eq!((amount(&taken), &taken["balance"]), (&json!(kept), &json!(0)));
        desk.is_sound().await;
        // The old contract goes on, and its April is billed as well.
        desk.ok(END, desk.of(&desk.old)).await;
        desk.api.work().await;
        let (again, _) = desk.both().await;
        assert_eq!(again["id"], old["id"]);
        assert_eq!(again["balance"], json!(900 - 300 - 240 - kept), "{again}");
        desk.is_sound().await;
        // What was given back may be taken over again.
        desk.renewed("2026-06-01").await;
        assert_eq!(desk.taken().await, [format!("Commit {}", 360 - kept)]);
        desk.clock("2026-07-03").await;
        desk.is_sound().await;
    }
}

#[tokio::test]
async fn with_their_customer_both_contracts_are_archived() {
    let desk = Desk::with(json!({ "commits": [commit("PREPAID", "1"), commit("POSTPAID", "1")] })).await;
    desk.spend("2026-03-09", 300).await;
    desk.clock("2026-04-03").await;
    desk.renewed("2026-04-01").await;
    desk.clock("2026-05-03").await;
    desk.ok("/v1/customers/archive", json!({ "id": desk.world.customer })).await;
    let all = desk.all().await;
    let taken = all.iter().filter(|one| one.get("rolled_over_from").is_some());
    assert_eq!(taken.map(amount).collect::<Vec<_>>(), [&json!(0), &json!(0)]);
    desk.is_sound().await;
}

#[tokio::test]
async fn of_a_promise_that_was_kept_nothing_moves_and_of_one_that_is_whole_all() {
    for (spent, moved, invoices) in [
        (900, "[]", vec![]),
        (0, r#"["Commit 900"]"#, vec!["FINALIZED 06-01 900"]),
        (600, r#"["Commit 300"]"#, vec!["FINALIZED 06-01 300"]),
    ] {
        let desk = Desk::with(json!({ "commits": [commit("POSTPAID", "1")] })).await;
        desk.spend("2026-03-09", spent).await;
        desk.clock("2026-04-01").await;
        let new = desk.renewed("2026-04-01").await;
        assert_eq!(desk.scheduled().await.len(), invoices.len(), "drafts");
        desk.clock("2026-05-03").await;
        assert_eq!(format!("{:?}", desk.taken().await), moved);
        desk.is_sound().await;
        // What is short is billed where the new contract ends after all.
        desk.ok(END, with(&desk.of(&new), "/ending_before", json!("2026-06-01T00:00:00Z"))).await;
        desk.clock("2026-06-03").await;
        desk.api.work().await;
        assert_eq!(desk.scheduled().await, invoices, "{spent}");
        desk.is_sound().await;
    }
}

/// A true-up bills all that is short of a promise, so that nothing is left for a contract that is agreed late.
#[tokio::test]
async fn of_a_promise_that_is_billed_as_short_nothing_is_taken_over() {
    let terms = json!({ "commits": [commit("POSTPAID", "1")], "ending_before": "2026-04-01T00:00:00Z" });
    let desk = Desk::with(terms).await;
    desk.spend("2026-03-09", 600).await;
    desk.clock("2026-04-03").await;
    assert_eq!(desk.scheduled().await, ["FINALIZED 04-01 300"]);
    desk.renewed("2026-04-01").await;
    assert_eq!(desk.taken().await, [""; 0]);
    desk.is_sound().await;
    desk.clock("2026-05-03").await;
    assert_eq!(desk.scheduled().await, ["FINALIZED 04-01 300"]);
    desk.is_sound().await;
}

/// Where its true-up was void then, a part is taken over, and the true-up that is made anew bills the rest: what is billed anew of
/// usage draws neither.
#[tokio::test]
async fn what_is_taken_over_of_a_promise_is_final_as_a_void_true_up_is_made_anew() {
    let terms = json!({ "commits": [commit("POSTPAID", "0.1")], "ending_before": "2026-04-01T00:00:00Z" });
    let desk = Desk::with(terms).await;
    desk.spend("2026-03-09", 600).await;
    desk.clock("2026-04-03").await;
    let invoices = desk.api.invoices(&desk.world.customer).await;
    let true_up = invoices.iter().find(|invoice| invoice["type"] == "SCHEDULED").expect("a true-up");
    desk.ok(VOID, json!({ "id": true_up["id"] })).await;
    desk.renewed("2026-04-01").await;
    desk.ok(REGENERATE, json!({ "id": true_up["id"] })).await;
    let scheduled = desk.scheduled().await;
    assert!(scheduled.contains(&"FINALIZED 04-01 210".to_owned()), "{scheduled:?}");
    desk.is_sound().await;
    desk.spend("2026-03-31", 200).await;
    let march = desk.finalized("2026-03-01").await;
    desk.ok(VOID, json!({ "id": march })).await;
    desk.ok(REGENERATE, json!({ "id": march })).await;
    desk.clock("2026-05-03").await;
    assert_eq!(desk.taken().await, ["Commit 90"]);
    let (old, _) = desk.both().await;
    let drawn = ledger(&old).into_iter().filter(|entry| entry.contains("DEDUCTION"));
    assert_eq!(drawn.collect::<Vec<_>>(), ["04-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -600"]);
    desk.is_sound().await;
}

#[tokio::test]
async fn usage_that_is_void_later_leaves_more_of_the_promise_to_the_old_contract() {
    let desk = Desk::with(json!({ "commits": [commit("POSTPAID", "1")] })).await;
    desk.spend("2026-03-09", 600).await;
    desk.clock("2026-04-03").await;
    desk.renewed("2026-04-01").await;
    desk.clock("2026-05-03").await;
    assert_eq!(desk.taken().await, ["Commit 300"]);
    desk.spend("2026-03-31", -150).await;
    let march = desk.finalized("2026-03-01").await;
    desk.ok(VOID, json!({ "id": march })).await;
    desk.is_sound().await;
    assert_eq!(desk.scheduled().await, ["DRAFT 04-01 600", "DRAFT 04-01 300"]);
    desk.ok(REGENERATE, json!({ "id": march })).await;
    desk.api.work().await;
    let (old, _) = desk.both().await;
    assert_eq!(
        ledger(&old),
        [
            "03-01 POSTPAID_COMMIT_INITIAL_BALANCE 900",
            "04-01 POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -450",
            "04-01 POSTPAID_COMMIT_ROLLOVER -300",
            "04-01 POSTPAID_COMMIT_TRUEUP -150",
        ]
    );
    desk.is_sound().await;
}

/// Nobody bills what is short of it then, and the amount that is final is written all the same.
#[tokio::test]
async fn what_is_taken_over_of_a_promise_is_final_also_where_its_true_up_is_disabled() {
    let desk = Desk::with(json!({ "commits": [commit("POSTPAID", "0.5")] })).await;
    desk.spend("2026-03-09", 600).await;
    desk.clock("2026-04-03").await;
    let new = desk.renewed("2026-04-01").await;
    assert_eq!(desk.taken().await, ["Commit 300"], "of 450 at most");
    let (_, taken) = desk.both().await;
    let disable = with(&desk.of(&new), "/commit_id", taken["id"].clone());
    desk.ok("/v1/contracts/commits/disableTrueup", disable).await;
    desk.ok(WRITE, desk.entry(&taken, 6)).await;
    desk.spend("2026-04-02", 30).await;
    desk.clock("2026-05-03").await;
    desk.finalized("2026-04-01").await;
    assert_eq!(desk.taken().await, ["Commit 300"]);
    desk.is_sound().await;
}

#[tokio::test]
async fn what_is_written_by_hand_into_what_turns_out_to_be_nothing_stays() {
    let desk = Desk::with(json!({ "commits": [commit("PREPAID", "1")] })).await;
    desk.spend("2026-03-09", 900).await;
    desk.clock("2026-04-03").await;
    desk.renewed("2026-04-01").await;
    let (_, taken) = desk.both().await;
    desk.ok(WRITE, desk.entry(&taken, 40)).await;
    desk.spend("2026-04-02", 120).await;
    for status in ["DRAFT", "FINALIZED"] {
        let april = desk.api.invoice(&desk.world.customer, "2026-04-01").await;
        assert_eq!((&april["status"], &april["total"]), (&json!(status), &json!(80)));
        desk.clock("2026-05-03").await;
    }
    let (_, taken) = desk.both().await;
    let drawn = ledger(&taken).into_iter().filter(|entry| entry.contains("DEDUCTION"));
    assert_eq!(drawn.collect::<Vec<_>>(), ["05-01 PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION -40"]);
    desk.is_sound().await;
}

#[tokio::test]
async fn a_contract_that_is_archived_keeps_what_was_billed_as_short() {
    let desk = Desk::with(json!({ "commits": [commit("POSTPAID", "1")] })).await;
    desk.spend("2026-03-09", 600).await;
    desk.clock("2026-04-03").await;
    let new = desk.renewed("2026-04-01").await;
    desk.ok(END, with(&desk.of(&new), "/ending_before", json!("2026-05-01T00:00:00Z"))).await;
    desk.clock("2026-05-05").await;
    assert_eq!(desk.scheduled().await, ["FINALIZED 05-01 300"]);
    desk.ok(ARCHIVE, with(&desk.of(&new), "/void_invoices", json!(false))).await;
    let (_, taken) = desk.both().await;
    assert_eq!(amount(&taken), &json!(300));
    desk.is_sound().await;
    // Taken back there, it is billed where it was promised first.
    let invoices = desk.api.invoices(&desk.world.customer).await;
    let true_up = invoices.iter().find(|invoice| invoice["type"] == "SCHEDULED").expect("a true-up");
    desk.ok(VOID, json!({ "id": true_up["id"] })).await;
    desk.api.work().await;
    let (_, taken) = desk.both().await;
    assert_eq!(amount(&taken), &json!(0));
    assert_eq!(desk.scheduled().await, ["FINALIZED 04-01 300", "VOID 05-01 300"]);
    desk.is_sound().await;
}

/// Else what goes back would be promised and billed by nobody.
#[tokio::test]
async fn nothing_goes_back_to_a_promise_of_which_the_rest_is_billed() {
    for voids in [true, false] {
        let desk = Desk::with(json!({ "commits": [commit("POSTPAID", "0.5")] })).await;
        desk.clock("2026-04-03").await;
        let new = desk.renewed("2026-04-01").await;
        desk.api.work().await;
        let final_ones = async || -> Vec<String> {
            desk.scheduled().await.into_iter().filter(|one| one.starts_with("FINALIZED")).collect()
        };
        assert_eq!(final_ones().await, ["FINALIZED 04-01 450"]);
        let archive = with(&desk.of(&new), "/void_invoices", json!(voids));
        let refused = ["contract_id: ", "would give back to commit", "is invoiced already"];
        desk.api.post(ARCHIVE, archive.clone()).await.refused(400, &refused);
        let invoices = desk.api.invoices(&desk.world.customer).await;
        let is_true_up =
            |invoice: &&Value| invoice["type"] == "SCHEDULED" && invoice["status"] == "FINALIZED";
        let true_up = invoices.iter().find(is_true_up).expect("a true-up")["id"].clone();
        desk.ok(VOID, json!({ "id": true_up })).await;
        desk.ok(ARCHIVE, archive).await;
        desk.ok(REGENERATE, json!({ "id": true_up })).await;
        assert_eq!(final_ones().await, ["FINALIZED 04-01 900"]);
        desk.is_sound().await;
    }
}

#[tokio::test]
async fn an_invoice_of_an_archived_contract_that_holds_a_promise_stays_while_the_rest_is_billed() {
    let desk = Desk::with(json!({ "commits": [commit("POSTPAID", "0.5")] })).await;
    desk.clock("2026-04-03").await;
    let new = desk.renewed("2026-04-01").await;
    desk.ok(END, with(&desk.of(&new), "/ending_before", json!("2026-05-01T00:00:00Z"))).await;
    desk.clock("2026-05-05").await;
    assert_eq!(desk.scheduled().await, ["FINALIZED 04-01 450", "FINALIZED 05-01 450"]);
    desk.ok(ARCHIVE, with(&desk.of(&new), "/void_invoices", json!(false))).await;
    let invoices = desk.api.invoices(&desk.world.customer).await;
    let dated = |date: &str| {
        let is_it = |one: &&Value| {
            one["type"] == "SCHEDULED"
                && one["start_timestamp"].as_str().is_some_and(|at| at.starts_with(date))
        };
        invoices.iter().find(is_it).expect("a true-up")["id"].clone()
    };
    let of_new = json!({ "id": dated("2026-05-01") });
    desk.api.post(VOID, of_new.clone()).await.refused(400, &["id: ", "is invoiced already"]);
    desk.ok(VOID, json!({ "id": dated("2026-04-01") })).await;
    desk.ok(VOID, of_new).await;
    desk.ok(REGENERATE, json!({ "id": dated("2026-04-01") })).await;
    assert_eq!(desk.scheduled().await.last().map(String::as_str), Some("FINALIZED 04-01 900"));
    desk.is_sound().await;
}

#[tokio::test]
async fn of_what_is_not_final_an_archived_contract_keeps_nothing() {
    let desk = Desk::with(json!({ "commits": [commit("PREPAID", "1")] })).await;
    desk.spend("2026-03-09", 900).await;
    desk.clock("2026-04-01").await;
    let new = desk.renewed("2026-04-01").await;
    let (_, taken) = desk.both().await;
    desk.ok(WRITE, desk.entry(&taken, -90)).await;
    desk.ok(ARCHIVE, with(&desk.of(&new), "/void_invoices", json!(false))).await;
    desk.clock("2026-04-03").await;
    let march = desk.api.invoice(&desk.world.customer, "2026-03-01").await;
    assert_eq!((&march["status"], &march["total"]), (&json!("FINALIZED"), &json!(0)));
    // The entry stays in a ledger that has nothing else.
    assert_eq!(ledger(&desk.both().await.1), ["04-01 PREPAID_COMMIT_MANUAL -90"]);
    assert_eq!(faults(&desk.api).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_an_entry_by_hand_makes_nothing_of_may_be_mended_by_another() {
    let desk = Desk::with(json!({ "commits": [commit("PREPAID", "1")] })).await;
    desk.spend("2026-03-09", 300).await;
    desk.clock("2026-04-03").await;
    desk.renewed("2026-04-01").await;
    let (_, taken) = desk.both().await;
    desk.ok(WRITE, desk.entry(&taken, -600)).await;
    desk.clock("2026-05-03").await;
    desk.ok(WRITE, desk.entry(&taken, 600)).await;
    let (_, taken) = desk.both().await;
    assert_eq!((amount(&taken), &taken["balance"]), (&json!(600), &json!(600)));
    desk.is_sound().await;
}

/// What was written into it by hand is its own, and what was taken out by hand was used.
#[tokio::test]
async fn a_contract_that_is_archived_keeps_no_more_than_it_took() {
    for (by_hand, spent, kept) in [(1000, 900, 600), (-60, 150, 210), (-60, 0, 60)] {
        let desk = Desk::with(json!({ "commits": [commit("PREPAID", "1")] })).await;
        desk.spend("2026-03-09", 300).await;
        desk.clock("2026-04-03").await;
        let new = desk.renewed("2026-04-01").await;
        let (_, taken) = desk.both().await;
        desk.ok(WRITE, desk.entry(&taken, by_hand)).await;
        desk.spend("2026-04-02", spent).await;
        desk.clock("2026-05-03").await;
        desk.ok(ARCHIVE, with(&desk.of(&new), "/void_invoices", json!(false))).await;
        let (_, taken) = desk.both().await;
        assert_eq!(amount(&taken), &json!(kept), "{by_hand} {spent}");
        desk.is_sound().await;
    }
}

#[tokio::test]
async fn what_recurring_credits_make_after_the_renewal_was_agreed_is_taken_over_too() {
    let monthly = json!({
        "name": "Monthly", "priority": 1, "starting_at": "2026-03-01T00:00:00Z", "rollover_fraction": 1,
        "commit_duration": { "value": 1, "unit": "PERIODS" },
        "access_amount": {
            "unit_price": 90, "quantity": 1, "credit_type_id": "2714e483-4ff1-48e4-9e25-ac732e8f24f2",
        },
    });
    let desk = Desk::with(json!({ "recurring_credits": [monthly] })).await;
    desk.renewed("2026-06-16").await;
    assert_eq!(desk.all().await.len(), 2, "June's does not exist yet");
    desk.clock("2026-06-11").await;
    // Half of June: 90 × 15 / 30.
    assert_eq!(desk.taken().await, ["Monthly 45"]);
    desk.spend("2026-06-10", 30).await;
    assert_eq!(desk.taken().await, ["Monthly 15"]);
    desk.clock("2026-07-20").await;
    assert_eq!(desk.taken().await, ["Monthly 15"]);
    assert_eq!(desk.all().await.len(), 5, "nothing is granted beyond the end");
    desk.is_sound().await;
}

#[tokio::test]
async fn drafts_of_three_contracts_take_over_from_each_other() {
    let desk = Desk::with(json!({ "commits": [commit("PREPAID", "1")] })).await;
    desk.clock("2026-03-11").await;
    let own = prepaid("Own", 5, "1", &[(300, "2026-03-11", "2027-03-11")]);
    let own = with(&own, "/product_id", json!(desk.world.fee));
    let second = with(&desk.renewal("2026-03-11"), "/commits", json!([own]));
    let second = desk.api.post(CREATE, second).await.id();
    let third = with(&desk.renewal("2026-03-11"), "/transition/from_contract_id", json!(second));
    desk.api.post(CREATE, with(&third, "/starting_at", json!("2026-03-11T06:00:00Z"))).await.id();
    for hour in ["10T05", "11T05", "11T07"] {
        let properties = json!({ "tokens": 200, "model": "small" });
        desk.api.event("acct-1", &format!("2026-03-{hour}:00:00Z"), properties).await;
    }
    // The first has 900 and draws 600; the second begins with 300 of it, draws those and its own 300; nothing is left.
    let total = async |start: &str| desk.api.invoice(&desk.world.customer, start).await["total"].clone();
    assert_eq!(total("2026-03-11T00").await, json!(0));
    assert_eq!(total("2026-03-11T06").await, json!(600));
    assert_eq!(desk.taken().await, ["Commit 300", "Own 0"]);
    desk.is_sound().await;
    desk.clock("2026-04-03").await;
    assert_eq!(total("2026-03-11T00").await, json!(0));
    assert_eq!(total("2026-03-11T06").await, json!(600));
    assert_eq!(desk.taken().await, ["Commit 300"]);
    desk.is_sound().await;
}

#[tokio::test]
async fn a_contract_that_ended_before_has_nothing_to_take_over() {
    let desk = Desk::with(json!({ "commits": [commit("PREPAID", "1")] })).await;
    let end = |at: &str| with(&desk.of(&desk.old), "/ending_before", json!(format!("{at}T00:00:00Z")));
    desk.ok(END, end("2026-03-15")).await;
    let new = desk.renewed("2026-04-01").await;
    let shown = desk.api.post("/v2/contracts/get", desk.of(&desk.old)).await.data();
    assert_eq!(shown["ending_before"], json!("2026-03-15T00:00:00Z"), "it ends when it did");
    assert_eq!(shown["transitions"][0]["to_contract_id"], json!(new));
    assert_eq!(desk.all().await.len(), 1);
    // Nothing hangs on its end.
    desk.ok(END, end("2026-03-20")).await;
    let before = with(&desk.of(&desk.old), "/as_of_date", json!("2026-03-10T12:00:00Z"));
    let shown = desk.api.post("/v2/contracts/get", before).await.data();
    assert_eq!(shown["transitions"].as_array().map(Vec::len), Some(1), "known at that very instant");
    let v1 = desk.api.post("/v1/contracts/get", desk.of(&new)).await.data();
    assert_eq!(
        (&v1["initial"]["transitions"], &v1["current"]["transitions"]),
        (&shown["transitions"], &shown["transitions"])
    );
    desk.is_sound().await;
}

#[tokio::test]
async fn usage_that_is_billed_is_not_billed_to_the_new_contract_again() {
    let desk = Desk::with(json!({ "commits": [commit("PREPAID", "1")] })).await;
    desk.spend("2026-03-09", 300).await;
    desk.clock("2026-04-03").await;
    let billed = "starting_at: the contract that is renewed has usage invoices until";
    let early = || vec![(desk.renewal("2026-03-20"), billed), (desk.renewal("2026-03-31"), billed)];
    refuse(&desk.api, CREATE, early()).await;
    // What is made in place of a void invoice bills all of March.
    let march = desk.finalized("2026-03-01").await;
    desk.ok(VOID, json!({ "id": march })).await;
    refuse(&desk.api, CREATE, early()).await;
    desk.renewed("2026-04-01").await;
    desk.ok(REGENERATE, json!({ "id": march })).await;
    assert_eq!(desk.taken().await, ["Commit 600"]);
    desk.is_sound().await;
}

#[tokio::test]
async fn what_is_paid_for_an_origin_is_settled_when_its_contract_has_ended() {
    let paid = json!({ "schedule_items": [
        { "amount": 500, "timestamp": "2026-03-01T00:00:00Z" }, { "amount": 400, "timestamp": "2026-03-20T00:00:00Z" },
    ] });
    let desk =
        Desk::with(json!({ "commits": [with(&commit("PREPAID", "1"), "/invoice_schedule", paid)] })).await;
    desk.renewed("2026-03-16").await;
    let (old, taken) = desk.both().await;
    assert_eq!(taken.get("invoice_schedule"), None, "nothing is paid for it again");
    assert_eq!(desk.scheduled().await, ["FINALIZED 03-01 500"], "the second payment went with the end");
    let item = &old["invoice_schedule"]["schedule_items"][0]["id"];
    let edit = json!({
        "customer_id": desk.world.customer, "commit_id": old["id"],
        "invoice_schedule": { "update_schedule_items": [{ "id": item, "amount": 600 }] },
    });
    let path = "/v2/contracts/commits/edit";
    refuse(&desk.api, path, vec![(edit.clone(), "invoice_schedule.update_schedule_items[0].id: ")]).await;
    desk.clock("2026-03-17").await;
    refuse(&desk.api, path, vec![(edit, "invoice_schedule: a renewal took over")]).await;
    desk.is_sound().await;
}

/// What the old contract may still draw is not taken over before it is known.
#[tokio::test]
async fn a_new_contract_waits_for_a_statement_of_the_old_one_that_cannot_be_computed() {
    let api = Api::at("2026-03-10T12:00:00Z").await;
    let customer = api.customer("acct-1").await;
    let card = async |sql: String| {
        let metric = json!({ "name": "query", "sql": sql });
        let metric = api.post("/v1/billable-metrics/create", metric).await.id();
        let product = api.product("Units", &metric, json!({})).await;
        let rates = api.rate_card().await;
        api.flat(&rates, &product, "2026-01-01T00:00:00Z", "2", json!({})).await;
        (rates, product)
    };
    let (bad, product) = card(beyond_all_bounds()).await;
    let (good, _) = card("SELECT COUNT(*) FROM events".to_owned()).await;
    let commit = with(&commit("PREPAID", "1"), "/product_id", json!(api.fixed_product("Fee").await));
    let old = api.contract(&customer, &bad, "2026-03-01T00:00:00Z", json!({ "commits": [commit] })).await;
    api.event("acct-1", "2026-03-09T05:00:00Z", json!({ "n": 100 })).await;
    api.move_clock("2026-04-01T12:00:00Z").await;
    let transition = json!({ "transition": { "type": "RENEWAL", "from_contract_id": old } });
    let new = api.contract(&customer, &good, "2026-04-01T00:00:00Z", transition).await;
    api.move_clock("2026-05-03T12:00:00Z").await;
    let of = async |contract: &str| {
        let mut invoices = api.invoices(&customer).await;
        invoices.retain(|invoice| invoice["contract_id"] == contract);
        invoices[0]["status"].as_str().expect("a status").to_owned()
    };
    assert_eq!((of(&old).await, of(&new).await), ("DRAFT".to_owned(), "DRAFT".to_owned()));
    let sum = json!({ "name": "sum", "sql": "SELECT SUM(properties.n) FROM events" });
    let sum = api.post("/v1/billable-metrics/create", sum).await.id();
    let mended = json!({
        "product_id": product, "starting_at": "2026-03-01T00:00:00Z", "billable_metric_id": sum,
    });
    api.post("/v1/contract-pricing/products/update", mended).await.id();
    for hour in ["14", "16"] {
        api.move_clock(&format!("2026-05-03T{hour}:00:00Z")).await;
    }
    assert_eq!((of(&old).await, of(&new).await), ("FINALIZED".to_owned(), "FINALIZED".to_owned()));
    let listed = json!({ "customer_id": customer, "include_contract_balances": true });
    let listed = api.post("/v1/contracts/customerBalances/list", listed).await.data();
    assert_eq!(amount(&listed[1]), &json!(700), "{listed}");
    assert_eq!(faults(&api).await, Vec::<String>::new());
}

#[tokio::test]
async fn fields_go_along_and_a_package_may_renew() {
    let api_key = json!({ "entity": "commit", "key": "team", "enforce_uniqueness": false });
    let desk = Desk::with(json!({ "commits": [commit("PREPAID", "1")] })).await;
    desk.ok("/v1/customFields/addKey", api_key).await;
    let id = desk.all().await[0]["id"].clone();
    let values = json!({ "entity": "commit", "entity_id": id, "custom_fields": { "team": "a" } });
    desk.ok("/v1/customFields/setValues", values).await;
    let of_package = without(&desk.renewal("2026-04-01"), "/rate_card_id");
    let of_package = with(&of_package, "/package_id", json!(desk.world.package));
    let created = desk.api.post(CREATE, of_package).await.data();
    assert_eq!(created["contract"]["transitions"][0]["from_contract_id"], json!(desk.old));
    let (old, taken) = desk.both().await;
    assert_eq!(taken["custom_fields"], json!({ "team": "a" }));
    for field in ["type", "product", "name", "priority", "rate_type"] {
        assert_eq!(taken[field], old[field], "{field}");
    }
    assert_eq!(taken["created_at"], json!("2026-04-01T00:00:00Z"));
    let segment = &taken["access_schedule"]["schedule_items"][0];
    assert_eq!(segment["ending_before"], json!("2027-04-01T00:00:00Z"), "as long as the old one was");
    desk.clock("2026-04-02").await;
    desk.is_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_renewals_at_once_one_is_made() {
    let desk = Desk::with(json!({ "commits": [commit("PREPAID", "1")] })).await;
    let bodies = (0..12).map(|day| desk.renewal(&format!("2026-04-{:02}", day + 1)));
    let counts = race(&desk.api, bodies.map(|body| (CREATE.to_owned(), body))).await;
    assert_eq!(counts.get(&200), Some(&1), "{counts:?}");
    assert_eq!(counts.values().sum::<usize>() - counts.get(&400).copied().unwrap_or(0), 1, "{counts:?}");
    let (old, taken) = desk.both().await;
    assert_eq!(amount(&taken), &json!(900));
    let shown = desk.api.post("/v2/contracts/get", desk.of(&desk.old)).await.data();
    assert_eq!(shown["transitions"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown["ending_before"], taken["access_schedule"]["schedule_items"][0]["starting_at"]);
    assert_eq!(old["contract"]["id"], json!(desk.old));
    desk.clock("2026-04-20").await;
    desk.is_sound().await;
}

/// The renewal cuts March on the 20th, or March is billed whole and it is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_renewal_beside_a_finalization_bills_all_usage_once() {
    for _ in 0..4 {
        let desk = Desk::with(json!({ "commits": [commit("PREPAID", "0.5")] })).await;
        desk.clock("2026-03-31").await;
        desk.spend("2026-03-09", 300).await;
        desk.spend("2026-03-25", 600).await;
        let clock = ("/sandbox/clock".to_owned(), json!({ "now": "2026-04-03T12:00:00Z" }));
        let renewal = (CREATE.to_owned(), desk.renewal("2026-03-20"));
        let mut racing = JoinSet::new();
        for (api, (path, body)) in [(desk.api.clone(), renewal), (desk.api.replica(), clock)] {
            racing.spawn(async move { (path.clone(), api.post(&path, body).await) });
        }
        let answers = racing.join_all().await;
        let renewed = answers.iter().find(|(path, _)| path == CREATE).expect("an answer").1.status == 200;
        desk.clock("2026-04-04").await;
        desk.api.work().await;
        let invoices = desk.api.invoices(&desk.world.customer).await;
        let billed = invoices.iter().filter(|invoice| invoice["status"] == "FINALIZED");
        let due: i64 = billed.filter_map(|invoice| invoice["total"].as_i64()).sum();
        // Of 900, 300 were used before and at most 450 taken over: 150 of the rest is due.
        assert_eq!(due, if renewed { 150 } else { 0 }, "{answers:?}");
        desk.is_sound().await;
    }
}
