//! `GET /v1/services`

use std::collections::BTreeMap;

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::{App, Caller};
use crate::casing::wire_enum;
use crate::error::ApiError;

wire_enum! {
    /// Which way a service's connections go.
    pub enum ServiceUsage {
        MakesConnectionsFrom = "makes_connections_from",
        AcceptsConnectionsAt = "accepts_connections_at",
    }
}

/// A part of this server that firewalls may have to let through (schema `Service`).
#[derive(Serialize, JsonSchema)]
pub struct Service {
    name: String,
    usage: ServiceUsage,
    /// As the operator of this server has set them; may be empty.
    ips: Vec<String>,
}

/// The answer, which has no `data` envelope.
#[derive(Serialize, JsonSchema)]
pub struct Services {
    services: Vec<Service>,
}

/// The services that every installation has (our decision: their names are not documented).
const SERVICES: [(&str, ServiceUsage); 3] = [
    ("api", ServiceUsage::AcceptsConnectionsAt),
    ("ingest", ServiceUsage::AcceptsConnectionsAt),
    ("webhooks", ServiceUsage::MakesConnectionsFrom),
];

pub async fn handler(State(app): State<App>, _caller: Caller) -> Result<axum::Json<Services>, ApiError> {
    let mut addresses: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, address) in &app.settings.service_addresses {
        addresses.entry(name).or_default().push(address.to_string());
    }
    let known = SERVICES.map(|(name, usage)| Service {
        name: name.to_owned(),
        usage,
        ips: addresses.remove(name).unwrap_or_default(),
    });
    let others = addresses.into_iter().map(|(name, ips)| Service {
        name: name.to_owned(),
        usage: ServiceUsage::AcceptsConnectionsAt,
        ips,
    });
    Ok(axum::Json(Services { services: known.into_iter().chain(others).collect() }))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getServices")
        .tag("Settings")
        .summary("List the addresses of this server's services")
        .description("For firewalls: where this server accepts connections, and from where it makes them.")
}
