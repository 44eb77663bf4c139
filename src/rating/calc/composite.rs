//! What shares of other products' spend cost.
//!
//! A share of what the customer spends under all contracts is of the usage under the others, not of their composites (our
//! decision: those may be shares of this contract in turn). Of several contracts that sell it, the one that started first
//! bills it, at the times at which it does; what is finalized stays, whichever contract is made later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cut::composite_changes;
use super::price::{Pricing, cost, cost_of_paid, pricings};
use super::quantity::Combination;
use super::rate::Mark;
use super::stretch::{Basis, MemberSpend, MinimumDue, SpendStep, Spent, Stretch};
use crate::catalog::product::{CompositeScope, ProductState, ProductType};
use crate::catalog::rate::Price;
use crate::contract::Statement;
use crate::id::{ContractId, CreditTypeId, ProductId};
use crate::money::{CreditType, Decimal, zero};
use crate::rating::calc::RatingFault;
use crate::rating::terms::{Agreement, ProductTerms};
use crate::time::{Instant, Period};

/// What the customer spends under other contracts, for composites of the scope CUSTOMER.
#[derive(Default)]
pub struct OtherContracts<'a> {
    /// The usage of each, cut where anything changes that composites of this contract are of.
    pub spend: Vec<(ContractId, Vec<Stretch<'a>>)>,
    /// When another contract bills a composite.
    pub billed_elsewhere: BTreeMap<ProductId, Vec<Period>>,
    /// Where any of that changes.
    pub changes: Vec<Instant>,
}

/// What the products of one contract came to, as composites are added one by one.
pub struct Spend<'a, 'b> {
    pub agreement: &'b Agreement<'a>,
    pub others: &'b OtherContracts<'a>,
    /// Of usage products, and of the composites that are done.
    pub stretches: BTreeMap<ProductId, Vec<Stretch<'a>>>,
    /// Where what may pay for a composite begins or ends, by composite.
    pub marks: BTreeMap<ProductId, Vec<Mark>>,
}

impl<'a> Spend<'a, '_> {
    /// Adds the stretches of every composite, members first.
    pub fn add_composites(&mut self) -> Result<(), RatingFault> {
        let mut under_way = Vec::new();
        for composite in self.composites() {
            self.add_composite(composite, &mut under_way)?;
        }
        Ok(())
    }

    fn composites(&self) -> impl Iterator<Item = &'a ProductTerms> + use<'a> {
        let products = self.agreement.terms.products.iter();
        products.filter(|product| product.product_type == ProductType::Composite)
    }

    fn add_composite(
        &mut self,
        composite: &'a ProductTerms,
        under_way: &mut Vec<ProductId>,
    ) -> Result<(), RatingFault> {
        let id = composite.product_id;
        if self.stretches.contains_key(&id) {
            return Ok(());
        }
        if under_way.contains(&id) {
            return Err(RatingFault::CompositeOfItself {
                product: composite.states.at(self.agreement.statement.from).name.clone(),
            });
        }
        under_way.push(id);
        let windows = self.windows(composite);
        for (window, _) in &windows {
            let state = composite.states.at(window.start);
            let composites = self.composites();
            for member in composites.filter(|member| is_member(member, composite, state, window.start)) {
                self.add_composite(member, under_way)?;
            }
        }
        under_way.pop();
        let stretches = self.composite_stretches(composite, &windows)?;
        for stretch in &stretches {
            stretch.billable_charges()?;
        }
        self.stretches.insert(id, stretches);
        Ok(())
    }

    /// The prices of a composite over the period, cut where any composite or its members may change and where the
    /// statement starts, so that composites of composites are cut alike.
    fn windows(&self, composite: &'a ProductTerms) -> Vec<(Period, Pricing<'a>)> {
        let Statement { counted, from, .. } = self.agreement.statement;
        let elsewhere = self.others.billed_elsewhere.get(&composite.product_id);
        let is_billed_here = |window: &Period| {
            let is_elsewhere =
                elsewhere.is_some_and(|periods| periods.iter().any(|period| period.contains(window.start)));
            !is_elsewhere || scope(composite, window.start) == CompositeScope::Contract
        };
        let mut changes = composite_changes(self.agreement);
        changes.extend(&self.others.changes);
        changes.extend(self.marks.values().flatten().map(|mark| mark.at));
        changes.push(from);
        changes.sort_unstable();
        changes.dedup();
        let mut windows = Vec::new();
        let all = pricings(self.agreement, composite, &Combination::default(), counted);
        for (period, pricing) in all {
            let inside = changes.iter().copied().filter(|start| period.contains(*start));
            let mut starts = vec![period.start];
            starts.extend(inside.filter(|start| *start != period.start));
            let ends = starts.iter().skip(1).copied().chain([period.end]);
            let parts = starts.iter().copied().zip(ends).map(|(start, end)| Period { start, end });
            windows.extend(parts.filter(is_billed_here).map(|window| (window, pricing.clone())));
        }
        windows
    }

    /// One stretch for each unit that members are charged in and each window, and behind those of the card's currency
    /// a minimum that is charged in their place.
    fn composite_stretches(
        &self,
        composite: &'a ProductTerms,
        windows: &[(Period, Pricing<'a>)],
    ) -> Result<Vec<Stretch<'a>>, RatingFault> {
        let combination = Arc::new(Combination::default());
        let currency = &self.agreement.terms.unit;
        let marks = self.marks.get(&composite.product_id).map(Vec::as_slice).unwrap_or_default();
        let is_cut = |at: Instant, unit: CreditTypeId| {
            let may_pay = |mark: &Mark| mark.unit == unit || (mark.is_open && mark.unit == currency.id);
            at == self.agreement.statement.from || marks.iter().any(|mark| mark.at == at && may_pay(mark))
        };
        let in_window =
            |(window, pricing): &(Period, Pricing<'a>)| self.spent(composite, *window, pricing.price());
        let members: Vec<BTreeMap<CreditTypeId, Vec<MemberSpend>>> = windows.iter().map(in_window).collect();
        // A unit that is spent at any time is there all the time, so that what is spent cuts no line; the card's currency is
        // there even when nothing is.
        let units: BTreeSet<CreditTypeId> =
            members.iter().flat_map(|by_unit| by_unit.keys().copied()).chain([currency.id]).collect();
        // What was spent so far.
        let mut counters: BTreeMap<CreditTypeId, Decimal> = BTreeMap::new();
        let mut stretches: Vec<Stretch<'a>> = Vec::new();
        for ((window, pricing), mut members_by_unit) in windows.iter().zip(members) {
            for unit_id in units.iter().copied() {
                let members = members_by_unit.remove(&unit_id).unwrap_or_default();
                let counter = counters.entry(unit_id).or_insert_with(zero);
                let before = counter.clone();
                let spend: Decimal = members.iter().map(|member| &member.spend).sum();
                *counter += &spend;
                let steps = vec![SpendStep { period: *window, spend }];
                let pricing = if unit_id == pricing.unit.id {
                    pricing.clone()
                } else {
                    let unit = self.unit(composite, unit_id)?;
                    pricing.in_unit(unit)
                };
                let (combination, basis) =
                    (Arc::clone(&combination), Basis::Spend(Box::new(Spent { before, steps, members })));
                let period = *window;
                let paid = Vec::new();
                let stretch = Stretch { product: composite, combination, period, pricing, basis, paid };
                join(&mut stretches, stretch, |start| is_cut(start, unit_id));
            }
        }
        stretches.extend(self.minimum(composite, windows, &stretches));
        stretches.sort_by_key(|stretch| (stretch.period.start, stretch.pricing.unit != currency));
        Ok(stretches)
    }

    /// The unit of members, which the contract's own card must price in: nothing is converted that it does not convert.
    fn unit(&self, composite: &ProductTerms, id: CreditTypeId) -> Result<&'a CreditType, RatingFault> {
        self.agreement.terms.find_unit(id).ok_or_else(|| {
            let of_members = self.others.spend.iter().flat_map(|(_, stretches)| stretches);
            let units = of_members.flat_map(|stretch| [stretch.pricing.unit, stretch.pricing.list_unit]);
            let unit = units
                .into_iter()
                .find(|unit| unit.id == id)
                .map_or_else(|| id.to_string(), |unit| unit.name.clone());
            RatingFault::ForeignUnit {
                product: composite.states.at(self.agreement.statement.from).name.clone(),
                unit,
            }
        })
    }

    /// What the members cost in a window, by unit: at the contract's prices, or at the card's where the rate says so, of
    /// all units or of those alone that the contract pays for.
    fn spent(
        &self,
        composite: &'a ProductTerms,
        window: Period,
        price: &Price,
    ) -> BTreeMap<CreditTypeId, Vec<MemberSpend>> {
        let state = composite.states.at(window.start);
        let use_list_prices = price.uses_list_prices().unwrap_or(false);
        let own = self.stretches.values().flatten().map(|stretch| (None, stretch));
        let is_of_customer = scope(composite, window.start) == CompositeScope::Customer;
        let others = self.others.spend.iter().filter(|_| is_of_customer);
        let others = others.flat_map(|(id, stretches)| stretches.iter().map(|stretch| (Some(*id), stretch)));
        let mut costs: BTreeMap<(CreditTypeId, ProductId, Option<ContractId>), Decimal> = BTreeMap::new();
        for (contract_id, stretch) in own.chain(others) {
            let Stretch { product, pricing, .. } = stretch;
            if !pricing.entitled || !is_member(product, composite, state, window.start) {
                continue;
            }
            let spent = if let Basis::Minimum(minimum) = &stretch.basis {
                let beyond = &minimum.beyond;
                let is_inside = window.contains(beyond.period.start);
                vec![(pricing.unit.id, if is_inside { beyond.spend.clone() } else { zero() })]
            } else {
                let Some((before, after)) = stretch.move_within(window) else { continue };
                let listed = &pricing.entry.price;
                if !use_list_prices {
                    stretch.costs_of_move(&before, &after)
                } else if state.exclude_free_usage == Some(true) {
                    vec![(pricing.list_unit.id, cost_of_paid(listed, pricing.price(), &before, &after))]
                } else {
                    vec![(pricing.list_unit.id, cost(listed, &before, &after))]
                }
            };
            for (unit, spend) in spent {
                *costs.entry((unit, product.product_id, contract_id)).or_default() += spend;
            }
        }
        let mut members: BTreeMap<CreditTypeId, Vec<MemberSpend>> = BTreeMap::new();
        for ((unit, product_id, contract_id), spend) in
            costs.into_iter().filter(|(_, spend)| *spend != zero())
        {
            members.entry(unit).or_default().push(MemberSpend { product_id, contract_id, spend });
        }
        members
    }

    /// What takes the place of the shares where they come to less than the minimum that is in force at the end: a minimum
    /// is of the billing period, also of one that is cut short (our decision; the documentation names the period alone).
    /// Of a period with two statements, the second one bills what the first did not.
    fn minimum(
        &self,
        composite: &'a ProductTerms,
        windows: &[(Period, Pricing<'a>)],
        stretches: &[Stretch<'a>],
    ) -> Option<Stretch<'a>> {
        let Statement { counted, from, .. } = self.agreement.statement;
        let (last, pricing) = windows.last().filter(|(window, _)| window.end == counted.end)?;
        let minimum = pricing.price().minimum().filter(|_| pricing.entitled)?;
        let until = |end: Instant| -> Decimal {
            let counts = |stretch: &&Stretch<'_>| {
                stretch.pricing.entitled
                    && stretch.pricing.unit == &self.agreement.terms.unit
                    && stretch.period.start < end
            };
            stretches.iter().filter(counts).flat_map(Stretch::charges).map(|charge| charge.total).sum()
        };
        let (reached, reached_before) = (until(counted.end), until(from));
        // What an earlier statement of the period billed: its shares, or the minimum that was in force as it ended.
        let earlier = windows.iter().find(|(window, pricing)| window.end == from && pricing.entitled);
        let minimum_before = earlier.and_then(|(_, pricing)| pricing.price().minimum());
        let billed_before =
            minimum_before.map_or(&reached_before, |minimum| minimum.max(&reached_before)).clone();
        let due = reached.clone().max(minimum.clone()) - billed_before;
        let spend = &due - (&reached - &reached_before);
        if spend == zero() {
            return None;
        }
        let beyond = SpendStep { period: *last, spend };
        let start =
            windows.iter().find(|(window, pricing)| window.start >= from && pricing.entitled)?.0.start;
        Some(Stretch {
            product: composite,
            combination: Arc::new(Combination::default()),
            period: Period { start, end: counted.end },
            pricing: pricing.clone(),
            basis: Basis::Minimum(Box::new(MinimumDue { due, beyond, minimum: minimum.clone(), reached })),
            paid: Vec::new(),
        })
    }
}

/// Windows that only a change of other products cut apart become one stretch again, but where `is_cut` says otherwise.
fn join<'a>(stretches: &mut Vec<Stretch<'a>>, stretch: Stretch<'a>, is_cut: impl Fn(Instant) -> bool) {
    let continues = |last: &&mut Stretch<'a>| {
        let is_next = last.period.end == stretch.period.start && !is_cut(stretch.period.start);
        is_next && last.pricing == stretch.pricing
    };
    match (stretches.iter_mut().rev().find(continues), stretch.basis) {
        (Some(Stretch { period, basis: Basis::Spend(spent), .. }), Basis::Spend(more)) => {
            let Spent { steps, members, .. } = &mut **spent;
            period.end = stretch.period.end;
            steps.extend(more.steps);
            for member in more.members {
                let same = |own: &&mut MemberSpend| {
                    (own.product_id, own.contract_id) == (member.product_id, member.contract_id)
                };
                match members.iter_mut().find(same) {
                    Some(own) => own.spend += member.spend,
                    None => members.push(member),
                }
            }
        }
        (_, basis) => stretches.push(Stretch { basis, ..stretch }),
    }
}

fn scope(composite: &ProductTerms, at: Instant) -> CompositeScope {
    composite.states.at(at).composite_scope.unwrap_or(CompositeScope::Contract)
}

/// Whether a product is a member at an instant, by the state that both have then.
fn is_member(product: &ProductTerms, composite: &ProductTerms, state: &ProductState, at: Instant) -> bool {
    product.product_id != composite.product_id
        && state.has_member(product.product_id, product.product_type, product.states.at(at))
}
