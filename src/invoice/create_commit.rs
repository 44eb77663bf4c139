//! `POST /v1/contracts/customerCommits/create`

use aide::transform::TransformOperation;
use axum::extract::State;

use super::catch_up::begin_caught_up;
use crate::access::{App, Record, Writer};
use crate::contract;
use crate::contract::balance::{self, CustomerCommitInput};
use crate::error::ApiError;
use crate::wire::{Data, IdBody, Json, id_data};

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<CustomerCommitInput>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let new = request.planned(&app.ids, caller.now)?;
    let (id, customer_id) = (new.balance.id.0, new.balance.customer_id);
    let (mut change, customer) = begin_caught_up(&app, &caller, customer_id).await?;
    if customer.archived_at.is_some() {
        return Err(ApiError::field("customer_id", "the customer is archived"));
    }
    if let Some(id) = new.balance.terms.invoice_contract_id {
        let locked = contract::lock(&mut change, environment_id, customer_id, id).await;
        locked.map_err(|error| match error {
            ApiError::NotFound(message) => ApiError::NotFound(format!("invoice_contract_id: {message}")),
            error => error,
        })?;
    }
    balance::create(&mut change, &caller, vec![new]).await?;
    contract::schedule_payments(&mut change, environment_id, customer_id).await?;
    let record = Record::new(id, format!("Created a commit of customer {}", customer.name));
    let answer = change.commit(record, id_data(id)).await?;
    app.work_ready.notify_one();
    Ok(answer)
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("createCustomerCommit").tag("Credits and commits").summary("Create a commit of a customer").description(
        "Usage of all contracts of the customer, or of those that it names, draws it; drafts follow at once. What is paid \
         for it is invoiced on `invoice_contract_id`, at once where the date is past. Access does not wait for payment.",
    )
}
