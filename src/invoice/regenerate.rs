//! `POST /v1/invoices/regenerate`: makes a void invoice anew, from what is true by now.

use aide::transform::TransformOperation;
use axum::extract::State;
use sqlx::PgConnection;

use super::calc::Regeneration;
use super::catch_up::begin_settled;
use super::existence::owner;
use super::finalize::{AsOf, Closing, finalize};
use super::model::{Invoice, InvoiceStatus, InvoiceType};
use super::store::{self, Lineage};
use super::{scheduled, true_up};
use crate::access::{App, Record, Writer};
use crate::contract::scheduled_charge::{self, DueItem};
use crate::contract::{self, balance};
use crate::error::ApiError;
use crate::id::{CustomerId, EnvironmentId, InvoiceId};
use crate::time::{Period, shown};
use crate::wire::{Data, IdBody, Json, id_data};

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<IdBody>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let (environment_id, now) = (caller.environment_id(), caller.now);
    let id = InvoiceId(request.id);
    let owner = owner(&mut *app.db.acquire().await?, environment_id, id, now).await?;
    let customer_id = owner.ok_or_else(|| ApiError::not_found("invoice", id))?;
    let (mut change, arrival) = begin_settled(&app, &caller, customer_id).await?;
    let (void, lineage) = void_invoice(&mut change, environment_id, customer_id, id).await?;
    let contract = contract::lock(&mut change, environment_id, customer_id, void.contract_id).await?;
    if contract.archived_at.is_some() {
        // It was made by mistake, so nothing is owed for it (our decision).
        let reason = format!("contract {} of invoice {id} is archived", contract.id);
        return Err(ApiError::field("id", reason));
    }
    let charges =
        scheduled_charge::items_of_invoice(&mut change, environment_id, customer_id, lineage.newest).await?;
    if charges.is_empty() && void.invoice_type == InvoiceType::Scheduled {
        let reason = format!("the payments of invoice {id} have other dates or another contract by now");
        return Err(ApiError::field("id", reason));
    }
    let charges = without_archived(&mut change, environment_id, customer_id, charges).await?;
    if charges.is_empty() && void.invoice_type == InvoiceType::Scheduled {
        let reason = format!("the commits that invoice {id} bills are archived");
        return Err(ApiError::field("id", reason));
    }
    if let Some(item) = charges.iter().find(|charge| charge.is_true_up) {
        check_settled(&mut change, environment_id, customer_id, id, item).await?;
    }
    let regeneration = Regeneration {
        from: id,
        original: lineage.original,
        generation: lineage.generation + 1,
        // Whatever was final once is past its issue time.
        issued_at: now,
    };
    let db = &mut *change;
    let new = match (void.invoice_type, charges.iter().find(|charge| charge.is_true_up)) {
        (InvoiceType::Scheduled, Some(item)) => {
            true_up::finalize_again(db, environment_id, &contract, &void, item, now, &regeneration)
                .await?
                .ok_or_else(|| nothing_short(id))?
        }
        (InvoiceType::Scheduled, None) => {
            scheduled::finalize_again(db, environment_id, &contract, &void, &charges, now, &regeneration)
                .await?
        }
        (InvoiceType::Usage | InvoiceType::UsageConsolidated, _) => {
            let closing = Closing {
                contract: &contract,
                period: Period { start: void.start_timestamp, end: void.end_timestamp },
                charges: &charges,
                regeneration: Some(&regeneration),
            };
            let as_of = AsOf { now, arrival, catalog: None };
            let closed = finalize(db, environment_id, vec![closing], as_of).await?.pop();
            let new = closed.expect("one for each statement").invoice;
            // What it spends of a promise may leave something to bill of one that was fulfilled.
            contract::schedule_true_ups(db, environment_id, customer_id).await?;
            new
        }
    };
    scheduled_charge::move_to_invoice(
        &mut change,
        environment_id,
        customer_id,
        &charges,
        lineage.newest,
        new.id,
    )
    .await?;
    let (start, end) = (shown(void.start_timestamp), shown(void.end_timestamp));
    let record = Record::new(new.id.0, format!("Regenerated the void invoice {id} of {start} to {end}"));
    change.commit(record, id_data(new.id.0)).await
}

/// 400 for a true-up of usage that is void: what is short is known when that is billed.
async fn check_settled(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    id: InvoiceId,
    item: &DueItem,
) -> Result<(), ApiError> {
    let balance_id = item.balance_id.ok_or(sqlx::Error::RowNotFound)?;
    let balance = balance::find(db, environment_id, customer_id, balance_id).await?;
    let balance = balance.ok_or(sqlx::Error::RowNotFound)?;
    match true_up::held_up_by(db, environment_id, &balance).await? {
        Some(usage) => {
            let reason = format!(
                "what is short of the commit that invoice {id} is about is not known while usage invoice {usage} is void; \
                 regenerate that before"
            );
            Err(ApiError::field("id", reason))
        }
        None => Ok(()),
    }
}

/// There would have been no invoice in the first place (our decision).
fn nothing_short(id: InvoiceId) -> ApiError {
    ApiError::field(
        "id",
        format!("nothing is to be billed any more of the commit that invoice {id} is about"),
    )
}

/// Without what pays for commits that are archived: what was taken back is not billed again, and the rest is (our decision).
async fn without_archived(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    charges: Vec<DueItem>,
) -> Result<Vec<DueItem>, sqlx::Error> {
    let mut kept = Vec::with_capacity(charges.len());
    for charge in charges {
        let is_archived = match charge.balance_id {
            Some(id) => {
                let balance = balance::find(db, environment_id, customer_id, id).await?;
                balance.is_some_and(|balance| balance.archived_at.is_some())
            }
            None => false,
        };
        kept.extend(Some(charge).filter(|_| !is_archived));
    }
    Ok(kept)
}

/// The void invoice, and those of the same statement or date: 400 where it is not void, or where another one stands in its
/// place.
async fn void_invoice(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    id: InvoiceId,
) -> Result<(Invoice, Lineage), ApiError> {
    let refused = |reason: String| ApiError::field("id", reason);
    let invoice = store::find(&mut *db, environment_id, customer_id, id).await?;
    let invoice = invoice.filter(|invoice| invoice.status != InvoiceStatus::Draft);
    let invoice = invoice.ok_or_else(|| {
        refused(format!("invoice {id} is a draft, and only a void invoice can be regenerated"))
    })?;
    if invoice.status == InvoiceStatus::Finalized {
        return Err(refused(format!("invoice {id} is finalized; void it before it is regenerated")));
    }
    let lineage = store::lineage(db, environment_id, customer_id, id).await?;
    match lineage.standing {
        Some(standing) => {
            Err(refused(format!("invoice {standing} stands in for invoice {id}, and is not void")))
        }
        None => Ok((invoice, lineage)),
    }
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("regenerateInvoice").tag("Invoices").summary("Regenerate a void invoice").description(
        "Makes a new invoice of the same period, or of the same scheduled charges, from usage, prices, commits and \
         credits as they are now. It is final at once, and issued now. The void one stays; one invoice at most stands in \
         for it. Not for a contract that is archived, and for what is short of a commit not while a usage invoice that may spend \
         it is void.",
    )
}
