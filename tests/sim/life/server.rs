//! The server that a customer lives on: its router on a PostgreSQL of its own, its worker, its sandbox clock.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use chrono::SecondsFormat;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tower::ServiceExt;
use upbeat::access::{self, App, Environment, EnvironmentKind, NewToken, Role};
use upbeat::invoice::{verify_balances, verify_invoices};
use upbeat::money::Decimal;
use upbeat::time::{Instant, SystemClock};
use upbeat::usage::verify_rollups;
use upbeat::worker;

use super::bill::{FIRST_TIER, FIRST_TIER_PRICE, PRODUCTS, commit_price, list_price};
use super::customer::{Balance, Customer};
use super::kill::{Doomed, doomed};
use super::seen::{Seen, list, number, text};
use super::step::{BalancePlan, ContractPlan, DrawnBy, Edit, Event, GrantPlan, Kind, Renewal, Step};
use crate::random::Random;

#[path = "../../it/support/database.rs"]
mod database;

const USD: &str = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";
/// What the customer is called in events.
const ALIAS: &str = "life";

/// Most deaths on the way of one thing.
const DEATHS_MAX: usize = 3;

pub struct Server {
    app: App,
    router: Router,
    token: String,
    customer: String,
    products: Vec<String>,
    fee: String,
    card: String,
    /// Names of requests and events so far.
    names: u64,
    /// How many servers died.
    pub deaths: usize,
}

/// A time as the wire says it.
fn wire(at: Instant) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn fraction_on_wire(fraction: &str) -> Value {
    serde_json::from_str(fraction).expect("a number")
}

fn wires(at: Option<Instant>) -> Value {
    at.map_or(Value::Null, |at| json!(wire(at)))
}

impl Server {
    /// A server at an instant, with a customer and what it may use.
    pub async fn at(now: Instant, price_change: Instant) -> Self {
        let app = App::new(database::fresh().await, Arc::new(SystemClock));
        let mut db = app.db.acquire().await.expect("a connection");
        access::ensure_environments(&mut db, &app.ids).await.expect("environments");
        let sandbox = access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
        let token = NewToken::new(sandbox.id, "life", Role::Admin);
        let (_, token) = access::create(&mut db, &app.ids, &token, app.clock.now()).await.expect("a token");
        drop(db);
        let (customer, fee, card) = (String::new(), String::new(), String::new());
        let router = upbeat::app::app(app.clone(), None);
        let products = Vec::new();
        let mut server = Self { app, router, token, customer, products, fee, card, names: 0, deaths: 0 };
        server.post("/sandbox/clock", json!({ "now": wire(now) })).await;
        server.set_up(price_change).await;
        server
    }

    async fn set_up(&mut self, price_change: Instant) {
        self.card = self.id("/v1/contract-pricing/rate-cards/create", json!({ "name": "card" })).await;
        self.fee =
            self.id("/v1/contract-pricing/products/create", json!({ "name": "fee", "type": "FIXED" })).await;
        let long_ago: Instant = "2000-01-01T00:00:00Z".parse().expect("an instant");
        let mut rates = Vec::new();
        for (number, name) in PRODUCTS.iter().enumerate() {
            let metric = json!({
                "name": name, "aggregation_type": "SUM", "aggregation_key": "n",
                "event_type_filter": { "in_values": [name] },
                "property_filters": [{ "name": "n", "exists": true }, { "name": "of", "exists": true }],
                "group_keys": [["of"]],
            });
            let metric = self.id("/v1/billable-metrics/create", metric).await;
            let product = json!({ "name": name, "type": "USAGE", "billable_metric_id": metric });
            let product = self.id("/v1/contract-pricing/products/create", product).await;
            for from in [long_ago, price_change] {
                let price = |price: &upbeat::money::Decimal| -> Value {
                    serde_json::from_str(&upbeat::money::plain(price)).expect("a number")
                };
                let listed = price(&list_price(number, from, price_change));
                let mut rate = json!({
                    "product_id": product, "starting_at": wire(from), "entitled": true, "rate_type": "FLAT",
                    "price": listed,
                });
                if let Some(commit) = commit_price(number) {
                    rate["commit_rate"] = json!({ "rate_type": "FLAT", "price": price(&commit) });
                }
                if number == 3 {
                    rate["rate_type"] = json!("TIERED");
                    rate["tiers"] =
                        json!([{ "size": FIRST_TIER, "price": FIRST_TIER_PRICE }, { "price": listed }]);
                    rate.as_object_mut().expect("a rate").remove("price");
                }
                if from == long_ago || number == 2 {
                    rates.push(rate);
                }
            }
            self.products.push(product);
        }
        let rates = json!({ "rate_card_id": self.card, "rates": rates });
        self.post("/v1/contract-pricing/rate-cards/addRates", rates).await;
        let customer = json!({ "name": "life", "ingest_aliases": [ALIAS] });
        self.customer = self.id("/v1/customers", customer).await;
    }

    // -- asking --

    async fn send(
        &self,
        router: &Router,
        key: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json");
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        let body = if method == Method::GET { Body::empty() } else { Body::from(body.to_string()) };
        let request = request.body(body).expect("a request");
        let response = router.clone().oneshot(request).await.expect("the router is infallible");
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.send(&self.router, "", Method::POST, path, &body).await;
        assert_eq!(status, 200, "{path} {body}: {answer}");
        answer
    }

    async fn id(&self, path: &str, body: Value) -> String {
        text(&self.post(path, body).await["data"]["id"]).to_owned()
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.send(&self.router, "", Method::GET, path, &Value::Null).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// What a reader sees.
    pub async fn seen(&self) -> Seen {
        let mut balances = Vec::new();
        let mut next_page = Value::Null;
        loop {
            let request = json!({
                "customer_id": self.customer, "include_contract_balances": true, "include_archived": true,
                "include_ledgers": true, "include_balance": true, "next_page": next_page,
            });
            let page = self.post("/v1/contracts/customerBalances/list", request).await;
            balances.extend_from_slice(list(&page["data"]));
            next_page = page["next_page"].clone();
            if next_page.is_null() {
                break;
            }
        }
        let path = format!("/v1/customers/{}/invoices?limit=100", self.customer);
        let mut invoices = Vec::new();
        let mut more = String::new();
        loop {
            let page = self.get(&format!("{path}{more}")).await;
            invoices.extend_from_slice(list(&page["data"]));
            match page["next_page"].as_str() {
                Some(next) => more = format!("&next_page={next}"),
                None => break,
            }
        }
        let mut net = [Decimal::default(), Decimal::default()];
        let has_units =
            balances.iter().any(|balance| balance["access_schedule"]["access_type"] == "QUANTITY");
        for (net, access_type) in net.iter_mut().zip(["SPEND", "QUANTITY"]) {
            if access_type == "SPEND" || has_units {
                let request = json!({ "customer_id": self.customer, "access_type": access_type });
                let answer = self.post("/v1/contracts/customerBalances/getNetBalance", request).await;
                *net = number(&answer["data"]["balance"]);
            }
        }
        Seen { balances, invoices, net }
    }

    /// The drafts of the statements of now, as a preview of nothing more says.
    pub async fn previewed(&self, now: Instant) -> Vec<Value> {
        let event = json!({
            "event_type": PRODUCTS[0], "timestamp": wire(now), "properties": { "n": 0, "of": "nobody" },
        });
        let path = format!("/v1/customers/{}/previewEvents", self.customer);
        let answer = self.post(&path, json!({ "events": [event], "mode": "merge" })).await;
        list(&answer["data"]).to_vec()
    }

    /// Everything that is stored against the facts.
    pub async fn verify(&self) -> Vec<String> {
        let sandbox = self.sandbox().await;
        let (_, faults) = verify_invoices(&self.app.db, sandbox.id).await.expect("a check");
        let mut faults: Vec<String> =
            faults.into_iter().map(|fault| format!("{} {}", fault.id, fault.finding)).collect();
        let (_, balances) = verify_balances(&self.app.db, sandbox.id).await.expect("a check");
        faults.extend(balances.into_iter().map(|fault| format!("{} {}", fault.id, fault.finding)));
        let rollups = verify_rollups(&self.app.db, sandbox.id).await.expect("a check");
        faults.extend(rollups.iter().map(|difference| format!("{difference:?}")));
        faults
    }

    /// What explanations of usage invoices do not sum to.
    pub async fn explained(&self, invoices: &[Value]) -> Vec<String> {
        let mut faults = Vec::new();
        let usage =
            invoices.iter().filter(|invoice| invoice["type"] == "USAGE" && invoice["status"] != "VOID");
        for invoice in usage {
            let id = text(&invoice["id"]);
            let path = format!("/v1/upbeat/customers/{}/invoices/{id}/explain", self.customer);
            let told = &self.get(&path).await["data"];
            let explanations = list(&told["explanations"]);
            let total: Decimal = explanations.iter().map(|one| number(&one["total"])).sum();
            if total != number(&invoice["total"]) {
                faults.push(format!("{id} is {} and explained as {total}", invoice["total"]));
            }
            for one in explanations.iter().filter(|one| one["basis"]["type"] == "USAGE") {
                let quantities = list(&one["lines"]).iter().filter(|line| !line["quantity"].is_null());
                let of_lines: Decimal = quantities.map(|line| number(&line["quantity"])).sum();
                let of_pieces: Decimal =
                    list(&one["basis"]["pieces"]).iter().map(|piece| number(&piece["quantity"])).sum();
                let told = number(&one["basis"]["quantity"]);
                if of_lines != told || of_pieces != told {
                    faults.push(format!("{id}: lines of {of_lines} and pieces of {of_pieces} for {told}"));
                }
            }
        }
        faults
    }

    async fn sandbox(&self) -> Environment {
        let mut db = self.app.db.acquire().await.expect("a connection");
        access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox")
    }

    // -- doing --

    /// Does a step; where it makes something, answers its id. None where it is refused. `random` may let servers die on the
    /// way: the step is then sent again.
    pub async fn take(&mut self, step: &Step, customer: &Customer, random: &mut Random) -> Option<String> {
        if let Step::Clock(target) = step {
            self.move_clock(*target, random).await;
            return Some(String::new());
        }
        let (path, mut body) = self.request(step, customer);
        self.names += 1;
        let key = format!("step {}", self.names);
        if let Step::Events(events) = step {
            body = self.events(events);
        } else {
            body["customer_id"] = json!(self.customer);
        }
        // What is void or made anew is named by its id alone.
        if matches!(step, Step::Void { .. } | Step::Regenerate { .. }) {
            body.as_object_mut().expect("an object").remove("customer_id");
        }
        let key = if matches!(step, Step::Events(_)) { "" } else { key.as_str() };
        while self.deaths < 1000 && random.once_in(5) {
            let mut doomed = self.doomed(random, 70).await;
            let router = upbeat::app::app(App::new(doomed.db.clone(), Arc::new(SystemClock)), None);
            let answer = doomed.until_dead(self.send(&router, key, Method::POST, path, &body)).await;
            self.deaths += usize::from(answer.is_none());
            doomed.bury(&self.app.db).await;
        }
        let (status, answer) = self.send(&self.router, key, Method::POST, path, &body).await;
        match status {
            200 => Some(answer["data"]["id"].as_str().unwrap_or_default().to_owned()),
            400 => None,
            _ => panic!("{path} {body}: {status} {answer}"),
        }
    }

    async fn doomed(&self, random: &mut Random, messages: i64) -> Doomed {
        doomed(&self.app.db, random.number(8, messages), random.once_in(2)).await
    }

    /// Does what is due, as workers would: one, two at once, or some that die one after another.
    pub async fn work(&mut self, random: &mut Random) {
        let sandbox = self.sandbox().await;
        let own_random = random.number(0, 4);
        if own_random == 0 {
            for _ in 0..random.count(1, DEATHS_MAX + 1) {
                let mut doomed = self.doomed(random, 200).await;
                let app = App::new(doomed.db.clone(), Arc::new(SystemClock));
                let done = doomed.until_dead(worker::drain(&app, &sandbox)).await;
                self.deaths += usize::from(done.is_none());
                doomed.bury(&self.app.db).await;
            }
        }
        if own_random == 1 {
            let other = App::new(self.app.db.clone(), Arc::new(SystemClock));
            let (one, two) =
                tokio::join!(worker::drain(&self.app, &sandbox), worker::drain(&other, &sandbox));
            one.and(two).expect("the work is done");
        }
        worker::drain(&self.app, &sandbox).await.expect("the work is done");
    }

    async fn move_clock(&mut self, target: Instant, random: &mut Random) {
        let sandbox = self.sandbox().await;
        match random.number(0, 3) {
            // The worker finds the clock moved.
            0 => {
                let mut db = self.app.db.acquire().await.expect("a connection");
                access::set_clock(&mut db, sandbox.id, Some(target)).await.expect("the clock");
                drop(db);
                self.work(random).await;
            }
            // The move dies on the way and is done again.
            1 => {
                for _ in 0..random.count(1, DEATHS_MAX + 1) {
                    let mut doomed = self.doomed(random, 200).await;
                    let app = App::new(doomed.db.clone(), Arc::new(SystemClock));
                    let done = doomed.until_dead(worker::run_until(&app, sandbox.id, target)).await;
                    self.deaths += usize::from(done.is_none());
                    doomed.bury(&self.app.db).await;
                }
            }
            _ => {}
        }
        self.post("/sandbox/clock", json!({ "now": wire(target) })).await;
    }

    /// Some events twice, as senders do.
    fn events(&mut self, events: &[Event]) -> Value {
        let mut sent = Vec::new();
        for event in events {
            self.names += 1;
            let event = json!({
                "transaction_id": format!("event {}", self.names), "customer_id": ALIAS,
                "event_type": PRODUCTS[event.product], "timestamp": wire(event.at),
                "properties": { "n": event.count, "of": event.of },
            });
            sent.extend(std::iter::repeat_n(event, if self.names.is_multiple_of(5) { 2 } else { 1 }));
        }
        Value::Array(sent)
    }

    fn named(&self, products: &[usize]) -> Value {
        products.iter().map(|product| self.products[*product].as_str()).collect()
    }

    fn request(&self, step: &Step, customer: &Customer) -> (&'static str, Value) {
        let balance = |number: &usize| &customer.balances[*number];
        let is_credit = |number: &usize| balance(number).kind == Kind::Credit;
        let id_field = |number: &usize| if is_credit(number) { "credit_id" } else { "commit_id" };
        match step {
            Step::Contract(plan) => ("/v1/contracts/create", self.contract(plan, customer)),
            Step::Renew(Renewal { from, plan, drops_true_ups }) => {
                let mut body = self.contract(plan, customer);
                body["transition"] =
                    json!({ "type": "RENEWAL", "from_contract_id": customer.contracts[*from].id });
                if *drops_true_ups {
                    body["transition"]["future_invoice_behavior"] = json!({ "trueup": "REMOVE" });
                }
                ("/v1/contracts/create", body)
            }
            Step::Balance(plan) => {
                let body = self.balance(plan, customer, false);
                if plan.kind == Kind::Credit {
                    ("/v1/contracts/customerCredits/create", body)
                } else {
                    ("/v1/contracts/customerCommits/create", body)
                }
            }
            Step::Events(_) => ("/v1/ingest", Value::Null),
            Step::Clock(_) => unreachable!("no request of a customer"),
            Step::Manual { balance: number, segment, amount } => {
                let of = balance(number);
                let body = json!({
                    "id": of.id, "segment_id": of.segments[*segment].id, "amount": amount, "reason": "a reason",
                });
                ("/v1/contracts/addManualBalanceLedgerEntry", body)
            }
            Step::Edit { balance: number, edit } => {
                let mut body = edit_body(edit, balance(number), customer, |products| self.named(products));
                body[id_field(number)] = json!(balance(number).id);
                let of_credit = "/v2/contracts/credits/edit";
                (if is_credit(number) { of_credit } else { "/v2/contracts/commits/edit" }, body)
            }
            Step::EndBalance { balance: number, access, payments } => {
                let mut body = json!({ id_field(number): balance(number).id });
                if let Some(end) = access {
                    body["access_ending_before"] = json!(wire(*end));
                }
                if let Some(end) = payments {
                    body["invoices_ending_before"] = json!(wire(*end));
                }
                let of_credit = "/v1/contracts/customerCredits/updateEndDate";
                (
                    if is_credit(number) { of_credit } else { "/v1/contracts/customerCommits/updateEndDate" },
                    body,
                )
            }
            Step::ArchiveBalance { balance: number } => {
                let body = json!({ id_field(number): balance(number).id });
                let of_credit = "/v2/contracts/credits/archive";
                (if is_credit(number) { of_credit } else { "/v2/contracts/commits/archive" }, body)
            }
            Step::DisableTrueUp { balance: number } => {
                let contract = balance(number).billed_on.map(|contract| &customer.contracts[contract].id);
                let body = json!({ "commit_id": balance(number).id, "contract_id": contract });
                ("/v1/contracts/commits/disableTrueup", body)
            }
            Step::Void { invoice } => ("/v1/invoices/void", json!({ "id": customer.invoices[*invoice].id })),
            Step::Regenerate { invoice } => {
                ("/v1/invoices/regenerate", json!({ "id": customer.invoices[*invoice].id }))
            }
            Step::EndContract { contract, end } => {
                let mut body = json!({ "contract_id": customer.contracts[*contract].id });
                if let Some(end) = end {
                    body["ending_before"] = json!(wire(*end));
                }
                ("/v1/contracts/updateEndDate", body)
            }
            Step::ArchiveContract { contract, voids } => {
                let id = &customer.contracts[*contract].id;
                ("/v1/contracts/archive", json!({ "contract_id": id, "void_invoices": voids }))
            }
        }
    }

    fn balance(&self, plan: &BalancePlan, customer: &Customer, is_of_contract: bool) -> Value {
        let segment = |(amount, start, end): &(i64, Instant, Instant)| json!({ "amount": amount, "starting_at": wire(*start), "ending_before": wire(*end) });
        let segments: Vec<Value> = plan.segments.iter().map(segment).collect();
        let mut body = json!({
            "product_id": self.fee, "name": plan.name, "priority": plan.priority,
            "rate_type": if plan.at_commit_rate { "COMMIT_RATE" } else { "LIST_RATE" },
            "access_schedule": { "schedule_items": segments },
        });
        if plan.drawn_by == DrawnBy::Units {
            body["access_schedule"]["access_type"] = json!("QUANTITY");
        }
        if !plan.products.is_empty() {
            body["applicable_product_ids"] = self.named(&plan.products);
        }
        if let Some(rollover) = plan.rollover {
            body["rollover_fraction"] = fraction_on_wire(rollover);
        }
        if !is_of_contract && !plan.applicable.is_empty() {
            let ids = plan.applicable.iter().map(|contract| customer.contracts[*contract].id.as_str());
            body["applicable_contract_ids"] = ids.collect();
        }
        if plan.kind != Kind::Credit {
            body["type"] = json!(if plan.kind == Kind::Postpaid { "POSTPAID" } else { "PREPAID" });
            if !plan.payments.is_empty() {
                let payment =
                    |(at, amount): &(Instant, i64)| json!({ "timestamp": wire(*at), "amount": amount });
                let payments: Vec<Value> = plan.payments.iter().map(payment).collect();
                body["invoice_schedule"] =
                    json!({ "schedule_items": payments, "do_not_invoice": plan.do_not_invoice });
            }
            if let Some(contract) = plan.billed_on.filter(|_| !is_of_contract) {
                body["invoice_contract_id"] = json!(customer.contracts[contract].id);
            }
        }
        body
    }

    fn contract(&self, plan: &ContractPlan, customer: &Customer) -> Value {
        let of_kind = |is_credit: bool| -> Vec<Value> {
            let own = plan.balances.iter().filter(|one| (one.kind == Kind::Credit) == is_credit);
            own.map(|one| self.balance(one, customer, true)).collect()
        };
        let grants = |is_credit: bool| -> Vec<Value> {
            let own = plan.grants.iter().filter(|one| (one.kind == Kind::Credit) == is_credit);
            own.map(|one| self.grant(one)).collect()
        };
        let charge = |(at, amount): &(Instant, i64)| {
            let item = json!({ "timestamp": wire(*at), "amount": amount });
            json!({ "product_id": self.fee, "schedule": { "schedule_items": [item] } })
        };
        let charges: Vec<Value> = plan.charges.iter().map(charge).collect();
        let mut body = json!({
            "rate_card_id": self.card, "starting_at": wire(plan.start), "ending_before": wires(plan.end),
            "usage_statement_schedule": {
                "frequency": plan.frequency.wire(),
                "day": if plan.is_anchored { "CONTRACT_START" } else { "FIRST_OF_MONTH" },
            },
            "commits": of_kind(false), "credits": of_kind(true), "scheduled_charges": charges,
            "recurring_commits": grants(false), "recurring_credits": grants(true),
        });
        if plan.rides {
            body["scheduled_charges_on_usage_invoices"] = json!("ALL");
        }
        if let Some(only) = plan.only {
            body["usage_filter"] =
                json!({ "group_key": "of", "group_values": [only], "starting_at": wire(plan.start) });
        }
        body
    }

    fn grant(&self, plan: &GrantPlan) -> Value {
        let amount = |amount: i64| json!({ "unit_price": amount, "quantity": 1, "credit_type_id": USD });
        let mut body = json!({
            "product_id": self.fee, "name": plan.name, "priority": plan.priority,
            "access_amount": amount(plan.amount), "commit_duration": { "value": plan.duration },
            "starting_at": wire(plan.start), "ending_before": wires(plan.end),
        });
        if plan.drawn_by == DrawnBy::Units {
            body["access_amount"] =
                json!({ "unit_price": plan.amount, "quantity": 1, "access_type": "QUANTITY" });
        }
        if let Some(price) = plan.price {
            body["invoice_amount"] = amount(price);
        }
        if let Some(frequency) = plan.frequency {
            body["recurrence_frequency"] = json!(frequency.wire());
        }
        if !plan.products.is_empty() {
            body["applicable_product_ids"] = self.named(&plan.products);
        }
        if let Some(rollover) = plan.rollover {
            body["rollover_fraction"] = fraction_on_wire(rollover);
        }
        body
    }

    /// Nothing is left of it.
    pub async fn end(self) {
        let options = sqlx::postgres::PgConnectOptions::clone(&self.app.db.connect_options());
        let name = options.get_database().expect("a database of its own").to_owned();
        self.app.db.close().await;
        let mut server = PgConnection::connect_with(&options.database("postgres")).await.expect("PostgreSQL");
        let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
        server.execute(drop).await.expect("the database is gone");
    }
}

/// What an edit is on the wire, but for what it names; `named` says how products are called there.
pub fn edit_body(
    edit: &Edit,
    balance: &Balance,
    customer: &Customer,
    named: impl Fn(&[usize]) -> Value,
) -> Value {
    let access = |what: &str, item: Value| json!({ "access_schedule": { what: [item] } });
    let paid = |what: &str, item: Value| json!({ "invoice_schedule": { what: [item] } });
    let segment = |place: usize| &balance.segments[place].id;
    let payment = |place: usize| &balance.payments[place].id;
    match edit {
        Edit::Amount { segment: place, amount } => {
            let mut body =
                access("update_schedule_items", json!({ "id": segment(*place), "amount": amount }));
            if balance.kind == Kind::Postpaid {
                body["invoice_schedule"] =
                    json!({ "update_schedule_items": [{ "id": payment(0), "amount": amount }] });
            }
            body
        }
        Edit::Time { segment: place, start, end } => {
            let item = json!({
                "id": segment(*place), "starting_at": wire(*start), "ending_before": wire(*end),
            });
            access("update_schedule_items", item)
        }
        Edit::AddSegment { amount, start, end } => {
            let item = json!({ "amount": amount, "starting_at": wire(*start), "ending_before": wire(*end) });
            access("add_schedule_items", item)
        }
        Edit::RemoveSegment { segment: place } => {
            access("remove_schedule_items", json!({ "id": segment(*place) }))
        }
        Edit::Priority(priority) => json!({ "priority": priority }),
        Edit::AtCommitRate(at_commit_rate) => {
            json!({ "rate_type": if *at_commit_rate { "COMMIT_RATE" } else { "LIST_RATE" } })
        }
        Edit::Products(products) if products.is_empty() => json!({ "applicable_product_ids": null }),
        Edit::Products(products) => json!({ "applicable_product_ids": named(products) }),
        Edit::Contracts(contracts) if contracts.is_empty() => json!({ "applicable_contract_ids": null }),
        Edit::Contracts(contracts) => {
            let ids: Vec<&str> =
                contracts.iter().map(|contract| customer.contracts[*contract].id.as_str()).collect();
            json!({ "applicable_contract_ids": ids })
        }
        Edit::BilledOn(contract) => json!({ "invoice_contract_id": customer.contracts[*contract].id }),
        Edit::AddPayment { at, amount } => {
            paid("add_schedule_items", json!({ "timestamp": wire(*at), "amount": amount }))
        }
        Edit::ChangePayment { payment: place, at, amount } => {
            let item = json!({ "id": payment(*place), "timestamp": wire(*at), "amount": amount });
            paid("update_schedule_items", item)
        }
        Edit::RemovePayment { payment: place } => {
            paid("remove_schedule_items", json!({ "id": payment(*place) }))
        }
    }
}
