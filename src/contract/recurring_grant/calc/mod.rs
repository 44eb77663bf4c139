//! When a recurring grant grants, and how much. Pure.

use chrono::{DateTime, TimeDelta};

use super::terms::{GrantKind, Proration, RecurringGrant, UnitAmount};
use crate::contract::Contract;
use crate::contract::balance::{Balance, BalanceTerms, BalanceType, Payment, PaymentSchedule, Segment};
use crate::id::{BalanceId, ScheduleItemId, SegmentId, deterministic};
use crate::money::{Decimal, Number, ProrationRounding, divide};
use crate::time::{CycleFrequency, Instant, Period, StatementSchedule};

/// The calendar of a grant in its contract.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    cycle: Cycle,
    /// Where the first period starts.
    pub start: Instant,
    /// No period starts here or later, and the last one is cut here.
    pub end: Option<Instant>,
    contract_end: Option<Instant>,
    proration: Proration,
    duration: u32,
}

#[derive(Clone, Copy, Debug)]
enum Cycle {
    /// Of the contract's usage statements.
    Statements(StatementSchedule),
    /// Counted from the first period.
    Own(CycleFrequency, Instant),
}

/// One period of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantPeriod {
    /// What of it lies inside the grant.
    pub covered: Period,
    /// The time in which the commit or credit of it may be drawn.
    pub access: Period,
    /// The share of the full amount: seconds of seconds.
    share: (i64, i64),
}

/// With instants to the microsecond, the last one that timestamps can say.
fn last_instant() -> Instant {
    DateTime::from_timestamp_micros(253_402_300_799_999_999).expect("the end of the year 9999")
}

impl Calendar {
    /// The calendar of a grant in its contract as the contract is. A grant that starts before its contract starts with it
    /// (our decision: published samples have such starts).
    #[must_use]
    pub fn of(grant: &RecurringGrant, contract: &Contract) -> Self {
        let terms = &grant.terms;
        let start = terms.starting_at.max(contract.starting_at);
        let cycle = match terms.frequency {
            None => Cycle::Statements(contract.schedule),
            Some(frequency) => Cycle::Own(frequency, start),
        };
        let end = [terms.ending_before, contract.ending_before].into_iter().flatten().min();
        let (proration, duration, contract_end) = (terms.proration, terms.duration, contract.ending_before);
        Self { cycle, start, end, contract_end, proration, duration }
    }

    /// Whence its periods are counted: its own first one; else the anchor of the contract's usage statements, whose periods
    /// they are (the official SDKs say no more than that the periods are anchored there; as the anchor of a subscription,
    /// which is documented to be by default that of usage).
    #[must_use]
    pub fn anchor(&self) -> Instant {
        match self.cycle {
            Cycle::Statements(schedule) => schedule.anchor,
            Cycle::Own(_, anchor) => anchor,
        }
    }

    fn full(&self, instant: Instant) -> Period {
        match self.cycle {
            Cycle::Statements(schedule) => schedule.period_containing(instant),
            Cycle::Own(frequency, anchor) => frequency.period_containing(anchor, instant),
        }
    }

    /// Where the period after the one that starts at `start` starts, whether or not it is in the grant's time.
    #[must_use]
    pub fn next(&self, start: Instant) -> Instant {
        self.full(start).end
    }

    /// When the commit or credit of the period that starts at `start` is made: as the period before it starts (reference:
    /// one billing period ahead). Nothing for the first one, which is made with the grant.
    #[must_use]
    pub fn made_at(&self, start: Instant) -> Option<Instant> {
        let before = (start > self.start).then(|| self.full(start - TimeDelta::microseconds(1)))?;
        Some(before.start.max(self.start))
    }

    /// The period that starts at `start`, which is the start of one; nothing where the grant is over by then.
    #[must_use]
    pub fn period(&self, start: Instant) -> Option<GrantPeriod> {
        let full = self.full(start);
        let covered = full.clip(start, self.end)?;
        // A period that was begun late and one that is cut count as whole ones here.
        let lasting = (1..self.duration).fold(full, |last, _| self.full(last.end));
        let until = self.contract_end.unwrap_or(lasting.end).min(lasting.end).min(last_instant());
        let access = Period::new(start, until)?;
        let from = if self.proration.is_of_first() { covered.start } else { full.start };
        let to = if self.proration.is_of_last() { covered.end } else { full.end };
        let share = ((to - from).num_seconds(), (full.end - full.start).num_seconds());
        Some(GrantPeriod { covered, access, share })
    }
}

impl GrantPeriod {
    #[must_use]
    pub fn is_prorated(&self) -> bool {
        self.share.0 != self.share.1
    }

    /// The period's part of an amount, measured in time. Only what is prorated is rounded (schema `RecurringCommitInput`:
    /// the rounding is one of prorated amounts).
    fn part(&self, amount: Decimal, rounding: Option<ProrationRounding>) -> Decimal {
        if !self.is_prorated() {
            return amount;
        }
        let (seconds, of) = self.share;
        let part = divide(&(amount * Decimal::from(seconds)), &Decimal::from(of));
        rounding.map_or(part.clone(), |rounding| rounding.apply(&part)).normalized()
    }

    /// The period's part of a price: a part of it is the price of one, as of divided amounts of schedules.
    fn price(&self, price: &UnitAmount, rounding: Option<ProrationRounding>) -> UnitAmount {
        if !self.is_prorated() {
            return price.clone();
        }
        let part = self.part(price.amount(), rounding);
        UnitAmount { unit_price: Number(part), quantity: Number(Decimal::from(1)) }
    }
}

/// The id of what belongs to the period of a grant that starts at `start`, always the same.
fn id_of(what: &str, grant: &RecurringGrant, start: Instant) -> uuid::Uuid {
    deterministic(what, &[&grant.id.to_string(), &start.to_rfc3339()])
}

/// The id of the commit or credit of the period that starts at `start`.
#[must_use]
pub fn child_id(grant: &RecurringGrant, start: Instant) -> BalanceId {
    BalanceId(id_of("commit or credit of a recurring one", grant, start))
}

/// The commit or credit of a period.
#[must_use]
pub fn child(grant: &RecurringGrant, period: &GrantPeriod) -> Balance {
    let (terms, start) = (&grant.terms, period.covered.start);
    let segment = Segment {
        id: SegmentId(id_of("segment of a recurring grant", grant, start)),
        amount: Number(period.part(terms.access.amount(), terms.access_rounding)),
        starting_at: period.access.start,
        ending_before: period.access.end,
    };
    let payments = terms.invoice.as_ref().map(|invoice| {
        let price = period.price(&invoice.price, terms.invoice_rounding);
        let payment = Payment {
            id: ScheduleItemId(id_of("payment of a recurring commit", grant, start)),
            dated_at: start,
            unit_price: price.unit_price,
            quantity: price.quantity,
        };
        let credit_type = invoice.credit_type.clone();
        PaymentSchedule { credit_type, do_not_invoice: false, items: vec![payment] }
    });
    Balance {
        customer_id: grant.customer_id,
        id: child_id(grant, start),
        balance_type: match grant.kind {
            GrantKind::Commit => BalanceType::Prepaid,
            GrantKind::Credit => BalanceType::Credit,
        },
        contract_id: Some(grant.contract_id),
        access_type: grant.access_type(),
        unit: grant.unit.clone(),
        recurring_id: Some(grant.id),
        origin: None,
        uniqueness_key: None,
        // The later of the starts of its period and of the grant (schema `Commit`).
        created_at: start,
        created_by: None,
        terms: BalanceTerms {
            product_id: terms.product_id,
            name: terms.name.clone(),
            description: terms.description.clone(),
            priority: Some(terms.priority.clone()),
            rate_type: terms.rate_type,
            segments: vec![segment],
            manual_entries: Vec::new(),
            targeting: terms.targeting.clone(),
            applicable_contract_ids: Vec::new(),
            invoice_contract_id: Some(grant.contract_id),
            payments,
            rollover_fraction: terms.rollover_fraction.clone(),
            rolled_over: None,
            taken_away: None,
            is_true_up_disabled: false,
            netsuite_sales_order_id: terms.netsuite_sales_order_id.clone(),
            salesforce_opportunity_id: None,
        },
        archived_at: None,
        added: 0,
    }
}

#[cfg(test)]
mod tests;
