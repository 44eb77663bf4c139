//! `POST /v1/contracts/updateEndDate`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;

use super::catch_up::begin_caught_up;
use super::end::move_end;
use super::renewal::held_by_renewal;
use super::store;
use crate::access::{App, Record, Writer};
use crate::contract::{self, Contract};
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, EnvironmentId};
use crate::time::{Instant, shown};
use crate::wire::{Data, HourBoundary, IdBody, Json, id_data};

#[derive(Deserialize, JsonSchema)]
pub struct UpdateEndDate {
    customer_id: CustomerId,
    contract_id: ContractId,
    /// Exclusive; on the hour; past or future. The contract becomes open-ended when this is omitted.
    ending_before: Option<HourBoundary>,
    /// False: 400 where a finalized usage invoice ends later. True when omitted; such invoices stay as they are.
    allow_ending_before_finalized_invoice: Option<bool>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<UpdateEndDate>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let (mut change, _) = begin_caught_up(&app, &caller, request.customer_id).await?;
    let contract =
        contract::lock(&mut change, environment_id, request.customer_id, request.contract_id).await?;
    let end = request.ending_before.map(|end| end.0);
    check(&mut change, environment_id, &contract, &request).await?;

    let old = contract;
    let contract = Contract { ending_before: end, ..old.clone() };
    if let Some(reason) =
        newly_contradicted(&mut change, environment_id, &contract, old.ending_before).await?
    {
        return Err(ApiError::field("ending_before", reason));
    }
    move_end(&mut change, environment_id, &old, &contract, caller.now, &caller.token_name).await?;
    let new = end.map_or_else(|| "open-ended".to_owned(), |end| format!("end before {}", shown(end)));
    let record = Record::new(contract.id.0, format!("Made the contract {new}"));
    let answer = change.commit(record, id_data(contract.id.0)).await?;
    app.work_ready.notify_one();
    Ok(answer)
}

async fn check(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    request: &UpdateEndDate,
) -> Result<(), ApiError> {
    if contract.archived_at.is_some() {
        return Err(ApiError::field("contract_id", "the contract is archived"));
    }
    if let Some(reason) = held_by_renewal(db, environment_id, contract).await? {
        return Err(ApiError::field("contract_id", reason));
    }
    let Some(HourBoundary(end)) = request.ending_before else { return Ok(()) };
    let refused = |reason: &str| Err(ApiError::field("ending_before", reason));
    if end <= contract.starting_at {
        return refused("must be after the contract's starting_at");
    }
    let may_cut_finalized = request.allow_ending_before_finalized_invoice.unwrap_or(true);
    if !may_cut_finalized && store::has_usage_invoice_after(db, environment_id, contract, end).await? {
        return refused("a finalized usage invoice ends later");
    }
    Ok(())
}

/// Why a product on the card cannot be counted through the contract's usage filters, where the contract is now longer:
/// the card was free to change for the time after its end.
async fn newly_contradicted(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    before: Option<Instant>,
) -> Result<Option<String>, sqlx::Error> {
    let is_longer = before.is_some_and(|before| contract.ending_before.is_none_or(|end| before < end));
    if !is_longer {
        return Ok(None);
    }
    contract::usage_filter_contradiction(db, environment_id, contract, &contract.usage_filters).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("updateContractEndDate").tag("Contracts").summary("Update the end date of a contract").description(
        "An earlier end cuts the open usage statement and removes the scheduled charges and payments from then on that are not \
         on a finalized invoice, but no payments for commits of the customer, which are billed on; what is short of a postpaid \
         commit is billed at the new end. A later end lengthens the term, and brings back the payments for commits of the \
         contract that an earlier one took away, as these may be drawn again; no scheduled charges. Finalized invoices stay as \
         they are.",
    )
}
