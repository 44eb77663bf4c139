use schemars::JsonSchema;
use serde::Serialize;

use crate::catalog::billable_metric::BillableMetric;
use crate::catalog::product::QuantityConversion;
use crate::catalog::rate::{GroupValues, Rate};
use crate::contract::balance::{AccessType, BalanceType};
use crate::contract::rate_override::OverrideType;
use crate::contract::rate_override::calc::Reason;
use crate::drawdown::calc::Skipped;
use crate::id::{
    BalanceId, BillableMetricId, ContractId, InvoiceId, OverrideId, ProductId, RateCardId, ScheduledChargeId,
    SegmentId,
};
use crate::invoice::model::{InvoiceStatus, TierMetadata};
use crate::money::{CreditType, Number, QuantityRounding};
use crate::time::Instant;

/// How an invoice comes about.
#[derive(Serialize, JsonSchema)]
pub struct InvoiceExplanation {
    pub invoice_id: InvoiceId,
    pub status: InvoiceStatus,
    pub credit_type: CreditType,
    pub total: Number,
    /// The card whose rates these are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_card_id: Option<RateCardId>,
    /// Every line of the invoice is in one of them, in its order.
    pub explanations: Vec<Explanation>,
    /// The metrics that count for the lines.
    pub billable_metrics: Vec<BillableMetric>,
}

/// How lines come about that have one price and one time.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Explanation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting_at: Option<Instant>,
    /// Exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending_before: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing_group_values: Option<GroupValues>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presentation_group_values: Option<GroupValues>,
    /// The unit of all its amounts.
    pub credit_type: CreditType,
    /// What the price is applied to.
    pub basis: BasisExplanation,
    /// The price, and why it is this one; not where none of the card's is charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceExplanation>,
    /// Where the same price goes on for another reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub later_prices: Vec<LaterPrice>,
    pub lines: Vec<ExplainedLine>,
    /// The commits and credits that the contract's usage may draw, in the order in which they are, and why each pays or does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub balances: Vec<ConsideredBalance>,
    /// The sum of the totals of the lines that are owed: without what applies a postpaid commit.
    pub total: Number,
}

/// A segment of a commit or credit that may pay for lines.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ConsideredBalance {
    pub id: BalanceId,
    pub segment_id: SegmentId,
    #[serde(rename = "type")]
    pub balance_type: BalanceType,
    /// Whether it is drawn by what usage costs or by its quantity.
    pub access_type: AccessType,
    pub name: String,
    /// What it pays for these lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawn: Option<DrawnExplanation>,
    /// Why it pays for none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Skipped>,
}

/// What a commit or credit pays for: one of SPEND is drawn by the amount, one of QUANTITY by the quantity.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DrawnExplanation {
    pub amount: Number,
    pub quantity: Number,
    /// The price while it is drawn; not on a conversion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The overrides that make it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<AppliedOverride>,
}

/// What a price is applied to.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BasisExplanation {
    /// A quantity that was used.
    Usage(UsageExplanation),
    /// A share of what other products cost.
    Spend {
        /// The spend of the members in the billing period before; tiers go on from there.
        before: Number,
        members: Vec<MemberExplanation>,
        spend: Number,
    },
    /// The least that is charged for the billing period, where the share of the spend is less.
    Minimum {
        minimum: Number,
        /// What the shares of the billing period come to.
        reached: Number,
    },
    /// A quantity at a price for the billing period.
    Subscription {
        quantity: Number,
        /// Whether its unit prices are the parts for a part of the period.
        is_prorated: bool,
    },
    /// The lines in a custom pricing unit, in the currency of the invoice.
    UnitConversion { custom_credit_type: CreditType, quantity: Number, fiat_per_custom_credit: Number },
    /// An amount that the contract names.
    ScheduledCharge { scheduled_charge_id: ScheduledChargeId },
    /// An amount that is paid for a commit, or what is short of one.
    CommitPurchase { commit_id: BalanceId },
}

/// From events to the quantity that is priced.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct UsageExplanation {
    /// What counts: see `billable_metrics`.
    pub billable_metric_id: BillableMetricId,
    /// From what the metric counted to what is priced, before rounding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity_conversion: Option<QuantityConversion>,
    /// Of the running quantity, never of a piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity_rounding: Option<QuantityRounding>,
    /// All of the combination's quantity in the billing period before; tiers go on from there.
    pub before: Number,
    /// Where anything was used: by the hour, or, where a query counts, by the stretches of one price.
    pub pieces: Vec<UsagePiece>,
    /// The sum of the quantities of the pieces.
    pub quantity: Number,
}

/// What one piece of time adds.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct UsagePiece {
    pub starting_at: Instant,
    /// Exclusive.
    pub ending_before: Instant,
    /// What the metric counted from the start of the billing period to the end of the piece, before conversion.
    pub metered: Number,
    /// By how much the quantity that is priced grows.
    pub quantity: Number,
}

/// What one member of a composite cost.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct MemberExplanation {
    pub product_id: ProductId,
    /// Another contract of the customer; the one that is billed where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract_id: Option<ContractId>,
    pub spend: Number,
}

/// The rate that is in force, and what overrides make of it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PriceExplanation {
    /// The entry of the card's timeline: its number in the order of addition.
    pub rate_entry: i64,
    pub rate_added_at: Instant,
    pub rate_starting_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_ending_before: Option<Instant>,
    /// What the card says.
    pub list_rate: Rate,
    /// What is charged.
    pub rate: Rate,
    /// The overrides that make it, the first units' first; none where the card's rate is charged.
    pub overrides: Vec<AppliedOverride>,
    /// Overrides that are in force and aimed at these lines, and price none of them, the next best first.
    pub beaten_overrides: Vec<BeatenOverride>,
}

/// The price of the explanation from an instant on, by another entry of the card or by other overrides.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LaterPrice {
    pub starting_at: Instant,
    pub price: PriceExplanation,
}

/// An override that prices lines.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AppliedOverride {
    pub id: OverrideId,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub override_type: Option<OverrideType>,
}

/// An override that does not price a line, and why.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct BeatenOverride {
    pub id: OverrideId,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub override_type: Option<OverrideType>,
    pub reason: Reason,
}

/// A line of the invoice.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ExplainedLine {
    /// Its place in `line_items` of the invoice as it is read without options, from 0.
    pub line_item: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<TierMetadata>,
    /// Not on lines that apply a balance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<Number>,
    pub total: Number,
    /// The tier of the card's rate that the price is taken from, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_tier: Option<usize>,
    /// The override that makes the price of this line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_id: Option<OverrideId>,
    /// The tier of the override, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_tier: Option<usize>,
}
