//! `POST /v1/credit-types/archive` (Python SDK).

use aide::transform::TransformOperation;
use axum::extract::State;

use super::store;
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::id::CreditTypeId;
use crate::money::CreditType;
use crate::wire::{Data, IdBody, Json, id_data};

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<IdBody>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let id = CreditTypeId(request.id);
    if let Some(currency) = CreditType::find_fiat(id) {
        return Err(ApiError::field(
            "id",
            format!("{} is a currency, which every rate card may use", currency.name),
        ));
    }
    let mut change = caller.begin(&app).await?;
    let unit = store::lock(&mut change, caller.environment_id(), id).await?;
    store::archive(&mut change, caller.environment_id(), id, caller.now).await?;
    let description = match unit.archived_at {
        None => format!("Archived pricing unit {}", unit.name),
        Some(_) => format!("Pricing unit {} was archived already", unit.name),
    };
    change.commit(Record::new(id.0, description), id_data(id.0)).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("archiveCreditType").tag("Settings").summary("Archive a custom pricing unit").description(
        "For good: it leaves the list and is taken by no new rate or conversion. Rates that are in it keep their \
         prices and their conversions. Once more changes nothing.",
    )
}
