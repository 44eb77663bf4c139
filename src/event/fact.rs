use std::ops::Range;

use uuid::Uuid;

use crate::id::{EnvironmentId, SubjectId, digest};
use crate::time::Instant;

/// The valid events of one request, their texts in one piece: a request of a hundred events is a handful of
/// allocations.
#[derive(Clone, Debug, Default)]
pub struct Events {
    text: String,
    entries: Vec<Entry>,
}

/// Where the parts of an event are in the text.
#[derive(Clone, Debug)]
struct Entry {
    key: Uuid,
    transaction_id: Range<usize>,
    customer_id: Range<usize>,
    event_type: Range<usize>,
    timestamp: Instant,
    properties_json: Range<usize>,
}

/// A valid event of a request.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The identity of the transaction id.
    pub key: Uuid,
    pub transaction_id: &'a str,
    /// A customer's id or an ingest alias, or a string that nobody owns yet.
    pub customer_id: &'a str,
    pub event_type: &'a str,
    pub timestamp: Instant,
    /// The properties to the letter as they were sent.
    pub properties_json: &'a str,
}

impl Events {
    pub(super) fn with_capacity(count: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), entries: Vec::with_capacity(count) }
    }

    pub(super) fn push(&mut self, event: &Event<'_>) {
        let mut keep = |text: &str| {
            let start = self.text.len();
            self.text.push_str(text);
            start..self.text.len()
        };
        let entry = Entry {
            key: event.key,
            transaction_id: keep(event.transaction_id),
            customer_id: keep(event.customer_id),
            event_type: keep(event.event_type),
            timestamp: event.timestamp,
            properties_json: keep(event.properties_json),
        };
        self.entries.push(entry);
    }

    /// In the order of the request.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event<'_>> {
        self.entries.iter().map(|entry| Event {
            key: entry.key,
            transaction_id: &self.text[entry.transaction_id.clone()],
            customer_id: &self.text[entry.customer_id.clone()],
            event_type: &self.text[entry.event_type.clone()],
            timestamp: entry.timestamp,
            properties_json: &self.text[entry.properties_json.clone()],
        })
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What they take in memory, about.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.text.len() + self.entries.len() * size_of::<Entry>()
    }
}

/// An event as it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact<'a> {
    pub transaction_id: &'a str,
    /// The string that the event names its customer by.
    pub customer_id: &'a str,
    pub event_type: &'a str,
    pub timestamp: Instant,
    /// The environment's time when it came in.
    pub received_at: Instant,
    /// Arrival and position: the order in which events came in.
    pub seq: i64,
    /// To the letter as they were sent.
    pub properties_json: &'a str,
    /// It repeats the transaction id of an event that counts.
    pub is_duplicate: bool,
}

/// An event as it was kept, on its own.
#[derive(Clone, Debug)]
pub struct ReceivedEvent {
    pub transaction_id: String,
    pub customer_id: String,
    pub event_type: String,
    pub timestamp: Instant,
    pub received_at: Instant,
    pub seq: i64,
    pub properties_json: String,
    pub is_duplicate: bool,
}

impl From<Fact<'_>> for ReceivedEvent {
    fn from(fact: Fact<'_>) -> Self {
        Self {
            transaction_id: fact.transaction_id.to_owned(),
            customer_id: fact.customer_id.to_owned(),
            event_type: fact.event_type.to_owned(),
            timestamp: fact.timestamp,
            received_at: fact.received_at,
            seq: fact.seq,
            properties_json: fact.properties_json.to_owned(),
            is_duplicate: fact.is_duplicate,
        }
    }
}

/// The identity of a transaction id: nothing else of the event takes part.
#[must_use]
pub fn transaction_key(environment_id: EnvironmentId, transaction_id: &str) -> Uuid {
    digest(&[b"transaction", environment_id.0.as_bytes(), transaction_id.as_bytes()])
}

/// The identity of the string that an event names its customer by.
#[must_use]
pub fn subject_id(environment_id: EnvironmentId, received: &str) -> SubjectId {
    SubjectId(digest(&[b"subject", environment_id.0.as_bytes(), received.as_bytes()]))
}
