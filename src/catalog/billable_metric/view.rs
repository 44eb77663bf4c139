use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::definition::{AggregationType, Definition, EventTypeFilter, PropertyFilter};
use super::filter_schema::to_schema;
use super::store::BillableMetricRow;
use crate::custom_field::{Carries, CustomFields, ManagedEntity};
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
    pub custom_fields: CustomFields,
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
            custom_fields: CustomFields::new(),
            archived_at: metric.archived_at,
        }
    }
}

impl Carries for BillableMetric {
    const ENTITY: ManagedEntity = ManagedEntity::BillableMetric;

    fn entity_id(&self) -> Uuid {
        self.id.0
    }

    fn custom_fields(&mut self) -> &mut CustomFields {
        &mut self.custom_fields
    }
}

/// A billable metric that says everything a second time, as older clients read it (schema
/// `BillableMetricWithDeprecatedFields`).
#[derive(Serialize, JsonSchema)]
pub struct BillableMetricWithMirrors {
    #[serde(flatten)]
    metric: BillableMetric,
    /// Deprecated: every name in `group_keys`.
    #[serde(skip_serializing_if = "Option::is_none")]
    group_by: Option<Vec<String>>,
    /// Deprecated: `aggregation_type` in lower case.
    aggregate: String,
    /// Deprecated: `aggregation_key` as a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregate_keys: Option<Vec<String>>,
    /// Deprecated: the event type and property filters as a JSON Schema.
    filter: Value,
}

impl From<BillableMetricRow> for BillableMetricWithMirrors {
    fn from(metric: BillableMetricRow) -> Self {
        let definition = &metric.definition;
        Self {
            group_by: definition.group_keys.is_some().then(|| group_by(definition)),
            aggregate: definition.aggregation_type.as_str().to_ascii_lowercase(),
            aggregate_keys: definition.aggregation_key.clone().map(|key| vec![key]),
            filter: to_schema(definition),
            metric: metric.into(),
        }
    }
}

impl Carries for BillableMetricWithMirrors {
    const ENTITY: ManagedEntity = ManagedEntity::BillableMetric;

    fn entity_id(&self) -> Uuid {
        self.metric.id.0
    }

    fn custom_fields(&mut self) -> &mut CustomFields {
        &mut self.metric.custom_fields
    }
}

/// The names of all group keys.
fn group_by(definition: &Definition) -> Vec<String> {
    definition.group_names().into_iter().map(str::to_owned).collect()
}
