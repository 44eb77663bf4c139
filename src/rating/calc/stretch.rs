//! Consecutive time of one combination under one price: what becomes lines.

use std::borrow::Cow;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use smallvec::{SmallVec, smallvec};

use super::RatingFault;
use super::price::{Pricing, cost, slices};
use super::quantity::{Combination, Step};
use super::tier::{TierPosition, TierSlice};
use crate::catalog::rate::Price;
use crate::contract::Statement;
use crate::id::{ContractId, CreditTypeId, ProductId};
use crate::money::{CreditType, Decimal, is_billable, zero};
use crate::rating::terms::ProductTerms;
use crate::time::{Instant, Period};

/// What is charged for a stretch of time, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch<'a> {
    pub product: &'a ProductTerms,
    pub combination: Arc<Combination>,
    pub period: Period,
    pub pricing: Pricing<'a>,
    pub basis: Basis<'a>,
    /// What balances pay for, by place; the rest is charged at the price.
    pub paid: Vec<Paid<'a>>,
}

/// A part of a stretch that a balance pays for. Its place is a range of what [`Stretch::span`] spans.
#[derive(Clone, Debug, PartialEq)]
pub struct Paid<'a> {
    pub payer: Payer,
    pub from: Decimal,
    pub to: Decimal,
    /// What it takes of the balance: what its charges come to, or, of a balance of quantities, the units.
    pub drawn: Decimal,
    /// What a unit costs while this balance is drawn.
    pub price: Cow<'a, Price>,
    pub unit: &'a CreditType,
    /// One for each tier that is touched.
    pub charges: Vec<Charge<'static>>,
    /// What the part would cost at the price of the stretch.
    pub listed: Decimal,
}

/// Which of the candidates of a drawdown pays, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Payer(pub usize);

/// What a price is applied to.
#[derive(Clone, Debug, PartialEq)]
pub enum Basis<'a> {
    Usage(Steps<'a>),
    /// (Behind a pointer, as all but usage: there are few, and a large contract has a hundred thousand stretches of usage.)
    Spend(Box<Spent>),
    /// A minimum that is more than the shares of the spend, in whose place it is charged.
    Minimum(Box<MinimumDue>),
    Subscription(Box<Subscribed>),
}

/// Steps of a combination, one after the other.
#[derive(Debug)]
pub struct StepList<'a> {
    /// All of the combination's quantity in the period before the first one.
    before: Decimal,
    steps: Vec<Step<'a>>,
    /// The counter before each step and after the last one; counted where somebody asks, as most prices are the same whatever
    /// it is.
    counters: OnceLock<Vec<Decimal>>,
}

impl<'a> StepList<'a> {
    #[must_use]
    pub fn new(before: Decimal, steps: Vec<Step<'a>>) -> Self {
        Self { before, steps, counters: OnceLock::new() }
    }

    /// The counter before the step at a place.
    fn counter(&self, place: usize) -> &Decimal {
        if place == 0 {
            return &self.before;
        }
        let counters = self.counters.get_or_init(|| {
            let mut counter = self.before.clone();
            let after = self.steps.iter().map(|step| {
                counter += &*step.quantity;
                counter.clone()
            });
            std::iter::once(self.before.clone()).chain(after).collect()
        });
        &counters[place]
    }

    /// The counter after all of them.
    #[must_use]
    pub fn after(&self) -> &Decimal {
        self.counter(self.steps.len())
    }
}

impl<'a> Deref for StepList<'a> {
    type Target = [Step<'a>];

    fn deref(&self) -> &[Step<'a>] {
        &self.steps
    }
}

/// Consecutive steps of a combination. The stretches of one share their list.
#[derive(Clone, Debug)]
pub struct Steps<'a> {
    all: Arc<StepList<'a>>,
    own: Range<usize>,
}

impl<'a> Steps<'a> {
    /// Those of the list at these places.
    #[must_use]
    pub fn of(all: &Arc<StepList<'a>>, own: Range<usize>) -> Self {
        Self { all: Arc::clone(all), own }
    }

    /// The counter at the start: all of the combination's quantity in the period until then.
    #[must_use]
    pub fn before(&self) -> &Decimal {
        self.all.counter(self.own.start)
    }

    /// Leaves those before a place, and answers those from there on.
    fn split_off(&mut self, place: usize) -> Self {
        let middle = self.own.start + place;
        let later = Self { all: Arc::clone(&self.all), own: middle..self.own.end };
        self.own.end = middle;
        later
    }
}

impl<'a> From<StepList<'a>> for Steps<'a> {
    fn from(all: StepList<'a>) -> Self {
        Self { own: 0..all.len(), all: Arc::new(all) }
    }
}

impl<'a> Deref for Steps<'a> {
    type Target = [Step<'a>];

    fn deref(&self) -> &[Step<'a>] {
        &self.all[self.own.clone()]
    }
}

impl PartialEq for Steps<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.before() == other.before() && **self == **other
    }
}

/// A quantity at a price for the time: the price of a billing period, or its part for a part of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribed {
    pub quantity: Decimal,
    pub price: Price,
    pub is_prorated: bool,
}

/// What the members of a composite cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Spent {
    /// Their spend in the period until the start.
    pub before: Decimal,
    pub steps: Vec<SpendStep>,
    pub members: Vec<MemberSpend>,
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

/// One line's worth. (Mostly a quantity and a price that are known already, of which a large contract need not make copies.)
#[derive(Clone, Debug, PartialEq)]
pub struct Charge<'c> {
    pub quantity: Cow<'c, Decimal>,
    pub unit_price: Cow<'c, Decimal>,
    /// `quantity × unit_price`; of what a balance covers or leaves, the exact amount that makes up the whole.
    pub total: Decimal,
    pub tier: Option<Box<TierPosition>>,
    /// The balance that pays for it.
    pub payer: Option<Payer>,
}

/// What a stretch is charged: mostly one, which needs no list of its own.
pub type Charges<'c> = SmallVec<[Charge<'c>; 1]>;

impl<'c> Charge<'c> {
    fn new(quantity: Cow<'c, Decimal>, unit_price: Cow<'c, Decimal>) -> Self {
        Self { total: &*quantity * &*unit_price, quantity, unit_price, tier: None, payer: None }
    }

    fn of_slice(slice: TierSlice) -> Self {
        let tier = slice.position.map(Box::new);
        Self { tier, ..Self::new(Cow::Owned(slice.quantity), Cow::Owned(slice.price)) }
    }
}

/// A part of a stretch at one price, whatever pays for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub from: Decimal,
    pub to: Decimal,
    pub charge: Charge<'static>,
}

/// One charge, or one for each tier that a move of the counter touches.
fn charges(price: &Price, before: &Decimal, after: &Decimal) -> Vec<Charge<'static>> {
    slices(price, before, after).into_iter().map(Charge::of_slice).collect()
}

impl Paid<'_> {
    /// What its charges come to.
    #[must_use]
    pub fn total(&self) -> Decimal {
        self.charges.iter().map(|charge| &charge.total).sum()
    }
}

impl Stretch<'_> {
    /// Whether it is a part of a subscription's billing period; only subscriptions answer.
    #[must_use]
    pub fn is_prorated(&self) -> Option<bool> {
        let Basis::Subscription(subscribed) = &self.basis else { return None };
        Some(subscribed.is_prorated)
    }

    /// Whether a statement charges it: the product may be billed then, and it is on no earlier invoice.
    #[must_use]
    pub fn is_charged(&self, statement: &Statement) -> bool {
        self.pricing.entitled && self.period.start >= statement.from
    }

    /// An instant at which what prices it is in force: that of its last usage. What a query counts for the whole period is
    /// priced as it is priced at the end, wherever its time begins.
    #[must_use]
    pub fn priced_at(&self) -> Instant {
        let last = match &self.basis {
            Basis::Usage(steps) => steps.last(),
            _ => None,
        };
        last.map_or(self.period.start, |step| step.period.start)
    }

    /// The unit of a charge: an override for one balance may price in another.
    #[must_use]
    pub fn unit_of(&self, payer: Option<Payer>) -> &CreditType {
        let paid = self.paid.iter().find(|paid| Some(paid.payer) == payer);
        paid.map_or(self.pricing.unit, |paid| paid.unit)
    }

    /// The range that is charged, by the counter, by the quantity of a subscription, or one for a minimum; and its price.
    #[must_use]
    pub fn span(&self) -> (Decimal, Decimal, Cow<'_, Price>) {
        let counted = |before: &Decimal, added: Decimal| {
            (before.clone(), before + added, Cow::Borrowed(self.pricing.price()))
        };
        match &self.basis {
            Basis::Usage(steps) => counted(steps.before(), steps.iter().map(|step| &*step.quantity).sum()),
            Basis::Spend(spent) => counted(&spent.before, spent.steps.iter().map(|step| &step.spend).sum()),
            Basis::Minimum(minimum) => (zero(), 1.into(), Cow::Owned(Price::Flat(minimum.due.clone()))),
            Basis::Subscription(subscribed) => {
                (zero(), subscribed.quantity.clone(), Cow::Borrowed(&subscribed.price))
            }
        }
    }

    /// Its lines as if nothing paid for them: one, or one for each tier that is touched.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let (from, to, price) = self.span();
        let mut at = from.clone();
        let mut slices = slices(&price, &from, &to);
        let falls = to < from;
        if falls {
            slices.reverse();
        }
        let mut places: Vec<Place> = slices
            .into_iter()
            .map(|slice| {
                let from = at.clone();
                at += &slice.quantity;
                Place { from, to: at.clone(), charge: Charge::of_slice(slice) }
            })
            .collect();
        if falls {
            places.reverse();
        }
        places
    }

    /// Its charges: one, or one for each tier that is touched; and where balances pay, what each covers before what is left.
    #[must_use]
    pub fn charges(&self) -> Charges<'_> {
        if self.paid.is_empty() {
            return self.unpaid_charges();
        }
        let mut charges = Charges::new();
        for Place { from, to, charge } in self.places() {
            let inside = self.paid.iter().filter(|paid| from <= paid.from && paid.from < to);
            let (mut at, mut left) = (from.clone(), charge.total.clone());
            for paid in inside {
                charges.extend(paid.charges.iter().cloned());
                at.clone_from(&paid.to);
                left -= &paid.listed;
            }
            // What a quantity that is rounded to the last digit leaves has no quantity of its own.
            if at < to || at == from || left != zero() {
                charges.push(Charge { quantity: Cow::Owned(&to - &at), total: left, ..charge });
            }
        }
        charges
    }

    fn unpaid_charges(&self) -> Charges<'_> {
        let quantity: Cow<'_, Decimal> = match &self.basis {
            Basis::Usage(steps) => match &**steps {
                [step] => Cow::Borrowed(&*step.quantity),
                steps => Cow::Owned(steps.iter().map(|step| &*step.quantity).sum()),
            },
            Basis::Spend(spent) => Cow::Owned(spent.steps.iter().map(|step| &step.spend).sum()),
            Basis::Minimum(minimum) => {
                return smallvec![Charge::new(Cow::Owned(Decimal::from(1)), Cow::Borrowed(&minimum.due))];
            }
            Basis::Subscription(subscribed) => {
                return charges(&subscribed.price, &zero(), &subscribed.quantity).into();
            }
        };
        if let Some(price) = self.pricing.single() {
            return smallvec![Charge::new(quantity, Cow::Borrowed(price))];
        }
        let (before, after, price) = self.span();
        charges(&price, &before, &after).into()
    }

    /// What a move of the counter inside it costs, by unit, with what balances pay for at their prices, of which one may be in
    /// another unit.
    #[must_use]
    pub fn costs_of_move(&self, before: &Decimal, after: &Decimal) -> Vec<(CreditTypeId, Decimal)> {
        let (low, high) = (before.min(after), before.max(after));
        let signed = |amount: Decimal| if after < before { -amount } else { amount };
        let mut unpaid = cost(self.pricing.price(), before, after);
        let mut costs = Vec::new();
        for paid in &self.paid {
            let (from, to) = ((&paid.from).max(low), (&paid.to).min(high));
            if from >= to {
                continue;
            }
            let is_whole = *from == paid.from && *to == paid.to;
            let (cost_there, listed) = if is_whole {
                (paid.total(), paid.listed.clone())
            } else {
                (cost(&paid.price, from, to), cost(self.pricing.price(), from, to))
            };
            unpaid -= signed(listed);
            costs.push((paid.unit.id, signed(cost_there)));
        }
        costs.push((self.pricing.unit.id, unpaid));
        costs
    }

    /// Cuts it where it is charged by a counter and the instant is inside it, and answers what comes later; no step may lie
    /// on both sides.
    pub fn cut_at(&mut self, instant: Instant) -> Option<Self> {
        let Basis::Usage(steps) = &mut self.basis else { return None };
        if instant <= self.period.start || self.period.end <= instant {
            return None;
        }
        let later = steps.split_off(steps.partition_point(|step| step.period.start < instant));
        let period = Period { start: instant, end: self.period.end };
        self.period.end = instant;
        Some(Self {
            product: self.product,
            combination: Arc::clone(&self.combination),
            period,
            pricing: self.pricing.clone(),
            basis: Basis::Usage(later),
            paid: Vec::new(),
        })
    }

    /// Its charges, unless one has more digits than a bill can hold.
    pub fn billable_charges(&self) -> Result<Charges<'_>, RatingFault> {
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
        let (before, steps): (&Decimal, Vec<(Period, &Decimal)>) = match &self.basis {
            Basis::Usage(steps) => {
                (steps.before(), steps.iter().map(|step| (step.period, &*step.quantity)).collect())
            }
            Basis::Spend(spent) => {
                (&spent.before, spent.steps.iter().map(|step| (step.period, &step.spend)).collect())
            }
            Basis::Minimum(_) | Basis::Subscription(_) => return None,
        };
        let is_cut =
            |step: Period| [window.start, window.end].iter().any(|at| step.start < *at && *at < step.end);
        debug_assert!(
            !steps.iter().any(|(step, _)| is_cut(*step)),
            "a step is in two windows of a composite"
        );
        let until = |end: Instant| {
            let earlier = steps.iter().take_while(|(step, _)| step.start < end);
            earlier.fold(before.clone(), |counter, (_, added)| counter + *added)
        };
        Some((until(window.start), until(window.end)))
    }
}
