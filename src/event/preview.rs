//! Events that are only asked about: nothing of them is kept.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::batch::{TRANSACTION_ID_LENGTH_MAX, check_properties, parse_timestamp};
use crate::error::ApiError;
use crate::time::Instant;

/// Most events of one preview (schema `PreviewEventsPayload`).
pub const PREVIEWED_MAX: usize = 100;

/// An event of a preview as it is sent; other fields are ignored (schema `PreviewEvent`).
#[derive(Deserialize, JsonSchema)]
pub struct PreviewEvent {
    event_type: String,
    /// RFC 3339 with an offset; at most 34 days old and 24 hours ahead; now when omitted.
    timestamp: Option<String>,
    /// At most 2,000; numbers may be sent as strings.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    properties: Option<Box<RawValue>>,
    /// At most 128 characters. An event whose id was sent in the last 34 days counts for nothing.
    transaction_id: Option<String>,
}

/// A valid event of a preview.
#[derive(Clone, Debug)]
pub struct PreviewedEvent {
    pub transaction_id: Option<String>,
    pub event_type: String,
    pub timestamp: Instant,
    /// To the letter as they were sent, and sound.
    pub properties_json: String,
}

/// The events of a preview at `now`, held to what events that are sent must be (our decision: what could not be sent
/// has no cost). 400 names every bad field.
pub fn previewed(events: Vec<PreviewEvent>, now: Instant) -> Result<Vec<PreviewedEvent>, ApiError> {
    if events.is_empty() || events.len() > PREVIEWED_MAX {
        return Err(ApiError::field("events", format!("must hold 1 to {PREVIEWED_MAX} events")));
    }
    let mut problems = Vec::new();
    let mut first_of: BTreeMap<String, usize> = BTreeMap::new();
    let mut valid = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        let mut problem = |problem: String| problems.push(format!("events[{index}]{problem}"));
        if let Some(id) = &event.transaction_id {
            if !(1..=TRANSACTION_ID_LENGTH_MAX).contains(&id.chars().count()) {
                problem(format!(".transaction_id: must have 1 to {TRANSACTION_ID_LENGTH_MAX} characters"));
            }
            if let Some(first) = first_of.get(id) {
                problem(format!(".transaction_id: is that of events[{first}], too"));
            }
            first_of.entry(id.clone()).or_insert(index);
        }
        if event.event_type.is_empty() {
            problem(".event_type: must not be empty".to_owned());
        }
        let timestamp = event.timestamp.map_or(Ok(now), |text| parse_timestamp(&text, now));
        let timestamp = timestamp.map_err(&mut problem).unwrap_or(now);
        let properties_json = event.properties.map_or_else(|| "{}".to_owned(), |text| text.get().to_owned());
        if let Err(reason) = check_properties(&properties_json) {
            problem(reason);
        }
        let PreviewEvent { event_type, transaction_id, .. } = event;
        valid.push(PreviewedEvent { transaction_id, event_type, timestamp, properties_json });
    }
    if problems.is_empty() { Ok(valid) } else { Err(ApiError::BadRequest(problems.join("; "))) }
}
