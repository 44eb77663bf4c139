//! Usage of events that are only asked about.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::contribution::contribution;
use super::tally::{Latest, Tally};
use crate::catalog::billable_metric::{AggregationType, Definition};
use crate::event::{PreviewedEvent, parse_properties};
use crate::id::BillableMetricId;
use crate::time::Instant;
use crate::usage::Piece;

/// What the events would add to the metrics if they arrived now, after everything that is there; each event a piece of
/// its own. `segment_at` has the number of the segment of a metric that an instant is in.
#[must_use]
pub fn previewed_pieces(
    events: &[PreviewedEvent],
    metrics: &BTreeMap<BillableMetricId, Definition>,
    segment_at: impl Fn(BillableMetricId, Instant) -> Option<usize>,
) -> Vec<Piece> {
    let first_seq = i64::MAX - i64::try_from(events.len()).expect("previews are small");
    let mut pieces = Vec::new();
    for (event, seq) in events.iter().zip(first_seq..) {
        let properties = parse_properties(&event.properties_json).expect("checked when it was read");
        for (metric_id, definition) in metrics {
            let Some(segment) = segment_at(*metric_id, event.timestamp) else { continue };
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
                latest: latest.map(|value| Box::new(Latest { happened_at: event.timestamp, seq, value })),
                uniques: counted.value_digest.into_iter().collect(),
            };
            let group_values = Arc::new(counted.group_values.into_iter().map(Cow::into_owned).collect());
            pieces.push(Piece { metric_id: *metric_id, group_values, segment, tally });
        }
    }
    pieces
}
