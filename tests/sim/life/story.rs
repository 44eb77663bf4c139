//! What happens next in a life: picked by its numbers from what there is.

use chrono::TimeDelta;

use upbeat::time::Instant;

use super::bill::PRODUCTS;
use super::calendar::Frequency;
use super::customer::Customer;
use super::step::{BalancePlan, ContractPlan, DrawnBy, Edit, Event, GrantPlan, Kind, Renewal, Step};
use crate::random::Random;

/// Whose usage there is.
const OF: [&str; 2] = ["east", "west"];

const CONTRACTS_MAX: usize = 3;
/// More of them renew others, which end then.
const WITH_RENEWALS_MAX: usize = 5;
const BALANCES_MAX: usize = 14;

/// How old an event may be when it arrives.
const LATE_MAX: i64 = 33 * 24;

pub struct Story {
    pub random: Random,
    /// Which balances are of units, in lives that have any: numbers of their own, so that the others stay what they were.
    units: Option<Random>,
    names: usize,
}

fn hours(count: i64) -> TimeDelta {
    TimeDelta::hours(count)
}

impl Story {
    pub fn new(seed: u64) -> Self {
        let units = seed.is_multiple_of(3).then(|| Random::new(seed ^ 0x0711));
        Self { random: Random::new(seed ^ 0x11FE), units, names: 0 }
    }

    fn name(&mut self, letter: char) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    /// An hour around `now`: mostly the start of a day.
    fn hour(&mut self, now: Instant, low: i64, high: i64) -> Instant {
        let day = now.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
        let random = &mut self.random;
        let hour = if random.once_in(3) { random.number(0, 24) } else { 0 };
        day + hours(24 * random.number(low, high) + hour)
    }

    /// The first step of a life.
    pub fn first(&mut self, now: Instant) -> Step {
        let start = self.hour(now, -20, 10);
        Step::Contract(self.contract(now, start))
    }

    pub fn next(&mut self, customer: &Customer) -> Step {
        loop {
            if let Some(step) = self.picked(customer) {
                return step;
            }
        }
    }

    fn picked(&mut self, customer: &Customer) -> Option<Step> {
        let now = customer.now;
        match self.random.number(0, 43) {
            0 | 1 if customer.contracts.len() < CONTRACTS_MAX => {
                let start = self.hour(now, -20, 10);
                Some(Step::Contract(self.contract(now, start)))
            }
            40..=42 if customer.contracts.len() < WITH_RENEWALS_MAX => self.renewal(customer),
            2..=4 if customer.balances.len() < BALANCES_MAX => {
                let plan = self.balance(now, Some(customer));
                Some(Step::Balance(plan))
            }
            5..=12 => {
                // Late usage of an old contract changes what is taken over.
                let is_of_age = customer.has_live();
                Some(Step::Events(self.events(now, if is_of_age { 2 } else { 4 })))
            }
            13..=18 => Some(Step::Clock(self.clock(customer))),
            19 | 20 => {
                let balance = self.changed(customer)?;
                let segment = self.random.count(0, customer.balances[balance].segments.len());
                let amount = *self.random.pick(&[-900, -150, 40, 300, 2500]);
                Some(Step::Manual { balance, segment, amount })
            }
            21..=25 => self.edited(customer),
            26 => {
                let balance = self.changed(customer)?;
                let is_credit = customer.balances[balance].kind == Kind::Credit;
                let access = (is_credit || !self.random.once_in(3)).then(|| self.hour(now, -10, 60));
                let payments = (!is_credit && (access.is_none() || self.random.once_in(2)))
                    .then(|| self.hour(now, -10, 60));
                Some(Step::EndBalance { balance, access, payments })
            }
            27 => Some(Step::ArchiveBalance { balance: self.changed(customer)? }),
            28 => {
                let balance = self.changed(customer)?;
                let of = &customer.balances[balance];
                (of.kind == Kind::Postpaid && of.billed_on.is_some())
                    .then_some(Step::DisableTrueUp { balance })
            }
            29..=31 => {
                let final_ones: Vec<usize> = customer.standing().map(|(number, _)| number).collect();
                (!final_ones.is_empty()).then(|| Step::Void { invoice: *self.random.pick(&final_ones) })
            }
            32..=35 => {
                let void: Vec<usize> = (0..customer.invoices.len())
                    .filter(|number| customer.invoices[*number].is_void())
                    .collect();
                (!void.is_empty()).then(|| Step::Regenerate { invoice: *self.random.pick(&void) })
            }
            36 | 37 => {
                let contract = self.random.count(0, customer.contracts.len());
                let end = (!self.random.once_in(4)).then(|| self.hour(now, -20, 60));
                Some(Step::EndContract { contract, end })
            }
            38 => {
                let contract = self.random.count(0, customer.contracts.len());
                let voids = self.random.once_in(2);
                self.random.once_in(2).then_some(Step::ArchiveContract { contract, voids })
            }
            _ => None,
        }
    }

    fn clock(&mut self, customer: &Customer) -> Instant {
        let now = customer.now;
        let random = &mut self.random;
        match random.number(0, 6) {
            0 => now + hours(random.number(1, 30)),
            1 | 2 => now + hours(random.number(24, 24 * 12)),
            3 => now + hours(random.number(24 * 12, 24 * 45)),
            // Just about where something becomes final.
            _ => match customer.next_finalization().filter(|at| *at > now) {
                Some(at) if at - now < TimeDelta::days(45) => {
                    (at + hours(random.number(-30, 2))).max(now + hours(1))
                }
                _ => now + hours(random.number(24, 24 * 20)),
            },
        }
    }

    /// Events, which are late once in so many times.
    fn events(&mut self, now: Instant, late_once_in: i64) -> Vec<Event> {
        let is_late = self.random.once_in(late_once_in);
        self.random.many(1, 7, |random| {
            let age = random.number(0, if is_late { LATE_MAX } else { 72 });
            let product = random.count(0, PRODUCTS.len());
            let count = match random.number(0, 12) {
                0 if product == 0 => -random.number(1, 60),
                0 => 0,
                1 => random.number(200, 900),
                _ => random.number(1, 80),
            };
            let at = now - hours(age) + TimeDelta::minutes(random.number(-59, 1));
            Event { at, product, of: OF[random.count(0, OF.len())], count }
        })
    }

    /// A promise is of money.
    fn drawn_by(&mut self, kind: Kind) -> DrawnBy {
        let by_units = kind != Kind::Postpaid && self.units.as_mut().is_some_and(|random| random.once_in(2));
        if by_units { DrawnBy::Units } else { DrawnBy::Money }
    }

    fn products(&mut self) -> Vec<usize> {
        let all: Vec<usize> = (0..PRODUCTS.len()).collect();
        if self.random.once_in(2) { Vec::new() } else { self.random.some(&all) }
    }

    /// A commit or credit; of a customer where one is given.
    fn balance(&mut self, now: Instant, owner: Option<&Customer>) -> BalancePlan {
        let name = self.name('B');
        let kind = *self.random.pick(&[Kind::Prepaid, Kind::Postpaid, Kind::Credit]);
        let is_postpaid = kind == Kind::Postpaid;
        let count = if is_postpaid { 1 } else { self.random.count(1, 4) };
        let segments: Vec<(i64, Instant, Instant)> = (0..count)
            .map(|_| {
                let start = self.hour(now, -40, 40);
                let length = hours(24 * self.random.number(5, 70));
                (self.random.number(1, 60) * 50, start, start + length)
            })
            .collect();
        let payments = match kind {
            Kind::Credit => Vec::new(),
            Kind::Postpaid => {
                let late = hours(24 * self.random.number(0, 20));
                vec![(segments[0].2 + late, segments[0].0)]
            }
            Kind::Prepaid => {
                let count = self.random.count(0, 3);
                (0..count).map(|_| (self.hour(now, -5, 50), self.random.number(1, 30) * 100)).collect()
            }
        };
        let live: Vec<usize> = owner.map_or_else(Vec::new, |owner| {
            (0..owner.contracts.len()).filter(|one| owner.contracts[*one].archived.is_none()).collect()
        });
        let billed_on = (!live.is_empty()).then(|| *self.random.pick(&live));
        let do_not_invoice =
            !payments.is_empty() && (self.random.once_in(6) || (owner.is_some() && billed_on.is_none()));
        let applicable = if self.random.once_in(3) { self.random.some(&live) } else { Vec::new() };
        BalancePlan {
            name,
            kind,
            applicable,
            billed_on,
            priority: *self.random.pick(&[1, 5, 5, 100]),
            at_commit_rate: self.random.once_in(2),
            drawn_by: self.drawn_by(kind),
            products: self.products(),
            segments,
            payments,
            do_not_invoice,
            rollover: if owner.is_none() { self.rollover() } else { None },
        }
    }

    fn grant(&mut self, now: Instant, kind: Kind) -> GrantPlan {
        let start = self.hour(now, -30, 20);
        GrantPlan {
            name: self.name('G'),
            kind,
            drawn_by: self.drawn_by(kind),
            amount: self.random.number(1, 20) * 100,
            price: (kind == Kind::Prepaid && !self.random.once_in(4)).then(|| self.random.number(1, 20) * 80),
            duration: *self.random.pick(&[1, 1, 2]),
            start,
            end: self.random.maybe(3, |random| start + hours(24 * random.number(20, 90))),
            frequency: *self.random.pick(&[None, None, Some(Frequency::Monthly), Some(Frequency::Weekly)]),
            // No other one has it, so that no two made at once are alike.
            priority: 200 + i64::try_from(self.names).expect("few"),
            products: self.products(),
            rollover: self.rollover(),
        }
    }

    fn rollover(&mut self) -> Option<&'static str> {
        *self.random.pick(&[None, Some("0"), Some("0.25"), Some("0.33"), Some("0.5"), Some("1"), Some("1")])
    }

    /// A contract in the place of another: mostly one that may be renewed, and when it may be.
    fn renewal(&mut self, customer: &Customer) -> Option<Step> {
        let from = self.random.count(0, customer.contracts.len());
        let old = &customer.contracts[from];
        let mut start = self.hour(customer.now, -15, 9);
        if !self.random.once_in(8) {
            if old.archived.is_some() || customer.renewed_by(from).is_some() {
                return None;
            }
            start = start.max(old.finalized_until).max(old.start + hours(1));
        }
        let plan = self.contract(customer.now, start);
        Some(Step::Renew(Renewal { from, plan, drops_true_ups: self.random.once_in(4) }))
    }

    fn contract(&mut self, now: Instant, start: Instant) -> ContractPlan {
        let balances = (0..self.random.count(0, 3)).map(|_| self.balance(now, None)).collect();
        let grants = match self.random.number(0, 4) {
            0 => vec![self.grant(now, Kind::Prepaid)],
            1 => vec![self.grant(now, Kind::Credit)],
            2 => vec![self.grant(now, Kind::Prepaid), self.grant(now, Kind::Credit)],
            _ => Vec::new(),
        };
        let charges = (0..self.random.count(0, 3))
            .map(|_| (self.hour(now, -10, 60), self.random.number(1, 40) * 25))
            .collect();
        ContractPlan {
            start,
            end: self.random.maybe(3, |random| start + hours(24 * random.number(10, 120))),
            frequency: *self.random.pick(&[
                Frequency::Monthly,
                Frequency::Monthly,
                Frequency::Monthly,
                Frequency::Weekly,
                Frequency::Quarterly,
            ]),
            is_anchored: self.random.once_in(3),
            only: self.random.maybe(3, |random| OF[random.count(0, OF.len())]),
            rides: self.random.once_in(3),
            balances,
            grants,
            charges,
        }
    }

    /// A commit or credit that may be changed.
    fn changed(&mut self, customer: &Customer) -> Option<usize> {
        let all = 0..customer.balances.len();
        let changed: Vec<usize> = all.filter(|number| !customer.balances[*number].id.is_empty()).collect();
        (!changed.is_empty()).then(|| *self.random.pick(&changed))
    }

    fn edited(&mut self, customer: &Customer) -> Option<Step> {
        let number = self.changed(customer)?;
        let balance = &customer.balances[number];
        let now = customer.now;
        let is_recurring = balance.made_by.is_some();
        let segment = self.random.count(0, balance.segments.len());
        let amount = self.random.number(1, 60) * 50;
        let has_payments = balance.kind == Kind::Prepaid && !balance.payments.is_empty();
        let edit = match self.random.number(0, 13) {
            0 | 1 => Edit::Amount { segment, amount },
            2 if !is_recurring => {
                let start = self.hour(now, -40, 20);
                let end = start + hours(24 * self.random.number(5, 70));
                Edit::Time { segment, start, end }
            }
            3 if !is_recurring => {
                let start = self.hour(now, -30, 40);
                Edit::AddSegment { amount, start, end: start + hours(24 * self.random.number(5, 50)) }
            }
            4 if !is_recurring => Edit::RemoveSegment { segment },
            5 => {
                Edit::Priority(*self.random.pick(&[None, Some(1), Some(5), Some(50)])).unless(is_recurring)?
            }
            6 => Edit::AtCommitRate(!balance.at_commit_rate),
            7 => Edit::Products(self.products()),
            8 => {
                let live: Vec<usize> = (0..customer.contracts.len())
                    .filter(|one| customer.contracts[*one].archived.is_none())
                    .collect();
                Edit::Contracts(self.random.some(&live))
            }
            9 if balance.kind != Kind::Credit => Edit::AddPayment { at: self.hour(now, -5, 40), amount },
            10 if has_payments => {
                let payment = self.random.count(0, balance.payments.len());
                Edit::ChangePayment { payment, at: self.hour(now, -5, 40), amount }
            }
            11 if has_payments => {
                Edit::RemovePayment { payment: self.random.count(0, balance.payments.len()) }
            }
            12 if balance.kind != Kind::Credit => {
                Edit::BilledOn(self.random.count(0, customer.contracts.len()))
            }
            _ => return None,
        };
        Some(Step::Edit { balance: number, edit })
    }
}

impl Edit {
    fn unless(self, not: bool) -> Option<Self> {
        (!not).then_some(self)
    }
}
