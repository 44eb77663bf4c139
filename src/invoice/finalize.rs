//! Due work: a usage statement is past its grace period.

use sqlx::PgConnection;

use super::compute::Calculator;
use super::model::InvoiceStatus;
use super::store;
use crate::contract::{self, GRACE};
use crate::customer;
use crate::id::ContractId;
use crate::job::{self, DueWork};

/// Finalizes the contract's next statement and makes the one after it due, in the transaction that holds the
/// work.
///
/// `arrival` is the last one that `db` sees. Events that arrive later change nothing on it. A contract that is
/// gone or archived has nothing to finalize.
pub async fn finalize_usage_statement(
    db: &mut PgConnection,
    work: &DueWork,
    arrival: i64,
) -> Result<(), sqlx::Error> {
    let environment_id = work.environment_id;
    let contract_id = ContractId(work.subject_id);
    customer::hold(db, environment_id, work.customer_id).await?;
    let contract = contract::find_for_update(db, environment_id, work.customer_id, contract_id).await?;
    let open = contract.as_ref().and_then(|contract| {
        let period = contract.open_statements(work.due_at).next()?;
        Some((contract, period))
    });
    let Some((contract, period)) = open else {
        return job::remove(db, environment_id, &work.kind, work.subject_id).await;
    };
    if period.end + GRACE > work.due_at {
        // The contract's calendar and the queue disagree: the calendar is right.
        let due_at = period.end + GRACE;
        job::schedule(db, environment_id, &work.kind, work.subject_id, contract.customer_id, due_at).await?;
        return Ok(());
    }
    let mut calculator = Calculator::new(db, environment_id);
    let mut invoice = calculator.usage_invoice(contract, period, work.due_at).await?;
    let seen = calculator.seen(contract);
    invoice.status = InvoiceStatus::Finalized;
    store::insert(db, environment_id, &invoice, work.due_at, arrival, &seen).await?;

    let next = contract.statement_at(period.end);
    contract::advance_statement(db, environment_id, contract, next.map(|period| period.start)).await?;
    match next {
        Some(next) => {
            let due_at = next.end + GRACE;
            job::schedule(db, environment_id, &work.kind, work.subject_id, contract.customer_id, due_at)
                .await?;
        }
        None => job::remove(db, environment_id, &work.kind, work.subject_id).await?,
    }
    metrics::counter!("upbeat_invoices_finalized_total").increment(1);
    Ok(())
}
