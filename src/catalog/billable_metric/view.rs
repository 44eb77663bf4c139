use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::counting::Counting;
use super::definition::{AggregationType, Definition, EventTypeFilter, PropertyFilter};
use super::filter_schema::to_schema;
use super::store::AnyMetricRow;
use crate::custom_field::{Carries, CustomFields, ManagedEntity};
use crate::id::BillableMetricId;
use crate::time::Instant;

/// A billable metric (schema `BillableMetricV1`).
#[derive(Serialize, JsonSchema)]
pub struct BillableMetric {
    pub id: BillableMetricId,
    pub name: String,
    /// Unset where a query counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation_type: Option<AggregationType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type_filter: Option<EventTypeFilter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property_filters: Option<Vec<PropertyFilter>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_keys: Option<Vec<Vec<String>>>,
    /// The query that counts, in place of all of the above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    pub custom_fields: CustomFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Instant>,
}

impl From<AnyMetricRow> for BillableMetric {
    fn from(metric: AnyMetricRow) -> Self {
        let mut view = Self {
            id: metric.id,
            name: metric.name,
            aggregation_type: None,
            aggregation_key: None,
            event_type_filter: None,
            property_filters: None,
            group_keys: None,
            sql: None,
            custom_fields: CustomFields::new(),
            archived_at: metric.archived_at,
        };
        match metric.definition {
            Counting::Streaming(definition) => {
                view.aggregation_type = Some(definition.aggregation_type);
                view.aggregation_key = definition.aggregation_key;
                view.event_type_filter = definition.event_type_filter;
                view.property_filters = definition.property_filters;
                view.group_keys = definition.group_keys;
            }
            Counting::Sql(definition) => view.sql = Some(definition.text),
        }
        view
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
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregate: Option<String>,
    /// Deprecated: `aggregation_key` as a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregate_keys: Option<Vec<String>>,
    /// Deprecated: the event type and property filters as a JSON Schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Value>,
}

impl From<AnyMetricRow> for BillableMetricWithMirrors {
    fn from(metric: AnyMetricRow) -> Self {
        let Counting::Streaming(definition) = &metric.definition else {
            let metric = metric.into();
            return Self { group_by: None, aggregate: None, aggregate_keys: None, filter: None, metric };
        };
        Self {
            group_by: definition.group_keys.is_some().then(|| group_by(definition)),
            aggregate: Some(definition.aggregation_type.as_str().to_ascii_lowercase()),
            aggregate_keys: definition.aggregation_key.clone().map(|key| vec![key]),
            filter: Some(to_schema(definition)),
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
