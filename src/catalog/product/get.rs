//! `POST /v1/contract-pricing/products/get`

use aide::transform::TransformOperation;
use axum::extract::State;

use super::store;
use super::view::Product;
use crate::access::{App, Caller};
use crate::custom_field;
use crate::error::ApiError;
use crate::wire::{Data, IdBody, Json};

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<IdBody>,
) -> Result<axum::Json<Data<Product>>, ApiError> {
    let mut db = app.db.acquire().await?;
    let product = store::find_many(&mut db, caller.environment_id(), &[request.id]).await?.pop();
    let product = product.ok_or_else(|| ApiError::not_found("product", request.id))?;
    let product = Product::at(product, caller.now);
    let data = custom_field::show_one(&mut db, caller.environment_id(), product).await?;
    Ok(axum::Json(Data { data }))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getProduct")
        .tag("Products")
        .summary("Get a product")
        .description("With its whole history; archived products too.")
}
