//! What the operator sees: one log line for every request, and metrics.
//!
//! A log line carries `method`, `route` (the matched template, never the raw path), `status`, `elapsed_ms`,
//! `request_id` and, for a refusal, `reason`; a fault adds its cause at level ERROR. Secrets never come near
//! it.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::Arc;
use std::time::Instant as Stopwatch;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::response::Response;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use uuid::Uuid;

use crate::error::ApiError;
use crate::id::Ids;

/// The header that carries a request's id, in and out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Upper bounds of the request duration histogram.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What is logged unless `UPBEAT_LOG` says otherwise; the database library repeats what every start does
/// anyway.
const LOG_FILTER: &str = "info,sqlx=warn";

/// Starts logging to standard error; `UPBEAT_LOG` filters it.
pub fn start_logging() {
    let given = std::env::var("UPBEAT_LOG").ok().filter(|filter| !filter.trim().is_empty());
    let filter = given.as_deref().map(EnvFilter::try_new).transpose();
    let is_wrong = filter.is_err();
    tracing_subscriber::fmt()
        .with_env_filter(filter.ok().flatten().unwrap_or_else(|| EnvFilter::new(LOG_FILTER)))
        .with_writer(|| Unbroken(std::io::stderr()))
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    if is_wrong {
        tracing::warn!("UPBEAT_LOG is not a log filter such as `info` or `debug,sqlx=warn`; it is not used");
    }
}

/// Output that goes on when nobody reads it any more, as where a log collector died or the terminal is closed: what is written
/// then is lost, and what the server does is not. (The library would report the failure on standard error, which panics.)
struct Unbroken<W>(W);

impl<W: Write> Write for Unbroken<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.write(bytes) {
            // To be tried again, which the caller does.
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
            written => Ok(written.unwrap_or(bytes.len())),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

/// Installs the process's metrics recorder.
#[must_use]
pub fn start_metrics() -> PrometheusHandle {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("upbeat_http_request_seconds".to_owned()), SECONDS)
        .expect("the bounds are not empty")
        .install_recorder()
        .expect("metrics are started once in a process")
}

/// A request's id, on the request.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Stands around every route: request id, log line, metrics.
pub async fn observe<F: Future<Output = Response>>(
    ids: &Ids,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let stopwatch = Stopwatch::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let request_id = request_id(&request, ids);
    request.extensions_mut().insert(RequestId(request_id.clone()));

    let mut response = next(request).await;

    let elapsed = stopwatch.elapsed();
    let status = response.status().as_u16();
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let labels = [
        ("method", method_label(&method).to_owned()),
        ("route", route.clone()),
        ("status", status.to_string()),
    ];
    metrics::counter!("upbeat_http_requests_total", &labels).increment(1);
    metrics::histogram!("upbeat_http_request_seconds", &labels[..2]).record(elapsed);

    let elapsed_ms = elapsed.as_millis();
    match response.extensions().get::<Arc<ApiError>>().map(AsRef::as_ref) {
        Some(fault @ (ApiError::Internal { .. } | ApiError::Unavailable(_))) => {
            let cause = causes(fault);
            tracing::error!(%method, route, status, elapsed_ms, request_id, ?cause, "request");
        }
        Some(mistake) => {
            // As a quoted string: it repeats what the caller sent, line breaks and all.
            let reason = mistake.to_string();
            tracing::info!(%method, route, status, elapsed_ms, request_id, ?reason, "request");
        }
        None => tracing::info!(%method, route, status, elapsed_ms, request_id, "request"),
    }
    response
}

/// The method as a metric label: callers may send any word, and each would be kept for ever.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// The caller's id for the request if it is a short plain one, else a new id.
fn request_id(request: &Request, ids: &Ids) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match given {
        Some(id) if (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) => {
            id.to_owned()
        }
        _ => ids.next::<Uuid>().to_string(),
    }
}

/// An error and what caused it, in one line.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let reason = cause.to_string();
        // Some say their cause themselves.
        if !text.ends_with(&reason) {
            text = format!("{text}: {reason}");
        }
        source = cause.source();
    }
    text
}
