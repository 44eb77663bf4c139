//! What may be charged: FIXED products in use.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalog::product::{self, ProductRow, ProductType};
use crate::error::ApiError;
use crate::id::{EnvironmentId, ProductId};
use crate::time::Instant;

/// The names of the products of a request's charges, kept from being archived until the transaction ends: 404 where there is none,
/// 400 for one that is archived or not FIXED.
pub async fn fixed_products(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    product_ids: impl Iterator<Item = ProductId>,
    now: Instant,
) -> Result<BTreeMap<ProductId, String>, ApiError> {
    let product_ids: Vec<ProductId> = product_ids.collect();
    let ids: Vec<Uuid> = product_ids.iter().map(|id| id.0).collect();
    let products = product::share_many(db, environment_id, &ids).await?;
    let products: BTreeMap<ProductId, ProductRow> =
        products.into_iter().map(|product| (product.id, product)).collect();
    for (index, id) in product_ids.iter().enumerate() {
        let field = format!("scheduled_charges[{index}].product_id");
        let product = products
            .get(id)
            .ok_or_else(|| ApiError::NotFound(format!("{field}: product {id} was not found")))?;
        let refused = |reason: &str| ApiError::field(&field, reason);
        if product.product_type != ProductType::Fixed {
            return Err(refused("a scheduled charge is of a FIXED product"));
        }
        if product.archived_at.is_some() {
            return Err(refused("the product is archived"));
        }
    }
    Ok(products.into_iter().map(|(id, product)| (id, product.timeline().at(now).name.clone())).collect())
}
