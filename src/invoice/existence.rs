use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::calc::usage_invoice_id;
use super::scheduled::calc::scheduled_invoice_id;
use super::store;
use crate::contract::{self, Contract, scheduled_charge};
use crate::id::{ContractId, EnvironmentId, InvoiceId};
use crate::time::Instant;

/// Contracts that are read at once.
const CONTRACTS_AT_ONCE: i64 = 1000;

/// Whether any customer has an invoice with this id: a stored one, or a draft at `now`.
///
/// A draft is nowhere stored, and its id says nothing of its customer. So the ids of all drafts are made until one
/// fits: that takes a moment where there are very many contracts, and nothing but custom fields asks for it.
pub async fn exists(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: InvoiceId,
    now: Instant,
) -> Result<bool, sqlx::Error> {
    if store::is_stored(db, environment_id, id).await? {
        return Ok(true);
    }
    let mut after = None;
    loop {
        let contracts = contract::list_in_force(db, environment_id, after, CONTRACTS_AT_ONCE).await?;
        let Some(last) = contracts.last() else { return Ok(false) };
        after = Some((last.customer_id, last.id));
        if contracts.iter().any(|contract| has_statement(contract, id, now))
            || have_scheduled(db, environment_id, &contracts, id, now).await?
        {
            return Ok(true);
        }
    }
}

fn has_statement(contract: &Contract, id: InvoiceId, now: Instant) -> bool {
    contract.open_statements(now).any(|statement| usage_invoice_id(contract, statement.start) == id)
}

async fn have_scheduled(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contracts: &[Contract],
    id: InvoiceId,
    now: Instant,
) -> Result<bool, sqlx::Error> {
    let contract_of: BTreeMap<ContractId, &Contract> =
        contracts.iter().map(|contract| (contract.id, contract)).collect();
    let dates = scheduled_charge::pending_dates_of(db, environment_id, contracts).await?;
    Ok(dates.iter().any(|date| {
        let contract = contract_of[&date.contract_id];
        let rides = contract.rides(date.dated_at, date.unit_id, now);
        !rides && scheduled_invoice_id(contract, date.unit_id, date.dated_at) == id
    }))
}
