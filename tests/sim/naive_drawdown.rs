//! The second model of who pays: lines are found hour by hour, and each is walked unit by unit, from place to place between
//! which no price changes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use upbeat::catalog::product::{ProductState, ProductType};
use upbeat::catalog::rate::{GroupValues, Price, RateEntry};
use upbeat::contract::MultiplierPrioritization;
use upbeat::contract::balance::{Balance, BalanceType, CommitRateType, Segment, SpecifierOfBalance};
use upbeat::contract::rate_override::{Override, OverrideKind, RateTarget, Specifier};
use upbeat::id::{CreditTypeId, OverrideId, ProductId, SegmentId};
use upbeat::money::{CreditType, Decimal, QuantityRounding, RoundingMethod, divide, zero};
use upbeat::rating::ProductTerms;
use upbeat::time::Instant;

use crate::balances::{CONTRACT, Granted};
use crate::naive::{
    Cost, Groups, Move, NaiveLine, chain, composite_costs, costs_beside, ends, entitled, entry_at, is_aimed,
    moves, unit_price, usage_costs,
};
use crate::workload::{END, Workload, custom_unit, hour};

/// What comes of the drawdown.
pub struct Outcome {
    pub drawn: BTreeMap<SegmentId, Decimal>,
    pub total: Decimal,
    /// The segments that may be drawn at all, in their order.
    pub order: Vec<SegmentId>,
    /// What was paid, for whoever looks for a difference.
    pub lines: Vec<String>,
}

/// Prices from place to place of a counter: where one starts, and what a unit costs from there on. The first starts as low as
/// can be.
type Pieces = Vec<(Option<Decimal>, Decimal)>;

/// A segment of a balance.
struct Source<'a> {
    balance: &'a Balance,
    segment: &'a Segment,
    left: Decimal,
    drawn: Decimal,
}

/// What makes lines differ: time of one product and group with the same of all of these is one line.
#[derive(Clone, PartialEq)]
struct Context {
    /// How the product counts.
    counting: String,
    price: Price,
    commit_rate: Option<Price>,
    listed: Pieces,
    unit: CreditTypeId,
    entitled: bool,
    /// Overrides that are in force, where one of them is for balances alone; and the tags that they go by.
    overrides: Vec<OverrideId>,
    tags: Vec<String>,
    /// What each source would pay, and in which unit.
    drawn: Vec<(Pieces, CreditTypeId)>,
    /// Which sources may pay for the line, or for its conversion.
    eligible: Vec<bool>,
}

struct Line<'a> {
    product: &'a ProductTerms,
    groups: Groups,
    start: i64,
    end: i64,
    context: Context,
    from: Decimal,
    to: Decimal,
    /// Places, who pays, in which unit and at what price.
    paid: Vec<Taken>,
}

struct Taken {
    from: Decimal,
    to: Decimal,
    source: usize,
    unit: CreditTypeId,
    prices: Pieces,
    /// What it costs at these prices.
    amount: Decimal,
}

pub fn outcome(granted: &Granted) -> Outcome {
    let workload = &granted.workload;
    let mut sources = sources(granted);
    let mut usage: Vec<Line<'_>> = Vec::new();
    for product in of_type(workload, ProductType::Usage) {
        usage.extend(usage_lines(workload, product, &sources));
    }
    pay(workload, &mut usage, &mut sources);
    let mut subscriptions: Vec<Line<'_>> = of_type(workload, ProductType::Subscription)
        .filter_map(|product| subscription_line(workload, product, &sources))
        .collect();
    pay(workload, &mut subscriptions, &mut sources);
    let mut composites = composite_lines(workload, &usage, &sources);
    pay(workload, &mut composites, &mut sources);

    let currency = workload.terms.unit.id;
    let mut total = zero();
    let mut lines = usage;
    lines.extend(subscriptions);
    lines.extend(composites);
    let from_hour = (workload.statement.from - hour(0)).num_hours();
    lines.retain(|line| line.context.entitled && line.start >= from_hour);
    for line in &lines {
        if line.context.unit == currency {
            total += line.due();
        }
        for taken in &line.paid {
            if sources[taken.source].is_postpaid() {
                total += &taken.amount;
            }
        }
    }
    total += conversions(workload, &lines, &mut sources);
    let shown = |line: &Line<'_>| {
        let paid = line.paid.iter().map(|taken| {
            let name = sources[taken.source].balance.terms.name.clone().unwrap_or_default();
            format!(" {}..{} by {name}: {}", taken.from, taken.to, taken.amount)
        });
        let product = line.product.product_id.0.as_u128();
        let (from, to) = (&line.from, &line.to);
        format!("{product:x} {}..{} {from}..{to}{}", line.start, line.end, paid.collect::<String>())
    };
    let shown = lines.iter().map(shown).collect();
    Outcome {
        lines: shown,
        order: sources.iter().map(|source| source.segment.id).collect(),
        drawn: sources.into_iter().map(|source| (source.segment.id, source.drawn)).collect(),
        total,
    }
}

fn of_type(workload: &Workload, wanted: ProductType) -> impl Iterator<Item = &ProductTerms> {
    workload.terms.products.iter().filter(move |product| product.product_type == wanted)
}

/// Every segment that touches the period, in the order of drawing.
fn sources(granted: &Granted) -> Vec<Source<'_>> {
    let workload = &granted.workload;
    let mut sources: Vec<Source<'_>> = Vec::new();
    for balance in &granted.balances {
        let is_here = match balance.contract_id {
            Some(contract_id) => contract_id == CONTRACT,
            None => {
                let contracts = &balance.terms.applicable_contract_ids;
                contracts.is_empty() || contracts.contains(&CONTRACT)
            }
        };
        for segment in balance.terms.segments.iter().filter(|_| is_here && balance.archived_at.is_none()) {
            if segment.starting_at >= hour(END) || segment.ending_before <= hour(0) {
                continue;
            }
            let mut left = &segment.amount.0 + granted.used(segment.id);
            for entry in balance.terms.manual_entries.iter().filter(|entry| entry.segment_id == segment.id) {
                left += &entry.amount.0;
            }
            let left = if left < zero() { zero() } else { left };
            sources.push(Source { balance, segment, left, drawn: zero() });
        }
    }
    sources.sort_by(|one, other| before(workload, one, other));
    sources
}

/// The order between balances, rule by rule; "infinity" is no number.
fn before(workload: &Workload, one: &Source<'_>, other: &Source<'_>) -> Ordering {
    let group = |source: &Source<'_>| match (source.balance.origin, source.balance.balance_type) {
        (Some(_), BalanceType::Postpaid) => 0,
        (Some(_), _) => 1,
        (None, BalanceType::Postpaid) => 3,
        (None, _) => 2,
    };
    let priority = |source: &Source<'_>| match &source.balance.terms.priority {
        Some(priority) => priority.0.clone(),
        None => Decimal::from(100),
    };
    let is_rollover = one.balance.origin.is_some() && other.balance.origin.is_some();
    let costs = |source: &Source<'_>| {
        let payments = source.balance.terms.payments.iter().flat_map(|payments| &payments.items);
        let paid: Decimal = payments.map(|payment| &payment.unit_price.0 * &payment.quantity.0).sum();
        source.balance.balance_type != BalanceType::Credit && paid != zero()
    };
    let few_first = |one: Option<usize>, other: Option<usize>| match (one, other) {
        (Some(one), Some(other)) => one.cmp(&other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    };
    let contracts = |source: &Source<'_>| match source.balance.contract_id {
        Some(_) => Some(1),
        None => Some(source.balance.terms.applicable_contract_ids.len()).filter(|count| *count > 0),
    };
    let unless_rollover = |order: Ordering| if is_rollover { Ordering::Equal } else { order };
    group(one)
        .cmp(&group(other))
        .then_with(|| priority(one).cmp(&priority(other)))
        .then_with(|| unless_rollover(costs(one).cmp(&costs(other))))
        .then_with(|| few_first(product_count(workload, one), product_count(workload, other)))
        .then_with(|| few_first(group_count(one), group_count(other)))
        .then_with(|| one.segment.ending_before.cmp(&other.segment.ending_before))
        .then_with(|| unless_rollover(one.segment.starting_at.cmp(&other.segment.starting_at)))
        .then_with(|| unless_rollover(few_first(contracts(one), contracts(other))))
        .then_with(|| one.balance.contract_id.is_none().cmp(&other.balance.contract_id.is_none()))
        .then_with(|| one.balance.created_at.cmp(&other.balance.created_at))
        .then_with(|| one.balance.id.cmp(&other.balance.id))
        .then_with(|| one.segment.id.cmp(&other.segment.id))
}

fn product_count(workload: &Workload, source: &Source<'_>) -> Option<usize> {
    let targeting = &source.balance.terms.targeting;
    let names_product = |one: &SpecifierOfBalance| one.product_id.is_some() || !one.product_tags.is_empty();
    let is_bound = !targeting.product_ids.is_empty()
        || !targeting.product_tags.is_empty()
        || targeting.specifiers.iter().any(names_product);
    let is_named = |product: &&ProductTerms| {
        let tags = product.states.at(workload.statement.from).tags.clone().unwrap_or_default();
        targeting.product_ids.contains(&product.product_id)
            || targeting.product_tags.iter().any(|tag| tags.contains(tag))
            || targeting.specifiers.iter().filter(|one| names_product(one)).any(|one| match one.product_id {
                Some(id) => id == product.product_id,
                None => one.product_tags.iter().all(|tag| tags.contains(tag)),
            })
    };
    is_bound.then(|| workload.terms.products.iter().filter(is_named).count())
}

fn group_count(source: &Source<'_>) -> Option<usize> {
    let targeting = &source.balance.terms.targeting;
    if targeting.specifiers.is_empty() {
        let is_open = targeting.product_ids.is_empty() && targeting.product_tags.is_empty();
        return if is_open { None } else { Some(0) };
    }
    let mut count = 0;
    for one in &targeting.specifiers {
        let names_groups = !one.pricing_group_values.is_empty() || !one.presentation_group_values.is_empty();
        match (one.product_id.is_some() || !one.product_tags.is_empty(), names_groups) {
            (true, _) => {}
            (false, true) => count += 1,
            // It is for all usage there is.
            (false, false) => return None,
        }
    }
    Some(count)
}

impl Source<'_> {
    fn is_postpaid(&self) -> bool {
        self.balance.balance_type == BalanceType::Postpaid
    }

    /// None where it is of units of usage.
    fn unit(&self) -> Option<CreditTypeId> {
        self.balance.unit.as_ref().map(|unit| unit.id)
    }

    /// Whether it may pay for what is priced in a unit: with units of usage that is any.
    fn pays_in(&self, unit: CreditTypeId) -> bool {
        self.unit().is_none_or(|own| own == unit)
    }

    fn is_open(&self) -> bool {
        let targeting = &self.balance.terms.targeting;
        targeting.product_ids.is_empty()
            && targeting.product_tags.is_empty()
            && targeting.specifiers.is_empty()
    }

    fn is_aimed(&self, line: &NaiveLine<'_>) -> bool {
        if !(self.segment.starting_at <= line.at && line.at < self.segment.ending_before) {
            return false;
        }
        if self.unit().is_none() && line.product.product_type != ProductType::Usage {
            return false;
        }
        let tags = line.state.tags.clone().unwrap_or_default();
        let targeting = &self.balance.terms.targeting;
        if self.is_open() || targeting.product_ids.contains(&line.product.product_id) {
            return true;
        }
        if targeting.product_tags.iter().any(|tag| tags.contains(tag)) {
            return true;
        }
        targeting.specifiers.iter().any(|one| {
            let mut holds = one.product_id.is_none_or(|id| id == line.product.product_id);
            for tag in &one.product_tags {
                holds = holds && tags.contains(tag);
            }
            for (name, value) in &one.pricing_group_values {
                holds = holds && line.pricing.get(name) == Some(value);
            }
            for (name, value) in &one.presentation_group_values {
                holds = holds && line.presentation.get(name) == Some(value);
            }
            for exclusion in one.exclude.iter().filter(|exclusion| !exclusion.product_tags.is_empty()) {
                holds = holds && !exclusion.product_tags.iter().all(|tag| tags.contains(tag));
            }
            holds
        })
    }
}

/// The overrides that price a line while a source is drawn, the best first, and what they are on top of.
fn while_drawn<'a>(
    workload: &'a Workload,
    line: &NaiveLine<'_>,
    entry: &'a RateEntry,
    source: &Source<'_>,
) -> (&'a Price, Vec<&'a Override>) {
    let at_commit_rate = source.balance.terms.rate_type == CommitRateType::CommitRate;
    let (base, target) = match &entry.commit_rate {
        Some(commit_rate) if at_commit_rate => (commit_rate, RateTarget::CommitRate),
        _ => (&entry.price, RateTarget::ListRate),
    };
    let id = source.balance.id.0;
    let is_credit = source.balance.balance_type == BalanceType::Credit;
    let recurring = source.balance.recurring_id.map(|id| id.0);
    let names = |specifier: &Specifier| {
        let Specifier { commit_ids, recurring_commit_ids, any_commit_or_credit_ids, .. } = specifier;
        if commit_ids.is_empty() && recurring_commit_ids.is_empty() && any_commit_or_credit_ids.is_empty() {
            return true;
        }
        let is_any = any_commit_or_credit_ids.contains(&id)
            || recurring.is_some_and(|id| any_commit_or_credit_ids.contains(&id));
        let is_commit =
            commit_ids.contains(&id) || recurring.is_some_and(|id| recurring_commit_ids.contains(&id));
        is_any || (is_commit && !is_credit)
    };
    let mut own: Vec<&Override> = Vec::new();
    for one in &workload.overrides {
        // What a specifier says of usage and of balances must hold together.
        let of_payer: Vec<Specifier> =
            one.targeting.specifiers.iter().filter(|specifier| names(specifier)).cloned().collect();
        if one.targeting.specifiers.len() != of_payer.len() && of_payer.is_empty() {
            continue;
        }
        let mut narrowed = one.clone();
        narrowed.targeting.specifiers = of_payer;
        if one.kind.is_some() && one.target == target && is_aimed(&narrowed, line) {
            own.push(one);
        }
    }
    let is_overwrite = |one: &Override| matches!(one.kind, Some(OverrideKind::Overwrite(_)));
    let has_minimum = |one: &Override| match &one.kind {
        Some(OverrideKind::Overwrite(rate)) => rate.price.minimum().is_some(),
        _ => false,
    };
    let smallest = |one: &Override| match &one.kind {
        Some(OverrideKind::Multiplier(multiplier)) => multiplier.clone(),
        Some(OverrideKind::Tiered(tiers)) => {
            tiers.iter().map(|tier| tier.multiplier.0.clone()).min().expect("a tier")
        }
        _ => zero(),
    };
    own.sort_by(|one, other| {
        let by_scope = other.is_commit_specific.cmp(&one.is_commit_specific);
        let by_kind = is_overwrite(other).cmp(&is_overwrite(one));
        let by_priority = match workload.prioritization {
            MultiplierPrioritization::Explicit if !is_overwrite(one) && !is_overwrite(other) => {
                one.priority.cmp(&other.priority)
            }
            _ => Ordering::Equal,
        };
        by_scope
            .then(by_kind)
            .then(by_priority)
            .then(smallest(one).cmp(&smallest(other)))
            .then(other.added.cmp(&one.added))
    });
    let of_contract = own.iter().find(|one| !one.is_commit_specific);
    let is_minimum = match of_contract {
        Some(one) if is_overwrite(one) => has_minimum(one),
        _ => entry.price.minimum().is_some(),
    };
    own.retain(|one| !one.is_commit_specific || !(is_minimum || has_minimum(one)));
    (base, own)
}

fn pieces(base: &Price, chain: &[&OverrideKind]) -> Pieces {
    let mut places = ends(base, chain);
    places.sort();
    places.dedup();
    let mut pieces: Pieces = Vec::new();
    let firsts = std::iter::once(None).chain(places.iter().cloned().map(Some));
    let one: Decimal = 1.into();
    for (number, start) in firsts.enumerate() {
        let end = places.get(number);
        let (from, to) = match (&start, end) {
            (Some(start), Some(end)) => (start.clone(), end.clone()),
            (Some(start), None) => (start.clone(), start + &one),
            (None, Some(end)) => (zero(), end.clone()),
            (None, None) => (zero(), one.clone()),
        };
        let price = unit_price(base, chain, &from, &to);
        if pieces.last().is_none_or(|(_, last)| *last != price) {
            pieces.push((start, price));
        }
    }
    pieces
}

/// Splits a range into its parts of one price each: `(from, to, price)`.
fn split(pieces: &Pieces, from: &Decimal, to: &Decimal) -> Vec<(Decimal, Decimal, Decimal)> {
    let mut parts = Vec::new();
    for (number, (start, price)) in pieces.iter().enumerate() {
        let start = match start {
            Some(start) if start > from => start.clone(),
            _ => from.clone(),
        };
        let end = match pieces.get(number + 1) {
            Some((Some(end), _)) if end < to => end.clone(),
            _ => to.clone(),
        };
        if start < end {
            parts.push((start, end, price.clone()));
        }
    }
    parts
}

/// What a move costs; a fall gives back.
fn value(pieces: &Pieces, from: &Decimal, to: &Decimal) -> Decimal {
    if to < from {
        return -value(pieces, to, from);
    }
    split(pieces, from, to).into_iter().map(|(from, to, price)| (to - from) * price).sum()
}

impl Line<'_> {
    fn whole(&self) -> Decimal {
        value(&self.context.listed, &self.from, &self.to)
    }

    /// What nobody pays.
    fn due(&self) -> Decimal {
        let covered = self.paid.iter().map(|taken| {
            let is_listed = taken.unit == self.context.unit && taken.prices == self.context.listed;
            // What is drawn is exact where the price is the same.
            if is_listed { taken.amount.clone() } else { value(&self.context.listed, &taken.from, &taken.to) }
        });
        self.whole() - covered.sum::<Decimal>()
    }
}

fn context(
    workload: &Workload,
    product: &ProductTerms,
    groups: &Groups,
    at: Instant,
    sources: &[Source<'_>],
    unit_of_members: Option<CreditTypeId>,
) -> Option<Context> {
    let state: &ProductState = product.states.at(at);
    let (pricing, presentation) = groups;
    let entry = entry_at(product, pricing, at)?;
    let line = NaiveLine { product, state, pricing, presentation, at };
    let flat_base;
    let base = match &entry.price {
        Price::Subscription { price, .. } => {
            flat_base = Price::Flat(price.clone());
            &flat_base
        }
        other => other,
    };
    let listed_chain = chain(workload, &line);
    let unit = unit_of_members.unwrap_or(entry.credit_type_id);
    let drawn: Vec<(Pieces, CreditTypeId)> = sources
        .iter()
        .map(|source| {
            let (drawn_base, own) = while_drawn(workload, &line, entry, source);
            let kinds: Vec<&OverrideKind> = own.iter().filter_map(|one| one.kind.as_ref()).collect();
            let drawn_base = if matches!(drawn_base, Price::Subscription { .. }) { base } else { drawn_base };
            let drawn_unit = match kinds.first() {
                Some(OverrideKind::Overwrite(rate)) => rate.credit_type_id.unwrap_or(unit),
                Some(OverrideKind::Tiered(_)) => overwritten_unit(&kinds).unwrap_or(unit),
                _ => unit,
            };
            (pieces(drawn_base, &kinds), drawn_unit)
        })
        .collect();
    let in_force: Vec<&Override> = workload.overrides.iter().filter(|one| is_aimed(one, &line)).collect();
    let is_for_balances = in_force.iter().any(|one| one.is_commit_specific);
    let currency = workload.terms.unit.id;
    let eligible = sources
        .iter()
        .zip(&drawn)
        .map(|(source, (_, drawn_unit))| {
            let of_conversion = unit != currency && source.unit() == Some(currency) && source.is_open();
            source.is_aimed(&line) && (source.pays_in(*drawn_unit) || of_conversion)
        })
        .collect();
    Some(Context {
        counting: format!(
            "{:?} {:?} {:?} {:?}",
            state.billable_metric_id,
            state.presentation_key(),
            state.quantity_conversion.value(),
            state.quantity_rounding.value()
        ),
        price: entry.price.clone(),
        commit_rate: entry.commit_rate.clone(),
        listed: pieces(base, &listed_chain),
        unit,
        entitled: entitled(workload, &line, entry.entitled),
        overrides: if is_for_balances { in_force.iter().map(|one| one.id).collect() } else { Vec::new() },
        tags: if is_for_balances { state.tags.clone().unwrap_or_default() } else { Vec::new() },
        drawn,
        eligible,
    })
}

/// The unit of an OVERWRITE beyond a tiered override.
fn overwritten_unit(kinds: &[&OverrideKind]) -> Option<CreditTypeId> {
    kinds.iter().find_map(|kind| match kind {
        OverrideKind::Overwrite(rate) => Some(rate.credit_type_id),
        OverrideKind::Multiplier(_) => Some(None),
        OverrideKind::Tiered(_) => None,
    })?
}

/// The runs of hours with the same context, cut where the statement starts.
fn runs(
    workload: &Workload,
    product: &ProductTerms,
    groups: &Groups,
    sources: &[Source<'_>],
    unit_of_members: Option<CreditTypeId>,
) -> Vec<(i64, i64, Context)> {
    let from = (workload.statement.from - hour(0)).num_hours();
    let mut runs: Vec<(i64, i64, Context)> = Vec::new();
    for number in 0..END {
        let Some(context) = context(workload, product, groups, hour(number), sources, unit_of_members) else {
            continue;
        };
        match runs.last_mut() {
            Some((_, end, last)) if *end == number && number != from && *last == context => *end = number + 1,
            _ => runs.push((number, number + 1, context)),
        }
    }
    runs
}

fn usage_lines<'a>(
    workload: &'a Workload,
    product: &'a ProductTerms,
    sources: &[Source<'_>],
) -> Vec<Line<'a>> {
    let mut by_groups: BTreeMap<Groups, Vec<Move>> = BTreeMap::new();
    for one in moves(workload, product) {
        by_groups.entry(one.groups.clone()).or_default().push(one);
    }
    let mut lines = Vec::new();
    for (groups, moves) in by_groups {
        for (start, end, context) in runs(workload, product, &groups, sources, None) {
            let inside: Vec<&Move> =
                moves.iter().filter(|one| hour(start) <= one.at && one.at < hour(end)).collect();
            let (Some(first), Some(last)) = (inside.first(), inside.last()) else { continue };
            let (from, to) = (first.before.clone(), last.after.clone());
            lines.push(Line {
                product,
                groups: groups.clone(),
                start,
                end,
                context,
                from,
                to,
                paid: Vec::new(),
            });
        }
    }
    lines
}

fn subscription_line<'a>(
    workload: &'a Workload,
    product: &'a ProductTerms,
    sources: &[Source<'_>],
) -> Option<Line<'a>> {
    let statement = &workload.statement;
    let groups = (GroupValues::new(), GroupValues::new());
    let mut context = context(workload, product, &groups, statement.counted.start, sources, None)?;
    let hours = |start: Instant, end: Instant| Decimal::from((end - start).num_hours());
    let whole = hours(statement.calendar.start, statement.calendar.end);
    let (all, earlier) = (hours(hour(0), hour(END)), hours(hour(0), statement.from));
    let prorate = |pieces: &mut Pieces| {
        for (_, price) in pieces {
            *price = divide(&(&*price * &all), &whole) - divide(&(&*price * &earlier), &whole);
        }
    };
    prorate(&mut context.listed);
    context.drawn.iter_mut().for_each(|(pieces, _)| prorate(pieces));
    // It falls due at its start.
    let state = product.states.at(statement.from);
    let (pricing, presentation) = (&groups.0, &groups.1);
    let line = NaiveLine { product, state, pricing, presentation, at: statement.from };
    context.eligible = sources
        .iter()
        .zip(&context.drawn)
        .map(|(source, (_, unit))| source.is_aimed(&line) && source.pays_in(*unit))
        .collect();
    let Price::Subscription { quantity, .. } = &context.price else { panic!("a subscription") };
    let to = quantity.clone();
    let start = (statement.from - hour(0)).num_hours();
    Some(Line { product, groups, start, end: END, context, from: zero(), to, paid: Vec::new() })
}

/// Pays for the lines of one kind.
fn pay(workload: &Workload, lines: &mut [Line<'_>], sources: &mut [Source<'_>]) {
    let (currency, fiat_per_unit) = (workload.terms.unit.id, &workload.terms.conversions[0].fiat_per_unit);
    let mut places = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if !line.context.entitled || hour(line.start) < workload.statement.from {
            continue;
        }
        let name = line.product.states.at(hour(line.end - 1)).name.clone();
        for (from, to, price) in split(&line.context.listed, &line.from, &line.to) {
            let product = line.product.product_id;
            // By what it is worth, whatever its unit.
            let price = if line.context.unit == currency { price } else { price * fiat_per_unit };
            places.push((line.start, -price, name.clone(), product, line.groups.clone(), number, from, to));
        }
    }
    places.sort();
    for (.., number, from, to) in places {
        let line = &mut lines[number];
        let mut at = from;
        for (source_number, source) in sources.iter_mut().enumerate() {
            let (prices, unit) = &line.context.drawn[source_number];
            if !line.context.eligible[source_number] || !source.pays_in(*unit) {
                continue;
            }
            // What is given back draws nothing either.
            let is_for_nothing = value(prices, &at, &to) <= zero()
                && (value(&line.context.listed, &at, &to) <= zero()
                    || (*prices == line.context.listed && *unit == line.context.unit));
            if at >= to || source.left <= zero() || is_for_nothing {
                continue;
            }
            let start = at.clone();
            let is_of_units = source.unit().is_none();
            let (mut amount, mut drawn) = (zero(), zero());
            for (part_from, part_to, price) in split(prices, &start, &to) {
                if source.left <= zero() {
                    break;
                }
                let units = &part_to - &part_from;
                let worth = &units * &price;
                let asked = if is_of_units { &units } else { &worth };
                if *asked <= source.left {
                    source.left -= asked;
                    drawn += asked;
                    amount += worth;
                    at = part_to;
                } else {
                    let left = std::mem::replace(&mut source.left, zero());
                    drawn += &left;
                    if is_of_units {
                        amount += &left * &price;
                        at = &part_from + left;
                    } else {
                        at = &part_from + divide(&left, &price);
                        amount += left;
                    }
                }
            }
            source.drawn += &drawn;
            let (unit, prices) = (*unit, prices.clone());
            line.paid.push(Taken {
                from: start,
                to: at.clone(),
                source: source_number,
                unit,
                prices,
                amount,
            });
        }
    }
}

/// What usage costs, with what balances pay for at the prices at which they do.
fn costs_at_final_prices(workload: &Workload, lines: &[Line<'_>]) -> BTreeMap<ProductId, Vec<Cost>> {
    let mut costs: BTreeMap<ProductId, Vec<Cost>> = BTreeMap::new();
    for product in of_type(workload, ProductType::Usage) {
        let mut own = usage_costs(workload, product);
        // One for each move that is priced, in the same order.
        let priced: Vec<Move> = moves(workload, product)
            .into_iter()
            .filter(|one| entry_at(product, &one.groups.0, one.at).is_some())
            .collect();
        assert_eq!(own.len(), priced.len());
        let mut others = Vec::new();
        for (cost, one) in own.iter_mut().zip(&priced) {
            let line = lines.iter().find(|line| {
                line.product.product_id == product.product_id
                    && line.groups == one.groups
                    && hour(line.start) <= one.at
                    && one.at < hour(line.end)
            });
            let (low, high) =
                if one.before < one.after { (&one.before, &one.after) } else { (&one.after, &one.before) };
            for taken in line.into_iter().flat_map(|line| &line.paid) {
                let (from, to) = (low.max(&taken.from), high.min(&taken.to));
                if from >= to {
                    continue;
                }
                let falls = one.after < one.before;
                let signed = |amount: Decimal| if falls { -amount } else { amount };
                let listed = &line.expect("it paid for it").context.listed;
                cost.charged -= signed(value(listed, from, to));
                others.push(Cost {
                    unit: taken.unit,
                    charged: signed(value(&taken.prices, from, to)),
                    listed: zero(),
                    listed_of_paid: zero(),
                    ..cost.clone()
                });
            }
        }
        own.extend(others);
        costs.insert(product.product_id, own);
    }
    costs
}

fn composite_lines<'a>(workload: &'a Workload, usage: &[Line<'_>], sources: &[Source<'_>]) -> Vec<Line<'a>> {
    let mut costs = costs_at_final_prices(workload, usage);
    let beside = costs_beside(workload);
    let currency = workload.terms.unit.id;
    let groups = (GroupValues::new(), GroupValues::new());
    let from = workload.statement.from;
    let mut lines = Vec::new();
    for product in of_type(workload, ProductType::Composite) {
        let own = composite_costs(workload, product, &costs, &beside);
        let bases = composite_bases(workload, product, &costs, &beside);
        let runs = runs(workload, product, &groups, sources, None);
        let last = runs.last().filter(|(_, end, _)| *end == END);
        let effective_minimum = last.and_then(|_| minimum_at(workload, product, hour(END - 1)));
        let units: std::collections::BTreeSet<CreditTypeId> =
            bases.keys().map(|(unit, _)| *unit).chain([currency]).collect();
        for unit in units.into_iter().filter(|unit| *unit != currency || effective_minimum.is_none()) {
            lines.extend(share_lines(workload, product, &bases, unit, sources));
        }
        if let Some(minimum) = effective_minimum {
            let charged = |until: Instant| -> Decimal {
                let own = own.iter().filter(|cost| cost.entitled && cost.unit == currency && cost.at < until);
                // The last one is what is missing to the minimum.
                own.map(|cost| &cost.charged).sum()
            };
            let missing = own.last().filter(|cost| cost.at == hour(END - 1)).map(|cost| &cost.charged);
            let shares = charged(hour(END)) - missing.expect("of the minimum");
            let minimum_before = minimum_at(workload, product, from - chrono::TimeDelta::hours(1));
            let earlier = charged(from);
            let billed = minimum_before.map_or(earlier.clone(), |minimum| minimum.max(earlier));
            let due = shares.max(minimum) - billed;
            let is_beyond = *missing.expect("of the minimum") != zero();
            let first = runs.iter().find(|(_, end, context)| hour(*end) > from && context.entitled);
            let start = first.map(|(start, _, _)| *start).expect("the last one");
            let mut context = last.expect("it has a minimum").2.clone();
            context.listed = vec![(None, due)];
            context.unit = currency;
            let listed = context.listed.clone();
            context.drawn.iter_mut().for_each(|drawn| *drawn = (listed.clone(), currency));
            if is_beyond {
                context.eligible = (0..sources.len())
                    .map(|number| eligible(product, hour(start), &sources[number]))
                    .collect();
                let groups = groups.clone();
                let (from, to) = (zero(), 1.into());
                lines.push(Line { product, groups, start, end: END, context, from, to, paid: Vec::new() });
            } else {
                lines.extend(share_lines(workload, product, &bases, currency, sources));
            }
        }
        costs.insert(product.product_id, own);
    }
    lines
}

/// The shares of what members cost in one unit.
fn share_lines<'a>(
    workload: &Workload,
    product: &'a ProductTerms,
    bases: &BTreeMap<(CreditTypeId, i64), Decimal>,
    unit: CreditTypeId,
    sources: &[Source<'_>],
) -> Vec<Line<'a>> {
    let groups = (GroupValues::new(), GroupValues::new());
    let mut counter = zero();
    let mut lines = Vec::new();
    for (start, end, context) in runs(workload, product, &groups, sources, Some(unit)) {
        let from = counter.clone();
        counter += (start..end).filter_map(|number| bases.get(&(unit, number))).sum::<Decimal>();
        let (to, groups) = (counter.clone(), groups.clone());
        lines.push(Line { product, groups, start, end, context, from, to, paid: Vec::new() });
    }
    lines
}

fn eligible(product: &ProductTerms, at: Instant, source: &Source<'_>) -> bool {
    let nothing = GroupValues::new();
    let line =
        NaiveLine { product, state: product.states.at(at), pricing: &nothing, presentation: &nothing, at };
    source.is_aimed(&line)
}

/// The minimum of a composite that is in force and may be billed.
fn minimum_at(workload: &Workload, product: &ProductTerms, at: Instant) -> Option<Decimal> {
    let nothing = GroupValues::new();
    let entry = entry_at(product, &nothing, at).filter(|_| at >= hour(0))?;
    let state = product.states.at(at);
    let line = NaiveLine { product, state, pricing: &nothing, presentation: &nothing, at };
    let price = match chain(workload, &line).first() {
        Some(OverrideKind::Overwrite(rate)) => rate.price.clone(),
        _ => entry.price.clone(),
    };
    price.minimum().filter(|_| entitled(workload, &line, entry.entitled)).cloned()
}

/// What members cost, by unit and hour.
fn composite_bases(
    workload: &Workload,
    composite: &ProductTerms,
    costs: &BTreeMap<ProductId, Vec<Cost>>,
    beside: &BTreeMap<ProductId, Vec<Cost>>,
) -> BTreeMap<(CreditTypeId, i64), Decimal> {
    let mut bases = BTreeMap::new();
    // At a share of everything its cost is its base.
    for cost in crate::naive::composite_spend(workload, composite, costs, beside) {
        let number = (cost.at - hour(0)).num_hours();
        *bases.entry((cost.unit, number)).or_insert_with(zero) += cost.spend;
    }
    bases
}

/// What tokens come to in money that no tokens pay for; answers what is due of it.
fn conversions(workload: &Workload, lines: &[Line<'_>], sources: &mut [Source<'_>]) -> Decimal {
    let currency = CreditType::usd().id;
    let from = (workload.statement.from - hour(0)).num_hours();
    let fiat_per_unit = workload.terms.conversions[0].fiat_per_unit.clone();
    let mut bounds = vec![from, END];
    for source in sources.iter().filter(|source| source.is_open() && source.unit() == Some(currency)) {
        let ends = [source.segment.starting_at, source.segment.ending_before];
        bounds.extend(ends.iter().map(|at| (*at - hour(0)).num_hours()).filter(|at| from < *at && *at < END));
    }
    bounds.sort_unstable();
    bounds.dedup();
    let owed = |start: i64, end: i64| -> Decimal {
        let inside = lines.iter().filter(|line| start <= line.start && line.start < end);
        let owed: Decimal = inside.filter(|line| line.context.unit == custom_unit().id).map(Line::due).sum();
        // Quotients leave less than anything is worth.
        let rounding = QuantityRounding { rounding_method: RoundingMethod::RoundHalfUp, decimal_places: 15 };
        rounding.apply(&owed)
    };
    let mut parts: Vec<(i64, i64, Decimal)> =
        bounds.windows(2).map(|pair| (pair[0], pair[1], owed(pair[0], pair[1]))).collect();
    if parts.iter().any(|(_, _, owed)| *owed < zero()) {
        parts = vec![(from, END, owed(from, END))];
    }
    let mut due = zero();
    for (start, end, owed) in parts.into_iter().filter(|(_, _, owed)| *owed > zero()) {
        let mut left = owed * &fiat_per_unit;
        for source in sources.iter_mut() {
            let covers =
                source.segment.starting_at <= hour(start) && hour(end) <= source.segment.ending_before;
            if !covers || !source.is_open() || source.unit() != Some(currency) {
                continue;
            }
            let amount = if source.left < left { source.left.clone() } else { left.clone() };
            source.left -= &amount;
            source.drawn += &amount;
            left -= &amount;
            if source.is_postpaid() {
                due += amount;
            }
        }
        due += left;
    }
    due
}
