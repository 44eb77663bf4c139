//! `POST /v1/billable-metrics/archive`

use aide::transform::TransformOperation;
use axum::extract::State;

use super::store;
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::id::BillableMetricId;
use crate::postgres::{hold_arrivals, next_arrival};
use crate::wire::{Data, IdBody, Json, id_data};

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<IdBody>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let id = BillableMetricId(request.id);
    let mut change = caller.begin(&app).await?;
    hold_arrivals(&mut change, caller.environment_id()).await?;
    let metric = store::find(&mut change, caller.environment_id(), id).await?;
    let metric = metric.ok_or_else(|| ApiError::not_found("billable metric", id))?;
    let arrival = next_arrival(&mut change).await?;
    store::archive(&mut change, caller.environment_id(), id, caller.now, arrival).await?;
    let record = Record::new(id.0, format!("Archived billable metric {}", metric.name));
    change.commit(record, id_data(id.0)).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("archiveBillableMetric").tag("Billable metrics").summary("Archive a billable metric").description(
        "No new product may use it; products that do keep metering. There is no way back; archiving twice changes \
         nothing.",
    )
}
