use crate::casing::wire_enum;
use crate::id::{ContractId, CustomerId, RateCardId};
use crate::money::{CreditType, Decimal};
use crate::time::{Instant, Period, StatementSchedule};

wire_enum! {
    /// Which multiplier wins where several apply; fixed when the contract is made.
    pub enum MultiplierPrioritization {
        LowestMultiplier = "LOWEST_MULTIPLIER",
        Explicit = "EXPLICIT",
    }
}

/// A contract's terms.
#[derive(Clone, Debug)]
pub struct Contract {
    pub customer_id: CustomerId,
    pub id: ContractId,
    pub name: Option<String>,
    pub rate_card_id: Option<RateCardId>,
    /// The unit of its invoices: the card's currency, USD without a card.
    pub unit: CreditType,
    pub starting_at: Instant,
    /// Unset: open-ended.
    pub ending_before: Option<Instant>,
    pub schedule: StatementSchedule,
    /// No usage statement for what lies before.
    pub invoice_generation_starting_at: Option<Instant>,
    /// Due so many days after issue.
    pub net_payment_terms_days: Option<Decimal>,
    pub total_contract_value: Option<Decimal>,
    pub netsuite_sales_order_id: Option<String>,
    pub salesforce_opportunity_id: Option<String>,
    pub multiplier_override_prioritization: MultiplierPrioritization,
    pub uniqueness_key: Option<String>,
    pub created_at: Instant,
    pub created_by: String,
    pub archived_at: Option<Instant>,
    /// Start of the first statement that is not finalized; nothing when none is left.
    pub next_statement_at: Option<Instant>,
}

impl Contract {
    /// The usage statement whose period contains `instant`; nothing outside the term, or before the contract's
    /// statements begin.
    #[must_use]
    pub fn statement_at(&self, instant: Instant) -> Option<Period> {
        let first = super::first_statement_at(self.starting_at, self.invoice_generation_starting_at);
        self.schedule.statement_at(instant, first, self.ending_before)
    }

    /// The statements that are finalized, oldest first.
    pub fn finalized_statements(&self) -> impl Iterator<Item = Period> {
        let first = super::first_statement_at(self.starting_at, self.invoice_generation_starting_at);
        let finalized = |period: &Period| self.next_statement_at.is_none_or(|next| period.start < next);
        let first = self.statement_at(first).filter(finalized);
        std::iter::successors(first, move |period| self.statement_at(period.end).filter(finalized))
    }

    /// The statements that are open at `now`, oldest first: begun and not finalized.
    pub fn open_statements(&self, now: Instant) -> impl Iterator<Item = Period> {
        let opened = move |period: &Period| period.start <= now;
        let first = self.next_statement_at.filter(|_| self.archived_at.is_none());
        let first = first.and_then(|start| self.statement_at(start)).filter(opened);
        std::iter::successors(first, move |period| self.statement_at(period.end).filter(opened))
    }
}
