//! What is paid for commits, as scheduled charges.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::store;
use super::terms::{Balance, BalanceType, Payment};
use crate::contract::scheduled_charge::{
    ItemPrice, PaymentItem, PlannedItem, ScheduleItem, ScheduledCharge, Standing, VoidChange,
    balances_paid_on, bring_back, change_pending, change_void, insert_or_add, items_of_balances,
    remove_pending,
};
use crate::contract::{self, Contract};
use crate::id::{BalanceId, CustomerId, EnvironmentId, ScheduleItemId, ScheduledChargeId, deterministic};
use crate::job;
use crate::time::Instant;

/// Why the payments of a commit cannot become what its terms say.
#[derive(Debug, thiserror::Error)]
pub enum PaymentsError {
    /// A payment that is changed is on a finalized invoice, or one that is left out is on an invoice that is not a draft.
    #[error("payment {0} is on an invoice that is finalized or void")]
    OnInvoice(ScheduleItemId),
    /// A payment that is changed was taken away as its contract came to end before it. (Where nothing is invoiced any more, the
    /// amount of what was taken over may still change with what is left of its origin.)
    #[error("payment {0} was removed with an earlier end of its contract")]
    Removed(ScheduleItemId),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl PaymentsError {
    /// For whoever changes no terms, so that nothing can be refused.
    #[must_use]
    pub fn into_fault(self) -> sqlx::Error {
        match self {
            Self::Database(error) => error,
            fixed @ (Self::OnInvoice(_) | Self::Removed(_)) => sqlx::Error::Protocol(fixed.to_string()),
        }
    }
}

/// The charge whose items are what is invoiced for a commit: nothing where nothing is paid or nothing is to be invoiced,
/// for a true-up that is disabled, and for a commit that is archived.
///
/// Its id follows from what its lines say, so that an invoice that is finalized goes on naming the charge that it was
/// made of while the pending payments of the commit move to another one (our decision).
#[must_use]
pub fn charge_of(balance: &Balance) -> Option<ScheduledCharge> {
    let terms = &balance.terms;
    let payments = terms.payments.as_ref().filter(|payments| !payments.do_not_invoice)?;
    let contract_id = terms.invoice_contract_id.or(balance.contract_id)?;
    let is_true_up = balance.balance_type == BalanceType::Postpaid;
    let is_over = balance.archived_at.is_some() || (is_true_up && terms.is_true_up_disabled);
    if is_over || balance.is_credit() || payments.items.is_empty() {
        return None;
    }
    let (balance_id, contract, product) =
        (balance.id.to_string(), contract_id.to_string(), terms.product_id.to_string());
    let unit = payments.credit_type.id.to_string();
    let mut said = vec![balance_id.as_str(), &contract, &product, &unit];
    said.extend(terms.name.as_deref());
    Some(ScheduledCharge {
        contract_id,
        id: ScheduledChargeId(deterministic("charge of a commit", &said)),
        product_id: terms.product_id,
        name: terms.name.clone(),
        unit: payments.credit_type.clone(),
        netsuite_sales_order_id: None,
        created_at: balance.created_at,
        balance_id: Some(balance.id),
        is_true_up,
        items: payments.items.iter().map(ScheduleItem::from).collect(),
    })
}

impl From<&Payment> for ScheduleItem {
    fn from(payment: &Payment) -> Self {
        let price =
            ItemPrice { unit_price: payment.unit_price.0.clone(), quantity: payment.quantity.0.clone() };
        Self::new(payment.id, PlannedItem { dated_at: payment.dated_at, price })
    }
}

/// Makes the scheduled charges of a commit what its terms say, whether it is new, edited or archived; what is due for its
/// contracts is left to [`crate::contract::schedule_payments`]. The caller holds the customer.
///
/// Payments that an earlier end of their contract removed stay removed, and as they were, until a later one brings them back
/// ([`bring_back_payments`]). One that is on an invoice cannot be
/// left out, and one that is on a finalized invoice cannot change (documentation page on editing contracts).
///
/// One that is on a void invoice may change, which the page allows. Nothing that was taken back is billed again by itself (our
/// decision): what is changed of its price or its name is billed when the invoice is regenerated. An invoice is of one date
/// and one contract, though. So a payment that is given another date leaves the void invoice and is pending again, for
/// whoever gives it one wants it billed then; and what became void as its contract was archived or later, of which nothing
/// is regenerated, goes with the commit to another contract. What somebody took back before that stays so.
pub async fn keep_payments(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
    now: Instant,
) -> Result<(), PaymentsError> {
    let kept = items_of_balances(db, environment_id, balance.customer_id, &[balance.id.0]).await?;
    let charge = charge_of(balance);
    let Changes { added, changed, of_void, removed } = changes(balance, charge.as_ref(), &kept)?;
    let customer_id = balance.customer_id;
    let is_changed = !added.is_empty() || !changed.is_empty() || !of_void.is_empty();
    if let Some(charge) = charge.filter(|_| is_changed) {
        insert_or_add(db, environment_id, customer_id, &charge, added).await?;
        change_pending(db, environment_id, customer_id, &charge, &changed).await?;
        change_void(db, environment_id, customer_id, &of_void).await?;
    }
    remove_pending(db, environment_id, customer_id, &removed, now).await?;
    if charge_of(balance).is_none() {
        job::remove(db, environment_id, job::kind::FINALIZE_TRUE_UP, balance.id.0).await?;
    }
    Ok(())
}

/// The payments of a commit that are not pending, as the end of its contract moves.
#[derive(Debug, Default)]
pub struct StandingPayments {
    /// Those on finalized invoices.
    pub billed: BTreeSet<ScheduleItemId>,
    /// Those of its terms that an end of its contract took away, each with its date.
    pub removed: BTreeMap<Uuid, Instant>,
}

impl StandingPayments {
    /// Those that were taken away and are dated at an end of the contract or later.
    #[must_use]
    pub fn removed_from(&self, end: Option<Instant>) -> Vec<Uuid> {
        let is_over = |dated_at: &Instant| end.is_some_and(|end| end <= *dated_at);
        self.removed.iter().filter(|(_, dated_at)| is_over(dated_at)).map(|(id, _)| *id).collect()
    }

    #[must_use]
    pub fn removed_ids(&self) -> Vec<Uuid> {
        self.removed.keys().copied().collect()
    }
}

/// The payments of a commit that are on finalized invoices, and those that an end of its contract took away.
pub async fn payments_that_stand(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
) -> Result<StandingPayments, sqlx::Error> {
    let kept = items_of_balances(db, environment_id, balance.customer_id, &[balance.id.0]).await?;
    let agreed = balance.terms.payments.iter().flat_map(|payments| &payments.items);
    let agreed: BTreeSet<ScheduleItemId> = agreed.map(|payment| payment.id).collect();
    let is_billed = |payment: &&PaymentItem| payment.standing == Standing::Finalized;
    let is_removed =
        |payment: &&PaymentItem| payment.item.removed_at.is_some() && agreed.contains(&payment.item.id);
    Ok(StandingPayments {
        billed: kept.iter().filter(is_billed).map(|payment| payment.item.id).collect(),
        removed: kept
            .iter()
            .filter(is_removed)
            .map(|payment| (payment.item.id.0, payment.item.dated_at))
            .collect(),
    })
}

/// Makes payments for commits of a contract pending again that an earlier end took away, where that is later by now: what may be
/// drawn again is paid for again (our decision: else a move of the end and back would leave a commit that nobody pays for).
/// `is_in_time` says of a commit and the date of a payment for it whether the contract still bills it. The caller holds the
/// customer.
pub async fn bring_back_payments(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    is_in_time: impl Fn(&Balance, Instant) -> bool,
    now: Instant,
) -> Result<(), sqlx::Error> {
    let customer_id = contract.customer_id;
    let all = super::of_contracts(db, environment_id, customer_id, &[contract.id.0], None).await?;
    let commits =
        all.into_iter().filter(|balance| charge_of(balance).is_some_and(|charge| !charge.is_true_up));
    let commits: BTreeMap<BalanceId, Balance> = commits.map(|balance| (balance.id, balance)).collect();
    let ids: Vec<Uuid> = commits.keys().map(|id| id.0).collect();
    let kept = items_of_balances(db, environment_id, customer_id, &ids).await?;
    let mut back: BTreeMap<BalanceId, Vec<Uuid>> = BTreeMap::new();
    for PaymentItem { balance_id, item, .. } in kept.iter().filter(|one| one.item.removed_at.is_some()) {
        let balance = &commits[balance_id];
        let payments = balance.terms.payments.iter().flat_map(|payments| &payments.items);
        let is_agreed = payments.into_iter().any(|payment| payment.id == item.id);
        if is_agreed && is_in_time(balance, item.dated_at) {
            back.entry(*balance_id).or_default().push(item.id.0);
        }
    }
    for (balance_id, ids) in back {
        bring_back(db, environment_id, customer_id, &ids).await?;
        // Its name may be another one by now.
        let balance = &commits[&balance_id];
        keep_payments(db, environment_id, balance, now).await.map_err(PaymentsError::into_fault)?;
    }
    Ok(())
}

/// Makes the payments that are on invoices which became void what their commits say by now: while an invoice is final they stay as
/// they were billed, under whatever name and for whichever contract the commit is since. The caller holds the customer.
pub async fn keep_payments_of_void(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    invoice_ids: &[Uuid],
    now: Instant,
) -> Result<(), sqlx::Error> {
    let commits = balances_paid_on(db, environment_id, customer_id, invoice_ids).await?;
    for id in &commits {
        let commit = store::find(db, environment_id, customer_id, *id).await?;
        let commit = commit.ok_or(sqlx::Error::RowNotFound)?;
        keep_payments(db, environment_id, &commit, now).await.map_err(PaymentsError::into_fault)?;
    }
    if !commits.is_empty() {
        contract::schedule_payments(db, environment_id, customer_id).await?;
    }
    Ok(())
}

/// What is to happen to the payments of a commit.
#[derive(Debug, Default)]
pub struct Changes {
    pub added: Vec<ScheduleItem>,
    /// Pending ones.
    pub changed: Vec<ScheduleItem>,
    /// Those that are on void invoices.
    pub of_void: Vec<VoidChange>,
    pub removed: Vec<Uuid>,
}

impl Changes {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { added, changed, of_void, removed } = self;
        added.is_empty() && changed.is_empty() && of_void.is_empty() && removed.is_empty()
    }
}

/// What is to happen to the payments that are kept for a commit, so that they are what its terms say, which `charge` is made of.
pub fn changes(
    balance: &Balance,
    charge: Option<&ScheduledCharge>,
    kept: &[PaymentItem],
) -> Result<Changes, PaymentsError> {
    let agreed: BTreeMap<ScheduleItemId, ScheduleItem> = {
        let payments = balance.terms.payments.iter().flat_map(|payments| &payments.items);
        payments.map(|payment| (payment.id, ScheduleItem::from(payment))).collect()
    };
    let mut changes = Changes::default();
    for payment in kept {
        let PaymentItem { charge_id, item, standing, .. } = payment;
        let agreed = agreed.get(&item.id);
        let same =
            agreed.is_some_and(|agreed| agreed.dated_at == item.dated_at && agreed.price == item.price);
        let is_fixed = match standing {
            Standing::Pending => false,
            Standing::Finalized => !same,
            Standing::Void | Standing::VoidWithContract => agreed.is_none(),
        };
        if is_fixed {
            return Err(PaymentsError::OnInvoice(item.id));
        }
        if item.invoice_id.is_some() {
            changes
                .of_void
                .extend(charge.zip(agreed).and_then(|(charge, agreed)| void_change(payment, charge, agreed)));
        } else if item.removed_at.is_none() {
            match charge.zip(agreed) {
                None => changes.removed.push(item.id.0),
                Some((charge, _)) if same && charge.id == *charge_id => {}
                Some((_, agreed)) => changes.changed.push(agreed.clone()),
            }
        } else if charge.is_some() && agreed.is_some() && !same {
            return Err(PaymentsError::Removed(item.id));
        }
    }
    let items = charge.iter().flat_map(|charge| &charge.items);
    let new = items.filter(|item| kept.iter().all(|kept| kept.item.id != item.id));
    changes.added.extend(new.cloned());
    Ok(changes)
}

/// What is to become of a payment that is on a void invoice; nothing where it is so already, or is on a finalized one.
fn void_change(payment: &PaymentItem, charge: &ScheduledCharge, agreed: &ScheduleItem) -> Option<VoidChange> {
    let PaymentItem { contract_id, charge_id, item, standing, .. } = payment;
    let is_of_contract = charge.contract_id == *contract_id;
    let leaves = match standing {
        Standing::Pending | Standing::Finalized => return None,
        Standing::Void => agreed.dated_at != item.dated_at,
        // The contract bills nothing any more, on whatever date.
        Standing::VoidWithContract => !is_of_contract,
    };
    // What stays on an invoice stays with its contract.
    let goes_with =
        if leaves || is_of_contract { (charge.id, charge.contract_id) } else { (*charge_id, *contract_id) };
    let is_as_agreed = agreed.dated_at == item.dated_at && agreed.price == item.price;
    let is_changed = leaves || !is_as_agreed || goes_with.0 != *charge_id;
    is_changed.then(|| VoidChange {
        charge_id: goes_with.0,
        contract_id: goes_with.1,
        item: ScheduleItem { invoice_id: item.invoice_id, ..agreed.clone() },
        stays: !leaves,
    })
}

/// The payments of these commits as they are scheduled: on which invoice they are, and which an earlier end of their
/// contract removed. What is not invoiced at all is not among them.
pub async fn payments_of(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    balance_ids: &[Uuid],
) -> Result<BTreeMap<ScheduleItemId, ScheduleItem>, sqlx::Error> {
    let items = items_of_balances(db, environment_id, customer_id, balance_ids).await?;
    Ok(items.into_iter().map(|payment| (payment.item.id, payment.item)).collect())
}
