//! `POST /v1/contracts/archive`: takes back a contract that should not have been made.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;

use super::catch_up::begin_caught_up;
use super::model::InvoiceStatus;
use super::renewal::{give_back_unless_billed, held_by_renewal};
use super::scheduled::void_upcoming;
use super::void::void_finalized;
use super::{store, true_up};
use crate::access::{App, Record, Writer};
use crate::contract::{self, Contract, balance};
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, EnvironmentId};
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
    if let Some(reason) = held_by_renewal(&mut change, environment_id, &contract).await? {
        return Err(ApiError::field("contract_id", reason));
    }
    let by = balance::Change { at: caller.now, by: Some(&caller.token_name) };
    cancel(&mut change, environment_id, &contract, by).await?;
    if request.void_invoices {
        let (customer_id, of) = (contract.customer_id, Some(contract.id));
        void_finalized(&mut change, environment_id, customer_id, of, caller.now).await?;
    }
    let (customer_id, id) = (contract.customer_id, contract.id);
    give_back_unless_billed(&mut change, environment_id, customer_id, id, by, "contract_id").await?;
    // Those of the customer's commits do not wait for this contract any more.
    contract::schedule_true_ups(&mut change, environment_id, contract.customer_id).await?;
    let kept = if request.void_invoices { "with" } else { "without" };
    let record =
        Record::new(contract.id.0, format!("Archived a contract {kept} voiding its finalized invoices"));
    let answer = change.commit(record, id_data(contract.id.0)).await?;
    app.work_ready.notify_one();
    Ok(answer)
}

/// Archives a contract that the caller holds: its usage drafts disappear with what rides on them, its upcoming
/// scheduled invoices are kept as void ones, and its commits and credits are archived. What is finalized stays. Payments on
/// what became void just then go where their commits are billed by now.
pub(super) async fn cancel(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    change: balance::Change<'_>,
) -> Result<(), sqlx::Error> {
    let now = change.at;
    true_up::void_upcoming(db, environment_id, contract, now).await?;
    void_upcoming(db, environment_id, contract, now).await?;
    contract::remove_work(db, environment_id, contract).await?;
    let own = balance::of_contracts(db, environment_id, contract.customer_id, &[contract.id.0], None).await?;
    for balance in own.iter().filter(|balance| balance.archived_at.is_none()) {
        balance::archive(db, environment_id, balance, change).await?;
    }
    contract::archive(db, environment_id, contract, now).await?;
    let (customer_id, of) = (contract.customer_id, Some(contract.id));
    let void = store::ids_with_status(db, environment_id, customer_id, of, InvoiceStatus::Void).await?;
    balance::keep_payments_of_void(db, environment_id, customer_id, &void, now).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("archiveContract").tag("Contracts").summary("Archive a contract").description(
        "For good, for contracts made by mistake: its usage drafts disappear and its upcoming scheduled invoices become \
         void; finalized ones become void only if `void_invoices` says so, and give back what they drew. It can still be read.",
    )
}
