//! What a commit or a credit grants, and to what it applies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::casing::wire_enum;
use crate::contract::rate_override::Exclusion;
use crate::contract::rate_override::calc::Drawn;
use crate::id::{
    BalanceId, ContractId, CreditTypeId, CustomerId, ManualEntryId, ProductId, RecurringGrantId,
    ScheduleItemId, SegmentId,
};
use crate::money::{CreditType, Decimal, Number, divide, is_positive};
use crate::time::{Instant, Period};

wire_enum! {
    /// What a balance is.
    pub enum BalanceType {
        /// A commit that is paid for in advance, or given away.
        Prepaid = "PREPAID",
        /// A promise to spend; what is short of it at the end is billed as a true-up.
        Postpaid = "POSTPAID",
        Credit = "CREDIT",
    }
}

wire_enum! {
    /// Which of the two prices of a rate is paid while a balance is drawn.
    pub enum CommitRateType {
        ListRate = "LIST_RATE",
        /// The commit rate, where the rate has one.
        CommitRate = "COMMIT_RATE",
    }
}

wire_enum! {
    /// What is deducted from a balance.
    pub enum AccessType {
        /// Money, or custom pricing units.
        Spend = "SPEND",
        /// Units of usage, whatever they cost.
        Quantity = "QUANTITY",
    }
}

/// A commit or a credit.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    pub customer_id: CustomerId,
    pub id: BalanceId,
    pub balance_type: BalanceType,
    /// The contract whose usage it pays for; unset: it is the customer's own.
    pub contract_id: Option<ContractId>,
    pub access_type: AccessType,
    /// The unit of its amounts; unset where they are quantities.
    pub unit: Option<CreditType>,
    /// The recurring commit or credit that made it.
    pub recurring_id: Option<RecurringGrantId>,
    /// What it took over at a renewal.
    pub origin: Option<Origin>,
    pub uniqueness_key: Option<String>,
    pub created_at: Instant,
    /// Unset where due work made it.
    pub created_by: Option<String>,
    pub terms: BalanceTerms,
    pub archived_at: Option<Instant>,
    /// The version of these terms; see [`super::Added`].
    pub added: i64,
}

/// Where the value of a balance came from at a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub balance_id: BalanceId,
    pub contract_id: ContractId,
}

/// What an edit of a balance may change. It is kept as it is written here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BalanceTerms {
    /// A FIXED product, which names purchases and true-ups; not what the balance pays for.
    pub product_id: ProductId,
    pub name: Option<String>,
    pub description: Option<String>,
    /// The lowest is drawn first; unset counts as 100 (our decision: the documented default of threshold commits).
    pub priority: Option<Number>,
    pub rate_type: CommitRateType,
    /// By start and then by id; never empty.
    pub segments: Vec<Segment>,
    /// In the order in which they were written.
    pub manual_entries: Vec<ManualEntry>,
    pub targeting: TargetingOfBalance,
    /// Of a customer's own balance: the contracts whose usage it pays for; all when empty.
    pub applicable_contract_ids: Vec<ContractId>,
    /// Where its payments or its true-up are invoiced; of a contract's balance, that contract.
    pub invoice_contract_id: Option<ContractId>,
    /// What is paid for it, or, for POSTPAID, when the true-up falls. Unset: it is given away.
    pub payments: Option<PaymentSchedule>,
    /// How much of it a renewal may take over, of the amount that it began with: 0 to 1.
    pub rollover_fraction: Option<Number>,
    /// Of what a renewal took over: of what, and whether its amount is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_over: Option<RolledOver>,
    /// Of what a recurring one made and an end of the contract took away before it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_away: Option<TakenAway>,
    /// Of POSTPAID: what is short of the promise is not billed.
    pub is_true_up_disabled: bool,
    pub netsuite_sales_order_id: Option<String>,
    pub salesforce_opportunity_id: Option<String>,
}

/// What a renewal took over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledOver {
    /// The segment of the origin.
    pub segment_id: SegmentId,
    /// Until it is, the amount is what may be taken of the origin, and the one in these terms is the most that it may be; see
    /// [`super::Rollovers`].
    pub is_final: bool,
    /// The newest draw of its customer as it was made final, so that its amount can be recomputed as it was then. Unset before,
    /// and on what was given back without having been final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn_up_to: Option<i64>,
}

/// What a recurring one made, while its contract ends before it: a later end brings it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenAway {
    /// Where the contract ended before, by which its amounts are measured; unset: nowhere.
    pub ended_before: Option<Instant>,
}

/// A time in which a balance may be drawn, and how much of it (schema `ScheduleDuration`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub id: SegmentId,
    pub amount: Number,
    /// Inclusive.
    pub starting_at: Instant,
    /// Exclusive.
    pub ending_before: Instant,
}

/// An entry that somebody wrote into the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualEntry {
    pub id: ManualEntryId,
    pub segment_id: SegmentId,
    /// Below zero it takes value away.
    pub amount: Number,
    pub reason: String,
    pub dated_at: Instant,
    pub written_at: Instant,
}

/// What is paid for a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentSchedule {
    pub credit_type: CreditType,
    /// The amounts are recorded, and no invoice is made.
    pub do_not_invoice: bool,
    /// None where all were removed, so that it is given away.
    pub items: Vec<Payment>,
}

/// One payment. Where it is invoiced, a scheduled charge has an item with this id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub id: ScheduleItemId,
    pub dated_at: Instant,
    pub unit_price: Number,
    pub quantity: Number,
}

/// What a balance pays for: everything where nothing is said. Specifiers stand alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetingOfBalance {
    /// A product that is listed, or that has any of the tags.
    pub product_ids: Vec<ProductId>,
    pub product_tags: Vec<String>,
    /// Alternatives.
    pub specifiers: Vec<SpecifierOfBalance>,
}

/// Conditions that must all hold (schema `CommitSpecifier`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "CommitSpecifier")]
pub struct SpecifierOfBalance {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
    /// All of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub product_tags: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pricing_group_values: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub presentation_group_values: BTreeMap<String, String>,
    /// No product that has all tags of any of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Exclusion>,
}

impl Balance {
    #[must_use]
    pub fn is_credit(&self) -> bool {
        self.balance_type == BalanceType::Credit
    }

    /// What overrides know of it while it is drawn.
    #[must_use]
    pub fn drawn(&self) -> Drawn {
        Drawn { id: self.id.0, is_credit: self.is_credit(), recurring_id: self.recurring_id.map(|id| id.0) }
    }

    /// Whether usage of a contract may draw it.
    #[must_use]
    pub fn is_of(&self, contract_id: ContractId) -> bool {
        let applicable = &self.terms.applicable_contract_ids;
        match self.contract_id {
            Some(own) => own == contract_id,
            None => applicable.is_empty() || applicable.contains(&contract_id),
        }
    }

    /// Whether anything is paid for it (documentation page on the order of drawdown; only zero or not matters there).
    /// Amounts that are not invoiced count, credits never do.
    #[must_use]
    pub fn has_cost(&self) -> bool {
        let payments = self.terms.payments.iter().flat_map(|payments| &payments.items);
        !self.is_credit() && payments.map(Payment::amount).any(|amount| is_positive(&amount))
    }

    #[must_use]
    pub fn segment(&self, id: SegmentId) -> Option<&Segment> {
        self.terms.segments.iter().find(|segment| segment.id == id)
    }

    /// The id of the unit of its amounts; the null id where they are quantities.
    #[must_use]
    pub fn unit_id(&self) -> CreditTypeId {
        self.unit.as_ref().map_or(CreditTypeId::NONE, |unit| unit.id)
    }
}

impl BalanceTerms {
    /// What is paid for one of its unit: all its payments, invoiced or not, by all that it grants; zero where nothing is paid
    /// (SDK: `cost_basis`). None where it grants nothing.
    #[must_use]
    pub fn cost_basis(&self) -> Option<Decimal> {
        let granted: Decimal = self.segments.iter().map(|segment| &segment.amount.0).sum();
        let payments = self.payments.iter().flat_map(|payments| &payments.items);
        let paid: Decimal = payments.map(Payment::amount).sum();
        is_positive(&granted).then(|| divide(&paid, &granted).normalized())
    }

    /// From the start of the first segment to the end of the last one.
    #[must_use]
    pub fn span(&self) -> Period {
        let start = self.segments.iter().map(|segment| segment.starting_at).min();
        let end = self.segments.iter().map(|segment| segment.ending_before).max();
        start.zip(end).map(|(start, end)| Period { start, end }).expect("a balance has a segment")
    }

    /// What manual entries add to a segment.
    #[must_use]
    pub fn manual(&self, segment_id: SegmentId) -> Decimal {
        let own = self.manual_entries.iter().filter(|entry| entry.segment_id == segment_id);
        own.map(|entry| &entry.amount.0).sum()
    }
}

impl Segment {
    #[must_use]
    pub fn period(&self) -> Period {
        Period { start: self.starting_at, end: self.ending_before }
    }
}

impl Payment {
    /// `unit_price × quantity`, exact.
    #[must_use]
    pub fn amount(&self) -> Decimal {
        (&self.unit_price.0 * &self.quantity.0).normalized()
    }
}
