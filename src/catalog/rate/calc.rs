//! Which entry of a timeline is in force when. Pure.
//!
//! The effective entry at an instant is the most recently added one that contains it (our decision: the
//! documentation shows open-ended entries that replace one another and, in words, bounded promotional ones). So
//! an open-ended later entry takes over from its start, a bounded one is a layer after which the earlier one
//! resumes, and the same start again replaces.

use std::collections::BTreeMap;

use super::RateEntry;
use crate::time::Instant;

/// A stretch of time under one entry; no end is forever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    pub entry: &'a RateEntry,
    pub start: Instant,
    pub end: Option<Instant>,
}

impl Segment<'_> {
    /// Whether a part of it lies in `[start, end)`; no end is forever.
    #[must_use]
    pub fn meets(&self, start: Instant, end: Option<Instant>) -> bool {
        end.is_none_or(|end| self.start < end) && self.end.is_none_or(|own| start < own)
    }
}

/// The entry in force at `at`, of the entries of one timeline.
#[must_use]
pub fn effective_at<'a>(timeline: &[&'a RateEntry], at: Instant) -> Option<&'a RateEntry> {
    timeline.iter().copied().filter(|entry| entry.covers(at)).max_by_key(|entry| entry.added)
}

/// The instants at which the entry in force may change, ascending.
#[must_use]
pub fn boundaries(timeline: &[&RateEntry]) -> Vec<Instant> {
    let mut instants: Vec<Instant> =
        timeline.iter().flat_map(|entry| [Some(entry.starting_at), entry.ending_before]).flatten().collect();
    instants.sort_unstable();
    instants.dedup();
    instants
}

/// The timeline flattened: consecutive stretches, each under the entry in force, with gaps where there is none.
///
/// One walk over the boundaries, so that a timeline of thousands of entries is no slower than sorting it.
#[must_use]
pub fn segments<'a>(timeline: &[&'a RateEntry]) -> Vec<Segment<'a>> {
    if is_succession(timeline) {
        let ends = timeline.iter().skip(1).map(|next| Some(next.starting_at)).chain([None]);
        let segment = |(entry, end): (&&'a RateEntry, _)| Segment { entry, start: entry.starting_at, end };
        return timeline.iter().zip(ends).map(segment).collect();
    }
    let mut by_start = timeline.to_vec();
    by_start.sort_unstable_by_key(|entry| entry.starting_at);
    let mut to_come = by_start.into_iter().peekable();
    // What has begun, by the order of addition. What is over goes when it would be in force, not before.
    let mut begun: BTreeMap<i64, &RateEntry> = BTreeMap::new();
    let instants = boundaries(timeline);
    let mut segments: Vec<Segment<'a>> = Vec::new();
    for (index, &start) in instants.iter().enumerate() {
        while let Some(entry) = to_come.next_if(|entry| entry.starting_at <= start) {
            begun.insert(entry.added, entry);
        }
        while let Some(last) = begun.last_entry().filter(|last| !last.get().covers(start)) {
            last.remove();
        }
        let Some((_, entry)) = begun.last_key_value() else {
            continue;
        };
        let end = instants.get(index + 1).copied();
        match segments.last_mut() {
            Some(last) if last.entry.added == entry.added && last.end == Some(start) => last.end = end,
            _ => segments.push(Segment { entry, start, end }),
        }
    }
    segments
}

/// Whether each entry takes over from the one before it, for good, as most do.
fn is_succession(timeline: &[&RateEntry]) -> bool {
    let follows = |one: &RateEntry, next: &RateEntry| {
        one.added < next.added && one.starting_at < next.starting_at && one.ending_before.is_none()
    };
    timeline.last().is_some_and(|last| last.ending_before.is_none())
        && timeline.windows(2).all(|pair| follows(pair[0], pair[1]))
}

/// The segment that covers `at`.
#[must_use]
pub fn segment_at<'a>(timeline: &[&'a RateEntry], at: Instant) -> Option<Segment<'a>> {
    segments(timeline)
        .into_iter()
        .find(|segment| segment.start <= at && segment.end.is_none_or(|end| at < end))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::catalog::rate::{Price, TimelineKey};
    use crate::id::ProductId;
    use crate::money::{CreditType, Decimal};

    fn day(number: i64) -> Instant {
        DateTime::UNIX_EPOCH + TimeDelta::days(number)
    }

    fn entry(added: i64, start: i64, end: Option<i64>) -> RateEntry {
        RateEntry {
            added,
            key: TimelineKey {
                product_id: ProductId(Uuid::nil()),
                pricing_group_values: [].into(),
                billing_frequency: None,
            },
            starting_at: day(start),
            ending_before: end.map(day),
            entitled: true,
            price: Price::Flat(Decimal::from(added)),
            commit_rate: None,
            credit_type_id: CreditType::usd().id,
            created_at: day(0),
        }
    }

    /// `added:start..end` for every segment.
    fn flatten(entries: &[RateEntry]) -> Vec<String> {
        let timeline: Vec<&RateEntry> = entries.iter().collect();
        let number = |at: Instant| (at - day(0)).num_days();
        let text = |segment: Segment<'_>| {
            let end = segment.end.map_or_else(String::new, |end| number(end).to_string());
            format!("{}:{}..{end}", segment.entry.added, number(segment.start))
        };
        segments(&timeline).into_iter().map(text).collect()
    }

    #[test]
    fn a_later_open_entry_takes_over() {
        assert_eq!(flatten(&[entry(1, 0, None), entry(2, 10, None)]), ["1:0..10", "2:10.."]);
    }

    #[test]
    fn a_bounded_entry_is_a_layer() {
        assert_eq!(flatten(&[entry(1, 0, None), entry(2, 10, Some(20))]), ["1:0..10", "2:10..20", "1:20.."]);
    }

    #[test]
    fn the_same_start_again_replaces() {
        assert_eq!(flatten(&[entry(1, 5, None), entry(2, 5, None)]), ["2:5.."]);
    }

    #[test]
    fn an_earlier_open_entry_added_later_covers_a_scheduled_change() {
        assert_eq!(flatten(&[entry(1, 10, None), entry(2, 5, None)]), ["2:5.."]);
    }

    #[test]
    fn gaps_stay_gaps() {
        assert_eq!(flatten(&[entry(1, 0, Some(5)), entry(2, 8, None)]), ["1:0..5", "2:8.."]);
    }

    fn any_entries() -> impl Strategy<Value = Vec<RateEntry>> {
        let entries = prop::collection::vec((0_i64..30, prop::option::of(1_i64..10)), 0..8);
        entries.prop_map(|entries| {
            let of = |(added, (start, length)): (i64, (i64, Option<i64>))| {
                entry(added, start, length.map(|length| start + length))
            };
            (1..).zip(entries).map(of).collect()
        })
    }

    proptest! {
        #[test]
        fn segments_agree_with_the_definition(entries in any_entries(), at in 0_i64..45) {
            let timeline: Vec<&RateEntry> = entries.iter().collect();
            let by_segment = segment_at(&timeline, day(at)).map(|segment| segment.entry.added);
            prop_assert_eq!(by_segment, effective_at(&timeline, day(at)).map(|entry| entry.added));
            let segments = segments(&timeline);
            prop_assert!(segments.windows(2).all(|pair| pair[0].end.is_some_and(|end| end <= pair[1].start)));
            let goes_on = |pair: &[Segment<'_>]| {
                pair[0].end == Some(pair[1].start) && pair[0].entry.added == pair[1].entry.added
            };
            prop_assert!(!segments.windows(2).any(goes_on), "no stretch is cut in two");
        }
    }
}
