//! When what is short of a postpaid commit is billed, and how much that is. Pure.

use super::payments::charge_of;
use super::terms::{Balance, BalanceType};
use crate::contract::{Contract, GRACE};
use crate::id::ContractId;
use crate::money::{Decimal, zero};
use crate::time::{Instant, Period};

/// The true-up of a postpaid commit: when it is dated and when it becomes final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrueUp {
    /// Whose invoice it is.
    pub contract_id: ContractId,
    /// Where the end of its contract cuts the time in which it may be spent, that end; else the date of its schedule (our
    /// decision; the documentation says only that what is left of an obligation is billed at an early end).
    pub dated_at: Instant,
    /// When it is finalized and issued: when the last statement that may spend it is, and not before its date.
    pub due_at: Instant,
    /// Until when each contract that may spend it must have finalized its usage.
    waits_for: Vec<(ContractId, Instant)>,
    /// The time in which it may be spent, and the contracts whose usage may spend it.
    window: Period,
    spending: Vec<ContractId>,
}

impl TrueUp {
    /// The true-up of a balance, where `contracts` are all of its customer; nothing for a balance that has none, for one whose
    /// contract ends before it can be spent, as nothing was promised then, and where the contract that carries its invoice is
    /// archived, which bills nothing any more: what is short lapses, until an edit has it billed on another contract (our
    /// decision).
    ///
    /// It waits for every contract whose usage may spend it (our decision: the documentation knows commits of one contract,
    /// and says that the last usage invoice comes first).
    #[must_use]
    pub fn of(balance: &Balance, contracts: &[Contract]) -> Option<Self> {
        let charge = charge_of(balance).filter(|charge| charge.is_true_up)?;
        contracts.iter().find(|one| one.id == charge.contract_id && one.archived_at.is_none())?;
        let scheduled_at = charge.items.iter().map(|item| item.dated_at).max()?;
        let window = time_to_spend(balance, contracts)?;
        let is_cut = window.end < balance.terms.span().end;
        let dated_at = if is_cut { window.end } else { scheduled_at };
        let spending = || {
            contracts.iter().filter(|contract| contract.archived_at.is_none() && balance.is_of(contract.id))
        };
        let waits_for: Vec<(ContractId, Instant)> = spending()
            .filter_map(|contract| Some((contract.id, last_statement_end(contract, window)?)))
            .collect();
        let last = waits_for.iter().map(|(_, end)| *end + GRACE).max();
        let due_at = last.map_or(dated_at, |last| last.max(dated_at));
        let spending = spending().map(|contract| contract.id).collect();
        Some(Self { contract_id: charge.contract_id, dated_at, due_at, waits_for, window, spending })
    }

    /// Whether usage of a contract in a period may spend it.
    #[must_use]
    pub fn may_be_spent(&self, contract_id: ContractId, period: Period) -> bool {
        self.spending.contains(&contract_id)
            && period.start < self.window.end
            && self.window.start < period.end
    }

    /// A contract whose usage may still spend it, as a statement is not finalized.
    #[must_use]
    pub fn unsettled(&self, contracts: &[Contract]) -> Option<ContractId> {
        let is_open = |(id, end): &&(ContractId, Instant)| {
            contracts.iter().any(|contract| contract.id == *id && contract.finalized_until < *end)
        };
        self.waits_for.iter().find(is_open).map(|(id, _)| *id)
    }
}

/// The time in which a balance may be spent: its segments, which end with its contract.
fn time_to_spend(balance: &Balance, contracts: &[Contract]) -> Option<Period> {
    let span = balance.terms.span();
    let own = contracts.iter().find(|contract| Some(contract.id) == balance.contract_id);
    span.clip(span.start, own.and_then(|own| own.ending_before))
}

/// Where the contract's last statement ends that overlaps a time.
fn last_statement_end(contract: &Contract, during: Period) -> Option<Instant> {
    let first = contract.first_statement_at();
    let common = during.clip(first, contract.ending_before)?;
    // The last instant of it, as instants are to the microsecond.
    let last = contract.schedule.period_containing(common.end - chrono::TimeDelta::microseconds(1));
    last.clip(first, contract.ending_before).map(|statement| statement.end)
}

/// What is still to be spent of a postpaid commit: what was promised, with manual entries, less what was drawn, which is
/// zero or below; never below zero (documentation page on commits).
#[must_use]
pub fn shortfall(balance: &Balance, drawn: &Decimal) -> Decimal {
    if balance.balance_type != BalanceType::Postpaid {
        return zero();
    }
    let terms = &balance.terms;
    let promised: Decimal = terms.segments.iter().map(|segment| &segment.amount.0).sum();
    let manual: Decimal = terms.manual_entries.iter().map(|entry| &entry.amount.0).sum();
    (promised + manual + drawn).max(zero()).normalized()
}
