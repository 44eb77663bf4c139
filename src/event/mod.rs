//! Facts: what happened, as it was sent.
//!
//! Owns: which events are valid, which are repeats, and the log of all of them. Does not own: whom an event
//! belongs to (its `customer_id` stays the string that was sent, its *subject*, until usage is read) or what it
//! counts for. The endpoint that takes events in is `usage::ingest`, because facts and their rollups commit
//! together; the one that finds them again is `usage::search`, because it says what they count for.
//!
//! Invariants: a request is kept whole or not at all; the first event of a transaction id wins, for as long as
//! a repeat could be young enough to be accepted; repeats are kept and marked; the key of a transaction id says
//! where its event is.
//!
//! [`EventLog`], [`DedupStore`] and [`SegmentReader`] are the only ways to the tables of this module; with
//! `usage::RollupStore` they are the seams at which storage can be exchanged.

mod batch;
mod fact;
mod store;
mod value;

pub use batch::{BACKDATING, FUTURE_DATING, parse_batch};
pub use fact::{Event, ReceivedEvent, StoredEvent, subject_id, transaction_key};
pub use store::{Arrival, DedupStore, EventLog, KeyHold, PostgresEvents, SegmentReader};
pub use value::{Properties, PropertyValue, parse_properties};
