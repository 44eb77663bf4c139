//! Which of its customer's usage a contract bills.

use std::collections::BTreeSet;

use crate::catalog::usage_filter::UsageFilters;
use crate::rating::terms::{Terms, Usage};
use crate::time::{Instant, Period};

/// The cuts with every start of a filter inside the period, so that each segment is under one filter.
#[must_use]
pub fn filtered_cuts(mut cuts: Vec<Instant>, filters: &UsageFilters, period: Period) -> Vec<Instant> {
    let starts = filters.entries().iter().map(|filter| filter.starting_at);
    cuts.extend(starts.filter(|start| period.contains(*start)));
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// The usage that the filters in force at its time let pass. `cuts` are the segments' starts, none of which spans two
/// filters. Where a metric does not know the property, none of its usage passes. What queries count is of the events that
/// pass already.
#[must_use]
pub fn route(terms: &Terms, mut usage: Usage, filters: &UsageFilters, cuts: &[Instant]) -> Usage {
    if filters.is_empty() {
        return usage;
    }
    let in_force: Vec<Option<(&String, BTreeSet<&String>)>> = cuts
        .iter()
        .map(|cut| filters.at(*cut).map(|filter| (&filter.group_key, filter.group_values.iter().collect())))
        .collect();
    usage.pieces.retain(|piece| {
        let Some((key, values)) = &in_force[piece.segment] else { return true };
        let metric = terms.metrics.get(&piece.metric_id);
        let place = metric.and_then(|metric| metric.group_names.iter().position(|name| name == *key));
        place.is_some_and(|place| values.contains(&piece.group_values[place]))
    });
    usage
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::catalog::billable_metric::AggregationType;
    use crate::catalog::usage_filter::UsageFilter;
    use crate::id::BillableMetricId;
    use crate::money::{CreditType, Decimal, zero};
    use crate::rating::terms::{MetricCounting, MetricTerms, Newest};
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
            products: Vec::new(),
            metrics: [(metric(), metric_terms)].into(),
            newest: Newest::default(),
        }
    }

    fn usage(events: &[Event], cuts: &[Instant]) -> Usage {
        let piece = |(at, project, n): &Event| Piece {
            metric_id: metric(),
            group_values: vec!["m".to_owned(), PROJECTS[*project].to_owned()],
            segment: cuts.partition_point(|cut| *cut <= hour(*at)) - 1,
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
        let cuts = filtered_cuts(vec![hour(0)], filters, day());
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
