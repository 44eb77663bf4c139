//! Instants in requests and answers.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::time::{Instant, is_hour_boundary, parse_instant};

/// A request timestamp: RFC 3339 with any offset; without one it is UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub Instant);

/// A request timestamp that must lie on an hour: contract terms and prices change only there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HourBoundary(pub Instant);

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        parse_instant(&text).map(Self).map_err(|error| de::Error::custom(format!("`{text}` {error}")))
    }
}

impl<'de> Deserialize<'de> for HourBoundary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Timestamp(instant) = Timestamp::deserialize(deserializer)?;
        if is_hour_boundary(instant) {
            Ok(Self(instant))
        } else {
            Err(de::Error::custom("must be on an hour boundary (no minutes, seconds or fractions)"))
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

macro_rules! date_time_schema {
    ($($name:ident),*) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": "date-time" })
            }
        }
    )*};
}

date_time_schema!(Timestamp, HourBoundary);

/// `2026-03-01T00:00:00+00:00`: how invoices print instants (documentation of dashboards), where others print
/// `Z`.
pub mod offset_format {
    use chrono::{DateTime, SecondsFormat};
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::time::Instant;

    pub fn serialize<S: Serializer>(instant: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&instant.to_rfc3339_opts(SecondsFormat::AutoSi, false))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        let text = String::deserialize(deserializer)?;
        DateTime::parse_from_rfc3339(&text).map(|instant| instant.to_utc()).map_err(de::Error::custom)
    }
}

/// The same for an instant that may be missing; with `default` and `skip_serializing_if`.
pub mod optional_offset_format {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::offset_format;
    use crate::time::Instant;

    /// An instant in the format.
    #[derive(Deserialize)]
    struct Printed(#[serde(with = "offset_format")] Instant);

    pub fn serialize<S: Serializer>(instant: &Option<Instant>, serializer: S) -> Result<S::Ok, S::Error> {
        match instant {
            Some(instant) => offset_format::serialize(instant, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Instant>, D::Error> {
        Ok(Option::<Printed>::deserialize(deserializer)?.map(|printed| printed.0))
    }
}
