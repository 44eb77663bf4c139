//! What is due for a customer is done before a request changes what it would be done to.
//!
//! Whether an invoice is final must not depend on how far a worker has come: an end that is moved, an archive or a
//! new billable status meets every statement and every charge whose time has come as finalized.

use std::time::Duration;

use super::compute::failure;
use super::finalize::finalize_usage_statements;
use super::scheduled::finalize_scheduled_invoice;
use super::true_up::finalize_true_up;
use crate::access::{App, Change, Writer};
use crate::contract::recurring_grant::create_recurring_balances;
use crate::customer::{self, CustomerRow};
use crate::error::{ApiError, is_transient};
use crate::id::CustomerId;
use crate::job;
use crate::usage::begin_settled_snapshot;

/// How often a contract that begins in the past may be made in between.
const ATTEMPTS: usize = 5;

/// How often a step gives way to a worker or another request, and for how long.
const YIELDS: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Begins a change of a customer's contracts or invoices, after doing what is due for them; the customer is locked.
///
/// 404 for an unknown customer; 503 where what is due cannot be done yet; 400 where an invoice that is due cannot be
/// computed.
pub async fn begin_caught_up(
    app: &App,
    caller: &Writer,
    customer_id: CustomerId,
) -> Result<(Change, CustomerRow), ApiError> {
    let environment_id = caller.environment_id();
    for _ in 0..ATTEMPTS {
        finalize_due(app, caller, customer_id).await?;
        let mut change = caller.begin(app).await?;
        let customer = customer::lock(&mut change, environment_id, customer_id).await?;
        if !job::is_due_for(&mut change, environment_id, customer_id, caller.now).await? {
            return Ok((change, customer));
        }
        change.abandon().await?;
    }
    Err(ApiError::Behind)
}

/// [`begin_caught_up`], in a snapshot that sees every arrival up to the number answered with the change: for one that makes
/// an invoice.
pub async fn begin_settled(
    app: &App,
    caller: &Writer,
    customer_id: CustomerId,
) -> Result<(Change, i64), ApiError> {
    let mut yields = 0;
    loop {
        match try_settled(app, caller, customer_id).await {
            Ok(Some(begun)) => return Ok(begun),
            Ok(None) if yields < ATTEMPTS => {}
            Ok(None) => return Err(ApiError::Behind),
            // Somebody else held the customer after the snapshot was taken.
            Err(ApiError::Busy(_)) if yields < YIELDS => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
        yields += 1;
    }
}

/// Nothing where something became due meanwhile.
async fn try_settled(
    app: &App,
    caller: &Writer,
    customer_id: CustomerId,
) -> Result<Option<(Change, i64)>, ApiError> {
    let environment_id = caller.environment_id();
    finalize_due(app, caller, customer_id).await?;
    let (snapshot, arrival) = begin_settled_snapshot(&app.db, environment_id).await?;
    let mut change = caller.begin_in(app, snapshot).await?;
    let locked = customer::lock(&mut change, environment_id, customer_id).await;
    let is_ready = match locked {
        Ok(_) => job::is_due_for(&mut change, environment_id, customer_id, caller.now)
            .await
            .map(|is_due| !is_due)
            .map_err(ApiError::from),
        Err(error) => Err(error),
    };
    match is_ready {
        Ok(true) => Ok(Some((change, arrival))),
        // Undone before another attempt, which holds the same idempotency key.
        other => {
            change.abandon().await?;
            other.map(|_| None)
        }
    }
}

/// Finalizes every invoice of the customer that is due by now, in order.
async fn finalize_due(app: &App, caller: &Writer, customer_id: CustomerId) -> Result<(), ApiError> {
    let mut yields = 0;
    loop {
        match finalize_next(app, caller, customer_id).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) if is_transient(&error) && yields < YIELDS => {
                yields += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(refusal(error)),
        }
    }
}

/// A step that cannot be done because its invoice cannot be computed is nothing that waiting mends.
fn refusal(error: sqlx::Error) -> ApiError {
    match failure(&error) {
        Some(failure) => ApiError::BadRequest(format!(
            "an invoice of this customer that is due cannot be finalized: {}",
            failure.reason
        )),
        None => error.into(),
    }
}

/// Does the customer's next step; false where none is due.
async fn finalize_next(app: &App, caller: &Writer, customer_id: CustomerId) -> Result<bool, sqlx::Error> {
    let (environment_id, now) = (caller.environment_id(), caller.now);
    if !job::is_due_for(&mut *app.db.acquire().await?, environment_id, customer_id, now).await? {
        return Ok(false);
    }
    let (mut transaction, arrival) = begin_settled_snapshot(&app.db, environment_id).await?;
    let Some(work) = job::take_of_customer(&mut transaction, environment_id, customer_id, now).await? else {
        return Ok(false);
    };
    match work.kind.as_str() {
        job::kind::CREATE_RECURRING_BALANCES => create_recurring_balances(&mut transaction, &work).await?,
        job::kind::FINALIZE_USAGE_STATEMENT => {
            finalize_usage_statements(&mut transaction, &[work], arrival).await?;
        }
        job::kind::FINALIZE_TRUE_UP => finalize_true_up(&mut transaction, &work).await?,
        _ => finalize_scheduled_invoice(&mut transaction, &work).await?,
    }
    transaction.commit().await?;
    Ok(true)
}
