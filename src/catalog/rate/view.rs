use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::calc::Segment;
use super::entry::{GroupValues, Price, RateType, Tier};
use crate::catalog::product::ProductState;
use crate::custom_field::{Carries, CustomFields, ManagedEntity};
use crate::id::ProductId;
use crate::money::{CreditType, Number};
use crate::time::Instant;

/// A price (schema `Rate`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rate {
    pub rate_type: RateType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Vec<Tier>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing_group_values: Option<GroupValues>,
    pub credit_type: CreditType,
}

impl Rate {
    #[must_use]
    pub fn new(price: &Price, pricing_group_values: &GroupValues, unit: &CreditType) -> Self {
        let (rate_type, flat_price, tiers) = match price {
            Price::Flat(price) => (RateType::Flat, Some(Number(price.clone())), None),
            Price::Tiered(tiers) => (RateType::Tiered, None, Some(tiers.clone())),
        };
        Self {
            rate_type,
            price: flat_price,
            tiers,
            pricing_group_values: Some(pricing_group_values.clone()).filter(|values| !values.is_empty()),
            credit_type: unit.clone(),
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
}

impl RateSchedule {
    /// `state` is the product's at the instant that is asked for.
    pub fn new(
        product_id: ProductId,
        state: &ProductState,
        segment: &Segment<'_>,
        unit: &CreditType,
    ) -> Self {
        let rate = Rate::new(&segment.entry.price, &segment.entry.pricing_group_values, unit);
        Self {
            product_id,
            product_name: state.name.clone(),
            product_tags: state.tags.clone().unwrap_or_default(),
            product_custom_fields: CustomFields::new(),
            pricing_group_values: rate.pricing_group_values.clone(),
            starting_at: segment.start,
            ending_before: segment.end,
            entitled: segment.entry.entitled,
            rate,
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
