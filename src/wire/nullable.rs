use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// For `deserialize_with`: an optional field that is `null` is one that was left out.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A field where `null` says something else than leaving it out: remove what is there.
///
/// Goes with `#[serde(default, skip_serializing_if = "Nullable::is_absent")]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Nullable<T> {
    #[default]
    Absent,
    Null,
    Value(T),
}

impl<T> Nullable<T> {
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    #[must_use]
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// This, unless it is absent.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self.is_absent() { other } else { self }
    }

    /// What a field is after an update that says this.
    #[must_use]
    pub fn applied_to(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Absent => current,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }
}

/// Nothing is absent.
impl<T> From<Option<T>> for Nullable<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}

impl<T: Serialize> Serialize for Nullable<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Nullable<T> {
    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    /// Unlike `Option`, whose null is left out of an answer where the field may be missing, with `oneOf`.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "oneOf": [value, { "type": "null" }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Body {
        #[serde(default, skip_serializing_if = "Nullable::is_absent")]
        field: Nullable<u8>,
    }

    #[test]
    fn an_update_keeps_clears_or_sets() {
        assert_eq!(Nullable::Absent.applied_to(Some("old")), Some("old"));
        assert_eq!(Nullable::Null.applied_to(Some("old")), None);
        assert_eq!(Nullable::Value("new").applied_to(Some("old")), Some("new"));
        assert_eq!(Nullable::Value("new").applied_to(None), Some("new"));
    }

    #[test]
    fn left_out_null_and_a_value_stay_apart() {
        let cases = [
            ("{}", Nullable::Absent),
            (r#"{"field":null}"#, Nullable::Null),
            (r#"{"field":1}"#, Nullable::Value(1)),
        ];
        for (text, field) in cases {
            let body: Body = serde_json::from_str(text).expect("a body");
            assert_eq!(body, Body { field });
            assert_eq!(serde_json::to_string(&body).expect("JSON"), text);
        }
    }
}
