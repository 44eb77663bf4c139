//! The commits and credits that contracts are shown with.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::history::{first_terms, versions_as_of};
use super::listing::of_contracts;
use super::rollover::is_live;
use super::terms::Balance;
use super::view::{CommitV1, CommitV2, CreditV1, CreditV2, Reckoned};
use super::whole::{WholeBalance, whole_balances};
use crate::contract::Contract;
use crate::id::{BalanceId, ContractId, CustomerId, EnvironmentId};
use crate::time::Instant;

/// Most commits of a contract that v2 shows inside it, and most credits (our decision: a recurring grant makes one every
/// period, for years).
const SHOWN_MAX: usize = 100;

/// How many of a contract's commits and credits to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    All,
    /// The commits and the credits that end last, of each so many that v2 shows.
    Last,
}

/// The commits and credits of a contract, and those that it was made with.
#[derive(Clone, Debug, Default)]
pub struct BalancesOfContract {
    /// By creation and id.
    pub current: Vec<WholeBalance>,
    /// As they were when the contract was made with them.
    pub initial: Vec<WholeBalance>,
    pub has_more_commits: bool,
    pub has_more_credits: bool,
    /// What was reckoned of those of `current`, if it was asked for.
    pub reckoned: BTreeMap<BalanceId, Reckoned>,
}

impl BalancesOfContract {
    /// Those of each of a customer's contracts that has any, in a fixed number of queries.
    pub async fn load(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        contracts: &[Contract],
        cap: Cap,
        now: Instant,
    ) -> Result<BTreeMap<ContractId, Self>, sqlx::Error> {
        let mut loaded: BTreeMap<ContractId, Self> = BTreeMap::new();
        let Some(customer_id) = contracts.first().map(|contract| contract.customer_id) else {
            return Ok(loaded);
        };
        let contract_ids: Vec<Uuid> = contracts.iter().map(|contract| contract.id.0).collect();
        let most = Some(SHOWN_MAX + 1).filter(|_| cap == Cap::Last);
        let balances = of_contracts(db, environment_id, customer_id, &contract_ids, most).await?;
        if balances.is_empty() {
            return Ok(loaded);
        }
        let ids: Vec<Uuid> = balances.iter().map(|balance| balance.id.0).collect();
        let mut first = first_terms(db, environment_id, customer_id, &ids).await?;
        let made_at: BTreeMap<ContractId, Instant> =
            contracts.iter().map(|contract| (contract.id, contract.created_at)).collect();
        for whole in whole_balances(db, environment_id, customer_id, balances, None, now).await? {
            let balance = &whole.balance;
            let Some(contract_id) = balance.contract_id else { continue };
            let of_contract = loaded.entry(contract_id).or_default();
            let is_made_by_request = balance.recurring_id.is_none() && balance.origin.is_none();
            if is_made_by_request
                && made_at.get(&contract_id) == Some(&balance.created_at)
                && let Some(terms) = first.remove(&balance.id)
            {
                let mut initial = whole.clone();
                (initial.balance.terms, initial.balance.archived_at) = (terms, None);
                initial.payments.values_mut().for_each(|item| item.removed_at = None);
                of_contract.initial.push(initial);
            }
            of_contract.current.push(whole);
        }
        if cap == Cap::Last {
            for of_contract in loaded.values_mut() {
                of_contract.has_more_commits = of_contract.keep_last(false);
                of_contract.has_more_credits = of_contract.keep_last(true);
            }
        }
        Ok(loaded)
    }

    /// Leaves out the one too many that ends first; whether there was one.
    fn keep_last(&mut self, credits: bool) -> bool {
        let of_kind = |whole: &&WholeBalance| whole.balance.is_credit() == credits;
        if self.current.iter().filter(of_kind).count() <= SHOWN_MAX {
            return false;
        }
        let first_end = self.current.iter().filter(of_kind).min_by_key(|whole| {
            let Balance { id, terms, .. } = &whole.balance;
            (terms.span().end, *id)
        });
        let id = first_end.expect("there are more than are shown").balance.id;
        self.current.retain(|whole| whole.balance.id != id);
        true
    }

    /// Makes it what was known at an instant. A change at the instant itself was known.
    pub async fn go_back_to(
        &mut self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        customer_id: CustomerId,
        at: Instant,
    ) -> Result<(), sqlx::Error> {
        self.current.retain(|whole| whole.balance.created_at <= at);
        let ids: Vec<Uuid> = self.current.iter().map(|whole| whole.balance.id.0).collect();
        let mut versions = versions_as_of(db, environment_id, customer_id, &ids, at).await?;
        for whole in &mut self.current {
            if let Some((terms, archived_at)) = versions.remove(&whole.balance.id) {
                let now = std::mem::replace(&mut whole.balance.terms, terms);
                whole.balance.archived_at = archived_at;
                if is_live(&whole.balance) {
                    // What a renewal took over is what it is known to be now: it was never written down.
                    let terms = &mut whole.balance.terms;
                    (terms.segments, terms.payments) = (now.segments, now.payments);
                }
            }
            for item in whole.payments.values_mut() {
                item.removed_at = item.removed_at.filter(|removed_at| *removed_at <= at);
                item.invoiced_at = item.invoiced_at.filter(|invoiced_at| *invoiced_at <= at);
                item.invoice_id = item.invoice_id.filter(|_| item.invoiced_at.is_some());
            }
        }
        Ok(())
    }

    fn of_kind(&self, credits: bool) -> impl Iterator<Item = (&WholeBalance, Reckoned)> {
        let of_kind = self.current.iter().filter(move |whole| whole.balance.is_credit() == credits);
        of_kind.map(|whole| (whole, self.reckoned.get(&whole.balance.id).cloned().unwrap_or_default()))
    }

    #[must_use]
    pub fn commits_v1(&self) -> Vec<CommitV1> {
        self.of_kind(false).map(|(whole, reckoned)| CommitV1::new(whole, reckoned)).collect()
    }

    #[must_use]
    pub fn credits_v1(&self) -> Vec<CreditV1> {
        self.of_kind(true).map(|(whole, reckoned)| CreditV1::new(whole, reckoned)).collect()
    }

    #[must_use]
    pub fn commits_v2(&self) -> Vec<CommitV2> {
        self.of_kind(false).map(|(whole, reckoned)| CommitV2::new(whole, reckoned)).collect()
    }

    #[must_use]
    pub fn credits_v2(&self) -> Vec<CreditV2> {
        self.of_kind(true).map(|(whole, reckoned)| CreditV2::new(whole, reckoned)).collect()
    }

    /// What the contract was made with, without anything reckoned.
    #[must_use]
    pub fn initial_v1(&self) -> (Vec<CommitV1>, Vec<CreditV1>) {
        let (credits, commits): (Vec<_>, Vec<_>) =
            self.initial.iter().partition(|whole| whole.balance.is_credit());
        (
            commits.into_iter().map(|whole| CommitV1::new(whole, Reckoned::default())).collect(),
            credits.into_iter().map(|whole| CreditV1::new(whole, Reckoned::default())).collect(),
        )
    }
}
