//! Reads of what is left, while events of other customers come in.
//!
//! Three customers with a contract of ten products, priced in three groups each: one with 200 grants that may all be drawn,
//! a typical one with three, and an old one with three beside 5,000 that have ended. The clock of the sandbox starts four
//! months ago and goes through them, so that each of the three has invoices that are final and have drawn; from then on it
//! is the real one. What is read is checked: net balances are the sums of balances, and those of their ledgers.

use chrono::{DateTime, Days, Months, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::contender::{Contender, Load, job, millis, source};
use crate::event::Source;
use crate::load;
use crate::process::call;
use crate::read::{self, Operation};
use crate::report::{Column, LEDGERS, LEDGERS_OF_OLD, NET_BALANCE, NET_BALANCE_OF_OLD, Row};
use crate::scenario::{Bench, CUSTOMERS, MONTH_SECONDS, READS_PER_SECOND};
use crate::server::{Kind, Server, TOKEN};
use crate::upbeat::{Api, Card, month_of, text};

/// Months before the running one.
const MONTHS: u32 = 4;
/// Events of the three customers in each of them.
const EVENTS: u64 = 1500;
/// When in the month they happen: some days before the last of them.
const LAST_EVENT_DAYS: u64 = 10;
const EVENT_SECONDS: u64 = 5 * 24 * 3600;

const PRODUCTS: usize = 10;

const ACTIVE_GRANTS: usize = 200;
const EXPIRED_GRANTS: usize = 5000;
/// Of a customer who has no more.
const FEW_GRANTS: usize = 3;

/// Cents, for the product with the number 1. A month draws a few such grants.
const GRANT: usize = 5_000_000;
/// Cents: more than everything that is used.
const LARGE_GRANT: usize = 10_000_000_000_000;
/// Cents of each grant that has ended.
const SMALL_GRANT: usize = 1000;

const LIST: &str = "/v1/contracts/customerBalances/list";
const NET: &str = "/v1/contracts/customerBalances/getNetBalance";

/// The three customers.
struct Holders {
    active: String,
    typical: String,
    old: String,
}

impl Holders {
    fn all(&self) -> Vec<String> {
        [&self.active, &self.typical, &self.old].map(Clone::clone).to_vec()
    }
}

impl Bench {
    pub async fn balances(&mut self) {
        let began = month_of(self.now) - Months::new(MONTHS);
        let mut contender =
            Contender::begun_at(Some(began), Kind::Upbeat, "upbeat", CUSTOMERS, &mut self.postgres, self.now)
                .await;
        let operations = self.holders(&contender, began).await;
        for _ in 0..self.plan.rounds {
            let server = contender.start().await;
            server.rest().await;
            self.postgres.checkpoint().await;
            let reading = read::Job {
                address: server.address.clone(),
                token: TOKEN.to_owned(),
                per_second: READS_PER_SECOND,
                warm_millis: millis(self.plan.warm),
                window_millis: millis(self.plan.read_window),
                operations: operations.iter().map(|(_, operation)| operation.clone()).collect(),
                visibility: None,
            };
            let load = Load { window: self.plan.read_window, ..self.paced(5000) };
            let sending = job(&server, load, contender.source());
            let (sent, read) = tokio::join!(
                call::<_, load::Outcome>("load", &sending),
                call::<_, read::Outcome>("read", &reading)
            );
            contender.expected.add(sent.totals);
            for ((row, operation), times) in operations.iter().zip(&read.times) {
                println!("  {:<50} {times}", operation.path);
                self.report.add(*row, Column::Upbeat, times.p99_micros);
            }
            contender.check(&server).await;
            server.stop().await;
        }
        contender.drop(&mut self.postgres).await;
    }

    /// Makes the customers and lets their months pass; answers what is read of them.
    async fn holders(&mut self, contender: &Contender, began: DateTime<Utc>) -> [(Row, Operation); 4] {
        let server = contender.start().await;
        let mut api = Api::open(&server.address).await;
        let holders = granted(&mut api, contender, began).await;
        for month in 0..MONTHS {
            let newest = began + Months::new(month) + Days::new(LAST_EVENT_DAYS);
            api.move_clock(newest).await;
            let events = Source { spread_seconds: EVENT_SECONDS, ..source(holders.all(), newest) };
            self.fill(&server, events, EVENTS).await;
        }
        api.run_clock().await;
        self.running_month(&server, &holders).await;
        self.postgres.settle(self.plan.quiet_for).await;
        let operations = operations(&mut api, &holders, self.now).await;
        server.stop().await;
        contender.vacuum().await;
        operations
    }

    async fn running_month(&self, server: &Server, holders: &Holders) {
        let few = Source {
            spread_seconds: MONTH_SECONDS,
            ..source(vec![holders.active.clone(), holders.old.clone()], self.now)
        };
        self.fill(server, few, EVENTS).await;
        let many =
            Source { spread_seconds: MONTH_SECONDS, ..source(vec![holders.typical.clone()], self.now) };
        self.fill(server, many, self.plan.month_events / 10).await;
    }
}

/// The three customers with what they are granted.
async fn granted(api: &mut Api, contender: &Contender, began: DateTime<Utc>) -> Holders {
    let tokens = &contender.metrics.as_ref().expect("Upbeat has metrics").tokens;
    let card = api.card(tokens, PRODUCTS, began).await;
    let fee = api.fixed_product("Prepaid").await;
    let [active, typical, old] =
        api.customers(3).await.try_into().expect("as many customers as were asked for");
    for customer in [&active, &typical, &old] {
        api.contract(customer, &card, began).await;
    }
    let end = began + Months::new(24);
    for number in 0..ACTIVE_GRANTS {
        let product = number % PRODUCTS;
        let grant = grant(&fee, GRANT * (product + 1), began, end);
        give(api, &active, number, with_product(grant, &card, product)).await;
    }
    for customer in [&typical, &old] {
        for number in 0..FEW_GRANTS {
            give(api, customer, number, grant(&fee, LARGE_GRANT, began, end)).await;
        }
    }
    for number in 0..EXPIRED_GRANTS {
        let start = began + Months::new(u32::try_from(number).expect("thousands") % (MONTHS - 1));
        let expired = grant(&fee, SMALL_GRANT, start, start + Months::new(1));
        give(api, &old, number, expired).await;
    }
    Holders { active, typical, old }
}

fn grant(product: &str, amount: usize, start: DateTime<Utc>, end: DateTime<Utc>) -> Value {
    let segment = json!({ "amount": amount, "starting_at": text(start), "ending_before": text(end) });
    // What ends first is drawn first.
    let priority = (end - start).min(TimeDelta::days(100)).num_days();
    json!({
        "product_id": product, "priority": priority,
        "access_schedule": { "schedule_items": [segment] },
    })
}

fn with_product(mut grant: Value, card: &Card, product: usize) -> Value {
    grant["applicable_product_ids"] = json!([card.products[product]]);
    grant
}

/// Commits and credits in turns.
async fn give(api: &mut Api, customer: &str, number: usize, mut grant: Value) {
    grant["customer_id"] = json!(customer);
    if number.is_multiple_of(2) {
        grant["type"] = json!("PREPAID");
        api.post("/v1/contracts/customerCommits/create", &grant).await;
    } else {
        api.post("/v1/contracts/customerCredits/create", &grant).await;
    }
}

/// What is read, when it has been read once and made sense.
async fn operations(api: &mut Api, holders: &Holders, now: DateTime<Utc>) -> [(Row, Operation); 4] {
    let net = |customer: &str| json!({ "customer_id": customer });
    let mut pages_of_all = Vec::new();
    for (customer, grants) in
        [(&holders.active, ACTIVE_GRANTS), (&holders.typical, FEW_GRANTS), (&holders.old, FEW_GRANTS)]
    {
        let (pages, balances) = pages(api, customer, now).await;
        assert_eq!(balances.len(), grants, "the grants that are active");
        let sum: i64 = balances.iter().map(|balance| cents(&balance["balance"])).sum();
        let answer = api.post(NET, &net(customer)).await;
        let shown = cents(&answer["data"]["balance"]);
        assert!(shown > 0 && shown == sum, "the net balance {shown} is the sum of balances, {sum}");
        let drawn = balances.iter().filter(|balance| entries(balance).len() > 1);
        println!("  {} of {grants} active grants were drawn, {shown} cents are left", drawn.count());
        pages_of_all.push(pages);
    }
    let [of_active, _, of_old] = pages_of_all.try_into().expect("pages of three customers");
    let operation = |path: &str, bodies| Operation { path: path.to_owned(), bodies };
    [
        (LEDGERS, operation(LIST, of_active)),
        (LEDGERS_OF_OLD, operation(LIST, of_old)),
        (NET_BALANCE, operation(NET, vec![net(&holders.typical)])),
        (NET_BALANCE_OF_OLD, operation(NET, vec![net(&holders.old)])),
    ]
}

/// The requests for each page of what a customer may draw now, and all that is on the pages.
async fn pages(api: &mut Api, customer: &str, now: DateTime<Utc>) -> (Vec<Value>, Vec<Value>) {
    let first = json!({
        "customer_id": customer, "covering_date": text(now), "include_contract_balances": true,
        "include_balance": true, "include_ledgers": true,
    });
    let (mut requests, mut balances) = (vec![first], Vec::new());
    loop {
        let request = requests.last().expect("there is a first one");
        let answer = api.post(LIST, request).await;
        balances.extend(answer["data"].as_array().expect("balances").iter().cloned());
        if answer["next_page"].is_null() {
            break;
        }
        let mut next = request.clone();
        next["next_page"] = answer["next_page"].clone();
        requests.push(next);
    }
    for balance in &balances {
        let sum: i64 = entries(balance).iter().map(|entry| cents(&entry["amount"])).sum();
        assert_eq!(sum, cents(&balance["balance"]), "a ledger sums to what is left: {balance}");
    }
    (requests, balances)
}

fn entries(balance: &Value) -> &[Value] {
    balance["ledger"].as_array().expect("a ledger")
}

/// Prices and quantities are whole numbers here.
fn cents(amount: &Value) -> i64 {
    amount.as_i64().unwrap_or_else(|| panic!("whole cents: {amount}"))
}
