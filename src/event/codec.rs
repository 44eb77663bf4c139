//! How events are kept: many together, column by column, compressed. Pure.
//!
//! A row for each event would cost PostgreSQL ten times as much to write. Events of one flush (a *batch*) or of one
//! subject and day (a *segment*) share their customers, types and times, and that is what columns make visible to
//! the compressor.
//!
//! Codec 2 is zstd over: the number of events; the distinct customers and event types; then of all events the place of
//! the customer, the place of the type, the timestamp, the order, the time of arrival (each as the difference to the
//! event before), flags, the transaction ids and the lengths of the properties; and behind it zstd over the properties of
//! each [`BLOCK`] events, so that whoever looks for one event unpacks those of its block alone. Before each of them stands
//! its length. Numbers are varints, signed ones zigzag; a transaction id that is a UUID as libraries write it takes its
//! sixteen bytes. In codec 1 everything is under one zstd. Codec 0 is a JSON list of objects: what the migration from a
//! row for each event wrote.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Range;

use chrono::DateTime;
use hashbrown::HashMap;
use serde::Deserialize;
use uuid::Uuid;
use zstd::bulk::{Compressor, Decompressor};

use super::fact::{Fact, ReceivedEvent};
use crate::time::Instant;

/// The codec that [`pack`] writes.
pub const CODEC: i16 = 2;

/// Events whose properties are compressed together.
const BLOCK: usize = 128;

/// Beyond 1 each level costs the writer more than it saves the disk.
const LEVEL: i32 = 1;

thread_local! {
    // To make one takes longer than what it does for a block.
    static COMPRESSOR: RefCell<Compressor<'static>> =
        RefCell::new(Compressor::new(LEVEL).expect("the level exists"));
    static DECOMPRESSOR: RefCell<Decompressor<'static>> =
        RefCell::new(Decompressor::new().expect("without a dictionary nothing can be wrong"));
}

const DUPLICATE: u8 = 1;
/// The transaction id is kept as the bytes of a UUID.
const UUID: u8 = 2;

/// Why a payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("codec {0} is unknown")]
    Unknown(i16),
    #[error("the payload cannot be decompressed")]
    Compression(#[from] std::io::Error),
    #[error("the payload is not JSON")]
    Json(#[from] serde_json::Error),
    #[error("the payload ends early or is damaged")]
    Damaged,
}

/// Events as they are kept.
pub struct Packed<'a> {
    /// In [`CODEC`].
    pub payload: Vec<u8>,
    /// The distinct strings that the events name their customers by, as [`Facts::customers`] has them.
    pub customers: Vec<&'a str>,
}

/// The events as one payload.
#[must_use]
pub fn pack<'a>(facts: &[Fact<'a>]) -> Packed<'a> {
    let mut customers = Dictionary::default();
    let mut types = Dictionary::default();
    let customer_places: Vec<u64> = facts.iter().map(|fact| customers.place(fact.customer_id)).collect();
    let type_places: Vec<u64> = facts.iter().map(|fact| types.place(fact.event_type)).collect();
    let mut out = Vec::with_capacity(facts.len() * 48);
    put(&mut out, facts.len() as u64);
    customers.write(&mut out);
    types.write(&mut out);
    customer_places.iter().chain(&type_places).for_each(|place| put(&mut out, *place));
    put_differences(&mut out, facts.iter().map(|fact| fact.timestamp.timestamp_micros()));
    put_differences(&mut out, facts.iter().map(|fact| fact.seq));
    put_differences(&mut out, facts.iter().map(|fact| fact.received_at.timestamp_micros()));
    let ids: Vec<Option<Uuid>> = facts.iter().map(|fact| canonical_uuid(fact.transaction_id)).collect();
    out.extend(facts.iter().zip(&ids).map(|(fact, id)| {
        (if fact.is_duplicate { DUPLICATE } else { 0 }) | (if id.is_some() { UUID } else { 0 })
    }));
    for (fact, id) in facts.iter().zip(&ids) {
        match id {
            Some(id) => out.extend_from_slice(id.as_bytes()),
            None => put_text(&mut out, fact.transaction_id),
        }
    }
    for fact in facts {
        put(&mut out, fact.properties_json.len() as u64);
    }
    let mut payload = Vec::with_capacity(facts.len() * 64);
    put_compressed(&mut payload, &out);
    for block in facts.chunks(BLOCK) {
        out.clear();
        for fact in block {
            out.extend_from_slice(fact.properties_json.as_bytes());
        }
        put_compressed(&mut payload, &out);
    }
    Packed { payload, customers: customers.texts }
}

fn put_compressed(payload: &mut Vec<u8>, bytes: &[u8]) {
    let compressed = COMPRESSOR.with_borrow_mut(|compressor| compressor.compress(bytes));
    let compressed = compressed.expect("memory can always be compressed");
    put(payload, compressed.len() as u64);
    payload.extend_from_slice(&compressed);
}

/// Texts and their places.
#[derive(Default)]
struct Dictionary<'a> {
    places: HashMap<&'a str, u64>,
    texts: Vec<&'a str>,
}

impl<'a> Dictionary<'a> {
    fn place(&mut self, text: &'a str) -> u64 {
        let next = self.texts.len() as u64;
        *self.places.entry(text).or_insert_with(|| {
            self.texts.push(text);
            next
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        put(out, self.texts.len() as u64);
        self.texts.iter().for_each(|text| put_text(out, text));
    }
}

/// The UUID that a text is, if it is written as [`Uuid`] prints it.
fn canonical_uuid(text: &str) -> Option<Uuid> {
    let id = (text.len() == 36).then(|| Uuid::try_parse(text).ok())??;
    let mut buffer = [0; 36];
    (id.hyphenated().encode_lower(&mut buffer) == text).then_some(id)
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_differences(out: &mut Vec<u8>, numbers: impl Iterator<Item = i64>) {
    let mut before = 0_i64;
    for number in numbers {
        let difference = number.wrapping_sub(before);
        put(out, ((difference << 1) ^ (difference >> 63)).cast_unsigned());
        before = number;
    }
}

/// Most that is believed of a payload about its own length.
const LENGTH_MAX: u64 = 64 << 20;

/// In one step, where the payload says how long it gets: a stream would grow its buffer again and again.
fn decompress(payload: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    match zstd::zstd_safe::get_frame_content_size(payload) {
        Ok(Some(length @ 1..=LENGTH_MAX)) => {
            let length = usize::try_from(length).expect("it was compared");
            DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.decompress(payload, length))
        }
        _ => zstd::stream::decode_all(payload),
    }
}

/// The events of a payload.
pub struct Facts {
    text: String,
    customers: Vec<Range<usize>>,
    types: Vec<Range<usize>>,
    events: Vec<Place>,
}

/// Where the parts of an event are.
struct Place {
    customer: usize,
    event_type: usize,
    timestamp: Instant,
    received_at: Instant,
    seq: i64,
    is_duplicate: bool,
    transaction_id: Range<usize>,
    properties_json: Range<usize>,
}

impl Facts {
    /// Reads a payload.
    pub fn unpack(codec: i16, payload: &[u8]) -> Result<Self, CodecError> {
        Self::unpack_where(codec, payload, |_, _| true)
    }

    /// Reads the events of these transaction ids, several times as fast as all.
    pub fn unpack_only(codec: i16, payload: &[u8], wanted: &HashSet<String>) -> Result<Self, CodecError> {
        let ids: Vec<Uuid> = wanted.iter().filter_map(|id| canonical_uuid(id)).collect();
        Self::unpack_where(codec, payload, |_, id| match id {
            Id::Uuid(bytes) => ids.iter().any(|id| id.as_bytes() == bytes),
            Id::Text(text) => wanted.contains(text),
        })
    }

    /// Reads the events of some customers, several times as fast as all; they are named by their places among
    /// [`Self::customers`], which are those of all events.
    pub fn unpack_of(
        codec: i16,
        payload: &[u8],
        is_asked: impl Fn(usize) -> bool,
    ) -> Result<Self, CodecError> {
        Self::unpack_where(codec, payload, |customer, _| is_asked(customer))
    }

    /// The events that `keeps` by the place of the customer and by the transaction id.
    fn unpack_where(
        codec: i16,
        payload: &[u8],
        keeps: impl Fn(usize, Id<'_>) -> bool,
    ) -> Result<Self, CodecError> {
        match codec {
            0 => {
                let rows: Vec<Row> = serde_json::from_slice(payload)?;
                Ok(Self::of_rows(&rows, keeps))
            }
            1 => Self::of_columns(&decompress(payload)?, None, keeps).ok_or(CodecError::Damaged),
            2 => {
                let mut blocks = Reader { bytes: payload, at: 0 };
                let head = decompress(blocks.compressed().ok_or(CodecError::Damaged)?)?;
                Self::of_columns(&head, Some(blocks), keeps).ok_or(CodecError::Damaged)
            }
            unknown => Err(CodecError::Unknown(unknown)),
        }
    }

    /// The distinct strings that the events name their customers by.
    #[must_use]
    pub fn customers(&self) -> impl ExactSizeIterator<Item = &str> {
        self.customers.iter().map(|range| &self.text[range.clone()])
    }

    /// What they take in memory, about.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.text.len() + self.events.len() * size_of::<Place>()
    }

    /// Each event with the place of its customer among [`Self::customers`].
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (usize, Fact<'_>)> {
        self.events.iter().map(|event| {
            let fact = Fact {
                transaction_id: &self.text[event.transaction_id.clone()],
                customer_id: &self.text[self.customers[event.customer].clone()],
                event_type: &self.text[self.types[event.event_type].clone()],
                timestamp: event.timestamp,
                received_at: event.received_at,
                seq: event.seq,
                properties_json: &self.text[event.properties_json.clone()],
                is_duplicate: event.is_duplicate,
            };
            (event.customer, fact)
        })
    }

    /// Of all columns, or of all but the properties and the blocks that these are in.
    fn of_columns(
        bytes: &[u8],
        blocks: Option<Reader<'_>>,
        keeps: impl Fn(usize, Id<'_>) -> bool,
    ) -> Option<Self> {
        let mut from = Reader { bytes, at: 0 };
        let mut text = String::with_capacity(bytes.len());
        let count = from.length()?;
        let mut dictionary = || {
            let length = from.length()?;
            (0..length).map(|_| from.text(&mut text)).collect::<Option<Vec<_>>>()
        };
        let (customers, types) = (dictionary()?, dictionary()?);
        let customer_places = from.places(count, customers.len())?;
        let type_places = from.places(count, types.len())?;
        let timestamps = from.differences(count)?;
        let seqs = from.differences(count)?;
        let received = from.differences(count)?;
        let flags = from.take(count)?;
        // Of the events that are kept.
        let mut ids: Vec<Option<Range<usize>>> = Vec::with_capacity(count);
        for (flags, customer) in flags.iter().zip(&customer_places) {
            let id = match flags & UUID {
                0 => Id::Text(from.next_text()?),
                _ => Id::Uuid(from.take(16)?),
            };
            ids.push(if keeps(*customer, id) { Some(id.write(&mut text)?) } else { None });
        }
        let is_kept: Vec<bool> = ids.iter().map(Option::is_some).collect();
        let length = |_| usize::try_from(from.number()?).ok();
        let lengths: Vec<usize> = (0..count).map(length).collect::<Option<_>>()?;
        let mut events = Vec::with_capacity(ids.iter().flatten().count());
        let mut add = |index: usize, properties: &mut Reader<'_>| {
            let Some(transaction_id) = ids[index].take() else {
                properties.take(lengths[index])?;
                return Some(());
            };
            events.push(Place {
                customer: customer_places[index],
                event_type: type_places[index],
                timestamp: DateTime::from_timestamp_micros(timestamps[index])?,
                received_at: DateTime::from_timestamp_micros(received[index])?,
                seq: seqs[index],
                is_duplicate: flags[index] & DUPLICATE != 0,
                transaction_id,
                properties_json: properties.text_of(lengths[index], &mut text)?,
            });
            Some(())
        };
        if let Some(mut blocks) = blocks {
            for start in (0..count).step_by(BLOCK) {
                let compressed = blocks.compressed()?;
                let end = (start + BLOCK).min(count);
                if !is_kept[start..end].contains(&true) {
                    continue;
                }
                let bytes = decompress(compressed).ok()?;
                let mut properties = Reader { bytes: &bytes, at: 0 };
                (start..end).try_for_each(|index| add(index, &mut properties))?;
                properties.is_at_end().then_some(())?;
            }
            blocks.is_at_end().then_some(())?;
        } else {
            (0..count).try_for_each(|index| add(index, &mut from))?;
        }
        from.is_at_end().then_some(Self { text, customers, types, events })
    }

    fn of_rows(rows: &[Row], keeps: impl Fn(usize, Id<'_>) -> bool) -> Self {
        let mut facts =
            Self { text: String::new(), customers: Vec::new(), types: Vec::new(), events: Vec::new() };
        let mut keep = |text: &str| {
            let start = facts.text.len();
            facts.text.push_str(text);
            start..facts.text.len()
        };
        for (index, row) in rows.iter().enumerate() {
            facts.customers.push(keep(&row.customer_id));
            facts.types.push(keep(&row.event_type));
            if !keeps(index, Id::Text(&row.transaction_id)) {
                continue;
            }
            facts.events.push(Place {
                customer: index,
                event_type: index,
                timestamp: row.timestamp,
                received_at: row.received_at,
                seq: row.seq,
                is_duplicate: row.is_duplicate,
                transaction_id: keep(&row.transaction_id),
                properties_json: keep(&row.properties_json),
            });
        }
        facts
    }
}

/// A transaction id as it is packed.
#[derive(Clone, Copy)]
enum Id<'a> {
    /// Its sixteen bytes.
    Uuid(&'a [u8]),
    Text(&'a str),
}

impl Id<'_> {
    /// Adds the id to the text and answers where it is.
    fn write(self, text: &mut String) -> Option<Range<usize>> {
        let start = text.len();
        match self {
            Self::Uuid(bytes) => {
                let id = Uuid::from_slice(bytes).ok()?;
                text.push_str(id.hyphenated().encode_lower(&mut [0; 36]));
            }
            Self::Text(id) => text.push_str(id),
        }
        Some(start..text.len())
    }
}

/// An event in codec 0.
#[derive(Deserialize)]
struct Row {
    transaction_id: String,
    customer_id: String,
    event_type: String,
    timestamp: Instant,
    received_at: Instant,
    seq: i64,
    properties_json: String,
    is_duplicate: bool,
}

/// Bytes that are read once, from the front.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// What [`put_compressed`] wrote, as it was compressed.
    fn compressed(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A number of things that each take a byte or more of what is left.
    fn length(&mut self) -> Option<usize> {
        let length = usize::try_from(self.number()?).ok()?;
        (length <= self.bytes.len() - self.at).then_some(length)
    }

    fn next_text(&mut self) -> Option<&'a str> {
        let length = self.length()?;
        str::from_utf8(self.take(length)?).ok()
    }

    fn text(&mut self, into: &mut String) -> Option<Range<usize>> {
        let length = self.length()?;
        self.text_of(length, into)
    }

    fn text_of(&mut self, length: usize, into: &mut String) -> Option<Range<usize>> {
        let start = into.len();
        into.push_str(str::from_utf8(self.take(length)?).ok()?);
        Some(start..into.len())
    }

    fn places(&mut self, count: usize, below: usize) -> Option<Vec<usize>> {
        let place = |_| usize::try_from(self.number()?).ok().filter(|place| *place < below);
        (0..count).map(place).collect()
    }

    fn differences(&mut self, count: usize) -> Option<Vec<i64>> {
        let mut before = 0_i64;
        let next = |_| {
            let number = self.number()?;
            let difference = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
            before = before.wrapping_add(difference);
            Some(before)
        };
        (0..count).map(next).collect()
    }
}

impl ReceivedEvent {
    /// The event as it is packed.
    #[must_use]
    pub fn as_fact(&self) -> Fact<'_> {
        Fact {
            transaction_id: &self.transaction_id,
            customer_id: &self.customer_id,
            event_type: &self.event_type,
            timestamp: self.timestamp,
            received_at: self.received_at,
            seq: self.seq,
            properties_json: &self.properties_json,
            is_duplicate: self.is_duplicate,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn event(
        id: String,
        customer: String,
        kind: String,
        micros: i64,
        seq: i64,
        properties: String,
    ) -> ReceivedEvent {
        let at = DateTime::UNIX_EPOCH + TimeDelta::microseconds(micros);
        ReceivedEvent {
            transaction_id: id,
            customer_id: customer,
            event_type: kind,
            timestamp: at,
            received_at: at + TimeDelta::seconds(seq % 7),
            seq,
            properties_json: properties,
            is_duplicate: seq % 3 == 0,
        }
    }

    prop_compose! {
        fn any_event()(
            id in prop_oneof![
                any::<u128>().prop_map(|bits| Uuid::from_u128(bits).to_string()),
                any::<u128>().prop_map(|bits| Uuid::from_u128(bits).to_string().to_uppercase()),
                ".{1,40}",
            ],
            customer in "[a-c]|.{1,9}", kind in "[a-c]|.{1,9}", micros in 0_i64..200_000_000_000_000_000,
            seq in any::<i64>(), properties in ".{0,60}",
        ) -> ReceivedEvent {
            event(id, customer, kind, micros, seq, properties)
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(events in prop::collection::vec(any_event(), 0..300)) {
            let facts: Vec<Fact<'_>> = events.iter().map(ReceivedEvent::as_fact).collect();
            let unpacked = Facts::unpack(CODEC, &pack(&facts).payload).expect("just packed");
            let customers: Vec<&str> = unpacked.customers().collect();
            for (customer, fact) in unpacked.iter() {
                prop_assert_eq!(customers[customer], fact.customer_id);
            }
            prop_assert_eq!(unpacked.iter().map(|(_, fact)| fact).collect::<Vec<_>>(), facts.clone());

            let wanted: HashSet<String> = facts.iter().step_by(3).map(|fact| fact.transaction_id.to_owned()).collect();
            let only = Facts::unpack_only(CODEC, &pack(&facts).payload, &wanted).expect("just packed");
            let expected = facts.iter().copied().filter(|fact| wanted.contains(fact.transaction_id));
            prop_assert_eq!(only.iter().map(|(_, fact)| fact).collect::<Vec<_>>(), expected.collect::<Vec<_>>());

            let of = Facts::unpack_of(CODEC, &pack(&facts).payload, |customer| customer % 3 == 1).expect("just packed");
            prop_assert_eq!(of.customers().collect::<Vec<_>>(), customers);
            let expected = unpacked.iter().filter(|(customer, _)| customer % 3 == 1);
            prop_assert_eq!(of.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }

        #[test]
        fn damage_is_an_error_and_no_panic(
            events in prop::collection::vec(any_event(), 1..5), at in any::<prop::sample::Index>(), with in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let facts: Vec<Fact<'_>> = events.iter().map(ReceivedEvent::as_fact).collect();
            let mut payload = pack(&facts).payload;
            let mut blocks = Reader { bytes: &payload, at: 0 };
            let head = zstd::stream::decode_all(blocks.compressed().expect("just packed")).expect("just packed");
            let blocks = || Some(Reader { ..blocks });
            prop_assert!(Facts::of_columns(&head, blocks(), |_, _| true).is_some());
            prop_assert!(Facts::of_columns(&head[..cut.index(head.len())], blocks(), |_, _| true).is_none());
            let mut damaged = head.clone();
            damaged[at.index(head.len())] = with;
            let _ = Facts::of_columns(&damaged, blocks(), |_, _| true);
            prop_assert!(Facts::unpack(CODEC, &payload[..cut.index(payload.len())]).is_err());
            let place = at.index(payload.len());
            payload[place] = with;
            let _ = Facts::unpack(CODEC, &payload);
        }

        #[test]
        fn payloads_of_the_second_form_are_read(events in prop::collection::vec(any_event(), 0..30)) {
            let facts: Vec<Fact<'_>> = events.iter().map(ReceivedEvent::as_fact).collect();
            let payload = pack(&facts).payload;
            let mut parts = Reader { bytes: &payload, at: 0 };
            let mut all = Vec::new();
            while !parts.is_at_end() {
                let part = parts.compressed().expect("just packed");
                all.extend(zstd::stream::decode_all(part).expect("just packed"));
            }
            let unpacked = Facts::unpack(1, &zstd::stream::encode_all(&*all, 1).expect("memory")).expect("all columns");
            prop_assert_eq!(unpacked.iter().map(|(_, fact)| fact).collect::<Vec<_>>(), facts);
        }
    }

    #[test]
    fn rows_of_the_first_form_are_read() {
        let text = r#"[{"transaction_id": "t", "customer_id": "c", "event_type": "e",
            "timestamp": "2026-05-20T00:00:00.000001+00:00", "received_at": "2026-05-20T00:00:01+00:00", "seq": 1001,
            "properties_json": "{\"a\": 1.50}", "is_duplicate": false}]"#;
        let facts = Facts::unpack(0, text.as_bytes()).expect("rows");
        let (_, fact) = facts.iter().next().expect("one");
        assert_eq!(
            (fact.properties_json, fact.seq, fact.timestamp.timestamp_subsec_micros()),
            (r#"{"a": 1.50}"#, 1001, 1)
        );
    }
}
