//! `POST /v1/customers/{customer_id}/updateConfig`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::get::CustomerPath;
use super::input::AccountId;
use super::store::{self, CustomerRow};
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::wire::{Empty, Json, Nullable, Path};

/// A field that is left out stays as it is; `null` clears it.
#[derive(Deserialize, JsonSchema)]
pub struct UpdateConfig {
    #[serde(default)]
    salesforce_account_id: Nullable<AccountId>,
    /// Whether Stripe leaves this customer's invoices in draft. Kept, and not shown; cleared, the setting of the
    /// Stripe account holds.
    #[serde(default)]
    leave_stripe_invoices_in_draft: Nullable<bool>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Path(path): Path<CustomerPath>,
    Json(request): Json<UpdateConfig>,
) -> Result<Empty, ApiError> {
    let environment_id = caller.environment_id();
    let mut change = caller.begin(&app).await?;
    let customer = store::lock_active(&mut change, environment_id, path.customer_id).await?;
    let account_id = customer.salesforce_account_id.clone().map(AccountId);
    let configured = CustomerRow {
        salesforce_account_id: request.salesforce_account_id.applied_to(account_id).map(|id| id.0),
        leave_stripe_invoices_in_draft: request
            .leave_stripe_invoices_in_draft
            .applied_to(customer.leave_stripe_invoices_in_draft),
        ..customer.clone()
    };
    if configured != customer {
        store::update(&mut change, environment_id, &configured, caller.now).await?;
    }
    let record = Record::new(customer.id.0, format!("Configured customer {}", customer.name));
    change.commit(record, Empty).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("updateCustomerConfig")
        .tag("Customers")
        .summary("Configure a customer")
        .description("Changes the fields that are sent and leaves the others as they are.")
}
