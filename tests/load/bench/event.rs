//! The events that are sent: about 294 bytes of JSON with five properties. Everything is built before the clock
//! runs, but for what must differ from event to event: transaction id, customer and model are written into their
//! places just before a request goes out.

use std::ops::Range;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// What the three metrics count.
pub const REQUEST: &str = "llm_request";
/// What the metric of many groups counts.
pub const SEAT: &str = "seat_active";

/// Length of a customer's and a transaction's id.
const ID: usize = 36;
/// Digits at the end of a model's name.
const MODEL_DIGITS: usize = 4;

/// What the events say of a model.
pub fn model_name(model: usize) -> String {
    format!("model-{model:0MODEL_DIGITS$}")
}

/// Whose events, and of when.
#[derive(Clone, Serialize, Deserialize)]
pub struct Source {
    pub event_type: String,
    /// Ids of 36 characters, each as likely as the others.
    pub customers: Vec<String>,
    /// Different values of the group key.
    pub models: u64,
    pub newest: DateTime<Utc>,
    /// Timestamps lie this far before the newest at most.
    pub spread_seconds: u64,
}

/// What events amount to, by the three metrics.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub requests: u64,
    pub tokens: u64,
    pub longest: u64,
}

impl Totals {
    pub fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.tokens += other.tokens;
        self.longest = self.longest.max(other.longest);
    }
}

/// Random bits, quick and good enough. Two states of 64 bits, seeded by the system: transaction ids of different
/// processes do not meet.
pub struct Random([u64; 2]);

impl Random {
    pub fn new() -> Self {
        let mut seed = [[0; 8]; 2];
        for part in &mut seed {
            getrandom::fill(part).expect("the system has random bits");
        }
        Self(seed.map(u64::from_le_bytes))
    }

    fn step(&mut self, state: usize) -> u64 {
        // splitmix64
        self.0[state] = self.0[state].wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0[state];
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.step(0) % bound
    }

    pub fn id(&mut self) -> Uuid {
        Builder::from_u128((u128::from(self.step(0)) << 64) | u128::from(self.step(1)))
            .with_version(uuid::Version::Random)
            .with_variant(uuid::Variant::RFC4122)
            .into_uuid()
    }
}

/// An event before it is stamped.
pub struct Draft {
    pub timestamp: DateTime<Utc>,
    tokens: u64,
    duration: u64,
    user: u64,
}

impl Draft {
    fn new(source: &Source, random: &mut Random) -> Self {
        let millis = random.below(source.spread_seconds.max(1) * 1000);
        let age = TimeDelta::milliseconds(i64::try_from(millis).expect("a month"));
        Self {
            timestamp: source.newest - age,
            tokens: 1000 + random.below(9000),
            duration: 1000 + random.below(9000),
            user: random.below(10_000),
        }
    }

    fn totals(&self) -> Totals {
        Totals { requests: 1, tokens: self.tokens, longest: self.duration }
    }

    /// The properties, with the model's number left open.
    pub fn properties(&self) -> String {
        let Self { tokens, duration, user, .. } = self;
        format!(
            r#"{{"model":"model-0000","tokens":"{tokens}","duration_ms":"{duration}","region":"eu-central-1","user_id":"user-{user:04}"}}"#
        )
    }

    pub fn timestamp_text(&self) -> String {
        self.timestamp.to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// The event with its ids and its model left open.
    fn json(&self, event_type: &str) -> String {
        let (timestamp, properties, blank) = (self.timestamp_text(), self.properties(), " ".repeat(ID));
        format!(
            r#"{{"transaction_id":"{blank}","customer_id":"{blank}","event_type":"{event_type}","timestamp":"{timestamp}","properties":{properties}}}"#
        )
    }
}

/// Where in a block of bytes an event's open places are.
pub struct Places {
    pub transaction_id: usize,
    pub customer: usize,
    pub model: usize,
}

/// Many events as the bytes of a request or of a flush.
pub struct Template {
    pub bytes: Vec<u8>,
    pub places: Vec<Places>,
    pub totals: Totals,
}

impl Template {
    pub fn new() -> Self {
        Self { bytes: Vec::new(), places: Vec::new(), totals: Totals::default() }
    }

    /// `count` templates of `events` events each; `append` writes one event and says where its open places are.
    pub fn many(
        source: &Source,
        count: usize,
        events: usize,
        random: &mut Random,
        append: &dyn Fn(&mut Vec<u8>, &Draft) -> Places,
    ) -> Vec<Self> {
        let template = |random: &mut Random| {
            let mut template = Self::new();
            for _ in 0..events {
                let draft = Draft::new(source, random);
                template.totals.add(draft.totals());
                let places = append(&mut template.bytes, &draft);
                template.places.push(places);
            }
            template
        };
        (0..count).map(|_| template(random)).collect()
    }

    /// Fills the open places: every event gets a new transaction id, a customer and a model.
    pub fn stamp(&mut self, source: &Source, random: &mut Random) {
        for places in &self.places {
            random
                .id()
                .hyphenated()
                .encode_lower(&mut self.bytes[places.transaction_id..places.transaction_id + ID]);
            let customer = random.below(source.customers.len() as u64);
            let customer = &source.customers[usize::try_from(customer).expect("an index")];
            self.bytes[places.customer..places.customer + ID].copy_from_slice(customer.as_bytes());
            let mut model = random.below(source.models);
            for digit in self.bytes[places.model..places.model + MODEL_DIGITS].iter_mut().rev() {
                *digit = b"0123456789"[usize::try_from(model % 10).expect("a digit")];
                model /= 10;
            }
        }
    }

    pub fn transaction_id(&self, event: usize) -> String {
        let at = self.places[event].transaction_id;
        String::from_utf8_lossy(&self.bytes[at..at + ID]).into_owned()
    }
}

/// `count` times `POST /v1/ingest` with `events` events each.
pub fn requests(
    source: &Source,
    count: usize,
    events: usize,
    token: &str,
    random: &mut Random,
) -> Vec<Template> {
    let bodies = Template::many(source, count, events, random, &|bytes, draft| {
        bytes.push(if bytes.is_empty() { b'[' } else { b',' });
        let json = draft.json(&source.event_type);
        let start = bytes.len();
        bytes.extend_from_slice(json.as_bytes());
        places(start..bytes.len(), &json)
    });
    bodies.into_iter().map(|body| with_head(body, token)).collect()
}

fn places(written: Range<usize>, json: &str) -> Places {
    let after = |name: &str| written.start + json.find(name).expect("a field") + name.len();
    Places {
        transaction_id: after(r#""transaction_id":""#),
        customer: after(r#""customer_id":""#),
        model: after(r#""model":"model-"#),
    }
}

fn with_head(mut body: Template, token: &str) -> Template {
    body.bytes.push(b']');
    let head = format!(
        "POST /v1/ingest HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.bytes.len()
    );
    body.bytes.splice(..0, head.bytes());
    for places in &mut body.places {
        places.transaction_id += head.len();
        places.customer += head.len();
        places.model += head.len();
    }
    body
}

/// Bytes of an event as JSON.
pub fn json_length(now: DateTime<Utc>) -> usize {
    Draft { timestamp: now, tokens: 1000, duration: 1000, user: 0 }.json(REQUEST).len()
}
