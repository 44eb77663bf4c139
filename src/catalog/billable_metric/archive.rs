//! `POST /v1/billable-metrics/archive`

use aide::transform::TransformOperation;
use axum::extract::State;

use super::store;
use crate::access::{App, Writer};
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
    let mut transaction = app.db.begin().await?;
    hold_arrivals(&mut transaction, caller.environment_id()).await?;
    if store::find(&mut transaction, caller.environment_id(), id).await?.is_none() {
        return Err(ApiError::not_found("billable metric", id));
    }
    let arrival = next_arrival(&mut transaction).await?;
    store::archive(&mut transaction, caller.environment_id(), id, caller.now, arrival).await?;
    transaction.commit().await?;
    Ok(id_data(id.0))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("archiveBillableMetric").tag("Billable metrics").summary("Archive a billable metric").description(
        "No new product may use it; products that do keep metering. There is no way back; archiving twice changes \
         nothing.",
    )
}
