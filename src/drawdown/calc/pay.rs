//! Charges in their order, and what pays for each.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::candidate::Candidate;
use super::cover::{Due, cover};
use super::target::{aims_at, skipped};
use crate::catalog::rate::Price;
use crate::contract::balance::{AccessType, CommitRateType};
use crate::id::ProductId;
use crate::money::{CreditType, Decimal, is_positive};
use crate::rating::calc::{Basis, Combination, Mark, Paid, Payer, Payment, Place, Stretch, prorated_price};
use crate::rating::{Agreement, ProductTerms};
use crate::time::{Instant, Period};

/// The drawdown of one statement: what is left of each candidate as charges are paid.
pub struct Drawdown<'a, 'c> {
    agreement: Agreement<'a>,
    candidates: &'c [Candidate<'c>],
    left: Vec<Decimal>,
}

/// The place of a charge in the order in which charges are paid: by start, the dearest first, then by name. Prices in custom units
/// count by what they are worth in the currency (our decision: what pays for units of both would else compare tokens with cents).
type Turn = (Instant, std::cmp::Reverse<Decimal>, String, ProductId);

impl<'a, 'c> Drawdown<'a, 'c> {
    #[must_use]
    pub fn new(agreement: Agreement<'a>, candidates: &'c [Candidate<'c>]) -> Self {
        let left = candidates.iter().map(|candidate| candidate.available.clone()).collect();
        Self { agreement, candidates, left }
    }

    /// What is drawn of each candidate so far, in their order.
    pub fn drawn(&self) -> impl Iterator<Item = (&'c Candidate<'c>, Decimal)> {
        let left = self.left.iter();
        self.candidates.iter().zip(left).map(|(candidate, left)| (candidate, &candidate.available - left))
    }

    /// The candidates with their numbers, in the order in which they are drawn.
    pub fn payers(&self) -> impl Iterator<Item = (Payer, &'c Candidate<'c>)> + use<'c> {
        self.candidates.iter().enumerate().map(|(number, candidate)| (Payer(number), candidate))
    }

    /// What one of a custom unit is worth in the currency; none of the currency itself.
    fn worth(&self, unit: &CreditType) -> Option<&'a Decimal> {
        let conversion = self.agreement.terms.conversions.iter().find(|conversion| conversion.unit == *unit);
        conversion.map(|conversion| &conversion.fiat_per_unit)
    }

    /// Draws a candidate for a range, where it may: one of quantities in whatever unit its units of usage are priced.
    pub(super) fn draw(
        &mut self,
        payer: Payer,
        due: &Due<'_>,
        price: Cow<'a, Price>,
        unit: &'a CreditType,
    ) -> Option<Paid<'a>> {
        let Payer(number) = payer;
        let balance = self.candidates[number].balance;
        if balance.access_type == AccessType::Spend && unit.id != balance.unit_id() {
            return None;
        }
        let paid = cover(due, payer, (balance.access_type, &self.left[number]), price, unit)?;
        self.left[number] -= &paid.drawn;
        Some(paid)
    }

    /// Cuts usage wherever what may pay for it begins or ends.
    fn cut(&self, stretches: &mut Vec<Stretch<'a>>) {
        let mut cut = Vec::with_capacity(stretches.len());
        for mut stretch in stretches.drain(..) {
            let has_steps = |stretch: &Stretch<'_>| match &stretch.basis {
                Basis::Usage(steps) => !steps.is_empty(),
                _ => true,
            };
            // With groups only time with usage is shown.
            let only_used = has_steps(&stretch) && *stretch.combination != Combination::default();
            let is_kept = |stretch: &Stretch<'_>| !only_used || has_steps(stretch);
            for instant in self.instants_of(&stretch) {
                if let Some(later) = stretch.cut_at(instant) {
                    let earlier = std::mem::replace(&mut stretch, later);
                    cut.extend(Some(earlier).filter(|earlier| is_kept(earlier)));
                }
            }
            cut.extend(Some(stretch).filter(|last| is_kept(last)));
        }
        // As pricing leaves them: by start, those that start together in the order of combinations.
        cut.sort_by(|one, other| {
            (one.period.start, &one.combination).cmp(&(other.period.start, &other.combination))
        });
        *stretches = cut;
    }

    /// Where anything begins or ends that may pay for a stretch, or for the conversion of its unit.
    fn instants_of(&self, stretch: &Stretch<'a>) -> BTreeSet<Instant> {
        let Stretch { product, combination, pricing, .. } = stretch;
        let currency = &self.agreement.terms.unit;
        let is_converted = pricing.unit != currency;
        let mut instants = BTreeSet::new();
        for candidate in self.candidates {
            let unit_id = candidate.balance.unit_id();
            let is_open = candidate.balance.terms.targeting.is_open();
            let pays_conversion = is_converted && unit_id == currency.id && is_open;
            let pays = || match candidate.balance.access_type {
                AccessType::Spend => unit_id == self.drawn_unit(candidate, stretch).id,
                AccessType::Quantity => true,
            };
            if pays_conversion || pays() {
                instants.extend(marks(candidate, product, combination));
            }
        }
        instants
    }

    /// The unit of what a stretch costs while a candidate is drawn.
    fn drawn_unit(&self, candidate: &Candidate<'_>, stretch: &Stretch<'a>) -> &'a CreditType {
        let pricing = &stretch.pricing;
        if pricing.for_balances().is_some() {
            return self.drawn_price(candidate, stretch, &stretch.span().2).1;
        }
        let at_commit_rate = candidate.balance.terms.rate_type == CommitRateType::CommitRate;
        if at_commit_rate && pricing.entry.commit_rate.is_some() { pricing.list_unit } else { pricing.unit }
    }

    /// The price of a stretch while a candidate is drawn.
    fn drawn_price(
        &self,
        candidate: &Candidate<'_>,
        stretch: &Stretch<'a>,
        listed: &Price,
    ) -> (Cow<'a, Price>, &'a CreditType) {
        let Stretch { product, combination, pricing, .. } = stretch;
        let as_listed = || (Cow::Owned(listed.clone()), pricing.unit);
        match &stretch.basis {
            Basis::Minimum(_) => as_listed(),
            Basis::Subscription(_) if pricing.for_balances().is_none() => as_listed(),
            basis => {
                let drawn = candidate.balance.drawn();
                // A billing period of a subscription has the price of its beginning.
                let at = match basis {
                    Basis::Subscription(_) => self.agreement.statement.counted.start,
                    _ => stretch.priced_at(),
                };
                let at_commit_rate = candidate.balance.terms.rate_type == CommitRateType::CommitRate;
                let while_drawn =
                    pricing.while_drawn(&self.agreement, product, combination, at, &drawn, at_commit_rate);
                let price = match basis {
                    Basis::Subscription(_) => {
                        Cow::Owned(prorated_price(&while_drawn.price, &self.agreement.statement))
                    }
                    _ => while_drawn.price,
                };
                (price, while_drawn.unit)
            }
        }
    }

    /// Pays for one place of a stretch.
    fn pay_place(&mut self, stretch: &mut Stretch<'a>, place: Place) {
        let listed = stretch.span().2.into_owned();
        let Place { from, to, charge } = place;
        let mut due = Due { from, to, worth: charge.total, listed: &listed, unit: stretch.pricing.unit };
        let payers: Vec<Payer> = self.payers().map(|(payer, _)| payer).collect();
        for payer in payers {
            if due.to <= due.from {
                return;
            }
            let candidate = &self.candidates[payer.0];
            if !is_positive(&self.left[payer.0]) || skipped(candidate, stretch).is_some() {
                continue;
            }
            let (price, unit) = self.drawn_price(candidate, stretch, &listed);
            if let Some(paid) = self.draw(payer, &due, price, unit) {
                due.advance(&paid);
                stretch.paid.push(paid);
            }
        }
    }
}

/// Where the time begins or ends in which a candidate may pay for the combination: with its own, or with the tags that the
/// product has.
fn marks(candidate: &Candidate<'_>, product: &ProductTerms, combination: &Combination) -> Vec<Instant> {
    let Period { start, end } = candidate.period;
    let targeting = &candidate.balance.terms.targeting;
    let changes = product.states.starts().filter(|at| targeting.goes_by_tags() && start < *at && *at < end);
    let mut marks = Vec::new();
    let mut was_aimed = false;
    for at in std::iter::once(start).chain(changes) {
        let is_aimed = aims_at(targeting, product, combination, at);
        if is_aimed != was_aimed {
            marks.push(at);
        }
        was_aimed = is_aimed;
    }
    marks.extend(was_aimed.then_some(end));
    marks
}

impl<'a> Payment<'a> for Drawdown<'a, '_> {
    fn may_pay(&self) -> bool {
        !self.candidates.is_empty()
    }

    fn marks(&self, composite: &'a ProductTerms) -> Vec<Mark> {
        let nothing = Combination::default();
        let of_candidate = |candidate: &Candidate<'_>| {
            let unit = candidate.balance.unit_id();
            let is_open = candidate.balance.terms.targeting.is_open();
            let instants = marks(candidate, composite, &nothing).into_iter();
            instants.map(|at| Mark { at, unit, is_open }).collect::<Vec<_>>()
        };
        // Quantities pay for no composite.
        let of_spend = |one: &&Candidate<'_>| one.balance.access_type == AccessType::Spend;
        self.candidates.iter().filter(of_spend).flat_map(of_candidate).collect()
    }

    fn pay(&mut self, stretches: &mut BTreeMap<ProductId, Vec<Stretch<'a>>>) {
        let statement = self.agreement.statement;
        for stretches in stretches.values_mut() {
            self.cut(stretches);
        }
        let mut places: Vec<(Turn, usize, Place)> = Vec::new();
        for (product_id, stretches) in &*stretches {
            let charged = stretches.iter().enumerate().filter(|(_, stretch)| stretch.is_charged(&statement));
            for (number, stretch) in charged {
                if self.candidates.iter().all(|candidate| skipped(candidate, stretch).is_some()) {
                    continue;
                }
                for place in stretch.places().into_iter().filter(|place| place.from < place.to) {
                    let name = stretch.product.states.before(stretch.period.end).name.clone();
                    let price = &*place.charge.unit_price;
                    let worth = self.worth(stretch.pricing.unit);
                    let dearest =
                        std::cmp::Reverse(worth.map_or_else(|| price.clone(), |worth| price * worth));
                    places.push(((stretch.period.start, dearest, name, *product_id), number, place));
                }
            }
        }
        places.sort_by(|(one, number, _), (other, others, _)| (one, number).cmp(&(other, others)));
        for ((.., product_id), number, place) in places {
            let stretch = stretches.get_mut(&product_id).and_then(|stretches| stretches.get_mut(number));
            self.pay_place(stretch.expect("a place of one of the stretches"), place);
        }
        for stretch in stretches.values_mut().flatten() {
            stretch.paid.sort_by(|one, other| one.from.cmp(&other.from));
        }
    }
}
