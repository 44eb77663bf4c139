//! `POST /v1/invoices/void`: takes back an invoice that is final.

use aide::transform::TransformOperation;
use axum::extract::State;
use sqlx::PgConnection;
use uuid::Uuid;

use super::catch_up::begin_caught_up;
use super::existence::owner;
use super::model::InvoiceStatus;
use super::renewal::give_back_unless_billed;
use super::store;
use crate::access::{App, Record, Writer};
use crate::contract::{self, balance};
use crate::drawdown;
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, EnvironmentId, InvoiceId};
use crate::time::Instant;
use crate::wire::{Data, IdBody, Json, id_data};

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<IdBody>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let id = InvoiceId(request.id);
    let owner = owner(&mut *app.db.acquire().await?, environment_id, id, caller.now).await?;
    let customer_id = owner.ok_or_else(|| ApiError::not_found("invoice", id))?;
    let (mut change, _) = begin_caught_up(&app, &caller, customer_id).await?;
    let invoice = store::find(&mut change, environment_id, customer_id, id).await?;
    match invoice.as_ref().map(|invoice| invoice.status) {
        Some(InvoiceStatus::Finalized) => {}
        Some(InvoiceStatus::Void) => {
            return Err(ApiError::field("id", format!("invoice {id} is void already")));
        }
        Some(InvoiceStatus::Draft) | None => {
            let reason = format!("invoice {id} is a draft, and only a finalized invoice can be voided");
            return Err(ApiError::field("id", reason));
        }
    }
    void(&mut change, environment_id, customer_id, &[id.0], caller.now).await?;
    // A contract that is archived keeps of what it took over what its invoices use: so much less now, for its origin.
    let contract_id = invoice.map(|invoice| invoice.contract_id).expect("only what is finalized comes here");
    let contract = contract::find(&mut change, environment_id, customer_id, contract_id).await?;
    if contract.is_some_and(|contract| contract.archived_at.is_some()) {
        let by = balance::Change { at: caller.now, by: Some(&caller.token_name) };
        give_back_unless_billed(&mut change, environment_id, customer_id, contract_id, by, "id").await?;
        contract::schedule_true_ups(&mut change, environment_id, customer_id).await?;
    }
    let answer = change.commit(Record::new(id.0, "Voided an invoice"), id_data(id.0)).await?;
    app.work_ready.notify_one();
    Ok(answer)
}

/// Voids every finalized invoice of a customer, or of one of its contracts; the caller holds the customer.
pub(super) async fn void_finalized(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contract_id: Option<ContractId>,
    now: Instant,
) -> Result<(), sqlx::Error> {
    let status = InvoiceStatus::Finalized;
    let ids = store::ids_with_status(db, environment_id, customer_id, contract_id, status).await?;
    void(db, environment_id, customer_id, &ids, now).await
}

/// Makes finalized invoices void, and gives back what they drew of commits and credits. The payments of commits that are on them
/// follow their commits again.
async fn void(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    ids: &[Uuid],
    now: Instant,
) -> Result<(), sqlx::Error> {
    store::set_void(db, environment_id, customer_id, ids, now).await?;
    drawdown::cancel(db, environment_id, customer_id, ids).await?;
    balance::keep_payments_of_void(db, environment_id, customer_id, ids, now).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("voidInvoice").tag("Invoices").summary("Void an invoice").description(
        "For good. Its lines and its total stay, and what it drew of commits and credits is back at once. Only a finalized \
         invoice can be voided; what it was about is billed again by regenerating it.",
    )
}
