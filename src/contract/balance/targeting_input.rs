//! What a balance pays for, in a request.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::terms::{SpecifierOfBalance, TargetingOfBalance};
use crate::contract::rate_override::Exclusion;
use crate::error::ApiError;
use crate::id::ProductId;

/// Most products, tags or specifiers of one commit or credit, and most exclusions or tags of one specifier (our
/// decision: each is held against every line that may draw it).
const CONDITIONS_MAX: usize = 1000;

/// Conditions that must all hold (schema `CommitSpecifierInput`).
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "CommitSpecifierInput")]
pub struct SpecifierInput {
    product_id: Option<ProductId>,
    /// All of these.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    product_tags: Vec<String>,
    /// The line has each of these values.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    pricing_group_values: BTreeMap<String, String>,
    /// The line has each of these values.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    presentation_group_values: BTreeMap<String, String>,
    /// No product that has all tags of any of these.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    exclude: Vec<Exclusion>,
}

/// What a request aims a balance at. Products and tags are a set: one that is named twice counts once.
pub fn targeting(
    product_ids: Vec<ProductId>,
    product_tags: Vec<String>,
    specifiers: Vec<SpecifierInput>,
) -> Result<TargetingOfBalance, ApiError> {
    for (field, count) in [
        ("applicable_product_ids", product_ids.len()),
        ("applicable_product_tags", product_tags.len()),
        ("specifiers", specifiers.len()),
    ] {
        if count > CONDITIONS_MAX {
            return Err(ApiError::field(field, format!("at most {CONDITIONS_MAX} of one commit or credit")));
        }
    }
    let names_products = !product_ids.is_empty() || !product_tags.is_empty();
    if names_products && !specifiers.is_empty() {
        let reason = "cannot be combined with applicable_product_ids or applicable_product_tags";
        return Err(ApiError::field("specifiers", reason));
    }
    let checked = |(index, input): (usize, SpecifierInput)| {
        input.checked().map_err(|error| match error {
            Refusal::Whole(reason) => ApiError::field(&format!("specifiers[{index}]"), reason),
            Refusal::Field(field, reason) => ApiError::field(&format!("specifiers[{index}].{field}"), reason),
        })
    };
    Ok(TargetingOfBalance {
        product_ids: once_each(product_ids),
        product_tags: once_each(product_tags),
        specifiers: specifiers.into_iter().enumerate().map(checked).collect::<Result<_, _>>()?,
    })
}

enum Refusal {
    Whole(&'static str),
    Field(String, String),
}

impl SpecifierInput {
    fn checked(self) -> Result<SpecifierOfBalance, Refusal> {
        let too_many = format!("at most {CONDITIONS_MAX} of one specifier");
        for (field, count) in [
            ("product_tags", self.product_tags.len()),
            ("pricing_group_values", self.pricing_group_values.len()),
            ("presentation_group_values", self.presentation_group_values.len()),
            ("exclude", self.exclude.len()),
        ] {
            if count > CONDITIONS_MAX {
                return Err(Refusal::Field(field.to_owned(), too_many));
            }
        }
        for (index, exclusion) in self.exclude.iter().enumerate() {
            let field = || format!("exclude[{index}].product_tags");
            if exclusion.product_tags.is_empty() {
                return Err(Refusal::Field(field(), "must name a tag, or it excludes everything".to_owned()));
            }
            if exclusion.product_tags.len() > CONDITIONS_MAX {
                return Err(Refusal::Field(field(), too_many));
            }
        }
        let specifier = SpecifierOfBalance {
            product_id: self.product_id,
            product_tags: once_each(self.product_tags),
            pricing_group_values: self.pricing_group_values,
            presentation_group_values: self.presentation_group_values,
            exclude: self.exclude,
        };
        if specifier == SpecifierOfBalance::default() {
            return Err(Refusal::Whole("is empty; leave specifiers out for what pays for everything"));
        }
        Ok(specifier)
    }
}

/// The items in their order, each where it stands first.
pub fn once_each<T: Clone + Ord>(items: Vec<T>) -> Vec<T> {
    let mut seen = std::collections::BTreeSet::new();
    items.into_iter().filter(|item| seen.insert(item.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(specifiers: Value) -> Result<TargetingOfBalance, String> {
        let specifiers = serde_json::from_value(specifiers).expect("specifiers");
        targeting(Vec::new(), Vec::new(), specifiers).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_is_everything_and_an_empty_specifier_is_a_mistake() {
        assert_eq!(parsed(json!([])), Ok(TargetingOfBalance::default()));
        for (specifiers, part) in [
            (json!([{ "product_tags": ["a"] }, {}]), "specifiers[1]: is empty"),
            (json!([{ "product_tags": null, "exclude": [] }]), "specifiers[0]: is empty"),
            (
                json!([{ "exclude": [{ "product_tags": [] }] }]),
                "specifiers[0].exclude[0].product_tags: must name",
            ),
        ] {
            let refusal = parsed(specifiers).expect_err(part);
            assert!(refusal.starts_with(part), "{refusal}");
        }
        let all_but = parsed(json!([{ "exclude": [{ "product_tags": ["a"] }] }])).expect("all but the tag");
        assert_eq!(all_but.specifiers[0].exclude[0].product_tags, ["a"]);
    }

    #[test]
    fn what_is_named_twice_counts_once() {
        let tags = ["b", "a", "b"].map(str::to_owned).to_vec();
        let targeting = targeting(Vec::new(), tags, Vec::new()).expect("tags");
        assert_eq!(targeting.product_tags, ["b", "a"]);
    }
}
