//! Which rates of a card a reader asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entry::{BillingFrequency, GroupValues, TimelineKey};
use crate::catalog::product::ProductState;
use crate::id::ProductId;

/// Conditions that must all hold (schema `RateSelector`).
#[derive(Deserialize, Serialize, JsonSchema)]
pub struct RateSelector {
    product_id: Option<ProductId>,
    /// The rate's whole map.
    pricing_group_values: Option<GroupValues>,
    /// A part of the rate's map.
    partial_pricing_group_values: Option<GroupValues>,
    /// Only flat rates of subscriptions have one.
    billing_frequency: Option<BillingFrequency>,
}

/// Conditions that must all hold (schema `RateSelectorWithProductTags`).
#[derive(Deserialize, Serialize, JsonSchema)]
pub struct RateSelectorWithProductTags {
    product_id: Option<ProductId>,
    /// Any of these.
    product_tags: Option<Vec<String>>,
    /// The rate's whole map.
    pricing_group_values: Option<GroupValues>,
    /// A part of the rate's map.
    partial_pricing_group_values: Option<GroupValues>,
    /// Only flat rates of subscriptions have one.
    billing_frequency: Option<BillingFrequency>,
}

/// Alternatives of which one must hold; without any, every rate is selected (both schemas).
pub struct Selection(Vec<RateSelectorWithProductTags>);

impl From<RateSelector> for RateSelectorWithProductTags {
    fn from(selector: RateSelector) -> Self {
        Self {
            product_id: selector.product_id,
            product_tags: None,
            pricing_group_values: selector.pricing_group_values,
            partial_pricing_group_values: selector.partial_pricing_group_values,
            billing_frequency: selector.billing_frequency,
        }
    }
}

impl RateSelectorWithProductTags {
    fn selects_product(&self, product_id: ProductId, state: &ProductState) -> bool {
        let tags = state.tags.as_deref().unwrap_or_default();
        self.product_id.is_none_or(|id| id == product_id)
            && self.product_tags.as_ref().is_none_or(|wanted| wanted.iter().any(|tag| tags.contains(tag)))
    }

    fn selects_key(&self, key: &TimelineKey) -> bool {
        let values = &key.pricing_group_values;
        self.pricing_group_values.as_ref().is_none_or(|wanted| wanted == values)
            && self
                .partial_pricing_group_values
                .as_ref()
                .is_none_or(|wanted| wanted.iter().all(|(name, value)| values.get(name) == Some(value)))
            && self.billing_frequency.is_none_or(|wanted| key.billing_frequency == Some(wanted))
    }
}

impl Selection {
    pub fn new<S: Into<RateSelectorWithProductTags>>(selectors: Vec<S>) -> Self {
        Self(selectors.into_iter().map(Into::into).collect())
    }

    /// Whether any rate of the product may be selected.
    #[must_use]
    pub fn may_select(&self, product_id: ProductId, state: &ProductState) -> bool {
        self.0.is_empty() || self.0.iter().any(|selector| selector.selects_product(product_id, state))
    }

    /// Whether a timeline is selected; `state` is its product's.
    #[must_use]
    pub fn selects(&self, key: &TimelineKey, state: &ProductState) -> bool {
        let selects = |selector: &RateSelectorWithProductTags| {
            selector.selects_product(key.product_id, state) && selector.selects_key(key)
        };
        self.0.is_empty() || self.0.iter().any(selects)
    }
}
