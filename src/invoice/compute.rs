//! Loading what an invoice needs and calculating it.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::calc::{empty_usage_invoice, usage_invoice};
use super::model::{Invoice, InvoiceFailure};
use super::scheduled::calc::add_charges;
use super::scheduled::{FixedProducts, riding_items};
use crate::contract::Contract;
use crate::customer::{self, billable_status::status_at};
use crate::error::NotComputable;
use crate::event::{PreviewedEvent, first_seq_after, subject_id};
use crate::id::{BillableMetricId, CustomerId, EnvironmentId, RateCardId, SubjectId};
use crate::rating::calc::{cuts, filtered_cuts};
use crate::rating::{Newest, Terms, Usage, UsageScope, load_definitions, load_terms, load_usage};
use crate::time::{Instant, Period};
use crate::usage::calc::previewed_pieces;

/// What an invoice was calculated from, beside the facts and the contract.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What meant the customer in events.
    pub subject_ids: Vec<SubjectId>,
    /// The last rate of the card and the last update of its products that counted.
    pub newest: Newest,
    /// The contract's last usage filter that counted.
    pub usage_filter: Option<i64>,
}

/// Events that are only asked about.
pub struct Preview {
    pub events: Vec<PreviewedEvent>,
    /// They are taken for all that the customer used, else they are added to it.
    pub replaces: bool,
}

/// Calculates invoices from what one transaction sees, loading each rate card and each customer's subjects
/// once.
pub struct Calculator<'a> {
    db: &'a mut PgConnection,
    environment_id: EnvironmentId,
    terms: BTreeMap<Option<RateCardId>, Terms>,
    subjects: BTreeMap<CustomerId, Vec<SubjectId>>,
    preview: Option<Preview>,
    /// Set where queries see only what arrived before.
    before_seq: Option<i64>,
}

impl<'a> Calculator<'a> {
    pub fn new(db: &'a mut PgConnection, environment_id: EnvironmentId) -> Self {
        let (terms, subjects) = (BTreeMap::new(), BTreeMap::new());
        Self { db, environment_id, terms, subjects, preview: None, before_seq: None }
    }

    /// Calculates what invoices would be with the events of a preview.
    pub fn previewing(db: &'a mut PgConnection, environment_id: EnvironmentId, preview: Preview) -> Self {
        Self { preview: Some(preview), ..Self::new(db, environment_id) }
    }

    /// Calculates one contract from exactly what an earlier calculation saw, which was every event up to an arrival; the
    /// contract must be as it was seen, too.
    pub async fn as_seen(
        db: &'a mut PgConnection,
        environment_id: EnvironmentId,
        contract: &Contract,
        seen: &Seen,
        arrival: i64,
    ) -> Result<Self, sqlx::Error> {
        let terms = load_terms(db, environment_id, contract.rate_card_id, Some(seen.newest)).await?;
        Ok(Self {
            db,
            environment_id,
            terms: [(contract.rate_card_id, terms)].into(),
            subjects: [(contract.customer_id, seen.subject_ids.clone())].into(),
            preview: None,
            before_seq: Some(first_seq_after(arrival)),
        })
    }

    /// What the calculation of a contract's invoice saw, beside the facts.
    #[must_use]
    pub fn seen(&self, contract: &Contract) -> Seen {
        Seen {
            subject_ids: self.subjects.get(&contract.customer_id).cloned().unwrap_or_default(),
            newest: self.terms.get(&contract.rate_card_id).map(|terms| terms.newest).unwrap_or_default(),
            usage_filter: contract.usage_filters.newest(),
        }
    }

    /// The usage invoice of one statement as a draft, as it is read at `now`; without scheduled charges.
    pub async fn usage_invoice(
        &mut self,
        contract: &Contract,
        period: Period,
        now: Instant,
    ) -> Result<Invoice, sqlx::Error> {
        self.load(contract).await?;
        let terms = &self.terms[&contract.rate_card_id];
        let subjects = &self.subjects[&contract.customer_id];
        let counted = contract.counted_period(period);
        let cuts = filtered_cuts(cuts(terms, counted, period.start), &contract.usage_filters, counted);
        let mut usage = Usage::default();
        if !self.preview.as_ref().is_some_and(|preview| preview.replaces) {
            let scope = UsageScope {
                subject_ids: subjects,
                cuts: &cuts,
                period: counted,
                filters: &contract.usage_filters,
                before_seq: self.before_seq,
            };
            usage = load_usage(self.db, self.environment_id, terms, &scope).await?;
        }
        if let Some(preview) = &self.preview {
            let metrics = load_definitions(self.db, self.environment_id, terms).await?;
            usage.pieces.extend(previewed_pieces(&preview.events, &metrics, &cuts, counted.end));
        }
        let mut invoice = usage_invoice(contract, terms, usage, &cuts, counted, period, now);
        invoice.billable_status =
            status_at(self.db, self.environment_id, contract.customer_id, invoice.billable_status_at())
                .await?;
        Ok(invoice)
    }

    /// The first of the metrics of a statement's usage that a query counts, if any.
    pub async fn sql_metric(
        &mut self,
        contract: &Contract,
        period: Period,
    ) -> Result<Option<BillableMetricId>, sqlx::Error> {
        self.load(contract).await?;
        let terms = &self.terms[&contract.rate_card_id];
        let cuts = cuts(terms, contract.counted_period(period), period.start);
        let sql = terms.metrics_at(&cuts).into_iter().find(|(_, metric)| metric.is_sql());
        Ok(sql.map(|(id, _)| id))
    }

    /// The usage invoice of one open statement as a draft, with the scheduled charges that ride on it.
    pub async fn statement(
        &mut self,
        contract: &Contract,
        period: Period,
        now: Instant,
    ) -> Result<Invoice, sqlx::Error> {
        let mut invoice = self.usage_invoice(contract, period, now).await?;
        let riding = riding_items(self.db, self.environment_id, contract, period).await?;
        let products = FixedProducts::load(self.db, self.environment_id, &riding).await?;
        add_charges(&mut invoice, &riding, &products, now);
        Ok(invoice)
    }

    /// [`Self::statement`]; where it cannot be computed, a draft that says why: one invoice that fails is no reason to
    /// show none of the others.
    pub async fn statement_or_failure(
        &mut self,
        contract: &Contract,
        period: Period,
        now: Instant,
    ) -> Result<Invoice, sqlx::Error> {
        let calculated = self.statement(contract, period, now).await;
        let Some(failure) = calculated.as_ref().err().and_then(failure) else { return calculated };
        let mut invoice = empty_usage_invoice(contract, period);
        invoice.billable_status =
            status_at(self.db, self.environment_id, contract.customer_id, invoice.billable_status_at())
                .await?;
        tracing::warn!(invoice_id = %invoice.id, reason = failure.reason, "a draft cannot be calculated");
        metrics::counter!("upbeat_invoice_failures_total", "status" => "DRAFT").increment(1);
        Ok(Invoice { upbeat_failure: Some(failure), ..invoice })
    }

    /// The transaction that everything is read from.
    pub fn db(&mut self) -> &mut PgConnection {
        self.db
    }

    async fn load(&mut self, contract: &Contract) -> Result<(), sqlx::Error> {
        if !self.terms.contains_key(&contract.rate_card_id) {
            let terms = load_terms(self.db, self.environment_id, contract.rate_card_id, None).await?;
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
}

/// Why an invoice fails, if the error is of what it is calculated from and not of the server.
pub fn failure(error: &sqlx::Error) -> Option<InvoiceFailure> {
    NotComputable::of(error).map(|not_computable| InvoiceFailure { reason: not_computable.to_string() })
}
