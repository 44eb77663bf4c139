//! How to serve, from flags and environment variables. No secret has a default.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;

use crate::access::{RateLimit, RateLimits, Settings};
use crate::config::Storage;

/// How to serve.
#[derive(Clone, Args)]
pub struct Serve {
    #[command(flatten)]
    pub storage: Storage,
    /// Address of the API.
    #[arg(long, env = "UPBEAT_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Serve the API only; run `upbeat worker` elsewhere.
    #[arg(long)]
    pub no_worker: bool,
    /// A sandbox admin token with this secret exists after start.
    #[arg(long, env = "UPBEAT_BOOTSTRAP_TOKEN", hide_env_values = true)]
    pub bootstrap_token: Option<String>,
    /// Networks of proxies whose `X-Forwarded-For` is believed, such as 10.0.0.0/8; separated by commas.
    #[arg(
        long = "trusted-proxies",
        env = "UPBEAT_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may call the API, such as https://app.example.com, or `*`; separated by commas.
    #[arg(long = "cors-origins", env = "UPBEAT_CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGIN")]
    pub cors_origins: Vec<String>,
    /// Requests a second, such as `POST /v1/ingest=5000`, `…=100/customer` or `…=off`; separated by commas.
    #[arg(long = "rate-limits", env = "UPBEAT_RATE_LIMITS", value_delimiter = ',', value_name = "LIMIT")]
    pub rate_limits: Vec<RateLimit>,
    /// Seconds after which a request is given up.
    #[arg(long, env = "UPBEAT_REQUEST_TIMEOUT", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub request_timeout: u64,
    /// Seconds that a client may take for the head of a request, and that a connection may rest.
    #[arg(long, env = "UPBEAT_HEADER_TIMEOUT", default_value_t = 75, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub header_timeout: u64,
    /// Addresses that `GET /v1/services` names, such as `api=203.0.113.10`; separated by commas.
    #[arg(long = "services", env = "UPBEAT_SERVICES", value_delimiter = ',', value_parser = service, value_name = "SERVICE=ADDRESS")]
    pub services: Vec<(String, IpAddr)>,
}

impl Serve {
    /// The token that shall exist; an empty one is none.
    #[must_use]
    pub fn bootstrap_token(&self) -> Option<&str> {
        self.bootstrap_token.as_deref().map(str::trim).filter(|secret| !secret.is_empty())
    }

    /// How requests are treated.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            trusted_proxies: self.trusted_proxies.clone(),
            cors_origins: self.cors_origins.iter().map(|origin| origin.trim().to_owned()).collect(),
            rate_limits: RateLimits::new(&self.rate_limits),
            request_timeout: Duration::from_secs(self.request_timeout),
            service_addresses: self.services.clone(),
        }
    }

    #[must_use]
    pub fn header_timeout(&self) -> Duration {
        Duration::from_secs(self.header_timeout)
    }
}

/// A service and one of its addresses.
fn service(text: &str) -> Result<(String, IpAddr), String> {
    let wrong = || format!("`{text}` is not a service and an address such as `api=203.0.113.10`");
    let (name, address) = text.split_once('=').ok_or_else(wrong)?;
    let name = name.trim();
    if name.is_empty() {
        return Err(wrong());
    }
    Ok((name.to_owned(), address.trim().parse().map_err(|_| wrong())?))
}
