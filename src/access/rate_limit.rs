//! How often an operation may be called.
//!
//! Off, except for two operations that the reference limits (event search, preview of events). Each server
//! process counts on its own (our decision: a limit protects a server; a count shared by all would cost each
//! request a write).

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use uuid::Uuid;

use super::{App, Caller};
use crate::error::ApiError;
use crate::id::{EnvironmentId, digest};
use crate::wire::read_body;

/// The limits that hold unless they are set otherwise: documented for the preview, our decision for the search,
/// which the reference only calls heavily limited.
const DEFAULTS: &[&str] = &["POST /v1/customers/{customer_id}/previewEvents=8", "POST /v1/events/search=5"];

/// After how many requests counters that say nothing any more are dropped, as callers could make up customers.
const UPKEEP_EVERY: u32 = 10_000;

/// How many customers of one request are counted; no operation takes more.
const CUSTOMERS_MAX: usize = 100;

/// A limit as an operator writes it: `POST /v1/ingest=5000`, or `POST /v1/contracts/create=2/customer` for each
/// customer; `=off` takes a default away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Method and route.
    operation: String,
    is_by_customer: bool,
    /// Requests a second; unset: no limit.
    per_second: Option<NonZeroU32>,
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a rate limit such as `POST /v1/ingest=5000`");
        let (operation, limit) = text.rsplit_once('=').ok_or_else(wrong)?;
        let (method, route) = operation.trim().split_once(' ').ok_or_else(wrong)?;
        let (number, is_by_customer) = match limit.trim().split_once('/') {
            Some((number, "customer")) => (number, true),
            Some(_) => return Err(wrong()),
            None => (limit.trim(), false),
        };
        let per_second = match number {
            "off" => None,
            number => Some(number.parse().map_err(|_| wrong())?),
        };
        let operation = format!("{} {}", method.to_uppercase(), route.trim());
        if is_by_customer && !names_a_customer(&operation) {
            return Err(format!("`{operation}` is not about customers; limit it without `/customer`"));
        }
        Ok(Self { operation, is_by_customer, per_second })
    }
}

/// How often a second an operation may be called where the operator has not set anything else, as the document
/// says it.
#[must_use]
pub fn default_rate_limit(operation: &str) -> Option<NonZeroU32> {
    let mut defaults = DEFAULTS.iter().filter_map(|text| text.parse::<RateLimit>().ok());
    defaults.find(|limit| limit.operation == operation)?.per_second
}

impl RateLimit {
    /// Method and route.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.operation
    }
}

/// Whether requests of an operation can be about a customer: by their path, or by the `customer_id` or `customer_ids`
/// of a body. Events have one each.
fn names_a_customer(operation: &str) -> bool {
    operation.contains("/{customer_id}") || operation.starts_with("POST ") && operation != "POST /v1/ingest"
}

/// The limit of one operation, with its counters.
#[derive(Debug)]
struct Counted {
    per_second: NonZeroU32,
    counters: DefaultKeyedRateLimiter<(EnvironmentId, Uuid)>,
    requests: AtomicU32,
}

/// Every limit of a server.
#[derive(Debug)]
pub struct RateLimits {
    /// By operation, and by whether each customer is counted.
    limits: BTreeMap<(String, bool), Counted>,
}

impl RateLimits {
    /// The defaults, with what the operator set.
    #[must_use]
    pub fn new(given: &[RateLimit]) -> Self {
        let defaults = DEFAULTS.iter().map(|text| text.parse().expect("the defaults are rate limits"));
        let mut limits = BTreeMap::new();
        for limit in defaults.chain(given.iter().cloned()) {
            let key = (limit.operation, limit.is_by_customer);
            match limit.per_second {
                Some(per_second) => {
                    let counters = DefaultKeyedRateLimiter::keyed(Quota::per_second(per_second));
                    limits.insert(key, Counted { per_second, counters, requests: AtomicU32::new(0) });
                }
                None => {
                    limits.remove(&key);
                }
            }
        }
        Self { limits }
    }

    fn of(&self, operation: &str, is_by_customer: bool) -> Option<&Counted> {
        self.limits.get(&(operation.to_owned(), is_by_customer))
    }
}

impl Counted {
    /// Counts a request; 429 where there are too many.
    fn count(
        &self,
        environment_id: EnvironmentId,
        customer: &str,
        limit_type: &'static str,
    ) -> Result<(), ApiError> {
        if self.requests.fetch_add(1, Ordering::Relaxed) % UPKEEP_EVERY == UPKEEP_EVERY - 1 {
            self.counters.retain_recent();
        }
        // As a digest: a caller may send a long one.
        let counter = (environment_id, digest(&[customer.as_bytes()]));
        self.counters.check_key(&counter).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            ApiError::TooManyRequests {
                per_second: self.per_second.get(),
                limit_type,
                retry_after_seconds: wait.as_secs() + 1,
            }
        })
    }
}

/// 429 for a request over a limit.
pub async fn limit_rates<F: Future<Output = Response>>(
    app: &App,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    // A HEAD is served as a GET is.
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let operation = format!("{method} {route}");
    let limits = &app.settings.rate_limits;
    let (in_all, by_customer) = (limits.of(&operation, false), limits.of(&operation, true));
    if in_all.is_none() && by_customer.is_none() {
        return next(request).await;
    }
    match Box::pin(count(app, request, in_all, by_customer)).await {
        Ok(request) => next(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Counts the request and hands it back.
async fn count(
    app: &App,
    request: Request,
    in_all: Option<&Counted>,
    by_customer: Option<&Counted>,
) -> Result<Request, ApiError> {
    let (mut parts, mut body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, app).await?;
    let environment_id = caller.environment_id();
    if let Some(limit) = in_all {
        limit.count(environment_id, "", "client")?;
    }
    if let Some(limit) = by_customer {
        let bytes = read_body(Request::from_parts(parts.clone(), body)).await?;
        let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        for customer in customers_of(route, parts.uri.path(), &bytes) {
            limit.count(environment_id, &customer, "customer")?;
        }
        body = Body::from(bytes);
    }
    parts.extensions.insert(caller);
    Ok(Request::from_parts(parts, body))
}

/// The customers that a request is about: in its path, or in its body.
fn customers_of(route: &str, path: &str, body: &[u8]) -> Vec<String> {
    let mut segments = route.split('/').zip(path.split('/'));
    if let Some((_, id)) = segments.find(|(name, _)| *name == "{customer_id}") {
        return vec![id.to_lowercase()];
    }
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let several = json["customer_ids"].as_array().into_iter().flatten().take(CUSTOMERS_MAX);
    let ids = json.get("customer_id").into_iter().chain(several);
    let ids: BTreeSet<String> = ids.filter_map(|id| id.as_str().map(str::to_lowercase)).collect();
    ids.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written() {
        let read = |text: &str| text.parse::<RateLimit>();
        let limit = read("post /v1/ingest = 5000").expect("a limit");
        assert_eq!((limit.operation.as_str(), limit.is_by_customer), ("POST /v1/ingest", false));
        assert_eq!(limit.per_second.map(NonZeroU32::get), Some(5000));
        assert!(read("POST /v1/contracts/create=3/customer").expect("a limit").is_by_customer);
        assert!(read("GET /v1/customers/{customer_id}=3/customer").expect("a limit").is_by_customer);
        assert_eq!(read("POST /v1/ingest=off").expect("a limit").per_second, None);
        for wrong in [
            "POST /v1/ingest",
            "/v1/ingest=5",
            "POST /v1/ingest=0",
            "POST /v1/ingest=-1",
            "POST /v1/ingest=5/minute",
            "POST /v1/ingest=5/customer",
            "GET /v1/customers=5/customer",
            "",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counters_of_made_up_customers_do_not_pile_up() {
        let limits = RateLimits::new(&["POST /v1/x=1000000/customer".parse().expect("a limit")]);
        let limit = limits.of("POST /v1/x", true).expect("the limit");
        for number in 0..5 * UPKEEP_EVERY {
            let customer = number.to_string();
            limit.count(EnvironmentId(Uuid::nil()), &customer, "customer").expect("below the limit");
        }
        assert!(limit.counters.len() <= UPKEEP_EVERY as usize, "{}", limit.counters.len());
    }

    #[test]
    fn the_customer_is_in_the_path_or_in_the_body() {
        let route = "/v1/customers/{customer_id}/setName";
        assert_eq!(customers_of(route, "/v1/customers/ABC/setName", b"{}"), ["abc"]);
        let of_body = |body: &str| customers_of("/v1/x", "/v1/x", body.as_bytes());
        assert_eq!(of_body(r#"{"customer_id": "Q"}"#), ["q"]);
        assert_eq!(of_body(r#"{"customer_ids": ["B", "a", "A", 7]}"#), ["a", "b"]);
        for none in ["[]", "", "{", "7", r#"{"customer_ids": "a"}"#, r#"[{"customer_id": "a"}]"#] {
            assert!(of_body(none).is_empty(), "{none}");
        }
    }
}
