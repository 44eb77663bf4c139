//! The operations that a token may be used for, where it may not be used for all.

use axum::http::Method;

/// Whether an operation is in a token's list. An entry is a route such as `/v1/ingest`, or one with its method
/// such as `POST /v1/ingest`; a `*` at the end stands for any rest.
#[must_use]
pub fn allows(entries: &[String], method: &Method, route: &str) -> bool {
    entries.iter().any(|entry| {
        let (only, pattern) = match entry.split_once(' ') {
            Some((method, pattern)) => (Some(method), pattern),
            None => (None, entry.as_str()),
        };
        let is_route = match pattern.strip_suffix('*') {
            Some(start) => route.starts_with(start),
            None => route == pattern,
        };
        is_route && only.is_none_or(|only| only.eq_ignore_ascii_case(method.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_routes_with_or_without_a_method_or_an_end() {
        let allows = |entry: &str, route| allows(&[entry.to_owned()], &Method::POST, route);
        assert!(allows("/v1/ingest", "/v1/ingest"));
        assert!(allows("post /v1/ingest", "/v1/ingest"));
        assert!(!allows("GET /v1/ingest", "/v1/ingest"));
        assert!(!allows("/v1/ingest", "/v1/ingest/more"));
        assert!(allows("/v1/customers*", "/v1/customers/{customer_id}/setName"));
        assert!(!allows("/v1/customers/*", "/v1/customers"));
        assert!(!allows("", "/v1/ingest"));
    }
}
