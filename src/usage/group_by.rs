//! Splitting usage by one property.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// Most group values that one query names or shows (schema `UsageBatchQueryPayload`, Python SDK).
pub const GROUP_VALUES_MAX: usize = 200;

#[derive(Clone, Deserialize, Serialize, JsonSchema)]
pub struct GroupBy {
    /// A group key of the metric that is one property; of one with SQL any of its columns.
    pub key: String,
    /// 1 to 200 values to show; all when omitted.
    pub values: Option<Vec<String>>,
}

impl GroupBy {
    /// 400 unless the values are 1 to 200 and none is empty (schema `PagedUsageQueryPayload`). `path` is where the
    /// grouping is in the body.
    pub fn check_values(&self, path: &str) -> Result<(), ApiError> {
        let Some(values) = &self.values else { return Ok(()) };
        let path = format!("{path}.values");
        if values.is_empty() || values.len() > GROUP_VALUES_MAX {
            return Err(ApiError::field(&path, format!("must hold 1 to {GROUP_VALUES_MAX} values")));
        }
        check_texts(&path, values)
    }
}

/// 400 where a text of a list is empty.
pub fn check_texts(path: &str, texts: &[String]) -> Result<(), ApiError> {
    match texts.iter().position(String::is_empty) {
        Some(index) => Err(ApiError::field(&format!("{path}[{index}]"), "must not be empty")),
        None => Ok(()),
    }
}
