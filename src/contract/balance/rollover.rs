//! What renewals take over of commits and credits (reference on rollovers).
//!
//! What was taken over is a balance of its own on the new contract. Its amount follows from what is left of its origin
//! until it is made final, before the first usage invoice of the new contract is: until then a late event under the old
//! contract still changes it. An invoice of something else that the new contract buys on its first day changes nothing:
//! the old contract's last usage is still to come then (the reference's example of a renewal with a grace period).

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::payments::charge_of;
use super::store::{self, Added, Columns, with_units};
use super::terms::{
    AccessType, Balance, BalanceTerms, BalanceType, Origin, Payment, PaymentSchedule, RolledOver, Segment,
};
use super::whole::entity_of;
use crate::contract::Contract;
use crate::contract::scheduled_charge;
use crate::custom_field;
use crate::id::{
    BalanceId, ContractId, CreditTypeId, CustomerId, EnvironmentId, RecurringGrantId, ScheduleItemId,
    SegmentId, deterministic,
};
use crate::money::{Decimal, Number, is_positive, zero};
use crate::time::Instant;

/// What a renewal took of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The balance that took it over.
    pub balance_id: BalanceId,
    pub contract_id: ContractId,
    pub origin_id: BalanceId,
    pub segment_id: SegmentId,
    pub at: Instant,
    /// Zero or above.
    pub amount: Decimal,
    /// Nothing changes it any more.
    pub is_final: bool,
}

/// All that renewals took over from one customer's commits and credits.
#[derive(Clone, Debug, Default)]
pub struct Rollovers {
    /// By creation and id.
    taking: Vec<Balance>,
    origins: BTreeMap<BalanceId, Balance>,
    /// What was taken of each segment for good.
    finally: BTreeMap<SegmentId, Decimal>,
}

impl Rollovers {
    /// What took something over from one customer's commits and credits, by creation and id, and what it was taken of.
    #[must_use]
    pub fn of(taking: Vec<Balance>, origins: impl IntoIterator<Item = Balance>) -> Self {
        let finally = finally_taken(&taking);
        Self { taking, origins: origins.into_iter().map(|origin| (origin.id, origin)).collect(), finally }
    }

    /// Those of one customer, as they are, or as they were when `up_to` was the newest version of any of its balances.
    pub async fn load(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        customer_id: CustomerId,
        up_to: Option<Added>,
    ) -> Result<Self, sqlx::Error> {
        let mut all = Self::load_all(db, environment_id, &[customer_id.0], up_to).await?;
        Ok(all.remove(&customer_id).unwrap_or_default())
    }

    /// Those of each of these customers that has any.
    pub async fn load_all(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        customer_ids: &[Uuid],
        up_to: Option<Added>,
    ) -> Result<BTreeMap<CustomerId, Self>, sqlx::Error> {
        if customer_ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut all: BTreeMap<CustomerId, (Vec<Balance>, Vec<Balance>)> = BTreeMap::new();
        for balance in taking(db, environment_id, customer_ids, up_to).await? {
            all.entry(balance.customer_id).or_default().0.push(balance);
        }
        let ids: Vec<(CustomerId, BalanceId)> =
            all.values().flat_map(|(taking, _)| origins_of(taking)).collect();
        if !ids.is_empty() {
            for origin in origins(db, environment_id, &ids, up_to).await? {
                all.entry(origin.customer_id).or_default().1.push(origin);
            }
        }
        let of = |(id, (taking, origins))| (id, Self::of(taking, origins));
        Ok(all.into_iter().map(of).collect())
    }

    /// The balances that something may still be taken of, for which draws are needed, each after its customer.
    pub fn origins_of_live(&self) -> impl Iterator<Item = (CustomerId, BalanceId)> {
        origins_of(self.taking.iter().filter(|one| is_live(one)))
    }

    /// Their segments of which something is.
    pub fn segments_of_live(&self) -> impl Iterator<Item = SegmentId> {
        let live = self.taking.iter().filter(|one| is_live(one));
        live.filter_map(|one| one.terms.rolled_over.as_ref().map(|rolled_over| rolled_over.segment_id))
    }

    /// All that a contract took over, or all contracts did.
    pub fn taken_by(&self, contract_id: Option<ContractId>) -> impl Iterator<Item = &Balance> {
        self.taking.iter().filter(move |one| contract_id.is_none() || one.contract_id == contract_id)
    }

    /// Those of a contract whose amount is not final.
    pub fn live_of(&self, contract_id: ContractId) -> impl Iterator<Item = &Balance> {
        self.taking.iter().filter(move |one| one.contract_id == Some(contract_id) && is_live(one))
    }

    /// The balance with this id, if its amount is not final.
    pub fn live(&self, id: BalanceId) -> impl Iterator<Item = &Balance> {
        self.taking.iter().filter(move |one| one.id == id && is_live(one))
    }

    /// Those that took over of this balance and whose amount is not final.
    pub fn live_from(&self, origin_id: BalanceId) -> impl Iterator<Item = &Balance> {
        let is_from = move |one: &Balance| one.origin.is_some_and(|origin| origin.balance_id == origin_id);
        self.taking.iter().filter(move |one| is_from(one) && is_live(one))
    }

    /// A balance that took something over from this contract and is not archived.
    #[must_use]
    pub fn standing_from(&self, contract_id: ContractId) -> Option<&Balance> {
        let is_from = |one: &Balance| one.origin.is_some_and(|origin| origin.contract_id == contract_id);
        self.taking.iter().find(|one| one.archived_at.is_none() && is_from(one))
    }

    /// Whether anything was taken of this balance for good, or is taken of it now.
    #[must_use]
    pub fn is_origin(&self, origin_id: BalanceId) -> bool {
        self.live_from(origin_id).next().is_some() || self.is_final_origin(origin_id)
    }

    /// Whether anything was taken of this balance for good.
    #[must_use]
    pub fn is_final_origin(&self, origin_id: BalanceId) -> bool {
        let is_from = |one: &Balance| one.origin.is_some_and(|origin| origin.balance_id == origin_id);
        self.taking.iter().any(|one| is_from(one) && is_final(one) && is_positive(&amount(one)))
    }

    /// What was taken of a segment for good: what may be drawn of it is so much less, also where a void invoice gave back what
    /// it had drawn.
    #[must_use]
    pub fn finally_taken(&self, segment_id: SegmentId) -> Decimal {
        self.finally.get(&segment_id).cloned().unwrap_or_default()
    }

    /// What is taken of every segment that anything is taken of, where `drawn` was drawn of it: zero or below.
    #[must_use]
    pub fn taken(&self, drawn: impl Fn(SegmentId) -> Decimal) -> Vec<Taken> {
        self.taking.iter().filter_map(|one| self.taken_as(one, &drawn)).collect()
    }

    fn taken_as(&self, one: &Balance, drawn: impl Fn(SegmentId) -> Decimal) -> Option<Taken> {
        let (origin, rolled_over) = (one.origin?, one.terms.rolled_over.as_ref()?);
        let segment_id = rolled_over.segment_id;
        let at = one.terms.span().start;
        let amount = if rolled_over.is_final {
            amount(one)
        } else {
            let from = self.origins.get(&origin.balance_id).filter(|_| is_live(one))?;
            may_be_taken(from, segment_id, at, drawn(segment_id) - self.finally_taken(segment_id))
        };
        Some(Taken {
            balance_id: one.id,
            contract_id: one.contract_id?,
            origin_id: origin.balance_id,
            segment_id,
            at,
            amount,
            is_final: rolled_over.is_final,
        })
    }

    /// Gives what was taken over the amount that it has, where that is not final.
    pub fn resolve(&self, balance: &mut Balance, drawn: impl Fn(SegmentId) -> Decimal) {
        if is_live(balance)
            && let Some(taken) = self.taken_as(balance, drawn)
        {
            set_amount(&mut balance.terms, taken.amount);
        }
    }
}

/// What was taken over is of one customer with its origin; several may be of one.
pub(super) fn origins_of<'b>(
    taking: impl IntoIterator<Item = &'b Balance>,
) -> impl Iterator<Item = (CustomerId, BalanceId)> {
    let origin = |one: &Balance| one.origin.map(|origin| (one.customer_id, origin.balance_id));
    let origins: BTreeSet<_> = taking.into_iter().filter_map(origin).collect();
    origins.into_iter()
}

fn finally_taken(taking: &[Balance]) -> BTreeMap<SegmentId, Decimal> {
    let mut taken = BTreeMap::new();
    for one in taking.iter().filter(|one| is_final(one)) {
        if let Some(rolled_over) = &one.terms.rolled_over {
            *taken.entry(rolled_over.segment_id).or_insert_with(zero) += amount(one);
        }
    }
    taken
}

/// Whether the amount of a balance is still what is left of its origin.
#[must_use]
pub fn is_live(balance: &Balance) -> bool {
    balance.archived_at.is_none() && balance.terms.rolled_over.as_ref().is_some_and(|one| !one.is_final)
}

/// What was taken for good stays taken; where its contract is archived later, it is what was drawn of it by then.
fn is_final(balance: &Balance) -> bool {
    balance.terms.rolled_over.as_ref().is_some_and(|one| one.is_final)
}

/// What was granted in all its segments.
fn amount(balance: &Balance) -> Decimal {
    balance.terms.segments.iter().map(|segment| &segment.amount.0).sum()
}

/// What a renewal at `at` may take of a segment of which so much was drawn (zero or below): what is left, and at most the
/// fraction of what the segment began with. Nothing of a segment that is not open just before.
fn may_be_taken(origin: &Balance, segment_id: SegmentId, at: Instant, drawn: Decimal) -> Decimal {
    let fraction = origin.terms.rollover_fraction.as_ref();
    let segment = origin.segment(segment_id).filter(|segment| is_open_just_before(segment, at));
    let Some((Number(fraction), segment)) = fraction.zip(segment) else { return zero() };
    let left = &segment.amount.0 + origin.terms.manual(segment_id) + drawn;
    (fraction * &segment.amount.0).min(left).max(zero()).normalized()
}

fn is_open_just_before(segment: &Segment, at: Instant) -> bool {
    segment.starting_at < at && at <= segment.ending_before
}

/// What was taken over as it is from now on, whatever becomes of its origin. `drawn_up_to` is the newest draw of its customer.
#[must_use]
pub fn made_final(mut balance: Balance, amount: Decimal, drawn_up_to: i64) -> Balance {
    set_amount(&mut balance.terms, amount);
    if let Some(rolled_over) = &mut balance.terms.rolled_over {
        (rolled_over.is_final, rolled_over.drawn_up_to) = (true, Some(drawn_up_to));
    }
    balance
}

/// What was taken over by a contract that is archived, where `used` of it (zero or above) stays drawn or billed as short: the
/// rest was never taken, and nothing of what is not final. More is used than was taken where somebody wrote more into it by hand,
/// and what somebody took out of it by hand is used too. What was to be paid for it stays as it was agreed, for an invoice may be
/// about it.
#[must_use]
pub fn given_back(balance: &Balance, used: &Decimal) -> Balance {
    let manual: Decimal = balance.terms.manual_entries.iter().map(|entry| &entry.amount.0).sum();
    let taken = if is_final(balance) { amount(balance) } else { zero() };
    let kept = (used - manual.min(zero())).min(taken);
    let mut given_back = balance.clone();
    set_amount(&mut given_back.terms, kept.normalized());
    given_back.terms.payments.clone_from(&balance.terms.payments);
    if let Some(rolled_over) = &mut given_back.terms.rolled_over {
        rolled_over.is_final = true;
    }
    given_back
}

fn set_amount(terms: &mut BalanceTerms, amount: Decimal) {
    for segment in &mut terms.segments {
        segment.amount = Number(amount.clone());
    }
    for payment in terms.payments.iter_mut().flat_map(|payments| &mut payments.items) {
        (payment.unit_price, payment.quantity) = (Number(amount.clone()), Number(1.into()));
    }
}

/// What a contract takes over of a balance of the contract that it renews: of each segment that is open just before it
/// starts, a balance. Each begins with all that may be taken.
#[must_use]
pub fn successors(origin: &Balance, to: &Contract) -> Vec<Balance> {
    let has_fraction = origin.terms.rollover_fraction.as_ref().is_some_and(|one| is_positive(&one.0));
    let takes_part = has_fraction && origin.archived_at.is_none() && origin.origin.is_none();
    let Some(from) = origin.contract_id.filter(|_| takes_part) else { return Vec::new() };
    let open = origin.terms.segments.iter().filter(|segment| is_open_just_before(segment, to.starting_at));
    open.map(|segment| successor(origin, from, segment, to)).collect()
}

fn successor(origin: &Balance, from: ContractId, segment: &Segment, to: &Contract) -> Balance {
    let parts = [segment.id.to_string(), to.id.to_string()];
    let id = |kind| deterministic(kind, &[&parts[0], &parts[1]]);
    let start = to.starting_at;
    let end = to.ending_before.unwrap_or_else(|| start + (segment.ending_before - segment.starting_at));
    let amount = may_be_taken(origin, segment.id, start, zero());
    let promised = origin.terms.payments.as_ref().filter(|_| origin.balance_type == BalanceType::Postpaid);
    let payments = promised.map(|promised| PaymentSchedule {
        items: vec![Payment {
            id: ScheduleItemId(id("true-up of a rollover")),
            dated_at: end,
            unit_price: Number(amount.clone()),
            quantity: Number(1.into()),
        }],
        ..promised.clone()
    });
    Balance {
        id: BalanceId(id("rollover")),
        contract_id: Some(to.id),
        recurring_id: None,
        origin: Some(Origin { balance_id: origin.id, contract_id: from }),
        uniqueness_key: None,
        created_at: start,
        created_by: None,
        added: 0,
        terms: BalanceTerms {
            description: None,
            segments: vec![Segment {
                id: SegmentId(id("segment of a rollover")),
                amount: Number(amount),
                starting_at: start,
                ending_before: end,
            }],
            manual_entries: Vec::new(),
            invoice_contract_id: payments.as_ref().map(|_| to.id),
            payments,
            rollover_fraction: None,
            rolled_over: Some(RolledOver { segment_id: segment.id, is_final: false, drawn_up_to: None }),
            netsuite_sales_order_id: None,
            salesforce_opportunity_id: None,
            ..origin.terms.clone()
        },
        ..origin.clone()
    }
}

/// Keeps what a contract takes over, with its custom fields and the true-ups of promises; one that is there already stays.
/// The caller holds the customer, and makes the true-ups due.
pub async fn take_over(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    taken_over: Vec<Balance>,
) -> Result<(), sqlx::Error> {
    for balance in taken_over {
        if store::find(db, environment_id, balance.customer_id, balance.id).await?.is_none() {
            store::insert(db, environment_id, &balance).await?;
            let charge = charge_of(&balance);
            scheduled_charge::insert(db, environment_id, balance.customer_id, charge.as_slice()).await?;
            if let Some(origin) = balance.origin {
                let entity = entity_of(&balance);
                custom_field::copy(db, environment_id, entity, origin.balance_id.0, balance.id.0).await?;
            }
        }
    }
    Ok(())
}

/// Whether the customer has anything taken over whose amount is not final.
pub async fn has_live(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM balance
                          WHERE environment_id = $1 AND customer_id = $2 AND origin_id IS NOT NULL
                            AND archived_at IS NULL AND terms -> 'rolled_over' ->> 'is_final' = 'false') AS "exists!""#,
        environment_id.0,
        customer_id.0,
    )
    .fetch_one(db)
    .await
}

/// All that took something over, archived ones too, by creation and id. Every calculation of invoices asks for it: there is an
/// index that has nothing else.
async fn taking(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_ids: &[Uuid],
    up_to: Option<Added>,
) -> Result<Vec<Balance>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT balance.customer_id AS "customer_id: CustomerId", id AS "id: BalanceId",
                  type AS "balance_type: BalanceType", contract_id AS "contract_id: ContractId",
                  access_type AS "access_type: AccessType", credit_type_id AS "credit_type_id: CreditTypeId",
                  recurring_id AS "recurring_id: RecurringGrantId", origin_id AS "origin_id: BalanceId",
                  origin_contract_id AS "origin_contract_id: ContractId", uniqueness_key, created_at, created_by,
                  version.terms AS "terms: Json<BalanceTerms>", version.archived_at, version.added
           FROM balance
           CROSS JOIN LATERAL (
               SELECT terms, archived_at, added FROM balance_version
               WHERE balance_version.environment_id = $1 AND balance_version.customer_id = balance.customer_id
                 AND balance_version.balance_id = balance.id AND balance_version.added <= coalesce($3, added)
               ORDER BY added DESC LIMIT 1
           ) AS version
           WHERE balance.environment_id = $1 AND balance.customer_id = ANY($2) AND origin_id IS NOT NULL
           ORDER BY created_at, id"#,
        environment_id.0,
        customer_ids,
        up_to,
    )
    .fetch_all(&mut *db)
    .await?;
    with_units(db, environment_id, rows).await
}

/// What it was taken of, each after its customer.
pub(super) async fn origins(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[(CustomerId, BalanceId)],
    up_to: Option<Added>,
) -> Result<Vec<Balance>, sqlx::Error> {
    let (customers, ids): (Vec<Uuid>, Vec<Uuid>) =
        ids.iter().map(|(customer, balance)| (customer.0, balance.0)).unzip();
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT balance.customer_id AS "customer_id: CustomerId", id AS "id: BalanceId",
                  type AS "balance_type: BalanceType", contract_id AS "contract_id: ContractId",
                  access_type AS "access_type: AccessType", credit_type_id AS "credit_type_id: CreditTypeId",
                  recurring_id AS "recurring_id: RecurringGrantId", origin_id AS "origin_id: BalanceId",
                  origin_contract_id AS "origin_contract_id: ContractId", uniqueness_key, created_at, created_by,
                  version.terms AS "terms: Json<BalanceTerms>", version.archived_at, version.added
           FROM unnest($2::uuid[], $3::uuid[]) AS given (customer_id, balance_id)
           JOIN balance ON balance.environment_id = $1 AND balance.customer_id = given.customer_id
                AND balance.id = given.balance_id
           CROSS JOIN LATERAL (
               SELECT terms, archived_at, added FROM balance_version
               WHERE balance_version.environment_id = $1 AND balance_version.customer_id = given.customer_id
                 AND balance_version.balance_id = given.balance_id AND balance_version.added <= coalesce($4, added)
               ORDER BY added DESC LIMIT 1
           ) AS version"#,
        environment_id.0,
        &customers,
        &ids,
        up_to,
    )
    .fetch_all(&mut *db)
    .await?;
    with_units(db, environment_id, rows).await
}
