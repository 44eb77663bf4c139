//! How ledgers and balances are shown.

use super::calc::{Account, Entry, EntryKind};
use crate::contract::balance::{BalanceType, LedgerEntryType, LedgerEntryView, Reckoned};
use crate::money::Number;
use crate::time::Instant;
use crate::wire::Nullable;

/// What a reader wants reckoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub balance: bool,
    pub ledger: bool,
}

impl Asked {
    #[must_use]
    pub fn anything(self) -> bool {
        self.balance || self.ledger
    }
}

/// What was asked for, as it is at `now`.
#[must_use]
pub fn reckoned(account: &Account, asked: Asked, now: Instant) -> Reckoned {
    let balance_type = account.balance.balance_type;
    let shown = |entries: Vec<Entry>| entries.into_iter().map(|entry| shown(entry, balance_type)).collect();
    Reckoned {
        balance: asked.balance.then(|| Number(account.balance_at(now))),
        ledger: if asked.ledger {
            account.entries(now).map_or(Nullable::Null, |entries| Nullable::Value(shown(entries)))
        } else {
            Nullable::Absent
        },
    }
}

/// An entry with the fields that its type has on the wire: manual ones and those of a promise as a whole name no segment.
fn shown(entry: Entry, balance_type: BalanceType) -> LedgerEntryView {
    let of_segment = LedgerEntryView {
        entry_type: entry_type(&entry.kind, balance_type),
        timestamp: entry.timestamp,
        amount: Number(entry.amount),
        segment_id: Some(entry.segment_id),
        invoice_id: None,
        contract_id: None,
        new_contract_id: None,
        reason: None,
    };
    let of_promise = balance_type == BalanceType::Postpaid;
    match entry.kind {
        EntryKind::Start | EntryKind::Expiration => {
            LedgerEntryView { segment_id: of_segment.segment_id.filter(|_| !of_promise), ..of_segment }
        }
        EntryKind::Manual { reason } => {
            LedgerEntryView { segment_id: None, reason: Some(reason), ..of_segment }
        }
        EntryKind::Deduction { invoice_id, contract_id }
        | EntryKind::Canceled { invoice_id, contract_id } => {
            LedgerEntryView { invoice_id: Some(invoice_id), contract_id: Some(contract_id), ..of_segment }
        }
        EntryKind::Rollover { new_contract_id } => {
            LedgerEntryView { new_contract_id: Some(new_contract_id), ..of_segment }
        }
        EntryKind::TrueUp { invoice_id, contract_id } => LedgerEntryView {
            segment_id: None,
            invoice_id: Some(invoice_id),
            contract_id: Some(contract_id),
            ..of_segment
        },
    }
}

fn entry_type(kind: &EntryKind, balance_type: BalanceType) -> LedgerEntryType {
    use LedgerEntryType as Type;
    let (prepaid, postpaid, credit) = match kind {
        EntryKind::Start => {
            (Type::PrepaidSegmentStart, Type::PostpaidInitialBalance, Type::CreditSegmentStart)
        }
        EntryKind::Manual { .. } => (Type::PrepaidManual, Type::PostpaidManual, Type::CreditManual),
        EntryKind::Deduction { .. } => {
            (Type::PrepaidDeduction, Type::PostpaidDeduction, Type::CreditDeduction)
        }
        // A promise never has this kind, and only a promise has the next but one.
        EntryKind::Canceled { .. } => (Type::PrepaidCanceled, Type::PostpaidDeduction, Type::CreditCanceled),
        EntryKind::Rollover { .. } => (Type::PrepaidRollover, Type::PostpaidRollover, Type::CreditRollover),
        EntryKind::TrueUp { .. } => (Type::PostpaidTrueup, Type::PostpaidTrueup, Type::PostpaidTrueup),
        EntryKind::Expiration => (Type::PrepaidExpiration, Type::PostpaidExpiration, Type::CreditExpiration),
    };
    match balance_type {
        BalanceType::Prepaid => prepaid,
        BalanceType::Postpaid => postpaid,
        BalanceType::Credit => credit,
    }
}
