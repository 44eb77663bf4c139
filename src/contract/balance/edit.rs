//! What an edit makes of a commit or credit. Pure.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::edit_schedule::{AccessScheduleEdit, InvoiceScheduleEdit};
use super::targeting_input::{SpecifierInput, once_each, targeting};
use super::terms::{Balance, BalanceType, CommitRateType, TargetingOfBalance};
use crate::error::ApiError;
use crate::id::{ContractId, Ids, ProductId, ScheduleItemId, SegmentId};
use crate::money::{Decimal, InputNumber, Number, is_negative};
use crate::wire::{Later, NonBlank, Nullable};

/// What is to change of a commit or credit; what is left out stays. An operation takes those of the fields that it documents.
#[derive(Default)]
pub struct BalanceEdit {
    pub name: Option<NonBlank>,
    pub description: Option<String>,
    pub product_id: Option<ProductId>,
    pub priority: Nullable<InputNumber>,
    pub rate_type: Option<CommitRateType>,
    pub access_schedule: Option<AccessScheduleEdit>,
    pub invoice_schedule: Option<InvoiceScheduleEdit>,
    pub targeting: TargetingEdit,
    pub applicable_contract_ids: Nullable<Vec<ContractId>>,
    pub invoice_contract_id: Option<ContractId>,
    pub rollover_fraction: Nullable<InputNumber>,
}

/// The fields that edits of commits and of credits share.
#[derive(Deserialize, JsonSchema)]
pub struct CommonEdit {
    name: Option<NonBlank>,
    /// For internal use, not on invoices.
    description: Option<String>,
    access_schedule: Option<AccessScheduleEdit>,
    /// A FIXED product, which names it on invoices.
    product_id: Option<ProductId>,
    /// The lowest is drawn first; null: as if none had been given.
    #[serde(default)]
    priority: Nullable<InputNumber>,
    /// Which price is paid while it is drawn.
    rate_type: Option<CommitRateType>,
    /// Null: all products. Products, tags and specifiers are each replaced whole.
    #[serde(default)]
    applicable_product_ids: Nullable<Vec<ProductId>>,
    /// Null: no tags.
    #[serde(default)]
    applicable_product_tags: Nullable<Vec<String>>,
    /// Null: no specifiers.
    #[serde(default)]
    specifiers: Nullable<Vec<SpecifierInput>>,
    /// Of a customer's own, not of a POSTPAID commit: the contracts whose usage may draw it. Null: all.
    #[serde(default)]
    applicable_contract_ids: Nullable<Vec<ContractId>>,
    #[serde(default, rename = "hierarchy_configuration")]
    #[schemars(skip)]
    _hierarchy_configuration: Later,
}

/// What it shall pay for.
#[derive(Default)]
pub struct TargetingEdit {
    pub product_ids: Nullable<Vec<ProductId>>,
    pub product_tags: Nullable<Vec<String>>,
    pub specifiers: Nullable<Vec<SpecifierInput>>,
}

/// What finalized invoices hold fast of a commit or credit.
#[derive(Debug, Default)]
pub struct Settled {
    /// Segments that a finalized invoice drew.
    pub drawn: BTreeSet<SegmentId>,
    /// Payments that are on an invoice that is not a draft.
    pub invoiced: BTreeSet<ScheduleItemId>,
    /// Payments that are on a finalized invoice.
    pub finalized: BTreeSet<ScheduleItemId>,
}

impl From<CommonEdit> for BalanceEdit {
    fn from(edit: CommonEdit) -> Self {
        Self {
            name: edit.name,
            description: edit.description,
            product_id: edit.product_id,
            priority: edit.priority,
            rate_type: edit.rate_type,
            access_schedule: edit.access_schedule,
            targeting: TargetingEdit {
                product_ids: edit.applicable_product_ids,
                product_tags: edit.applicable_product_tags,
                specifiers: edit.specifiers,
            },
            applicable_contract_ids: edit.applicable_contract_ids,
            ..Self::default()
        }
    }
}

impl BalanceEdit {
    /// The commit or credit as it is to be, which is again one that could be made so. What it names is not looked at.
    ///
    /// 400 naming the field: also for one that took over value at a renewal, which cannot be edited, and for what a finalized
    /// invoice holds fast (documentation page on editing contracts).
    pub fn applied(self, balance: &Balance, settled: &Settled, ids: &Ids) -> Result<Balance, ApiError> {
        if balance.origin.is_some() {
            let reason = "what a renewal took over cannot be edited";
            return Err(ApiError::field(if balance.is_credit() { "credit_id" } else { "commit_id" }, reason));
        }
        let mut edited = balance.clone();
        self.change_contracts(&mut edited)?;
        let terms = &mut edited.terms;
        if let Some(access) = self.access_schedule {
            access.apply(terms, settled, ids)?;
        }
        if let Some(payments) = self.invoice_schedule {
            let unit = balance.unit.as_ref();
            payments.apply(terms, unit, settled, ids)?;
        }
        self.targeting.apply(&mut terms.targeting)?;
        if let Some(NonBlank(name)) = self.name {
            terms.name = Some(name);
        }
        terms.description = self.description.or(terms.description.take());
        terms.product_id = self.product_id.unwrap_or(terms.product_id);
        terms.rate_type = self.rate_type.unwrap_or(terms.rate_type);
        terms.priority = number(self.priority).applied_to(terms.priority.take());
        let whole = Decimal::from(1);
        if let Some(InputNumber(fraction)) = self.rollover_fraction.value()
            && (is_negative(fraction) || *fraction > whole)
        {
            return Err(ApiError::field("rollover_fraction", "must be from 0 to 1, such as 0.25 for 25 %"));
        }
        terms.rollover_fraction = number(self.rollover_fraction).applied_to(terms.rollover_fraction.take());
        check_payments(&edited)?;
        Ok(edited)
    }

    fn change_contracts(&self, balance: &mut Balance) -> Result<(), ApiError> {
        let is_of_contract = balance.contract_id.is_some();
        if let Some(id) = self.invoice_contract_id {
            if is_of_contract {
                let reason = "is for the commits of a customer; one of a contract is billed on that contract";
                return Err(ApiError::field("invoice_contract_id", reason));
            }
            balance.terms.invoice_contract_id = Some(id);
        }
        if !self.applicable_contract_ids.is_absent() {
            let refused = |reason: &str| Err(ApiError::field("applicable_contract_ids", reason));
            if is_of_contract {
                return refused(
                    "is for what is a customer's own; one of a contract is drawn by that contract",
                );
            }
            if balance.balance_type == BalanceType::Postpaid {
                return refused("cannot be changed of a POSTPAID commit");
            }
            balance.terms.applicable_contract_ids =
                once_each(self.applicable_contract_ids.value().cloned().unwrap_or_default());
        }
        Ok(())
    }
}

fn number(number: Nullable<InputNumber>) -> Nullable<Number> {
    match number {
        Nullable::Absent => Nullable::Absent,
        Nullable::Null => Nullable::Null,
        Nullable::Value(InputNumber(value)) => Nullable::Value(Number(value)),
    }
}

impl TargetingEdit {
    fn apply(self, current: &mut TargetingOfBalance) -> Result<(), ApiError> {
        let replaced =
            (!self.product_ids.is_absent(), !self.product_tags.is_absent(), !self.specifiers.is_absent());
        let asked = targeting(
            self.product_ids.applied_to(None).unwrap_or_default(),
            self.product_tags.applied_to(None).unwrap_or_default(),
            self.specifiers.applied_to(None).unwrap_or_default(),
        )?;
        if replaced.0 {
            current.product_ids = asked.product_ids;
        }
        if replaced.1 {
            current.product_tags = asked.product_tags;
        }
        if replaced.2 {
            current.specifiers = asked.specifiers;
        }
        let has_products = !current.product_ids.is_empty() || !current.product_tags.is_empty();
        if has_products && !current.specifiers.is_empty() {
            let reason = "cannot be combined with applicable_product_ids or applicable_product_tags; clear what is not \
                          wanted any more with null";
            return Err(ApiError::field("specifiers", reason));
        }
        Ok(())
    }
}

/// What a new commit must be like, too (reference on creating commits).
fn check_payments(balance: &Balance) -> Result<(), ApiError> {
    let terms = &balance.terms;
    let refused = |reason: &str| Err(ApiError::field("invoice_schedule", reason));
    let Some(payments) = terms.payments.as_ref().filter(|payments| !payments.items.is_empty()) else {
        return if balance.balance_type == BalanceType::Postpaid {
            refused("a POSTPAID commit keeps its payment")
        } else {
            Ok(())
        };
    };
    if !payments.do_not_invoice && terms.invoice_contract_id.is_none() {
        let reason = "is required with an invoice_schedule, unless that says do_not_invoice";
        return Err(ApiError::field("invoice_contract_id", reason));
    }
    if balance.balance_type != BalanceType::Postpaid {
        return Ok(());
    }
    let [segment] = terms.segments.as_slice() else {
        return Err(ApiError::field("access_schedule", "a POSTPAID commit has one segment"));
    };
    let [payment] = payments.items.as_slice() else {
        return refused("a POSTPAID commit has one payment");
    };
    if payment.amount() != segment.amount.0 {
        return refused("the amount of a POSTPAID commit must be that of its access_schedule");
    }
    if payment.dated_at < segment.ending_before {
        return refused("the true-up of a POSTPAID commit must not be dated before its access ends");
    }
    Ok(())
}
