//! The balances of one customer, as the invoices of one transaction draw them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalog::product::{self, Timeline};
use crate::contract::Contract;
use crate::contract::balance::{self, Added, Balance};
use crate::drawdown::{self, Draw};
use crate::id::{ContractId, CustomerId, EnvironmentId, ProductId, SegmentId};
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
    /// When the contract was to end, and with it what is its own.
    pub contract_ending_before: Option<Instant>,
}

/// The place of a statement among those of its customer: by end, then by its contract. Statements are drawn for in this order, in
/// which they are also finalized, so that no finalization depends on a draft that comes after it (our decision; the documentation
/// is silent).
pub type StatementPlace = (Instant, Instant, ContractId);

/// What a customer may draw, and what was drawn.
pub struct Purse {
    /// Those with a segment in `span`, by creation.
    pub balances: Vec<Balance>,
    pub span: Period,
    /// The products that name them.
    pub products: BTreeMap<ProductId, Timeline>,
    /// What finalized invoices drew of each segment: zero or below.
    drawn: BTreeMap<SegmentId, Decimal>,
    /// What drafts draw, by the place of their statement.
    drafts: BTreeMap<StatementPlace, Vec<Draw>>,
    version: Added,
    draw: i64,
    product_update: Option<i64>,
    /// As an invoice saw them; else as they are.
    seen: Option<SeenBalances>,
}

impl Purse {
    /// The balances of a customer in a span of time, as they are or as an invoice saw them.
    pub async fn load(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        customer_id: CustomerId,
        span: Period,
        seen: Option<SeenBalances>,
    ) -> Result<Self, sqlx::Error> {
        let up_to = seen.as_ref().map(|seen| seen.draw);
        let balances = match &seen {
            Some(seen) => {
                balance::drawable_as_of(db, environment_id, customer_id, span, seen.version).await?
            }
            None => balance::drawable(db, environment_id, customer_id, span).await?,
        };
        let ids: Vec<Uuid> = balances.iter().map(|balance| balance.id.0).collect();
        if ids.is_empty() {
            return Ok(Self { span, ..Self::empty() });
        }
        let drawn = drawdown::drawn(db, environment_id, customer_id, &ids, up_to).await?;
        let mut product_ids: Vec<Uuid> = balances.iter().map(|balance| balance.terms.product_id.0).collect();
        product_ids.sort_unstable();
        product_ids.dedup();
        let mut products = product::find_many(db, environment_id, &product_ids).await?;
        if let Some(seen) = &seen {
            for product in &mut products {
                product.updates.retain(|update| Some(update.added) <= seen.product_update);
            }
        }
        let updates = products.iter().flat_map(|product| &product.updates);
        let product_update = updates.map(|update| update.added).max();
        Ok(Self {
            span,
            products: products.into_iter().map(|product| (product.id, product.timeline())).collect(),
            drawn,
            drafts: BTreeMap::new(),
            version: balance::newest(db, environment_id, customer_id).await?,
            draw: drawdown::newest_draw(db, environment_id, customer_id).await?,
            product_update,
            seen,
            balances,
        })
    }

    /// Nothing, at any time.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            balances: Vec::new(),
            span: Period { start: Instant::MIN_UTC, end: Instant::MAX_UTC },
            products: BTreeMap::new(),
            drawn: BTreeMap::new(),
            drafts: BTreeMap::new(),
            version: 0,
            draw: 0,
            product_update: None,
            seen: None,
        }
    }

    /// With what has a segment in another period as well.
    pub async fn widened(
        self,
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        customer_id: CustomerId,
        period: Period,
    ) -> Result<Self, sqlx::Error> {
        let Self { span, drafts, seen, .. } = self;
        let span = Period { start: span.start.min(period.start), end: span.end.max(period.end) };
        Ok(Self { drafts, ..Self::load(db, environment_id, customer_id, span, seen).await? })
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

    /// Whether what the statement at this place draws is known.
    #[must_use]
    pub fn knows(&self, place: StatementPlace) -> bool {
        self.seen.is_some() || self.drafts.contains_key(&place)
    }

    /// Keeps what a draft draws.
    pub fn reserve(&mut self, place: StatementPlace, draws: Vec<Draw>) {
        self.drafts.insert(place, draws);
    }

    /// What was drawn of a segment before the statement at this place: zero or below.
    #[must_use]
    pub fn used_before(&self, place: StatementPlace, segment_id: SegmentId) -> Decimal {
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
        drawn + reserved
    }

    fn draws_before(&self, place: StatementPlace) -> impl Iterator<Item = &Draw> {
        self.drafts.range(..place).flat_map(|(_, draws)| draws)
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
        SeenBalances { version, draw, product_update, reserved, contract_ending_before }
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
