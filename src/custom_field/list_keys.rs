//! `POST /v1/customFields/listKeys`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ManagedEntity;
use super::store::{self, KeyRow};
use crate::access::{App, Caller};
use crate::error::ApiError;
use crate::wire::{CursorKey, Json, Page, Query};

/// Keys on one page (our decision: the operation has no limit).
const PAGE: usize = 1000;

#[derive(Deserialize, Serialize, JsonSchema)]
pub struct ListKeys {
    /// Only keys of these types; all when omitted.
    entities: Option<Vec<ManagedEntity>>,
}

#[derive(Deserialize, JsonSchema)]
pub struct NextPage {
    next_page: Option<String>,
}

/// A key that objects of a type may carry.
#[derive(Serialize, JsonSchema)]
pub struct CustomFieldKey {
    entity: ManagedEntity,
    key: String,
    enforce_uniqueness: bool,
}

impl From<KeyRow> for CustomFieldKey {
    fn from(row: KeyRow) -> Self {
        Self { entity: row.entity, key: row.key, enforce_uniqueness: row.enforce_uniqueness }
    }
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<NextPage>,
    Json(request): Json<ListKeys>,
) -> Result<axum::Json<Page<CustomFieldKey>>, ApiError> {
    let environment_id = caller.environment_id();
    let key = CursorKey::new("custom field keys", "next_page", environment_id, &request);
    let after: Option<(ManagedEntity, String)> = key.decode(page.next_page.as_deref())?;
    let mut db = app.db.acquire().await?;
    let rows =
        store::list_keys(&mut db, environment_id, request.entities.as_deref(), after, PAGE + 1).await?;
    Ok(axum::Json(Page::cut(rows, PAGE, |row| key.encode(&(row.entity, &row.key))).map(Into::into)))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("listCustomFieldKeys")
        .tag("Custom fields")
        .summary("List custom field keys")
        .description("By type, then by key.")
}
