//! The balances of one customer, as the invoices of one transaction draw them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::store;
use crate::catalog::product::{self, ProductRow, Timeline};
use crate::catalog::version::CatalogVersion;
use crate::contract::Contract;
use crate::contract::balance::{self, Added, Balance, BalanceType, Rollovers};
use crate::drawdown::{self, Draw};
use crate::id::{BalanceId, ContractId, CustomerId, EnvironmentId, ProductId, SegmentId};
use crate::money::{Decimal, Number};
use crate::rating::Terms;
use crate::time::{Instant, Period};

/// What the drawdown of an invoice saw. Unset on an invoice that could draw nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenBalances {
    /// The newest version of any balance.
    pub version: Added,
    /// The newest draw.
    pub draw: i64,
    /// The newest update of the products that name balances.
    pub product_update: Option<i64>,
    /// What drafts before it drew: zero or below.
    pub reserved: BTreeMap<SegmentId, Number>,
    /// What final true-ups billed of promises: above zero.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trued_up: BTreeMap<SegmentId, Number>,
    /// When the contract was to end, and with it what is its own.
    pub contract_ending_before: Option<Instant>,
}

/// The place of a statement among those of its customer: by end, then by its contract. Statements are drawn for in this order, in
/// which they are also finalized, so that no finalization depends on a draft that comes after it (our decision; the documentation
/// is silent).
pub type StatementPlace = (Instant, Instant, ContractId);

/// How balances are looked at.
#[derive(Clone, Copy)]
pub struct Looking {
    /// The state of the catalog in the snapshot, where products may be known.
    pub catalog: Option<CatalogVersion>,
    /// Whether an invoice is kept with what it saw. (Of a draft nobody asks for it.)
    pub is_kept: bool,
}

/// What a customer may draw, and what was drawn.
pub struct Purse {
    /// Those with a segment in `span`, by creation.
    pub balances: Vec<Balance>,
    pub span: Period,
    /// The products that name them.
    pub products: BTreeMap<ProductId, Timeline>,
    /// What finalized invoices drew of each segment: zero or below.
    drawn: BTreeMap<SegmentId, Decimal>,
    /// What renewals took over of the customer's balances.
    rollovers: Rollovers,
    /// What final true-ups bill of promises: above zero.
    trued_up: BTreeMap<SegmentId, Decimal>,
    /// What drafts draw, by the place of their statement.
    drafts: BTreeMap<StatementPlace, Vec<Draw>>,
    version: Added,
    draw: i64,
    product_update: Option<i64>,
    /// As an invoice saw them; else as they are.
    seen: Option<SeenBalances>,
}

impl Purse {
    /// The balances of each of these customers in the span of time beside it, as they are.
    pub async fn load_all(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        spans: &BTreeMap<CustomerId, Period>,
        Looking { catalog, is_kept }: Looking,
    ) -> Result<BTreeMap<CustomerId, Self>, sqlx::Error> {
        let spans_of = spans.iter().map(|(customer_id, span)| (*customer_id, *span));
        let balances = balance::drawable(db, environment_id, spans_of).await?;
        let mut of_customers: BTreeMap<CustomerId, Vec<Balance>> = BTreeMap::new();
        let mut ids: Vec<_> = balances.iter().map(|balance| (balance.customer_id, balance.id)).collect();
        for balance in balances {
            of_customers.entry(balance.customer_id).or_default().push(balance);
        }
        let customer_ids: Vec<Uuid> = of_customers.keys().map(|id| id.0).collect();
        let (mut drawn, mut products) = Default::default();
        let (mut rollovers, mut billed, mut newest) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        if !ids.is_empty() {
            rollovers = Rollovers::load_all(db, environment_id, &customer_ids, None).await?;
            ids.extend(rollovers.values().flat_map(Rollovers::origins_of_live));
            drawn = drawdown::drawn(db, environment_id, ids, None).await?;
            if is_kept {
                newest = store::newest_of_balances(db, environment_id, &customer_ids).await?;
            }
            products = load_products(db, environment_id, of_customers.values().flatten(), catalog).await?;
            billed = trued_up(db, environment_id, of_customers.values().flatten()).await?;
        }
        let purse = |(customer_id, span): (&CustomerId, &Period)| {
            let balances = of_customers.remove(customer_id).unwrap_or_default();
            let rollovers = rollovers.remove(customer_id).unwrap_or_default();
            let segments = || balances.iter().flat_map(|balance| &balance.terms.segments);
            let drawable = segments().map(|segment| segment.id).chain(rollovers.segments_of_live());
            let (version, draw) = newest.remove(customer_id).unwrap_or_default();
            let purse = Self {
                span: *span,
                drawn: drawable.filter_map(|id| drawn.remove_entry(&id)).collect(),
                trued_up: segments().filter_map(|segment| billed.remove_entry(&segment.id)).collect(),
                rollovers,
                version,
                draw,
                ..Self::empty()
            };
            (*customer_id, purse.with(balances, &products))
        };
        Ok(spans.iter().map(purse).collect())
    }

    /// The balances of a customer in a span of time, as an invoice saw them.
    pub async fn as_seen(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        customer_id: CustomerId,
        span: Period,
        seen: SeenBalances,
    ) -> Result<Self, sqlx::Error> {
        let balances = balance::drawable_as_of(db, environment_id, customer_id, span, seen.version).await?;
        let rollovers = Rollovers::load(db, environment_id, customer_id, Some(seen.version)).await?;
        let ids = balances.iter().map(|balance| (customer_id, balance.id)).chain(rollovers.origins_of_live());
        let drawn = drawdown::drawn(db, environment_id, ids, Some(seen.draw)).await?;
        let mut products = load_products(db, environment_id, &balances, None).await?;
        for product in products.values_mut() {
            product.updates.retain(|update| Some(update.added) <= seen.product_update);
        }
        let trued_up = seen.trued_up.iter().map(|(id, billed)| (*id, billed.0.clone())).collect();
        let purse = Self { span, drawn, rollovers, trued_up, seen: Some(seen), ..Self::empty() };
        Ok(purse.with(balances, &products))
    }

    /// With balances, and those of the products that name them.
    fn with(self, balances: Vec<Balance>, products: &BTreeMap<ProductId, ProductRow>) -> Self {
        let ids: BTreeSet<ProductId> = balances.iter().map(|balance| balance.terms.product_id).collect();
        let own = || ids.iter().filter_map(|id| products.get(id));
        let updates = own().flat_map(|product| &product.updates);
        Self {
            product_update: updates.map(|update| update.added).max(),
            products: own().map(|product| (product.id, product.timeline())).collect(),
            balances,
            ..self
        }
    }

    /// Nothing, at any time.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            balances: Vec::new(),
            span: Period { start: Instant::MIN_UTC, end: Instant::MAX_UTC },
            products: BTreeMap::new(),
            drawn: BTreeMap::new(),
            rollovers: Rollovers::default(),
            trued_up: BTreeMap::new(),
            drafts: BTreeMap::new(),
            version: 0,
            draw: 0,
            product_update: None,
            seen: None,
        }
    }

    /// The balances, and what renewals took over of any of the customer's, which is not known where there are none.
    #[must_use]
    pub fn into_balances(self) -> (Vec<Balance>, Option<Rollovers>) {
        let rollovers = (!self.balances.is_empty()).then_some(self.rollovers);
        (self.balances, rollovers)
    }

    /// Whether a contract's usage may draw anything of it.
    #[must_use]
    pub fn is_of(&self, contract_id: ContractId) -> bool {
        self.balances.iter().any(|balance| balance.is_of(contract_id))
    }

    /// Whether two contracts may draw the same.
    #[must_use]
    pub fn is_of_both(&self, one: ContractId, other: ContractId) -> bool {
        self.balances.iter().any(|balance| balance.is_of(one) && balance.is_of(other))
    }

    /// Whether a contract takes anything over from another one whose amount is not final: what that one draws makes it.
    #[must_use]
    pub fn takes_over(&self, to: ContractId, from: ContractId) -> bool {
        let mut origins = self.rollovers.live_of(to).filter_map(|balance| balance.origin);
        origins.any(|origin| origin.contract_id == from)
    }

    /// The balances as the statement at this place finds them: what a renewal took over has the amount that is left for it.
    #[must_use]
    pub fn balances_at(&self, place: StatementPlace) -> Cow<'_, [Balance]> {
        if !self.balances.iter().any(balance::is_live) {
            return Cow::Borrowed(&self.balances);
        }
        let mut balances = self.balances.clone();
        for balance in &mut balances {
            self.rollovers.resolve(balance, |segment_id| self.drawn_before(place, segment_id));
        }
        Cow::Owned(balances)
    }

    /// Whether what the statement at this place draws is known.
    #[must_use]
    pub fn knows(&self, place: StatementPlace) -> bool {
        self.seen.is_some() || self.drafts.contains_key(&place)
    }

    /// Keeps what a draft draws.
    pub fn reserve(&mut self, place: StatementPlace, draws: Vec<Draw>) {
        self.drafts.insert(place, draws);
    }

    /// What was drawn of a segment before the statement at this place, and taken over for good, with what a final true-up bills of
    /// a promise: what is billed as not spent cannot be spent any more. Zero or below.
    #[must_use]
    pub fn used_before(&self, place: StatementPlace, segment_id: SegmentId) -> Decimal {
        self.drawn_before(place, segment_id) - self.rollovers.finally_taken(segment_id)
    }

    fn drawn_before(&self, place: StatementPlace, segment_id: SegmentId) -> Decimal {
        let drawn = self.drawn.get(&segment_id).cloned().unwrap_or_default();
        let reserved: Decimal = match &self.seen {
            Some(seen) => {
                seen.reserved.get(&segment_id).map(|reserved| reserved.0.clone()).unwrap_or_default()
            }
            None => {
                let of_drafts = self.draws_before(place).filter(|draw| draw.segment_id == segment_id);
                of_drafts.map(|draw| &draw.amount).sum()
            }
        };
        drawn + reserved - self.trued_up.get(&segment_id).cloned().unwrap_or_default()
    }

    fn draws_before(&self, place: StatementPlace) -> impl Iterator<Item = &Draw> {
        self.drafts.range(..place).flat_map(|(_, draws)| draws)
    }

    /// With what is known of drafts from another look at the same customer.
    #[must_use]
    pub fn with_drafts_of(self, other: Self) -> Self {
        Self { drafts: other.drafts, ..self }
    }

    /// What all drafts draw that are known.
    pub fn drafts(&self) -> impl Iterator<Item = &Draw> {
        self.drafts.values().flatten()
    }

    /// Where the balances of a contract end with it.
    #[must_use]
    pub fn contract_end(&self, contract: &Contract) -> Option<Instant> {
        self.seen.as_ref().map_or(contract.ending_before, |seen| seen.contract_ending_before)
    }

    /// What the drawdown of a contract's statement at this place saw.
    #[must_use]
    pub fn seen_at(&self, place: StatementPlace, contract: &Contract) -> SeenBalances {
        if let Some(seen) = &self.seen {
            return seen.clone();
        }
        let mut reserved: BTreeMap<SegmentId, Number> = BTreeMap::new();
        for draw in self.draws_before(place) {
            reserved.entry(draw.segment_id).or_insert_with(|| Number(Decimal::default())).0 += &draw.amount;
        }
        let Self { version, draw, product_update, .. } = *self;
        let contract_ending_before = contract.ending_before;
        let trued_up = self.trued_up.iter().map(|(id, billed)| (*id, Number(billed.clone()))).collect();
        SeenBalances { version, draw, product_update, reserved, trued_up, contract_ending_before }
    }

    /// Where usage of a contract is cut for what may pay for it: where a segment begins or ends, where the contract does and
    /// with it what is its own (an invoice that is made anew may go on beyond an end that was moved), and where the tags of
    /// products may change if balances go by them.
    #[must_use]
    pub fn cuts(&self, contract: &Contract, terms: &Terms) -> Vec<Instant> {
        let id = contract.id;
        let own = || self.balances.iter().filter(move |balance| balance.is_of(id));
        let segments = own().flat_map(|balance| &balance.terms.segments);
        let mut cuts: Vec<Instant> =
            segments.flat_map(|segment| [segment.starting_at, segment.ending_before]).collect();
        let has_own = own().any(|balance| balance.contract_id.is_some());
        cuts.extend(self.contract_end(contract).filter(|_| has_own));
        if own().any(|balance| balance.terms.targeting.goes_by_tags()) {
            cuts.extend(terms.products.iter().flat_map(|product| product.states.starts()));
        }
        cuts
    }
}

/// The products that name balances.
async fn load_products(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balances: impl IntoIterator<Item = &Balance>,
    catalog: Option<CatalogVersion>,
) -> Result<BTreeMap<ProductId, ProductRow>, sqlx::Error> {
    let ids: BTreeSet<Uuid> = balances.into_iter().map(|balance| balance.terms.product_id.0).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let products = product::find_known(db, environment_id, ids, catalog).await?;
    Ok(products.iter().map(|product| (product.id, product.clone())).collect())
}

/// What final true-ups bill of the promises among these balances, each of which has one segment.
async fn trued_up(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    balances: impl Iterator<Item = &Balance>,
) -> Result<BTreeMap<SegmentId, Decimal>, sqlx::Error> {
    let promises: Vec<&Balance> =
        balances.filter(|balance| balance.balance_type == BalanceType::Postpaid).collect();
    if promises.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<(CustomerId, BalanceId)> =
        promises.iter().map(|balance| (balance.customer_id, balance.id)).collect();
    let mut billed = store::trued_up(db, environment_id, &ids).await?;
    let of_segment = |balance: &Balance| {
        let segment = balance.terms.segments.first()?;
        Some((segment.id, billed.remove(&balance.id)?))
    };
    Ok(promises.into_iter().filter_map(of_segment).collect())
}
