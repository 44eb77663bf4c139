//! What stands around every route.

use std::any::Any;
use std::sync::Arc;

use aide::openapi::{Info, OpenApi, ReferenceOr, SecurityScheme};
use axum::Json;
use axum::Router;
use axum::extract::Request;
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::decompression::RequestDecompressionLayer;

use crate::access::App;
use crate::error::ApiError;
use crate::telemetry::observe;

/// Unknown paths and methods, gzip bodies, v2 errors, panics, and the log line around all of it.
pub fn around(router: Router<App>, state: &App) -> Router<App> {
    let ids = state.ids.clone();
    router
        .fallback(|method: Method, uri: Uri| async move {
            ApiError::NotFound(format!("there is no {method} {}", uri.path()))
        })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(RequestDecompressionLayer::new().pass_through_unaccepted(true))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(refuse_idempotency_key))
        .layer(from_fn(coded_v2_errors))
        .layer(from_fn(move |request, next| observe(ids.clone(), request, next)))
}

/// The documented header `Idempotency-Key` is not supported yet; a caller who relies on it must know. Ingest
/// never reads it: events are deduplicated by their transaction id.
async fn refuse_idempotency_key(request: Request, next: Next) -> Response {
    let has_key = request.method() == Method::POST && request.headers().contains_key("idempotency-key");
    if has_key && request.uri().path() != "/v1/ingest" {
        return ApiError::field("Idempotency-Key", "this header is not supported by this server yet")
            .into_response();
    }
    next.run(request).await
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

/// The document before its operations.
pub fn document_head() -> OpenApi {
    let mut document = OpenApi {
        info: Info {
            title: "Upbeat".to_owned(),
            summary: Some("Usage billing that speaks the Metronome HTTP API".to_owned()),
            description: Some(
                "Every request carries `Authorization: Bearer <token>`; the token selects the environment. USD is \
                 counted in cents, every other currency in whole units. Periods include their start and exclude \
                 their end; instants are UTC."
                    .to_owned(),
            ),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Info::default()
        },
        ..OpenApi::default()
    };
    let bearer = serde_json::from_value(serde_json::json!({ "type": "http", "scheme": "bearer" }))
        .expect("a security scheme of the OpenAPI specification");
    let components = document.components.get_or_insert_default();
    components.security_schemes.insert("bearerAuth".to_owned(), ReferenceOr::Item::<SecurityScheme>(bearer));
    document.security.push([("bearerAuth".to_owned(), Vec::new())].into_iter().collect());
    document
}
