//! Whether a balance may pay for a charge.

use schemars::JsonSchema;
use serde::Serialize;

use super::candidate::Candidate;
use crate::contract::balance::{AccessType, SpecifierOfBalance, TargetingOfBalance};
use crate::rating::ProductTerms;
use crate::rating::calc::{Basis, Combination, Stretch};
use crate::time::Instant;

/// Why a balance does not pay for a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(rename = "BalanceSkippedBecause")]
pub enum Skipped {
    /// The charge is of another time.
    OtherTime,
    /// The charge is of a product or a group that it does not pay for.
    OtherUsage,
    /// The charge is in another unit.
    OtherUnit,
    /// The balance is of units of usage, and the charge is for something else.
    NotUsage,
    /// Nothing is left of it.
    NothingLeft,
    /// Those before it pay for all.
    PaidAlready,
    /// The charge costs nothing.
    NothingDue,
}

/// Why a candidate can never pay for a stretch; nothing is said about the unit or what is left.
///
/// Usage lies wholly inside or outside of its time, as it is cut there. A subscription and the minimum of a composite have
/// nothing to cut: each is one charge, which is paid by what may be drawn at its start (our decision). The documentation puts a
/// charge into the order of drawdown by its start, and prices a subscription as of the start of its billing period; it knows no
/// other instant of either. So what begins later pays nothing of it, and what ends inside its time may pay for all of it.
///
/// What is of quantities pays for units of USAGE products alone (our decision: seats are units too, but not of usage, and a
/// composite has none).
#[must_use]
pub fn skipped(candidate: &Candidate<'_>, stretch: &Stretch<'_>) -> Option<Skipped> {
    let Stretch { product, combination, period, .. } = stretch;
    if !candidate.period.contains(period.start) {
        return Some(Skipped::OtherTime);
    }
    let is_aimed = aims_at(&candidate.balance.terms.targeting, product, combination, period.start);
    if !is_aimed {
        return Some(Skipped::OtherUsage);
    }
    let is_of_quantities = candidate.balance.access_type == AccessType::Quantity;
    (is_of_quantities && !matches!(stretch.basis, Basis::Usage(_))).then_some(Skipped::NotUsage)
}

/// Whether a balance pays for usage of a product in these groups, by the tags that the product has at an instant (documentation
/// page on targeting): any of its products and tags, or all that one of its specifiers says.
#[must_use]
pub fn aims_at(
    targeting: &TargetingOfBalance,
    product: &ProductTerms,
    combination: &Combination,
    at: Instant,
) -> bool {
    let TargetingOfBalance { product_ids, product_tags, specifiers } = targeting;
    let tags = product.states.at(at).tags.as_deref().unwrap_or_default();
    if !specifiers.is_empty() {
        return specifiers.iter().any(|specifier| holds(specifier, product, combination, tags));
    }
    let is_open = product_ids.is_empty() && product_tags.is_empty();
    is_open || product_ids.contains(&product.product_id) || product_tags.iter().any(|tag| tags.contains(tag))
}

/// A charge that lacks a group that is named is never meant.
fn holds(
    specifier: &SpecifierOfBalance,
    product: &ProductTerms,
    combination: &Combination,
    tags: &[String],
) -> bool {
    let has_all = |wanted: &[String]| wanted.iter().all(|tag| tags.contains(tag));
    let mut exclusions = specifier.exclude.iter().filter(|one| !one.product_tags.is_empty());
    specifier.product_id.is_none_or(|id| id == product.product_id)
        && has_all(&specifier.product_tags)
        && specifier
            .pricing_group_values
            .iter()
            .all(|(name, value)| combination.pricing.get(name) == Some(value))
        && specifier
            .presentation_group_values
            .iter()
            .all(|(name, value)| combination.presentation.get(name) == Some(value))
        && !exclusions.any(|exclusion| has_all(&exclusion.product_tags))
}

impl TargetingOfBalance {
    /// Whether it pays for everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.product_ids.is_empty() && self.product_tags.is_empty() && self.specifiers.is_empty()
    }

    /// Whether it goes by the tags of products.
    #[must_use]
    pub fn goes_by_tags(&self) -> bool {
        let by_tags = |one: &SpecifierOfBalance| !(one.product_tags.is_empty() && one.exclude.is_empty());
        !self.product_tags.is_empty() || self.specifiers.iter().any(by_tags)
    }
}
