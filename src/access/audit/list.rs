//! `GET /v1/auditLogs`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::store::{self, AuditFilter, AuditRow, settled_number};
use crate::access::{App, Caller};
use crate::casing::wire_enum;
use crate::error::ApiError;
use crate::time::Instant;
use crate::wire::{CursorKey, PageLimit, Query, Timestamp};

wire_enum! {
    /// The order of lines.
    pub enum AuditSort {
        DateAsc = "date_asc",
        DateDesc = "date_desc",
    }
}

#[derive(Deserialize, JsonSchema)]
pub struct ListAuditLogs {
    #[serde(default)]
    limit: PageLimit,
    /// The token of an earlier answer; carries its filters with it.
    next_page: Option<String>,
    /// Inclusive. Not together with `next_page`.
    starting_on: Option<Timestamp>,
    /// Exclusive. Not together with `next_page`.
    ending_before: Option<Timestamp>,
    /// `date_asc` when omitted.
    sort: Option<AuditSort>,
    /// Together with `resource_id`.
    resource_type: Option<String>,
    /// Together with `resource_type`.
    resource_id: Option<String>,
}

/// One line (schema `AuditLog`).
#[derive(Serialize, JsonSchema)]
pub struct AuditLog {
    id: Uuid,
    timestamp: Instant,
    /// Who did it; a token, due work or the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<ActorView>,
    request: RequestView,
    resource_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_id: Option<String>,
    action: String,
    /// `success` or `failure`.
    status: String,
    description: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Actor")]
struct ActorView {
    id: String,
    name: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditRequest")]
struct RequestView {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

/// A page of lines. `next_page` is never null: keep it and ask again for what comes later.
#[derive(Serialize, JsonSchema)]
pub struct AuditPage {
    data: Vec<AuditLog>,
    /// Continues after the last line, also of an empty page; never null.
    next_page: String,
}

impl From<AuditRow> for AuditLog {
    fn from(row: AuditRow) -> Self {
        // An actor without a token has its name for an id, as the schema wants one.
        let id = row.actor_id.map_or_else(|| row.actor_name.clone(), |id| id.to_string());
        Self {
            id: row.id,
            timestamp: row.recorded_at,
            actor: Some(ActorView { id, name: row.actor_name }),
            request: RequestView { id: row.request_id, ip: row.ip, user_agent: row.user_agent },
            resource_type: row.resource_type,
            resource_id: row.resource_id,
            action: row.action,
            status: row.status,
            description: row.description,
        }
    }
}

/// What a token remembers: the last number and the filters of the first request.
#[derive(Serialize, Deserialize)]
struct Position {
    number: Option<i64>,
    starting_on: Option<Timestamp>,
    ending_before: Option<Timestamp>,
    descending: bool,
    resource: Option<(String, String)>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(request): Query<ListAuditLogs>,
) -> Result<axum::Json<AuditPage>, ApiError> {
    let environment_id = caller.environment_id();
    let key = CursorKey::new("audit logs", "next_page", environment_id, &());
    let limit = request.limit.get();
    let mut position = position(&key, request)?;
    let filter = AuditFilter {
        starting_on: position.starting_on.map(|instant| instant.0),
        ending_before: position.ending_before.map(|instant| instant.0),
        resource: position.resource.clone(),
        descending: position.descending,
        after: position.number,
    };
    let settled = settled_number(&app.db, environment_id).await?;
    let rows = store::list(&mut *app.db.acquire().await?, environment_id, &filter, settled, limit).await?;
    position.number = match rows.last() {
        Some(last) => Some(last.number),
        // Newest first, the end is the end: what comes later is not older than the oldest.
        None if position.descending => position.number.or(Some(0)),
        None => position.number,
    };
    let next_page = key.encode(&position);
    Ok(axum::Json(AuditPage { data: rows.into_iter().map(Into::into).collect(), next_page }))
}

/// Where the list goes on, and with which filters: those of the request, or those that the token carries.
fn position(key: &CursorKey, request: ListAuditLogs) -> Result<Position, ApiError> {
    let resource = match (request.resource_type, request.resource_id) {
        (Some(resource_type), Some(resource_id)) => Some((resource_type, resource_id)),
        (None, None) => None,
        (Some(_), None) => return Err(ApiError::field("resource_id", "is required with resource_type")),
        (None, Some(_)) => return Err(ApiError::field("resource_type", "is required with resource_id")),
    };
    let Some(position) = key.decode::<Position>(request.next_page.as_deref())? else {
        return Ok(Position {
            number: None,
            starting_on: request.starting_on,
            ending_before: request.ending_before,
            descending: request.sort == Some(AuditSort::DateDesc),
            resource,
        });
    };
    for (field, date) in [("starting_on", request.starting_on), ("ending_before", request.ending_before)] {
        if date.is_some() {
            return Err(ApiError::field(field, "cannot be combined with next_page, which carries it"));
        }
    }
    // SDKs send the other filters again with each page.
    let sort = request.sort.map(|sort| sort == AuditSort::DateDesc);
    if resource.is_some() && resource != position.resource
        || sort.is_some_and(|descending| descending != position.descending)
    {
        return Err(key.refused());
    }
    Ok(position)
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("listAuditLogs").tag("Audit logs").summary("List the audit log").description(
        "Every change, refused ones included, in the order in which they were made. `next_page` is always there: keep \
         it and ask again later for what came since.",
    )
}
