//! The balances of one customer, as the invoices of one transaction draw them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::holdings::Holdings;
use crate::catalog::product::Timeline;
use crate::contract::Contract;
use crate::contract::balance::{self, Added, Balance};
use crate::drawdown::Draw;
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

/// What a customer may draw, and what was drawn.
pub struct Purse {
    pub holdings: Arc<Holdings>,
    /// What drafts draw, by the place of their statement.
    drafts: BTreeMap<StatementPlace, Vec<Draw>>,
    /// As an invoice saw them; else as they are.
    seen: Option<SeenBalances>,
}

impl Purse {
    /// What may be drawn of these balances, of which no draft draws anything yet.
    #[must_use]
    pub fn of(holdings: Arc<Holdings>) -> Self {
        Self { holdings, drafts: BTreeMap::new(), seen: None }
    }

    /// The balances of a customer in a span of time, as an invoice saw them.
    pub async fn as_seen(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        customer_id: CustomerId,
        span: Period,
        seen: SeenBalances,
    ) -> Result<Self, sqlx::Error> {
        let holdings = Holdings::as_seen(db, environment_id, customer_id, span, &seen).await?;
        Ok(Self { seen: Some(seen), ..Self::of(Arc::new(holdings)) })
    }

    /// Nothing, at any time.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(Arc::new(Holdings::empty()))
    }

    /// The time whose balances these are.
    #[must_use]
    pub fn span(&self) -> Period {
        self.holdings.span
    }

    /// The products that name the balances.
    #[must_use]
    pub fn products(&self) -> &BTreeMap<ProductId, Timeline> {
        &self.holdings.products
    }

    /// Whether a contract's usage may draw anything of it.
    #[must_use]
    pub fn is_of(&self, contract_id: ContractId) -> bool {
        self.holdings.balances.iter().any(|balance| balance.is_of(contract_id))
    }

    /// Whether two contracts may draw the same.
    #[must_use]
    pub fn is_of_both(&self, one: ContractId, other: ContractId) -> bool {
        self.holdings.balances.iter().any(|balance| balance.is_of(one) && balance.is_of(other))
    }

    /// Whether a contract takes anything over from another one whose amount is not final: what that one draws makes it.
    #[must_use]
    pub fn takes_over(&self, to: ContractId, from: ContractId) -> bool {
        let mut origins = self.holdings.rollovers.live_of(to).filter_map(|balance| balance.origin);
        origins.any(|origin| origin.contract_id == from)
    }

    /// The balances as the statement at this place finds them: what a renewal took over has the amount that is left for it.
    #[must_use]
    pub fn balances_at(&self, place: StatementPlace) -> Cow<'_, [Balance]> {
        let Holdings { balances, rollovers, .. } = &*self.holdings;
        if !balances.iter().any(balance::is_live) {
            return Cow::Borrowed(balances);
        }
        let mut balances = balances.clone();
        for balance in &mut balances {
            rollovers.resolve(balance, |segment_id| self.drawn_before(place, segment_id));
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
        self.drawn_before(place, segment_id) - self.holdings.rollovers.finally_taken(segment_id)
    }

    fn drawn_before(&self, place: StatementPlace, segment_id: SegmentId) -> Decimal {
        let Holdings { drawn, trued_up, .. } = &*self.holdings;
        let of =
            |amounts: &BTreeMap<SegmentId, Decimal>| amounts.get(&segment_id).cloned().unwrap_or_default();
        let reserved: Decimal = match &self.seen {
            Some(seen) => {
                seen.reserved.get(&segment_id).map(|reserved| reserved.0.clone()).unwrap_or_default()
            }
            None => {
                let of_drafts = self.draws_before(place).filter(|draw| draw.segment_id == segment_id);
                of_drafts.map(|draw| &draw.amount).sum()
            }
        };
        of(drawn) + reserved - of(trued_up)
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
        let Holdings { version, draw, product_update, .. } = *self.holdings;
        let contract_ending_before = contract.ending_before;
        let trued_up =
            self.holdings.trued_up.iter().map(|(id, billed)| (*id, Number(billed.clone()))).collect();
        SeenBalances { version, draw, product_update, reserved, trued_up, contract_ending_before }
    }

    /// Where usage of a contract is cut for what may pay for it: where a segment begins or ends, where the contract does and
    /// with it what is its own (an invoice that is made anew may go on beyond an end that was moved), and where the tags of
    /// products may change if balances go by them.
    #[must_use]
    pub fn cuts(&self, contract: &Contract, terms: &Terms) -> Vec<Instant> {
        let id = contract.id;
        let own = || self.holdings.balances.iter().filter(move |balance| balance.is_of(id));
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
