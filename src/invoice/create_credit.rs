//! `POST /v1/contracts/customerCredits/create`

use aide::transform::TransformOperation;
use axum::extract::State;

use super::catch_up::begin_caught_up;
use crate::access::{App, Record, Writer};
use crate::contract::balance::{self, CustomerCreditInput};
use crate::error::ApiError;
use crate::wire::{Data, IdBody, Json, id_data};

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<CustomerCreditInput>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let new = request.planned(&app.ids, caller.now)?;
    let (id, customer_id) = (new.balance.id.0, new.balance.customer_id);
    let (mut change, customer) = begin_caught_up(&app, &caller, customer_id).await?;
    if customer.archived_at.is_some() {
        return Err(ApiError::field("customer_id", "the customer is archived"));
    }
    balance::create(&mut change, &caller, vec![new]).await?;
    let record = Record::new(id, format!("Created a credit of customer {}", customer.name));
    change.commit(record, id_data(id)).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("createCustomerCredit").tag("Credits and commits").summary("Create a credit of a customer").description(
        "Usage of all contracts of the customer, or of those that it names, draws it; drafts follow at once.",
    )
}
