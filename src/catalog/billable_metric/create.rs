//! `POST /v1/billable-metrics/create`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::definition::{AggregationType, Definition, EventTypeFilter, PropertyFilter};
use super::store::{self, BillableMetricRow};
use crate::access::{App, Record, Writer};
use crate::custom_field::{self, CustomFields, CustomFieldsInput, ManagedEntity};
use crate::error::ApiError;
use crate::id::BillableMetricId;
use crate::postgres::{hold_arrivals, next_arrival};
use crate::wire::{Data, IdBody, Json, Later, NonBlank, id_data};

#[derive(Deserialize, JsonSchema)]
pub struct CreateBillableMetric {
    name: NonBlank,
    aggregation_type: AggregationType,
    /// The property that is aggregated: needed by every type but COUNT, and named by a property filter.
    aggregation_key: Option<String>,
    /// Which event types count; all when omitted. Compared exactly.
    event_type_filter: Option<EventTypeFilter>,
    /// What the properties must be; every filter must pass.
    property_filters: Option<Vec<PropertyFilter>>,
    /// Properties to price by or to show on invoices; none can be added later.
    group_keys: Option<Vec<Vec<String>>>,
    #[serde(default, rename = "sql")]
    #[schemars(skip)]
    _sql: Later,
    /// Each key must be on the list of its type; values have at most 200 characters.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<CreateBillableMetric>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let definition = Definition {
        // COUNT has no use for a key; one that is sent anyway is dropped (our decision)
        aggregation_key: request
            .aggregation_key
            .filter(|_| request.aggregation_type != AggregationType::Count),
        aggregation_type: request.aggregation_type,
        event_type_filter: request.event_type_filter,
        property_filters: request.property_filters,
        group_keys: request.group_keys,
    };
    let problems = definition.problems();
    if !problems.is_empty() {
        return Err(ApiError::BadRequest(problems.join("; ")));
    }
    let fields = request.custom_fields.checked()?;
    create(&app, &caller, request.name.0, definition, fields).await
}

/// Creates a metric of a sound definition; it counts the events that arrive from then on.
pub(super) async fn create(
    app: &App,
    caller: &Writer,
    name: String,
    definition: Definition,
    fields: CustomFields,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let id: BillableMetricId = app.ids.next();
    let mut change = caller.begin(app).await?;
    // First, as it may wait for another request: usage events wait while arrivals are held.
    custom_field::set(&mut change, caller.environment_id(), ManagedEntity::BillableMetric, id.0, &fields)
        .await?;
    hold_arrivals(&mut change, caller.environment_id()).await?;
    let metric = BillableMetricRow {
        id,
        name,
        definition,
        created_at: caller.now,
        created_arrival: next_arrival(&mut change).await?,
        archived_at: None,
        archived_arrival: None,
    };
    store::insert(&mut change, caller.environment_id(), &metric).await?;
    let record = Record::new(metric.id.0, format!("Created billable metric {}", metric.name));
    change.commit(record, id_data(metric.id.0)).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("createBillableMetric").tag("Billable metrics").summary("Create a billable metric").description(
        "It counts events that arrive from now on, also ones dated earlier. What it counts never changes.",
    )
}
