//! `GET /v1/credit-types/list`

use aide::transform::TransformOperation;
use axum::Json;
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::Caller;
use crate::error::ApiError;
use crate::id::CreditTypeId;
use crate::money::CreditType;
use crate::wire::{CursorKey, Page, PageRequest, Query};

/// A pricing unit as it is listed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CreditTypeListItem")]
pub struct ListItem {
    pub id: CreditTypeId,
    pub name: String,
    pub is_currency: bool,
}

pub async fn handler(
    caller: Caller,
    Query(request): Query<PageRequest>,
) -> Result<Json<Page<ListItem>>, ApiError> {
    let key = CursorKey::new("credit types", "next_page", caller.environment_id(), &());
    let already_seen: usize = key.decode(request.next_page.as_deref())?.unwrap_or(0);
    let limit = request.limit.get();
    let rest: Vec<CreditType> =
        CreditType::fiat().iter().skip(already_seen).take(limit + 1).cloned().collect();
    let page = Page::cut(rest, limit, |_| key.encode(&(already_seen + limit)));
    Ok(Json(page.map(|unit| ListItem { id: unit.id, name: unit.name, is_currency: true })))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("listCreditTypes")
        .tag("Settings")
        .summary("List pricing units")
        .description("The fiat currencies. USD is counted in cents, every other currency in whole units.")
}
