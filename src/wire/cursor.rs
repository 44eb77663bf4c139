//! Cursors: opaque, and bound to the list and the filters that they came from.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::id::{EnvironmentId, digest};

/// What a cursor belongs to: one list of one environment under one set of filters. A cursor used elsewhere is
/// 400. A position is the caller's word like any other input: its instants are `Timestamp`s, which bound them.
pub struct CursorKey {
    binding: [u8; 8],
    field: &'static str,
}

impl CursorKey {
    /// `field` is where the request carries the cursor, for the error message.
    pub fn new(
        list: &str,
        field: &'static str,
        environment: EnvironmentId,
        filters: &impl Serialize,
    ) -> Self {
        let filters = serde_json::to_vec(filters).expect("filters are plain data");
        let hash = digest(&[list.as_bytes(), environment.0.as_bytes(), &filters]);
        let mut binding = [0; 8];
        binding.copy_from_slice(&hash.as_bytes()[..8]);
        Self { binding, field }
    }

    /// The token that continues after `position`.
    pub fn encode(&self, position: &impl Serialize) -> String {
        let mut bytes = self.binding.to_vec();
        bytes.extend(serde_json::to_vec(position).expect("positions are plain data"));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position in a token; an empty token is the first page.
    pub fn decode<P: DeserializeOwned>(&self, token: Option<&str>) -> Result<Option<P>, ApiError> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        let refused = || self.refused();
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| refused())?;
        let position = bytes.strip_prefix(&self.binding).ok_or_else(refused)?;
        serde_json::from_slice(position).map(Some).map_err(|_| refused())
    }

    /// 400 for a position that the list does not have.
    #[must_use]
    pub fn refused(&self) -> ApiError {
        ApiError::field(self.field, "is not a cursor of this list with these filters")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_cursor_opens_only_its_own_list() {
        let environment = EnvironmentId(Uuid::nil());
        let key = |list, filter: &str| CursorKey::new(list, "next_page", environment, &filter);
        let token = key("customers", "a").encode(&(7, "x"));
        assert_eq!(
            key("customers", "a").decode::<(u8, String)>(Some(&token)).expect("own"),
            Some((7, "x".to_owned()))
        );
        assert!(key("customers", "b").decode::<(u8, String)>(Some(&token)).is_err());
        assert!(key("products", "a").decode::<(u8, String)>(Some(&token)).is_err());
        assert!(key("customers", "a").decode::<(u8, String)>(Some("gibberish")).is_err());
        assert_eq!(key("customers", "a").decode::<(u8, String)>(Some("")).expect("first page"), None);
    }
}
