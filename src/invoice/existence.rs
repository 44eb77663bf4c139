use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::calc::usage_invoice_id;
use super::scheduled::calc::scheduled_invoice_id;
use super::store;
use super::true_up::true_up_invoice_id;
use crate::contract::{self, Contract, balance, scheduled_charge};
use crate::id::{ContractId, CustomerId, EnvironmentId, InvoiceId};
use crate::time::Instant;

/// Contracts that are read at once.
const CONTRACTS_AT_ONCE: i64 = 1000;

/// Whether any customer has an invoice with this id: a stored one, or a draft at `now`.
pub async fn exists(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: InvoiceId,
    now: Instant,
) -> Result<bool, sqlx::Error> {
    Ok(owner(db, environment_id, id, now).await?.is_some())
}

/// The customer who has an invoice with this id: a stored one, or a draft at `now`.
///
/// A draft is nowhere stored, and its id says nothing of its customer. So the ids of all drafts are made until one
/// fits: that takes a moment where there are very many contracts, and only custom fields, and whoever takes a draft for a
/// finalized invoice, ask for it.
pub async fn owner(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: InvoiceId,
    now: Instant,
) -> Result<Option<CustomerId>, sqlx::Error> {
    let stored = store::owner(db, environment_id, id).await?;
    if stored.is_some() {
        return Ok(stored);
    }
    let true_ups = balance::ids_with_pending_true_up(db, environment_id).await?;
    let taken = store::true_up_ids(db, environment_id, &true_ups).await?;
    if let Some((customer_id, _)) =
        true_ups.into_iter().find(|(_, balance_id)| true_up_invoice_id(*balance_id, &taken) == id)
    {
        return Ok(Some(customer_id));
    }
    let mut after = None;
    loop {
        let contracts = contract::list_in_force(db, environment_id, after, CONTRACTS_AT_ONCE).await?;
        let Some(last) = contracts.last() else { return Ok(None) };
        after = Some((last.customer_id, last.id));
        let mut found = contracts.iter().find(|contract| has_statement(contract, id, now));
        if found.is_none() {
            found = with_scheduled(db, environment_id, &contracts, id, now).await?;
        }
        if let Some(contract) = found {
            return Ok(Some(contract.customer_id));
        }
    }
}

fn has_statement(contract: &Contract, id: InvoiceId, now: Instant) -> bool {
    contract.open_statements(now).any(|statement| usage_invoice_id(contract, statement.start) == id)
}

/// The contract that has the scheduled draft.
async fn with_scheduled<'a>(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contracts: &'a [Contract],
    id: InvoiceId,
    now: Instant,
) -> Result<Option<&'a Contract>, sqlx::Error> {
    let contract_of: BTreeMap<ContractId, &Contract> =
        contracts.iter().map(|contract| (contract.id, contract)).collect();
    let dates = scheduled_charge::pending_dates_of(db, environment_id, contracts).await?;
    let of_customers: Vec<(CustomerId, ContractId, Instant)> = dates
        .iter()
        .map(|date| (contract_of[&date.contract_id].customer_id, date.contract_id, date.dated_at))
        .collect();
    let taken = store::scheduled_ids(db, environment_id, &of_customers).await?;
    Ok(dates.iter().find_map(|date| {
        let contract = contract_of[&date.contract_id];
        let rides = contract.rides(date.dated_at, date.unit_id, now);
        let has = !rides && scheduled_invoice_id(contract, date.unit_id, date.dated_at, &taken) == id;
        has.then_some(contract)
    }))
}
