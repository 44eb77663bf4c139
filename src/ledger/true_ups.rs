//! What becomes of the part of a promise that is not spent.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::TrueUp;
use super::store;
use crate::contract::balance::{Balance, BalanceType};
use crate::customer::CustomerState;
use crate::id::{BalanceId, CustomerId, EnvironmentId};
use crate::memo::Memo;

/// Commits whose true-ups are remembered, of all customers together: some megabytes.
const COMMITS_MAX: u64 = 20_000;

/// Of a state of the customer those of these commits.
type Name = (CustomerState, Vec<Uuid>);

static KNOWN: LazyLock<Memo<Name, BTreeMap<BalanceId, TrueUp>>> = LazyLock::new(|| Memo::new(COMMITS_MAX, 2));

/// What became of the true-ups of these commits, as far as they are scheduled, in a state of the customer, which the transaction
/// sees; without one they are loaded.
async fn scheduled(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    ids: Vec<Uuid>,
    state: Option<CustomerState>,
) -> Result<BTreeMap<BalanceId, TrueUp>, sqlx::Error> {
    let load = store::true_ups(db, environment_id, customer_id, &ids);
    let name = state.map(|state| (state, ids.clone()));
    KNOWN.find_or(name, |_| ids.len(), load).await.map(Arc::unwrap_or_clone)
}

/// What became of the true-ups of those of the balances that are postpaid.
pub async fn true_ups(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    balances: &[Balance],
    state: Option<CustomerState>,
) -> Result<BTreeMap<BalanceId, TrueUp>, sqlx::Error> {
    let is_postpaid = |balance: &&Balance| balance.balance_type == BalanceType::Postpaid;
    let ids: Vec<Uuid> = balances.iter().filter(is_postpaid).map(|balance| balance.id.0).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut true_ups = scheduled(db, environment_id, customer_id, ids, state).await?;
    for balance in balances.iter().filter(is_postpaid) {
        let true_up = true_ups.entry(balance.id).or_default();
        let is_billed = matches!(true_up, TrueUp::Billed { .. });
        let payments = balance.terms.payments.as_ref();
        let is_invoiced = payments.is_some_and(|payments| !payments.do_not_invoice);
        if !is_billed && (balance.terms.is_true_up_disabled || !is_invoiced) {
            *true_up = TrueUp::Lapsed;
        }
    }
    Ok(true_ups)
}
