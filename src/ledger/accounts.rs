//! Loading the accounts of balances: of those that are asked for, in a fixed number of queries.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::{Account, ContractTerm, Rollover, TrueUp};
use super::store;
use crate::contract::Contract;
use crate::contract::balance::{Balance, BalanceType, Rollovers};
use crate::drawdown::{self, Draw};
use crate::id::{BalanceId, ContractId, CustomerId, EnvironmentId, SegmentId};
use crate::invoice::{Calculator, Drafts};
use crate::money::Decimal;
use crate::time::Instant;
use crate::usage::Uncounted;

/// The accounts of these balances of one customer, in their order; `drafts` draw beside them, if that is to
/// count. In them what a renewal took over has the amount that it has by these draws.
pub async fn accounts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    mut balances: Vec<Balance>,
    drafts: &Drafts,
) -> Result<Vec<Account>, sqlx::Error> {
    if balances.is_empty() {
        return Ok(Vec::new());
    }
    let rollovers = match &drafts.rollovers {
        Some(rollovers) => Cow::Borrowed(rollovers),
        None => Cow::Owned(Rollovers::load(db, environment_id, customer_id, None).await?),
    };
    let mut ids: Vec<Uuid> = balances.iter().map(|balance| balance.id.0).collect();
    ids.extend(rollovers.origins_of_live().map(|(_, id)| id.0));
    ids.sort_unstable();
    ids.dedup();
    let mut draws = drawdown::of_balances(db, environment_id, customer_id, &ids).await?;
    draws.extend(drafts.draws.iter().filter(|draw| ids.contains(&draw.balance_id.0)).cloned());
    let mut by_segment: BTreeMap<SegmentId, Decimal> = BTreeMap::new();
    for draw in &draws {
        *by_segment.entry(draw.segment_id).or_default() += &draw.amount;
    }
    let drawn_of = |id: SegmentId| by_segment.get(&id).cloned().unwrap_or_default();
    let taken = rollovers.taken(drawn_of);
    for balance in &mut balances {
        rollovers.resolve(balance, drawn_of);
    }
    let mut by_balance: BTreeMap<BalanceId, Vec<Draw>> = BTreeMap::new();
    for draw in draws {
        by_balance.entry(draw.balance_id).or_default().push(draw);
    }
    let contracts = contract_terms(db, environment_id, customer_id, &balances, drafts).await?;
    let mut true_ups = true_ups(db, environment_id, customer_id, &balances).await?;
    let account = |balance: Balance| Account {
        contract: balance.contract_id.and_then(|id| contracts.get(&id).copied()),
        draws: by_balance.remove(&balance.id).unwrap_or_default(),
        rollovers: taken.iter().filter(|taken| taken.origin_id == balance.id).map(Rollover::from).collect(),
        true_up: true_ups.remove(&balance.id).unwrap_or_default(),
        balance,
    };
    Ok(balances.into_iter().map(account).collect())
}

/// How long the contracts of the balances last.
async fn contract_terms(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    balances: &[Balance],
    drafts: &Drafts,
) -> Result<BTreeMap<ContractId, ContractTerm>, sqlx::Error> {
    let known = drafts.contracts.iter().map(|contract| {
        let Contract { id, ending_before, archived_at, .. } = *contract;
        (id, ContractTerm { ending_before, archived_at })
    });
    let mut terms: BTreeMap<ContractId, ContractTerm> = known.collect();
    let own = balances.iter().filter_map(|balance| balance.contract_id);
    let unknown: Vec<Uuid> = own.filter(|id| !terms.contains_key(id)).map(|id| id.0).collect();
    if !unknown.is_empty() {
        terms.extend(store::contract_terms(db, environment_id, customer_id, &unknown).await?);
    }
    Ok(terms)
}

/// What all open statements of the customer draw at `now`, where there is any balance that `is_asked` for.
pub async fn of_drafts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    uncounted: Uncounted,
    now: Instant,
    is_asked: impl Fn(&Balance) -> bool,
) -> Result<Drafts, sqlx::Error> {
    Calculator::with_uncounted(db, environment_id, uncounted).drafts(customer_id, now, is_asked).await
}

/// What became of the true-ups of those of the balances that are postpaid.
pub async fn true_ups(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    balances: &[Balance],
) -> Result<BTreeMap<BalanceId, TrueUp>, sqlx::Error> {
    let is_postpaid = |balance: &&Balance| balance.balance_type == BalanceType::Postpaid;
    let ids: Vec<Uuid> = balances.iter().filter(is_postpaid).map(|balance| balance.id.0).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut scheduled = store::true_ups(db, environment_id, customer_id, &ids).await?;
    for balance in balances.iter().filter(is_postpaid) {
        let true_up = scheduled.entry(balance.id).or_default();
        let is_billed = matches!(true_up, TrueUp::Billed { .. });
        let payments = balance.terms.payments.as_ref();
        let is_invoiced = payments.is_some_and(|payments| !payments.do_not_invoice);
        if !is_billed && (balance.terms.is_true_up_disabled || !is_invoiced) {
            *true_up = TrueUp::Lapsed;
        }
    }
    Ok(scheduled)
}
