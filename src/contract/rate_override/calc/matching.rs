//! Whether an override is aimed at a line.

use uuid::Uuid;

use crate::catalog::rate::{BillingFrequency, GroupValues};
use crate::contract::rate_override::{Exclusion, Override, PresentationValues, Specifier, Targeting};
use crate::id::ProductId;

/// What is to be priced.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub product_id: ProductId,
    /// Those of the product at that instant.
    pub tags: &'a [String],
    pub pricing_group_values: &'a GroupValues,
    /// Every presentation group key of the product; null where an event lacked the property.
    pub presentation_group_values: &'a PresentationValues,
    /// Only subscription rates have one.
    pub billing_frequency: Option<BillingFrequency>,
    /// The card's rate has a minimum, which switches commit-specific overrides off (text of every `minimum_config`).
    pub has_minimum: bool,
}

/// The commit or credit that pays for a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    pub id: Uuid,
    /// A credit, which `commit_ids` and `recurring_commit_ids` never name.
    pub is_credit: bool,
    /// The recurring commit or credit that made it.
    pub recurring_id: Option<Uuid>,
}

/// Whether an override is aimed at a line that is paid by `drawn`, whenever it is in force. One that is commit-specific
/// is aimed only at what is drawn.
#[must_use]
pub fn matches(rate_override: &Override, line: &Line<'_>, drawn: Option<&Drawn>) -> bool {
    let is_payer = drawn.is_some() || !rate_override.is_commit_specific;
    is_payer && aims_at(&rate_override.targeting, line, |specifier| names(specifier, drawn))
}

/// The overrides that are aimed at a line at any time, whatever is drawn.
#[must_use]
pub fn of_line<'a>(overrides: impl IntoIterator<Item = &'a Override>, line: &Line<'_>) -> Vec<&'a Override> {
    let is_aimed = |one: &&Override| aims_at(&one.targeting, line, |_| true);
    overrides.into_iter().filter(is_aimed).collect()
}

fn aims_at(targeting: &Targeting, line: &Line<'_>, is_payer: impl Fn(&Specifier) -> bool) -> bool {
    let Targeting { product_id, applicable_product_tags, specifiers } = targeting;
    product_id.is_none_or(|id| id == line.product_id)
        && (applicable_product_tags.is_empty()
            || applicable_product_tags.iter().any(|tag| line.tags.contains(tag)))
        && (specifiers.is_empty()
            || specifiers.iter().any(|specifier| holds(specifier, line) && is_payer(specifier)))
}

/// Whether a specifier holds for a line, whatever is drawn. A line that lacks a key that is named is never meant.
fn holds(specifier: &Specifier, line: &Line<'_>) -> bool {
    let has_all = |tags: &[String]| tags.iter().all(|tag| line.tags.contains(tag));
    let is_excluded = |exclusion: &Exclusion| {
        // One that says nothing leaves nothing out (our decision).
        !exclusion.product_tags.is_empty() && has_all(&exclusion.product_tags)
    };
    specifier.product_id.is_none_or(|id| id == line.product_id)
        && has_all(&specifier.product_tags)
        && specifier
            .pricing_group_values
            .iter()
            .all(|(name, value)| line.pricing_group_values.get(name) == Some(value))
        && specifier
            .presentation_group_values
            .iter()
            .all(|(name, value)| line.presentation_group_values.get(name) == Some(value))
        && specifier.billing_frequency.is_none_or(|frequency| line.billing_frequency == Some(frequency))
        && !specifier.exclude.iter().any(is_excluded)
}

/// Whether a specifier means what is drawn; one without ids means all.
fn names(specifier: &Specifier, drawn: Option<&Drawn>) -> bool {
    if !specifier.names_commits() {
        return true;
    }
    let Some(drawn) = drawn else { return false };
    let is_one = |ids: &[Uuid]| ids.contains(&drawn.id);
    let is_made_by = |ids: &[Uuid]| drawn.recurring_id.is_some_and(|id| ids.contains(&id));
    let any = &specifier.any_commit_or_credit_ids;
    let is_named_commit = is_one(&specifier.commit_ids) || is_made_by(&specifier.recurring_commit_ids);
    is_one(any) || is_made_by(any) || (!drawn.is_credit && is_named_commit)
}
