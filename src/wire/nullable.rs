use serde::{Deserialize, Deserializer};

/// For `deserialize_with`: an optional field that is `null` is one that was left out.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
