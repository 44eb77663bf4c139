//! What a product is, how an update changes it, and which combinations make sense.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::casing::wire_enum;
use crate::id::BillableMetricId;
use crate::money::{Decimal, InputNumber, QuantityRounding, divide, is_positive};
use crate::time::Instant;
use crate::wire::Nullable;

wire_enum! {
    /// What a product is.
    pub enum ProductType {
        /// Priced by what the customer uses.
        Usage = "USAGE",
        /// Priced on the contract; it has no rates.
        Fixed = "FIXED",
    }
    later ["COMPOSITE", "SUBSCRIPTION", "PROFESSIONAL_SERVICE", "PRO_SERVICE"]
}

wire_enum! {
    /// Where in a billing period that is charged which a query counts.
    pub enum SqlBreakdownGranularity {
        /// In the hour in which it was used.
        Hour = "HOUR",
        /// The whole at the last instant of the period, at the rate of then.
        ServicePeriod = "SERVICE_PERIOD",
    }
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
    /// Set for USAGE, and for no other type.
    pub billable_metric_id: Option<BillableMetricId>,
    pub pricing_group_key: Option<Vec<String>>,
    pub presentation_group_key: Option<Vec<String>>,
    /// Null after an update removed it.
    pub quantity_conversion: Nullable<QuantityConversion>,
    /// Null after an update removed it.
    pub quantity_rounding: Nullable<QuantityRounding>,
    pub tags: Option<Vec<String>>,
    pub is_refundable: bool,
    pub netsuite_internal_item_id: Option<String>,
    pub netsuite_overage_item_id: Option<String>,
    /// Of a metric with SQL; unset it is by SERVICE_PERIOD.
    pub sql_breakdown_granularity: Option<SqlBreakdownGranularity>,
}

/// The fields that an update supplies; the others stay as they are (schema `UpdateProductListItemPayload`).
///
/// A conversion or a rounding of `null` is removed. Any other field of `null` counts as left out (our decision:
/// the published schema allows `null` on those two alone); a list is emptied by `[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProductChanges {
    /// Shown on invoices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is counted; USAGE only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billable_metric_id: Option<BillableMetricId>,
    /// Properties that the price depends on; USAGE only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing_group_key: Option<Vec<String>>,
    /// Properties that invoice lines are split by, at the same price; USAGE only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presentation_group_key: Option<Vec<String>>,
    /// Removed by `null`; USAGE only.
    #[serde(default, skip_serializing_if = "Nullable::is_absent")]
    pub quantity_conversion: Nullable<QuantityConversion>,
    /// Removed by `null`; USAGE only.
    #[serde(default, skip_serializing_if = "Nullable::is_absent")]
    pub quantity_rounding: Nullable<QuantityRounding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_refundable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netsuite_internal_item_id: Option<String>,
    /// USAGE only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netsuite_overage_item_id: Option<String>,
    /// Where in a period that is charged which SQL counts; without effect on other metrics. USAGE only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql_breakdown_granularity: Option<SqlBreakdownGranularity>,
}

/// One update of a product.
#[derive(Clone, Debug)]
pub struct ProductUpdate {
    /// The order of addition, over all products.
    pub added: i64,
    /// In force from then on; in the past or in the future.
    pub starting_at: Instant,
    pub changes: ProductChanges,
    pub created_at: Instant,
    pub created_by: String,
}

/// What decides quantities.
#[derive(PartialEq)]
struct Metering<'a> {
    metric_id: Option<BillableMetricId>,
    conversion: Option<(&'a Decimal, ConversionOperation)>,
    rounding: Option<&'a QuantityRounding>,
    pricing: BTreeSet<&'a String>,
    presentation: BTreeSet<&'a String>,
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

    /// This state overlaid by an update, field by field.
    #[must_use]
    pub fn changed(self, changes: &ProductChanges) -> Self {
        let changes = changes.clone();
        Self {
            name: changes.name.unwrap_or(self.name),
            billable_metric_id: changes.billable_metric_id.or(self.billable_metric_id),
            pricing_group_key: changes.pricing_group_key.or(self.pricing_group_key),
            presentation_group_key: changes.presentation_group_key.or(self.presentation_group_key),
            quantity_conversion: changes.quantity_conversion.or(self.quantity_conversion),
            quantity_rounding: changes.quantity_rounding.or(self.quantity_rounding),
            tags: changes.tags.or(self.tags),
            is_refundable: changes.is_refundable.unwrap_or(self.is_refundable),
            netsuite_internal_item_id: changes.netsuite_internal_item_id.or(self.netsuite_internal_item_id),
            netsuite_overage_item_id: changes.netsuite_overage_item_id.or(self.netsuite_overage_item_id),
            sql_breakdown_granularity: changes.sql_breakdown_granularity.or(self.sql_breakdown_granularity),
        }
    }

    /// Whether both count, convert, round and group alike, so that a change from one to the other splits no
    /// usage. The order of a group key's names and the name of a conversion do not matter.
    #[must_use]
    pub fn meters_like(&self, other: &Self) -> bool {
        self.metering() == other.metering()
    }

    fn metering(&self) -> Metering<'_> {
        let conversion = self.quantity_conversion.value();
        Metering {
            metric_id: self.billable_metric_id,
            conversion: conversion.map(|conversion| (&conversion.conversion_factor.0, conversion.operation)),
            rounding: self.quantity_rounding.value(),
            pricing: self.pricing_key().iter().collect(),
            presentation: self.presentation_key().iter().collect(),
        }
    }

    /// Every rule that the state breaks, given the group names of its metric (none for a type that has no
    /// metric), as `field: reason`.
    #[must_use]
    pub fn problems(&self, product_type: ProductType, metric_group_names: &[&str]) -> Vec<String> {
        let mut problems = Vec::new();
        if self.name.trim().is_empty() {
            problems.push("name: must not be empty".to_owned());
        }
        problems.extend(match product_type {
            ProductType::Usage => self.usage_problems(metric_group_names),
            ProductType::Fixed => self.fixed_problems(),
        });
        problems
    }

    /// The published rule wants one compound key over both keys; the API quickstart uses two separate keys.
    /// Usage is kept by the tuple of all group values, so any key of the metric may be used (our decision).
    fn usage_problems(&self, metric_group_names: &[&str]) -> Vec<String> {
        let mut problems = Vec::new();
        if self.billable_metric_id.is_none() {
            problems.push("billable_metric_id: is required for a USAGE product".to_owned());
        }
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
            .value()
            .is_some_and(|conversion| !is_positive(&conversion.conversion_factor.0))
        {
            problems.push("quantity_conversion.conversion_factor: must be greater than 0".to_owned());
        }
        let decimals = self.quantity_rounding.value().map_or(0, |rounding| rounding.decimal_places);
        if decimals > QuantityRounding::DECIMAL_PLACES_MAX {
            let most = QuantityRounding::DECIMAL_PLACES_MAX;
            problems.push(format!("quantity_rounding.decimal_places: must be at most {most}"));
        }
        problems
    }

    /// A field of usage products is refused even where it asks for nothing (our decision: only a mistake sends
    /// it).
    fn fixed_problems(&self) -> Vec<String> {
        let fields = [
            ("billable_metric_id", self.billable_metric_id.is_some()),
            ("pricing_group_key", self.pricing_group_key.is_some()),
            ("presentation_group_key", self.presentation_group_key.is_some()),
            ("quantity_conversion", !self.quantity_conversion.is_absent()),
            ("quantity_rounding", !self.quantity_rounding.is_absent()),
            ("netsuite_overage_item_id", self.netsuite_overage_item_id.is_some()),
            ("sql_breakdown_granularity", self.sql_breakdown_granularity.is_some()),
        ];
        let given = fields.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(field, _)| format!("{field}: is not for a FIXED product")).collect()
    }
}
