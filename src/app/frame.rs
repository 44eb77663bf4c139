//! What stands around every route.
//!
//! The steps are functions that call one another, not layers of the router: a router copies each of its layers, and
//! all that lie in it, at every request.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures_util::FutureExt;
use tokio::time::timeout;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::coding::decompressed;
use super::unread::read_to_the_end;
use crate::access::audit::record_failures;
use crate::access::{App, TimeLimit, idempotent, limit_rates};
use crate::error::ApiError;
use crate::telemetry::observe;
use crate::usage::ingest::Metering;
use crate::wire::{BodyRoom, BodyShare};

/// Puts around the routes what every request passes.
pub fn around(router: Router<App>, app: &App, metering: &Metering) -> Router<App> {
    let (inner_app, outer_app, metering) = (app.clone(), app.clone(), metering.clone());
    let room = BodyRoom::new(app.settings.body_room_bytes);
    let router = router
        .fallback(|method: Method, uri: Uri| async move {
            ApiError::NotFound(format!("there is no {method} {}", uri.path()))
        })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(from_fn(move |mut request: Request, next| {
            request.extensions_mut().insert(metering.clone());
            inner(inner_app.clone(), room.share(), request, next)
        }));
    let router = match cross_origin(&app.settings.cors_origins) {
        Some(rules) => router.layer(rules),
        None => router,
    };
    router.layer(from_fn(move |request, next| outer(outer_app.clone(), request, next)))
}

/// From without: the rest of an unread body, and the log line around all but that.
async fn outer(app: App, request: Request, next: Next) -> Response {
    read_to_the_end(request, |request| observe(&app.ids, request, |request| next.run(request))).await
}

/// Within the cross-origin rules: room for the body, the record of refusals, v2 errors, the time limit around everything
/// that reads a body, gzip bodies, rate limits, repeats and panics.
async fn inner(app: App, share: BodyShare, mut request: Request, next: Next) -> Response {
    let app = &app;
    // A clone of it stays here, as what is read of the request takes memory until it is answered.
    request.extensions_mut().insert(share.clone());
    let served = |request| without_panic(next.run(request));
    let limited = |request| limit_rates(app, request, |request| idempotent(app, request, served));
    let timed = |request| in_time(app, request, |request| decompressed(request, limited));
    let response = record_failures(app, request, |request| coded_v2_errors(request, timed)).await;
    drop(share);
    response
}

/// A panic is a fault that is answered.
async fn without_panic(served: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(served).catch_unwind().await.unwrap_or_else(|panic| panicked(&*panic))
}

/// Gives a request up that takes too long, also one whose body does not come; whatever it has not begun to commit
/// is undone.
async fn in_time<F: Future<Output = Response>>(
    app: &App,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let limit = app.settings.request_timeout;
    let time_limit = TimeLimit::default();
    request.extensions_mut().insert(time_limit.clone());
    let mut served = pin!(next(request));
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

/// v2 operations answer a 400 with a code beside the message, and so does one of v1.
async fn coded_v2_errors<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let path = request.uri().path();
    let is_coded = path.starts_with("/v2/") || path == "/v1/packages/listContractsOnPackage";
    let mut response = next(request).await;
    let error = response.extensions().get::<Arc<ApiError>>().cloned();
    if let (true, Some(error)) = (is_coded, error)
        && let Some(body) = error.v2_body()
    {
        let mut coded = (response.status(), Json(body)).into_response();
        std::mem::swap(coded.extensions_mut(), response.extensions_mut());
        return coded;
    }
    response
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
    ApiError::internal("a handler panicked", text.to_owned()).into_response()
}
