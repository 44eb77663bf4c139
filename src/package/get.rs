//! `POST /v1/packages/get`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::store;
use super::view::{self, PackageView};
use crate::access::{App, Caller};
use crate::error::ApiError;
use crate::id::PackageId;
use crate::wire::{Data, Json};

#[derive(Deserialize, JsonSchema)]
pub struct GetPackage {
    package_id: PackageId,
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Json(GetPackage { package_id }): Json<GetPackage>,
) -> Result<axum::Json<Data<PackageView>>, ApiError> {
    let environment_id = caller.environment_id();
    let mut db = app.db.acquire().await?;
    let package = store::find(&mut db, environment_id, package_id).await?;
    let package = package.ok_or_else(|| ApiError::not_found("package", package_id))?;
    let mut packages = view::packages(&mut db, environment_id, vec![package], caller.now).await?;
    let data = packages.pop().expect("one package in, one out");
    Ok(axum::Json(Data { data }))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("getPackage").tag("Packages").summary("Get a package").description("Archived packages too.")
}
