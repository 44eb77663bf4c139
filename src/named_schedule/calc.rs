//! Setting a value over a window of time. Pure.

use crate::time::Instant;

/// A value and when it holds: `[starting_at, ending_before)`, for ever where there is no end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<T> {
    pub starting_at: Instant,
    pub ending_before: Option<Instant>,
    pub value: T,
}

/// What segments become by a new one that overlaps them all: what they hold before it and after it stays, and it
/// stands between, in the order of time.
///
/// Values that are equal are not joined (our decision: a segment is shown as it was written).
#[must_use]
pub fn replaced<T: Clone>(overlapped: Vec<Segment<T>>, new: Segment<T>) -> Vec<Segment<T>> {
    let (start, end) = (new.starting_at, new.ending_before);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for segment in overlapped {
        if segment.starting_at < start {
            before.push(Segment { ending_before: Some(start), ..segment.clone() });
        }
        if let Some(end) = end
            && segment.ending_before.is_none_or(|segment_end| end < segment_end)
        {
            after.push(Segment { starting_at: end, ..segment });
        }
    }
    before.push(new);
    before.extend(after);
    before
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(hour: i64) -> Instant {
        chrono::DateTime::from_timestamp(hour * 3600, 0).expect("in range")
    }

    fn segment(start: i64, end: Option<i64>, value: u32) -> Segment<u32> {
        Segment { starting_at: at(start), ending_before: end.map(at), value }
    }

    fn holds(segment: &Segment<u32>, hour: i64) -> bool {
        segment.starting_at <= at(hour) && segment.ending_before.is_none_or(|end| at(hour) < end)
    }

    /// As the store does it: only what overlaps is looked at.
    fn set(segments: &mut Vec<Segment<u32>>, new: Segment<u32>) {
        let overlaps = |old: &Segment<u32>| {
            new.ending_before.is_none_or(|end| old.starting_at < end)
                && old.ending_before.is_none_or(|end| new.starting_at < end)
        };
        let (overlapped, mut rest): (Vec<_>, Vec<_>) = segments.drain(..).partition(overlaps);
        rest.extend(replaced(overlapped, new));
        rest.sort_by_key(|segment| segment.starting_at);
        *segments = rest;
    }

    #[test]
    fn a_window_inside_a_segment_splits_it() {
        let mut segments = vec![segment(0, None, 1)];
        set(&mut segments, segment(5, Some(7), 2));
        assert_eq!(segments, [segment(0, Some(5), 1), segment(5, Some(7), 2), segment(7, None, 1)]);
        set(&mut segments, segment(5, None, 1));
        assert_eq!(segments, [segment(0, Some(5), 1), segment(5, None, 1)], "equal neighbours stay apart");
        set(&mut segments, segment(0, None, 3));
        assert_eq!(segments, [segment(0, None, 3)]);
    }

    proptest! {
        #[test]
        fn every_instant_has_the_value_that_was_set_last(
            windows in prop::collection::vec((0_i64..30, prop::option::of(1_i64..10)), 0..12),
        ) {
            let mut segments = Vec::new();
            let mut model: Vec<Option<u32>> = vec![None; 50];
            for ((start, length), value) in windows.into_iter().zip(0..) {
                let end = length.map(|length| start + length);
                set(&mut segments, segment(start, end, value));
                for hour in start..end.unwrap_or(50) {
                    model[usize::try_from(hour).expect("from 0")] = Some(value);
                }
            }
            for (hour, value) in (0..).zip(&model) {
                let holding: Vec<u32> =
                    segments.iter().filter(|segment| holds(segment, hour)).map(|segment| segment.value).collect();
                prop_assert_eq!(&holding, &value.iter().copied().collect::<Vec<u32>>());
            }
            prop_assert!(segments.iter().all(|one| one.ending_before.is_none_or(|end| one.starting_at < end)));
        }
    }
}
