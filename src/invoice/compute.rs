//! Loading what an invoice needs and calculating it.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::calc::{empty_usage_invoice, usage_invoice};
use super::model::Invoice;
use crate::contract::Contract;
use crate::customer;
use crate::error::ApiError;
use crate::event::subject_id;
use crate::id::{CustomerId, EnvironmentId, RateCardId, SubjectId};
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

/// Calculates invoices from what one transaction sees, loading each rate card and each customer's subjects
/// once.
pub struct Calculator<'a> {
    db: &'a mut PgConnection,
    environment_id: EnvironmentId,
    terms: BTreeMap<Option<RateCardId>, Terms>,
    subjects: BTreeMap<CustomerId, Vec<SubjectId>>,
}

impl<'a> Calculator<'a> {
    pub fn new(db: &'a mut PgConnection, environment_id: EnvironmentId) -> Self {
        Self { db, environment_id, terms: BTreeMap::new(), subjects: BTreeMap::new() }
    }

    /// The usage invoice of one statement as a draft.
    pub async fn usage_invoice(
        &mut self,
        contract: &Contract,
        period: Period,
    ) -> Result<Invoice, ComputeError> {
        self.load(contract).await?;
        let terms = &self.terms[&contract.rate_card_id];
        let subjects = &self.subjects[&contract.customer_id];
        let cuts = cuts(terms, period);
        let usage = load_usage(self.db, self.environment_id, subjects, terms, &cuts, period).await?;
        Ok(usage_invoice(contract, terms, &usage, &cuts, period)?)
    }

    /// Like [`Calculator::usage_invoice`] for readers: one that cannot be calculated is shown with its reason.
    pub async fn draft(&mut self, contract: &Contract, period: Period) -> Result<Invoice, ApiError> {
        match self.usage_invoice(contract, period).await {
            Ok(invoice) => Ok(invoice),
            Err(ComputeError::Database(error)) => Err(error.into()),
            Err(ComputeError::Amount(reason)) => {
                let mut invoice = empty_usage_invoice(contract, period);
                invoice.calculation_error = Some(reason);
                Ok(invoice)
            }
        }
    }

    async fn load(&mut self, contract: &Contract) -> Result<(), LoadError> {
        if !self.terms.contains_key(&contract.rate_card_id) {
            let terms = load_terms(self.db, self.environment_id, contract.rate_card_id).await?;
            self.terms.insert(contract.rate_card_id, terms);
        }
        if !self.subjects.contains_key(&contract.customer_id) {
            let received =
                customer::subjects_by_customer(self.db, self.environment_id, &[contract.customer_id.0])
                    .await?;
            let ids = received.values().flatten().map(|received| subject_id(self.environment_id, received));
            self.subjects.insert(contract.customer_id, ids.collect());
        }
        Ok(())
    }

    /// The strings in events that mean the contract's customer, once an invoice of it was calculated.
    pub fn subjects_of(&self, contract: &Contract) -> &[SubjectId] {
        self.subjects.get(&contract.customer_id).map_or(&[], Vec::as_slice)
    }

    pub fn db(&mut self) -> &mut PgConnection {
        self.db
    }
}
