//! `POST /v1/customers`, and `/v1/customers/create` as the API quickstart spells it.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;

use super::input::{AccountId, CustomerName, distinct, with_external_id};
use super::store::{self, CustomerRow};
use super::view::Customer;
use crate::access::{App, Record, Writer};
use crate::custom_field::{self, CustomFieldsInput, ManagedEntity};
use crate::error::ApiError;
use crate::id::Ids;
use crate::wire::{AliasText, Data, Json, Later};

#[derive(Deserialize, JsonSchema)]
pub struct CreateCustomer {
    /// Cut to 160 characters where it is longer.
    name: CustomerName,
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
    /// Each key must be on the list of its type; values have at most 200 characters.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
}

#[derive(Default, Deserialize, JsonSchema)]
struct CustomerConfigInput {
    salesforce_account_id: Option<AccountId>,
    /// Whether Stripe leaves this customer's invoices in draft; unset, the setting of the Stripe account holds.
    leave_stripe_invoices_in_draft: Option<bool>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<CreateCustomer>,
) -> Result<axum::Json<Data<Customer>>, ApiError> {
    let mut change = caller.begin(&app).await?;
    let customer = create(&mut change, &app.ids, &caller, request).await?;
    let record = Record::new(customer.id.0, format!("Created customer {}", customer.name));
    change.commit(record, axum::Json(Data { data: customer })).await
}

/// Makes the customer: 400 for aliases or custom fields that make no sense, 409 for an alias that is taken.
pub async fn create(
    db: &mut PgConnection,
    ids: &Ids,
    caller: &Writer,
    request: CreateCustomer,
) -> Result<Customer, ApiError> {
    let aliases = with_external_id(request.external_id, distinct(request.ingest_aliases)?)?;
    let fields = request.custom_fields.checked()?;
    let config = request.customer_config.unwrap_or_default();
    let customer = CustomerRow {
        id: ids.next(),
        name: request.name.0,
        salesforce_account_id: config.salesforce_account_id.map(|id| id.0),
        leave_stripe_invoices_in_draft: config.leave_stripe_invoices_in_draft,
        created_at: caller.now,
        updated_at: caller.now,
        archived_at: None,
    };
    store::insert(db, caller.environment_id(), &customer).await?;
    store::replace_aliases(db, caller.environment_id(), customer.id, &aliases, caller.now).await?;
    let id = customer.id.0;
    custom_field::set(db, caller.environment_id(), ManagedEntity::Customer, id, &fields).await?;
    Ok(Customer { custom_fields: fields, ..Customer::new(customer, aliases) })
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("createCustomer").tag("Customers").summary("Create a customer").description(
        "Usage that was sent earlier under one of its aliases is the customer's from now on. \
         An alias that another customer holds, archived ones included, is 409.",
    )
}
