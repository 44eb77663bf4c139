//! Facts: what happened, as it was sent.
//!
//! Owns: which events are valid, which are repeats, and the log of all of them. Does not own: whom an event
//! belongs to (its `customer_id` stays the string that was sent, its *subject*, until usage is read) or what it
//! counts for. The endpoint that takes events in is `usage::ingest`, because facts and the note that their usage is to
//! be counted commit together; the one that finds them again is `usage::search`, because it says what they count for.
//!
//! Invariants: a request is kept whole or not at all; the first event of a transaction id wins, for as long as
//! a repeat could be young enough to be accepted; repeats are kept and marked; a fact that counts is in exactly one
//! segment, or in a batch that is noted as pending; the key of a transaction id says in which batch its event is.
//!
//! [`EventLog`], [`DedupStore`] and [`SegmentReader`] are the only ways to the tables of this module; with
//! `usage::RollupStore` they are the seams at which storage can be exchanged.
//!
//! Design change, 2026-11-20: slots belong to an environment, not to the server, because a sandbox's clock decides
//! what is old there; a sealed slot keeps its table and index until it is dropped (refused for now: packing its keys
//! into sorted runs, which saves three quarters of the disk and needs a third place to look for a key); filters are
//! built by each process from the keys and kept nowhere, and each is of one slot (not merged: they would be as large
//! together, and there are some 35 of them up to 180 events a second, and as many more for each 180 beyond).
//!
//! Refused, 2026-11-28, for now: events dated before the last 34 days, which the hosted product takes in by hand alone. An
//! id is held only for as long as a repeat is young enough to be accepted; without that bound a backfill that is sent again
//! after its hold would count twice in silence. It needs a name of its own that its ids are unique under for good.
//!
//! A slot is made under the lock of arrivals in the transaction that seals the one before it, which takes some
//! milliseconds once a day, and an old one is dropped in a transaction that waits a second at most for readers and is
//! tried again a minute later. Refused, 2026-11-28: slots made a day ahead, as nobody knows when 16 million keys are
//! reached; and to detach concurrently before the drop, which no transaction can do and which leaves a half-detached
//! table behind a process that is killed.

mod batch;
mod codec;
mod compact;
mod dedup;
mod fact;
mod log;
mod pending;
mod preview;
mod recent_keys;
mod screen;
mod segment;
pub mod slot;
mod upkeep;
mod value;

pub use batch::{BACKDATING, FUTURE_DATING, parse_batch};
pub use codec::Facts;
pub use dedup::{Asked, DedupStore, SlottedKeys, is_wrong_guess};
pub use fact::{Event, Events, Fact, ReceivedEvent, subject_id, transaction_key};
pub use log::{BatchLog, EventLog, Place, SubjectsByName, first_seq_after};
pub use pending::{
    BATCHES_AT_ONCE, Note, PendingBatch, PendingUsage, RecentBatches, find_pending, pending_batches,
    pending_usage, still_pending, take_pending_usage,
};
pub use preview::{PREVIEWED_MAX, PreviewEvent, PreviewedEvent, previewed};
pub use screen::Screens;
pub use segment::{Bookmark, Scope, SegmentReader, Segments};
pub use upkeep::upkeep;
pub use value::{Properties, PropertyValue, parse_properties};
