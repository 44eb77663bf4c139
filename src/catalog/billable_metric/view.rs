use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::definition::{AggregationType, EventTypeFilter, PropertyFilter};
use super::store::BillableMetricRow;
use crate::id::BillableMetricId;
use crate::time::Instant;

/// A billable metric (schema `BillableMetricV1`).
#[derive(Serialize, JsonSchema)]
pub struct BillableMetric {
    pub id: BillableMetricId,
    pub name: String,
    pub aggregation_type: AggregationType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type_filter: Option<EventTypeFilter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property_filters: Option<Vec<PropertyFilter>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_keys: Option<Vec<Vec<String>>>,
    pub custom_fields: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Instant>,
}

impl From<BillableMetricRow> for BillableMetric {
    fn from(metric: BillableMetricRow) -> Self {
        Self {
            id: metric.id,
            name: metric.name,
            aggregation_type: metric.definition.aggregation_type,
            aggregation_key: metric.definition.aggregation_key,
            event_type_filter: metric.definition.event_type_filter,
            property_filters: metric.definition.property_filters,
            group_keys: metric.definition.group_keys,
            custom_fields: BTreeMap::new(),
            archived_at: metric.archived_at,
        }
    }
}
