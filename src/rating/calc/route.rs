//! Which of its customer's usage a contract bills.

use std::collections::{BTreeMap, BTreeSet};

use super::cut::Cuts;
use crate::catalog::usage_filter::UsageFilters;
use crate::id::BillableMetricId;
use crate::rating::terms::{Terms, Usage};

/// The place of a property among the groups of a metric, and the values that pass.
type Asked<'a> = (Option<usize>, BTreeSet<&'a String>);

/// The usage that the filters in force at its time let pass; no segment of `cuts` is under two filters. Where a metric
/// does not know the property, none of its usage passes. What queries count is of the events that pass already.
#[must_use]
pub fn route(terms: &Terms, mut usage: Usage, filters: &UsageFilters, cuts: &Cuts) -> Usage {
    if filters.is_empty() {
        return usage;
    }
    // Of each metric and segment, what the filter in force asks for.
    let mut in_force: BTreeMap<BillableMetricId, Vec<Option<Asked<'_>>>> = BTreeMap::new();
    for metric_id in cuts.metric_ids() {
        let names =
            terms.metrics.get(&metric_id).map(|metric| metric.group_names.as_slice()).unwrap_or_default();
        let filter_at = |cut| {
            let filter = filters.at(cut)?;
            let place = names.iter().position(|name| *name == filter.group_key);
            Some((place, filter.group_values.iter().collect()))
        };
        in_force.insert(metric_id, cuts.starts(metric_id).iter().map(|cut| filter_at(*cut)).collect());
    }
    usage.pieces.retain(|piece| match &in_force[&piece.metric_id][piece.segment] {
        None => true,
        Some((place, values)) => place.is_some_and(|place| values.contains(&piece.group_values[place])),
    });
    usage
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::catalog::billable_metric::AggregationType;
    use crate::catalog::usage_filter::UsageFilter;
    use crate::money::{CreditType, Decimal, zero};
    use crate::rating::terms::{MetricCounting, MetricTerms, Newest};
    use crate::time::{Instant, Period};
    use crate::usage::Piece;
    use crate::usage::calc::Tally;

    const END: i64 = 24;
    const PROJECTS: [&str; 4] = ["a", "b", "c", "d"];
    const CONTRACTS: usize = 3;

    /// When, of which project, how much.
    type Event = (i64, usize, i64);

    fn hour(number: i64) -> Instant {
        DateTime::UNIX_EPOCH + TimeDelta::hours(number)
    }

    fn day() -> Period {
        Period { start: hour(0), end: hour(END) }
    }

    fn metric() -> BillableMetricId {
        BillableMetricId(Uuid::from_u128(1))
    }

    fn terms() -> Terms {
        let names = ["model", "project"].map(str::to_owned).to_vec();
        let metric_terms =
            MetricTerms { counting: MetricCounting::Streaming(AggregationType::Sum), group_names: names };
        Terms {
            unit: CreditType::usd(),
            conversions: Vec::new(),
            products: Vec::new(),
            metrics: [(metric(), metric_terms)].into(),
            newest: Newest::default(),
        }
    }

    fn usage(events: &[Event], cuts: &Cuts) -> Usage {
        let piece = |(at, project, n): &Event| Piece {
            metric_id: metric(),
            group_values: Arc::new(vec!["m".to_owned(), PROJECTS[*project].to_owned()]),
            segment: cuts.number_at(metric(), hour(*at)).expect("in the day"),
            tally: Tally { event_count: 1, total: Some(Decimal::from(*n)), ..Tally::default() },
        };
        Usage { pieces: events.iter().map(piece).collect(), increments: Vec::new() }
    }

    fn filter(added: i64, key: &str, values: &[&str], starting_at: i64) -> UsageFilter {
        UsageFilter {
            added,
            group_key: key.to_owned(),
            group_values: values.iter().map(|value| (*value).to_owned()).collect(),
            starting_at: hour(starting_at),
            is_initial: false,
            set_at: hour(0),
        }
    }

    fn billed(events: &[Event], filters: &UsageFilters) -> Decimal {
        let starts = filters.entries().iter().map(|filter| filter.starting_at);
        let cuts = Cuts::whole(day(), [metric()]).also_at(starts);
        let routed = route(&terms(), usage(events, &cuts), filters, &cuts);
        routed.pieces.iter().filter_map(|piece| piece.tally.total.as_ref()).sum()
    }

    /// The same by each event on its own.
    fn billed_by_event(events: &[Event], filters: &UsageFilters) -> Decimal {
        let counts = |(at, project, _): &&Event| {
            let text_of = |key: &str| match key {
                "model" => Some("m".to_owned()),
                "project" => Some(PROJECTS[*project].to_owned()),
                _ => None,
            };
            filters.routes(hour(*at), text_of)
        };
        events.iter().filter(counts).map(|(_, _, n)| Decimal::from(*n)).sum()
    }

    #[test]
    fn before_the_first_filter_all_counts_and_by_an_unknown_property_nothing() {
        let events = [(0, 0, 1), (4, 1, 20), (5, 0, 300), (5, 1, 4000), (9, 0, 50_000)];
        let billed = |filters: &[UsageFilter]| {
            let filters = UsageFilters::new(filters.to_vec());
            let by_hour = billed(&events, &filters);
            assert_eq!(by_hour, billed_by_event(&events, &filters));
            by_hour
        };
        assert_eq!(billed(&[]), Decimal::from(54_321_i64));
        assert_eq!(billed(&[filter(1, "project", &["b"], 5)]), Decimal::from(4021_i64));
        assert_eq!(billed(&[filter(1, "zone", &["b"], 5)]), Decimal::from(21_i64));
        assert_eq!(billed(&[filter(1, "model", &["m"], -9)]), Decimal::from(54_321_i64));
    }

    fn any_deals() -> impl Strategy<Value = Vec<(i64, [usize; PROJECTS.len()])>> {
        prop::collection::vec((-3..END + 3, prop::array::uniform4(0..CONTRACTS)), 0..6)
    }

    proptest! {
        #[test]
        fn contracts_that_share_out_all_values_bill_all_usage_once(
            deals in any_deals(), first in prop::array::uniform4(0..CONTRACTS),
            events in prop::collection::vec((0..END, 0..PROJECTS.len(), -50_i64..50), 0..20),
        ) {
            let mut deals = deals;
            deals.insert(0, (-9, first));
            let of_contract = |contract: usize| -> Decimal {
                let filters = deals.iter().zip(1..).map(|((start, owners), added)| {
                    let own = PROJECTS.iter().zip(owners).filter(|(_, owner)| **owner == contract);
                    let values: Vec<&str> = own.map(|(project, _)| *project).chain(["nothing"]).collect();
                    filter(added, "project", &values, *start)
                });
                let filters = UsageFilters::new(filters.collect());
                let by_hour = billed(&events, &filters);
                assert_eq!(by_hour, billed_by_event(&events, &filters), "contract {contract}");
                by_hour
            };
            let expected: Decimal = events.iter().map(|(_, _, n)| Decimal::from(*n)).sum();
            prop_assert_eq!((0..CONTRACTS).map(of_contract).fold(zero(), |sum, own| sum + own), expected);
        }
    }
}
