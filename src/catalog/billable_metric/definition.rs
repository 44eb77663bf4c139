//! What a streaming metric counts, and which definitions make sense.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::casing::wire_enum;

wire_enum! {
    /// How matching events become one quantity.
    pub enum AggregationType {
        /// The number of events.
        Count = "COUNT",
        /// The sum of a numeric property.
        Sum = "SUM",
        /// The greatest value of a numeric property.
        Max = "MAX",
        /// The number of distinct values of a property.
        Unique = "UNIQUE",
        /// The value of a numeric property on the newest event.
        Latest = "LATEST",
    }
}

/// Most filters, group keys and names in a group key of one metric (our decision: every event is held against
/// them).
const PARTS_MAX: usize = 100;

/// Most values of one filter (our decision).
const VALUES_MAX: usize = 1000;

/// Which event types count (schema `EventTypeFilter`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventTypeFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_values: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_in_values: Option<Vec<String>>,
}

/// What one property must be for an event to count (schema `PropertyFilter`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PropertyFilter {
    pub name: String,
    /// True: must be there. False: must not. Unset: either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_values: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_in_values: Option<Vec<String>>,
}

/// The whole of what a streaming metric counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub aggregation_type: AggregationType,
    pub aggregation_key: Option<String>,
    pub event_type_filter: Option<EventTypeFilter>,
    pub property_filters: Option<Vec<PropertyFilter>>,
    pub group_keys: Option<Vec<Vec<String>>>,
}

impl Definition {
    /// Every property name that appears in a group key, in byte order: usage is kept by the tuple of their
    /// values, and any smaller grouping is a merge of it.
    #[must_use]
    pub fn group_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.group_keys.iter().flatten().flatten().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The places of the properties of one group key among the group names, in the order given; nothing where they are
    /// not a group key as a whole (schema `GroupKey`: a part of a compound key is none).
    #[must_use]
    pub fn places_of_group_key(&self, key: &[String]) -> Option<Vec<usize>> {
        let wanted: BTreeSet<&String> = key.iter().collect();
        let is_it = |declared: &&Vec<String>| declared.iter().collect::<BTreeSet<_>>() == wanted;
        self.group_keys.iter().flatten().find(is_it)?;
        let names = self.group_names();
        key.iter().map(|name| names.iter().position(|known| known == name)).collect()
    }

    /// Every rule that the definition breaks, as `field: reason` (schema `CreateBillableMetricV1Payload`; where
    /// it is silent, our decision: refuse what could never count anything).
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let too_large = self.size_problems();
        if !too_large.is_empty() {
            return too_large;
        }
        let mut problems = self.event_type_problems();
        problems.extend(self.property_filter_problems());
        problems.extend(self.aggregation_key_problem());
        problems.extend(self.group_key_problems());
        problems
    }

    fn size_problems(&self) -> Vec<String> {
        let group_keys = self.group_keys.as_deref().unwrap_or_default();
        let mut sizes = vec![
            ("property_filters".to_owned(), self.filters().len(), PARTS_MAX),
            ("group_keys".to_owned(), group_keys.len(), PARTS_MAX),
        ];
        sizes.extend(
            group_keys
                .iter()
                .enumerate()
                .map(|(index, key)| (format!("group_keys[{index}]"), key.len(), PARTS_MAX)),
        );
        let of_types = self
            .event_type_filter
            .iter()
            .map(|filter| ("event_type_filter".to_owned(), &filter.in_values, &filter.not_in_values));
        let of_properties = self.filters().iter().enumerate().map(|(index, filter)| {
            (format!("property_filters[{index}]"), &filter.in_values, &filter.not_in_values)
        });
        for (path, in_values, not_in_values) in of_types.chain(of_properties) {
            for (list, values) in [("in_values", in_values), ("not_in_values", not_in_values)] {
                sizes.push((format!("{path}.{list}"), values.as_ref().map_or(0, Vec::len), VALUES_MAX));
            }
        }
        let too_large = sizes.into_iter().filter(|(_, size, most)| size > most);
        too_large.map(|(path, _, most)| format!("{path}: at most {most}")).collect()
    }

    fn event_type_problems(&self) -> Vec<String> {
        let Some(filter) = &self.event_type_filter else {
            return Vec::new();
        };
        let lists = [("in_values", &filter.in_values), ("not_in_values", &filter.not_in_values)];
        let empty = lists.into_iter().filter(|(_, values)| values.as_ref().is_some_and(Vec::is_empty));
        empty.map(|(list, _)| format!("event_type_filter.{list}: must not be empty")).collect()
    }

    fn property_filter_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, filter) in self.filters().iter().enumerate() {
            let path = format!("property_filters[{index}]");
            if filter.name.is_empty() {
                problems.push(format!("{path}.name: must not be empty"));
            }
            for (list, values) in [("in_values", &filter.in_values), ("not_in_values", &filter.not_in_values)]
            {
                if values.as_ref().is_some_and(Vec::is_empty) {
                    problems.push(format!("{path}.{list}: must not be empty; leave it out instead"));
                }
            }
            if filter.exists == Some(false) && filter.in_values.is_some() {
                problems.push(format!(
                    "{path}: can never match, because in_values needs the property that exists forbids"
                ));
            }
        }
        problems
    }

    fn aggregation_key_problem(&self) -> Option<String> {
        if self.aggregation_type == AggregationType::Count {
            return None;
        }
        let kind = self.aggregation_type.as_str();
        match &self.aggregation_key {
            None => Some(format!("aggregation_key: is required for {kind}")),
            Some(key) if !self.filters().iter().any(|filter| filter.name == *key) => Some(
                "aggregation_key: The specified aggregation key must be one of the property filter names."
                    .to_owned(),
            ),
            Some(_) => None,
        }
    }

    fn group_key_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, key) in self.group_keys.iter().flatten().enumerate() {
            if key.is_empty() {
                problems.push(format!("group_keys[{index}]: must name at least one property"));
            }
            if key.iter().collect::<BTreeSet<_>>().len() < key.len() {
                problems.push(format!("group_keys[{index}]: names a property twice"));
            }
            for name in key.iter().filter(|name| !self.requires(name)) {
                problems.push(format!(
                    "group_keys[{index}]: Group key '{name}' does not match one of the property filter names. \
                     It needs a property filter with exists: true or in_values."
                ));
            }
        }
        problems
    }

    fn filters(&self) -> &[PropertyFilter] {
        self.property_filters.as_deref().unwrap_or_default()
    }

    /// Whether every event that counts has the property.
    fn requires(&self, name: &str) -> bool {
        let requiring = |filter: &PropertyFilter| filter.exists == Some(true) || filter.in_values.is_some();
        self.filters().iter().any(|filter| filter.name == name && requiring(filter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(aggregation_type: AggregationType) -> Definition {
        let filter = |name: &str| PropertyFilter {
            name: name.to_owned(),
            exists: Some(true),
            in_values: None,
            not_in_values: None,
        };
        Definition {
            aggregation_type,
            aggregation_key: Some("tokens".to_owned()),
            event_type_filter: None,
            property_filters: Some(vec![filter("tokens"), filter("model")]),
            group_keys: Some(vec![vec!["model".to_owned()]]),
        }
    }

    #[test]
    fn a_sound_definition_has_no_problems() {
        assert_eq!(definition(AggregationType::Sum).problems(), Vec::<String>::new());
    }

    #[test]
    fn several_problems_come_back_together() {
        let mut broken = definition(AggregationType::Max);
        broken.aggregation_key = Some("bytes".to_owned());
        broken.group_keys =
            Some(vec![vec!["zone".to_owned()], vec![], vec!["model".to_owned(), "model".to_owned()]]);
        let problems = broken.problems();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems.iter().any(|problem| problem.contains("Group key 'zone'")));
    }

    #[test]
    fn a_group_key_is_found_as_a_whole_in_any_order() {
        let list = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let mut keyed = definition(AggregationType::Count);
        keyed.group_keys = Some(vec![list(&["zone"]), list(&["zone", "model", "user"])]);
        let places = |names: &[&str]| keyed.places_of_group_key(&list(names));
        assert_eq!(keyed.group_names(), ["model", "user", "zone"]);
        assert_eq!(places(&["zone"]), Some(vec![2]));
        assert_eq!(places(&["user", "zone", "model"]), Some(vec![1, 2, 0]));
        for unknown in [&["model"][..], &["zone", "model"], &["zone", "other"], &[]] {
            assert_eq!(places(unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn a_filter_that_never_matches_is_refused() {
        let mut broken = definition(AggregationType::Count);
        broken.property_filters = Some(vec![PropertyFilter {
            name: "model".to_owned(),
            exists: Some(false),
            in_values: Some(vec!["a".to_owned()]),
            not_in_values: Some(vec![]),
        }]);
        assert_eq!(broken.problems().len(), 2, "{:?}", broken.problems());
    }
}
