//! `GET /v1/billable-metrics`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::store::{self, MetricFilter};
use super::view::BillableMetric;
use crate::access::{App, Caller};
use crate::custom_field;
use crate::error::ApiError;
use crate::wire::{CursorKey, Page, PageLimit, Query};

#[derive(Deserialize, JsonSchema)]
pub struct ListBillableMetrics {
    #[serde(default)]
    limit: PageLimit,
    next_page: Option<String>,
    /// Archived metrics as well as active ones.
    #[serde(default)]
    include_archived: bool,
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(request): Query<ListBillableMetrics>,
) -> Result<axum::Json<Page<BillableMetric>>, ApiError> {
    let environment_id = caller.environment_id();
    let key = CursorKey::new("billable metrics", "next_page", environment_id, &request.include_archived);
    let after = key.creation_position(request.next_page.as_deref())?;
    let limit = request.limit.get();
    let mut db = app.db.acquire().await?;
    let filter = MetricFilter { include_archived: request.include_archived, only: None };
    let rows = store::list(&mut db, environment_id, &filter, after, limit + 1).await?;
    let mut page = Page::by_creation(rows, limit, &key).map(BillableMetric::from);
    custom_field::show(&mut db, environment_id, &mut page.data).await?;
    Ok(axum::Json(page))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("listBillableMetrics")
        .tag("Billable metrics")
        .summary("List billable metrics")
        .description("Newest first.")
}
