//! `POST /v1/packages/list`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::store::{self, ArchiveFilter};
use super::view::{self, PackageView};
use crate::access::{App, Caller};
use crate::error::ApiError;
use crate::wire::{CursorKey, Json, Page, PageLimit, Query};

/// Packages of a page when the request does not say (Python SDK).
const DEFAULT_LIMIT: usize = 10;

/// An unknown field is refused, unlike elsewhere (published document).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListPackages {
    /// NOT_ARCHIVED when omitted.
    archive_filter: Option<ArchiveFilter>,
}

#[derive(Deserialize, JsonSchema)]
pub struct PackagePage {
    /// How many rows a page has at most; 10 when omitted.
    limit: Option<PageLimit>,
    next_page: Option<String>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PackagePage>,
    Json(request): Json<ListPackages>,
) -> Result<axum::Json<Page<PackageView>>, ApiError> {
    let environment_id = caller.environment_id();
    let filter = request.archive_filter.unwrap_or(ArchiveFilter::NotArchived);
    let key = CursorKey::new("packages", "next_page", environment_id, &filter);
    let after = key.creation_position(page.next_page.as_deref())?;
    let limit = page.limit.map_or(DEFAULT_LIMIT, PageLimit::get);
    let mut db = app.db.acquire().await?;
    let rows = store::list(&mut db, environment_id, filter, after, limit + 1).await?;
    let page = Page::by_creation(rows, limit, &key);
    let data = view::packages(&mut db, environment_id, page.data, caller.now).await?;
    Ok(axum::Json(Page { data, next_page: page.next_page }))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("listPackages")
        .tag("Packages")
        .summary("List packages")
        .description("In the order of their creation.")
}
