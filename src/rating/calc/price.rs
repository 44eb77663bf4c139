//! What a combination costs, and for how long.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::quantity::Combination;
use super::tier::{TierSlice, walk_tiers};
use crate::catalog::rate::{Price, RateEntry, TimelineKey, calc};
use crate::contract::rate_override::calc::{
    Chosen, Line, PriceSource, boundaries, choose, effective_price, entitlement, of_line,
};
use crate::contract::rate_override::{Override, PresentationValues, RateTarget};
use crate::money::{CreditType, Decimal, zero};
use crate::rating::terms::{Agreement, ProductTerms};
use crate::time::{Instant, Period};

/// A price, and why it is this one.
#[derive(Clone, Debug, PartialEq)]
pub struct Pricing<'a> {
    /// The card's entry in force.
    pub entry: &'a RateEntry,
    /// The unit of the entry's prices.
    pub list_unit: &'a CreditType,
    /// What is charged: the entry's price, or what an override makes of it.
    pub price: Cow<'a, Price>,
    pub unit: &'a CreditType,
    pub entitled: bool,
    /// The overrides that make it, and those that do not.
    pub chosen: Chosen<'a>,
    /// Where each tier of the price comes from, under an override.
    pub sources: Vec<PriceSource>,
    /// The same price from later instants on, by another entry or another override.
    pub continued: Vec<(Instant, Pricing<'a>)>,
}

impl<'a> Pricing<'a> {
    fn listed(agreement: &Agreement<'a>, entry: &'a RateEntry) -> Self {
        let unit = agreement.terms.unit(entry.credit_type_id);
        Self {
            entry,
            list_unit: unit,
            price: Cow::Borrowed(&entry.price),
            unit,
            entitled: entry.entitled,
            chosen: Chosen::default(),
            sources: Vec::new(),
            continued: Vec::new(),
        }
    }

    /// The entry under the overrides that are in force for the line.
    fn overridden(
        agreement: &Agreement<'a>,
        entry: &'a RateEntry,
        overrides: &[&'a Override],
        line: &Line<'_>,
        at: Instant,
    ) -> Self {
        let listed = Self::listed(agreement, entry);
        let all = || overrides.iter().copied();
        let entitled = entitlement(all(), line, at, entry.entitled);
        let chosen = choose(all(), line, at, agreement.prioritization, None, RateTarget::ListRate);
        if chosen.winner().is_none() {
            return Self { entitled, chosen, ..listed };
        }
        let effective = effective_price(&entry.price, &chosen);
        Self {
            unit: effective.unit().map_or(listed.unit, |id| agreement.terms.unit(id)),
            price: Cow::Owned(effective.price),
            entitled,
            chosen,
            sources: effective.sources,
            ..listed
        }
    }

    fn is_for_the_same_reason(&self, other: &Self) -> bool {
        self.entry.added == other.entry.added && self.chosen == other.chosen
    }

    /// Whether one line may be under both.
    fn says_the_same(&self, other: &Self) -> bool {
        self.entry.says_the_same(other.entry)
            && self.price == other.price
            && self.unit == other.unit
            && self.entitled == other.entitled
    }
}

/// The prices of a combination one after the other over `span`, in which the product is presented by one key, where
/// there are any. Prices that say the same are one: adding the same price again changes no line.
#[must_use]
pub fn pricings<'a>(
    agreement: &Agreement<'a>,
    product: &'a ProductTerms,
    combination: &Combination,
    span: Period,
) -> Vec<(Period, Arc<Pricing<'a>>)> {
    let key = TimelineKey {
        product_id: product.product_id,
        pricing_group_values: combination.pricing.clone(),
        billing_frequency: None,
    };
    let Some(timeline) = product.timelines.get(&key) else { return Vec::new() };
    let timeline: Vec<&RateEntry> = timeline.iter().collect();
    let presentation = presented(product, combination, span.start);
    let line_at = |at: Instant, entry: &RateEntry| Line {
        product_id: product.product_id,
        tags: product.states.at(at).tags.as_deref().unwrap_or_default(),
        pricing_group_values: &combination.pricing,
        presentation_group_values: &presentation,
        billing_frequency: None,
        has_minimum: entry.price.minimum().is_some(),
    };
    let mut pricings: Vec<(Period, Arc<Pricing<'a>>)> = Vec::new();
    let mut push = |period: Period, pricing: Pricing<'a>| match pricings.last_mut() {
        Some((last, before)) if last.end == period.start && before.says_the_same(&pricing) => {
            last.end = period.end;
            let before = Arc::get_mut(before).expect("nobody else has it yet");
            let latest = before.continued.last().map_or(&*before, |(_, latest)| latest);
            if !latest.is_for_the_same_reason(&pricing) {
                before.continued.push((period.start, pricing));
            }
        }
        _ => pricings.push((period, Arc::new(pricing))),
    };
    for segment in calc::segments(&timeline) {
        let Some(period) = span.clip(segment.start, segment.end) else { continue };
        let entry = segment.entry;
        if agreement.overrides.is_empty() {
            push(period, Pricing::listed(agreement, entry));
            continue;
        }
        // With the tags that the product has at any time of it.
        let states = product.states.during(period.start, Some(period.end));
        let instants: Vec<Instant> = states.filter_map(|version| version.starting_at).collect();
        let at_any = instants.iter().map(|at| period.start.max(*at)).chain([period.start]);
        let aimed: BTreeMap<i64, &'a Override> = at_any
            .flat_map(|at| of_line(agreement.overrides, &line_at(at, entry)))
            .map(|one| (one.added, one))
            .collect();
        let aimed: Vec<&'a Override> = aimed.into_values().collect();
        let mut starts = boundaries(aimed.iter().copied());
        starts.extend(instants);
        starts.retain(|start| period.contains(*start));
        starts.push(period.start);
        starts.sort_unstable();
        starts.dedup();
        let ends = starts.iter().skip(1).copied().chain([period.end]);
        for (start, end) in starts.iter().copied().zip(ends) {
            let line = line_at(start, entry);
            push(Period { start, end }, Pricing::overridden(agreement, entry, &aimed, &line, start));
        }
    }
    pricings
}

/// A value for every key that the product is presented by; none where usage lacks it.
fn presented(product: &ProductTerms, combination: &Combination, at: Instant) -> PresentationValues {
    let key = product.states.at(at).presentation_key();
    key.iter().map(|name| (name.clone(), combination.presentation.get(name).cloned())).collect()
}

/// The parts of a move of the counter from `before` to `after`, each at one price: one for a flat price or a share, one
/// for each tier that is touched.
#[must_use]
pub fn slices(price: &Price, before: &Decimal, after: &Decimal) -> Vec<TierSlice> {
    match price {
        Price::Flat(price)
        | Price::Percentage { fraction: price, .. }
        | Price::Subscription { price, .. } => {
            vec![TierSlice { position: None, quantity: after - before, price: price.clone() }]
        }
        Price::Tiered(tiers) | Price::TieredPercentage { tiers, .. } => walk_tiers(tiers, before, after),
    }
}

/// What a move of the counter costs.
#[must_use]
pub fn cost(price: &Price, before: &Decimal, after: &Decimal) -> Decimal {
    slices(price, before, after).iter().map(|slice| &slice.quantity * &slice.price).sum()
}

/// What a move of the counter costs at one price, of the units alone that are not free at another.
#[must_use]
pub fn cost_of_paid(price: &Price, paid_at: &Price, before: &Decimal, after: &Decimal) -> Decimal {
    let mut slices = slices(paid_at, before, after);
    if after < before {
        slices.reverse();
    }
    let mut at = before.clone();
    let mut total = zero();
    for slice in slices {
        let next = &at + &slice.quantity;
        if slice.price != zero() {
            total += cost(price, &at, &next);
        }
        at = next;
    }
    total
}
