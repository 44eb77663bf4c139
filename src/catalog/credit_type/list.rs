//! `GET /v1/credit-types/list`

use aide::transform::TransformOperation;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::store::{self, CustomUnit};
use crate::access::{App, Caller};
use crate::error::ApiError;
use crate::id::CreditTypeId;
use crate::money::CreditType;
use crate::time::Instant;
use crate::wire::{CursorKey, Page, PageRequest, Query, Timestamp};

/// A pricing unit as it is listed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CreditTypeListItem")]
pub struct ListItem {
    pub id: CreditTypeId,
    pub name: String,
    pub is_currency: bool,
}

/// A unit and its place in the list.
struct Row {
    item: ListItem,
    position: Position,
}

/// So many currencies are behind it, and the custom units up to one.
type Position = (usize, Option<(Timestamp, Uuid)>);

impl Row {
    fn of_currency((index, unit): (usize, &CreditType)) -> Self {
        Self {
            item: ListItem { id: unit.id, name: unit.name.clone(), is_currency: true },
            position: (index + 1, None),
        }
    }

    fn of_custom_unit(unit: CustomUnit) -> Self {
        Self {
            position: (CreditType::fiat().len(), Some((Timestamp(unit.created_at), unit.id.0))),
            item: ListItem { id: unit.id, name: unit.name, is_currency: false },
        }
    }
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(request): Query<PageRequest>,
) -> Result<Json<Page<ListItem>>, ApiError> {
    let environment_id = caller.environment_id();
    let key = CursorKey::new("credit types", "next_page", environment_id, &());
    let (seen, after): Position = key.decode(request.next_page.as_deref())?.unwrap_or((0, None));
    let after: Option<(Instant, Uuid)> = after.map(|(created_at, id)| (created_at.0, id));
    let limit = request.limit.get();
    let currencies = CreditType::fiat().iter().enumerate().skip(seen);
    let mut rows: Vec<Row> = currencies.take(limit + 1).map(Row::of_currency).collect();
    let left = limit + 1 - rows.len();
    if left > 0 {
        let mut db = app.db.acquire().await?;
        let units = store::list(&mut db, environment_id, after, left).await?;
        rows.extend(units.into_iter().map(Row::of_custom_unit));
    }
    let page = Page::cut(rows, limit, |row| key.encode(&row.position));
    Ok(Json(page.map(|row| row.item)))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("listCreditTypes").tag("Settings").summary("List pricing units").description(
        "The currencies, then the custom units in the order of their creation, archived ones left out. USD is counted \
         in cents, every other currency in whole units.",
    )
}
