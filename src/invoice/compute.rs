//! Loading what an invoice needs and calculating it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::{Calculated, Facts, empty_usage_invoice, usage_invoice};
use super::drafts::{Drafts, DraftsName, find_draws};
use super::explain::{Explanation, explanations};
use super::holdings::{Holdings, Looking};
use super::model::{Invoice, InvoiceFailure};
use super::purse::{Purse, SeenBalances, StatementPlace};
use super::scheduled::calc::add_charges;
use super::scheduled::{FixedProducts, riding_items};
use crate::catalog::version::CatalogVersion;
use crate::contract::balance::Balance;
use crate::contract::{self, Contract, Statement};
use crate::customer::billable_status::status_in;
use crate::customer::{self, CustomerState, subjects_in};
use crate::drawdown::Draw;
use crate::drawdown::calc::{Candidate, candidates};
use crate::error::NotComputable;
use crate::event::{PreviewedEvent, first_seq_after, subject_id};
use crate::id::{BillableMetricId, ContractId, CustomerId, EnvironmentId, RateCardId, SubjectId};
use crate::rating::calc::{
    Combination, Cuts, OtherContracts, Unrated, changes_beside, cuts, cuts_beside, pricings, rate_usage,
    route, unrated,
};
use crate::rating::{
    Agreement, Newest, ProductTerms, Terms, Usage, UsageScope, load_definitions, load_terms, load_usage,
    terms_of,
};
use crate::time::{Instant, Period};
use crate::usage::calc::{hour_of, previewed_pieces};
use crate::usage::{Uncounted, named_days};

/// What an invoice was calculated from, beside the facts and the contract.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What meant the customer in events.
    pub subject_ids: Vec<SubjectId>,
    pub terms: SeenTerms,
    /// The other contracts of the customer whose spend counts.
    pub others: BTreeMap<ContractId, SeenTerms>,
    /// Unset where there was nothing to draw.
    pub balances: Option<SeenBalances>,
}

/// Which of a contract's terms an invoice was calculated from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenTerms {
    /// The last rate of the card and the last update of its products that counted.
    #[serde(flatten)]
    pub newest: Newest,
    /// The contract's last usage filter that counted.
    pub usage_filter: Option<i64>,
    /// The contract's last override that counted.
    pub rate_override: Option<i64>,
    /// When another contract was to end.
    pub ending_before: Option<Instant>,
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
    terms: BTreeMap<Option<RateCardId>, Arc<Terms>>,
    subjects: BTreeMap<CustomerId, Vec<SubjectId>>,
    /// All contracts of a customer.
    contracts: BTreeMap<CustomerId, Arc<Vec<Contract>>>,
    /// The other contracts whose spend counted for an invoice.
    others: BTreeMap<ContractId, BTreeMap<ContractId, SeenTerms>>,
    /// What each customer may draw.
    purses: BTreeMap<CustomerId, Purse>,
    drawing: Drawing,
    preview: Option<Preview>,
    /// Set where queries see only what arrived before.
    before_seq: Option<i64>,
    /// What the rollups do not have yet; unset where they have all.
    uncounted: Option<Uncounted>,
    /// The state of the catalog, of which terms may be known; unset where they are loaded.
    catalog: Option<CatalogVersion>,
    /// A customer and its state, of which what belongs to it may be known.
    customer: Option<(CustomerId, CustomerState)>,
}

/// Which balances are drawn.
enum Drawing {
    /// As they are now.
    AsTheyAre,
    /// As an invoice saw them; unset: it could draw nothing.
    AsSeen(Option<SeenBalances>),
}

/// Nobody looks at how an invoice is calculated.
const NOT_SEEN: Option<fn(&Agreement<'_>, &Seeing<'_, '_>)> = None;

/// What is seen of how an invoice was calculated.
pub struct Seeing<'s, 'a> {
    pub calculated: &'s Calculated<'a>,
    pub candidates: &'s [Candidate<'s>],
}

/// A usage invoice, and what its calculation told beside it.
struct Calculation<U, T> {
    invoice: Invoice,
    draws: Vec<Draw>,
    weighed: U,
    seen: Option<T>,
}

/// A contract other than the one that is billed.
struct OtherContract<'a> {
    contract: &'a Contract,
    terms: Arc<Terms>,
    statements: Vec<Statement>,
}

impl OtherContract<'_> {
    /// What is agreed for each of its statements.
    fn agreements(&self) -> impl Iterator<Item = Agreement<'_>> {
        self.statements.iter().map(|statement| Agreement::of(self.contract, &self.terms, *statement))
    }
}

impl<'a> Calculator<'a> {
    pub fn new(db: &'a mut PgConnection, environment_id: EnvironmentId) -> Self {
        Self {
            db,
            environment_id,
            terms: BTreeMap::new(),
            subjects: BTreeMap::new(),
            contracts: BTreeMap::new(),
            others: BTreeMap::new(),
            purses: BTreeMap::new(),
            drawing: Drawing::AsTheyAre,
            preview: None,
            before_seq: None,
            uncounted: None,
            catalog: None,
            customer: None,
        }
    }

    /// With the terms of a state of the catalog, which the transaction sees and does not change.
    #[must_use]
    pub fn with_catalog(self, catalog: Option<CatalogVersion>) -> Self {
        Self { catalog, ..self }
    }

    /// Loads what calculating these statements needs of their customers, of each a statement, for all at once.
    pub async fn load_customers<'c>(
        &mut self,
        statements: impl IntoIterator<Item = (&'c Contract, Period)>,
    ) -> Result<(), sqlx::Error> {
        let mut contracts: BTreeMap<CustomerId, &Contract> = BTreeMap::new();
        let mut spans: BTreeMap<CustomerId, Period> = BTreeMap::new();
        for (contract, period) in statements {
            contracts.insert(contract.customer_id, contract);
            spans.insert(contract.customer_id, contract.counted_period(period));
        }
        let ids: Vec<Uuid> = contracts.keys().map(|id| id.0).collect();
        self.load_subjects(&ids).await?;
        let holdings = Holdings::load_all(self.db, self.environment_id, &spans, self.looking()).await?;
        self.purses.extend(holdings.into_iter().map(|(id, holdings)| (id, Purse::of(Arc::new(holdings)))));
        for customer_id in contract::with_one_contract(self.db, self.environment_id, &ids).await? {
            let only = contracts[&customer_id].clone();
            self.contracts.insert(customer_id, Arc::new(vec![only]));
        }
        Ok(())
    }

    /// Calculates from a transaction whose rollups do not have all usage yet.
    pub fn with_uncounted(
        db: &'a mut PgConnection,
        environment_id: EnvironmentId,
        uncounted: Uncounted,
    ) -> Self {
        let (catalog, customer) = (uncounted.catalog(), uncounted.customer());
        Self { uncounted: Some(uncounted), catalog, customer, ..Self::new(db, environment_id) }
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
        let mut terms = BTreeMap::new();
        let own = load_terms(db, environment_id, contract.rate_card_id, Some(seen.terms.newest)).await?;
        terms.insert(contract.rate_card_id, Arc::new(own));
        let mut contracts = Vec::new();
        if !seen.others.is_empty() {
            contracts = contract::list_of_customer(db, environment_id, contract.customer_id).await?;
        }
        contracts.retain(|other| seen.others.contains_key(&other.id));
        for other in &mut contracts {
            let seen = &seen.others[&other.id];
            // One that was archived by then is not among those that were seen.
            *other = Contract { archived_at: None, ..as_seen(other, seen) };
            if let Entry::Vacant(entry) = terms.entry(other.rate_card_id) {
                let others = load_terms(db, environment_id, other.rate_card_id, Some(seen.newest)).await?;
                entry.insert(Arc::new(others));
            }
        }
        Ok(Self {
            terms,
            subjects: [(contract.customer_id, seen.subject_ids.clone())].into(),
            contracts: [(contract.customer_id, Arc::new(contracts))].into(),
            drawing: Drawing::AsSeen(seen.balances.clone()),
            before_seq: Some(first_seq_after(arrival)),
            ..Self::new(db, environment_id)
        })
    }

    /// What the calculation of the invoice of a contract's statement saw, beside the facts.
    #[must_use]
    pub fn seen(&self, contract: &Contract, period: Period) -> Seen {
        let purse = self.purses.get(&contract.customer_id).filter(|purse| purse.is_of(contract.id));
        Seen {
            balances: purse.map(|purse| purse.seen_at(place(contract, period), contract)),
            subject_ids: self.subjects.get(&contract.customer_id).cloned().unwrap_or_default(),
            terms: self.seen_terms(contract),
            others: self.others.get(&contract.id).cloned().unwrap_or_default(),
        }
    }

    fn seen_terms(&self, contract: &Contract) -> SeenTerms {
        SeenTerms {
            newest: self.terms.get(&contract.rate_card_id).map(|terms| terms.newest).unwrap_or_default(),
            usage_filter: contract.usage_filters.newest(),
            rate_override: contract.overrides.last().map(|last| last.added),
            ending_before: contract.ending_before,
        }
    }

    /// The usage invoice of one statement as a draft, as it is read at `now`; without scheduled charges.
    pub async fn usage_invoice(
        &mut self,
        contract: &Contract,
        period: Period,
        now: Instant,
    ) -> Result<Invoice, sqlx::Error> {
        self.reserve_before(contract, period, now).await?;
        let calculated = self.calculate(contract, period, now, Cuts::clone, |_, _, _| (), NOT_SEEN).await?;
        let mut invoice = calculated.invoice;
        self.set_billable_status(&mut invoice).await?;
        Ok(invoice)
    }

    /// [`Self::usage_invoice`] without its billable status, what it draws, and what of its usage the contract does not bill.
    pub async fn final_usage_invoice(
        &mut self,
        contract: &Contract,
        period: Period,
        now: Instant,
    ) -> Result<(Invoice, Vec<Draw>, Unrated), sqlx::Error> {
        self.reserve_before(contract, period, now).await?;
        let calculation = self.calculate(contract, period, now, Cuts::clone, unrated, NOT_SEEN).await?;
        Ok((calculation.invoice, calculation.draws, calculation.weighed))
    }

    /// [`Self::usage_invoice`], and how each of its lines comes about, by the hour.
    pub async fn explained_usage_invoice(
        &mut self,
        contract: &Contract,
        period: Period,
        now: Instant,
    ) -> Result<(Invoice, Vec<Explanation>), sqlx::Error> {
        self.reserve_before(contract, period, now).await?;
        let terms = self.terms(contract).await?;
        // A query counts anew for every segment: what it counts is shown as it is cut anyway.
        let is_streaming =
            |id: BillableMetricId| terms.metrics.get(&id).is_some_and(|metric| !metric.is_sql());
        let hourly = |cuts: &Cuts| cuts.clone().by_the_hour(is_streaming);
        let calculation =
            self.calculate(contract, period, now, hourly, |_, _, _| (), Some(explanations)).await?;
        let mut invoice = calculation.invoice;
        self.set_billable_status(&mut invoice).await?;
        Ok((invoice, calculation.seen.expect("it was looked at")))
    }

    /// What the open statements of all of a customer's contracts draw at `now`, in the order in which they do. One that cannot be
    /// computed draws nothing.
    pub async fn draft_draws(
        &mut self,
        customer_id: CustomerId,
        now: Instant,
    ) -> Result<Vec<Draw>, sqlx::Error> {
        let contracts = self.contracts_of(customer_id).await?;
        self.purse_in(customer_id, span_of_drafts(&contracts, now)).await?;
        for (contract, period) in open_statements(&contracts, now) {
            self.reserve(contract, period, now).await?;
        }
        let purse = self.purses.get(&customer_id);
        Ok(purse.into_iter().flat_map(Purse::drafts).cloned().collect())
    }

    /// [`Self::draft_draws`] with what was loaded for it. Where there is no balance that `is_asked` for, nothing is drawn.
    pub async fn drafts(
        mut self,
        customer_id: CustomerId,
        now: Instant,
        is_asked: impl Fn(&Balance) -> bool,
    ) -> Result<Drafts, sqlx::Error> {
        let contracts = self.contracts_of(customer_id).await?;
        let purse = self.purse_in(customer_id, span_of_drafts(&contracts, now)).await?;
        let mut draws = Arc::default();
        let holdings = Arc::clone(&purse.holdings);
        if holdings.balances.iter().any(is_asked) {
            let name = self.name_of_drafts(customer_id, &contracts, now).await?;
            draws = find_draws(name, Box::pin(self.draft_draws(customer_id, now))).await?;
        }
        let state = self.state_of(customer_id);
        Ok(Drafts { draws, contracts, holdings, state })
    }

    /// What names all that [`Self::draft_draws`] follows from. There is no name where some of the usage has none: where it is not
    /// counted yet or by a query, or is that of other contracts at other times, as of a share of what the whole customer spends.
    async fn name_of_drafts(
        &mut self,
        customer_id: CustomerId,
        contracts: &[Contract],
        now: Instant,
    ) -> Result<Option<DraftsName>, sqlx::Error> {
        let states = self.catalog.zip(self.state_of(customer_id));
        let is_as_it_is = matches!(self.drawing, Drawing::AsTheyAre) && self.preview.is_none();
        let Some((catalog, customer)) = states.filter(|_| is_as_it_is) else { return Ok(None) };
        self.know_subjects(customer_id).await?;
        let is_counted = |uncounted: &Uncounted| {
            self.before_seq.is_none() && !uncounted.is_of_any(&self.subjects[&customer_id])
        };
        if !self.uncounted.as_ref().is_some_and(is_counted) {
            return Ok(None);
        }
        let mut drawing = open_statements(contracts, now);
        let purse = self.purses.get(&customer_id);
        drawing.retain(|(contract, _)| purse.is_some_and(|purse| purse.is_of(contract.id)));
        for (contract, period) in &drawing {
            let terms = self.terms(contract).await?;
            let counted = contract.counted_period(*period);
            let is_of_customer = |product: &ProductTerms| product.is_of_customer(period.start);
            if terms.metrics_during(counted).values().any(|metric| metric.is_sql())
                || terms.products.iter().any(is_of_customer)
            {
                return Ok(None);
            }
        }
        let span = span_of_drafts(contracts, now);
        let days = named_days(self.db, self.environment_id, &self.subjects[&customer_id], span).await?;
        let statements = drawing.into_iter().map(|(contract, period)| (contract.id, period)).collect();
        Ok(Some(DraftsName { catalog, customer, statements, days }))
    }

    /// Has what drafts draw that come before a statement, of what its contract may draw too.
    async fn reserve_before(
        &mut self,
        contract: &Contract,
        period: Period,
        now: Instant,
    ) -> Result<(), sqlx::Error> {
        let own = place(contract, period);
        if !matches!(self.drawing, Drawing::AsTheyAre)
            || !self.purse(contract, period).await?.is_of(contract.id)
        {
            return Ok(());
        }
        let contracts = self.contracts_of(contract.customer_id).await?;
        let mut before: Vec<(&Contract, Period)> = open_statements(&contracts, now)
            .into_iter()
            .take_while(|(other, period)| place(other, *period) < own)
            .collect();
        // What counts is also what those draw that come before one that counts, though of something else, and what is drawn
        // of that which one that counts takes over.
        let mut counted = vec![contract.id];
        let mut drawing = Vec::new();
        while let Some((other, period)) = before.pop() {
            let purse = self.purse(other, period).await?;
            let counts =
                |one: &ContractId| purse.is_of_both(*one, other.id) || purse.takes_over(*one, other.id);
            if counted.iter().any(counts) {
                counted.push(other.id);
                drawing.push((other, period));
            }
        }
        for (other, period) in drawing.into_iter().rev() {
            self.reserve(other, period, now).await?;
        }
        Ok(())
    }

    /// Has what the draft of a statement draws; those before it must be there.
    async fn reserve(
        &mut self,
        contract: &Contract,
        period: Period,
        now: Instant,
    ) -> Result<(), sqlx::Error> {
        let place = place(contract, period);
        let purse = self.purse(contract, period).await?;
        if purse.knows(place) || !purse.is_of(contract.id) {
            return Ok(());
        }
        // A preview replaces the usage of the times that it speaks of; others draw what they draw.
        let is_of_others = |preview: &mut Preview| {
            preview.replaces && !preview.events.iter().any(|event| period.contains(event.timestamp))
        };
        let preview = self.preview.take_if(is_of_others);
        let calculated = self.calculate(contract, period, now, Cuts::clone, |_, _, _| (), NOT_SEEN).await;
        self.preview = preview.or(self.preview.take());
        let draws = match calculated {
            Ok(calculation) => calculation.draws,
            Err(error) if failure(&error).is_some() => Vec::new(),
            Err(error) => return Err(error),
        };
        self.purse(contract, period).await?.reserve(place, draws);
        Ok(())
    }

    /// What the contract's customer may draw, with all that has a segment in the period.
    async fn purse(&mut self, contract: &Contract, period: Period) -> Result<&mut Purse, sqlx::Error> {
        self.purse_in(contract.customer_id, contract.counted_period(period)).await
    }

    /// What a customer may draw, with all that has a segment in a span of time.
    async fn purse_in(&mut self, customer_id: CustomerId, span: Period) -> Result<&mut Purse, sqlx::Error> {
        let known = self.purses.remove(&customer_id);
        let purse = match known {
            Some(purse) if purse.span().and(span) == purse.span() => purse,
            // With what has a segment in this one as well.
            Some(purse) => self.load_purse(customer_id, purse.span().and(span)).await?.with_drafts_of(purse),
            None => self.load_purse(customer_id, span).await?,
        };
        Ok(self.purses.entry(customer_id).or_insert(purse))
    }

    fn looking(&self) -> Looking {
        Looking { catalog: self.catalog, is_kept: self.uncounted.is_none() }
    }

    async fn load_purse(&mut self, customer_id: CustomerId, span: Period) -> Result<Purse, sqlx::Error> {
        match &self.drawing {
            Drawing::AsSeen(None) => Ok(Purse::empty()),
            Drawing::AsSeen(Some(seen)) => {
                Purse::as_seen(self.db, self.environment_id, customer_id, span, seen.clone()).await
            }
            Drawing::AsTheyAre => {
                let (looking, state) = (self.looking(), self.state_of(customer_id));
                let holdings =
                    Holdings::find(self.db, self.environment_id, customer_id, span, looking, state).await?;
                Ok(Purse::of(holdings))
            }
        }
    }

    /// The usage invoice, what it draws, what `weigh` makes of the usage and its cuts, and what `look`, if given, sees of how it
    /// was calculated. Further cuts, which `finer` makes, change nothing but that.
    async fn calculate<U, T>(
        &mut self,
        contract: &Contract,
        period: Period,
        now: Instant,
        finer: impl Fn(&Cuts) -> Cuts,
        weigh: impl FnOnce(&Agreement<'_>, &Usage, &Cuts) -> U,
        look: Option<impl FnOnce(&Agreement<'_>, &Seeing<'_, '_>) -> T>,
    ) -> Result<Calculation<U, T>, sqlx::Error> {
        let terms = self.terms(contract).await?;
        let agreement = Agreement::of(contract, &terms, contract.statement(period));
        let contracts = self.contracts_beside(contract, &agreement).await?;
        let beside = self.terms_beside(contract, &agreement, &contracts).await?;
        let agreements: Vec<Agreement<'_>> = beside.iter().flat_map(OtherContract::agreements).collect();
        let changes = changes_beside(&agreement, &agreements);
        let of_balances = self.purse(contract, period).await?.cuts(contract, &terms);
        let seams: Vec<Instant> = changes.iter().copied().chain(of_balances).collect();
        let cuts = finer(&cuts(&agreement).also_at(seams.iter().copied()));
        let usage = self.usage(contract, &terms, &cuts).await?;
        let weighed = weigh(&agreement, &usage, &cuts);
        let used_beside = self.usage_beside(&agreement, &beside, &seams).await?;
        let purse = self.purse(contract, period).await?;
        let (invoice, draws, seen) = {
            let others = others(&agreement, contract, &beside, &used_beside, changes);
            let used = |segment_id| purse.used_before(place(contract, period), segment_id);
            let of_contract = (contract.id, purse.contract_end(contract));
            let balances = purse.balances_at(place(contract, period));
            let candidates = candidates(of_contract, &agreement, &balances, purse.products(), used);
            let usage = &route(&terms, usage, &contract.usage_filters, &cuts);
            let keeps_stretches = look.is_some();
            let facts =
                Facts { usage, cuts: &cuts, others: &others, candidates: &candidates, keeps_stretches };
            let calculated = usage_invoice(contract, &agreement, facts, now)
                .map_err(|fault| NotComputable::new(fault.to_string()))?;
            let seeing = Seeing { calculated: &calculated, candidates: &candidates };
            let seen = look.map(|look| look(&agreement, &seeing));
            (calculated.invoice, calculated.draws, seen)
        };
        Ok(Calculation { invoice, draws, weighed, seen })
    }

    /// The usage that the customer has in the segments of `cuts`, with what is only asked about.
    async fn usage(&mut self, contract: &Contract, terms: &Terms, cuts: &Cuts) -> Result<Usage, sqlx::Error> {
        let mut usage = Usage::default();
        if !self.preview.as_ref().is_some_and(|preview| preview.replaces) {
            self.know_subjects(contract.customer_id).await?;
            let scope = UsageScope {
                subject_ids: &self.subjects[&contract.customer_id],
                cuts,
                filters: &contract.usage_filters,
                before_seq: self.before_seq,
                uncounted: self.uncounted.as_ref(),
            };
            usage = load_usage(self.db, self.environment_id, terms, &scope).await?;
        }
        if let Some(preview) = &self.preview {
            let metrics = load_definitions(self.db, self.environment_id, terms).await?;
            let segment_at = |metric_id, at| cuts.number_at(metric_id, at);
            usage.pieces.extend(previewed_pieces(&preview.events, &metrics, segment_at));
        }
        Ok(usage)
    }

    /// The contracts of the customer, where one of the card's composites is of what all of them spend.
    async fn contracts_beside(
        &mut self,
        contract: &Contract,
        agreement: &Agreement<'_>,
    ) -> Result<Arc<Vec<Contract>>, sqlx::Error> {
        if !agreement.terms.products.iter().any(|product| product.is_of_customer(agreement.statement.from)) {
            return Ok(Arc::default());
        }
        self.contracts_of(contract.customer_id).await
    }

    /// All contracts of a customer.
    async fn contracts_of(&mut self, customer_id: CustomerId) -> Result<Arc<Vec<Contract>>, sqlx::Error> {
        if let Some(contracts) = self.contracts.get(&customer_id) {
            return Ok(Arc::clone(contracts));
        }
        let states = self.catalog.zip(self.state_of(customer_id));
        let contracts = contract::list_in(self.db, self.environment_id, customer_id, states).await?;
        self.contracts.insert(customer_id, Arc::clone(&contracts));
        Ok(contracts)
    }

    /// The customer's other contracts that have statements in the time of one.
    async fn terms_beside<'b>(
        &mut self,
        contract: &Contract,
        agreement: &Agreement<'_>,
        contracts: &'b [Contract],
    ) -> Result<Vec<OtherContract<'b>>, sqlx::Error> {
        let mut beside = Vec::new();
        for other in contracts.iter().filter(|other| other.id != contract.id && other.archived_at.is_none()) {
            let statements: Vec<Statement> = other.statements_during(agreement.statement.counted).collect();
            if statements.is_empty() {
                continue;
            }
            let terms = self.terms(other).await?;
            let seen = self.seen_terms(other);
            self.others.entry(contract.id).or_default().insert(other.id, seen);
            beside.push(OtherContract { contract: other, terms, statements });
        }
        Ok(beside)
    }

    /// What other contracts bill of what the customer used, by statement; cut also at `seams`.
    async fn usage_beside(
        &mut self,
        billed: &Agreement<'_>,
        beside: &[OtherContract<'_>],
        seams: &[Instant],
    ) -> Result<Vec<Vec<(Cuts, Usage)>>, sqlx::Error> {
        let mut used = Vec::with_capacity(beside.len());
        for other in beside {
            let OtherContract { contract, terms, statements } = other;
            let mut by_statement = Vec::with_capacity(statements.len());
            for agreement in other.agreements() {
                let cuts = cuts_beside(&agreement, billed, seams);
                let usage = self.usage(contract, terms, &cuts).await?;
                let usage = route(terms, usage, &contract.usage_filters, &cuts);
                by_statement.push((cuts, usage));
            }
            used.push(by_statement);
        }
        Ok(used)
    }

    /// The first of the metrics of a statement's usage that a query counts, if any.
    pub async fn sql_metric(
        &mut self,
        contract: &Contract,
        period: Period,
    ) -> Result<Option<BillableMetricId>, sqlx::Error> {
        let terms = self.terms(contract).await?;
        let metrics = terms.metrics_during(contract.counted_period(period));
        let sql = metrics.into_iter().find(|(_, metric)| metric.is_sql());
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
        self.set_billable_status(&mut invoice).await?;
        tracing::warn!(invoice_id = %invoice.id, reason = failure.reason, "a draft cannot be calculated");
        metrics::counter!("upbeat_invoice_failures_total", "status" => "DRAFT").increment(1);
        Ok(Invoice { upbeat_failure: Some(failure), ..invoice })
    }

    /// The transaction that everything is read from.
    pub fn db(&mut self) -> &mut PgConnection {
        self.db
    }

    /// The terms of the contract's card.
    async fn terms(&mut self, contract: &Contract) -> Result<Arc<Terms>, sqlx::Error> {
        if let Some(terms) = self.terms.get(&contract.rate_card_id) {
            return Ok(Arc::clone(terms));
        }
        let catalog = self.catalog;
        let terms = terms_of(self.db, self.environment_id, contract.rate_card_id, catalog).await?;
        self.terms.insert(contract.rate_card_id, Arc::clone(&terms));
        Ok(terms)
    }

    /// The state of a customer, of which what belongs to it may be known.
    fn state_of(&self, customer_id: CustomerId) -> Option<CustomerState> {
        self.customer.filter(|(id, _)| *id == customer_id).map(|(_, state)| state)
    }

    async fn know_subjects(&mut self, customer_id: CustomerId) -> Result<(), sqlx::Error> {
        if !self.subjects.contains_key(&customer_id) {
            let state = self.state_of(customer_id);
            let received = subjects_in(self.db, self.environment_id, customer_id, state).await?;
            self.keep_subjects(customer_id, &received);
        }
        Ok(())
    }

    async fn load_subjects(&mut self, customer_ids: &[Uuid]) -> Result<(), sqlx::Error> {
        let mut received = customer::subjects_by_customer(self.db, self.environment_id, customer_ids).await?;
        for customer_id in customer_ids.iter().copied().map(CustomerId) {
            self.keep_subjects(customer_id, &received.remove(&customer_id).unwrap_or_default());
        }
        Ok(())
    }

    fn keep_subjects(&mut self, customer_id: CustomerId, received: &[String]) {
        let ids = received.iter().map(|received| subject_id(self.environment_id, received)).collect();
        self.subjects.insert(customer_id, ids);
    }

    /// Sets whether the invoice goes out, as its customer's status says.
    async fn set_billable_status(&mut self, invoice: &mut Invoice) -> Result<(), sqlx::Error> {
        let (customer_id, at) = (invoice.customer_id, invoice.billable_status_at());
        let state = self.state_of(customer_id);
        invoice.billable_status = status_in(self.db, self.environment_id, customer_id, at, state).await?;
        Ok(())
    }
}

/// Why an invoice fails, if the error is of what it is calculated from and not of the server.
pub fn failure(error: &sqlx::Error) -> Option<InvoiceFailure> {
    NotComputable::of(error).map(|not_computable| InvoiceFailure { reason: not_computable.to_string() })
}

/// The place of a statement in the order in which balances are drawn for.
fn place(contract: &Contract, period: Period) -> StatementPlace {
    (period.end, contract.starting_at, contract.id)
}

/// The open statements of contracts in the order of their places.
fn open_statements<'a>(contracts: &'a [Contract], now: Instant) -> Vec<(&'a Contract, Period)> {
    let of_contract =
        |contract: &'a Contract| contract.open_statements(now).map(move |period| (contract, period));
    let mut open: Vec<(&Contract, Period)> = contracts.iter().flat_map(of_contract).collect();
    open.sort_by_key(|(contract, period)| place(contract, *period));
    open
}

/// The time of all open statements and of the moment: all that any of them may draw, and what may be drawn now, is found in one
/// look. (Of the moment's whole hour, so that what was found is known to the next look.)
fn span_of_drafts(contracts: &[Contract], now: Instant) -> Period {
    let hour = Period { start: hour_of(now), end: hour_of(now) + TimeDelta::hours(1) };
    let open = open_statements(contracts, now).into_iter();
    open.map(|(contract, period)| contract.counted_period(period)).fold(hour, Period::and)
}

/// A contract as an invoice saw it that was calculated from it.
#[must_use]
pub fn as_seen(contract: &Contract, seen: &SeenTerms) -> Contract {
    let mut overrides = contract.overrides.clone();
    // Without a newest one, none counted.
    overrides.retain(|one| Some(one.added) <= seen.rate_override);
    Contract {
        usage_filters: contract.usage_filters.up_to(seen.usage_filter),
        overrides,
        ending_before: seen.ending_before,
        ..contract.clone()
    }
}

/// What other contracts spent, and when they bill a composite: of several contracts that sell one of the whole customer at
/// a time, the one that started first bills it (our decision).
///
/// Their usage counts at what it costs where no balance pays for it, also where one at commit rates does, unlike the
/// contract's own (our decision; the documentation says what the scope is and nothing of prices in it). What they draw may depend
/// on this charge, which draws from the same balances before them: their drafts come after it, and with commit rates in its
/// base its amount would depend on itself. And a final invoice would depend on drafts, whose prices move.
fn others<'a>(
    billed: &Agreement<'_>,
    contract: &Contract,
    beside: &'a [OtherContract<'_>],
    used: &'a [Vec<(Cuts, Usage)>],
    changes: Vec<Instant>,
) -> OtherContracts<'a> {
    let mut others = OtherContracts { changes, ..OtherContracts::default() };
    for (one, used) in beside.iter().zip(used) {
        let OtherContract { contract: other, terms, .. } = one;
        let is_first = (other.starting_at, other.created_at, other.id)
            < (contract.starting_at, contract.created_at, contract.id);
        let mut stretches = Vec::new();
        for (agreement, (cuts, usage)) in one.agreements().zip(used) {
            stretches.extend(rate_usage(&agreement, usage, cuts).into_values().flatten());
            let composites =
                terms.products.iter().filter(|product| product.is_of_customer(billed.statement.from));
            for composite in composites.filter(|_| is_first) {
                let counted = agreement.statement.counted;
                let sold = pricings(&agreement, composite, &Combination::default(), counted);
                let sold = sold.into_iter().filter(|(_, pricing)| pricing.entitled).map(|(period, _)| period);
                others.billed_elsewhere.entry(composite.product_id).or_default().extend(sold);
            }
        }
        others.spend.push((other.id, stretches));
    }
    others
}
