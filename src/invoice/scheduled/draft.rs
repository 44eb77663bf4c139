//! Scheduled charges on drafts.

use std::collections::BTreeMap;

use chrono::{NaiveTime, TimeDelta};
use sqlx::PgConnection;

use super::FixedProducts;
use super::calc::{add_charges, empty_scheduled_invoice, scheduled_invoice_id};
use crate::contract::Contract;
use crate::contract::scheduled_charge::{self, DueItem, PendingDate};
use crate::id::{ContractId, CustomerId, EnvironmentId};
use crate::invoice::billable_status::set_billable_status;
use crate::invoice::model::Invoice;
use crate::invoice::store;
use crate::money::CreditType;
use crate::time::{Instant, Period};

/// Instants are to the microsecond.
const ONE_INSTANT: TimeDelta = TimeDelta::microseconds(1);

/// A scheduled draft whose lines are not loaded yet.
pub struct Draft {
    pub contract_id: ContractId,
    /// The invoice without its lines.
    pub header: Invoice,
}

/// The scheduled drafts at `now` of all contracts of a customer, however far ahead. What rides on a usage draft is on
/// none of them.
pub async fn drafts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contracts: &BTreeMap<ContractId, Contract>,
    now: Instant,
) -> Result<Vec<Draft>, sqlx::Error> {
    let dates = scheduled_charge::pending_dates(db, environment_id, customer_id).await?;
    let taken = store::scheduled_ids(db, environment_id, &with_customer(customer_id, &dates)).await?;
    let drafts = dates.into_iter().filter_map(|date| {
        let contract = contracts.get(&date.contract_id)?;
        let unit = CreditType::find_fiat(date.unit_id)?;
        if contract.rides(date.dated_at, date.unit_id, now) {
            return None;
        }
        let id = scheduled_invoice_id(contract, unit.id, date.dated_at, &taken);
        let header = empty_scheduled_invoice(contract, unit, date.dated_at, id);
        Some(Draft { contract_id: contract.id, header })
    });
    Ok(drafts.collect())
}

fn with_customer(customer_id: CustomerId, dates: &[PendingDate]) -> Vec<(CustomerId, ContractId, Instant)> {
    dates.iter().map(|date| (customer_id, date.contract_id, date.dated_at)).collect()
}

impl Draft {
    /// The draft with its lines, as it is read at `now`.
    pub async fn calculate(
        self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        contract: &Contract,
        now: Instant,
    ) -> Result<Invoice, sqlx::Error> {
        let Self { header: mut invoice, .. } = self;
        let mut items = items_dated(db, environment_id, contract, invoice.issued_at).await?;
        items.retain(|item| item.unit == invoice.credit_type);
        let products = FixedProducts::load(db, environment_id, &items).await?;
        add_charges(&mut invoice, &items, &products, now);
        set_billable_status(db, environment_id, &mut invoice).await?;
        Ok(invoice)
    }
}

/// The contract's pending items of one instant, in any currency.
pub async fn items_dated(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    at: Instant,
) -> Result<Vec<DueItem>, sqlx::Error> {
    scheduled_charge::pending_items(db, environment_id, contract, Some(at), Some(at + ONE_INSTANT)).await
}

/// The pending items that ride on the contract's statement of this period.
pub async fn riding_items(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    statement: Period,
) -> Result<Vec<DueItem>, sqlx::Error> {
    if contract.scheduled_charges_on_usage_invoices.is_none() {
        return Ok(Vec::new());
    }
    let day = statement.end.date_naive().and_time(NaiveTime::MIN).and_utc();
    let next_day = day + TimeDelta::days(1);
    let mut items =
        scheduled_charge::pending_items(db, environment_id, contract, Some(day), Some(next_day)).await?;
    items.retain(|item| contract.statement_of_charge(item.dated_at, item.unit.id) == Some(statement));
    Ok(items)
}
