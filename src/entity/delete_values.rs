//! `POST /v1/customFields/deleteValues`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::existence::{require, require_changeable, touch};
use crate::access::{App, Record, Writer};
use crate::custom_field::{self, ManagedEntity};
use crate::error::ApiError;
use crate::wire::{Empty, Json};

#[derive(Deserialize, JsonSchema)]
pub struct DeleteValues {
    entity: ManagedEntity,
    entity_id: Uuid,
    /// Keys that the object does not carry change nothing.
    keys: Vec<String>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<DeleteValues>,
) -> Result<Empty, ApiError> {
    let DeleteValues { entity, entity_id, keys } = request;
    let mut change = caller.begin(&app).await?;
    let environment_id = caller.environment_id();
    // A draft may be gone and still hold a value that nobody else can have.
    let held = custom_field::of_many(&mut change, environment_id, entity, &[entity_id]).await?;
    if held.is_empty() {
        require(&mut change, environment_id, entity, entity_id, caller.now).await?;
    }
    require_changeable(entity)?;
    custom_field::delete(&mut change, environment_id, entity, entity_id, &keys).await?;
    touch(&mut change, environment_id, entity, entity_id, caller.now).await?;
    let record = Record::new(entity_id, format!("Removed the custom fields {}", keys.join(", ")));
    change.commit(record.of(entity.as_str()), Empty).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("deleteCustomFields")
        .tag("Custom fields")
        .summary("Remove custom fields of an object")
        .description("Frees values that had to be unique. Archived objects too.")
}
