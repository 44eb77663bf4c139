//! `GET /v1/customers/{customer_id}/invoices/{invoice_id}`

use aide::transform::TransformOperation;
use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;

use super::calc::usage_invoice_id;
use super::compute::Calculator;
use super::custom_fields;
use super::model::{Invoice, InvoiceView};
use super::{scheduled, store, true_up};
use crate::access::{App, Caller};
use crate::contract;
use crate::error::ApiError;
use crate::id::{CustomerId, InvoiceId};
use crate::usage::ingest::Metering;
use crate::usage::{Uncounted, begin_usage_read};
use crate::wire::{Data, Path, Query};

#[derive(Deserialize, JsonSchema)]
pub struct InvoicePath {
    pub customer_id: CustomerId,
    pub invoice_id: InvoiceId,
}

#[derive(Deserialize, JsonSchema)]
pub struct GetInvoice {
    /// Without lines of quantity 0.
    #[serde(default)]
    skip_zero_qty_line_items: bool,
    /// With the list price on each line.
    #[serde(default)]
    include_list_prices: bool,
}

pub async fn handler(
    State(app): State<App>,
    Extension(metering): Extension<Metering>,
    caller: Caller,
    Path(path): Path<InvoicePath>,
    Query(request): Query<GetInvoice>,
) -> Result<axum::Json<Data<Invoice>>, ApiError> {
    let view = InvoiceView {
        skip_zero_qty_line_items: request.skip_zero_qty_line_items,
        include_list_prices: request.include_list_prices,
    };
    let (mut snapshot, uncounted) =
        begin_usage_read(&app.db, caller.environment_id(), Some(path.customer_id), metering.recent()).await?;
    let catalog = uncounted.catalog();
    let mut invoice = find(&mut snapshot, &caller, &path, uncounted).await?;
    let shown = std::slice::from_mut(&mut invoice);
    custom_fields::show(&mut snapshot, caller.environment_id(), shown, catalog).await?;
    Ok(axum::Json(Data { data: invoice.shown(view) }))
}

/// The invoice with this id: stored, or a draft. Of an open statement nothing is stored.
async fn find(
    db: &mut PgConnection,
    caller: &Caller,
    path: &InvoicePath,
    uncounted: Uncounted,
) -> Result<Invoice, ApiError> {
    let environment_id = caller.environment_id();
    let state = uncounted.state_of(path.customer_id)?;
    let states = uncounted.catalog().map(|catalog| (catalog, state));
    let contracts = contract::list_in(&mut *db, environment_id, path.customer_id, states).await?;
    for contract in contracts.iter() {
        let mut open = contract.open_statements(caller.now);
        if let Some(period) = open.find(|period| usage_invoice_id(contract, period.start) == path.invoice_id)
        {
            return Ok(Calculator::with_uncounted(&mut *db, environment_id, uncounted)
                .statement_or_failure(contract, period, caller.now)
                .await?);
        }
    }
    if let Some(invoice) = store::find(&mut *db, environment_id, path.customer_id, path.invoice_id).await? {
        return Ok(invoice);
    }
    let contracts = contracts.iter().map(|contract| (contract.id, contract.clone())).collect();
    let mut true_ups = true_up::drafts(&mut *db, environment_id, path.customer_id, &contracts).await?;
    true_ups.retain(|true_up| true_up.header.id == path.invoice_id);
    let mut calculator = Calculator::with_uncounted(&mut *db, environment_id, uncounted);
    let true_ups = true_up::Draft::calculate(true_ups, &mut calculator, environment_id, caller.now).await?;
    if let Some(true_up) = true_ups.into_iter().next() {
        return Ok(true_up);
    }
    let drafts =
        scheduled::drafts(&mut *db, environment_id, path.customer_id, &contracts, caller.now).await?;
    let draft = drafts.into_iter().find(|draft| draft.header.id == path.invoice_id);
    let draft = draft.ok_or_else(|| ApiError::not_found("invoice", path.invoice_id))?;
    let contract = &contracts[&draft.contract_id];
    Ok(draft.calculate(&mut *db, environment_id, contract, caller.now).await?)
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getInvoice")
        .tag("Invoices")
        .summary("Get an invoice")
        .description(
            "A draft is calculated as it is read and keeps its id when it is finalized. One that cannot be calculated \
             says so in `upbeat_failure`, and has no lines.",
        )
}
