//! `POST /v1/customers/{customer_id}/setIngestAliases`

use std::collections::HashSet;

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::get::CustomerPath;
use super::input::distinct;
use super::store;
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::wire::{AliasText, Empty, Json, Path};

#[derive(Deserialize, JsonSchema)]
pub struct SetIngestAliases {
    /// The whole new set; `[]` removes all.
    #[schemars(length(max = 2000))]
    ingest_aliases: Vec<AliasText>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Path(path): Path<CustomerPath>,
    Json(request): Json<SetIngestAliases>,
) -> Result<Empty, ApiError> {
    let environment_id = caller.environment_id();
    let aliases = distinct(request.ingest_aliases)?;
    let mut change = caller.begin(&app).await?;
    let customer = store::lock(&mut change, environment_id, path.customer_id).await?;
    let held = store::aliases_by_customer(&mut change, environment_id, &[customer.id.0]).await?;
    let held = held.get(&customer.id).cloned().unwrap_or_default();
    if customer.archived_at.is_some() && !only_removes(&held, &aliases) {
        return Err(ApiError::field("ingest_aliases", "an archived customer can only give aliases up"));
    }
    if held != aliases {
        store::replace_aliases(&mut change, environment_id, customer.id, &aliases, caller.now).await?;
    }
    let record = Record::new(customer.id.0, format!("Set {} ingest aliases", aliases.len()));
    change.commit(record, Empty).await
}

fn only_removes(held: &[String], aliases: &[String]) -> bool {
    let held: HashSet<&String> = held.iter().collect();
    aliases.iter().all(|alias| held.contains(alias))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("setIngestAliases").tag("Customers").summary("Set the ingest aliases of a customer").description(
        "Replaces the whole set. Usage follows its alias, earlier usage too; finalized invoices do not change. \
         An alias that another customer holds is 409: remove it there first.",
    )
}
