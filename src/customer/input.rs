//! Values that several requests about customers take.

use std::borrow::Cow;
use std::collections::HashSet;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::error::ApiError;
use crate::wire::AliasText;

/// Longest name that is kept, in Unicode scalar values (our decision what a character is); a longer one is cut,
/// never refused (schemas `LegacyCreateCustomerPayload` and `SetCustomerNamePayload`).
const NAME_LENGTH_MAX: usize = 160;

/// Most aliases of one customer, and in one request (schema `SetIngestAliasesPayload`).
const ALIASES_MAX: usize = 2000;

/// Longest id of a Salesforce account (our decision: Salesforce's own have 18 characters, and lists are searched by
/// it).
const ACCOUNT_ID_LENGTH_MAX: usize = 255;

/// The id of a Salesforce account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountId(pub String);

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        if id.chars().count() > ACCOUNT_ID_LENGTH_MAX {
            let reason = format!("must have at most {ACCOUNT_ID_LENGTH_MAX} characters");
            return Err(de::Error::custom(reason));
        }
        Ok(Self(id))
    }
}

impl JsonSchema for AccountId {
    fn schema_name() -> Cow<'static, str> {
        "AccountId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": ACCOUNT_ID_LENGTH_MAX })
    }
}

/// A customer's name, cut to its greatest length. One of which only blanks are left is refused (our decision).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerName(pub String);

impl<'de> Deserialize<'de> for CustomerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name: String = String::deserialize(deserializer)?.chars().take(NAME_LENGTH_MAX).collect();
        if name.trim().is_empty() { Err(de::Error::custom("must not be empty")) } else { Ok(Self(name)) }
    }
}

impl JsonSchema for CustomerName {
    fn schema_name() -> Cow<'static, str> {
        "CustomerName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// The aliases without repeats, in the order in which they first came; 400 where the request has too many.
pub fn distinct(aliases: Vec<AliasText>) -> Result<Vec<String>, ApiError> {
    if aliases.len() > ALIASES_MAX {
        let reason = format!("a customer has at most {ALIASES_MAX} aliases, not {}", aliases.len());
        return Err(ApiError::field("ingest_aliases", reason));
    }
    let mut seen = HashSet::new();
    Ok(aliases.into_iter().map(|alias| alias.0).filter(|alias| seen.insert(alias.clone())).collect())
}

/// The aliases with the deprecated external id first, because the first alias is what is answered as
/// `external_id`; one that is listed already keeps its place (our decision).
pub fn with_external_id(
    external_id: Option<AliasText>,
    mut aliases: Vec<String>,
) -> Result<Vec<String>, ApiError> {
    if let Some(AliasText(external_id)) = external_id.filter(|external_id| !aliases.contains(&external_id.0))
    {
        if aliases.len() == ALIASES_MAX {
            let reason = format!("is one more than {ALIASES_MAX} aliases, the most that a customer has");
            return Err(ApiError::field("external_id", reason));
        }
        aliases.insert(0, external_id);
    }
    Ok(aliases)
}
