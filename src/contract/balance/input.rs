//! Commits and credits as requests bring them, and whether they make sense by themselves.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::common::CommonInput;
use super::grant::{Grant, NewBalance, Owner};
use super::schedule_input::{AccessScheduleInput, payment_schedule};
use super::targeting_input::SpecifierInput;
use super::terms::{BalanceType, CommitRateType};
use super::view::CommitType;
use crate::casing::wire_enum;
use crate::contract::scheduled_charge::{ITEMS_MAX, SchedulePointInTimeInput};
use crate::custom_field::CustomFieldsInput;
use crate::error::ApiError;
use crate::id::{BalanceId, ContractId, CustomerId, Ids, ProductId};
use crate::money::InputNumber;
use crate::time::Instant;
use crate::wire::{Later, NonBlank, UniquenessKey};

/// Most commits of one contract when it is made, and most credits (our decision: they are read together).
pub const BALANCES_MAX: usize = 1000;

/// A commit that a contract is made with (schema `CommitInput`).
#[derive(Deserialize, JsonSchema)]
pub struct CommitInput {
    /// PREPAID is paid for in advance or given away; POSTPAID is a promise to spend.
    #[serde(rename = "type")]
    commit_type: CommitType,
    /// A FIXED product, which names the purchase or the true-up on invoices.
    product_id: ProductId,
    /// When it may be drawn; required.
    access_schedule: Option<AccessScheduleInput>,
    /// What is paid for it; for POSTPAID when the true-up falls, and required there. Without one it is given away.
    invoice_schedule: Option<SchedulePointInTimeInput>,
    /// Deprecated; the total of `access_schedule`, which is required beside it.
    amount: Option<InputNumber>,
    /// Shown on invoices; the product's name when omitted.
    name: Option<NonBlank>,
    /// Not shown on invoices.
    description: Option<String>,
    /// The lowest is drawn first; 100 when omitted.
    priority: Option<InputNumber>,
    /// Which price is paid while it is drawn; LIST_RATE when omitted.
    rate_type: Option<CommitRateType>,
    /// How much of each segment a renewal may take over, at most: 0 to 1.
    rollover_fraction: Option<InputNumber>,
    /// What it pays for: these products, or those with any of the tags; everything when neither is given.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_ids: Vec<ProductId>,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_tags: Vec<String>,
    /// In place of both: what meets any of these.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    specifiers: Vec<SpecifierInput>,
    netsuite_sales_order_id: Option<String>,
    /// Each key must be on the list of its type; values have at most 200 characters.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
    /// By it the overrides of the same request may name the commit.
    temporary_id: Option<NonBlank>,
    /// Only the type NONE: a new contract's commits do not wait for a payment.
    #[serde(rename = "payment_gate_config")]
    _payment_gate_config: Option<PaymentGateInput>,
    #[serde(default, rename = "hierarchy_configuration")]
    #[schemars(skip)]
    _hierarchy_configuration: Later,
    #[serde(default, rename = "spend_tracker_attributes")]
    #[schemars(skip)]
    _spend_tracker_attributes: Later,
}

/// A credit that a contract is made with (schema `CreditInput`).
#[derive(Deserialize, JsonSchema)]
pub struct CreditInput {
    /// A FIXED product, which names the credit.
    product_id: ProductId,
    /// When it may be drawn.
    access_schedule: AccessScheduleInput,
    /// Shown on invoices; the product's name when omitted.
    name: Option<NonBlank>,
    /// Not shown on invoices.
    description: Option<String>,
    /// The lowest is drawn first; 100 when omitted.
    priority: Option<InputNumber>,
    /// Which price is paid while it is drawn; LIST_RATE when omitted.
    rate_type: Option<CommitRateType>,
    /// How much of each segment a renewal may take over, at most: 0 to 1.
    rollover_fraction: Option<InputNumber>,
    /// What it pays for: these products, or those with any of the tags; everything when neither is given.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_ids: Vec<ProductId>,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_tags: Vec<String>,
    /// In place of both: what meets any of these.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    specifiers: Vec<SpecifierInput>,
    netsuite_sales_order_id: Option<String>,
    /// Each key must be on the list of its type; values have at most 200 characters.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
    #[serde(default, rename = "hierarchy_configuration")]
    #[schemars(skip)]
    _hierarchy_configuration: Later,
}

/// A commit of a customer (schema `CreateCustomerCommitPayload`).
#[derive(Deserialize, JsonSchema)]
pub struct CustomerCommitInput {
    pub customer_id: CustomerId,
    /// PREPAID is paid for in advance or given away; POSTPAID is a promise to spend.
    #[serde(rename = "type")]
    commit_type: CommitType,
    /// The lowest is drawn first.
    priority: InputNumber,
    /// A FIXED product, which names the purchase or the true-up on invoices.
    product_id: ProductId,
    /// When it may be drawn.
    access_schedule: AccessScheduleInput,
    /// What is paid for it; for POSTPAID when the true-up falls, and required there. Without one it is given away.
    invoice_schedule: Option<SchedulePointInTimeInput>,
    /// The contract that it is billed on; required with an `invoice_schedule` that is invoiced.
    invoice_contract_id: Option<ContractId>,
    /// Shown on invoices; the product's name when omitted.
    name: Option<NonBlank>,
    /// Not shown on invoices.
    description: Option<String>,
    /// Which price is paid while it is drawn; LIST_RATE when omitted.
    rate_type: Option<CommitRateType>,
    /// The contracts whose usage may draw it; all of the customer's when omitted.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_contract_ids: Vec<ContractId>,
    /// What it pays for: these products, or those with any of the tags; everything when neither is given.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_ids: Vec<ProductId>,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_tags: Vec<String>,
    /// In place of both: what meets any of these.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    specifiers: Vec<SpecifierInput>,
    netsuite_sales_order_id: Option<String>,
    salesforce_opportunity_id: Option<String>,
    /// Each key must be on the list of its type; values have at most 200 characters.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
    /// Makes one commit or credit, ever.
    uniqueness_key: Option<UniquenessKey>,
}

/// A credit of a customer (schema `CreateCustomerCreditPayload`).
#[derive(Deserialize, JsonSchema)]
pub struct CustomerCreditInput {
    pub customer_id: CustomerId,
    /// The lowest is drawn first.
    priority: InputNumber,
    /// A FIXED product, which names the credit.
    product_id: ProductId,
    /// When it may be drawn.
    access_schedule: AccessScheduleInput,
    /// Shown on invoices; the product's name when omitted.
    name: Option<NonBlank>,
    /// Not shown on invoices.
    description: Option<String>,
    /// Which price is paid while it is drawn; LIST_RATE when omitted.
    rate_type: Option<CommitRateType>,
    /// The contracts whose usage may draw it; all of the customer's when omitted.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_contract_ids: Vec<ContractId>,
    /// What it pays for: these products, or those with any of the tags; everything when neither is given.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_ids: Vec<ProductId>,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_tags: Vec<String>,
    /// In place of both: what meets any of these.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    specifiers: Vec<SpecifierInput>,
    netsuite_sales_order_id: Option<String>,
    salesforce_opportunity_id: Option<String>,
    /// Each key must be on the list of its type; values have at most 200 characters.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
    /// Makes one commit or credit, ever.
    uniqueness_key: Option<UniquenessKey>,
}

/// Whether a commit waits for its payment.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "CommitPaymentGateInput")]
struct PaymentGateInput {
    #[serde(rename = "payment_gate_type")]
    _payment_gate_type: PaymentGateType,
}

wire_enum! {
    /// Who charges before a commit may be drawn.
    pub enum PaymentGateType {
        /// Nobody.
        None = "NONE",
    }
    later ["STRIPE", "EXTERNAL"]
}

/// The commits and credits that a contract is made with.
#[derive(Default)]
pub struct NewBalances {
    pub balances: Vec<NewBalance>,
    /// The commits that the overrides of the same request may name so.
    pub by_temporary_id: BTreeMap<String, BalanceId>,
}

/// The balances of a new contract, each looked at by itself; `left` is how many payments the request may still plan.
pub fn planned(
    commits: Vec<CommitInput>,
    credits: Vec<CreditInput>,
    owner: Owner<'_>,
    mut left: usize,
) -> Result<NewBalances, ApiError> {
    for (field, count) in [("commits", commits.len()), ("credits", credits.len())] {
        if count > BALANCES_MAX {
            return Err(ApiError::field(field, format!("at most {BALANCES_MAX} in one request")));
        }
    }
    let mut new = NewBalances::default();
    for (index, mut commit) in commits.into_iter().enumerate() {
        let path = format!("commits[{index}]");
        let temporary_id = commit.temporary_id.take();
        let planned = commit.planned(owner, left).map_err(|error| error.within(&path))?;
        left -= planned.balance.terms.payments.as_ref().map_or(0, |payments| payments.items.len());
        if let Some(NonBlank(temporary_id)) = temporary_id
            && new.by_temporary_id.insert(temporary_id, planned.balance.id).is_some()
        {
            let reason = "another commit of the request has it";
            return Err(ApiError::field(&format!("{path}.temporary_id"), reason));
        }
        new.balances.push(NewBalance { path, ..planned });
    }
    for (index, credit) in credits.into_iter().enumerate() {
        let path = format!("credits[{index}]");
        let planned = credit.planned(owner).map_err(|error| error.within(&path))?;
        new.balances.push(NewBalance { path, ..planned });
    }
    Ok(new)
}

impl CommitInput {
    fn planned(self, owner: Owner<'_>, left: usize) -> Result<NewBalance, ApiError> {
        let Some(access) = self.access_schedule else {
            return Err(ApiError::field("access_schedule", "is required"));
        };
        let access = access.checked(owner.ids)?;
        if self.amount.is_some_and(|amount| amount.0 != access.total()) {
            return Err(ApiError::field("amount", "is not the total of access_schedule; leave it out"));
        }
        let schedule = self.invoice_schedule.as_ref();
        let common = CommonInput {
            product_id: self.product_id,
            name: self.name,
            description: self.description,
            priority: self.priority,
            rate_type: self.rate_type,
            rollover_fraction: self.rollover_fraction,
            applicable_product_ids: self.applicable_product_ids,
            applicable_product_tags: self.applicable_product_tags,
            specifiers: self.specifiers,
        };
        let grant = Grant {
            balance_type: self.commit_type.into(),
            payments: schedule.map(|schedule| payment_schedule(schedule, owner.ids, left)).transpose()?,
            access,
            common: common.checked()?,
            applicable_contract_ids: Vec::new(),
            invoice_contract_id: owner.contract_id,
            netsuite_sales_order_id: self.netsuite_sales_order_id,
            salesforce_opportunity_id: None,
            custom_fields: self.custom_fields.checked()?,
            uniqueness_key: None,
        };
        grant.planned(owner)
    }
}

impl CreditInput {
    fn planned(self, owner: Owner<'_>) -> Result<NewBalance, ApiError> {
        let common = CommonInput {
            product_id: self.product_id,
            name: self.name,
            description: self.description,
            priority: self.priority,
            rate_type: self.rate_type,
            rollover_fraction: self.rollover_fraction,
            applicable_product_ids: self.applicable_product_ids,
            applicable_product_tags: self.applicable_product_tags,
            specifiers: self.specifiers,
        };
        let grant = Grant {
            balance_type: BalanceType::Credit,
            payments: None,
            access: self.access_schedule.checked(owner.ids)?,
            common: common.checked()?,
            applicable_contract_ids: Vec::new(),
            invoice_contract_id: None,
            netsuite_sales_order_id: self.netsuite_sales_order_id,
            salesforce_opportunity_id: None,
            custom_fields: self.custom_fields.checked()?,
            uniqueness_key: None,
        };
        grant.planned(owner)
    }
}

impl CustomerCommitInput {
    /// The commit, looked at by itself.
    pub fn planned(self, ids: &Ids, now: Instant) -> Result<NewBalance, ApiError> {
        let owner = Owner { customer_id: self.customer_id, contract_id: None, ids, now };
        let schedule = self.invoice_schedule.as_ref();
        let payments = schedule.map(|schedule| payment_schedule(schedule, ids, ITEMS_MAX)).transpose()?;
        let is_invoiced = payments.as_ref().is_some_and(|payments| !payments.do_not_invoice);
        if is_invoiced && self.invoice_contract_id.is_none() {
            let reason = "is required with an invoice_schedule, unless that says do_not_invoice";
            return Err(ApiError::field("invoice_contract_id", reason));
        }
        let common = CommonInput {
            product_id: self.product_id,
            name: self.name,
            description: self.description,
            priority: Some(self.priority),
            rate_type: self.rate_type,
            rollover_fraction: None,
            applicable_product_ids: self.applicable_product_ids,
            applicable_product_tags: self.applicable_product_tags,
            specifiers: self.specifiers,
        };
        let grant = Grant {
            balance_type: self.commit_type.into(),
            payments,
            access: self.access_schedule.checked(ids)?,
            common: common.checked()?,
            applicable_contract_ids: self.applicable_contract_ids,
            invoice_contract_id: self.invoice_contract_id,
            netsuite_sales_order_id: self.netsuite_sales_order_id,
            salesforce_opportunity_id: self.salesforce_opportunity_id,
            custom_fields: self.custom_fields.checked()?,
            uniqueness_key: self.uniqueness_key,
        };
        grant.planned(owner)
    }
}

impl CustomerCreditInput {
    /// The credit, looked at by itself.
    pub fn planned(self, ids: &Ids, now: Instant) -> Result<NewBalance, ApiError> {
        let owner = Owner { customer_id: self.customer_id, contract_id: None, ids, now };
        let common = CommonInput {
            product_id: self.product_id,
            name: self.name,
            description: self.description,
            priority: Some(self.priority),
            rate_type: self.rate_type,
            rollover_fraction: None,
            applicable_product_ids: self.applicable_product_ids,
            applicable_product_tags: self.applicable_product_tags,
            specifiers: self.specifiers,
        };
        let grant = Grant {
            balance_type: BalanceType::Credit,
            payments: None,
            access: self.access_schedule.checked(ids)?,
            common: common.checked()?,
            applicable_contract_ids: self.applicable_contract_ids,
            invoice_contract_id: None,
            netsuite_sales_order_id: self.netsuite_sales_order_id,
            salesforce_opportunity_id: self.salesforce_opportunity_id,
            custom_fields: self.custom_fields.checked()?,
            uniqueness_key: self.uniqueness_key,
        };
        grant.planned(owner)
    }
}

impl From<CommitType> for BalanceType {
    fn from(commit_type: CommitType) -> Self {
        match commit_type {
            CommitType::Prepaid => Self::Prepaid,
            CommitType::Postpaid => Self::Postpaid,
        }
    }
}
