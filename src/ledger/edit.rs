//! `POST /v2/contracts/commits/edit` and `POST /v2/contracts/credits/edit`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::change::{Subject, access_is_open, begin_v2, find, keep, payments_are_open, settled};
use crate::access::{App, Record, Writer};
use crate::contract::balance::{BalanceEdit, CommonEdit, InvoiceScheduleEdit, check_named};
use crate::error::ApiError;
use crate::id::{BalanceId, ContractId, CustomerId};
use crate::wire::{Data, IdBody, JsonBoth, id_data};

/// Beside the fields of both.
#[derive(Deserialize, JsonSchema)]
pub struct EditCommit {
    customer_id: CustomerId,
    commit_id: BalanceId,
    invoice_schedule: Option<InvoiceScheduleEdit>,
    /// Of a customer's own: the contract on which it is billed from now on.
    invoice_contract_id: Option<ContractId>,
}

/// Beside the fields of both.
#[derive(Deserialize, JsonSchema)]
pub struct EditCredit {
    customer_id: CustomerId,
    credit_id: BalanceId,
}

pub async fn of_commit(
    State(app): State<App>,
    caller: Writer,
    JsonBoth(request, common): JsonBoth<EditCommit, CommonEdit>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let EditCommit { customer_id, commit_id, invoice_schedule, invoice_contract_id } = request;
    let edit = BalanceEdit { invoice_schedule, invoice_contract_id, ..common.into() };
    edited(&app, &caller, Subject::Commit, customer_id, commit_id, edit).await
}

pub async fn of_credit(
    State(app): State<App>,
    caller: Writer,
    JsonBoth(request, common): JsonBoth<EditCredit, CommonEdit>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let EditCredit { customer_id, credit_id } = request;
    edited(&app, &caller, Subject::Credit, customer_id, credit_id, common.into()).await
}

async fn edited(
    app: &App,
    caller: &Writer,
    subject: Subject,
    customer_id: CustomerId,
    id: BalanceId,
    edit: BalanceEdit,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let mut change = begin_v2(app, caller, customer_id).await?;
    let balance = find(&mut change, environment_id, customer_id, subject, id).await?;
    let balance = balance.ok_or_else(|| subject.unknown_in_v2(id))?;
    if balance.archived_at.is_some() {
        return Err(subject.archived());
    }
    if edit.access_schedule.is_some() {
        access_is_open(&mut change, environment_id, &balance, "access_schedule").await?;
    }
    if edit.invoice_schedule.is_some() {
        payments_are_open(&mut change, environment_id, &balance, "invoice_schedule", caller.now).await?;
    }
    let settled = settled(&mut change, environment_id, &balance).await?;
    let edited = edit.applied(&balance, &settled, &app.ids)?;
    check_named(&mut change, environment_id, &balance, &edited).await?;
    keep(&mut change, caller, &edited).await?;
    let record = Record::new(id.0, format!("Edited a {}", subject.name()));
    let answer = change.commit(record, id_data(id.0)).await?;
    app.work_ready.notify_one();
    Ok(answer)
}

pub fn doc_of_commit(operation: TransformOperation) -> TransformOperation {
    operation.id("editCommitV2").tag("Credits and commits").summary("Edit a commit").description(
        "Drafts follow at once, for all of their time; finalized invoices only where they are voided and regenerated.",
    )
}

pub fn doc_of_credit(operation: TransformOperation) -> TransformOperation {
    operation.id("editCreditV2").tag("Credits and commits").summary("Edit a credit").description(
        "Drafts follow at once, for all of their time; finalized invoices only where they are voided and regenerated.",
    )
}
