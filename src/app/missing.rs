//! Operations of the reference that are not built yet: each answers 501 naming itself.
//!
//! An operation leaves this list in the commit that builds it; `openapi/README.md` says the same, and a test
//! compares the two.

use axum::Router;
use axum::http::Method;
use axum::routing::{MethodFilter, on};

use crate::access::{App, Caller};
use crate::error::ApiError;

/// Method and path of every operation that is not built.
pub const MISSING: &[(&str, &str)] = &[
    ("POST", "/v1/getCustomerBillingProviderConfigurations"),
    ("POST", "/v1/getCustomerRevenueSystemConfigurations"),
    ("POST", "/v1/setCustomerBillingProviderConfigurations"),
    ("POST", "/v1/archiveCustomerBillingProviderConfigurations"),
    ("POST", "/v1/setCustomerRevenueSystemConfigurations"),
    ("POST", "/v1/archiveCustomerRevenueSystemConfigurations"),
    ("POST", "/v1/dashboards/getEmbeddableUrl"),
    ("POST", "/v1/contracts/amend"),
    ("POST", "/v1/contracts/updateInvoiceIssueDate"),
    ("POST", "/v1/contracts/getSubscriptionQuantityHistory"),
    ("POST", "/v1/contracts/getSubscriptionSeatsHistory"),
    ("POST", "/v1/contracts/scheduleProServicesInvoice"),
    ("POST", "/v1/contracts/createHistoricalInvoices"),
    ("POST", "/v2/contracts/getEditHistory"),
    ("POST", "/v2/contracts/edit"),
    ("POST", "/v1/contracts/commits/threshold-billing/release"),
    ("POST", "/v1/contracts/seatBalances/list"),
    ("POST", "/v1/customers/{customer_id}/invoices/invoice_seats"),
    ("GET", "/v1/customers/{customer_id}/invoices/breakdowns"),
    ("GET", "/v1/customers/{customer_id}/invoices/{invoice_id}/pdf"),
    ("POST", "/v1/customers/{customer_id}/invoices/spend-breakdowns"),
    ("POST", "/v1/alerts/archive"),
    ("POST", "/v1/alerts/create"),
    ("POST", "/v1/customer-alerts/get"),
    ("POST", "/v1/customer-alerts/list"),
    ("POST", "/v1/customer-alerts/reset"),
    ("POST", "/v1/client/billing-config/{billing_provider_type}/apiKey"),
    ("POST", "/v1/client/config/webhook_secret"),
    ("POST", "/v1/client/billing-config/stripe"),
    ("PATCH", "/v1/client/billing-config/stripe"),
    ("DELETE", "/v1/client/billing-config/stripe"),
    ("POST", "/v1/setUpBillingProvider"),
    ("POST", "/v1/upsertAnrokApiToken"),
    ("POST", "/v1/upsertAvalaraCredentials"),
    ("POST", "/v1/rotateDeltaStreamSecret"),
    ("POST", "/v1/listConfiguredBillingProviders"),
    ("POST", "/v1/threshold-billing/update-active-recharge-config"),
    ("POST", "/v2/notifications/create"),
    ("POST", "/v2/notifications/get"),
    ("POST", "/v2/notifications/offset/list"),
    ("POST", "/v2/notifications/system/list"),
    ("POST", "/v2/notifications/edit"),
    ("POST", "/v2/notifications/archive"),
    ("POST", "/v1/payments/attempt"),
    ("POST", "/v1/payments/cancel"),
    ("POST", "/v1/payments/list"),
    ("GET", "/v1/customers/{customer_id}/billing-config/{billing_provider_type}"),
    ("POST", "/v1/customers/{customer_id}/billing-config/{billing_provider_type}"),
    ("DELETE", "/v1/customers/{customer_id}/billing-config/{billing_provider_type}"),
    ("GET", "/v1/plans"),
    ("GET", "/v1/planDetails/{plan_id}"),
    ("GET", "/v1/planDetails/{plan_id}/customers"),
    ("GET", "/v1/planDetails/{plan_id}/charges"),
    ("GET", "/v1/customers/{customer_id}/plans"),
    ("POST", "/v1/customers/{customer_id}/plans/add"),
    ("GET", "/v1/customers/{customer_id}/plans/{customer_plan_id}/priceAdjustments"),
    ("POST", "/v1/customers/{customer_id}/plans/{customer_plan_id}/end"),
    ("POST", "/v1/credits/{customer_id}/rechargeSettings/{recharge_settings_id}"),
    ("POST", "/v1/credits/{customer_id}/rechargeSettings"),
    ("GET", "/v1/credits/{customer_id}/rechargeSettings"),
    ("POST", "/v1/credits/createPrepaidGrant"),
    ("POST", "/v1/credits/createGrant"),
    ("POST", "/v1/credits/editGrant"),
    ("POST", "/v1/credits/voidGrant"),
    ("POST", "/v1/credits/listGrants"),
    ("POST", "/v1/credits/migrateToContracts"),
    ("POST", "/v1/credits/listEntries"),
    ("POST", "/v1/customers/{customer_id}/addCharge"),
    ("GET", "/v1/customers/{customer_id}/costs"),
];

/// Routes that answer 501; like everywhere, only to a caller with a token.
pub fn routes() -> Router<App> {
    MISSING.iter().fold(Router::new(), |router, (method, path)| {
        let filter =
            Method::from_bytes(method.as_bytes()).ok().and_then(|method| MethodFilter::try_from(method).ok());
        let filter = filter.expect("the list holds HTTP methods");
        let operation = format!("{method} {path}");
        router.route(path, on(filter, move |_: Caller| async move { ApiError::NotImplemented(operation) }))
    })
}
