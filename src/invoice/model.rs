//! The invoice as it is shown and, once finalized, stored (schemas `Invoice` and `InvoiceLineItem`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::casing::wire_enum;
use crate::catalog::rate::{GroupValues, Rate};
use crate::contract::balance::{AccessType, BalanceType};
use crate::custom_field::CustomFields;
use crate::customer::billable_status::BillableStatus;
use crate::id::{
    BalanceId, ContractId, CreditTypeId, CustomerId, InvoiceId, ProductId, ScheduledChargeId, SegmentId,
};
use crate::money::{CreditType, Decimal, Number, zero};
use crate::time::Instant;
use crate::wire::{offset_format, optional_offset_format};

wire_enum! {
    /// What an invoice is for.
    pub enum InvoiceType {
        /// A statement period of a contract.
        Usage = "USAGE",
        /// Scheduled charges of one date.
        Scheduled = "SCHEDULED",
        UsageConsolidated = "USAGE_CONSOLIDATED",
    }
}

wire_enum! {
    pub enum InvoiceStatus {
        /// Moves with usage and prices.
        Draft = "DRAFT",
        /// Never changes again.
        Finalized = "FINALIZED",
        Void = "VOID",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Invoice {
    pub id: InvoiceId,
    pub customer_id: CustomerId,
    pub contract_id: ContractId,
    #[serde(rename = "type")]
    pub invoice_type: InvoiceType,
    pub status: InvoiceStatus,
    /// The unit of the total.
    pub credit_type: CreditType,
    #[serde(with = "offset_format")]
    #[schemars(with = "Instant")]
    pub start_timestamp: Instant,
    /// Exclusive.
    #[serde(with = "offset_format")]
    #[schemars(with = "Instant")]
    pub end_timestamp: Instant,
    /// When it is finalized; on a draft, when it will be.
    #[serde(with = "offset_format")]
    #[schemars(with = "Instant")]
    pub issued_at: Instant,
    pub total: Number,
    pub line_items: Vec<LineItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_payment_terms_days: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netsuite_sales_order_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub salesforce_opportunity_id: Option<String>,
    pub billable_status: BillableStatus,
    pub external_invoice: Option<NoExternalInvoice>,
    /// Its own, as they are now.
    pub custom_fields: CustomFields,
    /// As they were when it was finalized; on a draft, as they are now. So are all fields of lines.
    pub customer_custom_fields: CustomFields,
    pub contract_custom_fields: CustomFields,
    /// The void invoice in whose place it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regenerated_from_invoice_id: Option<InvoiceId>,
    /// Only on a draft that cannot be calculated, which has no lines and a total of 0. Not of the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upbeat_failure: Option<InvoiceFailure>,
}

/// Why a draft has no lines, and why it will not be finalized before that is mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InvoiceFailure {
    /// What asks for more than can be computed.
    pub reason: String,
}

/// No invoice is sent to a billing provider yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NoExternalInvoice {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LineItem {
    #[serde(rename = "type")]
    pub line_type: String,
    pub name: String,
    /// Not on lines that apply a balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<Number>,
    /// `quantity × unit_price`, exact; where a balance pays for a part of it, the parts sum to it exactly, and their quantities
    /// are what that comes to.
    pub total: Number,
    /// Lines in a custom pricing unit are no part of the total; what they cost is on a line of type `cpu_conversion`.
    pub credit_type: CreditType,
    /// Not on conversions of a custom pricing unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_type: Option<String>,
    pub product_tags: Vec<String>,
    pub product_custom_fields: CustomFields,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_charge_custom_fields: Option<CustomFields>,
    /// Not on lines of scheduled charges and payments, which are of no period.
    #[serde(default, with = "optional_offset_format", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Instant>")]
    pub starting_at: Option<Instant>,
    /// Exclusive.
    #[serde(default, with = "optional_offset_format", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Instant>")]
    pub ending_before: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_charge_id: Option<ScheduledChargeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing_group_values: Option<GroupValues>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presentation_group_values: Option<GroupValues>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<TierMetadata>,
    /// The commit or credit that pays for this line, that this line applies, or, on a line of a FIXED product, that is paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_id: Option<BalanceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_segment_id: Option<SegmentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_type: Option<CommitType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_custom_fields: Option<CustomFields>,
    /// What pays for this line, or what this line applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_commit_or_credit: Option<AppliedCommitOrCredit>,
    /// How many units a line that applies a balance of quantities takes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity_consumed: Option<Number>,
    /// The postpaid commit whose true-up this line is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postpaid_commit: Option<PostpaidCommit>,
    /// Whether it is part of the price of a billing period; only on lines of SUBSCRIPTION products.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_prorated: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netsuite_item_id: Option<String>,
    /// The card's rate before any override; shown where `include_list_prices` asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_price: Option<Rate>,
}

wire_enum! {
    /// What kind of commit a line is about; credits are prepaid ones here (schema `InvoiceLineItem`).
    pub enum CommitType {
        Prepaid = "PrepaidCommit",
        Postpaid = "PostpaidCommit",
    }
}

impl From<BalanceType> for CommitType {
    fn from(balance_type: BalanceType) -> Self {
        match balance_type {
            BalanceType::Prepaid | BalanceType::Credit => Self::Prepaid,
            BalanceType::Postpaid => Self::Postpaid,
        }
    }
}

/// The balance that pays for a line (schema `AppliedCommitOrCredit`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedCommitOrCredit {
    pub id: BalanceId,
    #[serde(rename = "type")]
    pub balance_type: BalanceType,
    /// What it is drawn by. (Older documents of invoices do not say it: their balances are all of SPEND.)
    #[serde(default = "of_spend")]
    pub access_type: AccessType,
}

fn of_spend() -> AccessType {
    AccessType::Spend
}

/// A postpaid commit (schema `PostpaidCommit`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostpaidCommit {
    pub id: BalanceId,
}

/// Which tier a line is in; amounts of units as decimal strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TierMetadata {
    /// From 1.
    pub level: u32,
    pub starting_at: String,
    pub size: Option<String>,
}

/// The type of a line that pays for a commit.
pub const COMMIT_PURCHASE: &str = "commit_purchase";

impl LineItem {
    /// Whether it is of a schedule and not of usage.
    #[must_use]
    pub fn is_scheduled(&self) -> bool {
        self.scheduled_charge_id.is_some() || self.line_type == COMMIT_PURCHASE
    }

    /// A line of nothing but a name and an amount in a unit.
    #[must_use]
    pub fn new(line_type: &str, name: String, total: Decimal, credit_type: CreditType) -> Self {
        Self {
            line_type: line_type.to_owned(),
            name,
            quantity: None,
            unit_price: None,
            total: Number(total),
            credit_type,
            product_id: None,
            product_type: None,
            product_tags: Vec::new(),
            product_custom_fields: CustomFields::new(),
            scheduled_charge_custom_fields: None,
            starting_at: None,
            ending_before: None,
            scheduled_charge_id: None,
            pricing_group_values: None,
            presentation_group_values: None,
            tier: None,
            commit_id: None,
            commit_segment_id: None,
            commit_type: None,
            commit_custom_fields: None,
            applied_commit_or_credit: None,
            quantity_consumed: None,
            postpaid_commit: None,
            is_prorated: None,
            netsuite_item_id: None,
            list_price: None,
        }
    }

    /// Whether it applies a balance; its amount is below zero then.
    #[must_use]
    pub fn is_application(&self) -> bool {
        self.line_type == APPLICATION
    }

    /// What a line that applies a balance takes of it, below zero.
    #[must_use]
    pub fn taken(&self) -> Decimal {
        self.quantity_consumed.as_ref().map_or_else(|| self.total.0.clone(), |consumed| -&consumed.0)
    }

    /// Whether it is in the total of an invoice in its unit: what counts towards a postpaid commit is paid now (schema
    /// `InvoiceLineItem`).
    #[must_use]
    pub fn is_owed(&self) -> bool {
        !(self.is_application() && self.commit_type == Some(CommitType::Postpaid))
    }
}

/// The type of lines that apply a balance.
pub const APPLICATION: &str = "applied_commit_or_credit";

impl Invoice {
    /// Shows it as the reader asked.
    #[must_use]
    pub fn shown(mut self, view: InvoiceView) -> Self {
        if view.skip_zero_qty_line_items {
            self.line_items.retain(|line| line.quantity.as_ref().is_none_or(|quantity| quantity.0 != zero()));
        }
        if !view.include_list_prices {
            for line in &mut self.line_items {
                line.list_price = None;
            }
        }
        self
    }

    /// The instant whose billable status of the customer is the invoice's (schema
    /// `SetCustomerBillableStatusPayload`).
    #[must_use]
    pub fn billable_status_at(&self) -> Instant {
        match self.invoice_type {
            InvoiceType::Usage | InvoiceType::UsageConsolidated => self.start_timestamp,
            InvoiceType::Scheduled => self.issued_at,
        }
    }

    #[must_use]
    pub fn credit_type_id(&self) -> CreditTypeId {
        self.credit_type.id
    }
}

/// How a reader wants invoices shown.
#[derive(Clone, Copy)]
pub struct InvoiceView {
    /// Without lines of quantity 0.
    pub skip_zero_qty_line_items: bool,
    /// With the list price on each line.
    pub include_list_prices: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_older_documents_apply_is_of_money() {
        let line = r#"{"id":"5c7a8f6e-0d1b-4c55-9f0a-2f6f1f0f7a11","type":"PREPAID"}"#;
        let applied: AppliedCommitOrCredit = serde_json::from_str(line).expect("an older document");
        assert_eq!(applied.access_type, AccessType::Spend);
    }
}
