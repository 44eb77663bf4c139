//! An entry of a ledger as it is shown (schemas `CommitLedger` and `CreditLedger`).

use schemars::JsonSchema;
use serde::Serialize;

use crate::casing::wire_enum;
use crate::id::{ContractId, InvoiceId, SegmentId};
use crate::money::Number;
use crate::time::Instant;

wire_enum! {
    /// What an entry is. Prepaid commits, postpaid commits and credits have types of their own.
    pub enum LedgerEntryType {
        PrepaidSegmentStart = "PREPAID_COMMIT_SEGMENT_START",
        PrepaidDeduction = "PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION",
        PrepaidSeatAdjustment = "PREPAID_COMMIT_SEAT_BASED_ADJUSTMENT",
        PrepaidManual = "PREPAID_COMMIT_MANUAL",
        PrepaidRollover = "PREPAID_COMMIT_ROLLOVER",
        PrepaidExpiration = "PREPAID_COMMIT_EXPIRATION",
        PrepaidCanceled = "PREPAID_COMMIT_CANCELED",
        PrepaidCredited = "PREPAID_COMMIT_CREDITED",
        PostpaidInitialBalance = "POSTPAID_COMMIT_INITIAL_BALANCE",
        PostpaidDeduction = "POSTPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION",
        PostpaidManual = "POSTPAID_COMMIT_MANUAL",
        PostpaidRollover = "POSTPAID_COMMIT_ROLLOVER",
        PostpaidTrueup = "POSTPAID_COMMIT_TRUEUP",
        PostpaidExpiration = "POSTPAID_COMMIT_EXPIRATION",
        CreditSegmentStart = "CREDIT_SEGMENT_START",
        CreditDeduction = "CREDIT_AUTOMATED_INVOICE_DEDUCTION",
        CreditSeatAdjustment = "CREDIT_SEAT_BASED_ADJUSTMENT",
        CreditManual = "CREDIT_MANUAL",
        CreditRollover = "CREDIT_ROLLOVER",
        CreditExpiration = "CREDIT_EXPIRATION",
        CreditCanceled = "CREDIT_CANCELED",
        CreditCredited = "CREDIT_CREDITED",
    }
}

/// An entry of a ledger; which of the last fields there are follows from the type.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "LedgerEntry")]
pub struct LedgerEntryView {
    #[serde(rename = "type")]
    pub entry_type: LedgerEntryType,
    pub timestamp: Instant,
    /// Above zero it adds value, below zero it takes some away.
    pub amount: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_id: Option<SegmentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice_id: Option<InvoiceId>,
    /// The contract of the invoice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract_id: Option<ContractId>,
    /// The contract that took the value over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_contract_id: Option<ContractId>,
    /// Of an entry that somebody wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
