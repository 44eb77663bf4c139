//! Which requests of events are valid. All or nothing: one bad event refuses the request and uses up no
//! transaction id, because the sender will treat it as a fault of the payload (documentation page on sending
//! usage).

use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fact::Event;
use super::value::{Properties, parse_properties};
use crate::error::ApiError;
use crate::time::{Instant, parse_strict_instant, shown};

/// How old an event may be when it arrives, inclusive.
pub const BACKDATING: TimeDelta = TimeDelta::days(34);

/// How far ahead of the clock an event may be dated, inclusive.
pub const FUTURE_DATING: TimeDelta = TimeDelta::hours(24);

const EVENTS_MAX: usize = 100;
const TRANSACTION_ID_LENGTH_MAX: usize = 128;
const PROPERTIES_MAX: usize = 2000;

/// Bad events that one message names.
const PROBLEMS_MAX: usize = 20;

/// An event as it is sent; other fields are ignored (schema `Event`).
#[derive(Deserialize)]
struct EventInput<'a> {
    transaction_id: String,
    customer_id: String,
    event_type: String,
    timestamp: String,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

/// The events of a request body that arrived at `now`.
///
/// 400 names the index and the field of every bad event (of the first twenty).
pub fn parse_batch(body: &[u8], now: Instant) -> Result<Vec<Event>, ApiError> {
    let items: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|error| ApiError::BadRequest(format!("the body must be a JSON array of events: {error}")))?;
    if items.is_empty() || items.len() > EVENTS_MAX {
        let count = items.len();
        return Err(ApiError::BadRequest(format!(
            "a request holds 1 to {EVENTS_MAX} events, this one {count}"
        )));
    }
    let mut events = Vec::with_capacity(items.len());
    let mut problems = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match parse_event(item.get(), now) {
            Ok(event) => events.push(event),
            Err(reasons) => problems.extend(reasons.into_iter().map(|reason| format!("[{index}]{reason}"))),
        }
    }
    if problems.is_empty() {
        return Ok(events);
    }
    let more = problems.len().saturating_sub(PROBLEMS_MAX);
    problems.truncate(PROBLEMS_MAX);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    Err(ApiError::BadRequest(problems.join("; ")))
}

/// One event, or everything that is wrong with it as `.field: reason`.
fn parse_event(text: &str, now: Instant) -> Result<Event, Vec<String>> {
    if !text.starts_with('{') {
        return Err(vec![": must be an object".to_owned()]);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let input: EventInput<'_> = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { format!(".{path}") };
        vec![format!("{path}: {}", without_position(error.inner()))]
    })?;
    let mut problems = Vec::new();
    if !(1..=TRANSACTION_ID_LENGTH_MAX).contains(&input.transaction_id.chars().count()) {
        problems.push(format!(".transaction_id: must have 1 to {TRANSACTION_ID_LENGTH_MAX} characters"));
    }
    if input.customer_id.is_empty() {
        problems.push(".customer_id: must not be empty".to_owned());
    }
    if input.event_type.is_empty() {
        problems.push(".event_type: must not be empty".to_owned());
    }
    let timestamp = parse_timestamp(&input.timestamp, now).map_err(|problem| problems.push(problem));
    let properties_json = input.properties.map_or("{}", RawValue::get);
    let properties = read_properties(properties_json).map_err(|problem| problems.push(problem));
    match (timestamp, properties) {
        (Ok(timestamp), Ok(properties)) if problems.is_empty() => Ok(Event {
            transaction_id: input.transaction_id,
            customer_id: input.customer_id,
            event_type: input.event_type,
            timestamp,
            properties,
            properties_json: properties_json.to_owned(),
        }),
        _ => Err(problems),
    }
}

fn parse_timestamp(text: &str, now: Instant) -> Result<Instant, String> {
    let instant = parse_strict_instant(text).map_err(|error| format!(".timestamp: `{text}` {error}"))?;
    if instant < now - BACKDATING {
        return Err(format!(
            ".timestamp: `{text}` is more than 34 days before {}, the environment's time",
            shown(now)
        ));
    }
    if instant > now + FUTURE_DATING {
        return Err(format!(
            ".timestamp: `{text}` is more than 24 hours after {}, the environment's time",
            shown(now)
        ));
    }
    Ok(instant)
}

fn read_properties(text: &str) -> Result<Properties, String> {
    let properties = parse_properties(text).map_err(|error| {
        format!(".properties: must be an object of JSON values: {}", without_position(&error))
    })?;
    if properties.len() > PROPERTIES_MAX {
        return Err(format!(".properties: at most {PROPERTIES_MAX}, this event has {}", properties.len()));
    }
    Ok(properties)
}

/// The parser's message; positions within one event tell the sender nothing.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::time::parse_instant;

    fn now() -> Instant {
        parse_instant("2026-05-20T00:00:00Z").expect("an instant")
    }

    fn parse(body: &Value) -> Result<Vec<Event>, String> {
        parse_batch(body.to_string().as_bytes(), now()).map_err(|error| error.to_string())
    }

    fn dated(timestamp: &str) -> Value {
        json!([{"transaction_id": "t", "customer_id": "c", "event_type": "e", "timestamp": timestamp}])
    }

    #[test]
    fn metering_c_timestamp_bounds() {
        for accepted in ["2026-04-16T00:00:00Z", "2026-05-21T00:00:00Z", "2026-05-20T02:00:00+05:30"] {
            assert!(parse(&dated(accepted)).is_ok(), "{accepted}");
        }
        for refused in ["2026-04-15T23:59:59Z", "2026-05-21T00:00:01Z", "2026-05-20", "2026-05-20T00:00:00"] {
            let message = parse(&dated(refused)).expect_err(refused);
            assert!(message.starts_with("[0].timestamp: "), "{message}");
        }
        let event = parse(&dated("2026-05-20T02:00:00+05:30")).expect("valid").remove(0);
        assert_eq!(event.timestamp, parse_instant("2026-05-19T20:30:00Z").expect("an instant"));
    }

    #[test]
    fn every_bad_event_is_named() {
        let good = json!({"transaction_id": "t", "customer_id": "c", "event_type": "e", "timestamp": "2026-05-20T00:00:00Z"});
        let mut bad = good.clone();
        bad["transaction_id"] = json!("x".repeat(129));
        bad["customer_id"] = json!("");
        let mut wrong_type = good.clone();
        wrong_type["event_type"] = json!(7);
        let message = parse(&json!([good, bad, wrong_type])).expect_err("two bad events");
        for part in ["[1].transaction_id:", "[1].customer_id:", "[2].event_type:"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert!(parse(&json!([])).is_err());
        assert!(parse(&json!({})).is_err());
        let many: Vec<Value> = (0..101).map(|_| dated("2026-05-20T00:00:00Z")[0].clone()).collect();
        assert!(parse(&json!(many)).expect_err("too many").contains("this one 101"));
        let mut wide = dated("2026-05-20T00:00:00Z");
        wide[0]["properties"] =
            (0..2001).map(|number| (number.to_string(), json!(1))).collect::<Map<_, _>>().into();
        assert!(parse(&wide).expect_err("too wide").contains("[0].properties: at most 2000"));
    }

    #[test]
    fn properties_keep_their_text() {
        let body =
            br#"[{"transaction_id":"t","customer_id":"c","event_type":"e","timestamp":"2026-05-20T00:00:00Z",
            "properties":{"a": 1.50,"b":"x"}}]"#;
        let event = parse_batch(body, now()).expect("valid").remove(0);
        assert_eq!(event.properties_json, r#"{"a": 1.50,"b":"x"}"#);
    }
}
