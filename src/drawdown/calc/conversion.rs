//! What usage in a custom pricing unit costs that no balance in the unit pays for.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::cover::Due;
use super::pay::Drawdown;
use crate::catalog::rate::Price;
use crate::money::{CreditType, Decimal, is_negative, is_positive, zero};
use crate::rating::UnitConversion;
use crate::rating::calc::{Charge, Paid, Payer, Stretch};
use crate::time::{Instant, Period};

/// Units of a custom pricing unit that are due, in the currency of the card, and what pays for them.
#[derive(Clone, Debug)]
pub struct Conversion<'a> {
    pub of: &'a UnitConversion,
    pub period: Period,
    /// More than zero.
    pub owed: Decimal,
    paid: Vec<Paid<'a>>,
}

/// What of each unit is due over a statement's time, in the order of the card, and what pays for it: one conversion for each
/// unit, or one for each part of the time where a balance begins or ends that may pay for it. A balance that is for some
/// products or groups alone pays for no conversion, which is of none; nor does one of quantities, as it is no usage.
pub fn conversions<'a>(
    drawdown: &mut Drawdown<'a, '_>,
    units: &'a [UnitConversion],
    currency: &'a CreditType,
    stretches: &[Stretch<'a>],
    period: Period,
) -> Vec<Conversion<'a>> {
    let starts = starts(drawdown, currency, period);
    let mut conversions = Vec::new();
    for of in units {
        let owed_until = |start: Instant, end: Instant| -> Decimal {
            let inside = stretches
                .iter()
                .filter(|stretch| start <= stretch.period.start && stretch.period.start < end);
            let charges = inside.flat_map(|stretch| charges_in(stretch, &of.unit));
            charges.map(|charge| charge.total).sum()
        };
        let ends = starts.iter().skip(1).copied().chain([period.end]);
        let parts: Vec<(Period, Decimal)> = starts
            .iter()
            .zip(ends)
            .map(|(start, end)| (Period { start: *start, end }, owed_until(*start, end)))
            .collect();
        // What a falling value gives back in one part makes good what another one costs.
        let parts = if parts.iter().any(|(_, owed)| is_negative(owed)) {
            vec![(period, owed_until(period.start, period.end))]
        } else {
            parts
        };
        for (part, owed) in parts.into_iter().filter(|(_, owed)| is_positive(owed)) {
            let paid = pay(drawdown, of, currency, part, &owed);
            conversions.push(Conversion { of, period: part, owed, paid });
        }
    }
    conversions
}

/// The charges of a stretch in a unit that nothing pays for.
fn charges_in<'s>(stretch: &'s Stretch<'_>, unit: &CreditType) -> Vec<Charge<'s>> {
    if stretch.pricing.unit != unit {
        return Vec::new();
    }
    stretch.charges().into_iter().filter(|charge| charge.payer.is_none()).collect()
}

/// Where the parts of the time start.
fn starts(drawdown: &Drawdown<'_, '_>, currency: &CreditType, period: Period) -> Vec<Instant> {
    let may_pay = drawdown.payers().filter(|(_, candidate)| {
        candidate.balance.terms.targeting.is_open() && candidate.balance.unit_id() == currency.id
    });
    let bounds = may_pay.flat_map(|(_, candidate)| [candidate.period.start, candidate.period.end]);
    let inside: BTreeSet<Instant> =
        bounds.filter(|bound| period.contains(*bound)).chain([period.start]).collect();
    inside.into_iter().collect()
}

fn pay<'a>(
    drawdown: &mut Drawdown<'a, '_>,
    of: &'a UnitConversion,
    currency: &'a CreditType,
    part: Period,
    owed: &Decimal,
) -> Vec<Paid<'a>> {
    let price = Price::Flat(of.fiat_per_unit.clone());
    let worth = owed * &of.fiat_per_unit;
    let mut due = Due { from: zero(), to: owed.clone(), worth, listed: &price, unit: currency };
    let mut all_paid = Vec::new();
    let payers: Vec<Payer> = drawdown
        .payers()
        .filter(|(_, candidate)| {
            let covers_all = candidate.period.start <= part.start && part.end <= candidate.period.end;
            let is_in_currency = candidate.balance.unit_id() == currency.id;
            covers_all && is_in_currency && candidate.balance.terms.targeting.is_open()
        })
        .map(|(payer, _)| payer)
        .collect();
    for payer in payers {
        if let Some(paid) = drawdown.draw(payer, &due, Cow::Owned(price.clone()), currency) {
            due.advance(&paid);
            all_paid.push(paid);
        }
    }
    all_paid
}

impl Conversion<'_> {
    /// What balances pay for, and then what is left, at what the unit costs.
    #[must_use]
    pub fn charges(&self) -> Vec<Charge<'_>> {
        let price = &self.of.fiat_per_unit;
        let mut charges: Vec<Charge<'_>> =
            self.paid.iter().flat_map(|paid| paid.charges.iter().cloned()).collect();
        let covered: Decimal = self.paid.iter().map(Paid::total).sum();
        let quantity = self.paid.last().map_or_else(|| self.owed.clone(), |last| &self.owed - &last.to);
        let total = &self.owed * price - covered;
        if is_positive(&quantity) || total != zero() {
            let (quantity, unit_price) = (Cow::Owned(quantity), Cow::Borrowed(price));
            charges.push(Charge { quantity, unit_price, total, tier: None, payer: None });
        }
        charges
    }
}
