//! `GET /v1/customers/{customer_id}`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::store;
use super::view::{self, CustomerDetail};
use crate::access::{App, Caller};
use crate::error::ApiError;
use crate::id::CustomerId;
use crate::wire::{Data, Path};

/// The customer that a path names.
#[derive(Deserialize, JsonSchema)]
pub struct CustomerPath {
    pub customer_id: CustomerId,
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CustomerPath>,
) -> Result<axum::Json<Data<CustomerDetail>>, ApiError> {
    let mut db = app.db.acquire().await?;
    let customer = store::get(&mut db, caller.environment_id(), path.customer_id).await?;
    let mut details = view::details(&mut db, caller.environment_id(), vec![customer], caller.now).await?;
    let data = details.pop().expect("one customer in, one out");
    Ok(axum::Json(Data { data }))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getCustomer")
        .tag("Customers")
        .summary("Get a customer")
        .description("Archived customers too.")
}
