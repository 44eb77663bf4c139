use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::ApiError;

/// The fields of an object, by key.
pub type CustomFields = BTreeMap<String, String>;

/// Longest value (operation `setCustomFields`).
const VALUE_LENGTH_MAX: usize = 200;

/// Fields in a request: each key must be on the list of the type of object; values have at most 200 characters.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct CustomFieldsInput(BTreeMap<String, String>);

impl CustomFieldsInput {
    /// The fields; 400 for a value that is too long.
    pub fn checked(self) -> Result<CustomFields, ApiError> {
        for (key, value) in &self.0 {
            if value.chars().count() > VALUE_LENGTH_MAX {
                let reason = format!("must have at most {VALUE_LENGTH_MAX} characters");
                return Err(ApiError::field(&format!("custom_fields.{key}"), reason));
            }
        }
        Ok(self.0)
    }
}
