//! `POST /v1/contract-pricing/rate-cards/list`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::store;
use super::view::{self, RateCard};
use crate::access::{App, Caller};
use crate::error::ApiError;
use crate::wire::{CursorKey, Json, Page, PageRequest, Query};

/// Nothing: this body takes no field, and unlike elsewhere an unknown one is refused (published document).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListRateCards {}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageRequest>,
    Json(ListRateCards {}): Json<ListRateCards>,
) -> Result<axum::Json<Page<RateCard>>, ApiError> {
    let environment_id = caller.environment_id();
    let key = CursorKey::new("rate cards", "next_page", environment_id, &());
    let after = key.creation_position(page.next_page.as_deref())?;
    let limit = page.limit.get();
    let mut db = app.db.acquire().await?;
    let rows = store::list(&mut db, environment_id, after, limit + 1).await?;
    let page = Page::by_creation(rows, limit, &key);
    let data = view::rate_cards(&mut db, environment_id, page.data).await?;
    Ok(axum::Json(Page { data, next_page: page.next_page }))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("listRateCards")
        .tag("Rate cards")
        .summary("List rate cards")
        .description("Active cards in the order of their creation.")
}
