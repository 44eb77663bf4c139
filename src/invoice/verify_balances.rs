//! Holding commits and credits against what they follow from.
//!
//! A balance is what its newest version says, and what is scheduled to be paid for it is what its terms say. A recurring one has made exactly the commits and credits of the periods that it came
//! to, each as the calendar has it, and the next one is due. What a renewal took over for good is what was left of its origin then;
//! a contract that is archived has given back what it did not use.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::store;
use crate::contract::balance::{self, BalanceTerms, History, Rollovers, Version, given_back};
use crate::contract::recurring_grant::{self, Calendar, RecurringGrant, child_id, child_where_ends};
use crate::contract::scheduled_charge::{PaymentItem, items_of_balances};
use crate::contract::{self, Contract};
use crate::drawdown;
use crate::id::{BalanceId, ContractId, CustomerId, EnvironmentId};
use crate::job;
use crate::money::{Decimal, plain};
use crate::postgres::begin_snapshot;
use crate::time::{Instant, shown};

const CUSTOMERS_AT_ONCE: i64 = 500;

/// A commit or credit that does not follow from what was agreed and drawn.
#[derive(Debug)]
pub struct BalanceFault {
    pub id: BalanceId,
    pub customer_id: CustomerId,
    /// In words, with amounts.
    pub finding: String,
}

/// What is wrong of which balance.
type Found = (BalanceId, String);

/// Looks at every commit and credit of an environment. Answers how many there are, and the faults.
pub async fn verify_balances(
    pool: &PgPool,
    environment_id: EnvironmentId,
) -> Result<(usize, Vec<BalanceFault>), sqlx::Error> {
    let (mut count, mut faults) = (0, Vec::new());
    let mut after = None;
    loop {
        let mut db = pool.acquire().await?;
        let customers =
            balance::customers_with_balances(&mut db, environment_id, after, CUSTOMERS_AT_ONCE).await?;
        drop(db);
        let Some(last) = customers.last() else { return Ok((count, faults)) };
        after = Some(*last);
        for customer_id in customers {
            let mut snapshot = begin_snapshot(pool).await?;
            let (of_customer, found) = verify_customer(&mut snapshot, environment_id, customer_id).await?;
            snapshot.rollback().await?;
            count += of_customer;
            faults.extend(found.into_iter().map(|(id, finding)| BalanceFault { id, customer_id, finding }));
        }
    }
}

async fn verify_customer(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<(usize, Vec<Found>), sqlx::Error> {
    let histories = balance::histories(db, environment_id, customer_id).await?;
    let contracts = contract::list_of_customer(db, environment_id, customer_id).await?;
    let own = histories.iter().filter_map(|history| Some((history.balance.id, contradiction(history)?)));
    let mut found: Vec<Found> = own.map(|(id, finding)| (id, finding.to_owned())).collect();
    found.extend(of_payments(db, environment_id, customer_id, &contracts, &histories).await?);
    for contract in &contracts {
        found.extend(of_grants(db, environment_id, contract, &histories).await?);
    }
    found.extend(of_rollovers(db, environment_id, customer_id, &contracts, &histories).await?);
    Ok((histories.len(), found))
}

/// What the row of a balance says against its newest version.
fn contradiction(History { balance, span, versions }: &History) -> Option<&'static str> {
    let Some(newest) = versions.last() else { return Some("has no version") };
    let is_newest = balance.added == newest.added
        && balance.terms == newest.terms
        && balance.archived_at == newest.archived_at;
    if !is_newest {
        return Some("is not what its newest version says");
    }
    (*span != balance.terms.span()).then_some("is looked for in a time that is not that of its segments")
}

/// The commits whose scheduled payments are not those of their terms, so that to make them so would change something. What an end
/// of its contract took away stays away while its contract ends before it.
async fn of_payments(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contracts: &[Contract],
    histories: &[History],
) -> Result<Vec<Found>, sqlx::Error> {
    let ids: Vec<Uuid> = histories.iter().map(|history| history.balance.id.0).collect();
    let mut kept: BTreeMap<BalanceId, Vec<PaymentItem>> = BTreeMap::new();
    for payment in items_of_balances(db, environment_id, customer_id, &ids).await? {
        kept.entry(payment.balance_id).or_default().push(payment);
    }
    let mut found = Vec::new();
    for History { balance, .. } in histories {
        let kept = kept.get(&balance.id).map(Vec::as_slice).unwrap_or_default();
        let charge = balance::charge_of(balance);
        let changes = balance::changes(balance, charge.as_ref(), kept);
        let mut is_wrong = !changes.is_ok_and(|changes| changes.is_empty());
        let agreed = |payment: &&PaymentItem| {
            charge.iter().flat_map(|charge| &charge.items).any(|item| item.id == payment.item.id)
        };
        for payment in kept.iter().filter(|payment| payment.item.removed_at.is_some()).filter(agreed) {
            is_wrong |= !is_taken_away(contracts, payment);
        }
        if is_wrong {
            found.push((balance.id, "has scheduled payments that are not what its terms say".to_owned()));
        }
    }
    Ok(found)
}

/// Whether the contract of a payment bills nothing of its date any more.
fn is_taken_away(contracts: &[Contract], payment: &PaymentItem) -> bool {
    let own = contracts.iter().find(|contract| contract.id == payment.contract_id);
    own.is_some_and(|contract| {
        let is_over = contract.ending_before.is_some_and(|end| end <= payment.item.dated_at);
        is_over || contract.archived_at.is_some()
    })
}

// -- recurring ones --

async fn of_grants(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    histories: &[History],
) -> Result<Vec<Found>, sqlx::Error> {
    let customer_id = contract.customer_id;
    let grants = recurring_grant::of_contract(db, environment_id, customer_id, contract.id).await?;
    if grants.is_empty() {
        return Ok(Vec::new());
    }
    let ends = contract::ends_ever(db, environment_id, contract).await?;
    let mut found = Vec::new();
    for grant in &grants {
        let of_grant = |history: &&History| history.balance.recurring_id == Some(grant.id);
        let children: BTreeMap<BalanceId, &History> =
            histories.iter().filter(of_grant).map(|history| (history.balance.id, history)).collect();
        found.extend(of_children(grant, contract, &ends, &children));
    }
    let next = recurring_grant::next_due(db, environment_id, contract).await?;
    let kind = job::kind::CREATE_RECURRING_BALANCES;
    if job::due_at(db, environment_id, kind, contract.id.0).await? != next {
        let next = next.map_or_else(|| "never".to_owned(), shown);
        let id = child_id(&grants[0], grants[0].granted_until);
        let of = format!("of contract {}", contract.id);
        found.push((
            id,
            format!("{of}: what recurring ones make next there is not due when it should be, {next}"),
        ));
    }
    Ok(found)
}

/// What differs between the commits and credits that a recurring one made and those that its calendar has: each was made as its
/// contract's end was at the time, which is one of those that it had.
fn of_children(
    grant: &RecurringGrant,
    contract: &Contract,
    ends: &[Option<Instant>],
    children: &BTreeMap<BalanceId, &History>,
) -> Vec<Found> {
    let calendar = Calendar::of(grant, contract);
    let starts = std::iter::successors(Some(calendar.start), |start| Some(calendar.next(*start)));
    let starts: Vec<Instant> = starts.take_while(|start| *start < grant.granted_until).collect();
    let ids: BTreeSet<BalanceId> = starts.iter().map(|start| child_id(grant, *start)).collect();
    let mut found: Vec<Found> = Vec::new();
    for (id, history) in children {
        if !ids.contains(id) && history.balance.archived_at.is_none() {
            found.push((*id, "is of a period that its recurring one has not come to".to_owned()));
        }
    }
    for start in starts {
        let id = child_id(grant, start);
        let made = children.get(&id).and_then(|history| history.versions.first());
        let could_be = |made: &Version| {
            let mut as_made = ends.iter().filter_map(|end| child_where_ends(grant, contract, *end, start));
            as_made.any(|child| child.terms == made.terms)
        };
        match made {
            None => found.push((id, format!("is missing for the period of {}", shown(start)))),
            Some(made) if could_be(made) => {}
            Some(_) => found.push((id, "was not made as its recurring one has it".to_owned())),
        }
    }
    found
}

// -- what renewals took over --

async fn of_rollovers(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contracts: &[Contract],
    histories: &[History],
) -> Result<Vec<Found>, sqlx::Error> {
    let taken: Vec<&History> = histories.iter().filter(|history| history.balance.origin.is_some()).collect();
    let ids: Vec<(CustomerId, BalanceId)> =
        taken.iter().map(|history| (customer_id, history.balance.id)).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let drawn = drawdown::drawn(db, environment_id, ids.clone(), None).await?;
    let billed = store::trued_up(db, environment_id, &ids).await?;
    let is_archived =
        |id: ContractId| contracts.iter().any(|contract| contract.id == id && contract.archived_at.is_some());
    let mut found = Vec::new();
    for history in taken {
        let balance = &history.balance;
        let settled = history.versions.iter().find(|version| settled_at(&version.terms).is_some());
        if let Some(settled) = settled {
            let left = left_then(db, environment_id, customer_id, balance.id, settled).await?;
            let (left, kept) = (left.unwrap_or_default(), granted(&settled.terms));
            if left != kept {
                let (left, kept) = (plain(&left), plain(&kept));
                found.push((balance.id, format!("took over {kept} of what had {left} left")));
            }
        }
        if balance.contract_id.is_some_and(is_archived) {
            let of_segments = balance.terms.segments.iter().filter_map(|segment| drawn.get(&segment.id));
            let short = billed.get(&balance.id).cloned().unwrap_or_default();
            let kept = given_back(balance, &(short - of_segments.sum::<Decimal>()));
            if kept.terms != balance.terms {
                let (is, kept) = (plain(&granted(&balance.terms)), plain(&granted(&kept.terms)));
                found.push((balance.id, format!("keeps {is} of what it took over, of which {kept} is used")));
            }
        } else if settled.is_some_and(|settled| granted(&settled.terms) != granted(&balance.terms)) {
            found.push((balance.id, "is not what was taken over for good".to_owned()));
        }
    }
    Ok(found)
}

/// The newest draw as its amount was made final.
fn settled_at(terms: &BalanceTerms) -> Option<i64> {
    terms.rolled_over.as_ref().and_then(|rolled_over| rolled_over.drawn_up_to)
}

fn granted(terms: &BalanceTerms) -> Decimal {
    terms.segments.iter().map(|segment| &segment.amount.0).sum()
}

/// What a balance could take over just before this version of it made that final.
async fn left_then(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    id: BalanceId,
    settled: &Version,
) -> Result<Option<Decimal>, sqlx::Error> {
    let up_to = Some(settled.added - 1);
    let rollovers = Rollovers::load(db, environment_id, customer_id, up_to).await?;
    let drawn =
        drawdown::drawn(db, environment_id, rollovers.origins_of_live(), settled_at(&settled.terms)).await?;
    let taken = rollovers.taken(|segment_id| drawn.get(&segment_id).cloned().unwrap_or_default());
    Ok(taken.into_iter().find(|taken| taken.balance_id == id).map(|taken| taken.amount))
}
