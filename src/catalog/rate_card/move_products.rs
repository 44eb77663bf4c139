//! `POST /v1/contract-pricing/rate-cards/moveRateCardProducts`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::calc::move_product;
use super::store;
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::id::{ProductId, RateCardId};
use crate::money::{InputNumber, to_count};
use crate::wire::{Data, IdBody, Json, id_data};

/// Most moves of one request (our decision: each is made with the card locked).
const MOVES_MAX: usize = 1_000;

#[derive(Deserialize, JsonSchema)]
pub struct MoveProducts {
    rate_card_id: RateCardId,
    /// Made one after the other; at most 1,000.
    product_moves: Vec<ProductMove>,
}

#[derive(Deserialize, JsonSchema)]
struct ProductMove {
    product_id: ProductId,
    /// The product's new place among all of the card's, from 0; beyond the end is the last place. A number, as
    /// the Python SDK sends `1.0`.
    position: InputNumber,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<MoveProducts>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    if request.product_moves.len() > MOVES_MAX {
        return Err(ApiError::field("product_moves", format!("at most {MOVES_MAX} in one request")));
    }
    let environment_id = caller.environment_id();
    let mut change = caller.begin(&app).await?;
    let card = store::lock_active(&mut change, environment_id, request.rate_card_id).await?;
    let mut order = store::product_order(&mut change, environment_id, card.id).await?;
    for (index, wanted) in request.product_moves.iter().enumerate() {
        let field = |name: &str| format!("product_moves[{index}].{name}");
        let to = to_count(&wanted.position.0)
            .ok_or_else(|| ApiError::field(&field("position"), "must be a whole number from 0"))?;
        let from = order.iter().position(|product_id| *product_id == wanted.product_id);
        let from = from.ok_or_else(|| {
            ApiError::field(&field("product_id"), "the product has no rate on the rate card")
        })?;
        move_product(&mut order, from, to);
    }
    store::set_product_order(&mut change, environment_id, card.id, &order).await?;
    let record = Record::new(card.id.0, format!("Moved products of rate card {}", card.name));
    change.commit(record, id_data(card.id.0)).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("moveRateCardProducts")
        .tag("Rate cards")
        .summary("Move products within a rate card's order")
        .description(
            "The order of the lines of invoices that are not final yet. Each move takes a product out and puts it \
             back at its new place, before the next one is made.",
        )
}
