use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::state::{ProductState, ProductType, QuantityConversion};
use super::store::ProductRow;
use crate::id::{BillableMetricId, ProductId};
use crate::money::QuantityRounding;
use crate::time::Instant;

/// A product with its history (schema `ProductListItem`).
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
    /// Scheduled changes, past and future.
    pub updates: Vec<ProductStateView>,
    pub custom_fields: BTreeMap<String, String>,
}

#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "ProductState")]
pub struct ProductStateView {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billable_metric_id: Option<BillableMetricId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing_group_key: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presentation_group_key: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity_conversion: Option<QuantityConversion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity_rounding: Option<QuantityRounding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    pub is_refundable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netsuite_internal_item_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netsuite_overage_item_id: Option<String>,
    pub created_at: Instant,
    pub created_by: String,
}

impl From<ProductRow> for Product {
    fn from(product: ProductRow) -> Self {
        let initial = ProductStateView::new(product.state, product.created_at, product.created_by);
        Self {
            id: product.id,
            product_type: product.product_type,
            archived_at: product.archived_at,
            current: initial.clone(),
            initial,
            updates: Vec::new(),
            custom_fields: BTreeMap::new(),
        }
    }
}

impl ProductStateView {
    fn new(state: ProductState, created_at: Instant, created_by: String) -> Self {
        Self {
            name: state.name,
            billable_metric_id: state.billable_metric_id,
            pricing_group_key: state.pricing_group_key,
            presentation_group_key: state.presentation_group_key,
            quantity_conversion: state.quantity_conversion,
            quantity_rounding: state.quantity_rounding,
            tags: state.tags,
            is_refundable: state.is_refundable,
            netsuite_internal_item_id: state.netsuite_internal_item_id,
            netsuite_overage_item_id: state.netsuite_overage_item_id,
            created_at,
            created_by,
        }
    }
}
