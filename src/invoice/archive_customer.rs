//! `POST /v1/customers/archive`: ends a customer, its contracts and its invoices at once.

use aide::transform::TransformOperation;
use axum::extract::State;

use super::archive_contract::cancel;
use super::catch_up::begin_caught_up;
use super::renewal::give_back;
use super::void::void_finalized;
use crate::access::{App, Record, Writer};
use crate::contract::{self, balance};
use crate::customer;
use crate::error::ApiError;
use crate::id::CustomerId;
use crate::wire::{Data, IdBody, Json, id_data};

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<IdBody>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let id = CustomerId(request.id);
    let (mut change, customer) = begin_caught_up(&app, &caller, id).await?;
    if customer.archived_at.is_some() {
        return Err(ApiError::field("id", "the customer is archived already"));
    }
    let by = balance::Change { at: caller.now, by: Some(&caller.token_name) };
    for contract in contract::list_of_customer(&mut change, environment_id, id).await? {
        let contract = contract::lock(&mut change, environment_id, id, contract.id).await?;
        if contract.archived_at.is_none() {
            cancel(&mut change, environment_id, &contract, by).await?;
        }
    }
    void_finalized(&mut change, environment_id, id, None, caller.now).await?;
    give_back(&mut change, environment_id, id, None, by).await?;
    customer::archive(&mut change, environment_id, id, caller.now).await?;
    let record = Record::new(id.0, format!("Archived customer {}", customer.name));
    change.commit(record, id_data(id.0)).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("archiveCustomer").tag("Customers").summary("Archive a customer").description(
        "For good: its contracts are archived, its drafts disappear, and its finalized and upcoming scheduled invoices \
         become void. It can still be read, and its ingest aliases stay taken until they are removed.",
    )
}
