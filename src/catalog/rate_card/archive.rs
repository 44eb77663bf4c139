//! `POST /v1/contract-pricing/rate-cards/archive`

use aide::transform::TransformOperation;
use axum::extract::State;

use super::store;
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::id::RateCardId;
use crate::wire::{Data, IdBody, Json, id_data};

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<IdBody>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let mut change = caller.begin(&app).await?;
    let card = store::lock(&mut change, environment_id, RateCardId(request.id)).await?;
    store::archive(&mut change, environment_id, card.id, caller.now).await?;
    let description = match card.archived_at {
        None => format!("Archived rate card {}", card.name),
        Some(_) => format!("Rate card {} was archived already", card.name),
    };
    let record = Record::new(card.id.0, description);
    change.commit(record, id_data(card.id.0)).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("archiveRateCard").tag("Rate cards").summary("Archive a rate card").description(
        "For good: no new contract uses the card, its aliases name nothing, it leaves the list and takes no more \
         changes. Contracts on it keep their prices. Once more changes nothing.",
    )
}
