//! What a product is, how an update changes it, and which combinations make sense.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::casing::wire_enum;
use crate::id::{BillableMetricId, ProductId};
use crate::money::{Decimal, InputNumber, QuantityRounding, divide, is_positive};
use crate::time::Instant;
use crate::wire::Nullable;

wire_enum! {
    /// What a product is.
    pub enum ProductType {
        /// Priced by what the customer uses.
        Usage = "USAGE",
        /// Priced by a quantity for each billing period.
        Subscription = "SUBSCRIPTION",
        /// Priced as a share of what other products cost.
        Composite = "COMPOSITE",
        /// Priced on the contract; it has no rates.
        Fixed = "FIXED",
        /// Services that people do: priced on the contract; it has no rates.
        ProService = "PRO_SERVICE",
    }
    also [ProService = "PROFESSIONAL_SERVICE"]
}

/// The spellings of [`ProductType`] in a request, two of which mean the same (schema `CreateProductListItemPayload`).
pub struct ProductTypeInput;

impl JsonSchema for ProductTypeInput {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProductTypeInput".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let spellings = ProductType::ALL.iter().map(|product_type| product_type.as_str());
        let spellings: Vec<&str> = spellings.chain(["PROFESSIONAL_SERVICE"]).collect();
        schemars::json_schema!({ "type": "string", "enum": spellings })
    }
}

wire_enum! {
    /// Whose spend counts for a composite product.
    pub enum CompositeScope {
        /// That of its contract.
        Contract = "CONTRACT",
        /// That of all contracts of its customer.
        Customer = "CUSTOMER",
    }
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
    /// Members of a composite, by id.
    pub composite_product_ids: Option<Vec<ProductId>>,
    /// Members of a composite: every product that has any of these tags.
    pub composite_tags: Option<Vec<String>>,
    /// Set for COMPOSITE, and for no other type; no update changes it.
    pub composite_scope: Option<CompositeScope>,
    /// Leaves out usage that costs the contract nothing, unit by unit; it counts at list prices alone (our decision: the field
    /// speaks of usage, not of products). Unset it is false.
    pub exclude_free_usage: Option<bool>,
    /// Whether composites may be members as well as usage products; unset it is false.
    pub include_composite_spend: Option<bool>,
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
    /// USAGE and COMPOSITE only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netsuite_overage_item_id: Option<String>,
    /// Where in a period that is charged which SQL counts; without effect on other metrics. USAGE only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql_breakdown_granularity: Option<SqlBreakdownGranularity>,
    /// The products whose spend is shared in: USAGE, and COMPOSITE with `include_composite_spend`. COMPOSITE only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composite_product_ids: Option<Vec<ProductId>>,
    /// The spend of every such product with any of these tags is shared in too. COMPOSITE only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composite_tags: Option<Vec<String>>,
    /// Leaves out usage that costs the contract nothing, which only counts at list prices. COMPOSITE only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_free_usage: Option<bool>,
    /// Shares in the spend of other composites too, which may lead in no circle. COMPOSITE only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_composite_spend: Option<bool>,
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

    /// The members of a composite by id.
    #[must_use]
    pub fn member_ids(&self) -> &[ProductId] {
        self.composite_product_ids.as_deref().unwrap_or_default()
    }

    /// The tags whose products are members of a composite.
    #[must_use]
    pub fn member_tags(&self) -> &[String] {
        self.composite_tags.as_deref().unwrap_or_default()
    }

    /// Whether a product, in the state that it has at the same instant, is a member of this composite: by its id, or by
    /// any of its tags (our decision: no source says any or all). Members are usage products, and other composites where
    /// `include_composite_spend` says so (documentation page on products).
    #[must_use]
    pub fn has_member(&self, id: ProductId, product_type: ProductType, state: &Self) -> bool {
        let may_be_member = match product_type {
            ProductType::Usage => true,
            ProductType::Composite => self.include_composite_spend == Some(true),
            ProductType::Subscription | ProductType::Fixed | ProductType::ProService => false,
        };
        let tags = state.tags.as_deref().unwrap_or_default();
        let is_named =
            self.member_ids().contains(&id) || tags.iter().any(|tag| self.member_tags().contains(tag));
        may_be_member && is_named
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
            composite_product_ids: changes.composite_product_ids.or(self.composite_product_ids),
            composite_tags: changes.composite_tags.or(self.composite_tags),
            composite_scope: self.composite_scope,
            exclude_free_usage: changes.exclude_free_usage.or(self.exclude_free_usage),
            include_composite_spend: changes.include_composite_spend.or(self.include_composite_spend),
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
        problems.extend(self.misplaced_fields(product_type));
        match product_type {
            ProductType::Usage => problems.extend(self.usage_problems(metric_group_names)),
            ProductType::Composite => problems.extend(self.composite_problems()),
            ProductType::Subscription | ProductType::Fixed | ProductType::ProService => {}
        }
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

    /// A composite without members would never cost anything (our decision: the published document calls both lists
    /// required).
    fn composite_problems(&self) -> Vec<String> {
        let (ids, tags) = (self.member_ids(), self.member_tags());
        let mut problems = Vec::new();
        if ids.is_empty() && tags.is_empty() {
            problems
                .push("composite_product_ids: a COMPOSITE product needs these or composite_tags".to_owned());
        }
        if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
            problems.push("composite_product_ids: names a product twice".to_owned());
        }
        problems
    }

    /// A field of another type is refused even where it asks for nothing (our decision: only a mistake sends it).
    fn misplaced_fields(&self, product_type: ProductType) -> Vec<String> {
        const USAGE: &[ProductType] = &[ProductType::Usage];
        const COMPOSITE: &[ProductType] = &[ProductType::Composite];
        const BOTH: &[ProductType] = &[ProductType::Usage, ProductType::Composite];
        let fields = [
            ("billable_metric_id", USAGE, self.billable_metric_id.is_some()),
            ("pricing_group_key", USAGE, self.pricing_group_key.is_some()),
            ("presentation_group_key", USAGE, self.presentation_group_key.is_some()),
            ("quantity_conversion", USAGE, !self.quantity_conversion.is_absent()),
            ("quantity_rounding", USAGE, !self.quantity_rounding.is_absent()),
            ("netsuite_overage_item_id", BOTH, self.netsuite_overage_item_id.is_some()),
            ("sql_breakdown_granularity", USAGE, self.sql_breakdown_granularity.is_some()),
            ("composite_product_ids", COMPOSITE, self.composite_product_ids.is_some()),
            ("composite_tags", COMPOSITE, self.composite_tags.is_some()),
            ("composite_scope", COMPOSITE, self.composite_scope.is_some()),
            ("exclude_free_usage", COMPOSITE, self.exclude_free_usage.is_some()),
            ("include_composite_spend", COMPOSITE, self.include_composite_spend.is_some()),
        ];
        let misplaced =
            fields.into_iter().filter(|(_, types, is_given)| *is_given && !types.contains(&product_type));
        let name = product_type.as_str();
        misplaced.map(|(field, ..)| format!("{field}: is not for a {name} product")).collect()
    }
}
