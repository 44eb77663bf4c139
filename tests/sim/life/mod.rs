//! A customer's life: contracts, commits, credits and usage in random steps, beside a second model that is told the same steps.
//!
//! 80 lives are on a real server, with servers that die on the way. After every step what a reader sees must be what the model
//! says, to every invoice and every entry of every ledger, and what is refused what it refuses. It must hold by itself too:
//! lines sum to totals, draws to lines, entries to what is left. What is previewed is what is drafted, and a draft is what
//! becomes final. Now and then everything that is stored must follow from the facts, explanations sum to their invoices, and
//! doing what is due again change nothing.
//!
//! 2,500 lives have no server: they take the calculations alone, on what the model was told ([`pure`]). After every step they
//! must say what the model says of
//!
//! - usage: what final and draft statements come to, every ledger, what is left, and what is short of a promise and when that
//!   is due;
//! - edits of commits and credits: what they are then, what becomes of their payments, and what is refused; and that payments
//!   are what their commits say after every step;
//! - recurring commits and credits: which are made by when, what they grant and cost, what a new end of their contract makes
//!   of them, and when the next one is due;
//! - renewals: what they take over, what that comes to while it is not final and as it becomes so, what goes back, and what
//!   they hold fast.
//!
//! What is made, ended, archived or written by hand otherwise, scheduled invoices, in which order things are due, and that all
//! of it is kept, are of the lives on a server alone.
//!
//! `SIM_LIVES=1000` takes more lives than the usual ones, `SIM_LIFE=7` one alone, which is printed with its steps where it fails.

mod bill;
mod calendar;
mod customer;
mod kill;
mod ledger;
mod pure;
mod renewal;
mod seen;
mod server;
mod step;
mod story;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use chrono::{DateTime, TimeDelta};
use futures_util::FutureExt;
use serde_json::Value;

use upbeat::time::Instant;

use self::customer::{Balance, Customer};
use self::pure::Calculations;
use self::seen::{Seen, at, text};
use self::server::Server;
use self::step::Step;
use self::story::Story;
use crate::pricing::number_from;
use crate::random::Random;

/// How many lives each of the tests of the server lives.
const LIVES: u64 = 20;
/// How many there are of calculations alone.
const PURE_LIVES: u64 = 2_500;
const STEPS: usize = 26;

/// One life, and what is told of it.
struct Life {
    server: Server,
    customer: Customer,
    story: Story,
    /// What makes servers die.
    chance: Random,
    told: Vec<String>,
    /// What was seen last.
    seen: Seen,
}

/// Whoever lives it, before anything is agreed.
fn customer(seed: u64) -> Customer {
    let day = i64::try_from(seed % 700).expect("small");
    let now = DateTime::from_timestamp(1_767_225_600, 0).expect("2026") + TimeDelta::days(day);
    let price_change = now + TimeDelta::hours(24 * 40 + 10);
    Customer { now, price_change, ..Customer::default() }
}

impl Life {
    async fn begin(seed: u64) -> Self {
        let customer = customer(seed);
        let server = Server::at(customer.now, customer.price_change).await;
        Self {
            server,
            customer,
            story: Story::new(seed),
            chance: Random::new(seed ^ 0xDEAD),
            told: Vec::new(),
            seen: Seen::default(),
        }
    }

    async fn live(&mut self) {
        let first = self.story.first(self.customer.now);
        self.step(first).await;
        for _ in 1..STEPS {
            let step = self.story.next(&self.customer);
            self.step(step).await;
        }
        self.verify().await;
    }

    async fn step(&mut self, step: Step) {
        if let Step::Clock(target) = step {
            return self.until(target).await;
        }
        self.told.push(format!("{} {step:?}", self.customer.now));
        let answer = self.server.take(&step, &self.customer, &mut self.chance).await;
        let is_done = self.customer.apply(&step);
        assert_eq!(answer.is_some(), is_done, "whether it is done");
        let makes_contract = is_done && matches!(step, Step::Contract(_) | Step::Renew(_));
        if let (true, Some(contract)) = (makes_contract, self.customer.contracts.last_mut()) {
            contract.id = answer.expect("an id");
        }
        if self.customer.is_anything_due() {
            self.check().await;
        }
        self.server.work(&mut self.chance).await;
        self.customer.work(self.customer.now);
        self.check().await;
        match self.chance.number(0, 12) {
            0 => self.verify().await,
            1..=3 => self.preview().await,
            _ => {}
        }
    }

    /// Moves the clock, with a look at what is about to become final.
    async fn until(&mut self, target: Instant) {
        self.told.push(format!("{} clock to {target}", self.customer.now));
        while let Some(at) = self.customer.next_finalization().filter(|at| *at <= target) {
            let before = at - TimeDelta::seconds(1);
            if before > self.customer.now {
                self.clock(before).await;
            }
            let drafts = std::mem::take(&mut self.seen);
            self.clock(at).await;
            assert_finalized(&drafts, &self.seen, at);
        }
        if target > self.customer.now {
            self.clock(target).await;
        }
    }

    async fn clock(&mut self, target: Instant) {
        let step = Step::Clock(target);
        self.server.take(&step, &self.customer, &mut self.chance).await;
        self.customer.apply(&step);
        self.check().await;
    }

    /// What is seen is what the model says.
    async fn check(&mut self) {
        let seen = self.server.seen().await;
        seen.teach(&mut self.customer);
        let faults = seen.faults(&self.customer);
        assert!(faults.is_empty(), "at {}:\n{}", self.customer.now, faults.join("\n"));
        self.seen = seen;
    }

    /// Everything follows from the facts, and doing it again changes nothing.
    async fn verify(&mut self) {
        assert_eq!(self.server.verify().await, [""; 0], "what is stored does not follow from the facts");
        assert_eq!(
            self.server.explained(&self.seen.invoices).await,
            [""; 0],
            "explanations sum to their invoices"
        );
        self.server.work(&mut self.chance).await;
        assert_eq!(self.server.seen().await, self.seen, "what nothing happened to changes");
    }

    /// A preview of nothing more is the draft.
    async fn preview(&mut self) {
        for preview in self.server.previewed(self.customer.now).await {
            let draft = self.seen.invoices.iter().find(|draft| draft["id"] == preview["id"]);
            // A statement that begins within a day is none of a reader's yet.
            if let Some(draft) = draft.filter(|draft| draft["status"] == "DRAFT") {
                assert_eq!(draft, &preview, "a preview differs from its draft");
            }
        }
    }
}

/// What became final is what the draft said, but for its state.
fn assert_finalized(drafts: &Seen, seen: &Seen, now: Instant) {
    for draft in drafts.invoices.iter().filter(|draft| draft["status"] == "DRAFT") {
        let is_due = draft["type"] == "USAGE" && at(&draft["issued_at"]) <= now;
        let Some(mut after) = seen.invoices.iter().find(|after| after["id"] == draft["id"]).cloned() else {
            assert!(!is_due, "{draft} is gone");
            continue;
        };
        if is_due {
            assert_eq!(text(&after["status"]), "FINALIZED", "{after}");
            after["status"] = Value::from("DRAFT");
            assert_eq!(&after, draft, "a final invoice differs from its draft");
        }
    }
}

/// How many servers died in it; none where it fails, which is said.
async fn live(seed: u64) -> Option<usize> {
    let mut life = Life::begin(seed).await;
    let outcome = AssertUnwindSafe(life.live()).catch_unwind().await;
    let deaths = life.server.deaths;
    if outcome.is_err() {
        let steps = life.told.join("\n  ");
        eprintln!("life {seed} fails (SIM_LIFE={seed} lives it alone) after\n  {steps}");
    }
    life.server.end().await;
    outcome.is_ok().then_some(deaths)
}

/// Every fourth life from `first` on.
fn lives(first: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let count = number_from("SIM_LIVES").map_or(LIVES, |count| count.div_ceil(4));
    let usual = (0..count).map(|number| 4 * number + first);
    let seeds: Vec<u64> = match number_from("SIM_LIFE") {
        Some(seed) => Some(seed).filter(|seed| seed % 4 == first).into_iter().collect(),
        None => usual.collect(),
    };
    let (mut deaths, mut failed) = (0, Vec::new());
    for seed in &seeds {
        match runtime.block_on(live(*seed)) {
            Some(count) => deaths += count,
            None => failed.push(*seed),
        }
    }
    assert!(failed.is_empty(), "of {} lives these fail: {failed:?}", seeds.len());
    assert!(deaths > 0 || seeds.len() < 5, "no server died");
}

#[test]
fn lives_of_the_first_quarter() {
    lives(0);
}

#[test]
fn lives_of_the_second_quarter() {
    lives(1);
}

#[test]
fn lives_of_the_third_quarter() {
    lives(2);
}

#[test]
fn lives_of_the_fourth_quarter() {
    lives(3);
}

/// What differs in a life of calculations alone.
fn calculated(seed: u64) -> Result<(), String> {
    let mut customer = customer(seed);
    let mut story = Story::new(seed);
    let mut calculations = Calculations::new(customer.price_change);
    let mut told = Vec::new();
    for number in 0..STEPS {
        let step = if number == 0 { story.first(customer.now) } else { story.next(&customer) };
        told.push(format!("{} {step:?}", customer.now));
        let before = calculations.before(&customer, &step);
        let is_done = customer.apply(&step);
        Calculations::name(&mut customer);
        let mut faults = calculations.faults_of_step(&before, &customer, &step, is_done);
        customer.work(customer.now);
        Calculations::name(&mut customer);
        faults.extend(calculations.faults(&customer));
        faults.extend(calculations.faults_of_time(&before, &customer));
        if !faults.is_empty() {
            let (told, faults) = (told.join("\n  "), faults.join("\n"));
            return Err(format!("life {seed} at {} after\n  {told}\n{faults}", customer.now));
        }
    }
    Ok(())
}

#[test]
fn lives_of_calculations_alone() {
    let count = number_from("SIM_LIVES").unwrap_or(PURE_LIVES);
    let seeds: Vec<u64> = match number_from("SIM_LIFE") {
        Some(seed) => vec![seed],
        None => (0..count).collect(),
    };
    let failed: Vec<String> = seeds.into_iter().filter_map(|seed| calculated(seed).err()).collect();
    assert!(failed.is_empty(), "{} lives fail, such as\n{}", failed.len(), failed[0]);
}

/// What became of what was taken over.
fn fate(customer: &Customer, balance: &Balance) -> &'static str {
    let new = balance.contract.map(|contract| &customer.contracts[contract]);
    match balance.archived {
        None if balance.is_live() => "live",
        None => "final",
        Some(_) if new.is_some_and(|new| new.archived == balance.archived) => "given back",
        Some(_) => "as nothing",
    }
}

/// How something is called: the first word of it.
fn name_of(what: &impl std::fmt::Debug) -> String {
    let text = format!("{what:?}");
    text.split([' ', '(']).next().expect("a name").to_owned()
}

/// Whatever may happen in a life happens in some, and what may be refused is.
#[test]
fn lives_come_by_everything() {
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..400 {
        let mut customer = customer(seed);
        let mut story = Story::new(seed);
        for number in 0..STEPS {
            let step = if number == 0 { story.first(customer.now) } else { story.next(&customer) };
            let is_done = customer.apply(&step);
            Calculations::name(&mut customer);
            customer.work(customer.now);
            Calculations::name(&mut customer);
            let outcome = if is_done { "done" } else { "refused" };
            *reached.entry(format!("{} {outcome}", name_of(&step))).or_default() += 1;
            if let Step::Edit { edit, .. } = &step {
                *reached.entry(format!("edit of {} {outcome}", name_of(edit))).or_default() += 1;
            }
        }
        let drafts = customer.drafts_before(None);
        for number in 0..customer.balances.len() {
            for (_, _, kind, _) in customer.ledger(number, &drafts).unwrap_or_default() {
                *reached.entry(format!("{:?} {kind}", customer.balances[number].kind)).or_default() += 1;
            }
        }
        for line in customer.invoice_lines(&drafts) {
            let words: Vec<&str> = line.split(' ').collect();
            let status = words.iter().find(|word| ["DRAFT", "FINALIZED", "VOID"].contains(word));
            *reached.entry(format!("{} {}", words[0], status.expect("a status"))).or_default() += 1;
        }
        for balance in customer.balances.iter().filter(|balance| balance.taken.is_some()) {
            *reached.entry(format!("taken over {}", fate(&customer, balance))).or_default() += 1;
        }
        let again = customer.invoices.iter().enumerate().filter(|(number, one)| one.original != *number);
        *reached.entry("again".to_owned()).or_default() += again.count();
    }
    let often = |name: &str| reached.get(name).is_some_and(|count| *count > 1);
    let steps = [
        "Contract",
        "Balance",
        "Events",
        "Clock",
        "Renew",
        "Manual",
        "Edit",
        "EndBalance",
        "ArchiveBalance",
        "DisableTrueUp",
        "Void",
        "Regenerate",
        "EndContract",
        "ArchiveContract",
    ];
    let done = steps.map(|name| format!("{name} done"));
    let refused = steps[4..].iter().filter(|name| **name != "Void").map(|name| format!("{name} refused"));
    let edits = [
        "Amount",
        "Time",
        "AddSegment",
        "RemoveSegment",
        "AddPayment",
        "ChangePayment",
        "RemovePayment",
        "Contracts",
        "BilledOn",
        "Priority",
        "AtCommitRate",
        "Products",
    ];
    let edits =
        ["done", "refused"].iter().flat_map(|outcome| edits.map(|name| format!("edit of {name} {outcome}")));
    let kinds = ["START", "MANUAL", "DEDUCTION", "ROLLOVER", "EXPIRATION"];
    let entries =
        ["Prepaid", "Postpaid", "Credit"].iter().flat_map(|of| kinds.map(|kind| format!("{of} {kind}")));
    let others = ["Prepaid CANCELED", "Credit CANCELED", "Postpaid TRUEUP", "again"].map(str::to_owned);
    let fates = ["live", "final", "as nothing", "given back"].map(|fate| format!("taken over {fate}"));
    let statuses = ["DRAFT", "FINALIZED", "VOID"];
    let invoices =
        ["USAGE", "SCHEDULED"].iter().flat_map(|of| statuses.map(|status| format!("{of} {status}")));
    for name in
        done.into_iter().chain(refused).chain(edits).chain(entries).chain(others).chain(fates).chain(invoices)
    {
        assert!(often(&name), "{name}: {reached:#?}");
    }
}
