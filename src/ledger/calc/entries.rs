//! The entries of a ledger, in the order in which they are listed.

use std::collections::BTreeMap;

use super::account::{Account, TrueUp};
use crate::contract::balance::{BalanceType, Segment};
use crate::drawdown::Draw;
use crate::id::{ContractId, InvoiceId, SegmentId};
use crate::money::{Decimal, is_negative, is_positive, zero};
use crate::time::Instant;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub segment_id: SegmentId,
    pub timestamp: Instant,
    /// Above zero it adds value; never zero.
    pub amount: Decimal,
    pub kind: EntryKind,
}

/// What an entry is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A segment begins; of a postpaid commit, the promise.
    Start,
    Manual {
        reason: String,
    },
    /// An invoice, finalized or not, draws the segment.
    Deduction {
        invoice_id: InvoiceId,
        contract_id: ContractId,
    },
    /// An invoice that drew it is void.
    Canceled {
        invoice_id: InvoiceId,
        contract_id: ContractId,
    },
    Rollover {
        new_contract_id: ContractId,
    },
    TrueUp {
        invoice_id: InvoiceId,
        contract_id: ContractId,
    },
    Expiration,
}

impl EntryKind {
    /// Where it stands among entries of one instant (the reference lists deductions before true-ups and expirations; the
    /// rest of the order is our decision).
    fn place(&self) -> (u8, Option<InvoiceId>) {
        match self {
            Self::Start => (0, None),
            Self::Manual { .. } => (1, None),
            Self::Deduction { invoice_id, .. } => (2, Some(*invoice_id)),
            Self::Canceled { invoice_id, .. } => (3, Some(*invoice_id)),
            Self::Rollover { .. } => (4, None),
            Self::TrueUp { invoice_id, .. } => (5, Some(*invoice_id)),
            Self::Expiration => (6, None),
        }
    }
}

impl Account {
    /// The ledger as it is read at `now`: by time, and at one instant by kind, invoice and segment. A segment that has not
    /// begun has none. Unset for a balance that was archived by itself.
    #[must_use]
    pub fn entries(&self, now: Instant) -> Option<Vec<Entry>> {
        if self.is_withdrawn() {
            return None;
        }
        let begun = self.balance.terms.segments.iter().filter(|segment| segment.starting_at <= now);
        let mut entries: Vec<Entry> = begun.flat_map(|segment| self.of_segment(segment, now)).collect();
        entries.sort_by(|one, other| {
            let order = |entry: &Entry| (entry.timestamp, entry.kind.place());
            order(one).cmp(&order(other))
        });
        Some(entries)
    }

    /// The entries of a segment that has begun. They sum to what is left of it: once it has ended to zero, unless manual
    /// entries took more than there was or the rest of a promise is still to be billed.
    fn of_segment(&self, segment: &Segment, now: Instant) -> Vec<Entry> {
        let drawn = self.by_invoice(segment.id);
        let access = self.access(segment);
        if access.is_none() && drawn.is_empty() {
            return Vec::new();
        }
        // Where the contract was ended or archived from before the segment on, what finalized invoices drew is drawn.
        let end = access.map_or(segment.starting_at, |access| access.end);
        let mut entries =
            vec![entry(segment, segment.starting_at, segment.amount.0.clone(), EntryKind::Start)];
        let manual = self.balance.terms.manual_entries.iter().filter(|one| one.segment_id == segment.id);
        entries.extend(manual.map(|one| {
            let kind = EntryKind::Manual { reason: one.reason.clone() };
            entry(segment, one.dated_at, one.amount.0.clone(), kind)
        }));
        entries.extend(drawn.into_values().flat_map(|drawn| self.of_invoice(segment, drawn)));
        let rollovers = self.rollovers.iter().filter(|one| one.segment_id == segment.id && one.at <= now);
        entries.extend(rollovers.map(|one| {
            let kind = EntryKind::Rollover { new_contract_id: one.new_contract_id };
            entry(segment, one.at, -&one.amount, kind)
        }));
        entries.extend(self.true_up_entry(segment));
        entries.retain(|entry| entry.amount != zero());
        let is_promise = self.balance.balance_type == BalanceType::Postpaid && access.is_some();
        entries.extend(self.expiration(segment, end, is_promise, &entries, now));
        entries
    }

    /// What each invoice drew of a segment and what was given back, by the invoice.
    fn by_invoice(&self, segment_id: SegmentId) -> BTreeMap<InvoiceId, DrawnByInvoice> {
        let mut invoices = BTreeMap::new();
        for draw in self.draws.iter().filter(|draw| draw.segment_id == segment_id) {
            let drawn = invoices.entry(draw.invoice_id).or_insert_with(|| DrawnByInvoice::new(draw));
            drawn.dated_at = drawn.dated_at.min(draw.dated_at);
            *(if is_negative(&draw.amount) { &mut drawn.taken } else { &mut drawn.returned }) += &draw.amount;
        }
        invoices
    }

    /// One entry for all that an invoice drew of the segment, and one for its return. The deduction of a postpaid commit
    /// disappears with its invoice instead: there is no type for its return.
    fn of_invoice(&self, segment: &Segment, drawn: DrawnByInvoice) -> Vec<Entry> {
        let DrawnByInvoice { invoice_id, contract_id, dated_at, taken, returned } = drawn;
        let deduction = EntryKind::Deduction { invoice_id, contract_id };
        if self.balance.balance_type == BalanceType::Postpaid {
            return vec![entry(segment, dated_at, taken + returned, deduction)];
        }
        let canceled = EntryKind::Canceled { invoice_id, contract_id };
        vec![entry(segment, dated_at, taken, deduction), entry(segment, dated_at, returned, canceled)]
    }

    fn true_up_entry(&self, segment: &Segment) -> Option<Entry> {
        let TrueUp::Billed { invoice_id, contract_id, amount, dated_at } = &self.true_up else { return None };
        let kind = EntryKind::TrueUp { invoice_id: *invoice_id, contract_id: *contract_id };
        Some(entry(segment, *dated_at, -amount, kind))
    }

    /// What a segment that has ended still has expires. The rest of a promise does so only where nobody will bill it, or
    /// with its contract; where the contract left no time for it, nothing was promised.
    fn expiration(
        &self,
        segment: &Segment,
        end: Instant,
        is_promise: bool,
        entries: &[Entry],
        now: Instant,
    ) -> Option<Entry> {
        let is_archived = self.contract.is_some_and(|contract| contract.archived_at.is_some());
        let is_billed = is_promise && self.true_up != TrueUp::Lapsed && !is_archived;
        if now < end || is_billed {
            return None;
        }
        let left: Decimal = entries.iter().map(|entry| &entry.amount).sum();
        is_positive(&left).then(|| entry(segment, end, -left, EntryKind::Expiration))
    }
}

/// What one invoice drew of a segment.
struct DrawnByInvoice {
    invoice_id: InvoiceId,
    contract_id: ContractId,
    dated_at: Instant,
    /// Zero or below.
    taken: Decimal,
    /// Zero or above.
    returned: Decimal,
}

impl DrawnByInvoice {
    fn new(draw: &Draw) -> Self {
        Self {
            invoice_id: draw.invoice_id,
            contract_id: draw.contract_id,
            dated_at: draw.dated_at,
            taken: zero(),
            returned: zero(),
        }
    }
}

fn entry(segment: &Segment, timestamp: Instant, amount: Decimal, kind: EntryKind) -> Entry {
    Entry { segment_id: segment.id, timestamp, amount: amount.normalized(), kind }
}
