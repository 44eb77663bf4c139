//! Where a request comes from, for the audit log and for tokens that are bound to networks.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use ipnet::IpNet;

use crate::telemetry::RequestId;

/// Longest user agent that is kept.
const USER_AGENT_LENGTH_MAX: usize = 512;

/// The other end of the connection, put on each request by whoever accepted it.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Where a request comes from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub request_id: String,
    pub ip: Option<IpAddr>,
    pub user_agent: Option<String>,
}

impl Origin {
    /// Reads it from a request; `proxies` are networks whose word on the client's address is believed.
    #[must_use]
    pub fn of(parts: &Parts, proxies: &[IpNet]) -> Self {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip().to_canonical());
        let user_agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        Self {
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
            ip: peer.map(|peer| client_ip(peer, &parts.headers, proxies)),
            user_agent: user_agent.map(|text| text.chars().take(USER_AGENT_LENGTH_MAX).collect()),
        }
    }
}

/// The client's address: the last one in `X-Forwarded-For` that no trusted proxy has written about itself. What
/// stands before it anybody could have sent.
fn client_ip(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let is_proxy = |ip: IpAddr| proxies.iter().any(|network| network.contains(&ip));
    let mut client = peer;
    let lines = headers.get_all("x-forwarded-for").into_iter().filter_map(|value| value.to_str().ok());
    let mut hops: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    while is_proxy(client) {
        let Some(Ok(hop)) = hops.pop().map(str::parse::<IpAddr>) else { break };
        client = hop.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str], proxies: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().expect("a header"));
        }
        let proxies: Vec<IpNet> = proxies.iter().map(|text| text.parse().expect("a network")).collect();
        client_ip(peer.parse().expect("an address"), &headers, &proxies).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("203.0.113.7", &["198.51.100.1"], &[]), "203.0.113.7");
        assert_eq!(client("10.0.0.1", &["198.51.100.1"], &["10.0.0.0/8"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &[], &["10.0.0.0/8"]), "10.0.0.1");
    }

    #[test]
    fn what_a_client_claims_of_itself_is_not_believed() {
        let proxies = ["10.0.0.0/8"];
        assert_eq!(client("10.0.0.1", &["192.0.2.9, 198.51.100.1, 10.0.0.2"], &proxies), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.9", "198.51.100.1"], &proxies), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.9, gibberish"], &proxies), "10.0.0.1");
    }
}
