//! Due work: the date of a scheduled invoice has come. And what becomes of one whose date will not come.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::FixedProducts;
use super::calc::{add_charges, empty_scheduled_invoice, scheduled_invoice_id};
use super::draft::items_dated;
use crate::contract::recurring_grant;
use crate::contract::scheduled_charge::{self, DueItem};
use crate::contract::{self, Contract};
use crate::customer;
use crate::id::{ContractId, CreditTypeId, CustomerId, EnvironmentId, InvoiceId, ScheduleItemId};
use crate::invoice::billable_status::{set_billable_status, set_billable_statuses};
use crate::invoice::calc::Regeneration;
use crate::invoice::compute::{Seen, SeenTerms};
use crate::invoice::custom_fields;
use crate::invoice::model::{Invoice, InvoiceStatus};
use crate::invoice::store;
use crate::job::{self, DueWork};
use crate::rating::Newest;
use crate::time::{Instant, shown};

/// Finalizes the contract's scheduled invoices of the date that is due, one in each currency, and makes the next date
/// due, in the transaction that holds the work. A contract that is gone or archived has none.
pub async fn finalize_scheduled_invoice(db: &mut PgConnection, work: &DueWork) -> Result<(), sqlx::Error> {
    let environment_id = work.environment_id;
    let contract_id = ContractId(work.subject_id);
    customer::hold(db, environment_id, work.customer_id).await?;
    let contract = contract::find_for_update(db, environment_id, work.customer_id, contract_id).await?;
    let Some(contract) = contract.filter(|contract| contract.archived_at.is_none()) else {
        return job::remove(db, environment_id, &work.kind, work.subject_id).await;
    };
    recurring_grant::catch_up(db, environment_id, &contract, work.due_at).await?;
    let mut finalized = Vec::new();
    let date = contract::next_charge_date(db, environment_id, &contract).await?;
    // A later date is no error: the contract and the queue disagree, and the contract is right.
    if let Some(date) = date.filter(|date| *date <= work.due_at) {
        let items = items_dated(db, environment_id, &contract, date).await?;
        let items = not_riding(&contract, items);
        let products = FixedProducts::load(db, environment_id, &items).await?;
        let status = InvoiceStatus::Finalized;
        finalized = keep(db, environment_id, &contract, &items, &products, status, work.now).await?;
        metrics::counter!("upbeat_invoices_finalized_total").increment(finalized.len() as u64);
    }
    contract::schedule_next_charge(db, environment_id, &contract).await?;
    for (id, dated_at) in finalized {
        let description = format!("Finalized the scheduled invoice of {}", shown(dated_at));
        job::record(db, work, "invoice", id.0, "finalize", description).await?;
    }
    Ok(())
}

/// Makes the contract's upcoming scheduled invoices void ones, with their lines and totals. What rides on a usage
/// draft at `now` goes with that draft, but for what is paid for commits of the customer: they stay, and an edit of one may
/// have its payments billed on another contract.
pub async fn void_upcoming(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    now: Instant,
) -> Result<(), sqlx::Error> {
    let mut items = scheduled_charge::pending_items(db, environment_id, contract, None, None).await?;
    let of_customer = scheduled_charge::pending_of_customer(db, environment_id, contract).await?;
    items.retain(|item| of_customer.contains(&item.id) || !contract.rides(item.dated_at, item.unit.id, now));
    let products = FixedProducts::hold(db, environment_id, &items).await?;
    keep(db, environment_id, contract, &items, &products, InvoiceStatus::Void, now).await?;
    scheduled_charge::remove_all(db, environment_id, contract, now).await
}

/// Puts the items that ride on a usage statement onto its invoice, which is stored.
pub async fn keep_riding(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    invoice: &Invoice,
    items: &[DueItem],
    at: Instant,
) -> Result<(), sqlx::Error> {
    let on_invoice: Vec<(ScheduleItemId, InvoiceId)> =
        items.iter().map(|item| (item.id, invoice.id)).collect();
    scheduled_charge::mark_invoiced(db, environment_id, invoice.customer_id, &on_invoice, at).await
}

/// Keeps a scheduled invoice that stands in for a void one, of the same charges as their products are now.
pub async fn finalize_again(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    void: &Invoice,
    items: &[DueItem],
    now: Instant,
    regeneration: &Regeneration,
) -> Result<Invoice, sqlx::Error> {
    let products = FixedProducts::load(db, environment_id, items).await?;
    let mut invoice =
        empty_scheduled_invoice(contract, &void.credit_type, void.start_timestamp, regeneration.original);
    regeneration.mark(&mut invoice);
    add_charges(&mut invoice, items, &products, now);
    set_billable_status(db, environment_id, &mut invoice).await?;
    invoice.status = InvoiceStatus::Finalized;
    custom_fields::keep(db, environment_id, vec![&mut invoice]).await?;
    let newest = Newest { rate: None, product_update: products.newest_update() };
    let seen = Seen {
        subject_ids: Vec::new(),
        terms: SeenTerms { newest, ..SeenTerms::default() },
        others: BTreeMap::new(),
        balances: None,
    };
    store::insert(db, environment_id, &invoice, now, 0, &seen, Some(regeneration)).await?;
    metrics::counter!("upbeat_invoices_finalized_total").increment(1);
    Ok(invoice)
}

fn not_riding(contract: &Contract, mut items: Vec<DueItem>) -> Vec<DueItem> {
    items.retain(|item| contract.statement_of_charge(item.dated_at, item.unit.id).is_none());
    items
}

/// Keeps the invoices of the items, one for each date and currency, and says on the items that they are there. Answers
/// the ids and dates of the invoices.
async fn keep(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    items: &[DueItem],
    products: &FixedProducts,
    status: InvoiceStatus,
    at: Instant,
) -> Result<Vec<(InvoiceId, Instant)>, sqlx::Error> {
    let mut by_date: BTreeMap<(Instant, CreditTypeId), Vec<DueItem>> = BTreeMap::new();
    for item in items {
        by_date.entry((item.dated_at, item.unit.id)).or_default().push(item.clone());
    }
    let of_contract: Vec<(CustomerId, ContractId, Instant)> =
        by_date.keys().map(|(dated_at, _)| (contract.customer_id, contract.id, *dated_at)).collect();
    let taken = store::scheduled_ids(db, environment_id, &of_contract).await?;
    let (mut invoices, mut on_invoices) = (Vec::new(), Vec::new());
    for ((dated_at, _), items) in by_date {
        let unit = &items[0].unit;
        let id = scheduled_invoice_id(contract, unit.id, dated_at, &taken);
        let mut invoice = empty_scheduled_invoice(contract, unit, dated_at, id);
        add_charges(&mut invoice, &items, products, at);
        on_invoices.extend(items.iter().map(|item| (item.id, invoice.id)));
        invoices.push(Invoice { status, ..invoice });
    }
    set_billable_statuses(db, environment_id, invoices.iter_mut().collect()).await?;
    custom_fields::keep(db, environment_id, invoices.iter_mut().collect()).await?;
    let last_update = products.newest_update();
    store::insert_scheduled(db, environment_id, contract, &invoices, at, last_update).await?;
    scheduled_charge::mark_invoiced(db, environment_id, contract.customer_id, &on_invoices, at).await?;
    Ok(invoices.iter().map(|invoice| (invoice.id, invoice.issued_at)).collect())
}
