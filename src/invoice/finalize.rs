//! Due work: a usage statement is past its grace period.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::calc::Regeneration;
use super::compute::{Calculator, failure};
use super::custom_fields;
use super::model::{Invoice, InvoiceStatus};
use super::scheduled::calc::add_charges;
use super::scheduled::{FixedProducts, keep_riding, riding_items};
use super::store;
use crate::contract::scheduled_charge::DueItem;
use crate::contract::{self, Contract, GRACE, recurring_grant};
use crate::customer;
use crate::drawdown;
use crate::id::{ContractId, EnvironmentId};
use crate::job::{self, DueWork};
use crate::rating::calc::UnratedReason;
use crate::time::{Instant, Period, shown};

/// A usage statement whose invoice is to be final.
pub(super) struct Closing<'a> {
    pub contract: &'a Contract,
    pub period: Period,
    /// The scheduled charges that are on the invoice.
    pub charges: &'a [DueItem],
    pub now: Instant,
    /// The last arrival that the transaction sees.
    pub arrival: i64,
    /// Set where the invoice stands in for a void one.
    pub regeneration: Option<&'a Regeneration>,
}

/// Finalizes the contract's next statement and makes the one after it due, in the transaction that holds the
/// work.
///
/// `arrival` is the last one that `db` sees. Events that arrive later change nothing on it. Scheduled charges that ride
/// on the statement are settled with it. A contract that is gone or archived has nothing to finalize.
pub async fn finalize_usage_statement(
    db: &mut PgConnection,
    work: &DueWork,
    arrival: i64,
) -> Result<(), sqlx::Error> {
    let environment_id = work.environment_id;
    let contract_id = ContractId(work.subject_id);
    customer::hold(db, environment_id, work.customer_id).await?;
    let contract = contract::find_for_update(db, environment_id, work.customer_id, contract_id).await?;
    let Some(mut contract) = contract else {
        return job::remove(db, environment_id, &work.kind, work.subject_id).await;
    };
    let due = contract.next_statement().filter(|period| period.end + GRACE <= work.due_at);
    let Some(period) = due else {
        // The contract's calendar and the queue disagree: the calendar is right.
        return contract::schedule_next_statement(db, environment_id, &contract).await;
    };
    recurring_grant::catch_up(db, environment_id, &contract, work.due_at).await?;
    let riding = riding_items(db, environment_id, &contract, period).await?;
    let closing =
        Closing { contract: &contract, period, charges: &riding, now: work.now, arrival, regeneration: None };
    let finalized = finalize(db, environment_id, closing).await;
    if finalized.as_ref().err().and_then(failure).is_some() {
        // It stays a draft that says why, and the work is put off.
        metrics::counter!("upbeat_invoice_failures_total", "status" => "FINALIZED").increment(1);
    }
    let (invoice, unrated) = finalized?;
    keep_riding(db, environment_id, &invoice, &riding, work.now).await?;

    contract.finalized_until = period.end;
    contract::advance_statement(db, environment_id, &contract).await?;
    contract::schedule_next_statement(db, environment_id, &contract).await?;
    let (start, end) = (shown(period.start), shown(period.end));
    let description = format!("Finalized the invoice of {start} to {end}");
    job::record(db, work, "invoice", invoice.id.0, "finalize", description).await?;
    // Of streaming metrics of the contract's products, once for each that counts an event: what is not on the invoice,
    // and will be on none, for want of a rate or of entitlement.
    for (reason, events) in unrated {
        let events = u64::try_from(events).unwrap_or(0);
        metrics::counter!("upbeat_usage_unrated_events_total", "reason" => reason.as_str()).increment(events);
    }
    Ok(())
}

/// Calculates a statement's invoice and keeps it as a final one, by what the transaction sees. Answers it, and how many
/// events of its time the contract does not bill, by the reason. The caller holds the customer, and says on the charges
/// that they are there.
pub(super) async fn finalize(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    closing: Closing<'_>,
) -> Result<(Invoice, BTreeMap<UnratedReason, i64>), sqlx::Error> {
    let Closing { contract, period, charges, now, arrival, regeneration } = closing;
    let mut calculator = Calculator::new(db, environment_id);
    let (mut invoice, mut draws, unrated) = calculator.final_usage_invoice(contract, period, now).await?;
    let mut seen = calculator.seen(contract, period);
    if let Some(regeneration) = regeneration {
        regeneration.mark(&mut invoice);
        for draw in &mut draws {
            draw.invoice_id = invoice.id;
        }
    }
    let products = FixedProducts::load(db, environment_id, charges).await?;
    let newest = &mut seen.terms.newest;
    newest.product_update = newest.product_update.max(products.newest_update());
    add_charges(&mut invoice, charges, &products, now);
    invoice.status = InvoiceStatus::Finalized;
    custom_fields::keep(db, environment_id, vec![&mut invoice]).await?;
    store::insert(db, environment_id, &invoice, now, arrival, &seen, regeneration).await?;
    drawdown::keep(db, environment_id, invoice.customer_id, &draws).await?;
    metrics::counter!("upbeat_invoices_finalized_total").increment(1);
    Ok((invoice, unrated))
}
