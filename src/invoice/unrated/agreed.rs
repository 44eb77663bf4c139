//! What contracts say of usage: where an invoice is final what that saw, elsewhere what they say now.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use sqlx::PgConnection;

use crate::contract::{self, Contract, Statement};
use crate::id::{CustomerId, EnvironmentId, RateCardId};
use crate::invoice::compute::as_seen;
use crate::invoice::store;
use crate::rating::calc::Deal;
use crate::rating::{Agreement, Newest, Terms, load_terms};
use crate::time::Period;

/// The terms of rate cards as they are, and as they were when some entry was the newest, each loaded once.
#[derive(Default)]
pub struct Cards(BTreeMap<(Option<RateCardId>, Option<Newest>), Arc<Terms>>);

impl Cards {
    async fn terms(
        &mut self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        rate_card_id: Option<RateCardId>,
        up_to: Option<Newest>,
    ) -> Result<Arc<Terms>, sqlx::Error> {
        Ok(match self.0.entry((rate_card_id, up_to)) {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => {
                let terms = load_terms(db, environment_id, rate_card_id, up_to).await?;
                entry.insert(Arc::new(terms)).clone()
            }
        })
    }
}

/// A contract and its prices, and the times of whose usage they say whether it is billed.
pub struct Agreed {
    pub contract: Contract,
    pub terms: Arc<Terms>,
    times: Vec<Period>,
}

/// What the contracts of a customer say of the usage of a period: a final invoice, what it was made of; the contract, of all else.
/// One that is archived bills nothing any more but what is final.
pub async fn of_customer(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    period: Period,
    cards: &mut Cards,
) -> Result<Vec<Agreed>, sqlx::Error> {
    let contracts = contract::list_of_customer(db, environment_id, customer_id).await?;
    let mut finals = store::final_usage(db, environment_id, customer_id, period).await?;
    let mut agreed = Vec::new();
    for contract in contracts {
        let own = finals.remove(&contract.id).unwrap_or_default();
        for (billed, seen) in &own {
            let contract = as_seen(&contract, seen);
            let newest = Some(seen.newest);
            let terms = cards.terms(db, environment_id, contract.rate_card_id, newest).await?;
            agreed.push(Agreed { contract, terms, times: vec![*billed] });
        }
        if contract.archived_at.is_none() {
            let terms = cards.terms(db, environment_id, contract.rate_card_id, None).await?;
            let times = beside(&contract, &own, period);
            agreed.push(Agreed { contract, terms, times });
        }
    }
    Ok(agreed)
}

/// The times of a contract that no final invoice is about, from its start until behind the last statement of the period.
fn beside<T>(contract: &Contract, finals: &[(Period, T)], period: Period) -> Vec<Period> {
    let last = contract.schedule.period_containing(period.end).end;
    let end = contract.ending_before.map_or(last, |end| end.min(last));
    let mut start = contract.starting_at;
    let mut times = Vec::new();
    for (billed, _) in finals {
        times.extend(Period::new(start, billed.start.min(end)));
        start = start.max(billed.end);
    }
    times.extend(Period::new(start, end));
    times
}

impl Agreed {
    /// What it says of usage in a period, for each of its times.
    pub fn deals(&self, period: Period) -> impl Iterator<Item = Deal<'_>> {
        self.times.iter().filter_map(move |time| {
            let in_force = period.clip(time.start, Some(time.end))?;
            let statement = Statement { calendar: in_force, counted: in_force, from: in_force.start };
            Some(Deal::new(Agreement::of(&self.contract, &self.terms, statement)))
        })
    }

    /// The statements that overlap a period, each whole.
    pub fn statements(&self, period: Period) -> impl Iterator<Item = Statement> {
        let (contract, first) = (&self.contract, self.contract.first_statement_at());
        let of_time = move |time: &Period| {
            let time = Period::new(time.start.max(first), time.end)?;
            let statement_at = move |at| {
                let end = contract.schedule.period_containing(at).end.min(time.end);
                Period::new(at, end)
            };
            Some(std::iter::successors(statement_at(time.start), move |last| statement_at(last.end)))
        };
        let statements = self.times.iter().filter_map(of_time).flatten();
        let statements = statements.filter(move |one| one.start < period.end && period.start < one.end);
        statements.map(|statement| contract.statement(statement))
    }
}
