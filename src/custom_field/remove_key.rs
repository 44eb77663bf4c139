//! `POST /v1/customFields/removeKey`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::add_key::key_id;
use super::{ManagedEntity, store};
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::wire::{Empty, Json};

#[derive(Deserialize, JsonSchema)]
pub struct RemoveKey {
    entity: ManagedEntity,
    key: String,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<RemoveKey>,
) -> Result<Empty, ApiError> {
    let RemoveKey { entity, key } = request;
    let mut change = caller.begin(&app).await?;
    let what = entity.as_str();
    if !store::remove_key(&mut change, caller.environment_id(), entity, &key).await? {
        return Err(ApiError::NotFound(format!("key: `{key}` is not a custom field key of {what}")));
    }
    let record = Record::new(key_id(what, &key), format!("Removed the custom field key {key} of {what}"));
    change.commit(record, Empty).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("removeCustomFieldKey").tag("Custom fields").summary("Remove a custom field key").description(
        "Its values are gone with it; a key that is added again starts empty. Finalized invoices keep what they say of their customer, contract and products.",
    )
}
