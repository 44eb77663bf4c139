//! Which state of a product is in force when. Pure.
//!
//! The state at an instant is the initial one overlaid, field by field, by every update that starts then or
//! earlier, in the order of their starts (our decision: the documentation says only that updates may lie in the
//! past or the future). So an update that was made later and starts earlier does not undo what starts after it.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{ProductChanges, ProductState, ProductType};
use crate::catalog::billable_metric::Counting;
use crate::id::{BillableMetricId, ProductId};
use crate::time::{Instant, shown};

/// A product's state from an instant until its next version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Unset on the first: in force from the beginning of time.
    pub starting_at: Option<Instant>,
    pub state: ProductState,
}

/// All states of a product over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// By start, each its own; never empty.
    versions: Vec<Version>,
}

impl Timeline {
    /// Of the updates in the order of their addition, in which those of one start come on top of one another.
    pub fn new<'a>(
        initial: ProductState,
        updates: impl IntoIterator<Item = (Instant, &'a ProductChanges)>,
    ) -> Self {
        let mut updates: Vec<_> = updates.into_iter().collect();
        updates.sort_by_key(|(starting_at, _)| *starting_at);
        let mut versions: Vec<Version> = Vec::with_capacity(updates.len() + 1);
        let mut last = Version { starting_at: None, state: initial };
        for (starting_at, changes) in updates {
            let state = last.state.clone().changed(changes);
            if last.starting_at != Some(starting_at) {
                versions.push(last);
            }
            last = Version { starting_at: Some(starting_at), state };
        }
        versions.push(last);
        Self { versions }
    }

    /// The version in force at an instant.
    #[must_use]
    pub fn version_at(&self, at: Instant) -> &Version {
        let count = self.versions.partition_point(|version| version.starting_at <= Some(at));
        &self.versions[count - 1]
    }

    /// The state in force at an instant.
    #[must_use]
    pub fn at(&self, at: Instant) -> &ProductState {
        &self.version_at(at).state
    }

    /// The state in force until an instant: at the last one before it.
    #[must_use]
    pub fn before(&self, end: Instant) -> &ProductState {
        let count = self.versions.partition_point(|version| version.starting_at < Some(end));
        &self.versions[count - 1].state
    }

    /// The versions that are in force at any time from `start` on and before `end`, where no end is forever.
    pub fn during(&self, start: Instant, end: Option<Instant>) -> impl Iterator<Item = &Version> {
        let first = self.versions.partition_point(|version| version.starting_at <= Some(start)) - 1;
        self.versions[first..]
            .iter()
            .take_while(move |version| end.is_none_or(|end| version.starting_at < Some(end)))
    }

    /// Where a new version comes into force, ascending.
    pub fn starts(&self) -> impl Iterator<Item = Instant> {
        self.versions.iter().filter_map(|version| version.starting_at)
    }

    /// The products that a composite names at any time.
    #[must_use]
    pub fn member_ids(&self) -> Vec<ProductId> {
        let ids: BTreeSet<ProductId> =
            self.versions.iter().flat_map(|version| version.state.member_ids()).copied().collect();
        ids.into_iter().collect()
    }

    /// Where the break-down of what queries count changes, ascending.
    pub fn breakdown_changes(&self) -> impl Iterator<Item = Instant> {
        let granularity = |version: &Version| version.state.sql_breakdown_granularity;
        let changes =
            self.versions.windows(2).filter(move |pair| granularity(&pair[0]) != granularity(&pair[1]));
        changes.filter_map(|pair| pair[1].starting_at)
    }

    /// Where quantities begin to be counted in another way, ascending.
    pub fn metering_changes(&self) -> impl Iterator<Item = Instant> {
        let changes = self.versions.windows(2).filter(|pair| !pair[0].state.meters_like(&pair[1].state));
        changes.filter_map(|pair| pair[1].starting_at)
    }

    /// Every metric that counts for the product at any time.
    #[must_use]
    pub fn metric_ids(&self) -> BTreeSet<BillableMetricId> {
        self.versions.iter().filter_map(|version| version.state.billable_metric_id).collect()
    }

    /// What is wrong with the states in force from an instant on, as `field: reason`: all that is wrong with
    /// the first bad one. `metrics` are those of [`Self::metric_ids`].
    #[must_use]
    pub fn problems_from(
        &self,
        start: Instant,
        product_type: ProductType,
        metrics: &BTreeMap<BillableMetricId, Counting>,
    ) -> Vec<String> {
        for version in self.during(start, None) {
            let metric = version.state.billable_metric_id.and_then(|id| metrics.get(&id));
            let group_names = metric.map(Counting::group_names).unwrap_or_default();
            let problems = version.state.problems(product_type, &group_names);
            if problems.is_empty() {
                continue;
            }
            return match version.starting_at.filter(|later| *later > start) {
                Some(later) => {
                    let when = format!("from {} on, where another update starts", shown(later));
                    problems.into_iter().map(|problem| format!("{problem} {when}")).collect()
                }
                None => problems,
            };
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::product::{ConversionOperation, QuantityConversion};
    use crate::money::{Decimal, InputNumber, QuantityRounding, RoundingMethod};
    use crate::wire::Nullable;

    fn day(number: i64) -> Instant {
        DateTime::UNIX_EPOCH + TimeDelta::days(number)
    }

    fn id(number: u128) -> BillableMetricId {
        BillableMetricId(uuid::Uuid::from_u128(number))
    }

    fn initial() -> ProductState {
        ProductState {
            name: "initial".to_owned(),
            billable_metric_id: Some(id(0)),
            pricing_group_key: None,
            presentation_group_key: None,
            quantity_conversion: Nullable::Absent,
            quantity_rounding: Nullable::Absent,
            tags: None,
            is_refundable: true,
            netsuite_internal_item_id: None,
            netsuite_overage_item_id: None,
            sql_breakdown_granularity: None,
            composite_product_ids: None,
            composite_tags: None,
            composite_scope: None,
            exclude_free_usage: None,
            include_composite_spend: None,
        }
    }

    fn named(name: &str) -> ProductChanges {
        ProductChanges { name: Some(name.to_owned()), ..ProductChanges::default() }
    }

    fn divide_by(factor: i64) -> Nullable<QuantityConversion> {
        Nullable::Value(QuantityConversion {
            name: None,
            conversion_factor: InputNumber(Decimal::from(factor)),
            operation: ConversionOperation::Divide,
        })
    }

    fn timeline(updates: &[(i64, ProductChanges)]) -> Timeline {
        Timeline::new(initial(), updates.iter().map(|(start, changes)| (day(*start), changes)))
    }

    #[test]
    fn an_update_made_later_that_starts_earlier_does_not_undo_a_later_start() {
        let timeline = timeline(&[(31, named("X")), (10, named("Y"))]);
        let names = [9, 10, 30, 31, 1000].map(|at| timeline.at(day(at)).name.as_str());
        assert_eq!(names, ["initial", "Y", "Y", "X", "X"]);
        assert_eq!(
            (timeline.before(day(31)).name.as_str(), timeline.before(day(32)).name.as_str()),
            ("Y", "X")
        );
    }

    #[test]
    fn fields_change_one_by_one_and_null_removes() {
        let conversion = ProductChanges { quantity_conversion: divide_by(60), ..named("b") };
        let tags = ProductChanges { tags: Some(vec!["t".to_owned()]), ..ProductChanges::default() };
        let cleared = ProductChanges { quantity_conversion: Nullable::Null, ..ProductChanges::default() };
        let timeline = timeline(&[(1, conversion), (2, tags), (3, cleared)]);
        assert_eq!(timeline.at(day(2)).quantity_conversion, divide_by(60));
        let last = timeline.at(day(3));
        assert_eq!((last.name.as_str(), last.tags.as_deref()), ("b", Some(&["t".to_owned()][..])));
        assert_eq!(last.quantity_conversion, Nullable::Null);
        assert_eq!(last.quantity_rounding, Nullable::Absent);
        assert_eq!(timeline.metering_changes().collect::<Vec<_>>(), [day(1), day(3)]);
    }

    #[test]
    fn of_one_start_the_one_added_later_comes_on_top() {
        let first = ProductChanges { is_refundable: Some(false), ..named("first") };
        let timeline = timeline(&[(5, first), (5, named("second"))]);
        let state = timeline.at(day(5));
        assert_eq!((state.name.as_str(), state.is_refundable), ("second", false));
        assert_eq!(timeline.during(day(0), None).count(), 2);
    }

    #[test]
    fn a_window_has_the_versions_that_touch_it() {
        let timeline = timeline(&[(10, named("a")), (20, named("b")), (30, named("c"))]);
        let names = |start, end: Option<i64>| -> Vec<&str> {
            let versions = timeline.during(day(start), end.map(day));
            versions.map(|version| version.state.name.as_str()).collect()
        };
        assert_eq!(names(0, None), ["initial", "a", "b", "c"]);
        assert_eq!(names(10, Some(20)), ["a"]);
        assert_eq!(names(10, Some(21)), ["a", "b"]);
        assert_eq!(names(40, None), ["c"]);
        assert_eq!(names(0, Some(10)), ["initial"]);
    }

    #[test]
    fn a_name_or_the_order_of_a_key_changes_no_quantity() {
        let key = |names: [&str; 2]| Some(names.map(str::to_owned).to_vec());
        let named_conversion = match divide_by(60) {
            Nullable::Value(conversion) => {
                Nullable::Value(QuantityConversion { name: Some("minutes".to_owned()), ..conversion })
            }
            other => other,
        };
        let timeline = timeline(&[
            (1, ProductChanges { pricing_group_key: key(["a", "b"]), ..named("b") }),
            (2, ProductChanges { pricing_group_key: key(["b", "a"]), tags: Some(Vec::new()), ..named("c") }),
            (3, ProductChanges { quantity_conversion: divide_by(60), ..ProductChanges::default() }),
            (4, ProductChanges { quantity_conversion: named_conversion, ..ProductChanges::default() }),
        ]);
        assert_eq!(timeline.metering_changes().collect::<Vec<_>>(), [day(1), day(3)]);
    }

    fn any_changes() -> impl Strategy<Value = ProductChanges> {
        let name = prop::option::of("[a-c]");
        let metric = prop::option::of(0_u128..3);
        let conversion =
            prop_oneof![Just(Nullable::Absent), Just(Nullable::Null), (1_i64..4).prop_map(divide_by)];
        let rounding = QuantityRounding { rounding_method: RoundingMethod::RoundUp, decimal_places: 1 };
        let rounding =
            prop_oneof![Just(Nullable::Absent), Just(Nullable::Null), Just(Nullable::Value(rounding))];
        let tags = prop::option::of(prop::collection::vec("[x-z]", 0..2));
        let refundable = prop::option::of(any::<bool>());
        (name, metric, conversion, rounding, tags, refundable).prop_map(
            |(name, metric, quantity_conversion, quantity_rounding, tags, is_refundable)| ProductChanges {
                name,
                billable_metric_id: metric.map(id),
                quantity_conversion,
                quantity_rounding,
                tags,
                is_refundable,
                ..ProductChanges::default()
            },
        )
    }

    /// The newest value of one field among the updates that have started, by start and then by addition.
    fn newest<T>(
        updates: &[(i64, ProductChanges)],
        at: i64,
        field: impl Fn(&ProductChanges) -> Option<T>,
    ) -> Option<T> {
        let started = updates.iter().enumerate().filter(|(_, (start, _))| *start <= at);
        let newest = started
            .filter_map(|(added, (start, changes))| Some(((*start, added), field(changes)?)))
            .max_by_key(|(order, _)| *order);
        newest.map(|(_, value)| value)
    }

    proptest! {
        #[test]
        fn every_field_has_its_newest_value(
            updates in prop::collection::vec((0_i64..10, any_changes()), 0..8), at in -1_i64..12,
        ) {
            let timeline = timeline(&updates);
            let (state, initial) = (timeline.at(day(at)), initial());
            let name = newest(&updates, at, |changes| changes.name.clone());
            prop_assert_eq!(&state.name, &name.unwrap_or(initial.name));
            let metric = newest(&updates, at, |changes| changes.billable_metric_id);
            prop_assert_eq!(state.billable_metric_id, metric.or(initial.billable_metric_id));
            let given = |field: &Nullable<QuantityConversion>| Some(field.clone()).filter(|field| !field.is_absent());
            let conversion = newest(&updates, at, |changes| given(&changes.quantity_conversion));
            prop_assert_eq!(&state.quantity_conversion, &conversion.unwrap_or_default());
            let given = |field: &Nullable<QuantityRounding>| Some(field.clone()).filter(|field| !field.is_absent());
            let rounding = newest(&updates, at, |changes| given(&changes.quantity_rounding));
            prop_assert_eq!(&state.quantity_rounding, &rounding.unwrap_or_default());
            prop_assert_eq!(&state.tags, &newest(&updates, at, |changes| changes.tags.clone()));
            let refundable = newest(&updates, at, |changes| changes.is_refundable);
            prop_assert_eq!(state.is_refundable, refundable.unwrap_or(true));
            prop_assert_eq!(timeline.before(day(at + 1)), state, "updates start on whole days");
        }

        #[test]
        fn metering_changes_only_where_it_says(
            updates in prop::collection::vec((0_i64..10, any_changes()), 0..8),
        ) {
            let timeline = timeline(&updates);
            let changes: Vec<Instant> = timeline.metering_changes().collect();
            for at in 0..10 {
                let changed = !timeline.at(day(at - 1)).meters_like(timeline.at(day(at)));
                prop_assert_eq!(changed, changes.contains(&day(at)), "day {}", at);
            }
            prop_assert!(changes.is_sorted());
        }
    }
}
