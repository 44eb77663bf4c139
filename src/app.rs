//! Every route of the server, what stands around all of them, and the document that describes them.

mod coding;
mod document;
mod frame;
mod missing;
mod probe;
mod unread;

pub use missing::MISSING;

use std::sync::LazyLock;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use aide::openapi::OpenApi;
use axum::Router;
use axum::http::Method;
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::access::App;
use crate::catalog::{billable_metric, credit_type, product, rate, rate_card};
use crate::{console, contract, customer, invoice, ledger, named_schedule, package, sandbox, usage};

/// The whole server as a router, for a socket or for a test.
pub fn app(state: App, metrics: Option<PrometheusHandle>) -> Router {
    let (built, document) = documented();
    let metering = usage::ingest::Metering::start(&state);
    let page = console::reference_page(document);
    let router = built
        .clone()
        .merge(spellings_of_the_quickstart())
        .merge(missing::routes())
        .route("/healthz", get(probe::healthz))
        .route("/readyz", get(probe::readyz))
        .route("/metrics", get(move |state| probe::metrics(state, metrics)))
        .route("/openapi.json", get(move || async move { axum::Json(document) }))
        .route("/docs", get(move || async move { axum::response::Html(page) }));
    frame::around(router, &state, &metering).with_state(state)
}

/// The OpenAPI document of everything that is built.
#[must_use]
pub fn openapi() -> OpenApi {
    documented().1.clone()
}

/// Method and route of every operation that is built.
#[must_use]
pub fn routes() -> Vec<(Method, String)> {
    let document = serde_json::to_value(openapi()).expect("the document is JSON");
    let paths = document["paths"].as_object().expect("a document has paths");
    let operations = paths.iter().flat_map(|(route, operations)| {
        let methods = operations.as_object().into_iter().flatten();
        methods.map(move |(method, _)| (method.to_uppercase(), route.clone()))
    });
    operations.filter_map(|(method, route)| Some((method.parse().ok()?, route))).collect()
}

/// Method and route of every operation, of those that are not built and of the quickstart's spellings too.
#[must_use]
pub fn operations() -> Vec<(Method, String)> {
    let others = MISSING.iter().copied().chain(SPELLINGS.map(|route| ("POST", route)));
    let others = others.filter_map(|(method, route)| Some((method.parse().ok()?, route.to_owned())));
    routes().into_iter().chain(others).collect()
}

/// Made once, as it takes its time.
fn documented() -> &'static (Router<App>, OpenApi) {
    static DOCUMENTED: LazyLock<(Router<App>, OpenApi)> = LazyLock::new(|| document::documented(routed));
    &DOCUMENTED
}

fn routed() -> ApiRouter<App> {
    ApiRouter::new()
        .merge(customers())
        .merge(billable_metrics())
        .merge(products_and_rate_cards())
        .merge(contracts())
        .merge(commits_and_credits())
        .merge(packages())
        .merge(named_schedules())
        .merge(usage_and_invoices())
        .merge(custom_fields())
        .merge(settings())
        .merge(sandboxes())
}

fn customers() -> ApiRouter<App> {
    use customer::{create, get, list, set_ingest_aliases, set_name, update_config};
    use invoice::{archive_customer as archive, set_billable_status};
    ApiRouter::new()
        .api_route(
            "/v1/customers",
            post_with(create::handler, create::doc).get_with(list::handler, list::doc),
        )
        .api_route("/v1/customers/{customer_id}", get_with(get::handler, get::doc))
        .api_route(
            "/v1/customers/{customer_id}/setIngestAliases",
            post_with(set_ingest_aliases::handler, set_ingest_aliases::doc),
        )
        .api_route("/v1/customers/{customer_id}/setName", post_with(set_name::handler, set_name::doc))
        .api_route(
            "/v1/customers/{customer_id}/updateConfig",
            post_with(update_config::handler, update_config::doc),
        )
        .api_route(
            "/v1/customers/setBillableStatus",
            post_with(set_billable_status::handler, set_billable_status::doc),
        )
        .api_route("/v1/customers/archive", post_with(archive::handler, archive::doc))
}

fn billable_metrics() -> ApiRouter<App> {
    use billable_metric::{archive, create, create_legacy, get, list, update};
    use contract::list_billable_metrics as list_of_customer;
    ApiRouter::new()
        .api_route("/v1/billable-metrics/create", post_with(create::handler, create::doc))
        .api_route(
            "/v1/billable-metrics",
            get_with(list::handler, list::doc).post_with(create_legacy::handler, create_legacy::doc),
        )
        .api_route(
            "/v1/billable-metrics/{billable_metric_id}",
            get_with(get::handler, get::doc).put_with(update::handler, update::doc),
        )
        .api_route(
            "/v1/customers/{customer_id}/billable-metrics",
            get_with(list_of_customer::handler, list_of_customer::doc),
        )
        .api_route("/v1/billable-metrics/archive", post_with(archive::handler, archive::doc))
        .api_route(
            "/v1/upbeat/billable-metrics/{billable_metric_id}/reflow",
            post_with(usage::reflow::handler, usage::reflow::doc),
        )
}

fn products_and_rate_cards() -> ApiRouter<App> {
    ApiRouter::new()
        .api_route("/v1/credit-types/list", get_with(credit_type::list::handler, credit_type::list::doc))
        .api_route(
            "/v1/credit-types/create",
            post_with(credit_type::create::handler, credit_type::create::doc),
        )
        .api_route(
            "/v1/credit-types/archive",
            post_with(credit_type::archive::handler, credit_type::archive::doc),
        )
        .api_route(
            "/v1/contract-pricing/products/create",
            post_with(product::create::handler, product::create::doc),
        )
        .api_route(
            "/v1/contract-pricing/products/update",
            post_with(product::update::handler, product::update::doc),
        )
        .api_route(
            "/v1/contract-pricing/products/archive",
            post_with(product::archive::handler, product::archive::doc),
        )
        .api_route("/v1/contract-pricing/products/get", post_with(product::get::handler, product::get::doc))
        .api_route(
            "/v1/contract-pricing/products/list",
            post_with(product::list::handler, product::list::doc),
        )
        .api_route(
            "/v1/contract-pricing/rate-cards/create",
            post_with(rate_card::create::handler, rate_card::create::doc),
        )
        .api_route(
            "/v1/contract-pricing/rate-cards/get",
            post_with(rate_card::get::handler, rate_card::get::doc),
        )
        .api_route(
            "/v1/contract-pricing/rate-cards/list",
            post_with(rate_card::list::handler, rate_card::list::doc),
        )
        .api_route(
            "/v1/contract-pricing/rate-cards/update",
            post_with(rate_card::update::handler, rate_card::update::doc),
        )
        .api_route(
            "/v1/contract-pricing/rate-cards/archive",
            post_with(rate_card::archive::handler, rate_card::archive::doc),
        )
        .api_route(
            "/v1/contract-pricing/rate-cards/setRateCardProductsOrder",
            post_with(rate_card::set_product_order::handler, rate_card::set_product_order::doc),
        )
        .api_route(
            "/v1/contract-pricing/rate-cards/moveRateCardProducts",
            post_with(rate_card::move_products::handler, rate_card::move_products::doc),
        )
        .api_route("/v1/contract-pricing/rate-cards/addRate", post_with(rate::add::handler, rate::add::doc))
        .api_route(
            "/v1/contract-pricing/rate-cards/addRates",
            post_with(rate::add_many::handler, rate::add_many::doc),
        )
        .api_route(
            "/v1/contract-pricing/rate-cards/getRates",
            post_with(rate::get_rates::handler, rate::get_rates::doc),
        )
        .api_route(
            "/v1/contract-pricing/rate-cards/getRateSchedule",
            post_with(rate::get_schedule::handler, rate::get_schedule::doc),
        )
}

fn contracts() -> ApiRouter<App> {
    use contract::{create_with_customer, get_rate_schedule};
    use invoice::{archive_contract as archive, set_usage_filter, update_end_date};
    use ledger::{get_contract as get, list_contracts as list};
    ApiRouter::new()
        .api_route(
            "/v1/contracts/create",
            post_with(invoice::create_contract::handler, invoice::create_contract::doc),
        )
        .api_route(
            "/v1/composite/createCustomerWithContract",
            post_with(create_with_customer::handler, create_with_customer::doc),
        )
        .api_route("/v1/contracts/archive", post_with(archive::handler, archive::doc))
        .api_route("/v1/contracts/updateEndDate", post_with(update_end_date::handler, update_end_date::doc))
        .api_route(
            "/v1/contracts/setUsageFilter",
            post_with(set_usage_filter::handler, set_usage_filter::doc),
        )
        .api_route(
            "/v1/contracts/getContractRateSchedule",
            post_with(get_rate_schedule::handler, get_rate_schedule::doc),
        )
        .api_route("/v1/contracts/get", post_with(get::handler_v1, get::doc_v1))
        .api_route("/v1/contracts/list", post_with(list::handler_v1, list::doc_v1))
        .api_route("/v2/contracts/get", post_with(get::handler_v2, get::doc_v2))
        .api_route("/v2/contracts/list", post_with(list::handler_v2, list::doc_v2))
}

fn commits_and_credits() -> ApiRouter<App> {
    use invoice::{create_commit, create_credit};
    use ledger::{add_manual_entry, archive, disable_true_up, edit, get_net_balance, list, update_end_date};
    ApiRouter::new()
        .api_route("/v1/contracts/customerCommits/list", post_with(list::commits, list::doc_of_commits))
        .api_route("/v1/contracts/customerCredits/list", post_with(list::credits, list::doc_of_credits))
        .api_route("/v1/contracts/customerBalances/list", post_with(list::balances, list::doc_of_balances))
        .api_route(
            "/v1/contracts/customerBalances/getNetBalance",
            post_with(get_net_balance::handler, get_net_balance::doc),
        )
        .api_route(
            "/v1/contracts/addManualBalanceLedgerEntry",
            post_with(add_manual_entry::handler, add_manual_entry::doc),
        )
        .api_route(
            "/v1/contracts/customerCommits/updateEndDate",
            post_with(update_end_date::of_commit, update_end_date::doc_of_commit),
        )
        .api_route(
            "/v1/contracts/customerCredits/updateEndDate",
            post_with(update_end_date::of_credit, update_end_date::doc_of_credit),
        )
        .api_route(
            "/v1/contracts/commits/disableTrueup",
            post_with(disable_true_up::handler, disable_true_up::doc),
        )
        .api_route("/v2/contracts/commits/edit", post_with(edit::of_commit, edit::doc_of_commit))
        .api_route("/v2/contracts/credits/edit", post_with(edit::of_credit, edit::doc_of_credit))
        .api_route("/v2/contracts/commits/archive", post_with(archive::of_commit, archive::doc_of_commit))
        .api_route("/v2/contracts/credits/archive", post_with(archive::of_credit, archive::doc_of_credit))
        .api_route(
            "/v1/contracts/customerCommits/create",
            post_with(create_commit::handler, create_commit::doc),
        )
        .api_route(
            "/v1/contracts/customerCredits/create",
            post_with(create_credit::handler, create_credit::doc),
        )
}

fn packages() -> ApiRouter<App> {
    use package::{archive, create, get, list, list_contracts};
    ApiRouter::new()
        .api_route("/v1/packages/create", post_with(create::handler, create::doc))
        .api_route("/v1/packages/get", post_with(get::handler, get::doc))
        .api_route("/v1/packages/list", post_with(list::handler, list::doc))
        .api_route("/v1/packages/archive", post_with(archive::handler, archive::doc))
        .api_route(
            "/v1/packages/listContractsOnPackage",
            post_with(list_contracts::handler, list_contracts::doc),
        )
}

fn named_schedules() -> ApiRouter<App> {
    use named_schedule::{list, of_contract, of_customer, of_rate_card};
    ApiRouter::new()
        .api_route(
            "/v1/contract-pricing/rate-cards/getNamedSchedule",
            post_with(of_rate_card::get, of_rate_card::get_doc),
        )
        .api_route(
            "/v1/contract-pricing/rate-cards/updateNamedSchedule",
            post_with(of_rate_card::update, of_rate_card::update_doc),
        )
        .api_route("/v1/customers/getNamedSchedule", post_with(of_customer::get, of_customer::get_doc))
        .api_route(
            "/v1/customers/updateNamedSchedule",
            post_with(of_customer::update, of_customer::update_doc),
        )
        .api_route("/v1/contracts/getNamedSchedule", post_with(of_contract::get, of_contract::get_doc))
        .api_route(
            "/v1/contracts/updateNamedSchedule",
            post_with(of_contract::update, of_contract::update_doc),
        )
        .api_route("/v1/contracts/listNamedSchedules", post_with(list::handler, list::doc))
}

fn usage_and_invoices() -> ApiRouter<App> {
    ApiRouter::new()
        .api_route("/v1/ingest", post_with(usage::ingest::handler, usage::ingest::doc))
        .api_route("/v1/usage", post_with(usage::get::handler, usage::get::doc))
        .api_route("/v1/usage/groups", post_with(usage::groups::handler, usage::groups::doc))
        .api_route("/v1/usage/seats", post_with(usage::seats::handler, usage::seats::doc))
        .api_route(
            "/v1/customers/{customer_id}/purchasedSeats",
            get_with(usage::purchased_seats::handler, usage::purchased_seats::doc),
        )
        .api_route("/v1/upbeat/usage/unrated", post_with(invoice::unrated::handler, invoice::unrated::doc))
        .api_route(
            "/v1/upbeat/usage/unmatched-customers",
            post_with(usage::unmatched_customers::handler, usage::unmatched_customers::doc),
        )
        .api_route(
            "/v1/upbeat/usage/unmatched-metrics",
            post_with(usage::unmatched_metrics::handler, usage::unmatched_metrics::doc),
        )
        .api_route("/v1/events/search", post_with(usage::search::handler, usage::search::doc))
        .api_route(
            "/v1/customers/{customer_id}/previewEvents",
            post_with(invoice::preview_events::handler, invoice::preview_events::doc),
        )
        .api_route(
            "/v1/customers/{customer_id}/invoices",
            get_with(invoice::list::handler, invoice::list::doc),
        )
        .api_route(
            "/v1/customers/{customer_id}/invoices/{invoice_id}",
            get_with(invoice::get::handler, invoice::get::doc),
        )
        .api_route("/v1/invoices/void", post_with(invoice::void::handler, invoice::void::doc))
        .api_route(
            "/v1/invoices/regenerate",
            post_with(invoice::regenerate::handler, invoice::regenerate::doc),
        )
        .api_route(
            "/v1/upbeat/customers/{customer_id}/invoices/{invoice_id}/explain",
            get_with(invoice::explain::handler, invoice::explain::doc),
        )
}

fn settings() -> ApiRouter<App> {
    use crate::access::audit::list;
    use console::services;
    ApiRouter::new()
        .api_route("/v1/auditLogs", get_with(list::handler, list::doc))
        .api_route("/v1/services", get_with(services::handler, services::doc))
}

fn custom_fields() -> ApiRouter<App> {
    use crate::custom_field::{add_key, list_keys, remove_key};
    use crate::entity::{delete_values, set_values};
    ApiRouter::new()
        .api_route("/v1/customFields/addKey", post_with(add_key::handler, add_key::doc))
        .api_route("/v1/customFields/removeKey", post_with(remove_key::handler, remove_key::doc))
        .api_route("/v1/customFields/listKeys", post_with(list_keys::handler, list_keys::doc))
        .api_route("/v1/customFields/setValues", post_with(set_values::handler, set_values::doc))
        .api_route("/v1/customFields/deleteValues", post_with(delete_values::handler, delete_values::doc))
}

/// Own extension.
fn sandboxes() -> ApiRouter<App> {
    use sandbox::{get_clock, set_clock};
    ApiRouter::new().api_route(
        "/sandbox/clock",
        get_with(get_clock::handler, get_clock::doc).post_with(set_clock::handler, set_clock::doc),
    )
}

/// Paths that only the API quickstart page uses; the published document has others for the same operations.
pub const SPELLINGS: [&str; 2] = ["/v1/customers/create", "/v1/contract-pricing/rate-cards/rates/add"];

fn spellings_of_the_quickstart() -> Router<App> {
    let [create_customer, add_rate] = SPELLINGS;
    Router::new()
        .route(create_customer, post(customer::create::handler))
        .route(add_rate, post(rate::add::handler))
}
