//! The second model: each event moves a counter, and each unit of the move has a price of its own.

use std::collections::{BTreeMap, BTreeSet};

use upbeat::catalog::billable_metric::AggregationType;
use upbeat::catalog::product::{CompositeScope, ConversionOperation, ProductState, ProductType};
use upbeat::catalog::rate::{GroupValues, Price, RateEntry, Tier};
use upbeat::contract::MultiplierPrioritization;
use upbeat::contract::rate_override::{Override, OverrideKind, Specifier};
use upbeat::id::{CreditTypeId, ProductId};
use upbeat::money::{Decimal, divide, zero};
use upbeat::rating::{MetricCounting, ProductTerms};
use upbeat::time::Instant;

use crate::workload::{END, Event, GROUPS, Workload, hour};

/// What is charged, by product and unit.
pub type Totals = BTreeMap<(ProductId, CreditTypeId), Decimal>;

/// What one event costs.
#[derive(Clone)]
pub struct Cost {
    pub at: Instant,
    pub unit: CreditTypeId,
    pub charged: Decimal,
    pub listed: Decimal,
    /// Of the units that are not free.
    pub listed_of_paid: Decimal,
    pub list_unit: CreditTypeId,
    pub entitled: bool,
}

pub fn totals(workload: &Workload) -> Totals {
    let mut costs: BTreeMap<ProductId, Vec<Cost>> = BTreeMap::new();
    for product in &workload.terms.products {
        if product.product_type == ProductType::Usage {
            costs.insert(product.product_id, usage_costs(workload, product));
        }
    }
    let beside = costs_beside(workload);
    let mut totals = Totals::new();
    let mut add = |product: ProductId, unit, amount: Decimal| {
        *totals.entry((product, unit)).or_insert_with(zero) += amount;
    };
    // A composite has only products before it as members.
    for product in &workload.terms.products {
        if product.product_type == ProductType::Composite {
            let own = composite_costs(workload, product, &costs, &beside);
            costs.insert(product.product_id, own);
        }
        if product.product_type == ProductType::Subscription {
            add(product.product_id, workload.terms.unit.id, subscription(workload, product));
        }
    }
    for (product, costs) in costs {
        for cost in costs.into_iter().filter(|cost| cost.entitled && cost.at >= workload.statement.from) {
            add(product, cost.unit, cost.charged);
        }
    }
    totals.retain(|_, total| *total != zero());
    totals
}

/// What the usage of another contract costs.
pub fn costs_beside(workload: &Workload) -> BTreeMap<ProductId, Vec<Cost>> {
    let Some(other) = workload.other() else { return BTreeMap::new() };
    let products = other.terms.products.iter().filter(|product| product.product_type == ProductType::Usage);
    products.map(|product| (product.product_id, usage_costs(&other, product))).collect()
}

/// The events that the contract bills, in the order of their time.
fn billed(workload: &Workload) -> Vec<&Event> {
    let passes = |event: &&Event| {
        let in_force = workload.filters.entries().iter().filter(|filter| filter.starting_at <= event.at);
        let last = in_force.max_by_key(|filter| (filter.starting_at, filter.added));
        last.is_none_or(|filter| {
            let value = GROUPS.iter().position(|name| *name == filter.group_key).map(|at| &event.values[at]);
            value.is_some_and(|value| filter.group_values.contains(value))
        })
    };
    let mut billed: Vec<&Event> = workload.events.iter().filter(passes).collect();
    billed.sort_by_key(|event| (event.at, event.seq));
    billed
}

pub type Groups = (GroupValues, GroupValues);

pub fn groups(state: &ProductState, event: &Event) -> Groups {
    let values = |key: &[String]| -> GroupValues {
        let named =
            GROUPS.iter().zip(&event.values).filter(|(name, _)| key.iter().any(|wanted| wanted == *name));
        named.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    (values(state.pricing_key()), values(state.presentation_key()))
}

/// What one event adds to the counter of its groups.
pub struct Move {
    pub at: Instant,
    pub groups: Groups,
    pub before: Decimal,
    pub after: Decimal,
}

/// In the order of their time.
pub fn moves(workload: &Workload, product: &ProductTerms) -> Vec<Move> {
    let billed = billed(workload);
    let mut counters: BTreeMap<Groups, Decimal> = BTreeMap::new();
    let mut moves = Vec::new();
    for (number, event) in billed.iter().enumerate() {
        let state = product.states.at(event.at);
        if state.billable_metric_id != Some(event.metric_id) {
            continue;
        }
        let groups_of_event = groups(state, event);
        let so_far = |until: usize| {
            let own: Vec<&Event> = billed[..until]
                .iter()
                .copied()
                .filter(|other| other.metric_id == event.metric_id && groups(state, other) == groups_of_event)
                .collect();
            quantity(workload, state, &own)
        };
        let added = so_far(number + 1) - so_far(number);
        let counter = counters.entry(groups_of_event.clone()).or_insert_with(zero);
        let before = counter.clone();
        *counter += &added;
        moves.push(Move { at: event.at, groups: groups_of_event, before, after: counter.clone() });
    }
    moves
}

pub fn usage_costs(workload: &Workload, product: &ProductTerms) -> Vec<Cost> {
    let mut costs = Vec::new();
    for Move { at, groups: (pricing, presentation), before, after } in moves(workload, product) {
        let Some(entry) = entry_at(product, &pricing, at) else { continue };
        let (pricing, presentation) = (&pricing, &presentation);
        let line = NaiveLine { product, state: product.states.at(at), pricing, presentation, at };
        let chain = chain(workload, &line);
        costs.push(Cost {
            at,
            unit: entry.credit_type_id,
            charged: cost_of_move(&before, &after, &entry.price, &chain, |charged, _| charged),
            listed: cost_of_move(&before, &after, &entry.price, &chain, |_, listed| listed),
            listed_of_paid: cost_of_move(&before, &after, &entry.price, &chain, paid),
            list_unit: entry.credit_type_id,
            entitled: entitled(workload, &line, entry.entitled),
        });
    }
    costs
}

/// What is priced of some events, counted from the first.
fn quantity(workload: &Workload, state: &ProductState, events: &[&Event]) -> Decimal {
    let Some(first) = events.first() else { return zero() };
    let counting = &workload.terms.metrics[&first.metric_id].counting;
    let MetricCounting::Streaming(aggregation) = counting else { panic!("only streaming metrics here") };
    let numbers = events.iter().map(|event| &event.number);
    let metered = match aggregation {
        AggregationType::Count => Decimal::from(events.len() as u64),
        AggregationType::Sum => numbers.sum(),
        AggregationType::Max => numbers.max().cloned().expect("one"),
        AggregationType::Latest => events.last().expect("one").number.clone(),
        AggregationType::Unique => {
            Decimal::from(numbers.map(Decimal::normalized).collect::<BTreeSet<_>>().len() as u64)
        }
    };
    let converted = match state.quantity_conversion.value() {
        Some(conversion) => match conversion.operation {
            ConversionOperation::Multiply => metered * &conversion.conversion_factor.0,
            ConversionOperation::Divide => divide(&metered, &conversion.conversion_factor.0),
        },
        None => metered,
    };
    match state.quantity_rounding.value() {
        Some(rounding) => rounding.apply(&converted),
        None => converted,
    }
}

pub fn entry_at<'a>(product: &'a ProductTerms, pricing: &GroupValues, at: Instant) -> Option<&'a RateEntry> {
    let in_force = product.rates.entries().filter(|entry| {
        entry.key.pricing_group_values == *pricing
            && entry.starting_at <= at
            && entry.ending_before.is_none_or(|end| at < end)
    });
    in_force.max_by_key(|entry| entry.added)
}

pub struct NaiveLine<'a> {
    pub product: &'a ProductTerms,
    pub state: &'a ProductState,
    pub pricing: &'a GroupValues,
    pub presentation: &'a GroupValues,
    pub at: Instant,
}

pub fn is_aimed(one: &Override, line: &NaiveLine<'_>) -> bool {
    let tags = line.state.tags.clone().unwrap_or_default();
    let holds = |specifier: &Specifier| {
        specifier.product_id.is_none_or(|id| id == line.product.product_id)
            && specifier.product_tags.iter().all(|tag| tags.contains(tag))
            && !specifier.exclude.iter().any(|left_out| {
                let left_out = &left_out.product_tags;
                !left_out.is_empty() && left_out.iter().all(|tag| tags.contains(tag))
            })
            && specifier
                .pricing_group_values
                .iter()
                .all(|(name, value)| line.pricing.get(name) == Some(value))
            && specifier
                .presentation_group_values
                .iter()
                .all(|(name, value)| line.presentation.get(name) == value.as_ref() && value.is_some())
    };
    let targeting = &one.targeting;
    one.starting_at <= line.at
        && one.ending_before.is_none_or(|end| line.at < end)
        && targeting.product_id.is_none_or(|id| id == line.product.product_id)
        && (targeting.applicable_product_tags.is_empty()
            || targeting.applicable_product_tags.iter().any(|tag| tags.contains(tag)))
        && (targeting.specifiers.is_empty() || targeting.specifiers.iter().any(holds))
}

pub fn entitled(workload: &Workload, line: &NaiveLine<'_>, of_card: bool) -> bool {
    let says = |one: &&Override| one.entitled.is_some() && !one.is_commit_specific && is_aimed(one, line);
    let last = workload.overrides.iter().filter(says).max_by_key(|one| one.added);
    last.and_then(|one| one.entitled).unwrap_or(of_card)
}

/// The overrides that may price the line, the best first.
pub fn chain<'a>(workload: &'a Workload, line: &NaiveLine<'_>) -> Vec<&'a OverrideKind> {
    let mut own: Vec<&Override> = workload
        .overrides
        .iter()
        .filter(|one| one.kind.is_some() && !one.is_commit_specific && is_aimed(one, line))
        .collect();
    let kind = |one: &Override| one.kind.clone().expect("a kind");
    let is_overwrite = |one: &Override| matches!(kind(one), OverrideKind::Overwrite(_));
    let smallest = |one: &Override| match kind(one) {
        OverrideKind::Multiplier(multiplier) => multiplier,
        OverrideKind::Tiered(tiers) => {
            tiers.iter().map(|tier| tier.multiplier.0.clone()).min().expect("a tier")
        }
        OverrideKind::Overwrite(_) => zero(),
    };
    own.sort_by(|one, other| {
        let by_kind = is_overwrite(other).cmp(&is_overwrite(one));
        let by_priority = match workload.prioritization {
            MultiplierPrioritization::Explicit if !is_overwrite(one) => one.priority.cmp(&other.priority),
            _ => std::cmp::Ordering::Equal,
        };
        by_kind.then(by_priority).then(smallest(one).cmp(&smallest(other))).then(other.added.cmp(&one.added))
    });
    own.into_iter().filter_map(|one| one.kind.as_ref()).collect()
}

/// The price of the units between two places of the counter, between which no tier ends.
pub fn unit_price(listed: &Price, chain: &[&OverrideKind], from: &Decimal, to: &Decimal) -> Decimal {
    let middle = (from + to) / Decimal::from(2);
    for kind in chain {
        match kind {
            OverrideKind::Overwrite(rate) => return at_place(&rate.price, &middle),
            OverrideKind::Multiplier(multiplier) => return at_place(listed, &middle) * multiplier,
            OverrideKind::Tiered(tiers) => {
                let mut start = zero();
                for tier in tiers {
                    let end = tier.size.as_ref().map(|size| &start + &size.0);
                    if end.as_ref().is_none_or(|end| middle < *end) {
                        return at_place(listed, &middle) * &tier.multiplier.0;
                    }
                    start = end.expect("it has one");
                }
            }
        }
    }
    at_place(listed, &middle)
}

fn at_place(price: &Price, place: &Decimal) -> Decimal {
    let of_tiers = |tiers: &[Tier]| {
        let mut start = zero();
        for tier in tiers {
            let end = tier.size.as_ref().map(|size| &start + &size.0);
            if end.as_ref().is_none_or(|end| place < end) {
                return tier.price.0.clone();
            }
            start = end.expect("it has one");
        }
        panic!("the last tier has no end")
    };
    match price {
        Price::Flat(price) | Price::Percentage { fraction: price, .. } => price.clone(),
        Price::Tiered(tiers) | Price::TieredPercentage { tiers, .. } => of_tiers(tiers),
        Price::Subscription { .. } => panic!("no counter"),
    }
}

/// Every place where a tier of a price or an override ends.
pub fn ends(price: &Price, chain: &[&OverrideKind]) -> Vec<Decimal> {
    let mut ends = Vec::new();
    let mut add = |sizes: Vec<Option<Decimal>>| {
        let mut end = zero();
        for size in sizes.into_iter().flatten() {
            end += size;
            ends.push(end.clone());
        }
    };
    let of_price = |price: &Price| -> Vec<Option<Decimal>> {
        price
            .tiers()
            .unwrap_or_default()
            .iter()
            .map(|tier| tier.size.as_ref().map(|size| size.0.clone()))
            .collect()
    };
    add(of_price(price));
    for kind in chain {
        match kind {
            OverrideKind::Overwrite(rate) => add(of_price(&rate.price)),
            OverrideKind::Tiered(tiers) => {
                add(tiers.iter().map(|tier| tier.size.as_ref().map(|size| size.0.clone())).collect());
            }
            OverrideKind::Multiplier(_) => {}
        }
    }
    ends
}

/// Of a unit that is charged something, what the card says.
pub fn paid(charged: Decimal, listed: Decimal) -> Decimal {
    if charged == zero() { zero() } else { listed }
}

/// What a move of the counter comes to, where a unit counts as `of_unit` says of what is charged and what is listed.
pub fn cost_of_move(
    before: &Decimal,
    after: &Decimal,
    listed: &Price,
    chain: &[&OverrideKind],
    of_unit: impl Fn(Decimal, Decimal) -> Decimal,
) -> Decimal {
    let (low, high) = (before.min(after), before.max(after));
    let mut places: Vec<Decimal> = ends(listed, chain)
        .into_iter()
        .filter(|end| low < end && end < high)
        .chain([low.clone(), high.clone()])
        .collect();
    places.sort();
    let cost_of = |pair: &[Decimal]| {
        let (from, to) = (&pair[0], &pair[1]);
        (to - from) * of_unit(unit_price(listed, chain, from, to), unit_price(listed, &[], from, to))
    };
    let cost: Decimal = places.windows(2).map(cost_of).sum();
    if after < before { -cost } else { cost }
}

/// What the members of a composite spend in the hour from `start` on, by unit: under its contract, and where it is of the whole
/// customer `beside` it.
fn spent(
    workload: &Workload,
    composite: &ProductTerms,
    costs: &BTreeMap<ProductId, Vec<Cost>>,
    beside: &BTreeMap<ProductId, Vec<Cost>>,
    start: Instant,
    effective: &Price,
) -> BTreeMap<CreditTypeId, Decimal> {
    let state = composite.states.at(start);
    let end = start + chrono::TimeDelta::hours(1);
    let use_list_prices = effective.uses_list_prices().unwrap_or(false);
    let mut spent: BTreeMap<CreditTypeId, Decimal> = BTreeMap::new();
    for member in &workload.terms.products {
        let may_be = match member.product_type {
            ProductType::Usage => true,
            ProductType::Composite => {
                state.include_composite_spend == Some(true) && member.product_id != composite.product_id
            }
            _ => false,
        };
        let tags = member.states.at(start).tags.clone().unwrap_or_default();
        let is_named =
            state.composite_product_ids.as_ref().is_some_and(|ids| ids.contains(&member.product_id));
        let is_tagged =
            state.composite_tags.as_ref().is_some_and(|wanted| tags.iter().any(|tag| wanted.contains(tag)));
        if !may_be || !(is_named || is_tagged) {
            continue;
        }
        let inside = || {
            let is_of_customer = state.composite_scope == Some(CompositeScope::Customer);
            let of_others = beside.get(&member.product_id).filter(|_| is_of_customer);
            let of_member = costs.get(&member.product_id).into_iter().chain(of_others).flatten();
            of_member.filter(|cost| cost.entitled && start <= cost.at && cost.at < end)
        };
        for cost in inside() {
            let (unit, amount) = match (use_list_prices, state.exclude_free_usage) {
                (false, _) => (cost.unit, &cost.charged),
                (true, Some(true)) => (cost.list_unit, &cost.listed_of_paid),
                (true, _) => (cost.list_unit, &cost.listed),
            };
            *spent.entry(unit).or_insert_with(zero) += amount;
        }
    }
    spent
}

/// What the members of a composite spend in an hour.
pub struct Spend {
    pub at: Instant,
    pub unit: CreditTypeId,
    pub spend: Decimal,
}

/// What the members of a composite spend hour by hour, where it has a rate and other contracts have the costs `beside` it.
pub fn composite_spend(
    workload: &Workload,
    composite: &ProductTerms,
    costs: &BTreeMap<ProductId, Vec<Cost>>,
    beside: &BTreeMap<ProductId, Vec<Cost>>,
) -> Vec<Spend> {
    let nothing = GroupValues::new();
    let mut all = Vec::new();
    for start in (0..END).map(hour) {
        let Some(entry) = entry_at(composite, &nothing, start) else { continue };
        let state = composite.states.at(start);
        let line =
            NaiveLine { product: composite, state, pricing: &nothing, presentation: &nothing, at: start };
        let effective = match chain(workload, &line).first() {
            Some(OverrideKind::Overwrite(rate)) => &rate.price,
            _ => &entry.price,
        };
        let spent = spent(workload, composite, costs, beside, start, effective);
        all.extend(spent.into_iter().map(|(unit, spend)| Spend { at: start, unit, spend }));
    }
    all
}

/// What a composite costs, hour by hour, and in the last one what is missing to its minimum, where other contracts have the costs
/// `beside` it.
pub fn composite_costs(
    workload: &Workload,
    composite: &ProductTerms,
    costs: &BTreeMap<ProductId, Vec<Cost>>,
    beside: &BTreeMap<ProductId, Vec<Cost>>,
) -> Vec<Cost> {
    let (nothing, unit) = (GroupValues::new(), workload.terms.unit.id);
    let mut counters: BTreeMap<CreditTypeId, Decimal> = BTreeMap::new();
    let mut own = Vec::new();
    let (mut minimum, mut minimum_before) = (None, None);
    for (start, end) in (0..END).map(|number| (hour(number), hour(number + 1))) {
        let state = composite.states.at(start);
        let Some(entry) = entry_at(composite, &nothing, start) else { continue };
        let line =
            NaiveLine { product: composite, state, pricing: &nothing, presentation: &nothing, at: start };
        let chain = chain(workload, &line);
        let effective = match chain.first() {
            Some(OverrideKind::Overwrite(rate)) => &rate.price,
            _ => &entry.price,
        };
        let is_entitled = entitled(workload, &line, entry.entitled);
        let own_minimum = || effective.minimum().filter(|_| is_entitled).cloned();
        if end == hour(END) {
            minimum = own_minimum();
        }
        if end == workload.statement.from {
            minimum_before = own_minimum();
        }
        let spent = spent(workload, composite, costs, beside, start, effective);
        for (unit, spend) in spent {
            let counter = counters.entry(unit).or_insert_with(zero);
            let before = counter.clone();
            *counter += spend;
            let come_to = |of_unit: fn(Decimal, Decimal) -> Decimal| {
                cost_of_move(&before, counter, &entry.price, &chain, of_unit)
            };
            own.push(Cost {
                at: start,
                unit,
                charged: come_to(|charged, _| charged),
                listed: come_to(|_, listed| listed),
                listed_of_paid: come_to(paid),
                list_unit: unit,
                entitled: is_entitled,
            });
        }
    }
    let Some(minimum) = minimum else { return own };
    let from = workload.statement.from;
    let reached = |until: Instant| -> Decimal {
        own.iter()
            .filter(|cost| cost.entitled && cost.unit == unit && cost.at < until)
            .map(|cost| &cost.charged)
            .sum()
    };
    let (all, earlier) = (reached(hour(END)), reached(from));
    let billed = minimum_before.map_or(earlier.clone(), |minimum| minimum.max(earlier.clone()));
    let missing = all.clone().max(minimum) - billed - (all - earlier);
    own.push(Cost {
        at: hour(END - 1),
        unit,
        charged: missing.clone(),
        listed: missing.clone(),
        listed_of_paid: missing,
        list_unit: unit,
        entitled: true,
    });
    own
}

fn subscription(workload: &Workload, product: &ProductTerms) -> Decimal {
    let nothing = GroupValues::new();
    let statement = &workload.statement;
    let at = statement.counted.start;
    let Some(entry) = entry_at(product, &nothing, at) else { return zero() };
    let line =
        NaiveLine { product, state: product.states.at(at), pricing: &nothing, presentation: &nothing, at };
    let Price::Subscription { price, quantity, .. } = &entry.price else { panic!("a subscription") };
    if !entitled(workload, &line, entry.entitled) {
        return zero();
    }
    let hours = |start: Instant, end: Instant| Decimal::from((end - start).num_hours());
    let whole = hours(statement.calendar.start, statement.calendar.end);
    let (all, earlier) = (hours(at, statement.counted.end), hours(at, statement.from));
    let listed = Price::Flat(price.clone());
    let prorated =
        |charged: Decimal, _| divide(&(&charged * &all), &whole) - divide(&(&charged * &earlier), &whole);
    cost_of_move(&zero(), quantity, &listed, &chain(workload, &line), prorated)
}
