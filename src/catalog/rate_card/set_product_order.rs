//! `POST /v1/contract-pricing/rate-cards/setRateCardProductsOrder`

use std::collections::BTreeSet;

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::calc::listed_first;
use super::store;
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::id::{ProductId, RateCardId};
use crate::wire::{Data, IdBody, Json, id_data};

#[derive(Deserialize, JsonSchema)]
pub struct SetProductOrder {
    rate_card_id: RateCardId,
    /// The first products of the card, in their new order; the others follow in the order that they have.
    product_order: Vec<ProductId>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<SetProductOrder>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let mut change = caller.begin(&app).await?;
    let card = store::lock_active(&mut change, environment_id, request.rate_card_id).await?;
    let current = store::product_order(&mut change, environment_id, card.id).await?;
    refuse_strangers_and_doubles(&current, &request.product_order)?;
    let order = listed_first(&current, &request.product_order);
    store::set_product_order(&mut change, environment_id, card.id, &order).await?;
    let record = Record::new(card.id.0, format!("Set the order of the products of rate card {}", card.name));
    change.commit(record, id_data(card.id.0)).await
}

fn refuse_strangers_and_doubles(current: &[ProductId], listed: &[ProductId]) -> Result<(), ApiError> {
    let on_card: BTreeSet<&ProductId> = current.iter().collect();
    let mut seen = BTreeSet::new();
    for (index, product_id) in listed.iter().enumerate() {
        let field = |reason: &str| ApiError::field(&format!("product_order[{index}]"), reason);
        if !on_card.contains(product_id) {
            return Err(field("the product has no rate on the rate card"));
        }
        if !seen.insert(product_id) {
            return Err(field("the product is listed twice"));
        }
    }
    Ok(())
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("setRateCardProductsOrder")
        .tag("Rate cards")
        .summary("Set the order of a rate card's products")
        .description(
            "The order of the lines of invoices that are not final yet. Products that are not listed keep their \
             order, behind those that are.",
        )
}
