//! Recomputing finalized invoices from the facts.
//!
//! An invoice keeps what it was calculated from: the last arrival, the subjects, the last rate, the last product
//! update, the last usage filter, the instant; and scheduled charges keep the invoice that they are on. So it can be recomputed for ever,
//! whatever came later, and every difference is a fault. So is a time that no usage invoice of a contract bills, or two;
//! void ones and those that were made in their place count as one.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Executor, PgConnection, PgPool};

use super::billable_status::set_billable_status;
use super::calc::{owed_in, usage_invoice_id};
use super::compute::{self, Calculator, failure};
use super::custom_fields;
use super::model::{Invoice, InvoiceStatus, InvoiceType, LineItem};
use super::scheduled::calc::{
    add_charges, empty_scheduled_invoice, scheduled_invoice_id, scheduled_invoice_ids,
};
use super::scheduled::{FixedProducts, items_dated};
use super::store::{self, FinalizedInvoice};
use super::true_up::{seen_now, true_up_invoice, true_up_invoice_id, true_up_invoice_ids, what_was_short};
use super::verify_draws::DrawsByInvoice;
use crate::contract::balance::{self, TrueUp};
use crate::contract::scheduled_charge::{self, DueItem, InvoicedItem, ItemPrice};
use crate::contract::{self, Contract, GRACE};
use crate::drawdown;
use crate::id::{ContractId, CustomerId, EnvironmentId, InvoiceId, ScheduleItemId};
use crate::job;
use crate::money::{Decimal, is_positive, plain, zero};
use crate::postgres::begin_snapshot;
use crate::rating::Newest;
use crate::time::{Period, shown};
use crate::usage::{begin_usage_snapshot, recount_as_of};

const CUSTOMERS_AT_ONCE: i64 = 500;

/// How many invoices of one date and currency a contract may have and be checked.
const INVOICES_OF_A_DATE_MAX: usize = 1000;

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

/// Checks one customer's invoices, that none is missing, and that every next one is due.
async fn verify_customer(
    pool: &PgPool,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    faults: &mut Vec<InvoiceFault>,
) -> Result<usize, sqlx::Error> {
    let mut snapshot = begin_usage_snapshot(pool, environment_id).await?;
    // It rests while invoices are recounted on another connection.
    snapshot.execute("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
    let contracts = contract::list_of_customer(&mut snapshot, environment_id, customer_id).await?;
    let stored = store::list_for_check(&mut snapshot, environment_id, customer_id, None).await?;
    let items = scheduled_charge::items_of_invoices(&mut snapshot, environment_id, customer_id).await?;
    let draws = DrawsByInvoice::new(drawdown::of_customer(&mut snapshot, environment_id, customer_id).await?);
    let mut fault = |id, finding: String| faults.push(InvoiceFault { id, customer_id, finding });

    let mut usage: BTreeMap<ContractId, Vec<&Invoice>> = BTreeMap::new();
    for FinalizedInvoice { invoice, regeneration, .. } in &stored {
        if invoice.invoice_type == InvoiceType::Usage && regeneration.is_none() {
            usage.entry(invoice.contract_id).or_default().push(invoice);
        }
    }
    for contract in &contracts {
        let usage = usage.remove(&contract.id).unwrap_or_default();
        for (id, finding) in tiling_faults(contract, usage) {
            fault(id, finding);
        }
        for id in undue(&mut snapshot, environment_id, contract).await? {
            fault(id, "would not be finalized when it is due".to_owned());
        }
    }
    let lineages = lineages(&stored);
    for id in undue_true_ups(&mut snapshot, environment_id, customer_id, &contracts).await? {
        fault(id, "would not be finalized when it is due".to_owned());
    }
    for lineage in lineages.values() {
        for (id, finding) in lineage_faults(lineage) {
            fault(id, finding);
        }
    }
    let contracts: BTreeMap<ContractId, Contract> =
        contracts.into_iter().map(|contract| (contract.id, contract)).collect();
    let mut calculator = Calculator::new(&mut snapshot, environment_id);
    for finalized in &stored {
        let invoice = &finalized.invoice;
        let mut own = items_of(finalized, &lineages[&original(finalized)], &items);
        own.sort_by_key(|item| (item.balance_id.is_some(), item.charge_id, item.id));
        let items = own.as_slice();
        if let Some(finding) = contradiction(finalized, items).or_else(|| draws.contradiction(invoice)) {
            fault(invoice.id, finding);
            continue;
        }
        let contract = contracts.get(&invoice.contract_id).ok_or(sqlx::Error::RowNotFound)?;
        // Mostly nothing came later, and what is known now gives the same at less cost.
        let live = calculated(&mut calculator, environment_id, contract, finalized, items, None).await;
        let recomputed = match live {
            Ok(recomputed) if same(invoice, &recomputed) => continue,
            Err(error) if failure(&error).is_none() => return Err(error),
            _ => as_seen(pool, environment_id, contract, finalized, items).await,
        };
        match recomputed {
            Ok(recomputed) if same(invoice, &recomputed) => {}
            Ok(recomputed) => {
                let (kept, recomputed) = (plain(&invoice.total.0), plain(&recomputed.total.0));
                fault(
                    invoice.id,
                    format!("is stored with a total of {kept}, but the facts give {recomputed}"),
                );
            }
            Err(error) => {
                let failure = failure(&error).ok_or(error)?;
                fault(invoice.id, format!("cannot be recomputed: {}", failure.reason));
            }
        }
    }
    Ok(stored.len())
}

/// The scheduled charges that an invoice was made of. Those of a void one went onto the one that was made in its place, but for
/// what was not billed again; what was changed in between is there as it was.
fn items_of(
    finalized: &FinalizedInvoice,
    lineage: &[&FinalizedInvoice],
    items: &BTreeMap<InvoiceId, Vec<InvoicedItem>>,
) -> Vec<DueItem> {
    let since = lineage.iter().filter(|one| generation(one) >= generation(finalized));
    // By generation, and those as they were before those as they are: the first of each is the one.
    let mut own: BTreeMap<ScheduleItemId, DueItem> = BTreeMap::new();
    for one in since {
        let mut on_it: Vec<&InvoicedItem> = items.get(&one.invoice.id).into_iter().flatten().collect();
        on_it.sort_by_key(|item| item.stands_for.is_none());
        for InvoicedItem { item, stands_for } in on_it {
            let id = stands_for.unwrap_or(item.id);
            own.entry(id).or_insert_with(|| DueItem { id, ..item.clone() });
        }
    }
    own.into_values().collect()
}

/// The first invoice of the same statement or date.
fn original(finalized: &FinalizedInvoice) -> InvoiceId {
    finalized.regeneration.as_ref().map_or(finalized.invoice.id, |regeneration| regeneration.original)
}

fn generation(finalized: &FinalizedInvoice) -> i32 {
    finalized.regeneration.as_ref().map_or(0, |regeneration| regeneration.generation)
}

/// The invoices of each statement or date in the order in which they were made, by the first one.
fn lineages(stored: &[FinalizedInvoice]) -> BTreeMap<InvoiceId, Vec<&FinalizedInvoice>> {
    let mut lineages: BTreeMap<InvoiceId, Vec<&FinalizedInvoice>> = BTreeMap::new();
    for finalized in stored {
        lineages.entry(original(finalized)).or_default().push(finalized);
    }
    for lineage in lineages.values_mut() {
        lineage.sort_by_key(|finalized| generation(finalized));
    }
    lineages
}

/// What contradicts that the invoices of one statement were made one after another, each in place of a void one.
fn lineage_faults(lineage: &[&FinalizedInvoice]) -> Vec<(InvoiceId, String)> {
    let mut faults = Vec::new();
    for (place, one) in lineage.iter().enumerate() {
        let (earlier, later) = (&lineage[..place], &lineage[place + 1..]);
        let mut fault = |finding: String| faults.push((one.invoice.id, finding));
        if usize::try_from(generation(one)) != Ok(place) {
            fault("is made in place of one that is missing".to_owned());
        }
        let from = one.invoice.regenerated_from_invoice_id;
        if from.is_some_and(|from| !earlier.iter().any(|earlier| earlier.invoice.id == from)) {
            fault("is made in place of one of another statement".to_owned());
        }
        if period_of(&one.invoice) != period_of(&lineage[0].invoice) {
            fault("is of another period than the one that it is made in place of".to_owned());
        }
        if let Some(later) = later.first()
            && one.invoice.status != InvoiceStatus::Void
        {
            fault(format!("is not void, and invoice {} is made in its place", later.invoice.id));
        }
    }
    faults
}

/// Where a contract's usage invoices, void ones too, do not tile the time from its first statement to its watermark; of
/// each statement the first one.
fn tiling_faults(contract: &Contract, mut usage: Vec<&Invoice>) -> Vec<(InvoiceId, String)> {
    usage.sort_by_key(|invoice| invoice.start_timestamp);
    let missing =
        |from| (usage_invoice_id(contract, from), format!("is missing for the statement of {}", shown(from)));
    let mut faults = Vec::new();
    let mut until = contract.first_statement_at();
    for invoice in usage {
        let period = period_of(invoice);
        let calendar = contract.schedule.period_containing(period.start);
        match period.start.cmp(&until) {
            Ordering::Greater => faults.push(missing(until)),
            Ordering::Less => faults.push((invoice.id, "bills a time twice".to_owned())),
            Ordering::Equal if calendar.clip(period.start, Some(period.end)) == Some(period) => {}
            Ordering::Equal => faults.push((invoice.id, "is not in one period of its calendar".to_owned())),
        }
        until = until.max(period.end);
    }
    match until.cmp(&contract.finalized_until) {
        Ordering::Less => faults.push(missing(until)),
        Ordering::Equal => {}
        Ordering::Greater => {
            let next = usage_invoice_id(contract, contract.finalized_until);
            faults.push((next, "is to be finalized for a time that is billed already".to_owned()));
        }
    }
    faults
}

/// The contract's next invoices that are not due, or not when they should be: nobody would finalize them.
async fn undue(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
) -> Result<Vec<InvoiceId>, sqlx::Error> {
    if contract.archived_at.is_some() {
        return Ok(Vec::new());
    }
    let mut undue = Vec::new();
    if let Some(next) = contract.next_statement() {
        let kind = job::kind::FINALIZE_USAGE_STATEMENT;
        let due_at = job::due_at(db, environment_id, kind, contract.id.0).await?;
        if due_at != Some(next.end + GRACE) {
            undue.push(usage_invoice_id(contract, next.start));
        }
    }
    if let Some(date) = contract::next_charge_date(db, environment_id, contract).await? {
        let kind = job::kind::FINALIZE_SCHEDULED_INVOICE;
        let due_at = job::due_at(db, environment_id, kind, contract.id.0).await?;
        if due_at != Some(date) {
            let items = items_dated(db, environment_id, contract, date).await?;
            let of_contract = [(contract.customer_id, contract.id, date)];
            let taken = store::scheduled_ids(db, environment_id, &of_contract).await?;
            undue.extend(items.iter().map(|item| scheduled_invoice_id(contract, item.unit.id, date, &taken)));
        }
    }
    Ok(undue)
}

/// The true-ups of the customer that nobody would finalize. A step that is due too early looks again when it is taken, and
/// none is due while usage that may spend the commit is void.
async fn undue_true_ups(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contracts: &[Contract],
) -> Result<Vec<InvoiceId>, sqlx::Error> {
    let mut undue = Vec::new();
    let void = store::void_usage(db, environment_id, customer_id).await?;
    for balance in balance::with_pending_true_up(db, environment_id, customer_id, None).await? {
        let Some(true_up) = TrueUp::of(&balance, contracts) else { continue };
        let due_at = job::due_at(db, environment_id, job::kind::FINALIZE_TRUE_UP, balance.id.0).await?;
        if due_at.is_some_and(|due_at| due_at <= true_up.due_at) {
            continue;
        }
        let seen = seen_now(db, environment_id, customer_id).await?;
        let short = what_was_short(db, environment_id, &balance, seen).await?;
        let is_held_up = void.iter().any(|void| void.holds_up(&true_up));
        let is_settled = due_at.is_none() && (is_held_up || !is_positive(&short));
        if !is_settled {
            let taken = store::true_up_ids(db, environment_id, &[(customer_id, balance.id)]).await?;
            undue.push(true_up_invoice_id(balance.id, &taken));
        }
    }
    Ok(undue)
}

/// What the stored numbers say against each other.
fn contradiction(finalized: &FinalizedInvoice, items: &[DueItem]) -> Option<String> {
    let invoice = &finalized.invoice;
    if !finalized.columns_agree {
        return Some("has columns that do not say what its document says".to_owned());
    }
    if !items.iter().all(|item| belongs(item, invoice)) {
        return Some("has a scheduled charge of another date, currency or contract".to_owned());
    }
    if !invoice.line_items.iter().all(is_its_quantity_times_its_price) {
        return Some("has a line whose total is not its quantity times its unit price".to_owned());
    }
    let sum = owed_in(&invoice.credit_type, invoice);
    (sum != invoice.total.0)
        .then(|| format!("has lines that sum to {}, and a total of {}", plain(&sum), plain(&invoice.total.0)))
}

/// A line that a balance pays in part has the quantity that its amount comes to, to twenty decimals.
fn is_its_quantity_times_its_price(line: &LineItem) -> bool {
    let Some((quantity, unit_price)) = line.quantity.as_ref().zip(line.unit_price.as_ref()) else {
        return line.is_application();
    };
    let difference = &quantity.0 * &unit_price.0 - &line.total.0;
    difference == zero() || difference.abs() <= unit_price.0.abs() * Decimal::new(1.into(), 19)
}

/// Whether the item's date, currency and contract put it onto the invoice.
fn belongs(item: &DueItem, invoice: &Invoice) -> bool {
    let dated = match invoice.invoice_type {
        // Its date is where its contract ended, or that of the schedule.
        InvoiceType::Scheduled if item.is_true_up => true,
        InvoiceType::Scheduled => item.dated_at == invoice.start_timestamp,
        _ => item.dated_at.date_naive() == invoice.end_timestamp.date_naive(),
    };
    dated && item.unit == invoice.credit_type && item.contract_id == invoice.contract_id
}

/// The invoice as the calculator sees its usage, with the scheduled charges that are on it. `seen` leaves out updates
/// of the charges' products that came later.
async fn calculated(
    calculator: &mut Calculator<'_>,
    environment_id: EnvironmentId,
    contract: &Contract,
    finalized: &FinalizedInvoice,
    items: &[DueItem],
    seen: Option<Newest>,
) -> Result<Invoice, sqlx::Error> {
    let FinalizedInvoice { invoice, finalized_at, regeneration, .. } = finalized;
    let true_up = finalized.seen_of_true_up.zip(items.iter().find_map(|item| Some((item.balance_id?, item))));
    if let Some((seen_of_balance, (balance_id, item))) = true_up {
        let db = calculator.db();
        let found = balance::find_as_of(
            db,
            environment_id,
            contract.customer_id,
            balance_id,
            seen_of_balance.balance,
        );
        let balance = found.await?.ok_or(sqlx::Error::RowNotFound)?;
        let short = what_was_short(db, environment_id, &balance, seen_of_balance).await?;
        let dated_at = invoice.start_timestamp;
        let item = DueItem { price: ItemPrice::of_amount(short), dated_at, ..item.clone() };
        let mut ids = true_up_invoice_ids(balance_id).take(INVOICES_OF_A_DATE_MAX);
        let id = ids
            .find(|id| *id == original(finalized))
            .unwrap_or_else(|| true_up_invoice_id(balance_id, &BTreeSet::new()));
        let empty = empty_scheduled_invoice(contract, &item.unit, dated_at, id);
        let mut empty = Invoice { issued_at: invoice.issued_at, ..empty };
        if let Some(regeneration) = regeneration {
            regeneration.mark(&mut empty);
        }
        set_billable_status(db, environment_id, &mut empty).await?;
        let items = std::slice::from_ref(&item);
        let mut products = FixedProducts::load(db, environment_id, items).await?;
        if let Some(newest) = seen {
            products = products.up_to(newest.product_update);
        }
        return Ok(true_up_invoice(empty, item, &products, *finalized_at));
    }
    let mut calculated = match invoice.invoice_type {
        InvoiceType::Scheduled => {
            let (unit, dated_at) = (&invoice.credit_type, invoice.start_timestamp);
            // Which of the ids of its date it has says no more than how many there were before it.
            let mut ids = scheduled_invoice_ids(contract, unit.id, dated_at).take(INVOICES_OF_A_DATE_MAX);
            let id = ids
                .find(|id| *id == original(finalized))
                .unwrap_or_else(|| scheduled_invoice_id(contract, unit.id, dated_at, &BTreeSet::new()));
            empty_scheduled_invoice(contract, unit, dated_at, id)
        }
        _ => calculator.usage_invoice(contract, period_of(invoice), *finalized_at).await?,
    };
    if let Some(regeneration) = regeneration {
        regeneration.mark(&mut calculated);
    }
    if invoice.invoice_type == InvoiceType::Scheduled {
        set_billable_status(calculator.db(), environment_id, &mut calculated).await?;
    }
    let mut products = FixedProducts::load(calculator.db(), environment_id, items).await?;
    if let Some(newest) = seen {
        products = products.up_to(newest.product_update);
    }
    add_charges(&mut calculated, items, &products, *finalized_at);
    Ok(calculated)
}

/// The invoice from exactly what was seen when it was finalized.
async fn as_seen(
    pool: &PgPool,
    environment_id: EnvironmentId,
    contract: &Contract,
    finalized: &FinalizedInvoice,
    items: &[DueItem],
) -> Result<Invoice, sqlx::Error> {
    let mut snapshot = begin_snapshot(pool).await?;
    recount_as_of(&mut snapshot, environment_id, &finalized.seen.subject_ids, finalized.arrival).await?;
    // Its end decides nothing: the statement is the stored one's.
    let contract = &Contract {
        ending_before: contract.ending_before,
        ..compute::as_seen(contract, &finalized.seen.terms)
    };
    let mut calculator =
        Calculator::as_seen(&mut snapshot, environment_id, contract, &finalized.seen, finalized.arrival)
            .await?;
    let seen = Some(finalized.seen.terms.newest);
    let invoice = calculated(&mut calculator, environment_id, contract, finalized, items, seen).await?;
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
        let mut invoice = custom_fields::without(invoice.clone());
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
