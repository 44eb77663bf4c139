use std::fmt::{self, Formatter};

use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A documented request field that is not supported yet: refused by name, never ignored.
///
/// `null`, `false`, `[]` and `{}` ask for nothing and pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Later;

impl<'de> Deserialize<'de> for Later {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

fn refused<E: de::Error>() -> Result<Later, E> {
    Err(E::custom("is not supported by this server yet"))
}

impl<'de> Visitor<'de> for Later {
    type Value = Self;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("nothing")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E: de::Error>(self, asks: bool) -> Result<Self, E> {
        if asks { refused() } else { Ok(self) }
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self, E> {
        refused()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self, E> {
        refused()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self, E> {
        refused()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        if items.next_element::<IgnoredAny>()?.is_some() { refused() } else { Ok(self) }
    }

    /// Objects, and numbers with a fraction, which arrive as one.
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        if members.next_key::<IgnoredAny>()?.is_some() { refused() } else { Ok(self) }
    }
}
