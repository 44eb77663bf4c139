//! Every operation that changes something, and what the audit log calls it.
//!
//! Readers may call everything that does not stand here: many operations that only read are POST requests.

use axum::http::Method;

/// An operation that changes something.
#[derive(Debug)]
pub struct WriteOperation {
    pub method: &'static str,
    /// The route with its parameters in braces.
    pub route: &'static str,
    /// What is changed, in the singular.
    pub resource_type: &'static str,
    /// What is done to it.
    pub action: &'static str,
}

const fn writes(
    method: &'static str,
    route: &'static str,
    resource_type: &'static str,
    action: &'static str,
) -> WriteOperation {
    WriteOperation { method, route, resource_type, action }
}

/// Every operation that is recorded. Usage events are not: they are facts, and kept as such.
#[rustfmt::skip]
pub const WRITES: &[WriteOperation] = &[
    writes("POST", "/v1/customers", "customer", "create"),
    writes("POST", "/v1/customers/create", "customer", "create"),
    writes("POST", "/v1/customers/{customer_id}/setIngestAliases", "customer", "set_ingest_aliases"),
    writes("POST", "/v1/customers/{customer_id}/setName", "customer", "change_name"),
    writes("POST", "/v1/customers/{customer_id}/updateConfig", "customer", "update_config"),
    writes("POST", "/v1/customers/setBillableStatus", "customer", "set_billable_status"),
    writes("POST", "/v1/customers/archive", "customer", "archive"),
    writes("POST", "/v1/billable-metrics/create", "billable_metric", "create"),
    writes("POST", "/v1/billable-metrics", "billable_metric", "create"),
    writes("PUT", "/v1/billable-metrics/{billable_metric_id}", "billable_metric", "change_name"),
    writes("POST", "/v1/billable-metrics/archive", "billable_metric", "archive"),
    writes("POST", "/v1/upbeat/billable-metrics/{billable_metric_id}/reflow", "billable_metric", "reflow"),
    writes("POST", "/v1/credit-types/create", "credit_type", "create"),
    writes("POST", "/v1/credit-types/archive", "credit_type", "archive"),
    writes("POST", "/v1/contract-pricing/products/create", "product", "create"),
    writes("POST", "/v1/contract-pricing/products/update", "product", "update"),
    writes("POST", "/v1/contract-pricing/products/archive", "product", "archive"),
    writes("POST", "/v1/contract-pricing/rate-cards/create", "rate_card", "create"),
    writes("POST", "/v1/contract-pricing/rate-cards/update", "rate_card", "update"),
    writes("POST", "/v1/contract-pricing/rate-cards/archive", "rate_card", "archive"),
    writes("POST", "/v1/contract-pricing/rate-cards/setRateCardProductsOrder", "rate_card", "set_product_order"),
    writes("POST", "/v1/contract-pricing/rate-cards/moveRateCardProducts", "rate_card", "move_products"),
    writes("POST", "/v1/contract-pricing/rate-cards/addRate", "rate_card", "add_rate"),
    writes("POST", "/v1/contract-pricing/rate-cards/rates/add", "rate_card", "add_rate"),
    writes("POST", "/v1/contract-pricing/rate-cards/addRates", "rate_card", "add_rates"),
    writes("POST", "/v1/contracts/create", "contract", "create"),
    writes("POST", "/v1/composite/createCustomerWithContract", "customer", "create_with_contract"),
    writes("POST", "/v1/contracts/archive", "contract", "archive"),
    writes("POST", "/v1/contracts/updateEndDate", "contract", "update_end_date"),
    writes("POST", "/v1/contracts/setUsageFilter", "contract", "set_usage_filter"),
    writes("POST", "/v1/contracts/customerCommits/create", "commit", "create"),
    writes("POST", "/v1/contracts/customerCommits/updateEndDate", "commit", "update_end_date"),
    writes("POST", "/v1/contracts/customerCredits/updateEndDate", "credit", "update_end_date"),
    writes("POST", "/v1/contracts/addManualBalanceLedgerEntry", "commit", "add_manual_ledger_entry"),
    writes("POST", "/v1/contracts/commits/disableTrueup", "commit", "disable_true_up"),
    writes("POST", "/v2/contracts/commits/edit", "commit", "edit"),
    writes("POST", "/v2/contracts/credits/edit", "credit", "edit"),
    writes("POST", "/v2/contracts/commits/archive", "commit", "archive"),
    writes("POST", "/v2/contracts/credits/archive", "credit", "archive"),
    writes("POST", "/v1/contracts/customerCredits/create", "credit", "create"),
    writes("POST", "/v1/invoices/void", "invoice", "void"),
    writes("POST", "/v1/invoices/regenerate", "invoice", "regenerate"),
    writes("POST", "/v1/packages/create", "package", "create"),
    writes("POST", "/v1/packages/archive", "package", "archive"),
    writes("POST", "/v1/contract-pricing/rate-cards/updateNamedSchedule", "rate_card", "update_named_schedule"),
    writes("POST", "/v1/customers/updateNamedSchedule", "customer", "update_named_schedule"),
    writes("POST", "/v1/contracts/updateNamedSchedule", "contract", "update_named_schedule"),
    writes("POST", "/v1/customFields/addKey", "custom_field_key", "create"),
    writes("POST", "/v1/customFields/removeKey", "custom_field_key", "remove"),
    writes("POST", "/v1/customFields/setValues", "custom_field", "set_custom_fields"),
    writes("POST", "/v1/customFields/deleteValues", "custom_field", "delete_custom_fields"),
    writes("POST", "/sandbox/clock", "environment", "move_clock"),
];

/// The recorded operation of a route, if it is one.
#[must_use]
pub fn find_write(method: &Method, route: &str) -> Option<&'static WriteOperation> {
    WRITES.iter().find(|operation| operation.method == method.as_str() && operation.route == route)
}

/// Whether a route is not for readers: an operation that is recorded, or usage events.
#[must_use]
pub fn is_write(method: &Method, route: &str) -> bool {
    find_write(method, route).is_some() || (method == Method::POST && route == "/v1/ingest")
}
