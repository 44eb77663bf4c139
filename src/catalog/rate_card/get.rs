//! `POST /v1/contract-pricing/rate-cards/get`

use aide::transform::TransformOperation;
use axum::extract::State;

use super::store;
use super::view::{self, RateCard};
use crate::access::{App, Caller};
use crate::error::ApiError;
use crate::id::RateCardId;
use crate::wire::{Data, IdBody, Json};

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<IdBody>,
) -> Result<axum::Json<Data<RateCard>>, ApiError> {
    let mut db = app.db.acquire().await?;
    let card = store::find(&mut db, caller.environment_id(), RateCardId(request.id)).await?;
    let card = card.ok_or_else(|| ApiError::not_found("rate card", request.id))?;
    let mut cards = view::rate_cards(&mut db, caller.environment_id(), vec![card]).await?;
    let data = cards.pop().expect("one card in, one out");
    Ok(axum::Json(Data { data }))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("getRateCard")
        .tag("Rate cards")
        .summary("Get a rate card")
        .description("Archived cards too.")
}
