//! Which filter is in force when, what it lets pass, and what it asks of a product. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::billable_metric::{AggregationType, Counting};
use crate::catalog::product::Timeline;
use crate::id::BillableMetricId;
use crate::time::{Instant, shown};

/// One filter, in force from its start to the start of the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageFilter {
    /// The order of addition, over all contracts.
    pub added: i64,
    /// A property of events.
    pub group_key: String,
    /// Only events whose property is one of these count, compared as `in_values` of a metric are. Never empty.
    pub group_values: Vec<String>,
    /// On the hour.
    pub starting_at: Instant,
    /// Whether the contract was made with it.
    pub is_initial: bool,
    pub set_at: Instant,
}

impl UsageFilter {
    /// Whether an event with this value of the property counts; one that lacks the property never does.
    #[must_use]
    pub fn passes(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| self.group_values.iter().any(|listed| listed == value))
    }
}

/// All filters of one contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFilters {
    /// In the order of addition.
    entries: Vec<UsageFilter>,
}

/// The time of one filter in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterSegment<'a> {
    pub filter: &'a UsageFilter,
    pub start: Instant,
    /// Unset: without end.
    pub end: Option<Instant>,
}

impl UsageFilters {
    /// Of filters in the order of their addition.
    #[must_use]
    pub fn new(entries: Vec<UsageFilter>) -> Self {
        Self { entries }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// In the order of addition.
    #[must_use]
    pub fn entries(&self) -> &[UsageFilter] {
        &self.entries
    }

    /// The last one that was added.
    #[must_use]
    pub fn newest(&self) -> Option<i64> {
        self.entries.last().map(|filter| filter.added)
    }

    /// Without what was added after `newest`; without a newest one, none.
    #[must_use]
    pub fn up_to(&self, newest: Option<i64>) -> Self {
        self.only(|filter| Some(filter.added) <= newest)
    }

    /// What was known at an instant.
    #[must_use]
    pub fn as_of(&self, at: Instant) -> Self {
        self.only(|filter| filter.set_at <= at)
    }

    /// What the contract was made with.
    #[must_use]
    pub fn initial(&self) -> Self {
        self.only(|filter| filter.is_initial)
    }

    fn only(&self, keep: impl Fn(&UsageFilter) -> bool) -> Self {
        Self::new(self.entries.iter().filter(|filter| keep(filter)).cloned().collect())
    }

    /// The filter in force at an instant; none before the first: then all usage counts.
    #[must_use]
    pub fn at(&self, at: Instant) -> Option<&UsageFilter> {
        let begun = self.entries.iter().filter(|filter| filter.starting_at <= at);
        begun.max_by_key(|filter| (filter.starting_at, filter.added))
    }

    /// Whether an event counts, by its timestamp and by the texts of its properties: the question of whoever reads raw
    /// events, where `rating::calc::route` answers it for usage by hour and group.
    #[must_use]
    pub fn routes(&self, at: Instant, text_of: impl FnOnce(&str) -> Option<String>) -> bool {
        self.at(at).is_none_or(|filter| filter.passes(text_of(&filter.group_key).as_deref()))
    }

    /// The filters in force, one after the other, until an end; `None` is for ever.
    #[must_use]
    pub fn segments(&self, until: Option<Instant>) -> Vec<FilterSegment<'_>> {
        // Of equal starts the one that was added last remains.
        let by_start: BTreeMap<Instant, &UsageFilter> =
            self.entries.iter().map(|filter| (filter.starting_at, filter)).collect();
        let begins_in_time = |start: &Instant| until.is_none_or(|until| *start < until);
        let starts: Vec<Instant> = by_start.keys().copied().filter(begins_in_time).collect();
        let ends = starts.iter().skip(1).copied().map(Some).chain([until]);
        let segment = |(start, end): (&Instant, Option<Instant>)| FilterSegment {
            filter: by_start[start],
            start: *start,
            end,
        };
        starts.iter().zip(ends).map(segment).collect()
    }

    /// Why a product cannot be counted through the filters between `from` and `until`; nothing where it can. `metrics`
    /// are those of the product's states.
    #[must_use]
    pub fn contradiction(
        &self,
        from: Instant,
        until: Option<Instant>,
        states: &Timeline,
        metrics: &BTreeMap<BillableMetricId, Counting>,
    ) -> Option<String> {
        for FilterSegment { filter, start, end } in self.segments(until) {
            let start = start.max(from);
            if end.is_some_and(|end| end <= start) {
                continue;
            }
            for version in states.during(start, end) {
                let metric = version.state.billable_metric_id.and_then(|id| metrics.get(&id));
                let reason = metric.and_then(|metric| uncountable(metric, &filter.group_key));
                if let Some(reason) = reason {
                    let at = version.starting_at.map_or(start, |begins| begins.max(start));
                    return Some(format!("product `{}` at {} {reason}", version.state.name, shown(at)));
                }
            }
        }
        None
    }
}

/// Why usage of a metric cannot be told apart by a property; nothing where it can.
///
/// The published rule wants one compound key over the filter's property and the product's group keys. Usage is kept by
/// the tuple of all group values, so any declared key will do (our decision, as for products). A LATEST metric is
/// refused as the hosted product may fail to compute such an invoice. A query reads events, and any of their properties
/// tells them apart.
fn uncountable(metric: &Counting, group_key: &str) -> Option<String> {
    let Counting::Streaming(metric) = metric else { return None };
    if metric.aggregation_type == AggregationType::Latest {
        return Some(format!(
            "counts by a LATEST metric, which the usage filter by `{group_key}` cannot split"
        ));
    }
    let is_declared = metric.group_names().contains(&group_key);
    (!is_declared).then(|| format!("counts by a metric whose group keys lack `{group_key}`"))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;

    use super::*;

    fn hour(number: i64) -> Instant {
        DateTime::UNIX_EPOCH + TimeDelta::hours(number)
    }

    fn filter(added: i64, starting_at: i64, value: &str) -> UsageFilter {
        UsageFilter {
            added,
            group_key: "project".to_owned(),
            group_values: vec![value.to_owned()],
            starting_at: hour(starting_at),
            is_initial: added == 1,
            set_at: hour(added),
        }
    }

    fn shown_segments(filters: &UsageFilters, until: Option<i64>) -> Vec<(&str, i64, Option<i64>)> {
        let hours = |at: Instant| (at - DateTime::UNIX_EPOCH).num_hours();
        let segments = filters.segments(until.map(hour)).into_iter();
        segments
            .map(|segment| {
                (segment.filter.group_values[0].as_str(), hours(segment.start), segment.end.map(hours))
            })
            .collect()
    }

    #[test]
    fn each_filter_runs_to_the_next_start_and_the_last_to_the_end() {
        let filters = UsageFilters::new(vec![filter(1, 0, "a"), filter(2, 20, "b"), filter(3, 10, "c")]);
        assert_eq!(
            shown_segments(&filters, None),
            [("a", 0, Some(10)), ("c", 10, Some(20)), ("b", 20, None)]
        );
        assert_eq!(shown_segments(&filters, Some(15)), [("a", 0, Some(10)), ("c", 10, Some(15))]);
        assert_eq!(shown_segments(&filters, Some(0)), []);
    }

    #[test]
    fn of_one_start_the_one_added_last_is_in_force() {
        let filters = UsageFilters::new(vec![filter(1, 5, "a"), filter(2, 5, "b")]);
        assert_eq!(shown_segments(&filters, None), [("b", 5, None)]);
        assert_eq!(filters.at(hour(4)), None);
        assert_eq!(filters.at(hour(5)).map(|filter| filter.added), Some(2));
        assert_eq!(filters.up_to(Some(1)).at(hour(5)).map(|filter| filter.added), Some(1));
        assert!(filters.up_to(None).is_empty());
        assert_eq!(filters.as_of(hour(1)).newest(), Some(1));
        assert_eq!(filters.initial().newest(), Some(1));
    }

    #[test]
    fn values_are_compared_exactly_and_none_never_passes() {
        let filter = filter(1, 0, "p1");
        assert!(filter.passes(Some("p1")));
        for other in [None, Some("P1"), Some("p1 "), Some("")] {
            assert!(!filter.passes(other), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn segments_are_the_filter_in_force_at_each_hour(
            starts in prop::collection::vec(0_i64..12, 0..6), until in prop::option::of(0_i64..14),
        ) {
            let entries = starts.iter().zip(1..).map(|(start, added)| filter(added, *start, "v")).collect();
            let filters = UsageFilters::new(entries);
            let segments = filters.segments(until.map(hour));
            for at in 0..12 {
                let holds = |segment: &&FilterSegment<'_>| {
                    segment.start <= hour(at) && segment.end.is_none_or(|end| hour(at) < end)
                };
                let of_segment: Vec<i64> = segments.iter().filter(holds).map(|segment| segment.filter.added).collect();
                let in_time = until.is_none_or(|until| at < until);
                let expected: Vec<i64> =
                    filters.at(hour(at)).filter(|_| in_time).map(|filter| filter.added).into_iter().collect();
                prop_assert_eq!(of_segment, expected, "hour {}", at);
            }
        }
    }
}
