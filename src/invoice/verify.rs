//! Recomputing finalized invoices from the facts.
//!
//! An invoice keeps what it was calculated from: the last arrival, the subjects, the last rate, the last product
//! update, the instant. So it can be recomputed for ever, whatever came later, and every difference is a fault.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgPool;

use super::calc::usage_invoice_id;
use super::compute::Calculator;
use super::model::{Invoice, InvoiceStatus};
use super::store::{self, FinalizedInvoice};
use crate::contract::{self, Contract};
use crate::id::{ContractId, CustomerId, EnvironmentId, InvoiceId};
use crate::money::{Decimal, plain};
use crate::postgres::begin_snapshot;
use crate::time::Period;
use crate::usage::recount_as_of;

const CUSTOMERS_AT_ONCE: i64 = 500;

/// An invoice that does not follow from the facts.
#[derive(Debug)]
pub struct InvoiceFault {
    pub id: InvoiceId,
    pub customer_id: CustomerId,
    /// In words, with amounts.
    pub finding: String,
}

/// Recomputes every finalized invoice of an environment. Answers how many were looked at, and the faults.
pub async fn verify_invoices(
    pool: &PgPool,
    environment_id: EnvironmentId,
) -> Result<(usize, Vec<InvoiceFault>), sqlx::Error> {
    let (mut count, mut faults) = (0, Vec::new());
    let mut after = None;
    loop {
        let mut db = pool.acquire().await?;
        let customers =
            contract::customers_with_contracts(&mut db, environment_id, after, CUSTOMERS_AT_ONCE).await?;
        drop(db);
        let Some(last) = customers.last() else { return Ok((count, faults)) };
        after = Some(*last);
        for customer_id in customers {
            count += verify_customer(pool, environment_id, customer_id, &mut faults).await?;
        }
    }
}

/// Checks one customer's invoices, and that none is missing.
async fn verify_customer(
    pool: &PgPool,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    faults: &mut Vec<InvoiceFault>,
) -> Result<usize, sqlx::Error> {
    let mut snapshot = begin_snapshot(pool).await?;
    let contracts = contract::list_of_customer(&mut snapshot, environment_id, customer_id).await?;
    let stored = store::list_for_check(&mut snapshot, environment_id, customer_id).await?;
    let mut fault = |id, finding: String| faults.push(InvoiceFault { id, customer_id, finding });

    let ids: BTreeSet<InvoiceId> = stored.iter().map(|finalized| finalized.invoice.id).collect();
    for contract in contracts.iter().filter(|contract| contract.archived_at.is_none()) {
        for period in contract.finalized_statements() {
            let id = usage_invoice_id(contract, period.start);
            if !ids.contains(&id) {
                fault(id, format!("is missing for the statement of {}", period.start));
            }
        }
    }
    let contracts: BTreeMap<ContractId, Contract> =
        contracts.into_iter().map(|contract| (contract.id, contract)).collect();
    let mut calculator = Calculator::new(&mut snapshot, environment_id);
    for finalized in &stored {
        let invoice = &finalized.invoice;
        if let Some(finding) = contradiction(finalized) {
            fault(invoice.id, finding);
            continue;
        }
        let contract = contracts.get(&invoice.contract_id).ok_or(sqlx::Error::RowNotFound)?;
        // Mostly nothing came later, and what is known now gives the same at less cost.
        let now = calculator.usage_invoice(contract, period_of(invoice), finalized.finalized_at).await?;
        if same(invoice, &now) {
            continue;
        }
        let then = recompute(pool, environment_id, contract, finalized).await?;
        if !same(invoice, &then) {
            let (kept, recomputed) = (plain(&invoice.total.0), plain(&then.total.0));
            fault(invoice.id, format!("is stored with a total of {kept}, but the facts give {recomputed}"));
        }
    }
    Ok(stored.len())
}

/// What the stored numbers say against each other.
fn contradiction(finalized: &FinalizedInvoice) -> Option<String> {
    let invoice = &finalized.invoice;
    if !finalized.columns_agree {
        return Some("has columns that do not say what its document says".to_owned());
    }
    if invoice.line_items.iter().any(|line| &line.quantity.0 * &line.unit_price.0 != line.total.0) {
        return Some("has a line whose total is not its quantity times its unit price".to_owned());
    }
    let sum: Decimal = invoice.line_items.iter().map(|line| &line.total.0).sum();
    (sum != invoice.total.0)
        .then(|| format!("has lines that sum to {}, and a total of {}", plain(&sum), plain(&invoice.total.0)))
}

/// The invoice from exactly what was seen when it was finalized.
async fn recompute(
    pool: &PgPool,
    environment_id: EnvironmentId,
    contract: &Contract,
    finalized: &FinalizedInvoice,
) -> Result<Invoice, sqlx::Error> {
    let mut snapshot = begin_snapshot(pool).await?;
    recount_as_of(&mut snapshot, environment_id, &finalized.seen.subject_ids, finalized.arrival).await?;
    let mut calculator =
        Calculator::as_seen(&mut snapshot, environment_id, contract, &finalized.seen).await?;
    let invoice =
        calculator.usage_invoice(contract, period_of(&finalized.invoice), finalized.finalized_at).await?;
    snapshot.rollback().await?;
    Ok(invoice)
}

fn period_of(invoice: &Invoice) -> Period {
    Period { start: invoice.start_timestamp, end: invoice.end_timestamp }
}

/// Whether a recomputed draft says what is stored, whatever became of the stored one since, and of the order of
/// the products on their card.
fn same(stored: &Invoice, recomputed: &Invoice) -> bool {
    let by_product = |invoice: &Invoice| {
        let mut invoice = invoice.clone();
        invoice.line_items.sort_by_key(|line| line.product_id);
        invoice
    };
    let mut stored = by_product(stored);
    if stored.status == InvoiceStatus::Void {
        // No later change of the billable status reaches a finalized invoice, but a void one it may.
        stored.billable_status = recomputed.billable_status;
    }
    stored.status = InvoiceStatus::Draft;
    stored == by_product(recomputed)
}
