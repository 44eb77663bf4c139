use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::calc::Segment;
use super::entry::{BillingFrequency, GroupValues, Price, RateType, Tier};
use super::timelines::Timeline;
use crate::custom_field::{Carries, CustomFields, ManagedEntity};
use crate::id::ProductId;
use crate::money::{CreditType, InputNumber, Number};
use crate::time::Instant;

/// A price (schema `Rate`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rate {
    pub rate_type: RateType,
    /// Of one unit; a fraction for PERCENTAGE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Vec<Tier>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_prorated: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_config: Option<MinimumConfig>,
    /// Shown where it is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_list_prices: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing_group_values: Option<GroupValues>,
    pub credit_type: CreditType,
}

/// The least that a share of spend comes to in a billing period (schema `MinimumConfig`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MinimumConfig {
    /// From 0, in the currency of the card.
    pub minimum: InputNumber,
}

/// What units cost that a commit at commit rate pays for (schema `CommitRate`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CommitRate {
    pub rate_type: RateType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Vec<Tier>>,
}

/// A rate as it was added (schema `RateWithCommitRate`).
#[derive(Serialize, JsonSchema)]
pub struct RateWithCommitRate {
    #[serde(flatten)]
    pub rate: Rate,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_rate: Option<CommitRate>,
}

impl Rate {
    #[must_use]
    pub fn new(price: &Price, pricing_group_values: &GroupValues, unit: &CreditType) -> Self {
        let (quantity, is_prorated) = match price {
            Price::Subscription { quantity, is_prorated, .. } => {
                (Some(Number(quantity.clone())), Some(*is_prorated))
            }
            _ => (None, None),
        };
        Self {
            rate_type: price.rate_type(),
            price: price.single().cloned().map(Number),
            tiers: price.tiers().map(<[Tier]>::to_vec),
            quantity,
            is_prorated,
            minimum_config: price
                .minimum()
                .map(|minimum| MinimumConfig { minimum: InputNumber(minimum.clone()) }),
            use_list_prices: price.uses_list_prices().filter(|uses_list_prices| *uses_list_prices),
            pricing_group_values: Some(pricing_group_values.clone()).filter(|values| !values.is_empty()),
            credit_type: unit.clone(),
        }
    }
}

impl From<&Price> for CommitRate {
    fn from(price: &Price) -> Self {
        Self {
            rate_type: price.rate_type(),
            price: price.single().cloned().map(Number),
            tiers: price.tiers().map(<[Tier]>::to_vec),
        }
    }
}

/// A stretch of a card's timeline (schema `RateSchedule`).
#[derive(Serialize, JsonSchema)]
pub struct RateSchedule {
    pub product_id: ProductId,
    pub product_name: String,
    pub product_tags: Vec<String>,
    pub product_custom_fields: CustomFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing_group_values: Option<GroupValues>,
    pub starting_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending_before: Option<Instant>,
    pub entitled: bool,
    pub rate: Rate,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_rate: Option<CommitRate>,
    /// Of flat rates of subscriptions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_frequency: Option<BillingFrequency>,
}

impl RateSchedule {
    /// One of the timeline's segments, with the product as it is at the instant that is asked for.
    pub fn new(timeline: &Timeline<'_>, segment: &Segment<'_>) -> Self {
        let Timeline { key, state, unit, .. } = timeline;
        let rate = Rate::new(&segment.entry.price, &key.pricing_group_values, unit);
        Self {
            product_id: key.product_id,
            product_name: state.name.clone(),
            product_tags: state.tags.clone().unwrap_or_default(),
            product_custom_fields: CustomFields::new(),
            pricing_group_values: rate.pricing_group_values.clone(),
            starting_at: segment.start,
            ending_before: segment.end,
            entitled: segment.entry.entitled,
            rate,
            commit_rate: segment.entry.commit_rate.as_ref().map(Into::into),
            billing_frequency: key.billing_frequency,
        }
    }
}

/// The fields of its product.
impl Carries for RateSchedule {
    const ENTITY: ManagedEntity = ManagedEntity::ContractProduct;

    fn entity_id(&self) -> Uuid {
        self.product_id.0
    }

    fn custom_fields(&mut self) -> &mut CustomFields {
        &mut self.product_custom_fields
    }
}
