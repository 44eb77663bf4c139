//! What stands around every route.

use std::any::Any;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tower_http::decompression::RequestDecompressionLayer;

use super::unread::read_to_the_end;
use crate::access::audit::record_failures;
use crate::access::{App, TimeLimit, idempotent, limit_rates};
use crate::error::ApiError;
use crate::telemetry::observe;

/// What every request passes, outermost last: unknown paths and methods, panics, repeats, rate limits, gzip
/// bodies, the time limit, v2 errors, the record of refusals, cross-origin rules, the log line around all of
/// it, and the rest of an unread body. The time limit is around everything that reads a body.
pub fn around(router: Router<App>, state: &App) -> Router<App> {
    let ids = state.ids.clone();
    let router = router
        .fallback(|method: Method, uri: Uri| async move {
            ApiError::NotFound(format!("there is no {method} {}", uri.path()))
        })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state.clone(), idempotent))
        .layer(from_fn_with_state(state.clone(), limit_rates))
        .layer(RequestDecompressionLayer::new().pass_through_unaccepted(true))
        .layer(from_fn_with_state(state.clone(), in_time))
        .layer(from_fn(coded_v2_errors))
        .layer(from_fn_with_state(state.clone(), record_failures));
    let router = match cross_origin(&state.settings.cors_origins) {
        Some(rules) => router.layer(rules),
        None => router,
    };
    router
        .layer(from_fn(move |request, next| observe(ids.clone(), request, next)))
        .layer(from_fn(read_to_the_end))
}

/// Gives a request up that takes too long, also one whose body does not come; whatever it has not begun to commit
/// is undone.
async fn in_time(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let limit = app.settings.request_timeout;
    let time_limit = TimeLimit::default();
    request.extensions_mut().insert(time_limit.clone());
    let mut served = pin!(next.run(request));
    match timeout(limit, &mut served).await {
        Ok(response) => response,
        Err(_) if time_limit.is_lifted() => served.await,
        Err(_) => ApiError::TooSlow { seconds: limit.as_secs() }.into_response(),
    }
}

/// Which pages of other origins may call the API: none, those that are named, or all (`*`).
fn cross_origin(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let exposed = [
        "x-request-id",
        "x-should-retry",
        "x-metronome-rate-limit-type",
        "retry-after",
        "idempotency-replayed",
    ];
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let rules = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods(methods)
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed.map(HeaderName::from_static))
        .max_age(Duration::from_hours(1));
    Some(rules)
}

/// v2 operations answer a 400 with a code beside the message.
async fn coded_v2_errors(request: Request, next: Next) -> Response {
    let is_v2 = request.uri().path().starts_with("/v2/");
    let mut response = next.run(request).await;
    let error = response.extensions().get::<Arc<ApiError>>().cloned();
    if let (true, Some(error)) = (is_v2, error)
        && let Some(body) = error.v2_body()
    {
        let mut coded = (response.status(), Json(body)).into_response();
        std::mem::swap(coded.extensions_mut(), response.extensions_mut());
        return coded;
    }
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
    ApiError::internal("a handler panicked", text.to_owned()).into_response()
}
