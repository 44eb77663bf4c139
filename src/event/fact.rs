use uuid::Uuid;

use super::value::Properties;
use crate::id::{EnvironmentId, SubjectId, digest};
use crate::time::Instant;

/// A valid event of a request.
#[derive(Clone, Debug)]
pub struct Event {
    pub transaction_id: String,
    /// A customer's id or an ingest alias, or a string that nobody owns yet.
    pub customer_id: String,
    pub event_type: String,
    pub timestamp: Instant,
    pub properties: Properties,
    /// The properties to the letter as they were sent.
    pub properties_json: String,
}

/// An event as the log gives it back.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub subject_id: SubjectId,
    /// Arrival and position: the order in which events came in.
    pub seq: i64,
    pub event_type: String,
    pub timestamp: Instant,
    pub properties: Properties,
}

/// An event as it came in, repeats included.
#[derive(Clone, Debug)]
pub struct ReceivedEvent {
    pub subject_id: SubjectId,
    pub seq: i64,
    pub transaction_id: String,
    /// The string that the event names its customer by.
    pub customer_id: String,
    pub event_type: String,
    pub timestamp: Instant,
    /// The environment's time when it came in.
    pub received_at: Instant,
    /// To the letter as they were sent.
    pub properties_json: String,
    /// It repeats the transaction id of an event that counts.
    pub is_duplicate: bool,
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
