//! Loading what an invoice needs and calculating it.

use sqlx::PgConnection;

use super::calc::{empty_usage_invoice, usage_invoice};
use super::model::Invoice;
use crate::contract::Contract;
use crate::customer;
use crate::error::ApiError;
use crate::event::subject_id;
use crate::id::EnvironmentId;
use crate::money::Overflow;
use crate::rating::calc::cuts;
use crate::rating::{LoadError, Terms, load_terms, load_usage};
use crate::time::Period;
use crate::usage::UsageError;

/// Why an invoice cannot be calculated.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// What was agreed or used makes a number that cannot be billed.
    #[error("{0}")]
    Amount(String),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<Overflow> for ComputeError {
    fn from(error: Overflow) -> Self {
        Self::Amount(error.to_string())
    }
}

impl From<LoadError> for ComputeError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Database(error) | LoadError::Usage(UsageError::Database(error)) => {
                Self::Database(error)
            }
            LoadError::Usage(error @ UsageError::Quantity(_)) => Self::Amount(error.to_string()),
        }
    }
}

/// The usage invoice of one statement as a draft, from what `db` sees now.
pub async fn compute_usage_invoice(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    period: Period,
) -> Result<Invoice, ComputeError> {
    let terms = load_terms(db, environment_id, contract.rate_card_id).await?;
    calculate(db, environment_id, contract, &terms, period).await
}

/// Like [`compute_usage_invoice`] for readers: a draft that cannot be calculated is shown with its reason.
pub async fn draft_usage_invoice(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    period: Period,
) -> Result<Invoice, ApiError> {
    let terms = load_terms(db, environment_id, contract.rate_card_id)
        .await
        .map_err(ComputeError::from);
    let terms = match terms {
        Ok(terms) => terms,
        Err(ComputeError::Database(error)) => return Err(error.into()),
        Err(ComputeError::Amount(reason)) => return Err(ApiError::internal("terms have no amounts", reason)),
    };
    match calculate(db, environment_id, contract, &terms, period).await {
        Ok(invoice) => Ok(invoice),
        Err(ComputeError::Database(error)) => Err(error.into()),
        Err(ComputeError::Amount(reason)) => {
            let mut invoice = empty_usage_invoice(contract, &terms.unit, period);
            invoice.calculation_error = Some(reason);
            Ok(invoice)
        }
    }
}

async fn calculate(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    contract: &Contract,
    terms: &Terms,
    period: Period,
) -> Result<Invoice, ComputeError> {
    let mut subjects = customer::subjects_by_customer(db, environment_id, &[contract.customer_id.0]).await?;
    let subjects = subjects.remove(&contract.customer_id).unwrap_or_default();
    let subject_ids: Vec<_> = subjects
        .iter()
        .map(|received| subject_id(environment_id, received))
        .collect();
    let cuts = cuts(terms, period);
    let usage = load_usage(db, environment_id, &subject_ids, terms, &cuts, period).await?;
    Ok(usage_invoice(contract, terms, &usage, &cuts, period)?)
}
