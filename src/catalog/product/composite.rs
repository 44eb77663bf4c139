//! What composite products are made of. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::calc::Timeline;
use super::state::ProductType;
use crate::id::ProductId;
use crate::time::{Instant, shown};

/// The composite products of an environment, by id.
pub type Composites = BTreeMap<ProductId, Timeline>;

/// A product that a composite names.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    pub product_type: ProductType,
    pub is_archived: bool,
}

/// Composites that are shared in by one another: from the first to the last, which shares in the first again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    pub members: Vec<ProductId>,
    /// Since when; unset: since ever.
    pub since: Option<Instant>,
}

/// The first circle, in time, that a composite is in from an instant on, where unset is the beginning of time. All
/// others are free of circles without it, as each was looked at when it was made or changed.
#[must_use]
pub fn circle_through(composites: &Composites, id: ProductId, from: Option<Instant>) -> Option<Circle> {
    let starts = composites.values().flat_map(Timeline::starts).filter(|start| Some(*start) > from);
    let mut instants: Vec<Option<Instant>> = starts.map(Some).chain([from]).collect();
    instants.sort_unstable();
    instants.dedup();
    instants.into_iter().find_map(|since| {
        let at = since.unwrap_or(Instant::MIN_UTC);
        circle_at(composites, id, at).map(|members| Circle { members, since })
    })
}

/// A way over members from a composite back to itself.
fn circle_at(composites: &Composites, id: ProductId, at: Instant) -> Option<Vec<ProductId>> {
    // From where each composite was reached first.
    let mut reached_from: BTreeMap<ProductId, ProductId> = BTreeMap::new();
    let mut to_visit = vec![id];
    while let Some(visited) = to_visit.pop() {
        for member in composite_members(composites, visited, at) {
            if member == id {
                let mut way = vec![visited];
                while let Some(before) = way.last().filter(|last| **last != id).map(|last| reached_from[last])
                {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if let Entry::Vacant(place) = reached_from.entry(member) {
                place.insert(visited);
                to_visit.push(member);
            }
        }
    }
    None
}

/// The composites among the members of a composite.
fn composite_members(composites: &Composites, id: ProductId, at: Instant) -> Vec<ProductId> {
    let Some(timeline) = composites.get(&id) else { return Vec::new() };
    let state = timeline.at(at);
    let members = composites
        .iter()
        .filter(|(other_id, other)| state.has_member(**other_id, ProductType::Composite, other.at(at)));
    members.map(|(member, _)| *member).collect()
}

/// What is wrong with the products that a composite names in the states in force from an instant on (unset: since
/// ever), as `field: reason`. `named` are the products that exist of those. One that is archived is right where the composite
/// named it already, which `before` says: what it costs is shared in as long as it is billed (our decision).
#[must_use]
pub fn member_problems(
    states: &Timeline,
    from: Option<Instant>,
    before: &[ProductId],
    named: &BTreeMap<ProductId, Named>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for version in states.during(from.unwrap_or(Instant::MIN_UTC), None) {
        for (index, id) in version.state.member_ids().iter().enumerate() {
            let reason = match named.get(id) {
                None => format!("there is no product {id}"),
                Some(product) if product.is_archived && !before.contains(id) => {
                    format!("product {id} is archived")
                }
                Some(product) => match product.product_type {
                    ProductType::Usage => continue,
                    ProductType::Composite if version.state.include_composite_spend == Some(true) => continue,
                    ProductType::Composite => {
                        format!("product {id} is COMPOSITE, which needs include_composite_spend")
                    }
                    other => {
                        format!("product {id} is {}, and a composite shares in usage alone", other.as_str())
                    }
                },
            };
            let when = match version.starting_at.filter(|start| Some(*start) > from) {
                Some(later) => format!(" from {} on, where another update starts", shown(later)),
                None => String::new(),
            };
            problems.push(format!("composite_product_ids[{index}]: {reason}{when}"));
        }
        if !problems.is_empty() {
            return problems;
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::catalog::product::{CompositeScope, ProductChanges, ProductState};
    use crate::wire::Nullable;

    fn day(number: i64) -> Instant {
        DateTime::UNIX_EPOCH + TimeDelta::days(number)
    }

    fn id(number: usize) -> ProductId {
        ProductId(Uuid::from_u128(number as u128))
    }

    /// A composite of other composites.
    fn state(members: &[usize], member_tags: &[&str], tags: &[&str]) -> ProductState {
        let texts = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());
        ProductState {
            name: "composite".to_owned(),
            billable_metric_id: None,
            pricing_group_key: None,
            presentation_group_key: None,
            quantity_conversion: Nullable::Absent,
            quantity_rounding: Nullable::Absent,
            tags: texts(tags),
            is_refundable: true,
            netsuite_internal_item_id: None,
            netsuite_overage_item_id: None,
            sql_breakdown_granularity: None,
            composite_product_ids: Some(members.iter().map(|member| id(*member)).collect()),
            composite_tags: texts(member_tags),
            composite_scope: Some(CompositeScope::Contract),
            exclude_free_usage: None,
            include_composite_spend: Some(true),
        }
    }

    fn members_from(start: i64, members: &[usize]) -> (Instant, ProductChanges) {
        let members = Some(members.iter().map(|member| id(*member)).collect());
        (day(start), ProductChanges { composite_product_ids: members, ..ProductChanges::default() })
    }

    /// A state, and changes of it.
    type History = (ProductState, Vec<(Instant, ProductChanges)>);

    fn composites(of: &[History]) -> Composites {
        let timeline = |(number, (initial, updates)): (usize, &History)| {
            let updates = updates.iter().map(|(start, changes)| (*start, changes));
            (id(number), Timeline::new(initial.clone(), updates))
        };
        of.iter().enumerate().map(timeline).collect()
    }

    #[test]
    fn a_circle_is_found_by_ids_by_tags_and_through_itself() {
        let chain = composites(&[
            (state(&[1], &[], &[]), vec![]),
            (state(&[2], &[], &[]), vec![]),
            (state(&[], &["top"], &[]), vec![]),
        ]);
        assert_eq!((0..3).find_map(|number| circle_through(&chain, id(number), None)), None);
        let mut closed = chain.clone();
        closed.insert(id(0), Timeline::new(state(&[1], &[], &["top"]), []));
        let circle = circle_through(&closed, id(0), None).expect("a circle");
        assert_eq!((circle.members, circle.since), (vec![id(0), id(1), id(2)], None));
        let own = composites(&[(state(&[], &["ai"], &["ai"]), vec![])]);
        assert_eq!(circle_through(&own, id(0), None).map(|circle| circle.members), Some(vec![id(0)]));
        let mut usage_alone = state(&[0], &["ai"], &["ai"]);
        usage_alone.include_composite_spend = None;
        assert_eq!(circle_through(&composites(&[(usage_alone, vec![])]), id(0), None), None);
    }

    #[test]
    fn a_circle_of_a_later_time_is_found_too() {
        let later = composites(&[
            (state(&[1], &[], &[]), vec![members_from(5, &[])]),
            (state(&[], &[], &[]), vec![members_from(3, &[0])]),
        ]);
        let circle = circle_through(&later, id(1), Some(day(1))).expect("a circle");
        assert_eq!((circle.members, circle.since), (vec![id(1), id(0)], Some(day(3))));
        assert_eq!(circle_through(&later, id(1), Some(day(5))), None, "it is over by then");
    }

    proptest! {
        /// Against taking away, again and again, what has no members.
        #[test]
        fn a_circle_is_found_where_what_remains_is_one(
            edges in prop::collection::vec((0_usize..6, 0_usize..6), 0..9), from in 0_usize..6,
        ) {
            let of = |number: usize| -> Vec<usize> {
                edges.iter().filter(|(composite, _)| *composite == number).map(|(_, member)| *member).collect()
            };
            let graph = composites(&(0..6).map(|number| (state(&of(number), &[], &[]), vec![])).collect::<Vec<_>>());
            let found = circle_through(&graph, id(from), None);
            // Whatever can be reached from `from`, one step or more away.
            let mut reached: Vec<usize> = of(from);
            for _ in 0..6 {
                reached = reached.iter().flat_map(|number| of(*number)).chain(reached.clone()).collect();
                reached.sort_unstable();
                reached.dedup();
            }
            prop_assert_eq!(found.is_some(), reached.contains(&from));
            if let Some(Circle { members, .. }) = found {
                prop_assert_eq!(members[0], id(from));
                let next = members.iter().skip(1).chain([&members[0]]);
                for (composite, member) in members.iter().zip(next) {
                    prop_assert!(graph[composite].at(day(0)).member_ids().contains(member));
                }
            }
        }
    }
}
