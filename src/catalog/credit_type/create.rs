//! `POST /v1/credit-types/create` (Python SDK).

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::store::{self, CustomUnit};
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::money::CreditType;
use crate::wire::{Data, IdBody, Json, NonBlank, id_data};

/// Longest name (our decision: an index holds it).
const NAME_LENGTH_MAX: usize = 255;

#[derive(Deserialize, JsonSchema)]
pub struct CreateCreditType {
    /// Shown on invoices; no other unit in use has it.
    name: NonBlank,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<CreateCreditType>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let NonBlank(name) = request.name;
    if name.chars().count() > NAME_LENGTH_MAX {
        return Err(ApiError::field("name", format!("at most {NAME_LENGTH_MAX} characters")));
    }
    // On an invoice nobody could tell the two apart.
    if CreditType::fiat().iter().any(|currency| currency.name == name) {
        return Err(ApiError::field("name", format!("a currency is called `{name}`")));
    }
    let unit = CustomUnit {
        id: app.ids.next(),
        name,
        created_at: caller.now,
        created_by: caller.token_name.clone(),
        archived_at: None,
    };
    let mut change = caller.begin(&app).await?;
    store::insert(&mut change, caller.environment_id(), &unit).await?;
    let record = Record::new(unit.id.0, format!("Created pricing unit {}", unit.name));
    change.commit(record, id_data(unit.id.0)).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("createCreditType").tag("Settings").summary("Create a custom pricing unit").description(
        "Rates may be in it on the rate cards that convert it to their currency. A name that another unit in use has \
         is 400.",
    )
}
