//! From quantities and rates to charges.

use super::quantity::{Combination, cumulative_quantities, tallies_by_combination};
use super::tier::{TierPosition, walk_tiers};
use crate::catalog::rate::{Price, RateEntry, calc};
use crate::id::ProductId;
use crate::money::{Decimal, zero};
use crate::rating::terms::{ProductTerms, Terms, Usage};
use crate::time::{Instant, Period};
use crate::usage::calc::Tally;

/// One priced piece: product × pricing values × presentation values × stretch of time × tier.
#[derive(Clone, Debug)]
pub struct Charge {
    pub product_id: ProductId,
    pub combination: Combination,
    pub period: Period,
    pub quantity: Decimal,
    pub unit_price: Decimal,
    /// `quantity × unit_price`.
    pub total: Decimal,
    pub tier: Option<TierPosition>,
    /// The card's price of the piece.
    pub list_price: Price,
}

/// Consecutive segments of one combination under one price.
struct Stretch<'a> {
    entry: &'a RateEntry,
    period: Period,
    /// The counter at its start and its end.
    before: Decimal,
    after: Decimal,
    was_used: bool,
}

/// Prices a period: for each product in the card's order, its charges by time, group values and tier.
///
/// Usage whose group values have no rate, or that falls where there is no rate or no entitlement, makes no
/// charge.
#[must_use]
pub fn rate(terms: &Terms, usage: &Usage, cuts: &[Instant], period: Period) -> Vec<Charge> {
    terms.products.iter().flat_map(|product| rate_product(product, usage, cuts, period)).collect()
}

fn rate_product(product: &ProductTerms, usage: &Usage, cuts: &[Instant], period: Period) -> Vec<Charge> {
    let mut charges = Vec::new();
    for (combination, tallies) in tallies_by_combination(product, usage, cuts.len()) {
        let Some(timeline) = product.timelines.get(&combination.pricing) else { continue };
        let is_always_shown = combination == Combination::default();
        for stretch in stretches(product, timeline, &tallies, cuts, period) {
            if stretch.entry.entitled && (is_always_shown || stretch.was_used) {
                charges.extend(price(product, &combination, &stretch));
            }
        }
    }
    charges.sort_by(|one, other| {
        let level = |charge: &Charge| charge.tier.as_ref().map_or(0, |tier| tier.level);
        let one_key = (one.period.start, &one.combination, level(one));
        one_key.cmp(&(other.period.start, &other.combination, level(other)))
    });
    charges
}

/// The period cut where another price comes into force for this combination. Entries that say the same are one
/// stretch: adding the same price again changes no line.
fn stretches<'a>(
    product: &ProductTerms,
    timeline: &'a [RateEntry],
    tallies: &[Tally],
    cuts: &[Instant],
    period: Period,
) -> Vec<Stretch<'a>> {
    let timeline: Vec<&RateEntry> = timeline.iter().collect();
    let cumulative = cumulative_quantities(product, tallies);
    let mut stretches: Vec<Stretch<'a>> = Vec::new();
    let mut before = zero();
    for (index, &start) in cuts.iter().enumerate() {
        let after = &cumulative[index];
        let end = cuts.get(index + 1).copied().unwrap_or(period.end);
        let was_used = tallies[index] != Tally::default() || *after != before;
        if let Some(entry) = calc::effective_at(&timeline, start) {
            let continues = |last: &&mut Stretch<'_>| {
                let says_the_same = last.entry.price == entry.price && last.entry.entitled == entry.entitled;
                says_the_same && last.period.end == start
            };
            match stretches.last_mut().filter(continues) {
                Some(last) => {
                    last.period.end = end;
                    last.after = after.clone();
                    last.was_used |= was_used;
                }
                None => {
                    let period = Period { start, end };
                    stretches.push(Stretch { entry, period, before, after: after.clone(), was_used });
                }
            }
        }
        before = after.clone();
    }
    stretches
}

/// The charges of one stretch: one for a flat price, one for each tier that is touched.
fn price(product: &ProductTerms, combination: &Combination, stretch: &Stretch<'_>) -> Vec<Charge> {
    let charge = |quantity: Decimal, unit_price: &Decimal, tier: Option<TierPosition>| Charge {
        product_id: product.product_id,
        combination: combination.clone(),
        period: stretch.period,
        total: &quantity * unit_price,
        quantity,
        unit_price: unit_price.clone(),
        tier,
        list_price: stretch.entry.price.clone(),
    };
    match &stretch.entry.price {
        Price::Flat(unit_price) => vec![charge(&stretch.after - &stretch.before, unit_price, None)],
        Price::Tiered(tiers) => walk_tiers(tiers, &stretch.before, &stretch.after)
            .into_iter()
            .map(|slice| charge(slice.quantity, &slice.price, Some(slice.position)))
            .collect(),
    }
}
