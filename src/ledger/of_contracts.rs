//! What is left of the commits and credits that contracts are shown with.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Postgres, Transaction};

use super::accounts::{accounts, of_drafts};
use super::view::{Asked, reckoned};
use crate::access::App;
use crate::contract::WholeContract;
use crate::contract::balance::{self, Balance, BalanceTerms, Reckoned};
use crate::id::{BalanceId, CustomerId, EnvironmentId};
use crate::time::Instant;
use crate::usage::ingest::Metering;
use crate::usage::{Uncounted, begin_usage_read};

/// Begins a read of contracts of a customer; of usage too where what is left of their balances is asked for, or is what a
/// renewal takes over.
pub async fn begin_read(
    app: &App,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    metering: &Metering,
    asked: Asked,
) -> Result<(Transaction<'static, Postgres>, Option<Uncounted>), sqlx::Error> {
    if !asked.anything() {
        let mut read = app.db.begin().await?;
        if !balance::has_live_rollover(&mut read, environment_id, customer_id).await? {
            return Ok((read, None));
        }
    }
    let (snapshot, uncounted) =
        begin_usage_read(&app.db, environment_id, Some(customer_id), metering.recent()).await?;
    Ok((snapshot, Some(uncounted)))
}

/// Contracts of one customer with what is left of their commits and credits, and their ledgers, if that is asked for.
pub async fn reckon(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    mut contracts: Vec<WholeContract>,
    asked: Asked,
    uncounted: Option<Uncounted>,
    now: Instant,
) -> Result<Vec<WholeContract>, sqlx::Error> {
    let balances = contracts.iter().flat_map(|whole| &whole.balances.current);
    let balances: Vec<Balance> = balances.map(|whole| whole.balance.clone()).collect();
    let Some((uncounted, customer_id)) = uncounted.zip(balances.first().map(|balance| balance.customer_id))
    else {
        return Ok(contracts);
    };
    let drafts = of_drafts(db, environment_id, customer_id, uncounted, now, |_| true).await?;
    let accounts = accounts(db, environment_id, customer_id, balances, &drafts).await?;
    let mut found: BTreeMap<BalanceId, Reckoned> =
        accounts.iter().map(|account| (account.balance.id, reckoned(account, asked, now))).collect();
    let mut amounts: BTreeMap<BalanceId, BalanceTerms> =
        accounts.into_iter().map(|account| (account.balance.id, account.balance.terms)).collect();
    for whole in &mut contracts {
        for balance in whole.balances.current.iter_mut().map(|whole| &mut whole.balance) {
            balance.terms = amounts.remove(&balance.id).unwrap_or_else(|| balance.terms.clone());
        }
        let own = whole.balances.current.iter().map(|whole| whole.balance.id);
        whole.balances.reckoned = own.filter_map(|id| found.remove_entry(&id)).collect();
    }
    Ok(contracts)
}
