use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::state::{
    CompositeScope, ProductChanges, ProductState, ProductType, ProductUpdate, QuantityConversion,
    SqlBreakdownGranularity,
};
use super::store::ProductRow;
use crate::custom_field::{Carries, CustomFields, ManagedEntity};
use crate::id::{BillableMetricId, ProductId};
use crate::money::QuantityRounding;
use crate::time::Instant;
use crate::wire::Nullable;

/// A product with its history (schema `ProductListItem`). A conversion or a rounding that an update removed is
/// `null`; one that never was is left out.
#[derive(Serialize, JsonSchema)]
pub struct Product {
    pub id: ProductId,
    #[serde(rename = "type")]
    pub product_type: ProductType,
    pub archived_at: Option<Instant>,
    /// As it was created.
    pub initial: ProductStateView,
    /// As it is now.
    pub current: ProductStateView,
    /// Every change, past and future, by its start.
    pub updates: Vec<ProductUpdateView>,
    pub custom_fields: CustomFields,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProductState")]
pub struct ProductStateView {
    pub name: String,
    /// Start of the last update in force; none where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billable_metric_id: Option<BillableMetricId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing_group_key: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presentation_group_key: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Nullable::is_absent")]
    pub quantity_conversion: Nullable<QuantityConversion>,
    #[serde(default, skip_serializing_if = "Nullable::is_absent")]
    pub quantity_rounding: Nullable<QuantityRounding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    pub is_refundable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netsuite_internal_item_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netsuite_overage_item_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql_breakdown_granularity: Option<SqlBreakdownGranularity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composite_product_ids: Option<Vec<ProductId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composite_tags: Option<Vec<String>>,
    /// Of every COMPOSITE product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composite_scope: Option<CompositeScope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_free_usage: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_composite_spend: Option<bool>,
    pub created_at: Instant,
    pub created_by: String,
}

/// The fields that one update supplied (schema `ProductListItemUpdate`).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProductUpdate")]
pub struct ProductUpdateView {
    #[serde(flatten)]
    pub changes: ProductChanges,
    pub starting_at: Instant,
    pub created_at: Instant,
    pub created_by: String,
}

impl Product {
    /// As it is at `now`.
    #[must_use]
    pub fn at(product: ProductRow, now: Instant) -> Self {
        let timeline = product.timeline();
        let current = timeline.version_at(now).clone();
        let view = |state, starting_at| {
            ProductStateView::new(state, starting_at, product.created_at, product.created_by.clone())
        };
        let mut updates: Vec<ProductUpdateView> = product.updates.into_iter().map(Into::into).collect();
        updates.sort_by_key(|update| update.starting_at);
        Self {
            id: product.id,
            product_type: product.product_type,
            archived_at: product.archived_at,
            initial: view(product.initial, None),
            current: view(current.state, current.starting_at),
            updates,
            custom_fields: CustomFields::new(),
        }
    }
}

impl Carries for Product {
    const ENTITY: ManagedEntity = ManagedEntity::ContractProduct;

    fn entity_id(&self) -> Uuid {
        self.id.0
    }

    fn custom_fields(&mut self) -> &mut CustomFields {
        &mut self.custom_fields
    }
}

impl From<ProductUpdate> for ProductUpdateView {
    fn from(update: ProductUpdate) -> Self {
        Self {
            changes: update.changes,
            starting_at: update.starting_at,
            created_at: update.created_at,
            created_by: update.created_by,
        }
    }
}

impl ProductStateView {
    fn new(
        state: ProductState,
        starting_at: Option<Instant>,
        created_at: Instant,
        created_by: String,
    ) -> Self {
        Self {
            name: state.name,
            starting_at,
            billable_metric_id: state.billable_metric_id,
            pricing_group_key: state.pricing_group_key,
            presentation_group_key: state.presentation_group_key,
            quantity_conversion: state.quantity_conversion,
            quantity_rounding: state.quantity_rounding,
            tags: state.tags,
            is_refundable: state.is_refundable,
            netsuite_internal_item_id: state.netsuite_internal_item_id,
            netsuite_overage_item_id: state.netsuite_overage_item_id,
            sql_breakdown_granularity: state.sql_breakdown_granularity,
            composite_product_ids: state.composite_product_ids,
            composite_tags: state.composite_tags,
            composite_scope: state.composite_scope,
            exclude_free_usage: state.exclude_free_usage,
            include_composite_spend: state.include_composite_spend,
            created_at,
            created_by,
        }
    }
}
