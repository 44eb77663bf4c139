//! `POST /v1/customFields/setValues`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::existence::{require, require_changeable, touch};
use crate::access::{App, Record, Writer};
use crate::custom_field::{self, CustomFieldsInput, ManagedEntity};
use crate::error::ApiError;
use crate::wire::{Empty, Json};

#[derive(Deserialize, JsonSchema)]
pub struct SetValues {
    /// The type of the object; `contract_product` for catalog products.
    entity: ManagedEntity,
    entity_id: Uuid,
    /// Each key must be on the list of the type; values have at most 200 characters.
    custom_fields: CustomFieldsInput,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<SetValues>,
) -> Result<Empty, ApiError> {
    let SetValues { entity, entity_id, custom_fields } = request;
    let fields = custom_fields.checked()?;
    let mut change = caller.begin(&app).await?;
    require(&mut change, caller.environment_id(), entity, entity_id, caller.now).await?;
    require_changeable(entity)?;
    custom_field::set(&mut change, caller.environment_id(), entity, entity_id, &fields).await?;
    touch(&mut change, caller.environment_id(), entity, entity_id, caller.now).await?;
    let keys: Vec<String> = fields.into_keys().collect();
    let record = Record::new(entity_id, format!("Set the custom fields {}", keys.join(", ")));
    change.commit(record.of(entity.as_str()), Empty).await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("setCustomFields").tag("Custom fields").summary("Set custom fields of an object").description(
        "Sets all fields given, or none, and leaves the others. A value that another object holds under a key with \
         enforced uniqueness is 409; archived objects hold theirs until it is removed.",
    )
}
