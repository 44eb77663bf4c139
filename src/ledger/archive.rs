//! `POST /v2/contracts/commits/archive` and `POST /v2/contracts/credits/archive`

use std::collections::BTreeMap;

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;

use super::change::{Subject, begin_v2, find, keep};
use super::store;
use crate::access::{App, Record, Writer};
use crate::contract::balance::{Balance, Rollovers};
use crate::drawdown;
use crate::error::ApiError;
use crate::id::{BalanceId, CustomerId, EnvironmentId, InvoiceId};
use crate::money::{Decimal, zero};
use crate::wire::{Data, IdBody, Json, id_data};

#[derive(Deserialize, JsonSchema)]
pub struct ArchiveCommit {
    customer_id: CustomerId,
    commit_id: BalanceId,
}

#[derive(Deserialize, JsonSchema)]
pub struct ArchiveCredit {
    customer_id: CustomerId,
    credit_id: BalanceId,
}

pub async fn of_commit(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<ArchiveCommit>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    archive(&app, &caller, Subject::Commit, request.customer_id, request.commit_id).await
}

pub async fn of_credit(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<ArchiveCredit>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    archive(&app, &caller, Subject::Credit, request.customer_id, request.credit_id).await
}

async fn archive(
    app: &App,
    caller: &Writer,
    subject: Subject,
    customer_id: CustomerId,
    id: BalanceId,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let mut change = begin_v2(app, caller, customer_id).await?;
    let balance = find(&mut change, environment_id, customer_id, subject, id).await?;
    let balance = balance.ok_or_else(|| subject.unknown_in_v2(id))?;
    let field = format!("{}_id", subject.name());
    if balance.archived_at.is_some() {
        return Err(ApiError::field(&field, format!("the {} is archived already", subject.name())));
    }
    if balance.origin.is_some() {
        return Err(ApiError::field(&field, "what a renewal took over cannot be archived"));
    }
    let rollovers = Rollovers::load(&mut change, environment_id, customer_id, None).await?;
    if rollovers.is_origin(id) {
        return Err(ApiError::field(
            &field,
            "a renewal took over what is left of it; archive the new contract before, and void its invoices",
        ));
    }
    if let Some(reason) = held_by(&mut change, environment_id, &balance).await? {
        return Err(ApiError::field(&field, reason));
    }
    let archived = Balance { archived_at: Some(caller.now), ..balance };
    keep(&mut change, caller, &archived).await?;
    let record = Record::new(id.0, format!("Archived a {}", subject.name()));
    let answer = change.commit(record, id_data(id.0)).await?;
    app.work_ready.notify_one();
    Ok(answer)
}

/// Why invoices keep it from being archived: what they say of it must be void before (operation texts).
async fn held_by(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
) -> Result<Option<&'static str>, sqlx::Error> {
    let customer_id = balance.customer_id;
    let mut drawn: BTreeMap<InvoiceId, Decimal> = BTreeMap::new();
    for draw in drawdown::of_balances(db, environment_id, customer_id, &[balance.id.0]).await? {
        *drawn.entry(draw.invoice_id).or_default() += draw.amount;
    }
    if drawn.values().any(|amount| *amount != zero()) {
        return Ok(Some("a finalized invoice drew it; void the invoice before"));
    }
    if store::has_final_payment(db, environment_id, customer_id, balance.id).await? {
        return Ok(Some("a payment for it is on a finalized invoice; void the invoice before"));
    }
    Ok(None)
}

pub fn doc_of_commit(operation: TransformOperation) -> TransformOperation {
    operation.id("archiveCommitV2").tag("Credits and commits").summary("Archive a commit").description(
        "For good: it has no ledger any more and nothing is left of it; its upcoming payments are dropped, and drafts \
         follow at once. Finalized invoices that drew it or bill it must be void before.",
    )
}

pub fn doc_of_credit(operation: TransformOperation) -> TransformOperation {
    operation.id("archiveCreditV2").tag("Credits and commits").summary("Archive a credit").description(
        "For good: it has no ledger any more and nothing is left of it; drafts follow at once. Finalized invoices that \
         drew it must be void before.",
    )
}
