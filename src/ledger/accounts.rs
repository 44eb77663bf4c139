//! Loading the accounts of balances: of those that are asked for, in a fixed number of queries.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::{Account, ContractTerm, Rollover};
use super::store;
use super::true_ups::true_ups;
use crate::contract::Contract;
use crate::contract::balance::{Balance, Rollovers};
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
    let rollovers = match drafts.holdings.known_rollovers() {
        Some(rollovers) => Cow::Borrowed(rollovers),
        None => Cow::Owned(Rollovers::load(db, environment_id, customer_id, None).await?),
    };
    let mut ids: Vec<Uuid> = balances.iter().map(|balance| balance.id.0).collect();
    ids.extend(rollovers.origins_of_live().map(|(_, id)| id.0));
    ids.sort_unstable();
    ids.dedup();
    let of_drafts: Vec<&Draw> =
        drafts.draws.iter().filter(|draw| ids.binary_search(&draw.balance_id.0).is_ok()).collect();
    let of_invoices = drawdown::draws_in(db, environment_id, customer_id, ids, drafts.state).await?;
    let draws: Vec<&Draw> = of_invoices.iter().chain(of_drafts).collect();
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
        by_balance.entry(draw.balance_id).or_default().push(draw.clone());
    }
    let contracts = contract_terms(db, environment_id, customer_id, &balances, drafts).await?;
    let mut true_ups = true_ups(db, environment_id, customer_id, &balances, drafts.state).await?;
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
