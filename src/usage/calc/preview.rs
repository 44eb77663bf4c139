//! Usage of events that are only asked about.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::contribution::contribution;
use super::tally::{Latest, Tally};
use crate::catalog::billable_metric::{AggregationType, Definition};
use crate::event::{PreviewedEvent, parse_properties};
use crate::id::BillableMetricId;
use crate::time::Instant;
use crate::usage::Piece;

/// What the events would add to the metrics if they arrived now, after everything that is there, in the segments that
/// start at `starts` and end at `end`; each event a piece of its own.
#[must_use]
pub fn previewed_pieces(
    events: &[PreviewedEvent],
    metrics: &BTreeMap<BillableMetricId, Definition>,
    starts: &[Instant],
    end: Instant,
) -> Vec<Piece> {
    let first_seq = i64::MAX - i64::try_from(events.len()).expect("previews are small");
    let mut pieces = Vec::new();
    for (event, seq) in events.iter().zip(first_seq..) {
        let begun = starts.partition_point(|start| *start <= event.timestamp);
        let Some(segment) = begun.checked_sub(1).filter(|_| event.timestamp < end) else { continue };
        let properties = parse_properties(&event.properties_json).expect("checked when it was read");
        for (metric_id, definition) in metrics {
            let Some(counted) = contribution(definition, &event.event_type, &properties) else {
                continue;
            };
            let number = counted.number;
            let only = |aggregation| number.clone().filter(|_| definition.aggregation_type == aggregation);
            let latest = only(AggregationType::Latest);
            let tally = Tally {
                event_count: 1,
                total: only(AggregationType::Sum),
                greatest: only(AggregationType::Max),
                latest: latest.map(|value| Latest { happened_at: event.timestamp, seq, value }),
                uniques: counted.value_digest.into_iter().collect(),
            };
            let group_values = counted.group_values.into_iter().map(Cow::into_owned).collect();
            pieces.push(Piece { metric_id: *metric_id, group_values, segment, tally });
        }
    }
    pieces
}
