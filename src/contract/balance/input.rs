//! Commits and credits as requests bring them, and whether they make sense by themselves.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::schedule_input::{Access, AccessScheduleInput, payment_schedule};
use super::targeting_input::{SpecifierInput, once_each, targeting};
use super::terms::{AccessType, Balance, BalanceTerms, BalanceType, CommitRateType, PaymentSchedule};
use super::view::CommitType;
use crate::casing::wire_enum;
use crate::contract::scheduled_charge::{ITEMS_MAX, SchedulePointInTimeInput};
use crate::custom_field::{CustomFields, CustomFieldsInput};
use crate::error::ApiError;
use crate::id::{BalanceId, ContractId, CreditTypeId, CustomerId, Ids, ProductId};
use crate::money::{CreditType, Decimal, InputNumber, Number, is_negative};
use crate::time::Instant;
use crate::wire::{Later, NonBlank, UniquenessKey};

/// Most commits of one contract when it is made, and most credits (our decision: they are read together).
pub const BALANCES_MAX: usize = 1000;

/// Most contracts that one commit or credit of a customer names (our decision).
const CONTRACTS_MAX: usize = 1000;

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

/// A commit or credit that is to be made, its own terms checked; nothing that it names was looked at.
pub struct NewBalance {
    /// Where it is in the request, such as `commits[2]`; empty where it is the request.
    pub path: String,
    /// Its unit is unset where it is a custom one, which is yet to be looked up.
    pub balance: Balance,
    pub custom_unit_id: Option<CreditTypeId>,
    pub custom_fields: CustomFields,
    pub uniqueness_key: Option<UniquenessKey>,
}

/// Whose a new balance is, and when it is made.
#[derive(Clone, Copy)]
pub struct Owner<'a> {
    pub customer_id: CustomerId,
    /// Unset: the customer itself.
    pub contract_id: Option<ContractId>,
    pub ids: &'a Ids,
    pub now: Instant,
}

/// The commits and credits that a contract is made with.
#[derive(Default)]
pub struct NewBalances {
    pub balances: Vec<NewBalance>,
    /// The commits that the overrides of the same request may name so.
    pub by_temporary_id: BTreeMap<String, BalanceId>,
}

/// The fields of every kind of balance.
struct Grant {
    balance_type: BalanceType,
    access: Access,
    payments: Option<PaymentSchedule>,
    product_id: ProductId,
    name: Option<NonBlank>,
    description: Option<String>,
    priority: Option<InputNumber>,
    rate_type: Option<CommitRateType>,
    rollover_fraction: Option<InputNumber>,
    applicable_contract_ids: Vec<ContractId>,
    invoice_contract_id: Option<ContractId>,
    applicable_product_ids: Vec<ProductId>,
    applicable_product_tags: Vec<String>,
    specifiers: Vec<SpecifierInput>,
    netsuite_sales_order_id: Option<String>,
    salesforce_opportunity_id: Option<String>,
    custom_fields: CustomFieldsInput,
    uniqueness_key: Option<UniquenessKey>,
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
        let grant = Grant {
            balance_type: self.commit_type.into(),
            payments: schedule.map(|schedule| payment_schedule(schedule, owner.ids, left)).transpose()?,
            access,
            product_id: self.product_id,
            name: self.name,
            description: self.description,
            priority: self.priority,
            rate_type: self.rate_type,
            rollover_fraction: self.rollover_fraction,
            applicable_contract_ids: Vec::new(),
            invoice_contract_id: owner.contract_id,
            applicable_product_ids: self.applicable_product_ids,
            applicable_product_tags: self.applicable_product_tags,
            specifiers: self.specifiers,
            netsuite_sales_order_id: self.netsuite_sales_order_id,
            salesforce_opportunity_id: None,
            custom_fields: self.custom_fields,
            uniqueness_key: None,
        };
        grant.planned(owner)
    }
}

impl CreditInput {
    fn planned(self, owner: Owner<'_>) -> Result<NewBalance, ApiError> {
        let grant = Grant {
            balance_type: BalanceType::Credit,
            payments: None,
            access: self.access_schedule.checked(owner.ids)?,
            product_id: self.product_id,
            name: self.name,
            description: self.description,
            priority: self.priority,
            rate_type: self.rate_type,
            rollover_fraction: self.rollover_fraction,
            applicable_contract_ids: Vec::new(),
            invoice_contract_id: None,
            applicable_product_ids: self.applicable_product_ids,
            applicable_product_tags: self.applicable_product_tags,
            specifiers: self.specifiers,
            netsuite_sales_order_id: self.netsuite_sales_order_id,
            salesforce_opportunity_id: None,
            custom_fields: self.custom_fields,
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
        let grant = Grant {
            balance_type: self.commit_type.into(),
            payments,
            access: self.access_schedule.checked(ids)?,
            product_id: self.product_id,
            name: self.name,
            description: self.description,
            priority: Some(self.priority),
            rate_type: self.rate_type,
            rollover_fraction: None,
            applicable_contract_ids: self.applicable_contract_ids,
            invoice_contract_id: self.invoice_contract_id,
            applicable_product_ids: self.applicable_product_ids,
            applicable_product_tags: self.applicable_product_tags,
            specifiers: self.specifiers,
            netsuite_sales_order_id: self.netsuite_sales_order_id,
            salesforce_opportunity_id: self.salesforce_opportunity_id,
            custom_fields: self.custom_fields,
            uniqueness_key: self.uniqueness_key,
        };
        grant.planned(owner)
    }
}

impl CustomerCreditInput {
    /// The credit, looked at by itself.
    pub fn planned(self, ids: &Ids, now: Instant) -> Result<NewBalance, ApiError> {
        let owner = Owner { customer_id: self.customer_id, contract_id: None, ids, now };
        let grant = Grant {
            balance_type: BalanceType::Credit,
            payments: None,
            access: self.access_schedule.checked(ids)?,
            product_id: self.product_id,
            name: self.name,
            description: self.description,
            priority: Some(self.priority),
            rate_type: self.rate_type,
            rollover_fraction: None,
            applicable_contract_ids: self.applicable_contract_ids,
            invoice_contract_id: None,
            applicable_product_ids: self.applicable_product_ids,
            applicable_product_tags: self.applicable_product_tags,
            specifiers: self.specifiers,
            netsuite_sales_order_id: self.netsuite_sales_order_id,
            salesforce_opportunity_id: self.salesforce_opportunity_id,
            custom_fields: self.custom_fields,
            uniqueness_key: self.uniqueness_key,
        };
        grant.planned(owner)
    }
}

impl Grant {
    fn planned(self, owner: Owner<'_>) -> Result<NewBalance, ApiError> {
        if self.applicable_contract_ids.len() > CONTRACTS_MAX {
            let reason = format!("at most {CONTRACTS_MAX} of one commit or credit");
            return Err(ApiError::field("applicable_contract_ids", reason));
        }
        let one = Decimal::from(1);
        let is_fraction = |fraction: &Decimal| !is_negative(fraction) && *fraction <= one;
        if self.rollover_fraction.as_ref().is_some_and(|fraction| !is_fraction(&fraction.0)) {
            return Err(ApiError::field("rollover_fraction", "must be from 0 to 1, such as 0.25 for 25 %"));
        }
        if self.balance_type == BalanceType::Postpaid {
            check_postpaid(&self.access, self.payments.as_ref())?;
        }
        let targeting =
            targeting(self.applicable_product_ids, self.applicable_product_tags, self.specifiers)?;
        let custom_fields = self.custom_fields.checked()?;
        let access_type = self.access.access_type();
        let unit = self.access.unit_id.and_then(CreditType::find_fiat).cloned();
        let number = |input: InputNumber| Number(input.0);
        let terms = BalanceTerms {
            product_id: self.product_id,
            name: self.name.map(|name| name.0),
            description: self.description,
            priority: self.priority.map(number),
            rate_type: self.rate_type.unwrap_or(CommitRateType::ListRate),
            segments: self.access.segments,
            manual_entries: Vec::new(),
            targeting,
            applicable_contract_ids: once_each(self.applicable_contract_ids),
            invoice_contract_id: self.invoice_contract_id,
            payments: self.payments,
            rollover_fraction: self.rollover_fraction.map(number),
            rolled_over: None,
            taken_away: None,
            is_true_up_disabled: false,
            netsuite_sales_order_id: self.netsuite_sales_order_id,
            salesforce_opportunity_id: self.salesforce_opportunity_id,
        };
        let custom_unit_id = self.access.unit_id.filter(|_| unit.is_none());
        let balance = Balance {
            customer_id: owner.customer_id,
            id: owner.ids.next(),
            balance_type: self.balance_type,
            contract_id: owner.contract_id,
            access_type,
            unit,
            recurring_id: None,
            origin: None,
            uniqueness_key: self.uniqueness_key.as_ref().map(|key| key.0.clone()),
            created_at: owner.now,
            created_by: None,
            terms,
            archived_at: None,
            added: 0,
        };
        Ok(NewBalance {
            path: String::new(),
            balance,
            custom_unit_id,
            custom_fields,
            uniqueness_key: self.uniqueness_key,
        })
    }
}

/// A promise is of one amount over one time, and what is short of it is billed once, after that time (schema
/// `CreateCustomerCommitPayload`; documentation page on commits).
fn check_postpaid(access: &Access, payments: Option<&PaymentSchedule>) -> Result<(), ApiError> {
    if access.access_type() == AccessType::Quantity {
        // Our decision: a promise is to spend money, and what units would be short of has no price.
        let reason = "a POSTPAID commit cannot be of `QUANTITY`, because what is short of it is billed";
        return Err(ApiError::field("access_schedule.access_type", reason));
    }
    let [segment] = access.segments.as_slice() else {
        let reason = "a POSTPAID commit has one item";
        return Err(ApiError::field("access_schedule.schedule_items", reason));
    };
    let Some(payments) = payments else {
        return Err(ApiError::field("invoice_schedule", "is required for POSTPAID"));
    };
    let [payment] = payments.items.as_slice() else {
        return Err(ApiError::field("invoice_schedule", "a POSTPAID commit has one payment"));
    };
    if access.unit_id.and_then(CreditType::find_fiat).is_none() {
        let reason = "a POSTPAID commit is in a currency, because what is short of it is billed";
        return Err(ApiError::field("access_schedule.credit_type_id", reason));
    }
    if access.unit_id != Some(payments.credit_type.id) {
        let reason = "must be that of access_schedule for POSTPAID";
        return Err(ApiError::field("invoice_schedule.credit_type_id", reason));
    }
    if payment.amount() != segment.amount.0 {
        let reason = "the amount must be that of access_schedule for POSTPAID";
        return Err(ApiError::field("invoice_schedule", reason));
    }
    if payment.dated_at < segment.ending_before {
        let reason =
            "the true-up of a POSTPAID commit must not be dated before access_schedule's ending_before";
        return Err(ApiError::field("invoice_schedule", reason));
    }
    Ok(())
}

impl From<CommitType> for BalanceType {
    fn from(commit_type: CommitType) -> Self {
        match commit_type {
            CommitType::Prepaid => Self::Prepaid,
            CommitType::Postpaid => Self::Postpaid,
        }
    }
}
