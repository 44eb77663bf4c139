//! One of everything, and a good request of every operation over it.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use upbeat::access::{self, EnvironmentKind};

use crate::support::{Answer, Api, Metric, charge};

/// Where the sandbox clock of a world stands.
pub const NOW: &str = "2026-03-10T12:00:00Z";

/// A metric, a product, a card with one rate, and a customer on a contract with a draft.
pub struct World {
    pub metric: String,
    pub product: String,
    pub card: String,
    pub customer: String,
    pub contract: String,
    pub invoice: String,
    /// A custom pricing unit.
    pub unit: String,
    pub package: String,
    /// A FIXED product.
    pub fee: String,
    /// Only in a whole world.
    held: Option<Held>,
}

/// A customer that has commits and credits, none of which pays for anything of today.
struct Held {
    customer: String,
    contract: String,
    commit: String,
    segment: String,
    postpaid: String,
    credit: String,
    /// An invoice that is due, of another customer.
    invoice: String,
}

/// The invoice of a fee that is due, of a customer who owes nothing else.
async fn due_invoice(api: &Api) -> String {
    let fee = api.fixed_product("Fee").await;
    let customer = api.customer("acct-0").await;
    let contract = json!({
        "customer_id": customer, "starting_at": "2026-03-01T00:00:00Z",
        "scheduled_charges": [charge(&fee, &[("2026-03-01T00:00:00Z", 7)])],
    });
    api.post("/v1/contracts/create", contract).await.id();
    // It is due, so whoever asks for it to be void has it finalized.
    let invoices = api.get(&format!("/v1/customers/{customer}/invoices?type=SCHEDULED")).await.data();
    invoices[0]["id"].as_str().expect("an id").to_owned()
}

/// What becomes of a request whose ids are those of another environment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Foreign {
    /// It names no id.
    NoId,
    /// 404 with a message.
    NotFound,
    /// 400 that names the field.
    Field(&'static str),
    /// 400 with a code, as v2 answers.
    Code(&'static str),
}

/// A good request of one operation.
pub struct Operation {
    pub method: &'static str,
    /// As the OpenAPI document spells it.
    pub route: &'static str,
    /// With the world's ids.
    pub path: String,
    pub body: Value,
    pub writes: bool,
    pub foreign: Foreign,
}

impl World {
    pub async fn new(api: &Api) -> Self {
        let metric = Metric { aggregation: "SUM", key: Some("tokens"), groups: &["model"] };
        let metric = api.metric(metric).await;
        let product = api.product("Tokens", &metric, json!({ "pricing_group_key": ["model"] })).await;
        let rates = api.rate_card().await;
        let values = json!({ "pricing_group_values": { "model": "small" } });
        api.flat(&rates, &product, "2026-01-01T00:00:00Z", "3", values).await;
        let customer = api.customer("acct-1").await;
        let contract = api.contract(&customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
        let invoice = api.invoice(&customer, "2026-03-01").await["id"].as_str().expect("an id").to_owned();
        let package = json!({ "name": "Plan", "rate_card_id": rates.card });
        let package = api.post("/v1/packages/create", package).await.id();
        let unit = api.post("/v1/credit-types/create", json!({ "name": "AI credits" })).await.id();
        let fee = api.fixed_product("Commit").await;
        Self {
            metric,
            product,
            card: rates.card,
            customer,
            contract,
            invoice,
            unit,
            package,
            fee,
            held: None,
        }
    }

    /// With everything that a request of every operation needs.
    pub async fn whole(api: &Api) -> Self {
        let mut world = Self::new(api).await;
        let customer = api.customer("acct-held").await;
        let terms = json!({ "customer_id": customer, "starting_at": "2020-01-01T00:00:00Z" });
        let contract = api.post("/v1/contracts/create", terms).await.id();
        let grant = json!({
            "customer_id": customer, "product_id": world.fee, "priority": 1, "type": "PREPAID",
            "access_schedule": { "schedule_items": [
                { "amount": 5, "starting_at": "2020-01-01T00:00:00Z", "ending_before": "2020-02-01T00:00:00Z" },
            ] },
        });
        let commit = api.post("/v1/contracts/customerCommits/create", grant.clone()).await.id();
        let mut promise = with(&grant, "/type", json!("POSTPAID"));
        promise["invoice_contract_id"] = json!(contract);
        promise["invoice_schedule"] = json!({
            "do_not_invoice": true, "schedule_items": [{ "timestamp": "2020-02-01T00:00:00Z", "amount": 5 }],
        });
        let postpaid = api.post("/v1/contracts/customerCommits/create", promise).await.id();
        let credit = without(&grant, "/type");
        let credit = api.post("/v1/contracts/customerCredits/create", credit).await.id();
        let listed = json!({ "customer_id": customer, "commit_id": commit });
        let listed = api.post("/v1/contracts/customerCommits/list", listed).await.data();
        let segment =
            listed[0]["access_schedule"]["schedule_items"][0]["id"].as_str().expect("an id").to_owned();
        let invoice = due_invoice(api).await;
        world.held = Some(Held { customer, contract, commit, segment, postpaid, credit, invoice });
        world
    }

    /// Every operation of the server. `openapi::…` holds that none of the document is missing.
    #[expect(clippy::too_many_lines, reason = "a line or two for each operation")]
    pub fn operations(&self) -> Vec<Operation> {
        use Foreign::{Code, Field, NoId, NotFound};
        let Self { metric, product, card, customer, contract, invoice, .. } = self;
        let due = &self.held.as_ref().expect("the world is whole").invoice;
        let read = |method, route, body, foreign| self.operation(method, route, body, false, foreign);
        let write = |method, route, body, foreign| self.operation(method, route, body, true, foreign);
        let of_contract = json!({ "customer_id": customer, "contract_id": contract });
        let of_customer = json!({ "customer_id": customer });
        let rate = json!({
            "product_id": product, "starting_at": "2026-04-01T00:00:00Z", "entitled": true, "rate_type": "FLAT",
            "price": 4, "pricing_group_values": { "model": "small" },
        });
        let mut add_rate = rate.clone();
        add_rate["rate_card_id"] = json!(card);
        let rest = vec![
            read("GET", "/v1/customers", Value::Null, NoId),
            read("GET", "/v1/customers/{customer_id}", Value::Null, NotFound),
            read("GET", "/v1/customers/{customer_id}/invoices", Value::Null, NotFound),
            read("GET", "/v1/customers/{customer_id}/invoices/{invoice_id}", Value::Null, NotFound),
            read(
                "GET",
                "/v1/upbeat/customers/{customer_id}/invoices/{invoice_id}/explain",
                Value::Null,
                NotFound,
            ),
            read("GET", "/v1/customers/{customer_id}/billable-metrics", Value::Null, NotFound),
            read("GET", "/v1/billable-metrics", Value::Null, NoId),
            read("GET", "/v1/billable-metrics/{billable_metric_id}", Value::Null, NotFound),
            read("GET", "/v1/credit-types/list", Value::Null, NoId),
            read("POST", "/v1/contract-pricing/products/get", json!({ "id": product }), NotFound),
            read("POST", "/v1/contract-pricing/products/list", json!({}), NoId),
            read("POST", "/v1/contract-pricing/rate-cards/get", json!({ "id": card }), NotFound),
            read("POST", "/v1/contract-pricing/rate-cards/list", json!({}), NoId),
            read(
                "POST",
                "/v1/contract-pricing/rate-cards/getRates",
                json!({ "rate_card_id": card, "at": NOW }),
                NotFound,
            ),
            read("POST", "/v1/contracts/getContractRateSchedule", of_contract.clone(), NotFound),
            read("POST", "/v1/contracts/get", of_contract.clone(), NotFound),
            read("POST", "/v1/contracts/list", of_customer.clone(), NotFound),
            read("POST", "/v2/contracts/get", of_contract.clone(), Code("CustomerNotFound")),
            read("POST", "/v2/contracts/list", of_customer, Code("CustomerNotFound")),
            read(
                "POST",
                "/v1/usage",
                json!({
                    "customer_ids": [customer], "billable_metrics": [{ "id": metric }], "window_size": "NONE",
                    "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z",
                }),
                NotFound,
            ),
            read("POST", "/v1/customFields/listKeys", json!({}), NoId),
            read("GET", "/v1/auditLogs", Value::Null, NoId),
            read("GET", "/v1/services", Value::Null, NoId),
            read(
                "POST",
                "/v1/usage/groups",
                json!({
                    "customer_id": customer, "billable_metric_id": metric, "window_size": "NONE",
                    "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z",
                    "group_key": ["model"],
                }),
                NotFound,
            ),
            read(
                "POST",
                "/v1/usage/seats",
                json!({
                    "customer_id": customer, "seat_metric_id": metric, "window_size": "DAY", "usage_type": "max",
                    "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-03-11T00:00:00Z",
                }),
                NotFound,
            ),
            read(
                "POST",
                "/v1/customers/{customer_id}/previewEvents",
                json!({ "events": [{ "event_type": "use", "properties": { "tokens": 5, "model": "small" } }] }),
                NotFound,
            ),
            read("GET", "/v1/customers/{customer_id}/purchasedSeats", Value::Null, NotFound),
            read("POST", "/v1/upbeat/usage/unrated", json!({ "customer_ids": [customer] }), NotFound),
            read("POST", "/v1/upbeat/usage/unmatched-customers", json!({}), NoId),
            read("POST", "/v1/upbeat/usage/unmatched-metrics", json!({}), NoId),
            read("POST", "/v1/events/search", json!({ "transactionIds": ["t"] }), NoId),
            read("GET", "/sandbox/clock", Value::Null, NoId),
            write("POST", "/v1/customers", json!({ "name": "One more" }), NoId),
            write(
                "POST",
                "/v1/customers/{customer_id}/setIngestAliases",
                json!({ "ingest_aliases": ["acct-1"] }),
                NotFound,
            ),
            write("POST", "/v1/customers/{customer_id}/setName", json!({ "name": "Renamed" }), NotFound),
            write(
                "POST",
                "/v1/customers/{customer_id}/updateConfig",
                json!({ "salesforce_account_id": "sf-1" }),
                NotFound,
            ),
            write(
                "POST",
                "/v1/customers/setBillableStatus",
                json!({ "customer_id": customer, "billable_status": "unbillable", "effective_at": NOW }),
                NotFound,
            ),
            write(
                "POST",
                "/v1/billable-metrics",
                json!({ "name": "One more", "aggregate": "COUNT", "filter": { "type": "object" } }),
                NoId,
            ),
            write("PUT", "/v1/billable-metrics/{billable_metric_id}", json!({ "name": "Renamed" }), NotFound),
            write(
                "POST",
                "/v1/upbeat/billable-metrics/{billable_metric_id}/reflow",
                json!({ "starting_at": NOW }),
                NotFound,
            ),
            write(
                "POST",
                "/v1/billable-metrics/create",
                json!({ "name": "One more", "aggregation_type": "COUNT" }),
                NoId,
            ),
            write(
                "POST",
                "/v1/contract-pricing/products/create",
                json!({ "name": "One more", "type": "USAGE", "billable_metric_id": metric }),
                Field("billable_metric_id"),
            ),
            write(
                "POST",
                "/v1/contract-pricing/products/update",
                json!({ "product_id": product, "starting_at": "2026-04-01T00:00:00Z", "name": "Renamed" }),
                NotFound,
            ),
            write("POST", "/v1/contract-pricing/rate-cards/create", json!({ "name": "One more" }), NoId),
            write("POST", "/v1/contract-pricing/rate-cards/addRate", add_rate, NotFound),
            write(
                "POST",
                "/v1/contract-pricing/rate-cards/addRates",
                json!({ "rate_card_id": card, "rates": [rate] }),
                NotFound,
            ),
            write(
                "POST",
                "/v1/contracts/create",
                json!({ "customer_id": customer, "rate_card_id": card, "starting_at": "2026-03-01T00:00:00Z" }),
                NotFound,
            ),
            write(
                "POST",
                "/v1/ingest",
                json!([{ "transaction_id": "t", "customer_id": customer, "event_type": "use", "timestamp": NOW }]),
                NoId,
            ),
            write(
                "POST",
                "/v1/customFields/addKey",
                json!({ "entity": "customer", "key": "tier", "enforce_uniqueness": false }),
                NoId,
            ),
            write(
                "POST",
                "/v1/customFields/setValues",
                json!({ "entity": "customer", "entity_id": customer, "custom_fields": { "tier": "gold" } }),
                NotFound,
            ),
            write(
                "POST",
                "/v1/customFields/deleteValues",
                json!({ "entity": "customer", "entity_id": customer, "keys": ["tier"] }),
                NotFound,
            ),
            write("POST", "/v1/customFields/removeKey", json!({ "entity": "customer", "key": "tier" }), NoId),
            write("POST", "/sandbox/clock", json!({ "now": NOW }), NoId),
            write(
                "POST",
                "/v1/contracts/updateEndDate",
                with(&of_contract, "/ending_before", json!("2027-03-01T00:00:00Z")),
                NotFound,
            ),
            write(
                "POST",
                "/v1/contracts/setUsageFilter",
                with(
                    &with(
                        &with(&of_contract, "/group_key", json!("model")),
                        "/group_values",
                        json!(["small"]),
                    ),
                    "/starting_at",
                    json!("2026-04-01T00:00:00Z"),
                ),
                NotFound,
            ),
            write("POST", "/v1/invoices/void", json!({ "id": due }), NotFound),
            write("POST", "/v1/invoices/regenerate", json!({ "id": due }), NotFound),
            write(
                "POST",
                "/v1/contracts/archive",
                with(&of_contract, "/void_invoices", json!(true)),
                NotFound,
            ),
            write(
                "POST",
                "/v1/contract-pricing/products/archive",
                json!({ "product_id": product }),
                NotFound,
            ),
            write("POST", "/v1/billable-metrics/archive", json!({ "id": metric }), NotFound),
            write("POST", "/v1/customers/archive", json!({ "id": customer }), NotFound),
        ];
        // What takes things away comes last.
        self.operations_of_units_schedules_and_packages()
            .into_iter()
            .chain(self.operations_of_commits_and_credits())
            .chain(rest)
            .chain(self.operations_of_rate_cards())
            .map(|mut operation| {
                operation.path = operation.path.replace("{invoice_id}", invoice);
                operation
            })
            .collect()
    }

    /// Those of rate cards that need nothing but the card and its product.
    fn operations_of_rate_cards(&self) -> Vec<Operation> {
        let Self { product, card, .. } = self;
        let rate_card = |route, body, writes| self.operation("POST", route, body, writes, Foreign::NotFound);
        vec![
            rate_card(
                "/v1/contract-pricing/rate-cards/getRateSchedule",
                json!({ "rate_card_id": card, "starting_at": "2026-01-01T00:00:00Z" }),
                false,
            ),
            rate_card(
                "/v1/contract-pricing/rate-cards/update",
                json!({ "rate_card_id": card, "name": "Renamed" }),
                true,
            ),
            rate_card(
                "/v1/contract-pricing/rate-cards/setRateCardProductsOrder",
                json!({ "rate_card_id": card, "product_order": [product] }),
                true,
            ),
            rate_card(
                "/v1/contract-pricing/rate-cards/moveRateCardProducts",
                json!({ "rate_card_id": card, "product_moves": [{ "product_id": product, "position": 0 }] }),
                true,
            ),
            rate_card("/v1/contract-pricing/rate-cards/archive", json!({ "id": card }), true),
        ]
    }

    fn operations_of_units_schedules_and_packages(&self) -> Vec<Operation> {
        use Foreign::{Code, NoId, NotFound};
        let Self { card, customer, contract, unit, package, .. } = self;
        let of_card = json!({ "rate_card_id": card, "schedule_name": "limits" });
        let of_customer = json!({ "customer_id": customer, "schedule_name": "limits" });
        let of_contract = with(&of_customer, "/contract_id", json!(contract));
        let set = |of: &Value| with(&with(of, "/starting_at", json!(NOW)), "/value", json!({ "calls": 1.5 }));
        let post = |route, body, writes, foreign| self.operation("POST", route, body, writes, foreign);
        let of_customers = json!({ "customer_id": customer });
        let of_package = json!({ "package_id": package });
        let with_contract = json!({
            "customer": { "name": "One more" },
            "contract": { "rate_card_id": card, "starting_at": "2026-03-01T00:00:00Z" },
        });
        vec![
            post("/v1/credit-types/create", json!({ "name": "One more" }), true, NoId),
            post("/v1/contract-pricing/rate-cards/getNamedSchedule", of_card.clone(), false, NotFound),
            post("/v1/customers/getNamedSchedule", of_customer.clone(), false, NotFound),
            post("/v1/contracts/getNamedSchedule", of_contract.clone(), false, NotFound),
            post("/v1/contracts/listNamedSchedules", of_customers, false, NotFound),
            post("/v1/contract-pricing/rate-cards/updateNamedSchedule", set(&of_card), true, NotFound),
            post("/v1/customers/updateNamedSchedule", set(&of_customer), true, NotFound),
            post("/v1/contracts/updateNamedSchedule", set(&of_contract), true, NotFound),
            post("/v1/credit-types/archive", json!({ "id": unit }), true, NotFound),
            post("/v1/packages/create", json!({ "name": "One more", "rate_card_id": card }), true, NotFound),
            post("/v1/packages/get", of_package.clone(), false, NotFound),
            post("/v1/packages/list", json!({}), false, NoId),
            post("/v1/packages/listContractsOnPackage", of_package.clone(), false, Code("PackageNotFound")),
            post("/v1/composite/createCustomerWithContract", with_contract, true, NotFound),
            post("/v1/packages/archive", of_package, true, NotFound),
        ]
    }

    fn operations_of_commits_and_credits(&self) -> Vec<Operation> {
        let grant = json!({
            "customer_id": self.customer, "product_id": self.fee, "priority": 1, "type": "PREPAID",
            "access_schedule": { "schedule_items": [
                { "amount": 5, "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2027-03-01T00:00:00Z" },
            ] },
        });
        let Held { customer, contract, commit, segment, postpaid, credit, .. } =
            self.held.as_ref().expect("the world is whole");
        let (of_commit, of_credit) = (
            json!({ "customer_id": customer, "commit_id": commit }),
            json!({ "customer_id": customer, "credit_id": credit }),
        );
        let end = json!("2020-01-20T00:00:00Z");
        let read = |route, body, foreign| self.operation("POST", route, body, false, foreign);
        let write = |route, body| self.operation("POST", route, body, true, Foreign::NotFound);
        let write_v2 =
            |route, body| self.operation("POST", route, body, true, Foreign::Code("CustomerNotFound"));
        vec![
            write("/v1/contracts/customerCommits/create", grant.clone()),
            write("/v1/contracts/customerCredits/create", without(&grant, "/type")),
            read("/v1/contracts/customerCommits/list", of_commit.clone(), Foreign::NotFound),
            read("/v1/contracts/customerCredits/list", of_credit.clone(), Foreign::NotFound),
            read(
                "/v1/contracts/customerBalances/list",
                json!({ "customer_id": customer }),
                Foreign::NotFound,
            ),
            read(
                "/v1/contracts/customerBalances/getNetBalance",
                json!({ "customer_id": customer }),
                Foreign::Field("customer_id"),
            ),
            write(
                "/v1/contracts/addManualBalanceLedgerEntry",
                json!({
                    "customer_id": customer, "id": commit, "segment_id": segment, "amount": 1, "reason": "Goodwill",
                }),
            ),
            write(
                "/v1/contracts/customerCommits/updateEndDate",
                with(&of_commit, "/access_ending_before", end.clone()),
            ),
            write(
                "/v1/contracts/customerCredits/updateEndDate",
                with(&of_credit, "/access_ending_before", end),
            ),
            write(
                "/v1/contracts/commits/disableTrueup",
                json!({ "customer_id": customer, "commit_id": postpaid, "contract_id": contract }),
            ),
            write_v2("/v2/contracts/commits/edit", with(&of_commit, "/name", json!("Year"))),
            write_v2("/v2/contracts/credits/edit", with(&of_credit, "/name", json!("Trial"))),
            write_v2("/v2/contracts/commits/archive", of_commit),
            write_v2("/v2/contracts/credits/archive", of_credit),
        ]
    }

    fn operation(
        &self,
        method: &'static str,
        route: &'static str,
        body: Value,
        writes: bool,
        foreign: Foreign,
    ) -> Operation {
        let path =
            route.replace("{customer_id}", &self.customer).replace("{billable_metric_id}", &self.metric);
        Operation { method, route, path, body, writes, foreign }
    }
}

/// The body with `value` at a JSON pointer, whose last step may be new.
pub fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer");
    let parent = body.pointer_mut(parent).expect("the pointer leads somewhere");
    match parent {
        Value::Array(items) => items[key.parse::<usize>().expect("an index")] = value,
        other => other[key] = value,
    }
    body
}

/// The body without the member at a JSON pointer.
pub fn without(body: &Value, pointer: &str) -> Value {
    let mut body = body.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer");
    let parent = body.pointer_mut(parent).expect("the pointer leads somewhere");
    parent.as_object_mut().expect("an object").remove(key).expect("a member");
    body
}

/// Sends each body and checks that it is 400 with a message that holds the part beside it.
pub async fn refuse(api: &Api, path: &str, cases: Vec<(Value, &str)>) {
    for (body, part) in cases {
        let answer = api.post(path, body.clone()).await;
        assert_eq!(answer.status.as_u16(), 400, "{path} {body}: {}", answer.body);
        answer.refused(400, &[part]);
    }
}

/// A JSON number from its text.
pub fn number(text: &str) -> Value {
    serde_json::from_str(text).expect("a JSON number")
}

/// A POST with a header of its own and no other but the token's.
pub async fn post_with(api: &Api, header: (&str, &str), path: &str, body: impl Into<Body>) -> Answer {
    let mut db = api.app.db.acquire().await.expect("a connection");
    let sandbox = access::find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
    let now = api.app.clock.now();
    access::bootstrap(&mut db, &api.app.ids, sandbox.id, "secret", now).await.expect("a token");
    drop(db);
    let request = Request::builder().method(Method::POST).uri(path).header("authorization", "Bearer secret");
    api.request(request.header(header.0, header.1).body(body.into()).expect("a request")).await
}

/// SQL whose quantity is too large for any number once there is an event with a property `n`.
pub fn beyond_all_bounds() -> String {
    let square = |step: i32| format!(", q{step} AS (SELECT n * n AS n FROM q{})", step - 1);
    let squares: String = (1..14).map(square).collect();
    let first = "q0 AS (SELECT properties.n * 1e50 AS n FROM events)";
    format!("WITH {first}{squares} SELECT MAX(n) AS value FROM q13")
}
