//! `POST /v1/packages/archive`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::store;
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::id::PackageId;
use crate::wire::{Data, IdBody, Json, id_data};

/// An unknown field is refused, unlike elsewhere (published document).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchivePackage {
    package_id: PackageId,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(ArchivePackage { package_id }): Json<ArchivePackage>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let mut change = caller.begin(&app).await?;
    let package = store::lock(&mut change, environment_id, package_id).await?;
    store::archive(&mut change, environment_id, package.id, caller.now).await?;
    let description = match package.archived_at {
        None => format!("Archived package {}", package.name),
        Some(_) => format!("Package {} was archived already", package.name),
    };
    change.commit(Record::new(package.id.0, description), id_data(package.id.0)).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("archivePackage").tag("Packages").summary("Archive a package").description(
        "For good: no new contract is made of it and its aliases name nothing. Contracts of it stay as they are. Once \
         more changes nothing.",
    )
}
