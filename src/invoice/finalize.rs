//! Due work: a usage statement is past its grace period.

use sqlx::PgConnection;

use super::compute::{Calculator, failure};
use super::custom_fields;
use super::model::InvoiceStatus;
use super::scheduled::calc::add_charges;
use super::scheduled::{FixedProducts, keep_riding, riding_items};
use super::store;
use crate::contract::{self, GRACE};
use crate::customer;
use crate::id::ContractId;
use crate::job::{self, DueWork};
use crate::time::shown;

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
    let mut calculator = Calculator::new(db, environment_id);
    let calculated = calculator.usage_invoice_and_unrated(&contract, period, work.now).await;
    if calculated.as_ref().err().and_then(failure).is_some() {
        // It stays a draft that says why, and the work is put off.
        metrics::counter!("upbeat_invoice_failures_total", "status" => "FINALIZED").increment(1);
    }
    let (mut invoice, unrated) = calculated?;
    let mut seen = calculator.seen(&contract);
    let riding = riding_items(db, environment_id, &contract, period).await?;
    let products = FixedProducts::load(db, environment_id, &riding).await?;
    let newest = &mut seen.terms.newest;
    newest.product_update = newest.product_update.max(products.newest_update());
    add_charges(&mut invoice, &riding, &products, work.now);
    invoice.status = InvoiceStatus::Finalized;
    custom_fields::keep(db, environment_id, vec![&mut invoice]).await?;
    store::insert(db, environment_id, &invoice, work.now, arrival, &seen).await?;
    keep_riding(db, environment_id, &invoice, &riding, work.now).await?;

    contract.finalized_until = period.end;
    contract::advance_statement(db, environment_id, &contract).await?;
    contract::schedule_next_statement(db, environment_id, &contract).await?;
    let (start, end) = (shown(period.start), shown(period.end));
    let description = format!("Finalized the invoice of {start} to {end}");
    job::record(db, work, "invoice", invoice.id.0, "finalize", description).await?;
    metrics::counter!("upbeat_invoices_finalized_total").increment(1);
    // Of streaming metrics of the contract's products, once for each that counts an event: what is not on the invoice,
    // and will be on none, for want of a rate or of entitlement.
    for (reason, events) in unrated {
        let events = u64::try_from(events).unwrap_or(0);
        metrics::counter!("upbeat_usage_unrated_events_total", "reason" => reason.as_str()).increment(events);
    }
    Ok(())
}
