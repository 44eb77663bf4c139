//! What one event adds to one metric.

use std::borrow::Cow;

use chrono::DateTime;
use uuid::Uuid;

use crate::catalog::billable_metric::{AggregationType, Definition, EventTypeFilter, PropertyFilter};
use crate::event::{Properties, PropertyValue};
use crate::id::{BillableMetricId, EnvironmentId, GroupId, digest};
use crate::money::Decimal;
use crate::time::Instant;

/// What an event that matches a metric adds to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution<'a> {
    /// The values of the metric's group names, in their order.
    pub group_values: Vec<Cow<'a, str>>,
    /// The number that SUM, MAX or LATEST read; unset where the property is not a number, which adds nothing.
    pub number: Option<Decimal>,
    /// The value that UNIQUE counts, by digest.
    pub value_digest: Option<Uuid>,
}

/// What the event adds to the metric; nothing where a filter refuses it.
#[must_use]
pub fn contribution<'a>(
    definition: &Definition,
    event_type: &str,
    properties: &Properties<'a>,
) -> Option<Contribution<'a>> {
    if !matches(definition, event_type, properties) {
        return None;
    }
    let group_values: Option<Vec<Cow<'a, str>>> = definition
        .group_names()
        .iter()
        .map(|name| properties.get(name).and_then(PropertyValue::into_text))
        .collect();
    let aggregated = definition.aggregation_key.as_ref().and_then(|key| properties.get(key));
    let (number, value_digest) = match definition.aggregation_type {
        AggregationType::Count => (None, None),
        AggregationType::Sum | AggregationType::Max | AggregationType::Latest => {
            (aggregated.as_ref().and_then(PropertyValue::as_number).map(|text| decimal(&text)), None)
        }
        AggregationType::Unique => (
            None,
            aggregated.and_then(PropertyValue::into_text).map(|value| digest(&[b"value", value.as_bytes()])),
        ),
    };
    // A group name has a filter that requires it, so a matching event has a value for each.
    Some(Contribution { group_values: group_values?, number, value_digest })
}

/// Characters of a number whose digits fit into 64 bits.
const SHORT: usize = 18;

/// The number of a plain decimal text, to its last digit.
fn decimal(text: &str) -> Decimal {
    if text.len() > SHORT {
        return text.parse().expect("plain digits with at most one point");
    }
    // Nearly all are short, and a number is read for each event.
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let decimals = digits.find('.').map_or(0, |point| digits.len() - point - 1);
    let digits = digits.bytes().filter(u8::is_ascii_digit).map(|digit| i64::from(digit - b'0'));
    let digits = digits.fold(0_i64, |number, digit| number * 10 + digit);
    Decimal::new((sign * digits).into(), i64::try_from(decimals).expect("the text is short"))
}

/// Whether every filter of the metric lets the event pass.
#[must_use]
pub fn matches(definition: &Definition, event_type: &str, properties: &Properties<'_>) -> bool {
    let filters = definition.property_filters.as_deref().unwrap_or_default();
    definition.event_type_filter.as_ref().is_none_or(|filter| type_matches(filter, event_type))
        && filters.iter().all(|filter| property_matches(filter, properties))
}

fn type_matches(filter: &EventTypeFilter, event_type: &str) -> bool {
    let lists = |values: &Vec<String>| values.iter().any(|value| value == event_type);
    filter.in_values.as_ref().is_none_or(lists) && !filter.not_in_values.as_ref().is_some_and(lists)
}

fn property_matches(filter: &PropertyFilter, properties: &Properties<'_>) -> bool {
    let value = properties.get(&filter.name).and_then(PropertyValue::into_text);
    let lists = |values: &Vec<String>| {
        value.as_ref().is_some_and(|value| values.iter().any(|listed| listed == value))
    };
    filter.exists.is_none_or(|exists| exists == value.is_some())
        && filter.in_values.as_ref().is_none_or(lists)
        && !filter.not_in_values.as_ref().is_some_and(lists)
}

/// The identity of a tuple of group values of one metric.
#[must_use]
pub fn group_id(environment_id: EnvironmentId, metric_id: BillableMetricId, values: &[String]) -> GroupId {
    let mut parts: Vec<&[u8]> = vec![b"group", environment_id.0.as_bytes(), metric_id.0.as_bytes()];
    parts.extend(values.iter().map(String::as_bytes));
    GroupId(digest(&parts))
}

/// The hour that an instant falls into.
#[must_use]
pub fn hour_of(instant: Instant) -> Instant {
    let second = instant.timestamp();
    DateTime::from_timestamp(second - second.rem_euclid(3600), 0)
        .expect("instants are between the years 1970 and 9999")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::event::parse_properties;

    fn filter(name: &str) -> PropertyFilter {
        PropertyFilter { name: name.to_owned(), exists: None, in_values: None, not_in_values: None }
    }

    fn list(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    fn counting(property_filters: Vec<PropertyFilter>) -> Definition {
        Definition {
            aggregation_type: AggregationType::Count,
            aggregation_key: None,
            event_type_filter: Some(EventTypeFilter {
                in_values: Some(list(&["call"])),
                not_in_values: None,
            }),
            property_filters: Some(property_filters),
            group_keys: None,
        }
    }

    fn read(properties: &Value) -> Properties<'static> {
        parse_properties(properties.to_string().leak()).expect("properties")
    }

    fn passes(definition: &Definition, properties: &Value) -> bool {
        contribution(definition, "call", &read(properties)).is_some()
    }

    #[test]
    fn metering_d_filters() {
        let definition = counting(vec![
            PropertyFilter { exists: Some(true), in_values: Some(list(&["eu", "us"])), ..filter("region") },
            PropertyFilter { not_in_values: Some(list(&["500"])), ..filter("status") },
            PropertyFilter { exists: Some(false), ..filter("internal") },
        ]);
        let cases = [
            (json!({"region": "eu", "status": 200}), true),
            (json!({"region": "us"}), true),
            (json!({"region": "eu", "internal": null}), true),
            (json!({"region": "EU"}), false),
            (json!({"region": "us "}), false),
            (json!({"region": "us", "status": "500"}), false),
            (json!({"region": "us", "internal": "false"}), false),
        ];
        for (properties, expected) in &cases {
            assert_eq!(passes(&definition, properties), *expected, "{properties}");
        }
        assert_eq!(cases.iter().filter(|(properties, _)| passes(&definition, properties)).count(), 3);
        assert_eq!(contribution(&definition, "Call", &read(&json!({"region": "eu"}))), None);
    }

    proptest! {
        #[test]
        fn a_number_is_read_to_its_last_digit(text in "-?(0|[1-9][0-9]{0,20})([.][0-9]{0,20}[1-9])?") {
            let expected: Decimal = text.parse().expect("a number");
            prop_assert_eq!(decimal(&text).as_bigint_and_exponent(), expected.as_bigint_and_exponent());
        }
    }

    #[test]
    fn group_values_come_in_the_order_of_their_names() {
        let exists = |name| PropertyFilter { exists: Some(true), ..filter(name) };
        let mut definition = counting(vec![exists("zone"), exists("model")]);
        definition.group_keys = Some(vec![vec!["zone".to_owned()], vec!["model".to_owned()]]);
        let properties = json!({"zone": 2.50, "model": "m"});
        let contribution = contribution(&definition, "call", &read(&properties)).expect("matches");
        assert_eq!(definition.group_names(), ["model", "zone"]);
        assert_eq!(contribution.group_values, ["m", "2.5"]);
    }
}
