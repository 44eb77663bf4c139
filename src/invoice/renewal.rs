//! A contract that renews another: the old one ends where it starts, and it takes over what is left there (reference on
//! rollovers).

use sqlx::PgConnection;
use uuid::Uuid;

use super::end::move_end;
use super::store;
use crate::access::Writer;
use crate::contract::balance::{
    self, Balance, BalanceType, BalancesOfContract, Cap, PaymentsError, Rollovers, TrueUp, given_back,
    keep_payments, made_final, successors, take_over,
};
use crate::contract::create::{self, NewContract};
use crate::contract::renewal::{self, Transition, TransitionInput, TransitionType};
use crate::contract::{self, Contract, WholeContract};
use crate::customer::CustomerRow;
use crate::drawdown;
use crate::error::{ApiError, NotComputable};
use crate::id::{BalanceId, ContractId, CustomerId, EnvironmentId};
use crate::money::{Decimal, is_positive};
use crate::time::{Instant, shown};

/// The field that names the old contract.
const FROM: &str = "transition.from_contract_id";

/// Makes a contract that renews another one of its customer. What the answer says of what it takes over counts finalized
/// invoices alone.
///
/// Beside what refuses any contract, 400 for a contract that the customer does not have, that is archived, that starts later or
/// when the new one does, that a contract has renewed already, or that has a usage invoice of the time of the new one, be it
/// void: what is made in its place would bill usage twice (our decision).
pub async fn create(
    db: &mut PgConnection,
    caller: &Writer,
    transition: &TransitionInput,
    new: NewContract,
) -> Result<(CustomerRow, WholeContract), ApiError> {
    let environment_id = caller.environment_id();
    let customer_id = new.customer_id;
    let at = new.starting_at;
    let from = transition.from_contract_id;
    let old = contract::lock(db, environment_id, customer_id, from).await.map_err(|error| match error {
        // That of another customer looks missing.
        ApiError::NotFound(_) => {
            ApiError::field(FROM, format!("customer {customer_id} has no contract {from}"))
        }
        error => error,
    })?;
    check(&old, at)?;
    // What takes part is what the old contract has before its end cuts it.
    let was_over = old.ending_before.is_some_and(|end| end < at);
    let mut own = balance::of_contracts(db, environment_id, customer_id, &[old.id.0], None).await?;
    // What is billed as short of a promise is promised no more: nothing of it is left.
    let promises = own.iter().filter(|balance| balance.balance_type == BalanceType::Postpaid);
    let promises: Vec<_> = promises.map(|balance| (customer_id, balance.id)).collect();
    let billed = store::trued_up(db, environment_id, &promises).await?;
    own.retain(|balance| !was_over && !billed.contains_key(&balance.id));
    let ended =
        Contract { ending_before: Some(old.ending_before.map_or(at, |end| end.min(at))), ..old.clone() };
    if ended.ending_before != old.ending_before {
        move_end(db, environment_id, &old, &ended, caller.now, &caller.token_name).await?;
    }
    let (customer, mut whole) = create::create(db, caller, new).await?;
    let transition_kept = Transition {
        transition_type: TransitionType::Renewal,
        from_contract_id: old.id,
        to_contract_id: whole.contract.id,
        made_at: caller.now,
    };
    renewal::insert(db, environment_id, customer_id, transition_kept).await?;
    let taken_over = own.iter().flat_map(|balance| successors(balance, &whole.contract)).collect();
    take_over(db, environment_id, taken_over).await?;
    if transition.removes_true_ups() {
        remove_true_ups(db, caller, &ended, at).await?;
    }
    contract::schedule_true_ups(db, environment_id, customer_id).await?;
    whole.transitions = vec![transition_kept];
    whole.balances = balances(db, environment_id, &whole.contract, caller.now).await?;
    Ok((customer, whole))
}

fn check(old: &Contract, at: Instant) -> Result<(), ApiError> {
    if old.archived_at.is_some() {
        return Err(ApiError::field(FROM, "the contract is archived"));
    }
    if at <= old.starting_at {
        return Err(ApiError::field(
            "starting_at",
            "must be after the start of the contract that is renewed",
        ));
    }
    let billed_until = old.finalized_until;
    if billed_until > at && billed_until > old.first_statement_at() {
        let billed_until = shown(billed_until);
        let reason = format!("the contract that is renewed has usage invoices until {billed_until}");
        return Err(ApiError::field("starting_at", reason));
    }
    Ok(())
}

/// The commits and credits of the new contract, with what is left to take over by finalized invoices.
async fn balances(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    new: &Contract,
    now: Instant,
) -> Result<BalancesOfContract, sqlx::Error> {
    let of_contracts = std::slice::from_ref(new);
    let mut loaded = BalancesOfContract::load(db, environment_id, of_contracts, Cap::All, now).await?;
    let mut balances = loaded.remove(&new.id).unwrap_or_default();
    let rollovers = Rollovers::load(db, environment_id, new.customer_id, None).await?;
    let drawn = drawdown::drawn(db, environment_id, rollovers.origins_of_live(), None).await?;
    for whole in &mut balances.current {
        rollovers.resolve(&mut whole.balance, |id| drawn.get(&id).cloned().unwrap_or_default());
    }
    Ok(balances)
}

/// Has nobody bill what is short of the promises of a contract that was ended, from `at` on. What the new contract takes over
/// of them stays promised there.
async fn remove_true_ups(
    db: &mut PgConnection,
    caller: &Writer,
    ended: &Contract,
    at: Instant,
) -> Result<(), ApiError> {
    let environment_id = caller.environment_id();
    let customer_id = ended.customer_id;
    let contracts = contract::list_of_customer(db, environment_id, customer_id).await?;
    let pending = balance::with_pending_true_up(db, environment_id, customer_id, None).await?;
    for mut promise in pending.into_iter().filter(|promise| promise.contract_id == Some(ended.id)) {
        let is_to_come = TrueUp::of(&promise, &contracts).is_none_or(|true_up| true_up.dated_at >= at);
        if is_to_come {
            promise.terms.is_true_up_disabled = true;
            let change = balance::Change { at: caller.now, by: Some(&caller.token_name) };
            keep(db, environment_id, &promise, change).await?;
        }
    }
    Ok(())
}

/// Keeps a changed balance whose payments are on no invoice.
async fn keep(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
    change: balance::Change<'_>,
) -> Result<(), sqlx::Error> {
    balance::save(db, environment_id, balance, change).await?;
    keep_payments(db, environment_id, balance, change.at).await.map_err(PaymentsError::into_fault)
}

/// Makes final what contracts of different customers took over, before the first usage invoice of each is finalized, which may
/// draw it. It waits until the old contract has billed all of its time, so nothing is taken over later.
pub(super) async fn settle_to(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contracts: impl IntoIterator<Item = &Contract>,
    now: Instant,
) -> Result<(), sqlx::Error> {
    let is_first = |contract: &&Contract| contract.finalized_until <= contract.first_statement_at();
    let contracts: Vec<&Contract> = contracts.into_iter().filter(is_first).collect();
    let customer_ids: Vec<Uuid> = contracts.iter().map(|contract| contract.customer_id.0).collect();
    let rollovers = Rollovers::load_all(db, environment_id, &customer_ids, None).await?;
    for contract in contracts {
        if let Some(rollovers) = rollovers.get(&contract.customer_id) {
            let live: Vec<Balance> = rollovers.live_of(contract.id).cloned().collect();
            settle(db, environment_id, contract.customer_id, rollovers, live, now).await?;
        }
    }
    Ok(())
}

/// Makes final what was taken of a promise, and the promise itself where it was taken over, before what is short of it is
/// billed.
pub(super) async fn settle_promise(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    promise: BalanceId,
    now: Instant,
) -> Result<(), sqlx::Error> {
    let rollovers = Rollovers::load(db, environment_id, customer_id, None).await?;
    let live: Vec<Balance> = rollovers.live_from(promise).chain(rollovers.live(promise)).cloned().collect();
    settle(db, environment_id, customer_id, &rollovers, live, now).await
}

/// What turns out to be nothing, also with what was written into it by hand, is archived. A statement of an old contract that is
/// not final yet, as it could not be computed, is an error: the work is put off until it is, so that what it draws is not taken
/// over as well.
async fn settle(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    rollovers: &Rollovers,
    live: Vec<Balance>,
    now: Instant,
) -> Result<(), sqlx::Error> {
    if live.is_empty() {
        return Ok(());
    }
    let contracts = contract::list_of_customer(db, environment_id, customer_id).await?;
    let is_open = |contract: &Contract| contract.archived_at.is_none() && contract.next_statement().is_some();
    for origin in live.iter().filter_map(|balance| balance.origin) {
        if contracts.iter().any(|contract| contract.id == origin.contract_id && is_open(contract)) {
            let id = origin.contract_id;
            let reason = format!("a usage statement of contract {id}, which was renewed, is not finalized");
            return Err(NotComputable::new(reason).into());
        }
    }
    let drawn = drawdown::drawn(db, environment_id, rollovers.origins_of_live(), None).await?;
    let taken = rollovers.taken(|id| drawn.get(&id).cloned().unwrap_or_default());
    let newest = store::newest_of_balances(db, environment_id, &[customer_id.0]).await?;
    let newest_draw = newest.get(&customer_id).map_or(0, |(_, draw)| *draw);
    for balance in live {
        if let Some(taken) = taken.iter().find(|taken| taken.balance_id == balance.id) {
            let mut settled = made_final(balance, taken.amount.clone(), newest_draw);
            // What somebody wrote into it by hand is not nothing.
            let of_segments = settled.terms.segments.iter().map(|segment| settled.terms.manual(segment.id));
            let granted = &taken.amount + of_segments.sum::<Decimal>();
            let is_nothing = !is_positive(&taken.amount) && !is_positive(&granted);
            settled.archived_at = is_nothing.then_some(now);
            keep(db, environment_id, &settled, balance::Change { at: now, by: None }).await?;
        }
    }
    Ok(())
}

/// Gives back what contracts that are archived took over, one contract or all of its customer, but for what their finalized
/// invoices drew of it, or billed as short of it, and keep (our decision: they were made by mistake). The caller has archived
/// them and what they had, and calls again as one of these invoices becomes void. Answers what gets something back.
pub(super) async fn give_back(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contract_id: Option<ContractId>,
    change: balance::Change<'_>,
) -> Result<Vec<BalanceId>, sqlx::Error> {
    let rollovers = Rollovers::load(db, environment_id, customer_id, None).await?;
    let taken: Vec<&Balance> = rollovers.taken_by(contract_id).collect();
    let mut origins = Vec::new();
    let ids = taken.iter().map(|balance| (customer_id, balance.id));
    let drawn = drawdown::drawn(db, environment_id, ids.clone(), None).await?;
    let billed = store::trued_up(db, environment_id, &ids.collect::<Vec<_>>()).await?;
    for balance in taken {
        let of_segments = balance.terms.segments.iter().filter_map(|segment| drawn.get(&segment.id));
        let short = billed.get(&balance.id).cloned().unwrap_or_default();
        let kept = given_back(balance, &(short - of_segments.sum::<Decimal>()));
        if kept != *balance {
            balance::save(db, environment_id, &kept, change).await?;
            origins.extend(balance.origin.map(|origin| origin.balance_id));
        }
    }
    Ok(origins)
}

/// [`give_back`] for one contract. 400 naming the field where a promise gets something back of which the rest is billed as short
/// already: it would be promised, and billed by nobody (our decision).
pub(super) async fn give_back_unless_billed(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    contract_id: ContractId,
    change: balance::Change<'_>,
    field: &str,
) -> Result<(), ApiError> {
    let origins = give_back(db, environment_id, customer_id, Some(contract_id), change).await?;
    let origins: Vec<_> = origins.into_iter().map(|id| (customer_id, id)).collect();
    let billed = store::trued_up(db, environment_id, &origins).await?;
    let Some(origin) = billed.keys().next() else { return Ok(()) };
    let reason = format!(
        "contract {contract_id} would give back to commit {origin} what it took over of it, and what was short of the rest is \
         invoiced already; void that invoice before, and regenerate it after"
    );
    Err(ApiError::field(field, reason))
}

/// Why a contract cannot end elsewhere or be archived: what another contract took over of it follows from its end. Nothing where
/// nothing was taken over.
pub(super) async fn held_by_renewal(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
) -> Result<Option<String>, sqlx::Error> {
    let rollovers = Rollovers::load(db, environment_id, contract.customer_id, None).await?;
    Ok(rollovers.standing_from(contract.id).and_then(|balance| balance.contract_id).map(|id| {
        format!("contract {id} renewed it and took over what was left of its commits and credits; archive that one first")
    }))
}
