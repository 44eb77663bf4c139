//! When usage statements happen.

use chrono::{NaiveTime, TimeDelta};

use super::terms::Contract;
use crate::casing::wire_enum;
use crate::id::CreditTypeId;
use crate::time::{Instant, Period};

/// How long a usage statement stays open after its period, for late events (documentation page on how invoicing
/// works).
pub const GRACE: TimeDelta = TimeDelta::hours(24);

wire_enum! {
    /// The day that a statement calendar is anchored on.
    pub enum StatementDay {
        FirstOfMonth = "FIRST_OF_MONTH",
        ContractStart = "CONTRACT_START",
        CustomDate = "CUSTOM_DATE",
    }
}

/// The time that one usage invoice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The whole billing period of the contract's calendar.
    pub calendar: Period,
    /// What is counted, as tiers and running quantities go by the whole period: it ends with the statement.
    pub counted: Period,
    /// What lies before is counted and not charged: it is on an earlier invoice.
    pub from: Instant,
}

/// Where a contract's first statement starts: at the contract's start, or later where statements before an
/// instant are left to imports.
#[must_use]
pub fn first_statement_at(starting_at: Instant, invoice_generation_starting_at: Option<Instant>) -> Instant {
    invoice_generation_starting_at.map_or(starting_at, |generation| generation.max(starting_at))
}

impl Contract {
    /// Where its first statement starts.
    #[must_use]
    pub fn first_statement_at(&self) -> Instant {
        first_statement_at(self.starting_at, self.invoice_generation_starting_at)
    }

    /// The statement that is not finalized and contains `instant`, begun or not.
    ///
    /// What is not finalized starts at the watermark, in the middle of a calendar period where the contract's end
    /// was there for a while: the rest of that period is then a statement of its own.
    #[must_use]
    pub fn open_statement_at(&self, instant: Instant) -> Option<Period> {
        let open = self.schedule.statement_at(instant, self.finalized_until, self.ending_before);
        open.filter(|_| self.archived_at.is_none())
    }

    /// The time over which the usage of a statement is counted: from the start of its calendar period, also where the
    /// contract's end was inside it for a while and a statement until there is finalized. So tiers go on, and a
    /// maximum or a newest value that was billed is not billed again (our decision: both are one billing period).
    #[must_use]
    pub fn counted_period(&self, statement: Period) -> Period {
        let calendar = self.schedule.period_containing(statement.start);
        Period {
            start: calendar.start.max(self.first_statement_at()).min(statement.start),
            end: statement.end,
        }
    }

    /// The time that the usage invoice of a statement is about.
    #[must_use]
    pub fn statement(&self, period: Period) -> Statement {
        Statement {
            calendar: self.schedule.period_containing(period.start),
            counted: self.counted_period(period),
            from: period.start,
        }
    }

    /// The statements of the contract's calendar that overlap a period, whole, whether they are finalized or not.
    pub fn statements_during(&self, period: Period) -> impl Iterator<Item = Statement> {
        let first = self.schedule.period_containing(period.start.max(self.first_statement_at()));
        let calendar =
            std::iter::successors(Some(first), |last| Some(self.schedule.period_containing(last.end)));
        let calendar = calendar.take_while(move |calendar| calendar.start < period.end);
        calendar.filter_map(|calendar| {
            let counted = calendar.clip(self.first_statement_at(), self.ending_before)?;
            Some(Statement { calendar, counted, from: counted.start })
        })
    }

    /// The statement that is to be finalized next.
    #[must_use]
    pub fn next_statement(&self) -> Option<Period> {
        self.open_statement_at(self.finalized_until)
    }

    /// The statements that are open at `now`, oldest first: begun and not finalized.
    pub fn open_statements(&self, now: Instant) -> impl Iterator<Item = Period> {
        let begun = move |period: &Period| period.start <= now;
        let first = self.next_statement().filter(begun);
        std::iter::successors(first, move |period| self.open_statement_at(period.end).filter(begun))
    }

    /// Whether a scheduled charge of this date and unit is on the draft of a usage invoice at `now`: its statement has
    /// begun. Until then it is on a scheduled draft of its own, which disappears as the usage draft opens.
    #[must_use]
    pub fn rides(&self, dated_at: Instant, unit: CreditTypeId, now: Instant) -> bool {
        self.statement_of_charge(dated_at, unit).is_some_and(|statement| statement.start <= now)
    }

    /// The usage statement whose invoice takes a scheduled charge of this date and unit, begun or not; without one the
    /// charge is finalized on an invoice of its own.
    ///
    /// It is the one whose exclusive end falls on the charge's day (UTC) and that is not finalized (documentation
    /// page on provisioning; the schema speaks of the date of `ending_before`). Two statements may end on one day; the
    /// charge goes with the first of them.
    #[must_use]
    pub fn statement_of_charge(&self, dated_at: Instant, unit: CreditTypeId) -> Option<Period> {
        if self.scheduled_charges_on_usage_invoices.is_none() || unit != self.unit.id {
            return None;
        }
        let before_the_day =
            dated_at.date_naive().and_time(NaiveTime::MIN).and_utc() - TimeDelta::microseconds(1);
        // The statement around an instant is the first one that ends after it.
        let first = self.open_statement_at(before_the_day.max(self.finalized_until));
        first.filter(|statement| statement.end.date_naive() == dated_at.date_naive())
    }
}
