//! `POST /v1/customers/{customer_id}/setName`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::get::CustomerPath;
use super::input::CustomerName;
use super::store;
use super::view::Customer;
use crate::access::{App, Record, Writer};
use crate::custom_field;
use crate::error::ApiError;
use crate::wire::{Data, Json, Path};

#[derive(Deserialize, JsonSchema)]
pub struct SetName {
    /// Cut to 160 characters where it is longer.
    name: CustomerName,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Path(path): Path<CustomerPath>,
    Json(request): Json<SetName>,
) -> Result<axum::Json<Data<Customer>>, ApiError> {
    let environment_id = caller.environment_id();
    let name = request.name.0;
    let mut change = caller.begin(&app).await?;
    let customer = store::lock_active(&mut change, environment_id, path.customer_id).await?;
    let record = Record::new(customer.id.0, format!("Renamed customer {} to {name}", customer.name));
    let renamed = store::CustomerRow { name, ..customer.clone() };
    if renamed != customer {
        store::update(&mut change, environment_id, &renamed, caller.now).await?;
    }
    let mut aliases = store::aliases_by_customer(&mut change, environment_id, &[customer.id.0]).await?;
    let aliases = aliases.remove(&customer.id).unwrap_or_default();
    let customer =
        custom_field::show_one(&mut change, environment_id, Customer::new(renamed, aliases)).await?;
    change.commit(record, axum::Json(Data { data: customer })).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("setCustomerName")
        .tag("Customers")
        .summary("Rename a customer")
        .description("Every page and list shows the new name at once. An archived customer keeps its name.")
}
