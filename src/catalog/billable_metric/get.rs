//! `GET /v1/billable-metrics/{billable_metric_id}`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::store;
use super::view::BillableMetric;
use crate::access::{App, Caller};
use crate::custom_field;
use crate::error::ApiError;
use crate::id::BillableMetricId;
use crate::wire::{Data, Path};

#[derive(Deserialize, JsonSchema)]
pub struct BillableMetricPath {
    pub billable_metric_id: BillableMetricId,
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<BillableMetricPath>,
) -> Result<axum::Json<Data<BillableMetric>>, ApiError> {
    let mut db = app.db.acquire().await?;
    let id = path.billable_metric_id;
    let metric = store::find(&mut db, caller.environment_id(), id).await?;
    let metric = metric.ok_or_else(|| ApiError::not_found("billable metric", id))?;
    let data = custom_field::show_one(&mut db, caller.environment_id(), BillableMetric::from(metric)).await?;
    Ok(axum::Json(Data { data }))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getBillableMetric")
        .tag("Billable metrics")
        .summary("Get a billable metric")
        .description("Archived metrics too.")
}
