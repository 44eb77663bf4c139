use super::rate_override::Override;
use crate::casing::wire_enum;
use crate::catalog::usage_filter::UsageFilters;
use crate::id::{ContractId, CustomerId, PackageId, RateCardId};
use crate::money::{CreditType, Decimal};
use crate::time::{Instant, StatementSchedule};

wire_enum! {
    /// Which multiplier wins where several apply; fixed when the contract is made.
    pub enum MultiplierPrioritization {
        LowestMultiplier = "LOWEST_MULTIPLIER",
        Explicit = "EXPLICIT",
    }
}

wire_enum! {
    /// Which scheduled charges go onto usage invoices; fixed when the contract is made.
    pub enum ChargesOnUsageInvoices {
        /// Every one that is dated on the day on which a usage statement ends.
        All = "ALL",
    }
}

/// A contract's terms.
#[derive(Clone, Debug)]
pub struct Contract {
    pub customer_id: CustomerId,
    pub id: ContractId,
    /// The package that its terms came from.
    pub package_id: Option<PackageId>,
    pub name: Option<String>,
    pub rate_card_id: Option<RateCardId>,
    /// The unit of its invoices: the card's currency, USD without a card.
    pub unit: CreditType,
    pub starting_at: Instant,
    /// Unset: open-ended.
    pub ending_before: Option<Instant>,
    /// The end as it was agreed first.
    pub initial_ending_before: Option<Instant>,
    pub schedule: StatementSchedule,
    /// No usage statement for what lies before.
    pub invoice_generation_starting_at: Option<Instant>,
    /// Due so many days after issue.
    pub net_payment_terms_days: Option<Decimal>,
    pub total_contract_value: Option<Decimal>,
    pub netsuite_sales_order_id: Option<String>,
    pub salesforce_opportunity_id: Option<String>,
    pub multiplier_override_prioritization: MultiplierPrioritization,
    /// Unset: every scheduled charge has an invoice of its own.
    pub scheduled_charges_on_usage_invoices: Option<ChargesOnUsageInvoices>,
    /// Which of its customer's usage it bills.
    pub usage_filters: UsageFilters,
    /// What it agrees about prices and entitlement beside its card, in the order of addition.
    pub overrides: Vec<Override>,
    pub uniqueness_key: Option<String>,
    pub created_at: Instant,
    pub created_by: String,
    pub archived_at: Option<Instant>,
    /// Statements before this instant are finalized, and the next one starts here. It only grows, wherever the end
    /// moves.
    pub finalized_until: Instant,
}
