//! `POST /v1/packages/listContractsOnPackage`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::store;
use crate::access::{App, Caller};
use crate::contract::{self, ContractFilter, ContractOfPackage};
use crate::error::ApiError;
use crate::id::{ContractId, CustomerId, PackageId};
use crate::time::Instant;
use crate::wire::{CursorKey, Json, Page, PageRequest, Query, Timestamp};

#[derive(Deserialize, JsonSchema)]
pub struct ListContractsOnPackage {
    package_id: PackageId,
    /// Only contracts that start then or later; not together with `covering_date`.
    starting_at: Option<Timestamp>,
    /// Only contracts in force then; not together with `starting_at`.
    covering_date: Option<Timestamp>,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    include_archived: bool,
}

/// A contract of the package (schema `ContractProjectionSummary`).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ContractOnPackage")]
pub struct ContractSummary {
    customer_id: CustomerId,
    contract_id: ContractId,
    starting_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_before: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archived_at: Option<Instant>,
}

impl From<ContractOfPackage> for ContractSummary {
    fn from(contract: ContractOfPackage) -> Self {
        Self {
            customer_id: contract.customer_id,
            contract_id: contract.id,
            starting_at: contract.starting_at,
            ending_before: contract.ending_before,
            archived_at: contract.archived_at,
        }
    }
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageRequest>,
    Json(request): Json<ListContractsOnPackage>,
) -> Result<axum::Json<Page<ContractSummary>>, ApiError> {
    let ListContractsOnPackage { package_id, starting_at, covering_date, include_archived } = request;
    if starting_at.is_some() && covering_date.is_some() {
        return Err(ApiError::field("covering_date", "cannot be combined with starting_at"));
    }
    let environment_id = caller.environment_id();
    let filters = (package_id, starting_at, covering_date, include_archived);
    let key = CursorKey::new("contracts on package", "next_page", environment_id, &filters);
    let after: Option<(Timestamp, Timestamp, Uuid)> = key.decode(page.next_page.as_deref())?;
    let after = after.map(|(starting_at, created_at, id)| (starting_at.0, created_at.0, id));
    let filter = ContractFilter {
        include_archived,
        starting_at: starting_at.map(|instant| instant.0),
        covering_date: covering_date.map(|instant| instant.0),
    };
    let limit = page.limit.get();
    let mut db = app.db.acquire().await?;
    if store::find(&mut db, environment_id, package_id).await?.is_none() {
        return Err(ApiError::Coded {
            code: "PackageNotFound",
            message: format!("package {package_id} was not found"),
        });
    }
    let rows =
        contract::list_of_package(&mut db, environment_id, package_id, &filter, after, limit + 1).await?;
    let page = Page::cut(rows, limit, |row| key.encode(&(row.starting_at, row.created_at, row.id)));
    Ok(axum::Json(page.map(Into::into)))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("listContractsOnPackage")
        .tag("Packages")
        .summary("List the contracts of a package")
        .description("By start, then by creation; also contracts that were changed since they were made.")
}
