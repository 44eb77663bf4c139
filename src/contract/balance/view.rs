//! How commits and credits are shown: in lists and nested contracts as v1 does, in flat contracts as v2 does.

use schemars::JsonSchema;
use serde::Serialize;

use super::ledger_entry::LedgerEntryView;
use super::terms::{
    AccessType, Balance, BalanceType, CommitRateType, Origin, Payment, PaymentSchedule, Segment,
    SpecifierOfBalance,
};
use super::whole::WholeBalance;
use crate::casing::wire_enum;
use crate::custom_field::CustomFields;
use crate::id::{BalanceId, ContractId, InvoiceId, ProductId, RecurringGrantId, ScheduleItemId, SegmentId};
use crate::money::{CreditType, Number};
use crate::time::Instant;
use crate::wire::Nullable;

wire_enum! {
    /// What a commit is.
    pub enum CommitType {
        /// Paid for in advance, or given away.
        Prepaid = "PREPAID",
        /// A promise to spend; what is short of it is billed at the end.
        Postpaid = "POSTPAID",
    }
}

wire_enum! {
    /// What a credit is.
    pub enum CreditTag {
        Credit = "CREDIT",
    }
}

/// What is shown of a balance only if it was asked for, because it has to be reckoned.
#[derive(Clone, Debug, Default)]
pub struct Reckoned {
    /// What is left now.
    pub balance: Option<Number>,
    /// Null where the balance is archived.
    pub ledger: Nullable<Vec<LedgerEntryView>>,
}

/// A commit as v1 shows it (schema `Commit`).
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "Commit")]
pub struct CommitV1 {
    #[serde(flatten)]
    whole: CommitV2,
    #[serde(skip_serializing_if = "Option::is_none")]
    uniqueness_key: Option<String>,
}

/// A commit as v2 shows it (schema `CommitV2`).
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "CommitV2")]
pub struct CommitV2 {
    #[serde(rename = "type")]
    commit_type: CommitType,
    #[serde(flatten)]
    common: BalanceView,
    rate_type: CommitRateType,
    /// What is paid for it, or when the true-up falls; missing where it is given away.
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice_schedule: Option<PaymentScheduleView>,
    /// The contract on which it is billed, of one that is the customer's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice_contract: Option<ContractReference>,
    /// The recurring commit that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    recurring_commit_id: Option<RecurringGrantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_over_from: Option<OriginOfCommit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollover_fraction: Option<Number>,
    /// What is paid for one of its unit, of what a renewal took over that of its origin; missing where it grants nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_basis: Option<Number>,
    created_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    archived_at: Option<Instant>,
}

/// A credit as v1 shows it (schema `Credit`).
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "Credit")]
pub struct CreditV1 {
    #[serde(rename = "type")]
    credit: CreditTag,
    #[serde(flatten)]
    common: BalanceView,
    rate_type: CommitRateType,
    #[serde(flatten)]
    origin: OriginsOfCredit,
    #[serde(skip_serializing_if = "Option::is_none")]
    uniqueness_key: Option<String>,
}

/// A credit as v2 shows it (schema `CreditV2`).
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "CreditV2")]
pub struct CreditV2 {
    #[serde(rename = "type")]
    credit: CreditTag,
    #[serde(flatten)]
    common: BalanceView,
    #[serde(flatten)]
    origin: OriginsOfCredit,
    created_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    archived_at: Option<Instant>,
}

/// A commit or a credit as v1 shows it.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "CommitOrCredit")]
pub enum BalanceV1 {
    Commit(Box<CommitV1>),
    Credit(Box<CreditV1>),
}

/// What commits and credits are alike shown with.
#[derive(Clone, Serialize, JsonSchema)]
struct BalanceView {
    id: BalanceId,
    /// Missing where it is the customer's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<ContractReference>,
    /// Shown on invoices; the product's name where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The lowest is drawn first; 100 where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Number>,
    product: ProductName,
    access_schedule: AccessScheduleView,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    applicable_product_ids: Vec<ProductId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    applicable_product_tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    specifiers: Vec<SpecifierOfBalance>,
    /// The contracts whose usage may draw it; all of the customer's where it is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    applicable_contract_ids: Vec<ContractId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    netsuite_sales_order_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    salesforce_opportunity_id: Option<String>,
    /// What is left now, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<Number>,
    /// If it was asked for; null once it is archived.
    #[serde(skip_serializing_if = "Nullable::is_absent")]
    ledger: Nullable<Vec<LedgerEntryView>>,
    custom_fields: CustomFields,
    /// Missing where no request made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
}

/// What made a credit that no request made.
#[derive(Clone, Serialize, JsonSchema)]
struct OriginsOfCredit {
    /// The recurring credit that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    recurring_credit_id: Option<RecurringGrantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_over_from: Option<OriginOfCredit>,
}

#[derive(Clone, Serialize, JsonSchema)]
struct OriginOfCommit {
    commit_id: BalanceId,
    contract_id: ContractId,
}

#[derive(Clone, Serialize, JsonSchema)]
struct OriginOfCredit {
    credit_id: BalanceId,
    contract_id: ContractId,
}

#[derive(Clone, Serialize, JsonSchema)]
struct ContractReference {
    id: ContractId,
}

#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "BalanceProduct")]
struct ProductName {
    id: ProductId,
    name: String,
}

/// When it may be drawn (schema `ScheduleDuration`).
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "ScheduleDuration")]
struct AccessScheduleView {
    /// Missing where the amounts are quantities.
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_type: Option<CreditType>,
    access_type: AccessType,
    schedule_items: Vec<SegmentView>,
}

#[derive(Clone, Serialize, JsonSchema)]
struct SegmentView {
    id: SegmentId,
    amount: Number,
    starting_at: Instant,
    ending_before: Instant,
}

/// When what is paid for it (schema `SchedulePointInTime`).
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "CommitSchedulePointInTime")]
struct PaymentScheduleView {
    credit_type: CreditType,
    /// Without those that an earlier end of the contract removed.
    schedule_items: Vec<PaymentView>,
    do_not_invoice: bool,
}

#[derive(Clone, Serialize, JsonSchema)]
struct PaymentView {
    id: ScheduleItemId,
    /// Null until the payment is on an invoice that is not a draft.
    invoice_id: Option<InvoiceId>,
    /// `unit_price × quantity`.
    amount: Number,
    unit_price: Number,
    quantity: Number,
    timestamp: Instant,
}

impl BalanceV1 {
    #[must_use]
    pub fn new(whole: &WholeBalance, reckoned: Reckoned) -> Self {
        if whole.balance.is_credit() {
            Self::Credit(Box::new(CreditV1::new(whole, reckoned)))
        } else {
            Self::Commit(Box::new(CommitV1::new(whole, reckoned)))
        }
    }
}

impl CommitV1 {
    /// The balance is not a credit.
    #[must_use]
    pub fn new(whole: &WholeBalance, reckoned: Reckoned) -> Self {
        Self { uniqueness_key: whole.balance.uniqueness_key.clone(), whole: CommitV2::new(whole, reckoned) }
    }
}

impl CommitV2 {
    /// The balance is not a credit.
    #[must_use]
    pub fn new(whole: &WholeBalance, reckoned: Reckoned) -> Self {
        let balance = &whole.balance;
        let payments = balance.terms.payments.as_ref().filter(|payments| !payments.items.is_empty());
        let invoice_contract = balance.terms.invoice_contract_id.filter(|_| balance.contract_id.is_none());
        Self {
            commit_type: match balance.balance_type {
                BalanceType::Postpaid => CommitType::Postpaid,
                BalanceType::Prepaid | BalanceType::Credit => CommitType::Prepaid,
            },
            common: BalanceView::new(whole, reckoned),
            rate_type: balance.terms.rate_type,
            invoice_schedule: payments.map(|payments| PaymentScheduleView::new(payments, whole)),
            invoice_contract: invoice_contract.map(|id| ContractReference { id }),
            recurring_commit_id: balance.recurring_id,
            rolled_over_from: balance.origin.map(|Origin { balance_id, contract_id }| OriginOfCommit {
                commit_id: balance_id,
                contract_id,
            }),
            rollover_fraction: balance.terms.rollover_fraction.clone(),
            cost_basis: whole.origin_terms.as_ref().unwrap_or(&balance.terms).cost_basis().map(Number),
            created_at: balance.created_at,
            archived_at: balance.archived_at,
        }
    }
}

impl CreditV1 {
    /// The balance is a credit.
    #[must_use]
    pub fn new(whole: &WholeBalance, reckoned: Reckoned) -> Self {
        Self {
            credit: CreditTag::Credit,
            common: BalanceView::new(whole, reckoned),
            rate_type: whole.balance.terms.rate_type,
            origin: OriginsOfCredit::of(&whole.balance),
            uniqueness_key: whole.balance.uniqueness_key.clone(),
        }
    }
}

impl CreditV2 {
    /// The balance is a credit.
    #[must_use]
    pub fn new(whole: &WholeBalance, reckoned: Reckoned) -> Self {
        Self {
            credit: CreditTag::Credit,
            common: BalanceView::new(whole, reckoned),
            origin: OriginsOfCredit::of(&whole.balance),
            created_at: whole.balance.created_at,
            archived_at: whole.balance.archived_at,
        }
    }
}

impl OriginsOfCredit {
    fn of(balance: &Balance) -> Self {
        Self {
            recurring_credit_id: balance.recurring_id,
            rolled_over_from: balance.origin.map(|Origin { balance_id, contract_id }| OriginOfCredit {
                credit_id: balance_id,
                contract_id,
            }),
        }
    }
}

impl BalanceView {
    fn new(whole: &WholeBalance, reckoned: Reckoned) -> Self {
        let balance = &whole.balance;
        let terms = balance.terms.clone();
        // What a contract owns names that contract (sample of the list operation).
        let applicable_contract_ids = match balance.contract_id {
            Some(own) => vec![own],
            None => terms.applicable_contract_ids,
        };
        Self {
            id: balance.id,
            contract: balance.contract_id.map(|id| ContractReference { id }),
            name: terms.name,
            description: terms.description,
            priority: terms.priority,
            product: ProductName { id: terms.product_id, name: whole.product_name.clone() },
            access_schedule: AccessScheduleView {
                credit_type: balance.unit.clone(),
                access_type: balance.access_type,
                schedule_items: terms.segments.into_iter().map(SegmentView::from).collect(),
            },
            applicable_product_ids: terms.targeting.product_ids,
            applicable_product_tags: terms.targeting.product_tags,
            specifiers: terms.targeting.specifiers,
            applicable_contract_ids,
            netsuite_sales_order_id: terms.netsuite_sales_order_id,
            salesforce_opportunity_id: terms.salesforce_opportunity_id,
            balance: reckoned.balance,
            ledger: reckoned.ledger,
            custom_fields: whole.custom_fields.clone(),
            created_by: balance.created_by.clone(),
        }
    }
}

impl From<Segment> for SegmentView {
    fn from(segment: Segment) -> Self {
        let Segment { id, amount, starting_at, ending_before } = segment;
        Self { id, amount, starting_at, ending_before }
    }
}

impl PaymentScheduleView {
    fn new(payments: &PaymentSchedule, whole: &WholeBalance) -> Self {
        let is_shown =
            |payment: &&Payment| whole.payments.get(&payment.id).is_none_or(|item| item.removed_at.is_none());
        let item = |payment: &Payment| PaymentView {
            id: payment.id,
            invoice_id: whole.payments.get(&payment.id).and_then(|item| item.invoice_id),
            amount: Number(payment.amount()),
            unit_price: payment.unit_price.clone(),
            quantity: payment.quantity.clone(),
            timestamp: payment.dated_at,
        };
        Self {
            credit_type: payments.credit_type.clone(),
            schedule_items: payments.items.iter().filter(is_shown).map(item).collect(),
            do_not_invoice: payments.do_not_invoice,
        }
    }
}
