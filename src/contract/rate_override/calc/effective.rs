//! What a line costs under what was chosen for it.

use super::choice::Chosen;
use super::price::{map_prices, with_tiers};
use crate::catalog::rate::{Price, Tier};
use crate::contract::rate_override::{Override, OverrideKind, OverrideTier};
use crate::id::{CreditTypeId, OverrideId};
use crate::money::{Decimal, InputNumber, is_positive, zero};

/// The price of a line after overrides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectivePrice {
    /// In the form of the base, or tiered where quantity ranges cost differently.
    pub price: Price,
    /// Where each tier of the price comes from; the one source of a price without tiers.
    pub sources: Vec<PriceSource>,
}

impl EffectivePrice {
    /// The unit that an OVERWRITE names for it; unset: that of the base. Shares are in the unit of what they are of, whatever
    /// the override says (schema `OverwriteRateInput`: ignored for percentages, as in a rate).
    #[must_use]
    pub fn unit(&self) -> Option<CreditTypeId> {
        let is_share = self.price.uses_list_prices().is_some();
        self.sources.iter().find_map(|source| source.unit).filter(|_| !is_share)
    }
}

/// Where the price of a quantity range comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceSource {
    /// Unset: the base itself.
    pub override_id: Option<OverrideId>,
    /// From 1; set under a TIERED override.
    pub override_tier: Option<usize>,
    /// From 1; set where the rate that it is taken from (the base, or what an OVERWRITE puts in its place) has tiers.
    pub rate_tier: Option<usize>,
    /// The unit that an OVERWRITE names; unset: that of the base.
    pub unit: Option<CreditTypeId>,
}

/// The base under what was chosen: a MULTIPLIER multiplies each of its prices, an OVERWRITE replaces it whole, a TIERED
/// override multiplies it in the quantity ranges of both. What lies beyond a TIERED override with an end is under the
/// next one of the chain, and at last under the base. The unit at a place of the counter costs what that place has in
/// each of them: all ranges are counted from the start.
///
/// A line has one unit. So where an OVERWRITE names another unit than that of the base, no TIERED override before it changes anything,
/// as it would multiply prices of the base (our decision: the reference does not say).
#[must_use]
pub fn effective_price(base: &Price, base_unit: CreditTypeId, chosen: &Chosen<'_>) -> EffectivePrice {
    let mut ranges = Vec::new();
    let mut from = zero();
    let is_in_another_unit = |one: &&Override| match &one.kind {
        Some(OverrideKind::Overwrite(rate)) => {
            rate.price.uses_list_prices().is_none() && rate.credit_type_id.is_some_and(|id| id != base_unit)
        }
        _ => false,
    };
    let first = chosen.chain.iter().position(is_in_another_unit).unwrap_or_default();
    for rate_override in &chosen.chain[first..] {
        let layer = Layer::new(base, rate_override);
        if ranges.is_empty() && layer.is_whole() {
            return layer.whole();
        }
        let Some(end) = layer.add_ranges(&from, &mut ranges) else {
            return tiered(base, ranges);
        };
        from = from.max(end);
    }
    let layer = Layer { base, scale: Scale::Same, source: PriceSource::default() };
    if ranges.is_empty() {
        return layer.whole();
    }
    layer.add_ranges(&from, &mut ranges);
    tiered(base, ranges)
}

/// A price with each of its prices multiplied; what else it says stays.
#[must_use]
pub fn scaled(price: &Price, multiplier: &Decimal) -> Price {
    map_prices(price, |price| (price * multiplier).normalized())
}

/// A rate and how an override changes it.
struct Layer<'a> {
    base: &'a Price,
    scale: Scale<'a>,
    source: PriceSource,
}

enum Scale<'a> {
    Same,
    By(&'a Decimal),
    ByRange(&'a [OverrideTier]),
}

/// A range of a quantity up to `end`, or without end.
struct Range {
    start: Decimal,
    end: Option<Decimal>,
    price: Decimal,
    source: PriceSource,
}

/// A range of a list of widths.
struct Span {
    start: Decimal,
    end: Option<Decimal>,
    /// From 0.
    index: usize,
}

impl<'a> Layer<'a> {
    fn new(base: &'a Price, rate_override: &'a Override) -> Self {
        let source = PriceSource { override_id: Some(rate_override.id), ..PriceSource::default() };
        match &rate_override.kind {
            Some(OverrideKind::Overwrite(rate)) => Self {
                base: &rate.price,
                scale: Scale::Same,
                source: PriceSource { unit: rate.credit_type_id, ..source },
            },
            Some(OverrideKind::Multiplier(multiplier)) => Self { base, scale: Scale::By(multiplier), source },
            Some(OverrideKind::Tiered(tiers)) => Self { base, scale: Scale::ByRange(tiers), source },
            None => Self { base, scale: Scale::Same, source },
        }
    }

    /// Whether it has no quantity ranges of its own.
    fn is_whole(&self) -> bool {
        !matches!(self.scale, Scale::ByRange(_))
    }

    /// The price of every unit under a layer without quantity ranges of its own.
    fn whole(&self) -> EffectivePrice {
        let price = match self.scale {
            Scale::By(multiplier) => scaled(self.base, multiplier),
            Scale::Same | Scale::ByRange(_) => self.base.clone(),
        };
        let sources = match self.base.tiers() {
            Some(tiers) => (1..=tiers.len()).map(|tier| self.source_of(Some(tier), None)).collect(),
            None => vec![self.source.clone()],
        };
        EffectivePrice { price, sources }
    }

    fn source_of(&self, rate_tier: Option<usize>, override_tier: Option<usize>) -> PriceSource {
        PriceSource { override_tier, rate_tier, ..self.source.clone() }
    }

    /// Adds the ranges of the layer beyond `from`; answers where they end, if they do.
    fn add_ranges(&self, from: &Decimal, ranges: &mut Vec<Range>) -> Option<Decimal> {
        let flat =
            [Tier { size: None, price: InputNumber(self.base.single().cloned().unwrap_or_else(zero)) }];
        let listed_tiers = self.base.tiers().unwrap_or(&flat);
        let of_rate = spans(listed_tiers.iter().map(|tier| tier.size.as_ref()), true);
        let of_override = match self.scale {
            Scale::ByRange(tiers) => spans(tiers.iter().map(|tier| tier.size.as_ref()), false),
            Scale::Same | Scale::By(_) => vec![Span { start: zero(), end: None, index: 0 }],
        };
        for own in &of_override {
            for listed in &of_rate {
                let start = (&own.start).max(&listed.start).max(from).clone();
                let end = match (&own.end, &listed.end) {
                    (Some(own), Some(listed)) => Some(own.min(listed).clone()),
                    (end, None) | (None, end) => end.clone(),
                };
                if end.as_ref().is_some_and(|end| *end <= start) {
                    continue;
                }
                let listed_price = &listed_tiers[listed.index].price.0;
                let (price, override_tier) = match self.scale {
                    Scale::Same => (listed_price.clone(), None),
                    Scale::By(multiplier) => (listed_price * multiplier, None),
                    Scale::ByRange(tiers) => {
                        (listed_price * &tiers[own.index].multiplier.0, Some(own.index + 1))
                    }
                };
                let rate_tier = self.base.tiers().map(|_| listed.index + 1);
                let source = self.source_of(rate_tier, override_tier);
                ranges.push(Range { start, end, price: price.normalized(), source });
            }
        }
        of_override.last().and_then(|span| span.end.clone())
    }
}

/// Where each of a list of widths starts and ends. `is_endless`: the last one has no end, whatever its width.
fn spans<'a>(sizes: impl ExactSizeIterator<Item = Option<&'a InputNumber>>, is_endless: bool) -> Vec<Span> {
    let last = sizes.len().saturating_sub(1);
    let mut start = zero();
    let mut spans = Vec::with_capacity(sizes.len());
    for (index, size) in sizes.enumerate() {
        let size = size.filter(|size| is_positive(&size.0) && !(is_endless && index == last));
        let end = size.map(|size| &start + &size.0);
        spans.push(Span { start: start.clone(), end: end.clone(), index });
        match end {
            Some(end) => start = end,
            None => break,
        }
    }
    spans
}

/// The price that the ranges make, in the form of a rate.
fn tiered(form: &Price, ranges: Vec<Range>) -> EffectivePrice {
    let mut tiers = Vec::with_capacity(ranges.len());
    let mut sources = Vec::with_capacity(ranges.len());
    for range in ranges {
        let size = range.end.map(|end| InputNumber((end - range.start).normalized()));
        tiers.push(Tier { size, price: InputNumber(range.price) });
        sources.push(range.source);
    }
    EffectivePrice { price: with_tiers(form, tiers), sources }
}
