//! The header `Idempotency-Key`: a repeat of a POST gets the answer of the first one, and does nothing.
//!
//! The answer to a change commits with the change, so a server that dies between the two cannot exist: either
//! the key is used up and the change is there, or neither. Everything else (errors, operations that only read) is
//! kept after the answer is known. Requests that were refused before they did anything (400, 401, 403, 413, 429,
//! 501, 503) leave the key free (documentation page on idempotency; the list is our decision).
//!
//! Usage events have transaction ids and nothing else (our decision: a sender that puts one key on all its batches
//! would lose all but the first).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::caller::route_of;
use super::operation::is_write;
use super::{App, Caller};
use crate::error::ApiError;
use crate::id::EnvironmentId;
use crate::telemetry::causes;
use crate::time::Instant;
use crate::wire::read_body;

const HEADER: &str = "idempotency-key";

/// Where the header plays no part.
const EVENTS: &str = "/v1/ingest";

/// Longest key (our decision).
const KEY_LENGTH_MAX: usize = 255;

/// How long an answer is kept, at least.
const KEPT_FOR: TimeDelta = TimeDelta::hours(24);

/// A request's claim to its key.
#[derive(Clone, Debug)]
pub struct Claim {
    key: String,
    fingerprint: Vec<u8>,
    is_kept: Arc<AtomicBool>,
}

impl Claim {
    /// The answer has been committed with the change.
    pub fn mark_kept(&self) {
        self.is_kept.store(true, Ordering::Release);
    }
}

/// An answer as it is kept.
#[derive(Debug)]
pub struct KeptAnswer {
    pub status: StatusCode,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

/// Marks an answer that was given before.
#[derive(Clone, Copy)]
pub struct Replayed;

/// Answers repeats, and keeps the answers of first requests.
pub async fn idempotent<F: Future<Output = Response>>(
    app: &App,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let has_key = request.headers().contains_key(HEADER) && request.uri().path() != EVENTS;
    if request.method() != Method::POST || !has_key {
        return next(request).await;
    }
    // On the heap: few requests come this way, and all would carry its room.
    Box::pin(serve_once(app, request, next)).await.unwrap_or_else(IntoResponse::into_response)
}

async fn serve_once<F: Future<Output = Response>>(
    app: &App,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, app).await?;
    let environment_id = caller.environment_id();
    let is_refused = !caller.may_write() && is_write(&parts.method, route_of(&parts));
    parts.extensions.insert(caller);
    if is_refused {
        // What somebody else did is not answered to a token that may not do it.
        return Ok(next(Request::from_parts(parts, body)).await);
    }
    let key = key_of(&parts.headers)?;
    let body = read_body(Request::from_parts(parts.clone(), body)).await?;
    let fingerprint = fingerprint(&parts.method, &parts.uri, &body);
    let claim = Claim { key, fingerprint, is_kept: Arc::default() };

    if let Some(answer) = repeat(app, environment_id, &claim).await? {
        return Ok(answer);
    }
    parts.extensions.insert(claim.clone());
    let response = next(Request::from_parts(parts, Body::from(body))).await;
    if claim.is_kept.load(Ordering::Acquire) {
        return Ok(response);
    }
    let error = response.extensions().get::<Arc<ApiError>>();
    if matches!(error.map(AsRef::as_ref), Some(ApiError::SameKeyAtWork)) {
        // The other request may have ended in the meantime.
        return Ok(repeat(app, environment_id, &claim).await?.unwrap_or(response));
    }
    if !matches!(response.status().as_u16(), 200 | 404 | 405 | 409 | 500) {
        return Ok(response);
    }
    keep_afterwards(app, environment_id, &claim, response).await
}

fn key_of(headers: &HeaderMap) -> Result<String, ApiError> {
    let mut values = headers.get_all(HEADER).iter();
    let refused = |reason: &str| Err(ApiError::field("Idempotency-Key", reason));
    let (Some(value), None) = (values.next(), values.next()) else {
        return refused("the header may be sent once");
    };
    match value.to_str() {
        Ok(key) if (1..=KEY_LENGTH_MAX).contains(&key.len()) => Ok(key.to_owned()),
        Ok(_) => refused(&format!("must have 1 to {KEY_LENGTH_MAX} characters")),
        Err(_) => refused("must be printable ASCII"),
    }
}

/// The parameters of a request: the same for the same operation and the same JSON, however it is spelled.
fn fingerprint(method: &Method, uri: &Uri, body: &[u8]) -> Vec<u8> {
    let mut query: Vec<_> =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    // Only by name: of several values of one parameter the last may count.
    query.sort_by(|(one, _), (other, _)| one.cmp(other));
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    // A map of serde_json is sorted by key.
    let json = serde_json::from_slice::<serde_json::Value>(body).map(|value| value.to_string());
    let body = json.map_or_else(|_| body.to_vec(), String::into_bytes);
    let query = serde_json::to_vec(&query).expect("pairs of strings");
    let mut hasher = Sha256::new();
    for part in [method.as_str().as_bytes(), uri.path().as_bytes(), &query, &body] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_vec()
}

/// The answer to an earlier request with this key; 409 where that one had other parameters.
async fn repeat(
    app: &App,
    environment_id: EnvironmentId,
    claim: &Claim,
) -> Result<Option<Response>, ApiError> {
    let mut db = app.db.acquire().await?;
    let row = sqlx::query!(
        "SELECT fingerprint, status, content_type, body FROM idempotency_key WHERE environment_id = $1 AND key = $2",
        environment_id.0,
        claim.key,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.fingerprint != claim.fingerprint {
        let reason = "Idempotency-Key: this key was used for a request with other parameters";
        return Err(ApiError::Conflict(reason.to_owned()));
    }
    let status = u16::try_from(row.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.ok_or_else(|| ApiError::internal("a kept answer", "has no HTTP status"))?;
    let mut response = (status, row.body).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    if let Some(Ok(content_type)) = row.content_type.map(HeaderValue::try_from) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    say_that_it_stays(&mut response);
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    response.extensions_mut().insert(Replayed);
    Ok(Some(response))
}

/// The answer to this key will always be this one: the SDKs, which repeat a 409 and a 500, need not.
fn say_that_it_stays(response: &mut Response) {
    if [StatusCode::CONFLICT, StatusCode::INTERNAL_SERVER_ERROR].contains(&response.status()) {
        response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
    }
}

/// Lets no other request with this key work until the transaction ends; 409 where one does, or has done.
pub async fn hold(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    claim: &Claim,
) -> Result<(), ApiError> {
    let name = format!("idempotency key {environment_id} {}", claim.key);
    let is_held =
        sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS "held!""#, name)
            .fetch_one(&mut *db)
            .await?;
    let is_used = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM idempotency_key WHERE environment_id = $1 AND key = $2) AS "used!""#,
        environment_id.0,
        claim.key,
    )
    .fetch_one(db)
    .await?;
    if is_held && !is_used { Ok(()) } else { Err(ApiError::SameKeyAtWork) }
}

/// Uses the key up with this answer; false where an answer is there already, which stays.
pub async fn keep(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    claim: &Claim,
    answer: &KeptAnswer,
    real_now: Instant,
) -> Result<bool, sqlx::Error> {
    let result = sqlx::query!(
        "INSERT INTO idempotency_key (environment_id, key, fingerprint, status, content_type, body, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (environment_id, key) DO NOTHING",
        environment_id.0,
        claim.key,
        claim.fingerprint,
        i16::try_from(answer.status.as_u16()).expect("HTTP statuses have three digits"),
        answer.content_type,
        answer.body,
        real_now,
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Keeps an answer that no change has committed. Where another request was first, its answer is the answer.
async fn keep_afterwards(
    app: &App,
    environment_id: EnvironmentId,
    claim: &Claim,
    response: Response,
) -> Result<Response, ApiError> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| ApiError::internal("an answer ended early", error))?;
    let body = body.to_bytes();
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let answer = KeptAnswer {
        status: parts.status,
        content_type: content_type.map(str::to_owned),
        body: body.to_vec(),
    };
    let mut response = Response::from_parts(parts, Body::from(body));
    let kept = match keep_first(app, environment_id, claim, &answer).await {
        Ok(kept) => kept,
        Err(error) => {
            // What was done is done (usage events): an error now would say that it is not.
            tracing::warn!(cause = causes(&error), "an answer could not be kept under its idempotency key");
            return Ok(response);
        }
    };
    say_that_it_stays(&mut response);
    if kept == answer.body {
        return Ok(response);
    }
    Ok(repeat(app, environment_id, claim).await?.unwrap_or(response))
}

/// Uses the key up with this answer; answers the body that is kept now.
async fn keep_first(
    app: &App,
    environment_id: EnvironmentId,
    claim: &Claim,
    answer: &KeptAnswer,
) -> Result<Vec<u8>, sqlx::Error> {
    let mut db = app.db.acquire().await?;
    if keep(&mut db, environment_id, claim, answer, app.clock.now()).await? {
        return Ok(answer.body.clone());
    }
    sqlx::query_scalar!(
        "SELECT body FROM idempotency_key WHERE environment_id = $1 AND key = $2",
        environment_id.0,
        claim.key,
    )
    .fetch_one(&mut *db)
    .await
}

/// Forgets answers that have been kept for long enough.
pub async fn sweep(db: &mut PgConnection, real_now: Instant) -> Result<u64, sqlx::Error> {
    let result = sqlx::query!(
        "DELETE FROM idempotency_key WHERE environment_id IS NOT NULL AND created_at < $1",
        real_now - KEPT_FOR,
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(uri: &str, body: &str) -> Vec<u8> {
        fingerprint(&Method::POST, &uri.parse().expect("a URI"), body.as_bytes())
    }

    #[test]
    fn spelling_does_not_matter_and_values_do() {
        let first = print("/v1/usage?a=1&b=2", r#"{"x": 1, "y": {"b": [1, 2], "a": null}}"#);
        assert_eq!(first, print("/v1/usage?b=2&a=1", r#"{"y":{"a":null,"b":[1,2]},"x":1}"#));
        assert_ne!(first, print("/v1/usage?a=1&b=2", r#"{"x": 1, "y": {"b": [2, 1], "a": null}}"#));
        assert_ne!(first, print("/v1/usage?a=1&b=3", r#"{"x": 1, "y": {"b": [1, 2], "a": null}}"#));
        assert_ne!(
            print("/v1/a", r#"{"n": 12345678901234567890.1}"#),
            print("/v1/a", r#"{"n": 12345678901234567890.2}"#)
        );
        assert_ne!(print("/v1/a", "{}"), print("/v1/b", "{}"));
        assert_eq!(print("/v1/a", "{}"), print("/v1/a", ""));
        assert_eq!(print("/v1/a?x=1&x=2&a", ""), print("/v1/a?a=&x=1&x=2", ""));
        assert_ne!(print("/v1/a?x=1&x=2", ""), print("/v1/a?x=2&x=1", ""));
    }
}
