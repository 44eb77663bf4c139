//! Recomputing finalized invoices from the facts.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sqlx::PgPool;
use uuid::Uuid;

use super::compute::{Calculator, ComputeError};
use super::model::{Invoice, InvoiceStatus};
use super::store::{self, FinalizedInvoice};
use crate::contract::{self, Contract};
use crate::id::{ContractId, CustomerId, EnvironmentId, InvoiceId};
use crate::money::{Overflow, add, multiply, plain};
use crate::postgres::begin_snapshot;
use crate::time::Period;

const INVOICES_AT_ONCE: i64 = 500;

/// What recomputing one invoice showed.
#[derive(Debug)]
pub struct InvoiceCheck {
    pub id: InvoiceId,
    pub customer_id: CustomerId,
    /// In words, with amounts.
    pub finding: String,
    /// Whether something that came after finalization accounts for it: a fact, a rate or an alias.
    pub is_explained: bool,
}

/// Recomputes every finalized invoice of an environment and compares. Answers how many were looked at and what
/// was found; nothing is found where all agree.
pub async fn verify_invoices(
    pool: &PgPool,
    environment_id: EnvironmentId,
) -> Result<(usize, Vec<InvoiceCheck>), sqlx::Error> {
    let mut snapshot = begin_snapshot(pool).await?;
    let (mut count, mut findings) = (0, Vec::new());
    let mut after = None;
    let mut contracts: BTreeMap<ContractId, Contract> = BTreeMap::new();
    let mut calculator = Calculator::new(&mut snapshot, environment_id);
    loop {
        let page = store::list_finalized(calculator.db(), environment_id, after, INVOICES_AT_ONCE).await?;
        let Some(last) = page.last() else {
            return Ok((count, findings));
        };
        after = Some((last.invoice.customer_id, last.invoice.id));
        for finalized in page {
            count += 1;
            let invoice = &finalized.invoice;
            if !contracts.contains_key(&invoice.contract_id) {
                let of_customer =
                    contract::list_of_customer(calculator.db(), environment_id, invoice.customer_id).await?;
                contracts = of_customer.into_iter().map(|contract| (contract.id, contract)).collect();
            }
            let contract = contracts.get(&invoice.contract_id).ok_or(sqlx::Error::RowNotFound)?;
            findings.extend(check(&mut calculator, environment_id, contract, &finalized).await?);
        }
    }
}

async fn check(
    calculator: &mut Calculator<'_>,
    environment_id: EnvironmentId,
    contract: &Contract,
    finalized: &FinalizedInvoice,
) -> Result<Option<InvoiceCheck>, sqlx::Error> {
    let invoice = &finalized.invoice;
    let found = |finding: String, is_explained| {
        Some(InvoiceCheck { id: invoice.id, customer_id: invoice.customer_id, finding, is_explained })
    };
    if let Some(finding) = arithmetic_fault(invoice) {
        return Ok(found(finding, false));
    }
    let period = Period { start: invoice.start_timestamp, end: invoice.end_timestamp };
    let finding = match calculator.usage_invoice(contract, period).await {
        Ok(mut recomputed) => {
            recomputed.status = InvoiceStatus::Finalized;
            if recomputed == *invoice {
                return Ok(None);
            }
            format!("stored with {}, recomputed as {}", plain(invoice.total.0), plain(recomputed.total.0))
        }
        Err(ComputeError::Amount(reason)) => format!("stored with {}, but {reason}", plain(invoice.total.0)),
        Err(ComputeError::Database(error)) => return Err(error),
    };
    let is_explained = anything_came_later(calculator, environment_id, contract, finalized, period).await?;
    Ok(found(finding, is_explained))
}

/// What is wrong with the stored numbers alone.
fn arithmetic_fault(invoice: &Invoice) -> Option<String> {
    let lines = || -> Result<Option<Decimal>, Overflow> {
        let mut sum = Decimal::ZERO;
        for line in &invoice.line_items {
            if multiply("a line total", line.quantity.0, line.unit_price.0)? != line.total.0 {
                return Ok(None);
            }
            sum = add("an invoice total", sum, line.total.0)?;
        }
        Ok(Some(sum))
    };
    match lines() {
        Ok(Some(sum)) if sum == invoice.total.0 => None,
        Ok(Some(sum)) => {
            Some(format!("its lines sum to {}, its total is {}", plain(sum), plain(invoice.total.0)))
        }
        Ok(None) => Some("a line's total is not its quantity times its unit price".to_owned()),
        Err(overflow) => Some(overflow.to_string()),
    }
}

/// Whether an event of the customer's in the period, a rate of the card or a change of the customer's aliases
/// came after finalization.
async fn anything_came_later(
    calculator: &mut Calculator<'_>,
    environment_id: EnvironmentId,
    contract: &Contract,
    finalized: &FinalizedInvoice,
    period: Period,
) -> Result<bool, sqlx::Error> {
    let subjects: Vec<Uuid> = calculator.subjects_of(contract).iter().map(|subject| subject.0).collect();
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM event WHERE environment_id = $1 AND subject_id = ANY($7) AND seq >= ($2::bigint + 1) * 1000
                          AND happened_at >= $3 AND happened_at < $4 AND NOT is_duplicate)
               OR EXISTS (SELECT FROM rate WHERE environment_id = $1 AND rate_card_id = $5 AND created_at >= $6)
               OR EXISTS (SELECT FROM customer WHERE environment_id = $1 AND id = $8 AND updated_at >= $6) AS "later!""#,
        environment_id.0,
        finalized.facts_arrival,
        period.start,
        period.end,
        contract.rate_card_id.map(|id| id.0),
        finalized.finalized_at,
        &subjects,
        contract.customer_id.0,
    )
    .fetch_one(calculator.db())
    .await
}
