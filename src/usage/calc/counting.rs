//! What facts add up to, hour by hour.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDate;
use hashbrown::{Equivalent, HashMap};

use super::contribution::{Contribution, contribution, group_id, hour_of};
use super::tally::{Latest, Tally};
use crate::catalog::billable_metric::{AggregationType, BillableMetricRow, Definition, Reflow};
use crate::event::{Fact, Properties, first_seq_after, parse_properties};
use crate::id::{BillableMetricId, EnvironmentId, GroupId, SubjectId};
use crate::time::Instant;

/// The usage of one subject by one metric in one hour under one tuple of group values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour {
    pub subject_id: SubjectId,
    pub metric_id: BillableMetricId,
    pub hour: Instant,
    pub group_id: GroupId,
}

/// What facts add to the rollups.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub hours: HashMap<Hour, Tally>,
    /// The groups that were seen, by their values in the order of the metric's group names.
    pub groups: BTreeMap<BillableMetricId, HashMap<Vec<String>, GroupId>>,
    /// How many more events no metric counts, by whom they name and by the day of their timestamp, and by their type; less
    /// than none where a metric counts from now on what none did.
    pub unmetered: BTreeMap<(SubjectId, NaiveDate), HashMap<String, i64>>,
}

impl Counts {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hours.is_empty() && self.unmetered.is_empty()
    }

    /// How many rows they change: hours, distinct values in them, and types that no metric counts.
    #[must_use]
    pub fn rows(&self) -> usize {
        let uniques: usize = self.hours.values().map(|tally| tally.uniques.len()).sum();
        let types: usize = self.unmetered.values().map(HashMap::len).sum();
        self.hours.len() + uniques + types
    }

    /// With what other facts of the environment add.
    pub fn merge(&mut self, other: Self) {
        for (hour, tally) in other.hours {
            self.hours.entry(hour).or_default().merge(&tally);
        }
        for (metric_id, groups) in other.groups {
            self.groups.entry(metric_id).or_default().extend(groups);
        }
        for (day, types) in other.unmetered {
            let kept = self.unmetered.entry(day).or_default();
            for (event_type, count) in types {
                *kept.entry(event_type).or_default() += count;
            }
        }
    }

    /// Notes that no metric counts a fact, or, with -1, that one does from now on.
    pub fn add_unmetered(&mut self, subject_id: SubjectId, fact: &Fact<'_>, count: i64) {
        let types = self.unmetered.entry((subject_id, fact.timestamp.date_naive())).or_default();
        *types.entry_ref(fact.event_type).or_default() += count;
    }

    /// The values of a metric's group in the order of its group names, if it was seen.
    #[must_use]
    pub fn values_of_group(&self, metric_id: BillableMetricId, group_id: GroupId) -> Option<&Vec<String>> {
        let mut groups = self.groups.get(&metric_id)?.iter();
        groups.find(|(_, id)| **id == group_id).map(|(values, _)| values)
    }
}

/// The values of every group that was seen, by metric and id.
#[must_use]
pub fn groups_by_id(counts: &Counts) -> HashMap<(BillableMetricId, GroupId), &[String]> {
    let groups = counts.groups.iter().flat_map(|(metric_id, groups)| {
        groups.iter().map(|(values, id)| ((*metric_id, *id), values.as_slice()))
    });
    groups.collect()
}

/// Values of a group as they stand in an event, to look the group up by.
#[derive(Hash)]
struct Values<'a>(&'a [Cow<'a, str>]);

impl Equivalent<Vec<String>> for Values<'_> {
    fn equivalent(&self, values: &Vec<String>) -> bool {
        self.0 == values.as_slice()
    }
}

/// The metrics of an environment, and which facts each of them counts.
pub struct Counter {
    environment_id: EnvironmentId,
    meters: Vec<Meter>,
}

/// Which facts a metric takes, by when they came; all by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Intake {
    /// The first order of arrival that counts.
    from_seq: Option<i64>,
    /// The first that does not count any more.
    before_seq: Option<i64>,
    /// What came before the first order counts from this timestamp on.
    reflowed_from: Option<Instant>,
}

impl Intake {
    #[must_use]
    pub fn of(metric: &BillableMetricRow, is_used: bool, reflows: &[Reflow]) -> Self {
        let own = reflows.iter().filter(|reflow| reflow.metric_id == metric.id);
        Self {
            from_seq: Some(first_seq_after(metric.created_arrival)),
            before_seq: metric.archived_arrival.filter(|_| !is_used).map(first_seq_after),
            reflowed_from: own.map(|reflow| reflow.starting_at).min(),
        }
    }

    #[must_use]
    pub fn takes(&self, fact: &Fact<'_>) -> bool {
        let is_reflowed = || self.reflowed_from.is_some_and(|from| fact.timestamp >= from);
        (self.from_seq.is_none_or(|from| fact.seq >= from) || is_reflowed())
            && self.before_seq.is_none_or(|before| fact.seq < before)
    }
}

/// A metric that counts the facts that arrived while it took events.
struct Meter {
    metric_id: BillableMetricId,
    definition: Definition,
    intake: Intake,
    /// Of events of any type when unset.
    event_types: Option<HashSet<String>>,
}

impl Counter {
    /// `metrics` are all of the environment, each with whether a product uses it in any of its states. A metric counts
    /// what arrives after its creation; an archived one goes on while a product uses it; each of the reflows lets one
    /// count what came before it.
    #[must_use]
    pub fn new(
        environment_id: EnvironmentId,
        metrics: Vec<(BillableMetricRow, bool)>,
        reflows: &[Reflow],
    ) -> Self {
        let meter = |(metric, is_used): (BillableMetricRow, bool)| Meter {
            intake: Intake::of(&metric, is_used, reflows),
            ..Meter::of_all_events(metric)
        };
        Self { environment_id, meters: metrics.into_iter().map(meter).collect() }
    }

    /// One metric, and every fact whenever it came.
    #[must_use]
    pub fn of_all_events(environment_id: EnvironmentId, metric: BillableMetricRow) -> Self {
        Self { environment_id, meters: vec![Meter::of_all_events(metric)] }
    }

    /// Whether any of the metrics counts the fact.
    pub fn takes(&self, fact: &Fact<'_>) -> Result<bool, serde_json::Error> {
        let mut meters = self.meters.iter().filter(|meter| meter.may_count(fact)).peekable();
        if meters.peek().is_none() {
            return Ok(false);
        }
        let read = parse_properties(fact.properties_json)?;
        Ok(meters.any(|meter| contribution(&meter.definition, fact.event_type, &read).is_some()))
    }

    /// Adds what the fact counts for; false where that is nothing.
    pub fn count(
        &self,
        subject_id: SubjectId,
        fact: &Fact<'_>,
        counts: &mut Counts,
    ) -> Result<bool, serde_json::Error> {
        let mut is_counted = false;
        let mut properties: Option<Properties<'_>> = None;
        for meter in self.meters.iter().filter(|meter| meter.may_count(fact)) {
            if properties.is_none() {
                properties = Some(parse_properties(fact.properties_json)?);
            }
            let read = properties.as_ref().expect("just read");
            if let Some(contribution) = contribution(&meter.definition, fact.event_type, read) {
                self.add(meter, subject_id, fact, contribution, counts);
                is_counted = true;
            }
        }
        Ok(is_counted)
    }

    fn add(
        &self,
        meter: &Meter,
        subject_id: SubjectId,
        fact: &Fact<'_>,
        contribution: Contribution<'_>,
        counts: &mut Counts,
    ) {
        let metric_id = meter.metric_id;
        let groups = counts.groups.entry(metric_id).or_default();
        let group_id = match groups.get(&Values(&contribution.group_values)) {
            Some(known) => *known,
            None => {
                let values: Vec<String> =
                    contribution.group_values.into_iter().map(Cow::into_owned).collect();
                let new = group_id(self.environment_id, metric_id, &values);
                groups.insert(values, new);
                new
            }
        };
        let hour = Hour { subject_id, metric_id, hour: hour_of(fact.timestamp), group_id };
        let tally = counts.hours.entry(hour).or_default();
        tally.event_count += 1;
        tally.uniques.extend(contribution.value_digest);
        let Some(number) = contribution.number else { return };
        match meter.definition.aggregation_type {
            AggregationType::Sum => tally.add(number),
            AggregationType::Max => tally.greatest = tally.greatest.take().max(Some(number)),
            AggregationType::Latest => {
                let latest = Latest { happened_at: fact.timestamp, seq: fact.seq, value: number };
                tally.latest = tally.latest.take().max(Some(Box::new(latest)));
            }
            AggregationType::Count | AggregationType::Unique => {}
        }
    }
}

impl Meter {
    fn of_all_events(metric: BillableMetricRow) -> Self {
        let types = metric.definition.event_type_filter.as_ref();
        let types = types.and_then(|filter| filter.in_values.clone());
        Self {
            metric_id: metric.id,
            intake: Intake::default(),
            event_types: types.map(HashSet::from_iter),
            definition: metric.definition,
        }
    }

    /// A first look, without the properties.
    fn may_count(&self, fact: &Fact<'_>) -> bool {
        self.intake.takes(fact)
            && self.event_types.as_ref().is_none_or(|types| types.contains(fact.event_type))
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::catalog::billable_metric::{EventTypeFilter, PropertyFilter};

    const ENVIRONMENT: EnvironmentId = EnvironmentId(Uuid::from_u128(1));

    /// A metric of each aggregation over events of type `use` that have a `zone`, which it groups by.
    fn counter() -> Counter {
        let aggregations = [
            AggregationType::Count,
            AggregationType::Sum,
            AggregationType::Max,
            AggregationType::Unique,
            AggregationType::Latest,
        ];
        let metric = |(place, aggregation_type)| {
            let zone = PropertyFilter {
                name: "zone".to_owned(),
                exists: Some(true),
                in_values: None,
                not_in_values: None,
            };
            let definition = Definition {
                aggregation_type,
                aggregation_key: Some("n".to_owned()).filter(|_| aggregation_type != AggregationType::Count),
                event_type_filter: Some(EventTypeFilter {
                    in_values: Some(vec!["use".to_owned()]),
                    not_in_values: None,
                }),
                property_filters: Some(vec![zone]),
                group_keys: Some(vec![vec!["zone".to_owned()]]),
            };
            let row = BillableMetricRow {
                id: BillableMetricId(Uuid::from_u128(place)),
                name: String::new(),
                definition,
                created_at: DateTime::UNIX_EPOCH,
                created_arrival: 0,
                archived_at: None,
                archived_arrival: None,
            };
            (row, true)
        };
        Counter::new(ENVIRONMENT, (2..).zip(aggregations).map(metric).collect(), &[])
    }

    proptest! {
        #[test]
        fn what_is_counted_side_by_side_merges_to_the_whole(
            events in prop::collection::vec((0_u128..3, 0_i64..100, "(use|idle)", "[ab]?", -9_i64..9, any::<bool>()), 0..30),
        ) {
            let counter = counter();
            let (mut whole, mut parts) = (Counts::default(), [Counts::default(), Counts::default()]);
            for (place, (subject, minutes, event_type, zone, n, is_first)) in events.iter().enumerate() {
                let zone = if zone.is_empty() { "null".to_owned() } else { format!("\"{zone}\"") };
                let fact = Fact {
                    transaction_id: "",
                    customer_id: "",
                    event_type,
                    timestamp: DateTime::UNIX_EPOCH + TimeDelta::hours(22) + TimeDelta::minutes(*minutes),
                    received_at: DateTime::UNIX_EPOCH,
                    seq: first_seq_after(0) + i64::try_from(place).expect("few"),
                    properties_json: &format!("{{\"zone\":{zone},\"n\":{n}}}"),
                    is_duplicate: false,
                };
                for counts in [&mut whole, &mut parts[usize::from(*is_first)]] {
                    let subject_id = SubjectId(Uuid::from_u128(*subject));
                    if !counter.count(subject_id, &fact, counts).expect("properties") {
                        counts.add_unmetered(subject_id, &fact, 1);
                    }
                }
            }
            let [mut merged, other] = parts;
            merged.merge(other);
            prop_assert_eq!(merged.rows(), whole.rows());
            prop_assert_eq!(merged.hours, whole.hours);
            prop_assert_eq!(merged.groups, whole.groups);
            prop_assert_eq!(merged.unmetered, whole.unmetered);
        }
    }
}
