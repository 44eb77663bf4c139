//! `POST /v1/customers`, and `/v1/customers/create` as the API quickstart spells it.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::store::{self, CustomerRow};
use super::view::Customer;
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::wire::{AliasText, Data, Json, Later, NonBlank};

/// Longest name that is kept; a longer one is cut, never refused (schema `LegacyCreateCustomerPayload`).
const NAME_LENGTH_MAX: usize = 160;

/// Most aliases of one customer (schema `SetIngestAliasesPayload`).
pub const ALIASES_MAX: usize = 2000;

#[derive(Deserialize, JsonSchema)]
pub struct CreateCustomer {
    /// Cut to 160 characters where it is longer.
    name: NonBlank,
    /// Strings that usage events may carry instead of the customer's id.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(length(max = 2000))]
    ingest_aliases: Vec<AliasText>,
    /// Deprecated: one more alias.
    external_id: Option<AliasText>,
    customer_config: Option<CustomerConfigInput>,
    #[serde(default, rename = "customer_billing_provider_configurations")]
    #[schemars(skip)]
    _billing_providers: Later,
    #[serde(default, rename = "customer_revenue_system_configurations")]
    #[schemars(skip)]
    _revenue_systems: Later,
    #[serde(default, rename = "billing_config")]
    #[schemars(skip)]
    _billing_config: Later,
    #[serde(default, rename = "custom_fields")]
    #[schemars(skip)]
    _custom_fields: Later,
}

#[derive(Deserialize, JsonSchema)]
struct CustomerConfigInput {
    salesforce_account_id: Option<String>,
    #[serde(default, rename = "leave_stripe_invoices_in_draft")]
    #[schemars(skip)]
    _leave_stripe_invoices_in_draft: Later,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<CreateCustomer>,
) -> Result<axum::Json<Data<Customer>>, ApiError> {
    // The deprecated external id comes first, because the first alias is what is answered as `external_id`.
    let external_id = request.external_id.filter(|alias| !request.ingest_aliases.contains(alias));
    let aliases = distinct(external_id.into_iter().chain(request.ingest_aliases))?;
    let customer = CustomerRow {
        id: app.ids.next(),
        name: request.name.0.chars().take(NAME_LENGTH_MAX).collect(),
        salesforce_account_id: request.customer_config.and_then(|config| config.salesforce_account_id),
        created_at: caller.now,
        updated_at: caller.now,
        archived_at: None,
    };
    let mut change = caller.begin(&app).await?;
    store::insert(&mut change, caller.environment_id(), &customer).await?;
    store::replace_aliases(&mut change, caller.environment_id(), customer.id, &aliases, caller.now).await?;
    let record = Record::new(customer.id.0, format!("Created customer {}", customer.name));
    change.commit(record, axum::Json(Data { data: Customer::new(customer, aliases) })).await
}

/// The aliases without repeats, in the order in which they first came; 400 where there are too many.
pub fn distinct(aliases: impl IntoIterator<Item = AliasText>) -> Result<Vec<String>, ApiError> {
    let mut seen = std::collections::HashSet::new();
    let distinct: Vec<String> =
        aliases.into_iter().map(|alias| alias.0).filter(|alias| seen.insert(alias.clone())).collect();
    if distinct.len() > ALIASES_MAX {
        return Err(ApiError::field(
            "ingest_aliases",
            format!("a customer has at most {ALIASES_MAX} aliases"),
        ));
    }
    Ok(distinct)
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("createCustomer").tag("Customers").summary("Create a customer").description(
        "Usage that was sent earlier under one of its aliases is the customer's from now on. \
         An alias that another customer holds, archived ones included, is 409.",
    )
}
