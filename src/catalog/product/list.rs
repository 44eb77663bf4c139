//! `POST /v1/contract-pricing/products/list`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::store::{self, ArchiveFilter};
use super::view::Product;
use crate::access::{App, Caller};
use crate::custom_field;
use crate::error::ApiError;
use crate::wire::{CursorKey, Json, Page, PageRequest, Query};

#[derive(Deserialize, JsonSchema)]
pub struct ListProducts {
    /// NOT_ARCHIVED when omitted.
    archive_filter: Option<ArchiveFilter>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageRequest>,
    Json(request): Json<ListProducts>,
) -> Result<axum::Json<Page<Product>>, ApiError> {
    let environment_id = caller.environment_id();
    let archive_filter = request.archive_filter.unwrap_or(ArchiveFilter::NotArchived);
    let key = CursorKey::new("products", "next_page", environment_id, &archive_filter);
    let after = key.creation_position(page.next_page.as_deref())?;
    let limit = page.limit.get();
    let mut db = app.db.acquire().await?;
    let rows = store::list(&mut db, environment_id, archive_filter, after, limit + 1).await?;
    let mut page = Page::by_creation(rows, limit, &key).map(|row| Product::at(row, caller.now));
    custom_field::show(&mut db, environment_id, &mut page.data).await?;
    Ok(axum::Json(page))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("listProducts")
        .tag("Products")
        .summary("List products")
        .description("In the order of their creation.")
}
