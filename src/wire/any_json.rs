use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

use super::WellFormed;

/// Any JSON, kept as the text that it came as: no digit of a number is lost, no member of an object moves.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct AnyJson(Box<RawValue>);

impl AnyJson {
    /// From a text that was kept.
    pub fn kept(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }
}

impl<'de> Deserialize<'de> for AnyJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        serde_json::from_str::<WellFormed>(raw.get()).map_err(de::Error::custom)?;
        Ok(Self(raw))
    }
}

impl JsonSchema for AnyJson {
    fn schema_name() -> Cow<'static, str> {
        "AnyJson".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_stays_as_it_is() {
        for text in
            ["null", "1.50000000000000000000000000000000000001e400", "{\"b\": 1, \"a\":[ ]}", "\"\\u00e9\""]
        {
            let json: AnyJson = serde_json::from_str(text).expect("JSON");
            assert_eq!((json.text(), serde_json::to_string(&json).expect("JSON")), (text, text.to_owned()));
        }
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        assert!(serde_json::from_str::<AnyJson>(&deep).is_err());
    }
}
