//! Pages of lists that sort by `(created_at, id)`, and the limits of every list.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

use super::{CursorKey, Timestamp};
use crate::error::ApiError;
use crate::time::Instant;

macro_rules! page_limits {
    ($($(#[$doc:meta])* $name:ident 1..=$max:literal),*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name(u32);

        impl $name {
            #[must_use]
            pub fn get(self) -> usize {
                self.0 as usize
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($max)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match u32::deserialize(deserializer)? {
                    limit @ 1..=$max => Ok(Self(limit)),
                    _ => Err(de::Error::custom(concat!("must be from 1 to ", $max))),
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "integer", "minimum": 1, "maximum": $max })
            }
        }
    )*};
}

page_limits! {
    /// The `limit` of most lists: 1 to 100, 100 when omitted (our decision: the documented defaults equal the
    /// maximum).
    PageLimit 1..=100,
    /// The `limit` of contract lists: 1 to 20, 20 when omitted (Python SDK).
    ContractPageLimit 1..=20,
    /// The `limit` of lists of commits and credits: 1 to 25, 25 when omitted (operation texts).
    BalancePageLimit 1..=25
}

/// The query parameters of a list that has no others.
#[derive(Deserialize, JsonSchema)]
pub struct PageRequest {
    #[serde(default)]
    pub limit: PageLimit,
    pub next_page: Option<String>,
}

/// A page of a list (`next_page` is null on the last one).
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Page<T> {
    pub data: Vec<T>,
    pub next_page: Option<String>,
}

/// A row of a list that sorts by creation.
pub trait PageRow {
    fn created_at(&self) -> Instant;
    fn id(&self) -> Uuid;
}

impl<T> Page<T> {
    /// Turns up to `limit + 1` rows into a page: the row too many says that there is a next one.
    pub fn cut(mut rows: Vec<T>, limit: usize, position: impl Fn(&T) -> String) -> Self {
        let next_page = if rows.len() > limit {
            rows.truncate(limit);
            rows.last().map(position)
        } else {
            None
        };
        Self { data: rows, next_page }
    }

    pub fn map<U>(self, make: impl FnMut(T) -> U) -> Page<U> {
        Page { data: self.data.into_iter().map(make).collect(), next_page: self.next_page }
    }
}

impl<T: PageRow> Page<T> {
    /// [`Page::cut`] for rows that sort by creation.
    #[must_use]
    pub fn by_creation(rows: Vec<T>, limit: usize, key: &CursorKey) -> Self {
        Self::cut(rows, limit, |row| key.encode(&(row.created_at(), row.id())))
    }
}

impl CursorKey {
    /// The `(created_at, id)` after which a list by creation continues.
    pub fn creation_position(&self, token: Option<&str>) -> Result<Option<(Instant, Uuid)>, ApiError> {
        let position = self.decode::<(Timestamp, Uuid)>(token)?;
        Ok(position.map(|(created_at, id)| (created_at.0, id)))
    }
}
