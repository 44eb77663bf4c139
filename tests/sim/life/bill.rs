//! What a statement of a contract comes to and who pays: event by event, and walked line by line.

use std::cmp::Ordering;

use upbeat::money::{Decimal, is_positive};
use upbeat::time::Instant;

use super::customer::{Balance, Customer, Draw, Segment};
use super::step::{DrawnBy, Kind};

/// What customers use; the events of a product are called as it is.
pub const PRODUCTS: [&str; 4] = ["ants", "bees", "cows", "dogs"];
/// How much of the last one costs more.
pub const FIRST_TIER: i64 = 100;
pub const FIRST_TIER_PRICE: i64 = 6;

/// What comes of a statement.
#[derive(Clone, Debug, Default)]
pub struct Bill {
    /// What is due for usage.
    pub total: Decimal,
    /// What the usage costs at the prices that are used, whoever pays.
    pub gross: Decimal,
    /// How much was used of each product.
    pub counts: [Decimal; PRODUCTS.len()],
    pub draws: Vec<Draw>,
}

/// A segment that may pay.
struct Source<'a> {
    balance: &'a Balance,
    number: usize,
    segment: &'a Segment,
    start: Instant,
    end: Instant,
    left: Decimal,
    drawn: Decimal,
}

/// Units of one price that are paid for together.
struct Place {
    start: Instant,
    price: Decimal,
    product: usize,
    count: Decimal,
    /// Which sources may pay.
    eligible: Vec<bool>,
}

/// What a unit costs where nothing pays for it.
pub fn list_price(product: usize, at: Instant, change: Instant) -> Decimal {
    match product {
        0 => 4.into(),
        1 => 10.into(),
        2 if at < change => 5.into(),
        2 => "7.5".parse().expect("a number"),
        _ => 2.into(),
    }
}

/// And while it is paid at commit rates.
pub fn commit_price(product: usize) -> Option<Decimal> {
    (product == 1).then(|| 8.into())
}

impl Customer {
    /// What a statement comes to, where `reserved` is drawn by drafts before it.
    pub fn bill(&self, contract: usize, (from, end): (Instant, Instant), reserved: &[Draw]) -> Bill {
        let own = &self.contracts[contract];
        let counted_from = own.calendar.around(from).0.max(own.start).min(from);
        let mut sources = self.sources(contract, (counted_from, end), reserved);
        let is_own = |of: &str| own.only.is_none_or(|only| only == of);
        let mut bill = Bill::default();
        let mut places = Vec::new();
        for product in 0..PRODUCTS.len() {
            let events: Vec<_> = self
                .events
                .iter()
                .filter(|event| event.product == product && is_own(event.of))
                .filter(|event| counted_from <= event.at && event.at < end)
                .collect();
            let count = |from: Instant, to: Instant| -> Decimal {
                let inside = events.iter().filter(|event| from <= event.at && event.at < to);
                Decimal::from(inside.map(|event| event.count).sum::<i64>())
            };
            let mut counter = count(counted_from, from);
            for (start, until, eligible) in self.slices(product, (from, end), &sources) {
                let used = count(start, until);
                bill.counts[product] += &used;
                let to = &counter + &used;
                for (price, count) in self.prices(product, start, &counter, &to) {
                    if !is_positive(&count) {
                        // What is given back is drawn by nobody.
                        bill.total += &count * &price;
                        bill.gross += count * price;
                        continue;
                    }
                    places.push(Place { start, price, product, count, eligible: eligible.clone() });
                }
                counter = to;
            }
        }
        places.sort_by(|one, other| {
            let by_price = other.price.cmp(&one.price);
            one.start.cmp(&other.start).then(by_price).then(one.product.cmp(&other.product))
        });
        for place in places {
            pay(place, &mut sources, &mut bill);
        }
        for source in sources.into_iter().filter(|source| is_positive(&source.drawn)) {
            let at = source.end.min(end);
            let (balance, segment) = (source.number, source.segment.number);
            bill.draws.push(Draw { balance, segment, amount: source.drawn, at });
        }
        bill
    }

    /// Units from one place of the counter to another, by price.
    fn prices(&self, product: usize, at: Instant, from: &Decimal, to: &Decimal) -> Vec<(Decimal, Decimal)> {
        let price = list_price(product, at, self.price_change);
        if product != 3 {
            return vec![(price, to - from)];
        }
        let limit = Decimal::from(FIRST_TIER);
        let first = to.clone().min(limit.clone()) - from.clone().min(limit.clone());
        let rest = to.clone().max(limit.clone()) - from.clone().max(limit);
        vec![(FIRST_TIER_PRICE.into(), first), (price, rest)]
    }

    /// A statement in parts, in each of which one price holds and the same may pay.
    fn slices(
        &self,
        product: usize,
        (from, end): (Instant, Instant),
        sources: &[Source<'_>],
    ) -> Vec<(Instant, Instant, Vec<bool>)> {
        let mut bounds = vec![from, self.price_change];
        bounds.extend(sources.iter().flat_map(|source| [source.start, source.end]));
        bounds.retain(|bound| from <= *bound && *bound < end);
        bounds.sort();
        bounds.dedup();
        let mut slices: Vec<(Instant, Instant, Decimal, Vec<bool>)> = Vec::new();
        for (place, start) in bounds.iter().enumerate() {
            let until = bounds.get(place + 1).copied().unwrap_or(end);
            let price = list_price(product, *start, self.price_change);
            let eligible: Vec<bool> = sources
                .iter()
                .map(|source| {
                    let products = &source.balance.products;
                    let is_meant = products.is_empty() || products.contains(&product);
                    is_meant && source.start <= *start && *start < source.end
                })
                .collect();
            match slices.last_mut() {
                Some((_, last, own, payers)) if *own == price && *payers == eligible => *last = until,
                _ => slices.push((*start, until, price, eligible)),
            }
        }
        slices.into_iter().map(|(start, until, _, eligible)| (start, until, eligible)).collect()
    }

    /// What may pay, in its order.
    fn sources(
        &self,
        contract: usize,
        (from, end): (Instant, Instant),
        reserved: &[Draw],
    ) -> Vec<Source<'_>> {
        let mut sources = Vec::new();
        for (number, balance) in self.balances.iter().enumerate() {
            if balance.archived.is_some() || !balance.is_of(contract) {
                continue;
            }
            for segment in &balance.segments {
                let Some((start, until)) = balance.access(segment, &self.contracts) else { continue };
                if until <= from || end <= start {
                    continue;
                }
                let mut left = self.worth(number, segment, reserved) + balance.manual(segment.number);
                left -= self.drawn(segment.number) + self.finally_taken(segment.number);
                for draw in reserved.iter().filter(|draw| draw.segment == segment.number) {
                    left -= &draw.amount;
                }
                // What is short of a promise and billed is no promise any more.
                let left = (left - self.billed_short(number)).max(Decimal::default());
                let drawn = Decimal::default();
                sources.push(Source { balance, number, segment, start, end: until, left, drawn });
            }
        }
        sources.sort_by(before);
        sources
    }
}

fn before(one: &Source<'_>, other: &Source<'_>) -> Ordering {
    // What was taken over goes before everything, and promises go first there and last elsewhere.
    let group = |source: &Source<'_>| match (source.balance.taken.is_some(), source.balance.kind) {
        (true, Kind::Postpaid) => 0,
        (true, _) => 1,
        (false, Kind::Postpaid) => 3,
        (false, _) => 2,
    };
    let priority = |source: &Source<'_>| source.balance.priority.unwrap_or(100);
    let is_paid = |source: &Source<'_>| {
        let zero = Decimal::default();
        let may_be = source.balance.kind != Kind::Credit && source.balance.taken.is_none();
        may_be && source.balance.payments.iter().any(|one| one.amount > zero)
    };
    let is_open = |source: &Source<'_>| source.balance.products.is_empty();
    let start = |source: &Source<'_>| source.balance.taken.is_none().then_some(source.segment.start);
    let contracts = |source: &Source<'_>| match source.balance.contract {
        Some(_) => 1,
        None if source.balance.applicable.is_empty() => usize::MAX,
        None => source.balance.applicable.len(),
    };
    let products =
        |source: &Source<'_>| if is_open(source) { usize::MAX } else { source.balance.products.len() };
    group(one)
        .cmp(&group(other))
        .then(priority(one).cmp(&priority(other)))
        .then(is_paid(one).cmp(&is_paid(other)))
        .then(products(one).cmp(&products(other)))
        .then(one.end.cmp(&other.end))
        .then(start(one).cmp(&start(other)))
        .then(contracts(one).cmp(&contracts(other)))
        .then(one.balance.contract.is_none().cmp(&other.balance.contract.is_none()))
        .then(one.balance.created.cmp(&other.balance.created))
        .then(one.balance.id.cmp(&other.balance.id))
        .then(one.segment.id.cmp(&other.segment.id))
}

fn pay(place: Place, sources: &mut [Source<'_>], bill: &mut Bill) {
    let zero = Decimal::default();
    let mut count = place.count;
    for (source, _) in sources.iter_mut().zip(&place.eligible).filter(|(_, is_eligible)| **is_eligible) {
        if source.left <= zero || count <= zero {
            continue;
        }
        let commit_price = commit_price(place.product).filter(|_| source.balance.at_commit_rate);
        let price = commit_price.as_ref().unwrap_or(&place.price);
        let worth = &count * price;
        let by_units = source.balance.drawn_by == DrawnBy::Units;
        let asked = if by_units { &count } else { &worth };
        let (units, worth, amount) = if *asked <= source.left {
            (count.clone(), worth.clone(), asked.clone())
        } else if by_units {
            (source.left.clone(), &source.left * price, source.left.clone())
        } else {
            ((&source.left / price).with_prec(40), source.left.clone(), source.left.clone())
        };
        count -= units;
        source.left -= &amount;
        source.drawn += amount;
        if source.balance.kind == Kind::Postpaid {
            bill.total += &worth;
        }
        bill.gross += worth;
        assert!(source.left >= zero, "drawn below zero");
    }
    bill.total += &count * &place.price;
    bill.gross += count * place.price;
}
