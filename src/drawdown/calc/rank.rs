//! The order between balances (documentation page on the rules of prioritization).

use std::collections::BTreeSet;

use super::candidate::Candidate;
use crate::contract::balance::{BalanceType, SpecifierOfBalance, TargetingOfBalance};
use crate::id::{BalanceId, ProductId, SegmentId};
use crate::money::Decimal;
use crate::rating::{Agreement, ProductTerms};
use crate::time::Instant;

/// What counts as the priority of a balance without one.
const DEFAULT_PRIORITY: i64 = 100;

/// How many, with no bound last.
const UNBOUNDED: usize = usize::MAX;

/// The place of a candidate: the smallest is drawn first. The fields stand in the order in which they decide; what does not
/// count inside a group is alike for all of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    group: Group,
    priority: Decimal,
    /// What was given away goes before what is paid for.
    has_cost: bool,
    /// Few products go before many.
    products: usize,
    /// Few specifiers of groups alone go before many.
    usage: usize,
    ending_before: Instant,
    starting_at: Option<Instant>,
    contracts: usize,
    /// Our decision from here on.
    is_of_customer: bool,
    created_at: Instant,
    balance_id: BalanceId,
    segment_id: SegmentId,
}

/// The type goes before every priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    PostpaidRollover,
    Rollover,
    PrepaidOrCredit,
    Postpaid,
}

impl Rank {
    #[must_use]
    pub fn new(candidate: &Candidate<'_>, agreement: &Agreement<'_>) -> Self {
        let Candidate { balance, segment, period, .. } = candidate;
        let terms = &balance.terms;
        let group = match (balance.origin.is_some(), balance.balance_type) {
            (true, BalanceType::Postpaid) => Group::PostpaidRollover,
            (true, _) => Group::Rollover,
            (false, BalanceType::Postpaid) => Group::Postpaid,
            (false, _) => Group::PrepaidOrCredit,
        };
        let is_rollover = matches!(group, Group::PostpaidRollover | Group::Rollover);
        let contracts = match (balance.contract_id, terms.applicable_contract_ids.len()) {
            (Some(_), _) => 1,
            (None, 0) => UNBOUNDED,
            (None, count) => count,
        };
        let priority = terms.priority.as_ref().map(|priority| priority.0.clone());
        Self {
            group,
            priority: priority.unwrap_or_else(|| DEFAULT_PRIORITY.into()),
            has_cost: !is_rollover && balance.has_cost(),
            products: products(candidate, agreement),
            usage: usage(&terms.targeting),
            ending_before: period.end,
            starting_at: (!is_rollover).then_some(segment.starting_at),
            contracts: if is_rollover { 0 } else { contracts },
            is_of_customer: balance.contract_id.is_none(),
            created_at: balance.created_at,
            balance_id: balance.id,
            segment_id: segment.id,
        }
    }
}

/// How many products it names, by id or by the tags that products of the card have at the start of the statement; no bound
/// where it names none.
fn products(candidate: &Candidate<'_>, agreement: &Agreement<'_>) -> usize {
    let targeting = &candidate.balance.terms.targeting;
    let at = agreement.statement.from;
    let with_tags = |is_meant: &dyn Fn(&[String]) -> bool| -> Vec<ProductId> {
        let tags = |product: &ProductTerms| product.states.at(at).tags.clone().unwrap_or_default();
        let products = agreement.terms.products.iter();
        products.filter(|product| is_meant(&tags(product))).map(|product| product.product_id).collect()
    };
    let mut names_products = !(targeting.product_ids.is_empty() && targeting.product_tags.is_empty());
    let mut named: BTreeSet<ProductId> = targeting.product_ids.iter().copied().collect();
    named.extend(with_tags(&|tags| targeting.product_tags.iter().any(|tag| tags.contains(tag))));
    for specifier in &targeting.specifiers {
        if let Some(id) = specifier.product_id {
            names_products = true;
            named.insert(id);
        } else if !specifier.product_tags.is_empty() {
            names_products = true;
            named.extend(with_tags(&|tags| specifier.product_tags.iter().all(|tag| tags.contains(tag))));
        }
    }
    if names_products { named.len() } else { UNBOUNDED }
}

/// How many specifiers it has of groups alone; no bound where it is for all usage there is, be it but for what a specifier
/// excludes.
fn usage(targeting: &TargetingOfBalance) -> usize {
    let names_product = |one: &&SpecifierOfBalance| one.product_id.is_some() || !one.product_tags.is_empty();
    let names_group = |one: &&SpecifierOfBalance| {
        !(one.pricing_group_values.is_empty() && one.presentation_group_values.is_empty())
    };
    let specifiers = || targeting.specifiers.iter().filter(|one| !names_product(one));
    if targeting.is_open() || specifiers().any(|one| !names_group(&one)) {
        return UNBOUNDED;
    }
    specifiers().count()
}
