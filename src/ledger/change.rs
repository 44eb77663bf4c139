//! What every change of a commit or credit begins with.

use sqlx::PgConnection;

use crate::access::{self, App, Writer};
use crate::contract::balance::{
    self, Balance, BalanceType, PaymentsError, Rollovers, Settled, keep_payments,
};
use crate::contract::scheduled_charge::{Standing, items_of_balances};
use crate::contract::{self, renewal};
use crate::drawdown;
use crate::error::ApiError;
use crate::id::{BalanceId, CustomerId, EnvironmentId};
use crate::invoice::begin_caught_up;
use crate::money::zero;
use crate::time::Instant;

/// Whether the operation is about commits or about credits: an id of the other names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Commit,
    Credit,
}

impl Subject {
    /// How it is called, and its id in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Credit => "credit",
        }
    }

    fn is(self, balance: &Balance) -> bool {
        balance.is_credit() == (self == Self::Credit)
    }

    /// That a v2 operation knows none with this id: it documents no 404.
    pub fn unknown_in_v2(self, id: BalanceId) -> ApiError {
        let name = self.name();
        ApiError::field(&format!("{name}_id"), format!("{name} {id} was not found"))
    }

    pub fn archived(self) -> ApiError {
        ApiError::field(&format!("{}_id", self.name()), format!("the {} is archived", self.name()))
    }
}

/// A commit or credit of the customer, if it has one with this id.
pub async fn find(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    subject: Subject,
    id: BalanceId,
) -> Result<Option<Balance>, sqlx::Error> {
    let balance = balance::find(db, environment_id, customer_id, id).await?;
    Ok(balance.filter(|balance| subject.is(balance)))
}

/// [`begin_caught_up`] for a v2 operation, which answers 400 for an unknown customer.
pub async fn begin_v2(
    app: &App,
    caller: &Writer,
    customer_id: CustomerId,
) -> Result<access::Change, ApiError> {
    match begin_caught_up(app, caller, customer_id).await {
        Ok((change, _)) => Ok(change),
        Err(ApiError::NotFound(_)) => Err(contract::customer_not_found(customer_id)),
        Err(error) => Err(error),
    }
}

/// Keeps a balance that was changed, and makes its scheduled payments what its terms say now. The caller holds the customer.
///
/// 400 where a payment that is changed is on a finalized invoice, where one that is left out is on an invoice that is not a draft,
/// and where one that is changed was removed with an earlier end of its contract.
pub async fn keep(db: &mut PgConnection, caller: &Writer, balance: &Balance) -> Result<(), ApiError> {
    let environment_id = caller.environment_id();
    let change = balance::Change { at: caller.now, by: Some(&caller.token_name) };
    balance::save(db, environment_id, balance, change).await?;
    hand_over(db, environment_id, balance).await?;
    if balance.is_credit() {
        return Ok(());
    }
    match keep_payments(db, environment_id, balance, caller.now).await {
        Ok(()) => {}
        Err(PaymentsError::Database(error)) => return Err(error.into()),
        Err(fixed @ (PaymentsError::OnInvoice(_) | PaymentsError::Removed(_))) => {
            return Err(ApiError::field("invoice_schedule", fixed));
        }
    }
    contract::schedule_payments(db, environment_id, balance.customer_id).await?;
    Ok(())
}

/// Has a contract that renewed that of a balance take over what was opened just before it, but for a promise of which the rest is
/// billed.
async fn hand_over(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
) -> Result<(), sqlx::Error> {
    let has_fraction = balance.terms.rollover_fraction.is_some();
    let Some(contract_id) = balance.contract_id.filter(|_| has_fraction) else { return Ok(()) };
    let is_promise = balance.balance_type == BalanceType::Postpaid;
    if is_promise && !settled(db, environment_id, balance).await?.finalized.is_empty() {
        return Ok(());
    }
    let contract = contract::find(db, environment_id, balance.customer_id, contract_id).await?;
    let contract = contract.ok_or(sqlx::Error::RowNotFound)?;
    renewal::hand_over(db, environment_id, &contract, std::slice::from_ref(balance)).await
}

/// What finalized invoices hold fast of a balance.
pub async fn settled(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
) -> Result<Settled, sqlx::Error> {
    let customer_id = balance.customer_id;
    let drawn = drawdown::drawn(db, environment_id, [(customer_id, balance.id)], None).await?;
    let payments = items_of_balances(db, environment_id, customer_id, &[balance.id.0]).await?;
    let invoiced = payments.iter().filter(|payment| payment.standing != Standing::Pending);
    let finalized = payments.iter().filter(|payment| payment.standing == Standing::Finalized);
    Ok(Settled {
        drawn: drawn.into_iter().filter(|(_, amount)| *amount != zero()).map(|(id, _)| id).collect(),
        invoiced: invoiced.map(|payment| payment.item.id).collect(),
        finalized: finalized.map(|payment| payment.item.id).collect(),
    })
}

/// 400 where a renewal took over what was left of the balance and its amount is final: when it may be used and how much of it
/// there is, is settled then (documentation page on editing contracts).
pub async fn access_is_open(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
    field: &str,
) -> Result<(), ApiError> {
    let rollovers = Rollovers::load(db, environment_id, balance.customer_id, None).await?;
    if rollovers.is_final_origin(balance.id) {
        let reason = "a renewal took over what was left of it, and the new contract has a finalized invoice";
        return Err(ApiError::field(field, reason));
    }
    Ok(())
}

/// 400 where a renewal takes over what is left of the balance and its contract has ended: what is paid for it is settled then
/// (documentation page on editing contracts).
pub async fn payments_are_open(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balance: &Balance,
    field: &str,
    now: Instant,
) -> Result<(), ApiError> {
    let Some(contract_id) = balance.contract_id else { return Ok(()) };
    let rollovers = Rollovers::load(db, environment_id, balance.customer_id, None).await?;
    if !rollovers.is_origin(balance.id) {
        return Ok(());
    }
    let contract = contract::find(db, environment_id, balance.customer_id, contract_id).await?;
    if contract.and_then(|contract| contract.ending_before).is_some_and(|end| end <= now) {
        let reason = "a renewal took over what was left of it, and its contract has ended";
        return Err(ApiError::field(field, reason));
    }
    Ok(())
}
