//! Strings with a rule of their own.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// Text that is not empty and not only blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonBlank(pub String);

impl<'de> Deserialize<'de> for NonBlank {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.trim().is_empty() { Err(de::Error::custom("must not be empty")) } else { Ok(Self(text)) }
    }
}

impl JsonSchema for NonBlank {
    fn schema_name() -> Cow<'static, str> {
        "NonBlank".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

macro_rules! text_of_1_to_128_characters {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub String);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                if (1..=128).contains(&text.chars().count()) {
                    Ok(Self(text))
                } else {
                    Err(de::Error::custom("must have 1 to 128 characters"))
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "minLength": 1, "maxLength": 128 })
            }
        }
    )*};
}

text_of_1_to_128_characters! {
    /// An ingest alias: 1 to 128 characters, compared exactly.
    AliasText,
    /// A caller's key that may create one object of its kind, ever (schema `UniquenessKey`).
    UniquenessKey
}

/// A decimal of any length as PostgreSQL printed it, put on the wire as a JSON number with every digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactNumber(pub String);

impl Serialize for ExactNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number: serde_json::Number = self.0.parse().map_err(ser::Error::custom)?;
        number.serialize(serializer)
    }
}

impl JsonSchema for ExactNumber {
    fn schema_name() -> Cow<'static, str> {
        "ExactNumber".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
}
