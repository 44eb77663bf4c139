//! Lines for changes that were refused or failed.

use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request};
use axum::response::Response;

use super::store::{self, Entry, Outcome};
use crate::access::operation::{WriteOperation, find_write};
use crate::access::{App, Caller, Replayed};
use crate::error::ApiError;
use crate::telemetry::causes;

/// Where the extractor of the caller leaves it, for the line.
#[derive(Clone, Default)]
pub struct CallerSlot(pub Arc<OnceLock<Caller>>);

/// Records a change that was not made. A caller who could not be told leaves no line, nor does a
/// request that is to come again as it is (409 for a key at work, 429, 503), or that nothing serves (501).
pub async fn record_failures<F: Future<Output = Response>>(
    app: &App,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let Some(operation) = find_write(request.method(), route) else {
        return next(request).await;
    };
    let slot = CallerSlot::default();
    request.extensions_mut().insert(slot.clone());
    let response = next(request).await;
    let is_recorded = matches!(response.status().as_u16(), 400 | 403..=428 | 500);
    if !is_recorded || response.extensions().get::<Replayed>().is_some() {
        return response;
    }
    if let (Some(caller), Some(error)) = (slot.0.get(), response.extensions().get::<Arc<ApiError>>())
        && !matches!(**error, ApiError::SameKeyAtWork)
        && let Err(error) = Box::pin(record(app, caller, operation, error)).await
    {
        tracing::error!(cause = causes(&error), "a refused change could not be recorded");
    }
    response
}

async fn record(
    app: &App,
    caller: &Caller,
    operation: &WriteOperation,
    error: &ApiError,
) -> Result<(), sqlx::Error> {
    let entry = Entry {
        id: app.ids.next(),
        recorded_at: caller.now,
        actor: caller.actor(),
        origin: &caller.origin,
        resource_type: operation.resource_type,
        resource_id: None,
        action: operation.action,
        outcome: Outcome::Failure,
        description: error.public_message(),
    };
    store::append(&mut *app.db.acquire().await?, caller.environment_id(), &entry).await
}
