//! `POST /v1/contracts/commits/disableTrueup`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::calc::TrueUp;
use super::change::{Subject, find, keep};
use super::true_ups::true_ups;
use crate::access::{App, Record, Writer};
use crate::contract::balance::{Balance, BalanceType};
use crate::error::ApiError;
use crate::id::{BalanceId, ContractId, CustomerId};
use crate::invoice::begin_caught_up;
use crate::wire::{Data, IdBody, Json, id_data};

#[derive(Deserialize, JsonSchema)]
pub struct DisableTrueup {
    customer_id: CustomerId,
    /// A POSTPAID commit.
    commit_id: BalanceId,
    /// The contract that it belongs to, or on which its true-up is billed.
    contract_id: ContractId,
    /// No contract has amendments.
    amendment_id: Option<Uuid>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<DisableTrueup>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let DisableTrueup { customer_id, commit_id, contract_id, amendment_id } = request;
    let (mut change, _) = begin_caught_up(&app, &caller, customer_id).await?;
    if let Some(id) = amendment_id {
        return Err(ApiError::not_found("amendment", id));
    }
    let commit = find(&mut change, environment_id, customer_id, Subject::Commit, commit_id).await?;
    let is_of =
        |commit: &Balance| commit.contract_id.or(commit.terms.invoice_contract_id) == Some(contract_id);
    if commit.as_ref().is_some_and(|commit| commit.balance_type != BalanceType::Postpaid) {
        return Err(ApiError::field("commit_id", "only a POSTPAID commit has a true-up"));
    }
    let mut commit = commit.filter(is_of).ok_or_else(|| {
        ApiError::NotFound(format!("commit {commit_id} of contract {contract_id} was not found"))
    })?;
    if commit.archived_at.is_some() {
        return Err(Subject::Commit.archived());
    }
    if !commit.terms.is_true_up_disabled {
        let mut true_ups =
            true_ups(&mut change, environment_id, customer_id, std::slice::from_ref(&commit), None).await?;
        if matches!(true_ups.remove(&commit_id), Some(TrueUp::Billed { .. })) {
            return Err(ApiError::field("commit_id", "the true-up of the commit is finalized"));
        }
        commit.terms.is_true_up_disabled = true;
        keep(&mut change, &caller, &commit).await?;
    }
    let record = Record::new(commit_id.0, "Disabled the true-up of a commit");
    let answer = change.commit(record, id_data(commit_id.0)).await?;
    app.work_ready.notify_one();
    Ok(answer)
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("disableCommitTrueup")
        .tag("Credits and commits")
        .summary("Disable the true-up of a commit")
        .description("For good: what is short of the promise at the end is not billed. Again is no error.")
}
