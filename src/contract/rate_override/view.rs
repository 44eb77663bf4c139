//! How an override is shown inside its contract (schemas `Override` and `OverrideV2`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::terms::{
    Override, OverrideKind, OverrideTier, OverrideType, OverwriteRate, RateTarget, Specifier, Targeting,
};
use crate::catalog::rate::{GroupValues, Rate, RateType, Tier};
use crate::id::{CreditTypeId, OverrideId, ProductId};
use crate::money::{CreditType, Number};
use crate::time::Instant;

/// Names that overrides are shown with.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub products: BTreeMap<ProductId, String>,
    pub units: BTreeMap<CreditTypeId, CreditType>,
}

/// An override as v2 shows it.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "OverrideV2")]
pub struct OverrideV2 {
    id: OverrideId,
    created_at: Instant,
    starting_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_before: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    override_specifiers: Option<Vec<Specifier>>,
    #[serde(flatten)]
    rule: RuleView,
}

/// What an override does and to what, but for its specifiers, wherever one is shown.
#[derive(Clone, Serialize, JsonSchema)]
pub struct RuleView {
    /// The one product that is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<ProductName>,
    /// Any of these; empty where the override is not aimed by tags alone.
    applicable_product_tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entitled: Option<bool>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    override_type: Option<OverrideType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multiplier: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overwrite_rate: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    override_tiers: Option<Vec<OverrideTier>>,
    is_commit_specific: bool,
    target: RateTarget,
}

/// An override as v1 shows it: beside everything that v2 shows, the rate of an OVERWRITE once more, flat.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "Override")]
pub struct OverrideV1 {
    #[serde(flatten)]
    whole: OverrideV2,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_type: Option<RateType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_prorated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tiers: Option<Vec<Tier>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_type: Option<CreditType>,
}

#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "ProductIdAndName")]
struct ProductName {
    id: ProductId,
    name: String,
}

impl OverrideV2 {
    #[must_use]
    pub fn new(one: &Override, names: &Names) -> Self {
        Self {
            id: one.id,
            created_at: one.created_at,
            starting_at: one.starting_at,
            ending_before: one.ending_before,
            override_specifiers: Some(specifiers(one)).filter(|specifiers| !specifiers.is_empty()),
            rule: RuleView::new(one, names),
        }
    }
}

/// The specifiers of an override as they are shown. One product is shown in both ways, however it was named (published
/// sample of an edit).
#[must_use]
pub fn specifiers(one: &Override) -> Vec<Specifier> {
    match sole_product(one) {
        Some(id) if one.targeting.specifiers.is_empty() => {
            vec![Specifier { product_id: Some(id), ..Specifier::default() }]
        }
        _ => one.targeting.specifiers.clone(),
    }
}

impl RuleView {
    #[must_use]
    pub fn new(one: &Override, names: &Names) -> Self {
        let sole = sole_product(one);
        let product =
            sole.map(|id| ProductName { id, name: names.products.get(&id).cloned().unwrap_or_default() });
        let (mut multiplier, mut overwrite_rate, mut override_tiers) = (None, None, None);
        match &one.kind {
            Some(OverrideKind::Multiplier(by)) => multiplier = Some(Number(by.clone())),
            Some(OverrideKind::Overwrite(rate)) => overwrite_rate = Some(shown_rate(rate, names)),
            Some(OverrideKind::Tiered(tiers)) => override_tiers = Some(tiers.clone()),
            None => {}
        }
        Self {
            product,
            applicable_product_tags: one.targeting.applicable_product_tags.clone(),
            entitled: one.entitled,
            override_type: one.kind.as_ref().map(OverrideKind::override_type),
            priority: one.priority.clone().map(Number),
            multiplier,
            overwrite_rate,
            override_tiers,
            is_commit_specific: one.is_commit_specific,
            target: one.target,
        }
    }
}

impl OverrideV1 {
    #[must_use]
    pub fn new(one: &Override, names: &Names) -> Self {
        let whole = OverrideV2::new(one, names);
        let rate = whole.rule.overwrite_rate.clone();
        Self {
            rate_type: rate.as_ref().map(|rate| rate.rate_type),
            price: rate.as_ref().and_then(|rate| rate.price.clone()),
            quantity: rate.as_ref().and_then(|rate| rate.quantity.clone()),
            is_prorated: rate.as_ref().and_then(|rate| rate.is_prorated),
            tiers: rate.as_ref().and_then(|rate| rate.tiers.clone()),
            credit_type: rate.map(|rate| rate.credit_type),
            whole,
        }
    }
}

/// The one product that an override names: outside specifiers, or in one that says nothing else.
fn sole_product(one: &Override) -> Option<ProductId> {
    let Targeting { product_id, specifiers, .. } = &one.targeting;
    let bare = match specifiers.as_slice() {
        [only] => only
            .product_id
            .filter(|_| *only == Specifier { product_id: only.product_id, ..Specifier::default() }),
        _ => None,
    };
    product_id.or(bare)
}

fn shown_rate(rate: &OverwriteRate, names: &Names) -> Rate {
    let unit = rate.credit_type_id.and_then(|id| names.units.get(&id).cloned());
    Rate::new(&rate.price, &GroupValues::new(), &unit.unwrap_or_else(CreditType::usd))
}
