//! What becomes due for a contract.

use sqlx::PgConnection;

use super::balance::{Balance, TrueUp, with_pending_true_up};
use super::recurring_grant;
use super::scheduled_charge::{first_pending_date, pending_dates_of};
use super::statement::GRACE;
use super::store;
use super::terms::Contract;
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, EnvironmentId};
use crate::job;
use crate::time::Instant;

/// The contract, locked for a change until the transaction ends; 404 where the customer has none with this id.
///
/// One order of locks for everybody: the customer (which the caller has locked, so that two changes of one contract
/// follow one another), what is due for the contract, the contract. A worker holds what is due before the contract.
pub async fn lock(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    id: ContractId,
) -> Result<Contract, ApiError> {
    job::lock(db, environment_id, job::kind::OF_CONTRACT, id.0).await?;
    let contract = store::find_for_update(db, environment_id, customer_id, id).await?;
    contract.ok_or_else(|| ApiError::not_found("contract", id))
}

/// Makes due what the contract's calendar and its charges say, in place of what was due before. The caller made the
/// contract or holds it by [`lock`].
pub async fn schedule_work(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
) -> Result<(), sqlx::Error> {
    schedule_next_statements(db, environment_id, std::slice::from_ref(contract)).await?;
    schedule_recurring(db, environment_id, contract).await?;
    schedule_next_charge(db, environment_id, contract).await
}

/// Makes due what the contract's recurring grants make next, even where that is past.
pub async fn schedule_recurring(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
) -> Result<(), sqlx::Error> {
    let due_at = recurring_grant::next_due(db, environment_id, contract).await?;
    set_due(db, environment_id, job::kind::CREATE_RECURRING_BALANCES, contract, due_at).await
}

/// Nothing is due for the contract any more.
pub async fn remove_work(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
) -> Result<(), sqlx::Error> {
    for kind in job::kind::OF_CONTRACT {
        job::remove(db, environment_id, kind, contract.id.0).await?;
    }
    Ok(())
}

/// Makes the finalization of the next usage statement of each contract due after its grace, even where that is past.
pub async fn schedule_next_statements(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contracts: &[Contract],
) -> Result<(), sqlx::Error> {
    let kind = job::kind::FINALIZE_USAGE_STATEMENT;
    let (mut due, mut ended) = (Vec::new(), Vec::new());
    for contract in contracts {
        match contract.next_statement() {
            Some(statement) => due.push((contract.id.0, contract.customer_id, statement.end + GRACE)),
            None => ended.push(contract.id.0),
        }
    }
    job::schedule_all(db, environment_id, kind, &due).await?;
    job::remove_all(db, environment_id, kind, &ended).await
}

/// Makes the next scheduled invoice due on its date, even where that is past.
pub async fn schedule_next_charge(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
) -> Result<(), sqlx::Error> {
    let due_at = next_charge_date(db, environment_id, contract).await?;
    set_due(db, environment_id, job::kind::FINALIZE_SCHEDULED_INVOICE, contract, due_at).await
}

/// Makes due what the charges of the customer's contracts say, after a change of what is paid for its commits. The caller
/// has locked the customer.
pub async fn schedule_payments(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<(), sqlx::Error> {
    let contracts = store::list_of_customer(db, environment_id, customer_id).await?;
    for contract in contracts.iter().filter(|contract| contract.archived_at.is_none()) {
        schedule_next_charge(db, environment_id, contract).await?;
    }
    schedule_true_ups(db, environment_id, customer_id).await
}

/// Makes due what is short of the customer's postpaid commits, after a change of a contract's end or of a commit. The
/// caller has locked the customer.
///
/// Where an end leaves no time to spend a commit, its true-up is never due. A contract that is new needs none of this:
/// the step looks again when it is taken.
pub async fn schedule_true_ups(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<(), sqlx::Error> {
    let balances = with_pending_true_up(db, environment_id, customer_id, None).await?;
    if balances.is_empty() {
        return Ok(());
    }
    let contracts = store::list_of_customer(db, environment_id, customer_id).await?;
    for balance in &balances {
        match TrueUp::of(balance, &contracts) {
            Some(true_up) => schedule_true_up(db, environment_id, balance, &true_up).await?,
            None => job::remove(db, environment_id, job::kind::FINALIZE_TRUE_UP, balance.id.0).await?,
        }
    }
    Ok(())
}

/// Makes the true-up of a commit due.
pub async fn schedule_true_up(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
    true_up: &TrueUp,
) -> Result<(), sqlx::Error> {
    let kind = job::kind::FINALIZE_TRUE_UP;
    job::schedule(db, environment_id, kind, balance.id.0, balance.customer_id, true_up.due_at).await
}

/// The first date on which the contract has a scheduled invoice that is not finalized. What rides on a usage statement
/// is none of it.
pub async fn next_charge_date(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
) -> Result<Option<Instant>, sqlx::Error> {
    if contract.scheduled_charges_on_usage_invoices.is_none() {
        return first_pending_date(db, environment_id, contract).await;
    }
    let dates = pending_dates_of(db, environment_id, std::slice::from_ref(contract)).await?;
    let own = dates.iter().find(|date| contract.statement_of_charge(date.dated_at, date.unit_id).is_none());
    Ok(own.map(|date| date.dated_at))
}

async fn set_due(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    kind: &str,
    contract: &Contract,
    due_at: Option<Instant>,
) -> Result<(), sqlx::Error> {
    match due_at {
        Some(due_at) => {
            job::schedule(db, environment_id, kind, contract.id.0, contract.customer_id, due_at).await
        }
        None => job::remove(db, environment_id, kind, contract.id.0).await,
    }
}
