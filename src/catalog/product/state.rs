//! What a product is, and which combinations make sense.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::casing::wire_enum;
use crate::id::BillableMetricId;
use crate::money::{Decimal, InputNumber, QuantityRounding, divide, is_positive};

wire_enum! {
    /// What a product is.
    pub enum ProductType {
        /// Priced by what the customer uses.
        Usage = "USAGE",
    }
    later ["FIXED", "COMPOSITE", "SUBSCRIPTION", "PROFESSIONAL_SERVICE", "PRO_SERVICE"]
}

wire_enum! {
    pub enum ConversionOperation {
        Multiply = "MULTIPLY",
        Divide = "DIVIDE",
    }
}

/// From the metric's unit to the one that is priced, such as tokens to millions of tokens (schema
/// `QuantityConversion`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuantityConversion {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Greater than 0.
    pub conversion_factor: InputNumber,
    pub operation: ConversionOperation,
}

impl QuantityConversion {
    #[must_use]
    pub fn apply(&self, quantity: &Decimal) -> Decimal {
        match self.operation {
            ConversionOperation::Multiply => quantity * &self.conversion_factor.0,
            ConversionOperation::Divide => divide(quantity, &self.conversion_factor.0),
        }
    }
}

/// Everything about a product that can differ over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductState {
    pub name: String,
    pub billable_metric_id: Option<BillableMetricId>,
    pub pricing_group_key: Option<Vec<String>>,
    pub presentation_group_key: Option<Vec<String>>,
    pub quantity_conversion: Option<QuantityConversion>,
    pub quantity_rounding: Option<QuantityRounding>,
    pub tags: Option<Vec<String>>,
    pub is_refundable: bool,
    pub netsuite_internal_item_id: Option<String>,
    pub netsuite_overage_item_id: Option<String>,
}

impl ProductState {
    #[must_use]
    pub fn pricing_key(&self) -> &[String] {
        self.pricing_group_key.as_deref().unwrap_or_default()
    }

    #[must_use]
    pub fn presentation_key(&self) -> &[String] {
        self.presentation_group_key.as_deref().unwrap_or_default()
    }

    /// Every rule that the state breaks, given the group names of its metric, as `field: reason`.
    ///
    /// The published rule wants one compound key over both keys; the API quickstart uses two separate keys.
    /// Usage is kept by the tuple of all group values, so any key of the metric may be used (our decision).
    #[must_use]
    pub fn problems(&self, metric_group_names: &[&str]) -> Vec<String> {
        let mut problems = Vec::new();
        let keys =
            [("pricing_group_key", self.pricing_key()), ("presentation_group_key", self.presentation_key())];
        for (field, key) in keys {
            if key.iter().collect::<BTreeSet<_>>().len() < key.len() {
                problems.push(format!("{field}: names a property twice"));
            }
            for name in key.iter().filter(|name| !metric_group_names.contains(&name.as_str())) {
                problems.push(format!("{field}: `{name}` is not a group key of the billable metric"));
            }
        }
        if self
            .quantity_conversion
            .as_ref()
            .is_some_and(|conversion| !is_positive(&conversion.conversion_factor.0))
        {
            problems.push("quantity_conversion.conversion_factor: must be greater than 0".to_owned());
        }
        let decimals = self.quantity_rounding.as_ref().map_or(0, |rounding| rounding.decimal_places);
        if decimals > QuantityRounding::DECIMAL_PLACES_MAX {
            let most = QuantityRounding::DECIMAL_PLACES_MAX;
            problems.push(format!("quantity_rounding.decimal_places: must be at most {most}"));
        }
        problems
    }
}
