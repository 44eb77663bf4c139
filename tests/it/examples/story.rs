//! Acme sells the tokens of its language models, by model, to Northwind, its first customer.

use serde_json::{Value, json};

use super::Teller;

/// What the story is about.
struct Acme {
    tokens: String,
    support: String,
    northwind: String,
    contract: String,
}

/// Tells everything, each operation once.
pub async fn tell(teller: &mut Teller) {
    clock(teller).await;
    let tokens = billable_metrics(teller).await;
    let (tokens_sold, support) = products(teller, &tokens).await;
    let card = rate_cards(teller, &tokens_sold).await;
    custom_fields(teller).await;
    let northwind = customers(teller).await;
    let contract = contracts(teller, &northwind, &tokens_sold, &support).await;
    commits_and_credits(teller, &northwind, &contract, &support).await;
    packages(teller, &card, &support).await;
    named_schedules(teller, &card, &northwind, &contract).await;
    let acme = Acme { tokens, support, northwind, contract };
    usage(teller, &acme).await;
    invoices(teller, &acme).await;
    records(teller, &acme).await;
    ends(teller, &acme).await;
}

async fn clock(teller: &mut Teller) {
    teller.tell("POST /sandbox/clock", json!({ "now": "2026-03-01T00:00:00Z" })).await;
    teller.tell("GET /sandbox/clock", Value::Null).await;
}

async fn billable_metrics(teller: &mut Teller) -> String {
    let tokens = json!({
        "name": "Tokens",
        "aggregation_type": "SUM",
        "aggregation_key": "tokens",
        "event_type_filter": { "in_values": ["completion"] },
        "property_filters": [
            { "name": "model", "exists": true, "in_values": ["small", "large"] },
            { "name": "tokens", "exists": true },
            { "name": "user", "exists": true },
        ],
        "group_keys": [["model"], ["user"]],
    });
    let tokens = teller.make("POST /v1/billable-metrics/create", tokens).await;
    let images = json!({
        "name": "Images",
        "aggregate": "COUNT",
        "filter": {
            "type": "object",
            "required": ["event_type"],
            "properties": { "event_type": { "const": "image" } },
        },
    });
    let images = teller.make("POST /v1/billable-metrics", images).await;
    let metric = json!({ "billable_metric_id": tokens });
    teller.ask("GET /v1/billable-metrics/{billable_metric_id}", metric, Value::Null).await;
    let metric = json!({ "billable_metric_id": images });
    let rename = json!({ "name": "Generated images" });
    teller.ask("PUT /v1/billable-metrics/{billable_metric_id}", metric, rename).await;
    teller.ask("GET /v1/billable-metrics", json!({ "limit": 1 }), Value::Null).await;
    let metric = json!({ "billable_metric_id": images });
    let since = json!({ "starting_at": "2026-02-01T00:00:00Z" });
    teller.ask("POST /v1/upbeat/billable-metrics/{billable_metric_id}/reflow", metric, since).await;
    teller.tell("POST /v1/billable-metrics/archive", json!({ "id": images })).await;
    tokens
}

async fn products(teller: &mut Teller, tokens: &str) -> (String, String) {
    let sold = json!({
        "name": "Tokens",
        "type": "USAGE",
        "billable_metric_id": tokens,
        "pricing_group_key": ["model"],
        "presentation_group_key": ["user"],
        "quantity_conversion": { "name": "thousand tokens", "operation": "DIVIDE", "conversion_factor": 1000 },
        "quantity_rounding": { "rounding_method": "ROUND_UP", "decimal_places": 1 },
        "tags": ["models"],
    });
    let sold = teller.make("POST /v1/contract-pricing/products/create", sold).await;
    let path = "/v1/contract-pricing/products/create";
    let support = teller.aside(path, json!({ "name": "Premium support", "type": "FIXED" })).await;
    let update = json!({
        "product_id": sold,
        "starting_at": "2026-06-01T00:00:00Z",
        "name": "Model tokens",
        "quantity_rounding": null,
        "tags": ["models", "text"],
    });
    teller.tell("POST /v1/contract-pricing/products/update", update).await;
    teller.tell("POST /v1/contract-pricing/products/get", json!({ "id": sold })).await;
    let list = json!({ "archive_filter": "ALL" });
    teller.ask("POST /v1/contract-pricing/products/list", json!({ "limit": 10 }), list).await;
    (sold, support)
}

async fn rate_cards(teller: &mut Teller, tokens_sold: &str) -> String {
    let credits = teller.make("POST /v1/credit-types/create", json!({ "name": "AI credits" })).await;
    let old = teller.aside("/v1/credit-types/create", json!({ "name": "Old credits" })).await;
    teller.tell("POST /v1/credit-types/archive", json!({ "id": old })).await;
    let card = json!({
        "name": "List prices 2026",
        "description": "What everybody pays who has not agreed on something else.",
        "credit_type_conversions": [{ "custom_credit_type_id": credits, "fiat_per_custom_credit": 2 }],
        "aliases": [{ "name": "list", "starting_at": "2026-01-01T00:00:00Z" }],
    });
    let card = teller.make("POST /v1/contract-pricing/rate-cards/create", card).await;
    let small = json!({
        "rate_card_id": card,
        "product_id": tokens_sold,
        "starting_at": "2026-01-01T00:00:00Z",
        "entitled": true,
        "rate_type": "FLAT",
        "price": 0.02,
        "pricing_group_values": { "model": "small" },
    });
    teller.tell("POST /v1/contract-pricing/rate-cards/addRate", small).await;
    let large = json!({
        "product_id": tokens_sold,
        "starting_at": "2026-01-01T00:00:00Z",
        "ending_before": "2027-01-01T00:00:00Z",
        "entitled": true,
        "rate_type": "TIERED",
        "tiers": [{ "size": 1000, "price": 0.5 }, { "price": 0.4 }],
        "pricing_group_values": { "model": "large" },
    });
    let cheaper = json!({
        "product_id": tokens_sold,
        "starting_at": "2026-07-01T00:00:00Z",
        "entitled": true,
        "rate_type": "FLAT",
        "price": 0.015,
        "pricing_group_values": { "model": "small" },
    });
    let rates = json!({ "rate_card_id": card, "rates": [large, cheaper] });
    teller.tell("POST /v1/contract-pricing/rate-cards/addRates", rates).await;
    let at = json!({
        "rate_card_id": card,
        "at": "2026-03-01T00:00:00Z",
        "selectors": [{ "product_id": tokens_sold }],
    });
    teller.ask("POST /v1/contract-pricing/rate-cards/getRates", json!({ "limit": 10 }), at).await;
    let schedule = json!({
        "rate_card_id": card,
        "starting_at": "2026-03-01T00:00:00Z",
        "ending_before": "2027-01-01T00:00:00Z",
        "selectors": [{ "partial_pricing_group_values": { "model": "small" } }],
    });
    let parameters = json!({ "limit": 10 });
    teller.ask("POST /v1/contract-pricing/rate-cards/getRateSchedule", parameters, schedule).await;
    let update =
        json!({ "rate_card_id": card, "name": "List prices", "description": "What everybody pays." });
    teller.tell("POST /v1/contract-pricing/rate-cards/update", update).await;
    let moves =
        json!({ "rate_card_id": card, "product_moves": [{ "product_id": tokens_sold, "position": 0 }] });
    teller.tell("POST /v1/contract-pricing/rate-cards/moveRateCardProducts", moves).await;
    let order = json!({ "rate_card_id": card, "product_order": [tokens_sold] });
    teller.tell("POST /v1/contract-pricing/rate-cards/setRateCardProductsOrder", order).await;
    teller.tell("POST /v1/contract-pricing/rate-cards/get", json!({ "id": card })).await;
    let parameters = json!({ "limit": 10 });
    teller.ask("POST /v1/contract-pricing/rate-cards/list", parameters, json!({})).await;
    let draft = teller.aside("/v1/contract-pricing/rate-cards/create", json!({ "name": "A draft" })).await;
    teller.tell("POST /v1/contract-pricing/rate-cards/archive", json!({ "id": draft })).await;
    card
}

async fn custom_fields(teller: &mut Teller) {
    let key = json!({ "entity": "customer", "key": "crm_id", "enforce_uniqueness": true });
    teller.tell("POST /v1/customFields/addKey", key).await;
    for (entity, key) in [("customer", "region"), ("contract", "order_number")] {
        let key = json!({ "entity": entity, "key": key, "enforce_uniqueness": false });
        teller.aside("/v1/customFields/addKey", key).await;
    }
    let list = json!({ "entities": ["customer", "contract"] });
    teller.tell("POST /v1/customFields/listKeys", list).await;
}

async fn customers(teller: &mut Teller) -> String {
    let northwind = json!({
        "name": "Northwind",
        "ingest_aliases": ["northwind", "team@northwind.example"],
        "custom_fields": { "crm_id": "C-1042" },
        "customer_config": { "salesforce_account_id": "0015500001WO1ZiABL" },
    });
    let northwind = teller.make("POST /v1/customers", northwind).await;
    let customer = || json!({ "customer_id": northwind });
    let aliases = json!({ "ingest_aliases": ["northwind", "northwind-eu"] });
    teller.ask("POST /v1/customers/{customer_id}/setIngestAliases", customer(), aliases).await;
    let name = json!({ "name": "Northwind Traders" });
    teller.ask("POST /v1/customers/{customer_id}/setName", customer(), name).await;
    let config = json!({ "salesforce_account_id": "0015500001WO1ZiABM" });
    teller.ask("POST /v1/customers/{customer_id}/updateConfig", customer(), config).await;
    let fields = json!({ "entity": "customer", "entity_id": northwind, "custom_fields": { "region": "EU" } });
    teller.tell("POST /v1/customFields/setValues", fields).await;
    teller.ask("GET /v1/customers/{customer_id}", customer(), Value::Null).await;
    let trial =
        teller.aside("/v1/customers", json!({ "name": "A trial", "ingest_aliases": ["trial"] })).await;
    teller.ask("GET /v1/customers", json!({ "limit": 1, "ingest_alias": "northwind" }), Value::Null).await;
    let unbillable = json!({
        "customer_id": trial,
        "billable_status": "unbillable",
        "effective_at": "2026-03-01T00:00:00Z",
    });
    teller.tell("POST /v1/customers/setBillableStatus", unbillable).await;
    teller.tell("POST /v1/customers/archive", json!({ "id": trial })).await;
    northwind
}

async fn contracts(teller: &mut Teller, northwind: &str, tokens_sold: &str, support: &str) -> String {
    let contract = json!({
        "customer_id": northwind,
        "name": "Northwind 2026",
        "rate_card_alias": "list",
        "starting_at": "2026-03-01T00:00:00Z",
        "ending_before": "2027-03-01T00:00:00Z",
        "usage_statement_schedule": { "frequency": "MONTHLY", "day": "FIRST_OF_MONTH" },
        "net_payment_terms_days": 30,
        "scheduled_charges": [{
            "product_id": support,
            "name": "Premium support, first year",
            "schedule": {
                "schedule_items": [{ "timestamp": "2026-03-15T00:00:00Z", "unit_price": 120_000, "quantity": 1 }],
            },
        }],
        "overrides": [{
            "starting_at": "2026-03-01T00:00:00Z",
            "ending_before": "2026-06-01T00:00:00Z",
            "type": "MULTIPLIER",
            "multiplier": 0.9,
            "override_specifiers": [{ "product_id": tokens_sold, "pricing_group_values": { "model": "large" } }],
        }],
        "total_contract_value": 500_000,
        "salesforce_opportunity_id": "0065500000CxYzA",
        "custom_fields": { "order_number": "PO-7781" },
        "uniqueness_key": "northwind-2026",
    });
    let contract = teller.make("POST /v1/contracts/create", contract).await;
    let one = json!({ "customer_id": northwind, "contract_id": contract });
    teller.tell("POST /v1/contracts/get", one.clone()).await;
    let mut rates = one.clone();
    rates["at"] = json!("2026-03-01T00:00:00Z");
    rates["selectors"] = json!([{ "product_id": tokens_sold }]);
    teller.ask("POST /v1/contracts/getContractRateSchedule", json!({ "limit": 10 }), rates).await;
    let mut then = one.clone();
    then["as_of_date"] = json!("2026-03-01T00:00:00Z");
    teller.tell("POST /v2/contracts/get", then).await;
    let all = json!({ "customer_id": northwind, "covering_date": "2026-03-01T00:00:00Z" });
    teller.tell("POST /v1/contracts/list", all.clone()).await;
    teller.tell("POST /v2/contracts/list", all).await;
    let mut longer = one;
    longer["ending_before"] = json!("2027-04-01T00:00:00Z");
    longer["allow_ending_before_finalized_invoice"] = json!(false);
    teller.tell("POST /v1/contracts/updateEndDate", longer).await;
    let filter = json!({
        "customer_id": northwind,
        "contract_id": contract,
        "group_key": "user",
        "group_values": ["ada", "grace"],
        "starting_at": "2027-01-01T00:00:00Z",
    });
    teller.tell("POST /v1/contracts/setUsageFilter", filter).await;
    let parameters = json!({ "customer_id": northwind, "limit": 10 });
    teller.ask("GET /v1/customers/{customer_id}/billable-metrics", parameters, Value::Null).await;
    contract
}

async fn commits_and_credits(teller: &mut Teller, northwind: &str, contract: &str, support: &str) {
    let commit = json!({
        "customer_id": northwind,
        "type": "PREPAID",
        "name": "Spend of the second half",
        "priority": 100,
        "product_id": support,
        "access_schedule": {
            "schedule_items": [
                { "amount": 200_000, "starting_at": "2026-09-01T00:00:00Z", "ending_before": "2027-03-01T00:00:00Z" },
            ],
        },
        "invoice_schedule": { "schedule_items": [{ "timestamp": "2026-09-01T00:00:00Z", "amount": 180_000 }] },
        "invoice_contract_id": contract,
        "uniqueness_key": "northwind-second-half",
    });
    let commit = teller.make("POST /v1/contracts/customerCommits/create", commit).await;
    let credit = json!({
        "customer_id": northwind,
        "name": "For the outage of August",
        "priority": 1,
        "product_id": support,
        "access_schedule": {
            "schedule_items": [
                { "amount": 5_000, "starting_at": "2026-09-01T00:00:00Z", "ending_before": "2026-12-01T00:00:00Z" },
            ],
        },
        "specifiers": [{ "product_tags": ["models"] }],
        "applicable_contract_ids": [contract],
    });
    let credit = teller.make("POST /v1/contracts/customerCredits/create", credit).await;
    let of_commit = json!({ "customer_id": northwind, "commit_id": commit });
    let of_credit = json!({ "customer_id": northwind, "credit_id": credit });
    let edit = json!({
        "customer_id": northwind,
        "commit_id": commit,
        "name": "Spend of the last months",
        "invoice_schedule": { "add_schedule_items": [{ "timestamp": "2026-12-01T00:00:00Z", "amount": 5_000 }] },
    });
    teller.tell("POST /v2/contracts/commits/edit", edit).await;
    let edit = json!({ "customer_id": northwind, "credit_id": credit, "priority": 2, "specifiers": null });
    teller.tell("POST /v2/contracts/credits/edit", edit).await;
    let end = json!({
        "customer_id": northwind,
        "commit_id": commit,
        "access_ending_before": "2027-02-01T00:00:00Z",
        "invoices_ending_before": "2026-12-01T00:00:00Z",
    });
    teller.tell("POST /v1/contracts/customerCommits/updateEndDate", end).await;
    let end = json!({ "customer_id": northwind, "credit_id": credit, "access_ending_before": "2026-11-01T00:00:00Z" });
    teller.tell("POST /v1/contracts/customerCredits/updateEndDate", end).await;
    let list = json!({ "customer_id": northwind, "commit_id": commit, "include_balance": true, "include_ledgers": true });
    let segment = teller.tell("POST /v1/contracts/customerCommits/list", list).await;
    let segment = &segment[0]["access_schedule"]["schedule_items"][0]["id"];
    let entry = json!({
        "customer_id": northwind,
        "id": commit,
        "segment_id": segment,
        "amount": 2_500,
        "reason": "Goodwill",
        "uniqueness_key": "northwind-goodwill",
    });
    teller.tell("POST /v1/contracts/addManualBalanceLedgerEntry", entry).await;
    let list = json!({ "customer_id": northwind, "include_contract_credits": true });
    teller.tell("POST /v1/contracts/customerCredits/list", list).await;
    let list =
        json!({ "customer_id": northwind, "include_contract_balances": true, "include_balance": true });
    teller.tell("POST /v1/contracts/customerBalances/list", list).await;
    let net =
        json!({ "customer_id": northwind, "filters": [{ "balance_types": ["PREPAID_COMMIT", "CREDIT"] }] });
    teller.tell("POST /v1/contracts/customerBalances/getNetBalance", net).await;
    let promise = json!({
        "customer_id": northwind,
        "type": "POSTPAID",
        "priority": 100,
        "product_id": support,
        "access_schedule": {
            "schedule_items": [
                { "amount": 100_000, "starting_at": "2026-09-01T00:00:00Z", "ending_before": "2027-03-01T00:00:00Z" },
            ],
        },
        "invoice_schedule": { "schedule_items": [{ "timestamp": "2027-03-01T00:00:00Z", "amount": 100_000 }] },
        "invoice_contract_id": contract,
    });
    let promise = teller.aside("/v1/contracts/customerCommits/create", promise).await;
    let disable = json!({ "customer_id": northwind, "commit_id": promise, "contract_id": contract });
    teller.tell("POST /v1/contracts/commits/disableTrueup", disable).await;
    teller.tell("POST /v2/contracts/commits/archive", of_commit).await;
    teller.tell("POST /v2/contracts/credits/archive", of_credit).await;
}

async fn packages(teller: &mut Teller, card: &str, support: &str) {
    let key = json!({ "entity": "package_scheduled_charge", "key": "kind", "enforce_uniqueness": false });
    teller.aside("/v1/customFields/addKey", key).await;
    let key = json!({ "entity": "scheduled_charge", "key": "kind", "enforce_uniqueness": false });
    teller.aside("/v1/customFields/addKey", key).await;
    let starter = json!({
        "name": "Starter 2026",
        "contract_name": "Starter",
        "rate_card_id": card,
        "aliases": [{ "name": "starter", "starting_at": "2026-01-01T00:00:00Z" }],
        "duration": { "value": 12, "unit": "MONTHS" },
        "net_payment_terms_days": 30,
        "overrides": [{
            "starting_at_offset": { "value": 0, "unit": "DAYS" },
            "duration": { "value": 3, "unit": "MONTHS" },
            "type": "MULTIPLIER",
            "multiplier": 0.5,
            "override_specifiers": [{ "product_tags": ["models"] }],
        }],
        "usage_statement_schedule": { "frequency": "MONTHLY", "day": "CONTRACT_START" },
        "scheduled_charges": [{
            "product_id": support,
            "name": "Onboarding",
            "schedule": {
                "schedule_items": [
                    { "unit_price": 25_000, "quantity": 1, "date_offset": { "value": 14, "unit": "DAYS" } },
                ],
            },
            "custom_fields": { "kind": "once" },
        }],
        "uniqueness_key": "starter-2026",
    });
    let starter = teller.make("POST /v1/packages/create", starter).await;
    let one = json!({ "package_id": starter });
    teller.tell("POST /v1/packages/get", one.clone()).await;
    let list = json!({ "archive_filter": "NOT_ARCHIVED" });
    teller.ask("POST /v1/packages/list", json!({ "limit": 10 }), list).await;
    let customer = teller.aside("/v1/customers", json!({ "name": "Contoso" })).await;
    let contract = json!({
        "customer_id": customer,
        "starting_at": "2026-03-01T00:00:00Z",
        "package_alias": "starter",
    });
    teller.aside("/v1/contracts/create", contract).await;
    let mut contracts = one.clone();
    contracts["covering_date"] = json!("2026-06-01T00:00:00Z");
    teller.ask("POST /v1/packages/listContractsOnPackage", json!({ "limit": 10 }), contracts).await;
    teller.tell("POST /v1/packages/archive", one).await;
    let both = json!({
        "customer": { "name": "Fabrikam", "ingest_aliases": ["fabrikam"] },
        "contract": {
            "name": "Fabrikam 2026",
            "starting_at": "2026-03-01T00:00:00Z",
            "rate_card_alias": "list",
            "uniqueness_key": "fabrikam-2026",
        },
    });
    teller.tell("POST /v1/composite/createCustomerWithContract", both).await;
}

async fn named_schedules(teller: &mut Teller, card: &str, northwind: &str, contract: &str) {
    let value = json!({ "calls_per_minute": 600 });
    let set = json!({
        "rate_card_id": card,
        "schedule_name": "limits",
        "starting_at": "2026-01-01T00:00:00Z",
        "ending_before": "2027-01-01T00:00:00Z",
        "value": value,
    });
    teller.tell("POST /v1/contract-pricing/rate-cards/updateNamedSchedule", set).await;
    let get = json!({ "rate_card_id": card, "schedule_name": "limits" });
    teller.tell("POST /v1/contract-pricing/rate-cards/getNamedSchedule", get).await;
    let of_customer = json!({ "customer_id": northwind, "schedule_name": "limits" });
    let mut set = of_customer.clone();
    set["starting_at"] = json!("2026-03-01T00:00:00Z");
    set["value"] = json!({ "calls_per_minute": 1200 });
    teller.tell("POST /v1/customers/updateNamedSchedule", set.clone()).await;
    let mut get = of_customer.clone();
    get["covering_date"] = json!("2026-03-01T00:00:00Z");
    teller.tell("POST /v1/customers/getNamedSchedule", get).await;
    set["contract_id"] = json!(contract);
    set["properties"] = json!({ "region": "eu" });
    teller.tell("POST /v1/contracts/updateNamedSchedule", set).await;
    let mut get = of_customer;
    get["contract_id"] = json!(contract);
    get["properties"] = json!({ "region": "eu" });
    teller.tell("POST /v1/contracts/getNamedSchedule", get).await;
    let list = json!({ "customer_id": northwind, "properties": { "region": "eu" }, "limit": 10 });
    teller.tell("POST /v1/contracts/listNamedSchedules", list).await;
}

async fn usage(teller: &mut Teller, acme: &Acme) {
    teller.aside("/sandbox/clock", json!({ "now": "2026-03-10T12:00:00Z" })).await;
    let event = |id: &str, customer: &str, timestamp: &str, properties: Value| {
        json!({
            "transaction_id": id,
            "customer_id": customer,
            "event_type": "completion",
            "timestamp": timestamp,
            "properties": properties,
        })
    };
    let events = json!([
        event(
            "2026-03-09-0001",
            "northwind",
            "2026-03-09T08:15:00Z",
            json!({ "model": "small", "tokens": 250_000, "user": "ada" }),
        ),
        event(
            "2026-03-09-0002",
            "northwind-eu",
            "2026-03-09T17:40:00+01:00",
            json!({ "model": "large", "tokens": "1200640", "user": "grace" }),
        ),
    ]);
    teller.tell("POST /v1/ingest", events).await;
    let window = json!({
        "customer_ids": [acme.northwind],
        "billable_metrics": [{ "id": acme.tokens, "group_by": { "key": "model" } }],
        "window_size": "DAY",
        "starting_on": "2026-03-09T00:00:00Z",
        "ending_before": "2026-03-10T00:00:00Z",
    });
    teller.tell("POST /v1/usage", window).await;
    let groups = json!({
        "customer_id": acme.northwind,
        "billable_metric_id": acme.tokens,
        "window_size": "NONE",
        "current_period": true,
        "group_key": ["model"],
        "group_filters": { "model": ["small", "large"] },
    });
    teller.ask("POST /v1/usage/groups", json!({ "limit": 10 }), groups).await;
    let seats = json!({
        "customer_id": acme.northwind,
        "seat_metric_id": acme.tokens,
        "usage_type": "MAX",
        "window_size": "DAY",
        "starting_on": "2026-03-09T00:00:00Z",
        "ending_before": "2026-03-10T00:00:00Z",
    });
    teller.tell("POST /v1/usage/seats", seats).await;
    let parameters = json!({ "customer_id": acme.northwind });
    teller.ask("GET /v1/customers/{customer_id}/purchasedSeats", parameters, Value::Null).await;
    teller.tell("POST /v1/events/search", json!({ "transactionIds": ["2026-03-09-0001"] })).await;
    lost(teller, acme).await;
}

/// A misspelt model, a customer that nobody knows, and a type that no metric counts.
async fn lost(teller: &mut Teller, acme: &Acme) {
    let event = |number: u8, customer: &str, event_type: &str, model: &str| {
        json!({
            "transaction_id": format!("2026-03-09-100{number}"), "customer_id": customer, "event_type": event_type,
            "timestamp": "2026-03-09T18:00:00Z",
            "properties": { "model": model, "tokens": "900", "user": "ada" },
        })
    };
    let events = json!([
        event(1, &acme.northwind, "completion", "lagre"),
        event(2, "north-wind", "completion", "large"),
        event(3, &acme.northwind, "completoin", "large"),
    ]);
    teller.aside("/v1/ingest", events).await;
    let day = json!({ "starting_on": "2026-03-09T00:00:00Z", "ending_before": "2026-03-10T00:00:00Z" });
    let mut of_customer = day.clone();
    of_customer["customer_ids"] = json!([acme.northwind]);
    teller.tell("POST /v1/upbeat/usage/unrated", of_customer).await;
    teller.tell("POST /v1/upbeat/usage/unmatched-customers", day.clone()).await;
    teller.tell("POST /v1/upbeat/usage/unmatched-metrics", day).await;
}

/// In April: March is finalized, and so is the scheduled charge.
async fn invoices(teller: &mut Teller, acme: &Acme) {
    teller.aside("/sandbox/clock", json!({ "now": "2026-04-02T12:00:00Z" })).await;
    let previewed = json!({
        "events": [{ "event_type": "completion", "properties": { "model": "large", "tokens": 5000, "user": "ada" } }],
        "mode": "merge",
    });
    let parameters = json!({ "customer_id": acme.northwind });
    teller.ask("POST /v1/customers/{customer_id}/previewEvents", parameters, previewed).await;
    let parameters = json!({
        "customer_id": acme.northwind,
        "starting_on": "2026-03-01T00:00:00Z",
        "ending_before": "2026-05-01T00:00:00Z",
        "sort": "date_asc",
        "skip_zero_qty_line_items": true,
    });
    let answer = teller.ask("GET /v1/customers/{customer_id}/invoices", parameters, Value::Null).await;
    let invoices = answer["data"].as_array().expect("a list");
    let usage =
        invoices.iter().find(|invoice| invoice["type"] == "USAGE" && invoice["status"] == "FINALIZED");
    let parameters = json!({
        "customer_id": acme.northwind,
        "invoice_id": usage.expect("the invoice of March")["id"],
        "include_list_prices": true,
    });
    teller
        .ask("GET /v1/customers/{customer_id}/invoices/{invoice_id}", parameters.clone(), Value::Null)
        .await;
    let explain = "GET /v1/upbeat/customers/{customer_id}/invoices/{invoice_id}/explain";
    let mut parameters = parameters;
    parameters.as_object_mut().expect("an object").remove("include_list_prices");
    teller.ask(explain, parameters.clone(), Value::Null).await;
    let march = json!({ "id": parameters["invoice_id"] });
    teller.tell("POST /v1/invoices/void", march.clone()).await;
    teller.tell("POST /v1/invoices/regenerate", march).await;
}

async fn records(teller: &mut Teller, acme: &Acme) {
    let parameters = json!({
        "resource_type": "customer",
        "resource_id": acme.northwind,
        "sort": "date_desc",
        "limit": 2,
    });
    teller.ask("GET /v1/auditLogs", parameters, Value::Null).await;
    teller.tell("GET /v1/services", Value::Null).await;
    teller.ask("GET /v1/credit-types/list", json!({ "limit": 2 }), Value::Null).await;
}

/// What takes things away comes last.
async fn ends(teller: &mut Teller, acme: &Acme) {
    let fields = json!({ "entity": "customer", "entity_id": acme.northwind, "keys": ["region"] });
    teller.tell("POST /v1/customFields/deleteValues", fields).await;
    let key = json!({ "entity": "customer", "key": "region" });
    teller.tell("POST /v1/customFields/removeKey", key).await;
    let contract =
        json!({ "customer_id": acme.northwind, "contract_id": acme.contract, "void_invoices": false });
    teller.tell("POST /v1/contracts/archive", contract).await;
    teller.tell("POST /v1/contract-pricing/products/archive", json!({ "product_id": acme.support })).await;
}
