//! Which requests of events are valid. All or nothing: one bad event refuses the request and uses up no
//! transaction id, because the sender will treat it as a fault of the payload (documentation page on sending
//! usage).

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use chrono::TimeDelta;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fact::{Event, Events, transaction_key};
use super::value::{NUMBER_LENGTH_MAX, parse_properties};
use crate::error::ApiError;
use crate::id::EnvironmentId;
use crate::time::{Instant, parse_strict_instant, shown};
use crate::wire::{WellFormed, may_hold_nul};

/// How old an event may be when it arrives, inclusive.
pub const BACKDATING: TimeDelta = TimeDelta::days(34);

/// How far ahead of the clock an event may be dated, inclusive.
pub const FUTURE_DATING: TimeDelta = TimeDelta::hours(24);

const EVENTS_MAX: usize = 100;
pub(super) const TRANSACTION_ID_LENGTH_MAX: usize = 128;
const PROPERTIES_MAX: usize = 2000;

/// Characters of a text that a message quotes, and of one problem of an event.
const QUOTED_MAX: usize = 60;
const PROBLEM_MAX: usize = 300;

/// An event as it is sent; other fields are ignored (schema `Event`).
#[derive(Deserialize)]
struct EventInput<'a> {
    #[serde(borrow)]
    transaction_id: Text<'a>,
    #[serde(borrow)]
    customer_id: Text<'a>,
    #[serde(borrow)]
    event_type: Text<'a>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

/// A string, borrowed from the body where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members that an event must have, whatever they are.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    transaction_id: Option<&'a RawValue>,
    #[serde(borrow)]
    customer_id: Option<&'a RawValue>,
    #[serde(borrow)]
    event_type: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
}

/// An event that is an object; the library would take a list of its fields too.
struct Object<'a>(EventInput<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnObject;

        impl<'de> Visitor<'de> for AnObject {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                EventInput::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(AnObject)
    }
}

/// A list, of which no more is held than a request may have: millions of items would take many times the memory of
/// their text.
struct Items<T> {
    first: Vec<T>,
    count: usize,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Items<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut first = Vec::with_capacity(EVENTS_MAX);
                while first.len() < EVENTS_MAX
                    && let Some(item) = list.next_element()?
                {
                    first.push(item);
                }
                let mut count = first.len();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Items { first, count })
            }
        }

        deserializer.deserialize_seq(List(PhantomData))
    }
}

/// The events of a request body that arrived at `now`.
///
/// 400 names the index and each bad field of every bad event.
pub fn parse_batch(body: &[u8], environment_id: EnvironmentId, now: Instant) -> Result<Events, ApiError> {
    // A sound body is read once, and only one that is not is taken apart to name what is wrong with each event.
    match serde_json::from_slice::<Items<Object<'_>>>(body) {
        Ok(inputs) if !may_hold_nul(body) => {
            let mut batch = Batch::new(inputs.count, body.len(), environment_id, now)?;
            for Object(input) in &inputs.first {
                batch.take(Ok(input));
            }
            batch.finish()
        }
        _ => parse_each(body, environment_id, now),
    }
}

/// The same, an event at a time.
fn parse_each(body: &[u8], environment_id: EnvironmentId, now: Instant) -> Result<Events, ApiError> {
    let items: Items<&RawValue> = serde_json::from_slice(body)
        .map_err(|error| ApiError::BadRequest(format!("the body must be a JSON array of events: {error}")))?;
    let mut batch = Batch::new(items.count, body.len(), environment_id, now)?;
    for item in items.first {
        batch.take(read_event(item.get()).as_ref().map_err(Vec::clone));
    }
    batch.finish()
}

/// One event, or what is wrong with its shape as `.field: reason`.
fn read_event(text: &str) -> Result<EventInput<'_>, Vec<String>> {
    if !text.starts_with('{') {
        return Err(vec![": must be an object".to_owned()]);
    }
    if may_hold_nul(text.as_bytes()) {
        read::<WellFormed>(text).map_err(|problem| vec![problem])?;
    }
    read(text).map_err(|problem| {
        let of_members = read(text).map(|members| member_problems(&members)).unwrap_or_default();
        if of_members.is_empty() { vec![problem] } else { of_members }
    })
}

/// What is wrong with each of the members.
fn member_problems(members: &Members<'_>) -> Vec<String> {
    let members = [
        ("transaction_id", members.transaction_id),
        ("customer_id", members.customer_id),
        ("event_type", members.event_type),
        ("timestamp", members.timestamp),
    ];
    let problem = |(name, text): (&str, Option<&RawValue>)| match text {
        None => Some(format!(".{name}: is required")),
        Some(text) => {
            let error = serde_json::from_str::<Text<'_>>(text.get()).err()?;
            Some(format!(".{name}: {}", without_position(&error)))
        }
    };
    members.into_iter().filter_map(problem).collect()
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { format!(".{path}") };
        format!("{path}: {}", without_position(error.inner()))
    })
}

/// A request as it is read, an event after the other.
struct Batch {
    environment_id: EnvironmentId,
    now: Instant,
    count: usize,
    events: Events,
    problems: Vec<String>,
}

impl Batch {
    fn new(
        count: usize,
        bytes: usize,
        environment_id: EnvironmentId,
        now: Instant,
    ) -> Result<Self, ApiError> {
        if count == 0 || count > EVENTS_MAX {
            let message = format!("a request holds 1 to {EVENTS_MAX} events, this one {count}");
            return Err(ApiError::BadRequest(message));
        }
        let events = Events::with_capacity(count, bytes);
        Ok(Self { environment_id, now, count: 0, events, problems: Vec::new() })
    }

    fn take(&mut self, input: Result<&EventInput<'_>, Vec<String>>) {
        let index = self.count;
        self.count += 1;
        let mut problems = Vec::new();
        match input {
            Ok(input) => match check_event(input, self.environment_id, self.now, &mut problems) {
                Some(event) if problems.is_empty() => self.events.push(&event),
                _ => {}
            },
            Err(of_shape) => problems = of_shape,
        }
        let problems = problems.iter().map(|problem| format!("[{index}]{}", shortened(problem, PROBLEM_MAX)));
        self.problems.extend(problems);
    }

    fn finish(self) -> Result<Events, ApiError> {
        if self.problems.is_empty() {
            return Ok(self.events);
        }
        Err(ApiError::BadRequest(self.problems.join("; ")))
    }
}

/// The event, and everything that is wrong with it as `.field: reason`.
fn check_event<'a>(
    input: &'a EventInput<'_>,
    environment_id: EnvironmentId,
    now: Instant,
    problems: &mut Vec<String>,
) -> Option<Event<'a>> {
    let transaction_id = input.transaction_id.0.as_ref();
    if !(1..=TRANSACTION_ID_LENGTH_MAX).contains(&transaction_id.chars().count()) {
        problems.push(format!(".transaction_id: must have 1 to {TRANSACTION_ID_LENGTH_MAX} characters"));
    }
    if input.customer_id.0.is_empty() {
        problems.push(".customer_id: must not be empty".to_owned());
    }
    if input.event_type.0.is_empty() {
        problems.push(".event_type: must not be empty".to_owned());
    }
    let timestamp = parse_timestamp(&input.timestamp.0, now).map_err(|problem| problems.push(problem));
    let properties_json = input.properties.map_or("{}", RawValue::get);
    if let Err(problem) = check_properties(properties_json) {
        problems.push(problem);
    }
    Some(Event {
        key: transaction_key(environment_id, transaction_id),
        transaction_id,
        customer_id: &input.customer_id.0,
        event_type: &input.event_type.0,
        timestamp: timestamp.ok()?,
        properties_json,
    })
}

pub(super) fn parse_timestamp(text: &str, now: Instant) -> Result<Instant, String> {
    let refused =
        |reason: &dyn fmt::Display| Err(format!(".timestamp: `{}` {reason}", shortened(text, QUOTED_MAX)));
    let instant = match parse_strict_instant(text) {
        Ok(instant) => instant,
        Err(error) => return refused(&error),
    };
    if instant < now - BACKDATING {
        return refused(&format_args!("is more than 34 days before {}, the environment's time", shown(now)));
    }
    if instant > now + FUTURE_DATING {
        return refused(&format_args!("is more than 24 hours after {}, the environment's time", shown(now)));
    }
    Ok(instant)
}

/// As much of a text as tells which one it is: a message must not be as long as the request.
fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

pub(super) fn check_properties(text: &str) -> Result<(), String> {
    let malformed = |error: serde_json::Error| {
        format!(".properties: must be an object of JSON values: {}", without_position(&error))
    };
    let properties = parse_properties(text).map_err(malformed)?;
    properties.check().map_err(malformed)?;
    if let Some(name) = properties.too_long_a_number() {
        return Err(format!(".properties: `{name}` is a number of more than {NUMBER_LENGTH_MAX} characters"));
    }
    match properties.more_than(PROPERTIES_MAX) {
        Some(count) => Err(format!(".properties: at most {PROPERTIES_MAX}, this event has {count}")),
        None => Ok(()),
    }
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

    fn read(body: &[u8]) -> Result<Events, ApiError> {
        parse_batch(body, EnvironmentId(uuid::Uuid::nil()), now())
    }

    fn parse(body: &Value) -> Result<Events, String> {
        read(body.to_string().as_bytes()).map_err(|error| error.to_string())
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
        let message = parse(&dated(&"9".repeat(100_000))).expect_err("not a timestamp");
        assert!(message.len() < 200, "{message}");
        let events = parse(&dated("2026-05-20T02:00:00+05:30")).expect("valid");
        assert_eq!(
            events.iter().next().expect("one").timestamp,
            parse_instant("2026-05-19T20:30:00Z").expect("an instant")
        );
    }

    #[test]
    fn every_bad_event_is_named() {
        let good = json!({"transaction_id": "t", "customer_id": "c", "event_type": "e", "timestamp": "2026-05-20T00:00:00Z"});
        let mut bad = good.clone();
        bad["transaction_id"] = json!("x".repeat(129));
        bad["customer_id"] = json!("");
        let mut wrong_type = good.clone();
        wrong_type["event_type"] = json!(7);
        let shapeless = json!({"transaction_id": 6, "event_type": null, "timestamp": []});
        let message = parse(&json!([good, bad, wrong_type, shapeless])).expect_err("three bad events");
        for part in [
            "[1].transaction_id:",
            "[1].customer_id:",
            "[2].event_type:",
            "[3].transaction_id: invalid type",
            "[3].customer_id: is required",
            "[3].event_type: is required",
            "[3].timestamp: invalid type",
        ] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
        let text = "x".repeat(1000);
        let mut long = good.clone();
        long["properties"] = json!(text);
        let message = parse(&json!([long])).expect_err("no object");
        assert!(message.starts_with("[0].properties: ") && message.len() < 400, "{message}");
    }

    #[test]
    fn sizes_are_bounded() {
        assert!(parse(&json!([])).is_err());
        assert!(parse(&json!({})).is_err());
        let many: Vec<Value> = (0..101).map(|_| dated("2026-05-20T00:00:00Z")[0].clone()).collect();
        assert!(parse(&json!(many)).expect_err("too many").contains("this one 101"));
        let message = read(format!("[{}0]", "0,".repeat(200_000)).as_bytes()).expect_err("far too many");
        assert!(message.to_string().contains("this one 200001"), "{message}");
        assert!(read(format!("[{}0", "0,".repeat(200)).as_bytes()).is_err(), "it does not end");
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
        let events = read(body).expect("valid");
        assert_eq!(events.iter().next().expect("one").properties_json, r#"{"a": 1.50,"b":"x"}"#);
    }
}
