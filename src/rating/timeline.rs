//! The rates of a product over time, laid out once for all invoices that they price.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::catalog::rate::{BillingFrequency, GroupValues, RateEntry, calc};
use crate::id::CreditTypeId;
use crate::money::Decimal;
use crate::time::Instant;

/// The rates of a product: a timeline for each of its pricing group values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateTimelines {
    timelines: BTreeMap<Option<BillingFrequency>, HashMap<Packed, RateTimeline>>,
    /// Wherever any of them may change, ascending.
    changes: Vec<Instant>,
}

impl RateTimelines {
    /// The rates of usage of these values.
    #[must_use]
    pub fn of(&self, pricing_group_values: &GroupValues) -> Option<&RateTimeline> {
        self.timelines.get(&None)?.get(&packed(pricing_group_values))
    }

    /// Every entry; the timelines in no order, those of each in the order of their addition.
    pub fn entries(&self) -> impl Iterator<Item = &RateEntry> {
        self.timelines.values().flat_map(HashMap::values).flat_map(|timeline| &timeline.entries)
    }

    /// Where a rate begins or ends, ascending.
    #[must_use]
    pub fn changes(&self) -> &[Instant] {
        &self.changes
    }
}

impl FromIterator<RateEntry> for RateTimelines {
    /// Entries of one product, those of a timeline in the order of their addition.
    fn from_iter<I: IntoIterator<Item = RateEntry>>(entries: I) -> Self {
        let mut by_key: BTreeMap<Option<BillingFrequency>, HashMap<Packed, Vec<RateEntry>>> = BTreeMap::new();
        let mut changes = Vec::new();
        for entry in entries {
            changes.extend([Some(entry.starting_at), entry.ending_before].into_iter().flatten());
            let of_frequency = by_key.entry(entry.key.billing_frequency).or_default();
            of_frequency.entry(packed(&entry.key.pricing_group_values)).or_default().push(entry);
        }
        changes.sort_unstable();
        changes.dedup();
        let laid_out = |of_frequency: HashMap<Packed, Vec<RateEntry>>| {
            of_frequency.into_iter().map(|(values, entries)| (values, RateTimeline::new(entries))).collect()
        };
        let timelines =
            by_key.into_iter().map(|(frequency, of_frequency)| (frequency, laid_out(of_frequency))).collect();
        Self { timelines, changes }
    }
}

/// Group values in one piece of memory: those of a large card, each name and value in a place of its own, take longer to fetch
/// than to compare.
type Packed = Box<[u8]>;

/// Each name and value behind its length, so that no two maps look alike.
fn packed(values: &GroupValues) -> Packed {
    let texts = || values.iter().flat_map(|(name, value)| [name, value]);
    let mut packed = Vec::with_capacity(texts().map(|text| text.len() + size_of::<usize>()).sum());
    for text in texts() {
        packed.extend_from_slice(&text.len().to_le_bytes());
        packed.extend_from_slice(text.as_bytes());
    }
    packed.into_boxed_slice()
}

/// The rates of one combination of pricing group values.
#[derive(Clone, Debug, PartialEq)]
pub struct RateTimeline {
    /// In the order of addition.
    entries: Vec<RateEntry>,
    /// In the order of time, with gaps where there is no rate.
    segments: Vec<RateSegment>,
}

/// Time under one entry; with what is needed of it for most stretches, so that these need not look at it.
#[derive(Clone, Debug, PartialEq)]
pub struct RateSegment {
    pub start: Instant,
    pub end: Option<Instant>,
    /// The place of the entry.
    entry: usize,
    pub entitled: bool,
    pub credit_type_id: CreditTypeId,
    /// The entry's one price, where it has one. (A copy, as charging at a large card is slowed down by what it must fetch.)
    pub single: Option<Decimal>,
    /// The entry says the same as that of the segment before.
    pub says_the_same: bool,
}

impl RateTimeline {
    fn new(entries: Vec<RateEntry>) -> Self {
        let all: Vec<&RateEntry> = entries.iter().collect();
        let mut segments: Vec<RateSegment> = Vec::new();
        for calc::Segment { entry, start, end } in calc::segments(&all) {
            let before = segments.last().map(|before| &entries[before.entry]);
            segments.push(RateSegment {
                start,
                end,
                entry: entries.partition_point(|other| other.added < entry.added),
                entitled: entry.entitled,
                credit_type_id: entry.credit_type_id,
                single: entry.price.single().cloned(),
                says_the_same: before.is_some_and(|before| before.says_the_same(entry)),
            });
        }
        Self { entries, segments }
    }

    /// The entries in force, one after the other.
    #[must_use]
    pub fn segments(&self) -> impl ExactSizeIterator<Item = (&RateSegment, &RateEntry)> {
        self.segments.iter().map(|segment| (segment, &self.entries[segment.entry]))
    }
}
