//! `POST /v1/billable-metrics/create`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::counting::Counting;
use super::definition::{AggregationType, Definition, EventTypeFilter, PropertyFilter};
use super::sql::SqlDefinition;
use super::store::{self, AnyMetricRow};
use crate::access::{App, Record, Writer};
use crate::custom_field::{self, CustomFields, CustomFieldsInput, ManagedEntity};
use crate::error::ApiError;
use crate::id::BillableMetricId;
use crate::postgres::{hold_arrivals, next_arrival};
use crate::wire::{Data, IdBody, Json, NonBlank, id_data};

#[derive(Deserialize, JsonSchema)]
pub struct CreateBillableMetric {
    name: NonBlank,
    /// Needed unless `sql` is given.
    aggregation_type: Option<AggregationType>,
    /// The property that is aggregated: needed by every type but COUNT, and named by a property filter.
    aggregation_key: Option<String>,
    /// Which event types count; all when omitted. Compared exactly.
    event_type_filter: Option<EventTypeFilter>,
    /// What the properties must be; every filter must pass.
    property_filters: Option<Vec<PropertyFilter>>,
    /// Properties to price by or to show on invoices; none can be added later.
    group_keys: Option<Vec<Vec<String>>>,
    /// A query over the events of one customer, in place of all of the above: one `SELECT` from the table `events` with
    /// the columns `event_type`, `timestamp` and `properties.<name>`. The column `value`, else the first, is the
    /// quantity; others are group keys.
    ///
    /// Allowed are `WITH`, `SELECT`s in `FROM`, `WHERE`, `GROUP BY`, `HAVING`; `CASE`, `CAST`, `IS NULL`, `IN`, `BETWEEN`;
    /// `COUNT`, `SUM`, `MIN`, `MAX`, `AVG`, `EARLIEST` and `LATEST` (by `timestamp`), `PERCENTILE_CONT`, `PERCENTILE_DISC`;
    /// `ROW_NUMBER`, `RANK`, `DENSE_RANK`, `LAG`, `LEAD`, `FIRST_VALUE`, `LAST_VALUE` and aggregates `OVER` a window;
    /// `LEAST`, `GREATEST`, `ROUND`, `CEIL`, `FLOOR`, `ABS`, `COALESCE`, `NULLIF`, `DATE_TRUNC`, `EXTRACT(EPOCH …)`.
    /// Anything else is 400 with its place. Properties are texts and read as exact numbers where a number is needed; one
    /// that is none is null there, and nulls are first in a descending `ORDER BY` of a window unless it says
    /// `NULLS LAST`.
    sql: Option<String>,
    /// Each key must be on the list of its type; values have at most 200 characters.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<CreateBillableMetric>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let definition = match &request.sql {
        Some(sql) => Counting::Sql(request.sql_definition(sql)?),
        None => Counting::Streaming(request.streaming_definition()?),
    };
    let fields = request.custom_fields.checked()?;
    create(&app, &caller, request.name.0, definition, fields).await
}

impl CreateBillableMetric {
    fn streaming_definition(&self) -> Result<Definition, ApiError> {
        let aggregation_type = self
            .aggregation_type
            .ok_or_else(|| ApiError::field("aggregation_type", "is required unless sql is given"))?;
        let definition = Definition {
            aggregation_type,
            // COUNT has no use for a key; one that is sent anyway is dropped (our decision)
            aggregation_key: self
                .aggregation_key
                .clone()
                .filter(|_| aggregation_type != AggregationType::Count),
            event_type_filter: self.event_type_filter.clone(),
            property_filters: self.property_filters.clone(),
            group_keys: self.group_keys.clone(),
        };
        let problems = definition.problems();
        if problems.is_empty() { Ok(definition) } else { Err(ApiError::BadRequest(problems.join("; "))) }
    }

    fn sql_definition(&self, sql: &str) -> Result<SqlDefinition, ApiError> {
        let others = [
            ("aggregation_type", self.aggregation_type.is_some()),
            ("aggregation_key", self.aggregation_key.is_some()),
            ("event_type_filter", self.event_type_filter.is_some()),
            ("property_filters", self.property_filters.is_some()),
            ("group_keys", self.group_keys.is_some()),
        ];
        if let Some((field, _)) = others.into_iter().find(|(_, is_given)| *is_given) {
            return Err(ApiError::field("sql", format!("cannot be combined with {field}")));
        }
        SqlDefinition::new(sql.to_owned()).map_err(|refusal| ApiError::field("sql", refusal))
    }
}

/// Creates a metric of a sound definition; a streaming one counts the events that arrive from then on.
pub(super) async fn create(
    app: &App,
    caller: &Writer,
    name: String,
    definition: Counting,
    fields: CustomFields,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let id: BillableMetricId = app.ids.next();
    let mut change = caller.begin(app).await?;
    // First, as it may wait for another request: usage events wait while arrivals are held.
    custom_field::set(&mut change, caller.environment_id(), ManagedEntity::BillableMetric, id.0, &fields)
        .await?;
    hold_arrivals(&mut change, caller.environment_id()).await?;
    let metric = AnyMetricRow {
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
        "It counts events that arrive from now on, also ones dated earlier; with `sql` all that ever came. What it \
         counts never changes.",
    )
}
