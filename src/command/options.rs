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
    #[arg(long = "trusted-proxies", env = "UPBEAT_TRUSTED_PROXIES", default_value = "", hide_default_value = true, value_parser = |text: &str| listed(text, network), value_name = "CIDR")]
    pub trusted_proxies: Listed<IpNet>,
    /// Origins whose pages may call the API, such as https://app.example.com, or `*`; separated by commas.
    #[arg(long = "cors-origins", env = "UPBEAT_CORS_ORIGINS", default_value = "", hide_default_value = true, value_parser = |text: &str| listed(text, origin), value_name = "ORIGIN")]
    pub cors_origins: Listed<String>,
    /// Requests a second, such as `POST /v1/ingest=5000`, `…=100/customer` or `…=off`; separated by commas.
    #[arg(long = "rate-limits", env = "UPBEAT_RATE_LIMITS", default_value = "", hide_default_value = true, value_parser = |text: &str| listed(text, rate_limit), value_name = "LIMIT")]
    pub rate_limits: Listed<RateLimit>,
    /// Seconds after which a request is given up.
    #[arg(long, env = "UPBEAT_REQUEST_TIMEOUT", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub request_timeout: u64,
    /// Seconds that a client may take for the head of a request, and that a connection may rest.
    #[arg(long, env = "UPBEAT_HEADER_TIMEOUT", default_value_t = 75, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub header_timeout: u64,
    /// Addresses that `GET /v1/services` names, such as `api=203.0.113.10`; separated by commas.
    #[arg(long = "services", env = "UPBEAT_SERVICES", default_value = "", hide_default_value = true, value_parser = |text: &str| listed(text, service), value_name = "SERVICE=ADDRESS")]
    pub services: Listed<(String, IpAddr)>,
}

/// What stands between commas. (clap would take a variable that is set to nothing for one bad entry.)
#[derive(Clone, Debug)]
pub struct Listed<T>(Vec<T>);

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
            trusted_proxies: self.trusted_proxies.0.clone(),
            cors_origins: self.cors_origins.0.clone(),
            rate_limits: RateLimits::new(&self.rate_limits.0),
            request_timeout: Duration::from_secs(self.request_timeout),
            service_addresses: self.services.0.clone(),
            ..Settings::default()
        }
    }

    #[must_use]
    pub fn header_timeout(&self) -> Duration {
        Duration::from_secs(self.header_timeout)
    }
}

/// Reads a list; blank entries are none.
fn listed<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Listed<T>, String> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(read).collect::<Result<_, _>>().map(Listed)
}

/// A network, or a single address.
pub fn network(text: &str) -> Result<IpNet, String> {
    let single = text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or(single).map_err(|_| format!("`{text}` is not a network such as 203.0.113.0/24"))
}

/// An origin as browsers send it: no path, not even a slash. Any other would match nothing.
fn origin(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not an origin such as https://app.example.com, or `*`");
    if text == "*" {
        return Ok(text.to_owned());
    }
    let (scheme, authority) = text.split_once("://").ok_or_else(wrong)?;
    let is_plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || ".-_:[]+".contains(letter);
    if scheme.is_empty() || authority.is_empty() || !text.replacen("://", "", 1).chars().all(is_plain) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

/// A rate limit of an operation that there is: a mistyped one would limit nothing.
fn rate_limit(text: &str) -> Result<RateLimit, String> {
    let limit: RateLimit = text.parse()?;
    let operation = limit.operation();
    if crate::app::operations().iter().any(|(method, route)| format!("{method} {route}") == operation) {
        Ok(limit)
    } else {
        Err(format!("`{operation}` is no operation of this server; write `POST /v1/ingest=5000`"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_be_empty_or_have_blanks() {
        for text in ["", " ", ",", " , "] {
            assert!(listed(text, network).expect("a list").0.is_empty(), "`{text}`");
        }
        let networks = listed("10.0.0.0/8, 192.0.2.1,2001:db8::/32", network).expect("a list").0;
        let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]);
        assert!(listed("10.0.0.0/8,somewhere", network).is_err_and(|reason| reason.contains("`somewhere`")));
    }

    #[test]
    fn an_origin_is_spelled_as_browsers_send_it() {
        for good in ["*", "https://app.example.com", "http://localhost:3000", "http://[::1]:80"] {
            assert_eq!(origin(good).as_deref(), Ok(good));
        }
        for bad in [
            "app.example.com",
            "https://app.example.com/",
            "https://",
            "https://a.b/c",
            "https://A.b",
            "https://*.b",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_limit_is_of_an_operation_that_there_is() {
        for good in [
            "POST /v1/ingest=5",
            "post /v1/customers/create=5",
            "POST /v1/customers/{customer_id}/previewEvents=off",
        ] {
            assert!(rate_limit(good).is_ok(), "{good}");
        }
        for bad in ["POST /v1/ingst=5", "GET /v1/ingest=5", "POST /v1/customers/7/previewEvents=1"] {
            assert!(rate_limit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_service_has_an_address() {
        assert_eq!(service(" api = 203.0.113.10 "), Ok(("api".to_owned(), [203, 0, 113, 10].into())));
        for bad in ["api", "=203.0.113.10", "api=", "api=example.com"] {
            assert!(service(bad).is_err(), "{bad}");
        }
    }
}
