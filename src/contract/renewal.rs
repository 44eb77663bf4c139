//! Which contract renewed which.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Contract;
use super::balance::{self, Balance};
use crate::casing::wire_enum;
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, EnvironmentId};
use crate::time::Instant;

wire_enum! {
    /// How one contract follows another.
    pub enum TransitionType {
        /// The old one ends where the new one starts, and what is left of its commits and credits may be taken over.
        Renewal = "RENEWAL",
    }
}

wire_enum! {
    /// What becomes of the true-ups of the old contract that are still to come.
    pub enum FutureTrueUps {
        /// They are billed at its new end.
        AsIs = "AS_IS",
        Remove = "REMOVE",
    }
}

/// The contract that a new one renews (schema `ContractTransitionInput`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct TransitionInput {
    /// RENEWAL.
    #[serde(rename = "type")]
    _transition_type: TransitionType,
    /// Of the same customer; it ends where the new one starts.
    pub from_contract_id: ContractId,
    future_invoice_behavior: Option<FutureInvoiceBehavior>,
}

/// What becomes of invoices of the old contract that are still to come.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct FutureInvoiceBehavior {
    /// AS_IS when omitted.
    trueup: Option<FutureTrueUps>,
}

impl TransitionInput {
    /// Whether what is short of the old contract's promises is not billed.
    #[must_use]
    pub fn removes_true_ups(&self) -> bool {
        let behavior = self.future_invoice_behavior.as_ref();
        behavior.and_then(|behavior| behavior.trueup) == Some(FutureTrueUps::Remove)
    }
}

/// A renewal as both of its contracts show it (schema `ContractTransition`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Transition {
    #[serde(rename = "type")]
    pub transition_type: TransitionType,
    pub from_contract_id: ContractId,
    pub to_contract_id: ContractId,
    #[serde(skip)]
    pub made_at: Instant,
}

/// Keeps that a contract renewed another. The caller holds the customer.
///
/// 400 where a contract that is not archived has renewed the old one (our decision: one renewal stands at a time).
pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    transition: Transition,
) -> Result<(), ApiError> {
    let Transition { from_contract_id, to_contract_id, made_at, .. } = transition;
    if let Some(standing) = standing(db, environment_id, customer_id, from_contract_id).await? {
        let reason = format!("contract {standing} renewed it already; archive that one first");
        return Err(ApiError::field("transition.from_contract_id", reason));
    }
    sqlx::query!(
        "INSERT INTO contract_renewal (environment_id, customer_id, from_contract_id, to_contract_id, made_at)
         VALUES ($1, $2, $3, $4, $5)",
        environment_id.0,
        customer_id.0,
        from_contract_id.0,
        to_contract_id.0,
        made_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The contract that renewed this one and is not archived.
pub async fn standing(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    from: ContractId,
) -> Result<Option<ContractId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT to_contract_id AS "id: ContractId" FROM contract_renewal renewal
           JOIN contract ON contract.environment_id = $1 AND contract.customer_id = $2
                AND contract.id = renewal.to_contract_id AND contract.archived_at IS NULL
           WHERE renewal.environment_id = $1 AND renewal.customer_id = $2 AND from_contract_id = $3"#,
        environment_id.0,
        customer_id.0,
        from.0,
    )
    .fetch_optional(db)
    .await
}

/// Has the contract that renews another take over what is made there after the renewal was agreed, and what an edit opens then:
/// what takes part is what is open just before, until the first usage invoice of the new contract makes final what it took over
/// (reference on rollovers). Nothing where the old one was over before, or was made to go on beside the new one since.
///
/// The caller holds the customer, leaves out a promise of which the rest is billed, and makes the true-ups due.
pub async fn hand_over(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    from: &Contract,
    balances: &[Balance],
) -> Result<(), sqlx::Error> {
    if balances.iter().all(|balance| balance.terms.rollover_fraction.is_none()) {
        return Ok(());
    }
    let customer_id = from.customer_id;
    let Some(to) = standing(db, environment_id, customer_id, from.id).await? else { return Ok(()) };
    let to = super::find(db, environment_id, customer_id, to).await?.ok_or(sqlx::Error::RowNotFound)?;
    let is_final = to.finalized_until > to.first_statement_at();
    if is_final || from.ending_before != Some(to.starting_at) {
        return Ok(());
    }
    let taken_over = balances.iter().flat_map(|balance| balance::successors(balance, &to)).collect();
    balance::take_over(db, environment_id, taken_over).await
}

/// The renewals that each of these contracts is a side of, in the order in which they were made.
pub async fn of_contracts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contract_ids: &[Uuid],
) -> Result<BTreeMap<ContractId, Vec<Transition>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT from_contract_id AS "from: ContractId", to_contract_id AS "to: ContractId", made_at
           FROM contract_renewal
           WHERE environment_id = $1 AND customer_id = $2
             AND (from_contract_id = ANY($3) OR to_contract_id = ANY($3))
           ORDER BY made_at, to_contract_id"#,
        environment_id.0,
        customer_id.0,
        contract_ids,
    )
    .fetch_all(db)
    .await?;
    let mut of_contracts: BTreeMap<ContractId, Vec<Transition>> = BTreeMap::new();
    for row in rows {
        let transition = Transition {
            transition_type: TransitionType::Renewal,
            from_contract_id: row.from,
            to_contract_id: row.to,
            made_at: row.made_at,
        };
        for id in [row.from, row.to] {
            of_contracts.entry(id).or_default().push(transition);
        }
    }
    Ok(of_contracts)
}
