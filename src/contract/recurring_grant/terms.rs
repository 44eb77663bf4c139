//! What a recurring commit or credit grants, and how often.

use serde::{Deserialize, Serialize};

use crate::casing::wire_enum;
use crate::contract::balance::{AccessType, CommitRateType, TargetingOfBalance};
use crate::id::{ContractId, CustomerId, ProductId, RecurringGrantId};
use crate::money::{CreditType, Decimal, Number, ProrationRounding};
use crate::time::{CycleFrequency, Instant};

wire_enum! {
    /// What a recurring grant makes.
    pub enum GrantKind {
        Commit = "COMMIT",
        Credit = "CREDIT",
    }
}

wire_enum! {
    /// Which of its periods a grant prorates where they are cut.
    pub enum Proration {
        None = "NONE",
        First = "FIRST",
        Last = "LAST",
        FirstAndLast = "FIRST_AND_LAST",
    }
}

impl Proration {
    #[must_use]
    pub fn is_of_first(self) -> bool {
        matches!(self, Self::First | Self::FirstAndLast)
    }

    #[must_use]
    pub fn is_of_last(self) -> bool {
        matches!(self, Self::Last | Self::FirstAndLast)
    }
}

/// A recurring commit or credit of a contract.
#[derive(Clone, Debug, PartialEq)]
pub struct RecurringGrant {
    pub customer_id: CustomerId,
    pub contract_id: ContractId,
    pub id: RecurringGrantId,
    pub kind: GrantKind,
    /// The unit of what is granted; unset for quantities.
    pub unit: Option<CreditType>,
    pub created_at: Instant,
    pub created_by: String,
    pub terms: GrantTerms,
    /// For every period that starts before there is a commit or credit.
    pub granted_until: Instant,
}

impl RecurringGrant {
    /// What the commits and credits that it makes are drawn by.
    #[must_use]
    pub fn access_type(&self) -> AccessType {
        self.unit.as_ref().map_or(AccessType::Quantity, |_| AccessType::Spend)
    }
}

/// What an edit of a recurring grant may change, and the rest. It is kept as it is written here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrantTerms {
    /// A FIXED product, which names purchases.
    pub product_id: ProductId,
    pub name: Option<String>,
    pub description: Option<String>,
    pub priority: Number,
    pub rate_type: CommitRateType,
    /// What one full period grants.
    pub access: UnitAmount,
    /// What one full period of a commit costs; unset: it is given away.
    pub invoice: Option<InvoiceAmount>,
    /// For so many periods each commit or credit may be drawn; at least 1.
    pub duration: u32,
    /// As it was asked for; nothing is granted for what lies before the contract.
    pub starting_at: Instant,
    /// No period starts then or later; unset: the contract's end.
    pub ending_before: Option<Instant>,
    /// Unset: its periods are those of usage statements.
    pub frequency: Option<CycleFrequency>,
    pub proration: Proration,
    pub access_rounding: Option<ProrationRounding>,
    /// Of commits.
    pub invoice_rounding: Option<ProrationRounding>,
    pub rollover_fraction: Option<Number>,
    pub targeting: TargetingOfBalance,
    pub netsuite_sales_order_id: Option<String>,
}

/// An amount as `unit_price × quantity`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitAmount {
    pub unit_price: Number,
    pub quantity: Number,
}

impl UnitAmount {
    /// Exact.
    #[must_use]
    pub fn amount(&self) -> Decimal {
        (&self.unit_price.0 * &self.quantity.0).normalized()
    }
}

/// What a commit costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceAmount {
    pub price: UnitAmount,
    /// A currency.
    pub credit_type: CreditType,
}
