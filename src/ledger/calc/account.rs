//! What is left of a balance.

use crate::contract::balance::{Balance, Segment, Taken};
use crate::drawdown::Draw;
use crate::id::{ContractId, InvoiceId, SegmentId};
use crate::money::{Decimal, is_positive, zero};
use crate::time::{Instant, Period};

/// Everything from which the ledger of one commit or credit follows.
#[derive(Clone, Debug)]
pub struct Account {
    pub balance: Balance,
    /// The term of the contract that it belongs to; unset for a customer's own balance.
    pub contract: Option<ContractTerm>,
    /// What finalized invoices drew and what was given back, in that order, and what drafts draw.
    pub draws: Vec<Draw>,
    pub rollovers: Vec<Rollover>,
    /// Of a postpaid commit.
    pub true_up: TrueUp,
}

/// When a contract takes its balances along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContractTerm {
    pub ending_before: Option<Instant>,
    pub archived_at: Option<Instant>,
}

/// What a renewal took of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollover {
    pub segment_id: SegmentId,
    /// Zero or above.
    pub amount: Decimal,
    pub new_contract_id: ContractId,
    pub at: Instant,
}

/// What became of the part of a promise that was not spent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrueUp {
    /// It is still to be billed.
    #[default]
    Open,
    /// It is on an invoice of its own. `dated_at` is the date of the schedule, whenever the invoice was finalized.
    Billed { invoice_id: InvoiceId, contract_id: ContractId, amount: Decimal, dated_at: Instant },
    /// Nobody will bill it.
    Lapsed,
}

impl From<&Taken> for Rollover {
    fn from(taken: &Taken) -> Self {
        Self {
            segment_id: taken.segment_id,
            amount: taken.amount.clone(),
            new_contract_id: taken.contract_id,
            at: taken.at,
        }
    }
}

impl Account {
    /// Whether the balance was archived by itself: then it has no ledger any more (operation text of archiving). One that
    /// went with its contract keeps it.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        let Some(archived_at) = self.balance.archived_at else { return false };
        let with_contract = self.contract.and_then(|contract| contract.archived_at);
        with_contract.is_none_or(|with_contract| archived_at < with_contract)
    }

    /// When a segment may be drawn: not after the contract has ended or was archived, so that it may be at no time at all.
    #[must_use]
    pub fn access(&self, segment: &Segment) -> Option<Period> {
        let contract = self.contract.unwrap_or_default();
        let ends = [Some(segment.ending_before), contract.ending_before, contract.archived_at];
        let end = ends.into_iter().flatten().min()?;
        (segment.starting_at < end).then_some(Period { start: segment.starting_at, end })
    }

    /// What is left of a segment before anything expires or is taken over at a renewal, which is when its time ends; below
    /// zero where manual entries took more than there was. What a final true-up bills of a promise is not left.
    #[must_use]
    pub fn left(&self, segment: &Segment) -> Decimal {
        let own = self.draws.iter().filter(|draw| draw.segment_id == segment.id);
        let drawn: Decimal = own.map(|draw| &draw.amount).sum();
        let billed = match &self.true_up {
            TrueUp::Billed { amount, .. } => amount.clone(),
            TrueUp::Open | TrueUp::Lapsed => zero(),
        };
        (&segment.amount.0 + self.balance.terms.manual(segment.id) + drawn - billed).normalized()
    }

    /// What renewals have taken of a segment by `now`: mostly its time is over then, unless its contract is made to end later
    /// after all.
    fn taken(&self, segment: &Segment, now: Instant) -> Decimal {
        let own = self.rollovers.iter().filter(|one| one.segment_id == segment.id && one.at <= now);
        own.map(|one| &one.amount).sum()
    }

    /// The `balance` of the wire: what is left of the segments that may be drawn at `now`, each for itself, where below zero
    /// counts as zero (schema `BalanceForCommitsAndCredits`).
    #[must_use]
    pub fn balance_at(&self, now: Instant) -> Decimal {
        if self.balance.archived_at.is_some() {
            return zero();
        }
        let is_active = |segment: &&Segment| self.access(segment).is_some_and(|access| access.contains(now));
        let active = self.balance.terms.segments.iter().filter(is_active);
        let left = active.map(|segment| self.left(segment) - self.taken(segment, now));
        let sum: Decimal = left.filter(is_positive).sum();
        sum.normalized()
    }
}
