//! How a schedule is shown.

use schemars::JsonSchema;
use serde::Serialize;

use super::calc::Segment;
use crate::time::Instant;
use crate::wire::AnyJson;

/// A value and when it holds (schema `NamedSchedule`).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NamedScheduleSegment")]
pub struct SegmentView {
    /// As it was set.
    value: AnyJson,
    starting_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_before: Option<Instant>,
}

impl From<Segment<AnyJson>> for SegmentView {
    fn from(segment: Segment<AnyJson>) -> Self {
        Self { value: segment.value, starting_at: segment.starting_at, ending_before: segment.ending_before }
    }
}
