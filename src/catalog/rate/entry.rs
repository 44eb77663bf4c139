use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::casing::wire_enum;
use crate::id::ProductId;
use crate::money::{Decimal, InputNumber};
use crate::time::Instant;

wire_enum! {
    /// How a rate turns a quantity into money.
    pub enum RateType {
        /// Every unit costs the same.
        Flat = "FLAT",
        /// Graduated: each tier's units cost that tier's price.
        Tiered = "TIERED",
    }
    later ["PERCENTAGE", "TIERED_PERCENTAGE", "SUBSCRIPTION", "CUSTOM"]
}

/// Values of a product's pricing group key, by property name.
pub type GroupValues = BTreeMap<String, String>;

/// One tier: its width in units and what each of them costs (schema `Tier`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tier {
    /// How many units it holds, not where it ends; unset on the last tier, which has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<InputNumber>,
    pub price: InputNumber,
}

/// What units cost under one rate, in the unit of the product on its card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Price {
    Flat(Decimal),
    Tiered(Vec<Tier>),
}

/// One entry of a card's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateEntry {
    /// The order of addition within the card.
    pub added: i64,
    pub product_id: ProductId,
    pub pricing_group_values: GroupValues,
    pub starting_at: Instant,
    pub ending_before: Option<Instant>,
    /// Whether the product may be billed under this rate.
    pub entitled: bool,
    pub price: Price,
    pub created_at: Instant,
}

impl RateEntry {
    #[must_use]
    pub fn covers(&self, at: Instant) -> bool {
        self.starting_at <= at && self.ending_before.is_none_or(|end| at < end)
    }
}
