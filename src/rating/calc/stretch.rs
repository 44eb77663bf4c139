//! Consecutive time of one combination under one price: what becomes lines.

use std::sync::Arc;

use super::RatingFault;
use super::price::{Pricing, slices};
use super::quantity::{Combination, Step};
use super::tier::TierPosition;
use crate::catalog::rate::Price;
use crate::id::{ContractId, ProductId};
use crate::money::{Decimal, is_billable, zero};
use crate::rating::terms::ProductTerms;
use crate::time::{Instant, Period};

/// What is charged for a stretch of time, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch<'a> {
    pub product: &'a ProductTerms,
    pub combination: Arc<Combination>,
    pub period: Period,
    pub pricing: Arc<Pricing<'a>>,
    pub basis: Basis,
}

/// What a price is applied to.
#[derive(Clone, Debug, PartialEq)]
pub enum Basis {
    Usage {
        /// The counter at the start: all of the combination's quantity in the period until then.
        before: Decimal,
        steps: Vec<Step>,
    },
    Spend {
        /// The spend of the members in the period until then.
        before: Decimal,
        steps: Vec<SpendStep>,
        members: Vec<MemberSpend>,
    },
    /// A minimum that is more than the shares of the spend, in whose place it is charged. (Behind a pointer: there are
    /// few, and a large contract has a hundred thousand stretches of usage.)
    Minimum(Box<MinimumDue>),
    /// A quantity at a price for the time: the price of a billing period, or its part for a part of one.
    Subscription { quantity: Decimal, price: Price, is_prorated: bool },
}

/// What of a minimum is not billed yet.
#[derive(Clone, Debug, PartialEq)]
pub struct MinimumDue {
    pub due: Decimal,
    /// By how much it differs from the shares of the spend; that is spent in the last window.
    pub beyond: SpendStep,
    pub minimum: Decimal,
    /// What the shares come to.
    pub reached: Decimal,
}

/// What the members of a composite cost in one of its windows.
#[derive(Clone, Debug, PartialEq)]
pub struct SpendStep {
    pub period: Period,
    pub spend: Decimal,
}

/// What one member of a composite cost.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberSpend {
    pub product_id: ProductId,
    /// Unset: the contract that is billed.
    pub contract_id: Option<ContractId>,
    pub spend: Decimal,
}

/// One line's worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    pub quantity: Decimal,
    pub unit_price: Decimal,
    /// `quantity × unit_price`.
    pub total: Decimal,
    pub tier: Option<TierPosition>,
}

impl Charge {
    fn new(quantity: Decimal, unit_price: Decimal, tier: Option<TierPosition>) -> Self {
        Self { total: &quantity * &unit_price, quantity, unit_price, tier }
    }
}

/// One charge, or one for each tier that a move of the counter touches.
fn charges(price: &Price, before: &Decimal, after: &Decimal) -> Vec<Charge> {
    let slices = slices(price, before, after).into_iter();
    slices.map(|slice| Charge::new(slice.quantity, slice.price, slice.position)).collect()
}

impl Stretch<'_> {
    /// Whether it is a part of a subscription's billing period; only subscriptions answer.
    #[must_use]
    pub fn is_prorated(&self) -> Option<bool> {
        let Basis::Subscription { is_prorated, .. } = &self.basis else { return None };
        Some(*is_prorated)
    }

    /// Its charges: one, or one for each tier that is touched.
    #[must_use]
    pub fn charges(&self) -> Vec<Charge> {
        let (before, quantity): (&Decimal, Decimal) = match &self.basis {
            Basis::Usage { before, steps } => (before, steps.iter().map(|step| &step.quantity).sum()),
            Basis::Spend { before, steps, .. } => (before, steps.iter().map(|step| &step.spend).sum()),
            Basis::Minimum(minimum) => {
                return vec![Charge::new(Decimal::from(1), minimum.due.clone(), None)];
            }
            Basis::Subscription { quantity, price, .. } => return charges(price, &zero(), quantity),
        };
        if let Some(price) = self.pricing.price.single() {
            return vec![Charge::new(quantity, price.clone(), None)];
        }
        charges(&self.pricing.price, before, &(before + quantity))
    }

    /// Its charges, unless one has more digits than a bill can hold.
    pub fn billable_charges(&self) -> Result<Vec<Charge>, RatingFault> {
        let charges = self.charges();
        if charges.iter().all(|charge| is_billable(&charge.total)) {
            return Ok(charges);
        }
        let product = self.product.states.before(self.period.end).name.clone();
        Err(RatingFault::TooLarge { product, start: self.period.start })
    }

    /// Where the counter stands at the start and at the end of a window that cuts no step, of what is charged by a counter.
    #[must_use]
    pub fn move_within(&self, window: Period) -> Option<(Decimal, Decimal)> {
        let (before, steps): (&Decimal, Vec<(Instant, &Decimal)>) = match &self.basis {
            Basis::Usage { before, steps } => {
                (before, steps.iter().map(|step| (step.period.start, &step.quantity)).collect())
            }
            Basis::Spend { before, steps, .. } => {
                (before, steps.iter().map(|step| (step.period.start, &step.spend)).collect())
            }
            Basis::Minimum(_) | Basis::Subscription { .. } => return None,
        };
        let until = |end: Instant| {
            let earlier = steps.iter().take_while(|(start, _)| *start < end);
            earlier.fold(before.clone(), |counter, (_, added)| counter + *added)
        };
        Some((until(window.start), until(window.end)))
    }
}
