use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::RateLimits;

/// Some seconds of reading (our decision).
pub const SQL_EVENTS_A_PAGE: usize = 3_000_000;
/// A dozen of the largest bodies, or thousands of usual ones.
const BODY_ROOM_BYTES: usize = 128 << 20;

/// How a server treats requests, whatever they ask for.
#[derive(Debug)]
pub struct Settings {
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may call the API; `*` for all.
    pub cors_origins: Vec<String>,
    pub rate_limits: RateLimits,
    /// After how long a request is given up.
    pub request_timeout: Duration,
    /// About how many events one page of `/v1/usage` looks through for metrics with SQL.
    pub sql_events_a_page: usize,
    /// What the bodies of all requests at hand may take in memory.
    pub body_room_bytes: usize,
    /// The addresses that `GET /v1/services` names, each with its service.
    pub service_addresses: Vec<(String, IpAddr)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            rate_limits: RateLimits::new(&[]),
            request_timeout: Duration::from_mins(1),
            sql_events_a_page: SQL_EVENTS_A_PAGE,
            body_room_bytes: BODY_ROOM_BYTES,
            service_addresses: Vec::new(),
        }
    }
}
