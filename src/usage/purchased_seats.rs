//! `GET /v1/customers/{customer_id}/purchasedSeats`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::access::{App, Caller};
use crate::customer::{self, CustomerPath};
use crate::error::ApiError;
use crate::wire::{Data, Path};

/// Seats that a charge of a legacy plan sold.
#[derive(Serialize, JsonSchema)]
pub struct PurchasedSeats {
    charge_id: Uuid,
    seat_count: i64,
}

/// Only plans sell such seats, and no customer here has a plan: subscriptions of contracts are none of these.
pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CustomerPath>,
) -> Result<axum::Json<Data<Vec<PurchasedSeats>>>, ApiError> {
    let mut db = app.db.acquire().await?;
    customer::get(&mut db, caller.environment_id(), path.customer_id).await?;
    Ok(axum::Json(Data { data: Vec::new() }))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getPurchasedSeats")
        .tag("Usage")
        .summary("Get the seats that a customer bought on legacy plans")
        .description("None: this server has no legacy plans.")
}
