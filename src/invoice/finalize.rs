//! Due work: usage statements are past their grace period.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::billable_status::set_billable_statuses;
use super::calc::Regeneration;
use super::compute::{Calculator, failure};
use super::custom_fields;
use super::model::{Invoice, InvoiceStatus};
use super::renewal;
use super::scheduled::calc::add_charges;
use super::scheduled::{FixedProducts, keep_riding, riding_items};
use super::store;
use crate::catalog::version::{CatalogVersion, seen_version};
use crate::contract::scheduled_charge::DueItem;
use crate::contract::{self, Contract, GRACE, recurring_grant};
use crate::customer;
use crate::drawdown::{self, Draw};
use crate::id::{ContractId, EnvironmentId};
use crate::job::{self, DueWork, Record};
use crate::rating::calc::Unrated;
use crate::time::{Instant, Period, shown};

/// With so many lines a transaction makes no further invoice: large ones would hold the customers of all for long, and be in
/// memory together.
const LINES: usize = 2000;

/// A usage statement whose invoice is to be final.
pub(super) struct Closing<'a> {
    pub contract: &'a Contract,
    pub period: Period,
    /// The scheduled charges that are on the invoice.
    pub charges: &'a [DueItem],
    /// Set where the invoice stands in for a void one.
    pub regeneration: Option<&'a Regeneration>,
}

/// An invoice that is kept as a final one, and what of its usage the contract does not bill.
pub(super) struct Closed {
    pub invoice: Invoice,
    pub unrated: Unrated,
}

/// As of when, and by what, invoices are final.
#[derive(Clone, Copy)]
pub(super) struct AsOf {
    pub now: Instant,
    /// The last arrival that the transaction sees. Events that arrive later change nothing on the invoices.
    pub arrival: i64,
    /// The state of the catalog that the transaction sees; unset where its terms are to be loaded.
    pub catalog: Option<CatalogVersion>,
}

/// A contract whose next statement is due.
struct Due<'w> {
    work: &'w DueWork,
    contract: Contract,
    period: Period,
    riding: Vec<DueItem>,
}

/// Finalizes the next statement of each contract and makes the one after it due, in the transaction that holds the steps, which
/// are all of one environment and due at one instant.
///
/// `arrival` is the last one that `db` sees. Scheduled charges that ride on a statement are settled with it. A contract that
/// is gone or archived has nothing to finalize. Where one statement fails, so do all: they can be taken one at a time. Some of
/// them may be left for another transaction: they stay due.
pub async fn finalize_usage_statements(
    db: &mut PgConnection,
    works: &[DueWork],
    arrival: i64,
) -> Result<(), sqlx::Error> {
    let Some(DueWork { environment_id, now, .. }) = works.first() else { return Ok(()) };
    let as_of = AsOf { now: *now, arrival, catalog: seen_version(db, *environment_id).await? };
    let mut left: Vec<&DueWork> = works.iter().collect();
    while !left.is_empty() {
        // What one statement draws, the next one of its customer is to see.
        let mut customers = BTreeSet::new();
        let (first_of_each, others) = left.into_iter().partition(|work| customers.insert(work.customer_id));
        if !finalize_one_of_each(db, first_of_each, as_of).await? {
            return Ok(());
        }
        left = others;
    }
    Ok(())
}

/// [`finalize_usage_statements`] of different customers; answers whether none was left.
async fn finalize_one_of_each(
    db: &mut PgConnection,
    works: Vec<&DueWork>,
    as_of: AsOf,
) -> Result<bool, sqlx::Error> {
    let Some(DueWork { environment_id, kind, due_at, .. }) = works.first() else { return Ok(true) };
    let (environment_id, due_at) = (*environment_id, *due_at);
    let customer_ids: Vec<Uuid> = works.iter().map(|work| work.customer_id.0).collect();
    customer::hold_all(db, environment_id, &customer_ids).await?;
    let ids: Vec<_> = works.iter().map(|work| (work.customer_id, ContractId(work.subject_id))).collect();
    let found = contract::find_many_for_update(db, environment_id, &ids).await?;
    let mut found: BTreeMap<ContractId, Contract> =
        found.into_iter().map(|contract| (contract.id, contract)).collect();
    let (mut due, mut gone, mut not_due) = (Vec::new(), Vec::new(), Vec::new());
    for work in works {
        let Some(contract) = found.remove(&ContractId(work.subject_id)) else {
            gone.push(work.subject_id);
            continue;
        };
        match contract.next_statement().filter(|period| period.end + GRACE <= work.due_at) {
            Some(period) => due.push(Due { work, contract, period, riding: Vec::new() }),
            // The contract's calendar and the queue disagree: the calendar is right.
            None => not_due.push(contract),
        }
    }
    job::remove_all(db, environment_id, kind, &gone).await?;
    contract::schedule_next_statements(db, environment_id, &not_due).await?;
    make_grants(db, environment_id, &customer_ids, &due, due_at).await?;
    renewal::settle_to(db, environment_id, due.iter().map(|due| &due.contract), as_of.now).await?;
    for due in &mut due {
        due.riding = riding_items(db, environment_id, &due.contract, due.period).await?;
    }
    finalize_due(db, environment_id, due, as_of).await
}

/// Makes what recurring grants of these customers make by an instant, also under contracts that no statement is due of: what
/// those draw first may leave more of what they share.
async fn make_grants(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_ids: &[Uuid],
    due: &[Due<'_>],
    until: Instant,
) -> Result<(), sqlx::Error> {
    let mut others = recurring_grant::contracts_with_grants(db, environment_id, customer_ids).await?;
    let own = due.iter().map(|due| &due.contract);
    let own: Vec<&Contract> = own.filter(|own| others.contains(&(own.customer_id, own.id))).collect();
    others.retain(|(_, id)| own.iter().all(|own| own.id != *id));
    for contract in own {
        recurring_grant::catch_up(db, environment_id, contract, until).await?;
    }
    if !others.is_empty() {
        for contract in contract::find_many_for_update(db, environment_id, &others).await? {
            recurring_grant::catch_up(db, environment_id, &contract, until).await?;
        }
    }
    Ok(())
}

async fn finalize_due(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    due: Vec<Due<'_>>,
    as_of: AsOf,
) -> Result<bool, sqlx::Error> {
    let closings = due.iter().map(|Due { contract, period, riding, .. }| Closing {
        contract,
        period: *period,
        charges: riding,
        regeneration: None,
    });
    let closed = finalize(db, environment_id, closings.collect(), as_of).await;
    // One of several is counted when it is taken alone.
    if due.len() == 1 && closed.as_ref().err().and_then(failure).is_some() {
        // It stays a draft that says why, and the work is put off.
        metrics::counter!("upbeat_invoice_failures_total", "status" => "FINALIZED").increment(1);
    }
    let closed = closed?;
    let is_all = closed.len() == due.len();
    let (mut contracts, mut records) = (Vec::new(), Vec::new());
    for (Due { work, mut contract, period, riding }, Closed { invoice, .. }) in due.into_iter().zip(&closed) {
        keep_riding(db, environment_id, invoice, &riding, as_of.now).await?;
        contract.finalized_until = period.end;
        contracts.push(contract);
        let (start, end) = (shown(period.start), shown(period.end));
        records.push(Record {
            work,
            resource_type: "invoice",
            resource_id: invoice.id.0,
            action: "finalize",
            description: format!("Finalized the invoice of {start} to {end}"),
        });
    }
    contract::advance_statements(db, environment_id, &contracts).await?;
    contract::schedule_next_statements(db, environment_id, &contracts).await?;
    job::record_all(db, environment_id, records).await?;
    // Of metrics of the contract's products: what is not on the invoice, and will be on none, for want of a rate or of
    // entitlement.
    for (reason, events) in closed.iter().flat_map(|closed| &closed.unrated.events) {
        let events = u64::try_from(*events).unwrap_or(0);
        metrics::counter!("upbeat_usage_unrated_events_total", "reason" => reason.as_str()).increment(events);
    }
    for (reason, quantities) in closed.iter().flat_map(|closed| &closed.unrated.quantities) {
        let quantities = u64::try_from(*quantities).unwrap_or(0);
        metrics::counter!("upbeat_usage_unrated_quantities_total", "reason" => reason.as_str())
            .increment(quantities);
    }
    Ok(is_all)
}

/// Calculates the invoices of statements of different customers and keeps them as final ones, by what the transaction sees;
/// answers them in their order, which are the first ones where they have many lines. The caller holds the customers, and says
/// on the charges that they are there.
pub(super) async fn finalize(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    mut closings: Vec<Closing<'_>>,
    as_of: AsOf,
) -> Result<Vec<Closed>, sqlx::Error> {
    let AsOf { now, arrival, catalog } = as_of;
    let mut calculator = Calculator::new(db, environment_id).with_catalog(catalog);
    calculator.load_customers(closings.iter().map(|closing| (closing.contract, closing.period))).await?;
    let (mut closed, mut all_seen, mut all_draws) = (Vec::new(), Vec::new(), Vec::new());
    let mut lines = 0;
    for Closing { contract, period, regeneration, .. } in &closings {
        if lines >= LINES {
            break;
        }
        let (mut invoice, draws, unrated) = calculator.final_usage_invoice(contract, *period, now).await?;
        if let Some(regeneration) = regeneration {
            regeneration.mark(&mut invoice);
        }
        let invoice_id = invoice.id;
        let own = draws.into_iter().map(|draw| (contract.customer_id, Draw { invoice_id, ..draw }));
        all_draws.extend(own);
        all_seen.push(calculator.seen(contract, *period));
        lines += invoice.line_items.len();
        closed.push(Closed { invoice, unrated });
    }
    closings.truncate(closed.len());
    for ((Closing { charges, .. }, closed), seen) in closings.iter().zip(&mut closed).zip(&mut all_seen) {
        let products = FixedProducts::load(db, environment_id, charges).await?;
        let newest = &mut seen.terms.newest;
        newest.product_update = newest.product_update.max(products.newest_update());
        add_charges(&mut closed.invoice, charges, &products, now);
        closed.invoice.status = InvoiceStatus::Finalized;
    }
    set_billable_statuses(db, environment_id, invoices(&mut closed)).await?;
    custom_fields::keep(db, environment_id, invoices(&mut closed)).await?;
    for ((closing, closed), seen) in closings.iter().zip(&closed).zip(&all_seen) {
        let Closed { invoice, .. } = closed;
        store::insert(db, environment_id, invoice, now, arrival, seen, closing.regeneration).await?;
        metrics::counter!("upbeat_invoices_finalized_total").increment(1);
    }
    drawdown::keep(db, environment_id, &all_draws).await?;
    Ok(closed)
}

fn invoices(closed: &mut [Closed]) -> Vec<&mut Invoice> {
    closed.iter_mut().map(|closed| &mut closed.invoice).collect()
}
