//! `POST /v1/billable-metrics`: the older way to create a metric, by a JSON Schema.

use std::collections::BTreeSet;

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::counting::Counting;
use super::create::create;
use super::definition::{AggregationType, Definition, PropertyFilter};
use super::filter_schema::read_schema;
use crate::access::{App, Writer};
use crate::custom_field::CustomFields;
use crate::error::ApiError;
use crate::wire::{Data, IdBody, Json, Later, NonBlank};

#[derive(Deserialize, JsonSchema)]
pub struct CreateLegacyMetric {
    name: NonBlank,
    aggregate: AggregationType,
    /// The property that is aggregated: needed by every type but COUNT.
    aggregate_key: Option<NonBlank>,
    /// A JSON Schema that an event must match, of `required`, `const`, `enum`, `not` and nested `properties`.
    filter: Map<String, Value>,
    /// Properties to group by, each on its own; the filter requires them.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    group_keys: Vec<String>,
    #[serde(default, rename = "group_values")]
    #[schemars(skip)]
    _group_values: Later,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<CreateLegacyMetric>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let definition = definition(&request).map_err(|problems| ApiError::BadRequest(problems.join("; ")))?;
    let definition = Counting::Streaming(definition);
    create(&app, &caller, request.name.0, definition, CustomFields::new()).await
}

/// The definition that means the same; every problem in the words of this request.
fn definition(request: &CreateLegacyMetric) -> Result<Definition, Vec<String>> {
    let filters = read_schema(&request.filter)?;
    // COUNT has no use for a key; one that is sent anyway is dropped, as in the newer operation.
    let key = request.aggregate_key.as_ref().filter(|_| request.aggregate != AggregationType::Count);
    let mut problems = group_key_problems(&request.group_keys, &filters.property_filters);
    if key.is_none() && request.aggregate != AggregationType::Count {
        problems.push(format!("aggregate_key: is required for {}", request.aggregate.as_str()));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut property_filters = filters.property_filters;
    // A definition filters by its aggregation key; a schema need not, and then anything passes (our decision).
    if let Some(key) = key.filter(|key| property_filters.iter().all(|filter| filter.name != key.0)) {
        let name = key.0.clone();
        property_filters.push(PropertyFilter { name, exists: None, in_values: None, not_in_values: None });
    }
    let group_keys: Vec<Vec<String>> = request.group_keys.iter().map(|name| vec![name.clone()]).collect();
    let definition = Definition {
        aggregation_type: request.aggregate,
        aggregation_key: key.map(|key| key.0.clone()),
        event_type_filter: filters.event_type_filter,
        property_filters: Some(property_filters).filter(|filters| !filters.is_empty()),
        group_keys: Some(group_keys).filter(|keys| !keys.is_empty()),
    };
    let problems = definition.problems();
    if problems.is_empty() {
        return Ok(definition);
    }
    Err(problems.into_iter().map(|problem| format!("filter: as a definition, {problem}")).collect())
}

fn group_key_problems(group_keys: &[String], filters: &[PropertyFilter]) -> Vec<String> {
    let required: BTreeSet<&String> =
        filters.iter().filter(|filter| filter.exists == Some(true)).map(|filter| &filter.name).collect();
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for (index, name) in group_keys.iter().enumerate() {
        if !seen.insert(name) {
            problems.push(format!("group_keys[{index}]: names `{name}` a second time"));
        }
        if !required.contains(name) {
            let place = "filter.properties.properties.required";
            problems.push(format!("group_keys[{index}]: `{name}` must be in {place}"));
        }
    }
    problems
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("createLegacyBillableMetric")
        .tag("Billable metrics")
        .summary("Create a billable metric by a JSON Schema")
        .description(
            "Deprecated: use `/v1/billable-metrics/create`. The schema becomes event type and property filters; what \
             they cannot say is 400 with its place.",
        )
}
