//! `POST /v1/contract-pricing/products/archive`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::store;
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::id::ProductId;
use crate::wire::{Data, IdBody, Json, id_data};

#[derive(Deserialize, JsonSchema)]
pub struct ArchiveProduct {
    product_id: ProductId,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<ArchiveProduct>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let mut change = caller.begin(&app).await?;
    let product = store::lock(&mut change, environment_id, request.product_id).await?;
    store::archive(&mut change, environment_id, product.id, caller.now).await?;
    let timeline = product.timeline();
    let name = &timeline.at(caller.now).name;
    let description = match product.archived_at {
        None => format!("Archived product {name}"),
        Some(_) => format!("Product {name} was archived already"),
    };
    let record = Record::new(product.id.0, description);
    change.commit(record, id_data(product.id.0)).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("archiveProduct").tag("Products").summary("Archive a product").description(
        "It takes no new rate; the rates that it has go on billing. There is no way back; archiving twice changes \
         nothing.",
    )
}
