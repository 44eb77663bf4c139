//! `POST /v1/contracts/archive`: takes back a contract that should not have been made.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;

use super::catch_up::begin_caught_up;
use super::scheduled::void_upcoming;
use super::store;
use crate::access::{App, Record, Writer};
use crate::contract::{self, Contract};
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, EnvironmentId};
use crate::time::Instant;
use crate::wire::{Data, IdBody, Json, id_data};

#[derive(Deserialize, JsonSchema)]
pub struct ArchiveContract {
    customer_id: CustomerId,
    contract_id: ContractId,
    /// Whether finalized invoices become void too.
    void_invoices: bool,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<ArchiveContract>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let (mut change, _) = begin_caught_up(&app, &caller, request.customer_id).await?;
    let contract =
        contract::lock(&mut change, environment_id, request.customer_id, request.contract_id).await?;
    if contract.archived_at.is_some() {
        return Err(ApiError::field("contract_id", "the contract is archived already"));
    }
    cancel(&mut change, environment_id, &contract, caller.now).await?;
    if request.void_invoices {
        store::void_of_contract(&mut change, environment_id, &contract).await?;
    }
    let kept = if request.void_invoices { "with" } else { "without" };
    let record =
        Record::new(contract.id.0, format!("Archived a contract {kept} voiding its finalized invoices"));
    change.commit(record, id_data(contract.id.0)).await
}

/// Archives a contract that the caller holds: its usage drafts disappear with what rides on them, its upcoming
/// scheduled invoices are kept as void ones. What is finalized stays.
pub(super) async fn cancel(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    now: Instant,
) -> Result<(), sqlx::Error> {
    void_upcoming(db, environment_id, contract, now).await?;
    contract::remove_work(db, environment_id, contract).await?;
    contract::archive(db, environment_id, contract, now).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("archiveContract").tag("Contracts").summary("Archive a contract").description(
        "For good, for contracts made by mistake: its usage drafts disappear and its upcoming scheduled invoices become \
         void; finalized ones become void only if `void_invoices` says so. It can still be read.",
    )
}
