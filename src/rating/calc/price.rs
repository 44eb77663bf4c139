//! What a combination costs, and for how long.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::quantity::Combination;
use super::tier::{TierSlice, walk_tiers};
use crate::catalog::rate::{Price, RateEntry};
use crate::contract::rate_override::calc::{
    Chosen, Drawn, Line, PriceSource, boundaries, choose, effective_price, entitlement, of_line,
};
use crate::contract::rate_override::{Override, PresentationValues, RateTarget};
use crate::money::{CreditType, Decimal, zero};
use crate::rating::RateTimeline;
use crate::rating::terms::{Agreement, ProductTerms};
use crate::time::{Instant, Period};

/// A price, and why it is this one.
///
/// It is small, as a large contract has a hundred thousand, most of them the card's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Pricing<'a> {
    /// The card's entry in force.
    pub entry: &'a RateEntry,
    /// The unit of the entry's prices.
    pub list_unit: &'a CreditType,
    pub unit: &'a CreditType,
    pub entitled: bool,
    /// The entry's one price, where it has one.
    single: Option<&'a Decimal>,
    /// Unset where there is no more to say.
    more: Option<Box<More<'a>>>,
}

/// What few prices have.
#[derive(Clone, Debug, Default, PartialEq)]
struct More<'a> {
    /// Unset where no override changes it.
    price: Option<Price>,
    chosen: Chosen<'a>,
    sources: Vec<PriceSource>,
    /// What may price it otherwise while a balance is drawn; unset: the commit rate of the entry alone.
    for_balances: Option<ForBalances<'a>>,
    continued: Vec<(Instant, Pricing<'a>)>,
}

/// What prices usage that a balance pays for, where a commit-specific override is aimed at it.
#[derive(Clone, Debug, PartialEq)]
pub struct ForBalances<'a> {
    /// Every override that is aimed at it and in force, whatever is drawn.
    overrides: Vec<&'a Override>,
    /// The tags that they were held against.
    tags: &'a [String],
}

/// What is charged while a balance is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnPrice<'a> {
    pub price: Cow<'a, Price>,
    pub unit: &'a CreditType,
    pub chosen: Chosen<'a>,
}

impl<'a> Pricing<'a> {
    /// What a combination costs while a balance is drawn, which may be at the commit rate (documentation page on discounts of
    /// commits): the commit rate where there is one, else the list rate, each under the overrides that are for this balance;
    /// without any, the price of everything else.
    #[must_use]
    pub fn while_drawn(
        &self,
        agreement: &Agreement<'a>,
        product: &'a ProductTerms,
        combination: &Combination,
        at: Instant,
        drawn: &Drawn,
        at_commit_rate: bool,
    ) -> DrawnPrice<'a> {
        let entry = self.entry;
        let commit_rate = entry.commit_rate.as_ref().filter(|_| at_commit_rate);
        let Some(ForBalances { overrides, tags }) = self.for_balances() else {
            return match commit_rate {
                Some(price) => DrawnPrice {
                    price: Cow::Borrowed(price),
                    unit: self.list_unit,
                    chosen: Chosen::default(),
                },
                None => DrawnPrice {
                    price: Cow::Owned(self.price().clone()),
                    unit: self.unit,
                    chosen: self.chosen().clone(),
                },
            };
        };
        let presentation = presented(product, combination, at);
        let line = Line {
            product_id: product.product_id,
            tags,
            pricing_group_values: &combination.pricing,
            presentation_group_values: &presentation,
            billing_frequency: None,
            has_minimum: entry.price.minimum().is_some(),
        };
        let (base, target) = match commit_rate {
            Some(commit_rate) => (commit_rate, RateTarget::CommitRate),
            None => (&entry.price, RateTarget::ListRate),
        };
        let overrides = overrides.iter().copied();
        let chosen = choose(overrides, &line, at, agreement.prioritization, Some(drawn), target);
        if chosen.winner().is_none() {
            return DrawnPrice { price: Cow::Borrowed(base), unit: self.list_unit, chosen };
        }
        let effective = effective_price(base, self.list_unit.id, &chosen);
        let unit = effective.unit().map_or(self.list_unit, |id| agreement.terms.unit(id));
        DrawnPrice { price: Cow::Owned(effective.price), unit, chosen }
    }

    /// What is charged: the entry's price, or what an override makes of it.
    #[must_use]
    pub fn price(&self) -> &Price {
        self.more.as_ref().and_then(|more| more.price.as_ref()).unwrap_or(&self.entry.price)
    }

    /// The one price or fraction of [`Self::price`], where there is one.
    #[must_use]
    pub fn single(&self) -> Option<&Decimal> {
        match self.more.as_ref().and_then(|more| more.price.as_ref()) {
            Some(price) => price.single(),
            None => self.single,
        }
    }

    /// The overrides that make it, and those that do not.
    #[must_use]
    pub fn chosen(&self) -> &Chosen<'a> {
        static NONE: Chosen<'static> = Chosen { chain: Vec::new(), lost: Vec::new() };
        self.more.as_ref().map_or(&NONE, |more| &more.chosen)
    }

    /// Where each tier of the price comes from, under an override.
    #[must_use]
    pub fn sources(&self) -> &[PriceSource] {
        self.more.as_ref().map(|more| more.sources.as_slice()).unwrap_or_default()
    }

    /// The same price from later instants on, by another entry or another override.
    #[must_use]
    pub fn continued(&self) -> &[(Instant, Pricing<'a>)] {
        self.more.as_ref().map(|more| more.continued.as_slice()).unwrap_or_default()
    }

    /// What may price it otherwise while a balance is drawn; unset: the commit rate of the entry alone.
    #[must_use]
    pub fn for_balances(&self) -> Option<&ForBalances<'a>> {
        self.more.as_ref().and_then(|more| more.for_balances.as_ref())
    }

    /// The same price in another unit.
    pub(super) fn in_unit(&self, unit: &'a CreditType) -> Self {
        Self { unit, list_unit: unit, ..self.clone() }
    }

    fn listed(agreement: &Agreement<'a>, entry: &'a RateEntry) -> Self {
        let unit = agreement.terms.unit(entry.credit_type_id);
        let single = entry.price.single();
        Self { entry, list_unit: unit, unit, entitled: entry.entitled, single, more: None }
    }

    /// The entry under the overrides that are in force for the line.
    fn overridden(
        agreement: &Agreement<'a>,
        entry: &'a RateEntry,
        overrides: &[&'a Override],
        line: &Line<'_>,
        tags: &'a [String],
        at: Instant,
    ) -> Self {
        let in_force = overrides.iter().copied().filter(|one| one.covers(at));
        let is_for_balances =
            !of_line(in_force.clone().filter(|one| one.is_commit_specific), line).is_empty();
        let for_balances = is_for_balances.then(|| ForBalances { overrides: of_line(in_force, line), tags });
        let listed = Self::listed(agreement, entry);
        let all = || overrides.iter().copied();
        let entitled = entitlement(all(), line, at, entry.entitled);
        let chosen = choose(all(), line, at, agreement.prioritization, None, RateTarget::ListRate);
        if chosen == Chosen::default() && for_balances.is_none() {
            return Self { entitled, ..listed };
        }
        let (unit, more) = if chosen.winner().is_none() {
            (listed.unit, More { chosen, for_balances, ..More::default() })
        } else {
            let effective = effective_price(&entry.price, entry.credit_type_id, &chosen);
            let unit = effective.unit().map_or(listed.unit, |id| agreement.terms.unit(id));
            let (price, sources) = (Some(effective.price), effective.sources);
            (unit, More { price, chosen, sources, for_balances, continued: Vec::new() })
        };
        Self { unit, entitled, more: Some(Box::new(more)), ..listed }
    }

    fn is_for_the_same_reason(&self, other: &Self) -> bool {
        self.entry.added == other.entry.added && self.chosen() == other.chosen()
    }

    /// Whether one line may be under both.
    fn says_the_same(&self, other: &Self) -> bool {
        self.entry.says_the_same(other.entry)
            && self.price() == other.price()
            && self.unit == other.unit
            && self.entitled == other.entitled
            && self.for_balances() == other.for_balances()
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
) -> Vec<(Period, Pricing<'a>)> {
    let Some(timeline) = product.rates.of(&combination.pricing) else { return Vec::new() };
    if agreement.overrides.is_empty() {
        return listed_pricings(agreement, timeline, span);
    }
    let presentation = presented(product, combination, span.start);
    let line_at = |at: Instant, entry: &RateEntry| Line {
        product_id: product.product_id,
        tags: product.states.at(at).tags.as_deref().unwrap_or_default(),
        pricing_group_values: &combination.pricing,
        presentation_group_values: &presentation,
        billing_frequency: None,
        has_minimum: entry.price.minimum().is_some(),
    };
    let segments = timeline.segments();
    let mut pricings: Vec<(Period, Pricing<'a>)> = Vec::with_capacity(segments.len());
    let mut push = |period: Period, pricing: Pricing<'a>| match pricings.last_mut() {
        Some((last, before)) if last.end == period.start && before.says_the_same(&pricing) => {
            last.end = period.end;
            let latest = before.continued().last().map_or(&*before, |(_, latest)| latest);
            if !latest.is_for_the_same_reason(&pricing) {
                before.more.get_or_insert_default().continued.push((period.start, pricing));
            }
        }
        _ => pricings.push((period, pricing)),
    };
    for (segment, entry) in segments {
        let Some(period) = span.clip(segment.start, segment.end) else { continue };
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
            let tags = product.states.at(start).tags.as_deref().unwrap_or_default();
            push(Period { start, end }, Pricing::overridden(agreement, entry, &aimed, &line, tags, start));
        }
    }
    pricings
}

/// [`pricings`] where no override plays a part.
fn listed_pricings<'a>(
    agreement: &Agreement<'a>,
    timeline: &'a RateTimeline,
    span: Period,
) -> Vec<(Period, Pricing<'a>)> {
    let segments = timeline.segments();
    let mut pricings: Vec<(Period, Pricing<'a>)> = Vec::with_capacity(segments.len());
    for (segment, entry) in segments {
        let Some(period) = span.clip(segment.start, segment.end) else { continue };
        let unit = agreement.terms.unit(segment.credit_type_id);
        let (entitled, single) = (segment.entitled, segment.single.as_ref());
        let pricing = Pricing { entry, list_unit: unit, unit, entitled, single, more: None };
        match pricings.last_mut() {
            Some((last, before)) if last.end == period.start && segment.says_the_same => {
                last.end = period.end;
                before.more.get_or_insert_default().continued.push((period.start, pricing));
            }
            _ => pricings.push((period, pricing)),
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
