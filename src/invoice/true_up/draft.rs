//! True-ups that are drafts.

use std::collections::BTreeMap;

use super::calc::{due_item, empty_true_up_invoice, true_up_invoice};
use super::finalize::left_of;
use crate::contract::Contract;
use crate::contract::balance::{self, Balance, Rollovers, TrueUp};
use crate::drawdown::drawn;
use crate::id::{BalanceId, ContractId, CustomerId, EnvironmentId, SegmentId};
use crate::invoice::billable_status::set_billable_status;
use crate::invoice::compute::Calculator;
use crate::invoice::model::Invoice;
use crate::invoice::scheduled::FixedProducts;
use crate::invoice::store;
use crate::money::{Decimal, is_positive};
use crate::time::Instant;
use sqlx::PgConnection;

/// A true-up of which it is not known yet whether anything is short.
pub struct Draft {
    /// The invoice without its line.
    pub header: Invoice,
    balance: Balance,
    true_up: TrueUp,
}

/// The true-ups of all contracts of a customer that are not final, also those of which nothing is short.
pub async fn drafts(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contracts: &BTreeMap<ContractId, Contract>,
) -> Result<Vec<Draft>, sqlx::Error> {
    let balances = balance::with_pending_true_up(db, environment_id, customer_id, None).await?;
    if balances.is_empty() {
        return Ok(Vec::new());
    }
    let all: Vec<Contract> = contracts.values().cloned().collect();
    let ids: Vec<(CustomerId, BalanceId)> =
        balances.iter().map(|balance| (customer_id, balance.id)).collect();
    let taken = store::true_up_ids(db, environment_id, &ids).await?;
    let draft = |balance: Balance| {
        let true_up = TrueUp::of(&balance, &all)?;
        let contract = contracts.get(&true_up.contract_id)?;
        let header = empty_true_up_invoice(contract, &balance, &true_up, &taken)?;
        Some(Draft { header, balance, true_up })
    };
    Ok(balances.into_iter().filter_map(draft).collect())
}

impl Draft {
    /// The drafts with their lines, as they are read at `now`; without those of which nothing is short. A draft of usage
    /// that cannot be calculated spends nothing.
    pub async fn calculate(
        drafts: Vec<Self>,
        calculator: &mut Calculator<'_>,
        environment_id: EnvironmentId,
        now: Instant,
    ) -> Result<Vec<Invoice>, sqlx::Error> {
        let Some(first) = drafts.first() else { return Ok(Vec::new()) };
        let customer_id = first.header.customer_id;
        let (rollovers, drawn) = drawn_of(&drafts, calculator, environment_id, customer_id, now).await?;
        let mut invoices = Vec::with_capacity(drafts.len());
        for Self { mut header, balance, true_up } in drafts {
            set_billable_status(calculator.db(), environment_id, &mut header).await?;
            let short = left_of(&balance, &rollovers, &drawn);
            let Some(item) =
                due_item(&balance, &true_up, short).filter(|item| is_positive(&item.price.amount()))
            else {
                continue;
            };
            let products =
                FixedProducts::load(calculator.db(), environment_id, std::slice::from_ref(&item)).await?;
            invoices.push(true_up_invoice(header, item, &products, now));
        }
        Ok(invoices)
    }
}

/// What finalized invoices and drafts drew of each segment, zero or below, and what renewals take over.
async fn drawn_of(
    drafts: &[Draft],
    calculator: &mut Calculator<'_>,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    now: Instant,
) -> Result<(Rollovers, BTreeMap<SegmentId, Decimal>), sqlx::Error> {
    let rollovers = Rollovers::load(calculator.db(), environment_id, customer_id, None).await?;
    let own = drafts.iter().map(|draft| (customer_id, draft.balance.id));
    let ids = own.chain(rollovers.origins_of_live());
    let mut drawn = drawn(calculator.db(), environment_id, ids, None).await?;
    for draw in calculator.draft_draws(customer_id, now).await? {
        *drawn.entry(draw.segment_id).or_default() += draw.amount;
    }
    Ok((rollovers, drawn))
}
