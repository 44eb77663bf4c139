//! The segments that a contract's usage may draw.

use std::collections::BTreeMap;

use super::rank::Rank;
use crate::catalog::product::Timeline;
use crate::contract::balance::{Balance, Segment};
use crate::id::{ContractId, ProductId, SegmentId};
use crate::money::{Decimal, zero};
use crate::rating::Agreement;
use crate::time::{Instant, Period};

/// A segment of a balance, as one statement may draw it.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    pub balance: &'a Balance,
    pub segment: &'a Segment,
    /// The segment's time, of a contract's own balance cut where the contract ends.
    pub period: Period,
    /// What is left of it, in its unit or in units of usage: zero or more.
    pub available: Decimal,
    /// What lines call it: its name, else that of its product at the end of the statement.
    pub name: String,
}

/// The candidates for a statement of a contract, which is told with its end, in the order in which they are drawn. `products` are those of the balances, `used` is what
/// was drawn of each segment before, zero or below.
#[must_use]
pub fn candidates<'a>(
    (contract_id, contract_end): (ContractId, Option<Instant>),
    agreement: &Agreement<'_>,
    balances: &'a [Balance],
    products: &BTreeMap<ProductId, Timeline>,
    used: impl Fn(SegmentId) -> Decimal,
) -> Vec<Candidate<'a>> {
    let counted = agreement.statement.counted;
    let own = balances.iter().filter(|balance| balance.archived_at.is_none() && balance.is_of(contract_id));
    let mut candidates: Vec<(Rank, Candidate<'a>)> = Vec::new();
    for balance in own {
        for segment in &balance.terms.segments {
            let Some(period) = in_force(balance, segment, contract_end) else { continue };
            if period.end <= counted.start || counted.end <= period.start {
                continue;
            }
            let available = &segment.amount.0 + balance.terms.manual(segment.id) + used(segment.id);
            let of_product = products.get(&balance.terms.product_id);
            let product_name = || of_product.map(|states| states.before(counted.end).name.clone());
            let candidate = Candidate {
                balance,
                segment,
                period,
                available: available.max(zero()),
                name: balance.terms.name.clone().or_else(product_name).unwrap_or_default(),
            };
            candidates.push((Rank::new(&candidate, agreement), candidate));
        }
    }
    candidates.sort_by(|(one, _), (other, _)| one.cmp(other));
    candidates.into_iter().map(|(_, candidate)| candidate).collect()
}

/// When a segment may be drawn: a contract's own balance ends with the contract.
fn in_force(balance: &Balance, segment: &Segment, contract_end: Option<Instant>) -> Option<Period> {
    let end = contract_end.filter(|_| balance.contract_id.is_some());
    let period = Period {
        start: segment.starting_at,
        end: end.map_or(segment.ending_before, |end| end.min(segment.ending_before)),
    };
    (period.start < period.end).then_some(period)
}
