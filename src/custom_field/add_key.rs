//! `POST /v1/customFields/addKey`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ManagedEntity;
use super::store::{self, KeyRow};
use crate::access::{App, Record, Writer};
use crate::error::ApiError;
use crate::id::deterministic;
use crate::wire::{Empty, Json, NonBlank};

/// Longest key (documentation page on custom fields).
const KEY_LENGTH_MAX: usize = 100;

#[derive(Deserialize, JsonSchema)]
pub struct AddKey {
    /// A type of objects. Catalog products are `contract_product`; `product` and `charge` are of the legacy Plans API.
    entity: ManagedEntity,
    /// At most 100 characters.
    key: NonBlank,
    /// Whether two objects may not hold the same value; fixed for the life of the key.
    enforce_uniqueness: bool,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<AddKey>,
) -> Result<Empty, ApiError> {
    let key =
        KeyRow { entity: request.entity, key: request.key.0, enforce_uniqueness: request.enforce_uniqueness };
    if key.key.chars().count() > KEY_LENGTH_MAX {
        return Err(ApiError::field("key", format!("must have at most {KEY_LENGTH_MAX} characters")));
    }
    let mut change = caller.begin(&app).await?;
    if !store::insert_key(&mut change, caller.environment_id(), &key, caller.now).await? {
        let (what, key) = (key.entity.as_str(), key.key);
        return Err(ApiError::Conflict(format!("key: `{key}` is a custom field key of {what} already")));
    }
    let (what, key) = (key.entity.as_str(), key.key);
    let record = Record::new(key_id(what, &key), format!("Added the custom field key {key} of {what}"));
    change.commit(record, Empty).await
}

/// A key's id in the audit log; keys have none of their own.
#[must_use]
pub fn key_id(entity: &str, key: &str) -> uuid::Uuid {
    deterministic("custom field key", &[entity, key])
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("addCustomFieldKey").tag("Custom fields").summary("Add a custom field key").description(
        "Objects of this type may carry the field from now on. A key that is there is 409; the same key of another \
         type is another key.",
    )
}
