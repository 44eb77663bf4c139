//! `PUT /v1/billable-metrics/{billable_metric_id}`

use std::fmt::{self, Formatter};

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::get::BillableMetricPath;
use super::store;
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::wire::{Data, IdBody, Json, NonBlank, Path, id_data};

/// The name alone: here, unlike elsewhere, any other field is refused, because whoever sends one believes that a
/// definition can change (our decision).
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct UpdateBillableMetric {
    name: NonBlank,
}

impl<'de> Deserialize<'de> for UpdateBillableMetric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnlyName)
    }
}

/// Reads the name, and names every field beside it.
struct OnlyName;

impl<'de> Visitor<'de> for OnlyName {
    type Value = UpdateBillableMetric;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with a name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut name = None;
        let mut others = Vec::new();
        while let Some(key) = members.next_key::<String>()? {
            if key != "name" {
                members.next_value::<IgnoredAny>()?;
                others.push(key);
            } else if name.replace(members.next_value()?).is_some() {
                return Err(de::Error::duplicate_field("name"));
            }
        }
        if !others.is_empty() {
            let others = others.join(", ");
            return Err(de::Error::custom(format!("{others}: cannot be changed; only `name` can")));
        }
        Ok(UpdateBillableMetric { name: name.ok_or_else(|| de::Error::missing_field("name"))? })
    }
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Path(path): Path<BillableMetricPath>,
    Json(request): Json<UpdateBillableMetric>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let (id, name) = (path.billable_metric_id, request.name.0);
    let mut change = caller.begin(&app).await?;
    let metric = store::find(&mut change, caller.environment_id(), id).await?;
    let metric = metric.ok_or_else(|| ApiError::not_found("billable metric", id))?;
    store::rename(&mut change, caller.environment_id(), id, &name).await?;
    let record = Record::new(id.0, format!("Renamed billable metric {} to {name}", metric.name));
    change.commit(record, id_data(id.0)).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("updateBillableMetric").tag("Billable metrics").summary("Rename a billable metric").description(
        "Only the name can change; what a metric counts never does. An archived metric can be renamed too, because \
         products that use it keep metering.",
    )
}
