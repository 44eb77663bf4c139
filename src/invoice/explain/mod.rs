//! `GET /v1/upbeat/customers/{customer_id}/invoices/{invoice_id}/explain`: an own extension. Why each line is what it is.
//!
//! Nothing is calculated a second time in another way: what is told is read off the calculation that makes the invoice,
//! cut more finely, which changes no line. A finalized invoice is calculated again from what it was made from, and told
//! only if it comes out the same.

mod calc;
mod view;

use aide::transform::TransformOperation;
use axum::extract::State;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub use self::calc::explanations;
use self::calc::of_schedule;
use self::view::BasisExplanation;
pub use self::view::{Explanation, InvoiceExplanation};
use super::calc::usage_invoice_id;
use super::compute::{Calculator, as_seen};
use super::custom_fields;
use super::get::InvoicePath;
use super::model::{Invoice, InvoiceType, LineItem};
use super::scheduled::calc::add_charges;
use super::scheduled::{self, FixedProducts, riding_items};
use super::store::{self, FinalizedInvoice};
use super::true_up;
use crate::access::{App, Caller};
use crate::catalog::billable_metric::{self, BillableMetric};
use crate::contract::{self, Contract};
use crate::custom_field;
use crate::customer;
use crate::error::ApiError;
use crate::id::EnvironmentId;
use crate::postgres::begin_snapshot;
use crate::time::Period;
use crate::usage::{begin_usage_snapshot, recount_as_of};
use crate::wire::{Data, Path};

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<InvoicePath>,
) -> Result<axum::Json<Data<InvoiceExplanation>>, ApiError> {
    let environment_id = caller.environment_id();
    let mut snapshot = begin_usage_snapshot(&app.db, environment_id).await?;
    customer::get(&mut snapshot, environment_id, path.customer_id).await?;
    let contracts = contract::list_of_customer(&mut snapshot, environment_id, path.customer_id).await?;
    let stored =
        store::list_for_check(&mut snapshot, environment_id, path.customer_id, Some(path.invoice_id)).await?;
    let (contract, invoice, mut explanations) = match stored.into_iter().next() {
        Some(stored) => {
            let contract = contracts.into_iter().find(|contract| contract.id == stored.invoice.contract_id);
            let contract = contract.ok_or_else(|| ApiError::not_found("invoice", path.invoice_id))?;
            let explanations = of_stored(&app.db, &mut snapshot, environment_id, &contract, &stored).await?;
            (contract, stored.invoice, explanations)
        }
        None => of_draft(&mut snapshot, &caller, contracts, &path).await?,
    };
    let charges = invoice.line_items.iter().enumerate();
    explanations.extend(charges.filter_map(|(number, line)| of_schedule(number, line)));
    let billable_metrics = metrics(&mut snapshot, environment_id, &explanations).await?;
    let explanation = InvoiceExplanation {
        invoice_id: invoice.id,
        status: invoice.status,
        credit_type: invoice.credit_type,
        total: invoice.total,
        rate_card_id: contract.rate_card_id,
        explanations,
        billable_metrics,
    };
    Ok(axum::Json(Data { data: explanation }))
}

/// The draft with this id, and how the lines of its usage come about.
async fn of_draft(
    db: &mut PgConnection,
    caller: &Caller,
    contracts: Vec<Contract>,
    path: &InvoicePath,
) -> Result<(Contract, Invoice, Vec<Explanation>), ApiError> {
    let environment_id = caller.environment_id();
    for contract in &contracts {
        let mut open = contract.open_statements(caller.now);
        let Some(period) = open.find(|period| usage_invoice_id(contract, period.start) == path.invoice_id)
        else {
            continue;
        };
        let mut calculator = Calculator::new(&mut *db, environment_id);
        let (mut invoice, explanations) =
            calculator.explained_usage_invoice(contract, period, caller.now).await?;
        let riding = riding_items(&mut *db, environment_id, contract, period).await?;
        let products = FixedProducts::load(&mut *db, environment_id, &riding).await?;
        add_charges(&mut invoice, &riding, &products, caller.now);
        return Ok((contract.clone(), invoice, explanations));
    }
    let contracts = contracts.into_iter().map(|contract| (contract.id, contract)).collect();
    let mut true_ups = true_up::drafts(&mut *db, environment_id, path.customer_id, &contracts).await?;
    true_ups.retain(|true_up| true_up.header.id == path.invoice_id);
    let mut calculator = Calculator::new(&mut *db, environment_id);
    let true_ups = true_up::Draft::calculate(true_ups, &mut calculator, environment_id, caller.now).await?;
    if let Some(true_up) = true_ups.into_iter().next() {
        return Ok((contracts[&true_up.contract_id].clone(), true_up, Vec::new()));
    }
    let drafts =
        scheduled::drafts(&mut *db, environment_id, path.customer_id, &contracts, caller.now).await?;
    let draft = drafts.into_iter().find(|draft| draft.header.id == path.invoice_id);
    let draft = draft.ok_or_else(|| ApiError::not_found("invoice", path.invoice_id))?;
    let contract = contracts[&draft.contract_id].clone();
    let invoice = draft.calculate(db, environment_id, &contract, caller.now).await?;
    Ok((contract, invoice, Vec::new()))
}

/// How the usage lines of a stored invoice come about, by what is known now or else by what was known then.
async fn of_stored(
    pool: &PgPool,
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    stored: &FinalizedInvoice,
) -> Result<Vec<Explanation>, ApiError> {
    let FinalizedInvoice { invoice, finalized_at, .. } = stored;
    if invoice.invoice_type != InvoiceType::Usage {
        return Ok(Vec::new());
    }
    let period = Period { start: invoice.start_timestamp, end: invoice.end_timestamp };
    let mut calculator = Calculator::new(db, environment_id);
    if let Ok((now, explanations)) = calculator.explained_usage_invoice(contract, period, *finalized_at).await
        && let Some(explanations) = in_the_order_of(invoice, &now, explanations)
    {
        return Ok(explanations);
    }
    let mut snapshot = begin_snapshot(pool).await?;
    recount_as_of(&mut snapshot, environment_id, &stored.seen.subject_ids, stored.arrival).await?;
    let seen = as_seen(contract, &stored.seen.terms);
    let contract = Contract { ending_before: contract.ending_before, ..seen };
    let calculated =
        Calculator::as_seen(&mut snapshot, environment_id, &contract, &stored.seen, stored.arrival).await?;
    let mut calculator = calculated;
    let (then, explanations) = calculator.explained_usage_invoice(&contract, period, *finalized_at).await?;
    snapshot.rollback().await?;
    in_the_order_of(invoice, &then, explanations).ok_or_else(|| {
        ApiError::Conflict(format!(
            "invoice {} does not follow from the facts any more, so it cannot be explained; `upbeat verify` says more",
            invoice.id
        ))
    })
}

/// Explanations of a calculated invoice as those of the stored one, which has the same lines: in the order of its lines,
/// as products may have moved on their card since. Nothing where a line is not the same.
fn in_the_order_of(
    stored: &Invoice,
    calculated: &Invoice,
    mut explanations: Vec<Explanation>,
) -> Option<Vec<Explanation>> {
    let (stored, calculated) =
        (custom_fields::without(stored.clone()), custom_fields::without(calculated.clone()));
    let of_usage = |line: &&LineItem| !line.is_scheduled();
    if stored.line_items.iter().filter(of_usage).count() != calculated.line_items.len() {
        return None;
    }
    let mut is_taken = vec![false; stored.line_items.len()];
    let mut places = Vec::with_capacity(calculated.line_items.len());
    for line in &calculated.line_items {
        let same = |(place, stored): &(usize, &LineItem)| !is_taken[*place] && *stored == line;
        let (place, _) = stored.line_items.iter().enumerate().find(same)?;
        is_taken[place] = true;
        places.push(place);
    }
    for line in explanations.iter_mut().flat_map(|explanation| &mut explanation.lines) {
        line.line_item = places[line.line_item];
    }
    explanations.sort_by_key(|explanation| explanation.lines.first().map(|line| line.line_item));
    Some(explanations)
}

/// The metrics that the explanations name.
async fn metrics(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    explanations: &[Explanation],
) -> Result<Vec<BillableMetric>, sqlx::Error> {
    let named = explanations.iter().filter_map(|explanation| match &explanation.basis {
        BasisExplanation::Usage(usage) => Some(usage.billable_metric_id.0),
        _ => None,
    });
    let mut ids: Vec<Uuid> = named.collect();
    ids.sort_unstable();
    ids.dedup();
    let rows = billable_metric::find_many(db, environment_id, &ids).await?;
    let mut metrics: Vec<BillableMetric> = rows.into_iter().map(BillableMetric::from).collect();
    custom_field::show(db, environment_id, &mut metrics).await?;
    Ok(metrics)
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("explainInvoice").tag("Invoices").summary("Explain an invoice").description(
        "For each line: the metric, the pieces of usage with their quantities, conversion and rounding, the entry of the \
         rate card's timeline, the override that makes the price and those that it beat, and the tiers. An own extension.",
    )
}
