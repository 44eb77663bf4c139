use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

/// A documented request field that is not supported yet: refused by name, never ignored.
///
/// `null`, `false`, `[]` and `{}` ask for nothing and pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Later;

impl<'de> Deserialize<'de> for Later {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let asks_for_nothing = match Value::deserialize(deserializer)? {
            Value::Null | Value::Bool(false) => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        if asks_for_nothing {
            Ok(Self)
        } else {
            Err(de::Error::custom("is not supported by this server yet"))
        }
    }
}
