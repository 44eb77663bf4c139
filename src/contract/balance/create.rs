//! Keeping new commits and credits.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::grant::NewBalance;
use super::named::{Found, Named, at};
use super::payments::charge_of;
use super::store;
use super::terms::{Balance, BalanceTerms};
use super::whole::entity_of;
use crate::access::{Writer, reserve_uniqueness_key};
use crate::contract::scheduled_charge;
use crate::custom_field;
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, EnvironmentId};
use crate::time::Instant;

/// What every kind of balance calls its key: commits and credits share one space (schema
/// `UniquenessKeyForCommitsAndCredits`).
const UNIQUENESS_RESOURCE: &str = "balance";

/// Keeps new balances of one customer with their custom fields and the charges that pay for them. The caller holds the
/// customer, and makes due what is to be paid.
///
/// 404 for a product or a contract that is not there, 400 for one that is archived or of the wrong type and for an unknown
/// unit, 409 for a uniqueness key that was used before.
pub async fn create(
    db: &mut PgConnection,
    caller: &Writer,
    new: Vec<NewBalance>,
) -> Result<Vec<Balance>, ApiError> {
    let environment_id = caller.environment_id();
    let Some(customer_id) = new.first().map(|one| one.balance.customer_id) else {
        return Ok(Vec::new());
    };
    let found = Found::load(db, environment_id, new.iter().map(Named::of)).await?;
    let contract_ids = new.iter().flat_map(|one| contracts_of(&one.balance.terms));
    let contract_ids: Vec<Uuid> = contract_ids.map(|(_, id)| id.0).collect();
    let contracts = contracts(db, environment_id, customer_id, &contract_ids).await?;
    let mut made = Vec::with_capacity(new.len());
    for one in new {
        let custom_unit = found.check(Named::of(&one)).map_err(|error| at(&one.path, error))?;
        let NewBalance { path, mut balance, custom_fields, uniqueness_key, .. } = one;
        let within = |error: ApiError| at(&path, error);
        check_contracts(&balance.terms, &contracts).map_err(within)?;
        balance.unit = balance.unit.or(custom_unit);
        balance.created_by = Some(caller.token_name.clone());
        if let Some(key) = &uniqueness_key {
            reserve_uniqueness_key(db, environment_id, UNIQUENESS_RESOURCE, key, balance.id.0).await?;
        }
        store::insert(db, environment_id, &balance).await?;
        scheduled_charge::insert(db, environment_id, customer_id, charge_of(&balance).as_slice()).await?;
        custom_field::set(db, environment_id, entity_of(&balance), balance.id.0, &custom_fields)
            .await
            .map_err(within)?;
        made.push(balance);
    }
    Ok(made)
}

/// 404 for a contract that a balance names and its customer does not have, 400 for one that is archived.
fn check_contracts(
    terms: &BalanceTerms,
    known: &BTreeMap<ContractId, Option<Instant>>,
) -> Result<(), ApiError> {
    for (field, id) in contracts_of(terms) {
        match known.get(&id) {
            None => return Err(ApiError::NotFound(format!("{field}: contract {id} was not found"))),
            Some(Some(_)) => return Err(ApiError::field(&field, "the contract is archived")),
            Some(None) => {}
        }
    }
    Ok(())
}

/// The contracts that a balance names, each with its field.
pub(super) fn contracts_of(terms: &BalanceTerms) -> impl Iterator<Item = (String, ContractId)> {
    let applicable = terms.applicable_contract_ids.iter().enumerate();
    let applicable = applicable.map(|(index, id)| (format!("applicable_contract_ids[{index}]"), *id));
    applicable.chain(terms.invoice_contract_id.map(|id| ("invoice_contract_id".to_owned(), id)))
}

/// When each of the contracts was archived that the customer has.
pub(super) async fn contracts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    ids: &[Uuid],
) -> Result<BTreeMap<ContractId, Option<Instant>>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query!(
        r#"SELECT id AS "id: ContractId", archived_at FROM contract
           WHERE environment_id = $1 AND customer_id = $2 AND id = ANY($3)"#,
        environment_id.0,
        customer_id.0,
        ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.archived_at)).collect())
}
