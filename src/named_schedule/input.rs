//! What requests about a schedule say beside what it is on.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::calc::Segment;
use crate::error::ApiError;
use crate::wire::{AnyJson, NonBlank, Timestamp};

/// Longest name of a schedule (our decision: an index holds it).
const NAME_LENGTH_MAX: usize = 255;

/// What tells schedules of one name and contract apart.
pub type Properties = BTreeMap<String, String>;

/// Which schedule is asked for, and when.
#[derive(Deserialize, JsonSchema)]
pub struct Asked {
    pub schedule_name: NonBlank,
    /// Only the value that holds then.
    pub covering_date: Option<Timestamp>,
}

/// Which schedule is set, to what and when.
#[derive(Deserialize, JsonSchema)]
pub struct Update {
    schedule_name: NonBlank,
    /// Inclusive.
    starting_at: Timestamp,
    /// Exclusive; for ever when omitted.
    ending_before: Option<Timestamp>,
    /// Any JSON, null too; kept as it is.
    value: AnyJson,
}

impl Update {
    /// The name of the schedule and what to set; 400 for a name that is too long or a window that is empty.
    pub fn checked(self) -> Result<(String, Segment<AnyJson>), ApiError> {
        let NonBlank(name) = self.schedule_name;
        if name.chars().count() > NAME_LENGTH_MAX {
            return Err(ApiError::field("schedule_name", format!("at most {NAME_LENGTH_MAX} characters")));
        }
        if self.ending_before.is_some_and(|end| end <= self.starting_at) {
            return Err(ApiError::field("ending_before", "must be after starting_at"));
        }
        let segment = Segment {
            starting_at: self.starting_at.0,
            ending_before: self.ending_before.map(|end| end.0),
            value: self.value,
        };
        Ok((name, segment))
    }
}
