//! How the commits and credits of a package are shown.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::terms::{
    BalanceTemplate, BalanceTemplateTerms, PaymentTemplate, PaymentsTemplate, SegmentTemplate,
};
use super::view::{ProductName, RelativeScheduleItem, Shown};
use crate::contract::balance::{
    AccessType, BalanceType, CommitRateType, CommitType, CreditTag, SpecifierOfBalance,
};
use crate::custom_field::CustomFields;
use crate::id::{BalanceId, ProductId, SegmentId};
use crate::money::{CreditType, Number};
use crate::time::RelativeDate;

/// A commit (schema `CommitTemplate`).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CommitTemplate")]
pub struct CommitTemplateView {
    #[serde(rename = "type")]
    commit_type: CommitType,
    #[serde(flatten)]
    common: BalanceTemplateView,
    /// What is paid for it, or when the true-up falls; missing where it is given away.
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice_schedule: Option<CommitPayments>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollover_fraction: Option<Number>,
}

/// A credit (schema `CreditTemplate`).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CreditTemplate")]
pub struct CreditTemplateView {
    #[serde(rename = "type")]
    credit: CreditTag,
    #[serde(flatten)]
    common: BalanceTemplateView,
}

/// What both are shown with.
#[derive(Serialize, JsonSchema)]
struct BalanceTemplateView {
    id: BalanceId,
    product: ProductName,
    /// Shown on invoices; the product's name where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The lowest is drawn first; 100 where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Number>,
    rate_type: CommitRateType,
    access_schedule: RelativeScheduleDuration,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    applicable_product_ids: Vec<ProductId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    applicable_product_tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    specifiers: Vec<SpecifierOfBalance>,
    custom_fields: CustomFields,
}

/// When it may be drawn, and how much of it.
#[derive(Serialize, JsonSchema)]
struct RelativeScheduleDuration {
    /// Missing where the amounts are quantities.
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_type: Option<CreditType>,
    access_type: AccessType,
    schedule_items: Vec<SegmentView>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RelativeSegment")]
struct SegmentView {
    id: SegmentId,
    amount: Number,
    /// From the contract's start.
    starting_at_offset: RelativeDate,
    /// From there.
    duration: RelativeDate,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CommitRelativeSchedulePointInTime")]
struct CommitPayments {
    credit_type: CreditType,
    schedule_items: Vec<RelativeScheduleItem>,
    do_not_invoice: bool,
}

/// The commits and the credits of a package; of `fields` each has its own.
pub fn balances(
    templates: Vec<BalanceTemplate>,
    shown: &Shown,
    mut fields: BTreeMap<Uuid, CustomFields>,
) -> (Vec<CommitTemplateView>, Vec<CreditTemplateView>) {
    let (mut commits, mut credits) = (Vec::new(), Vec::new());
    for template in templates {
        let own = fields.remove(&template.id.0).unwrap_or_default();
        let commit_type = match template.balance_type {
            BalanceType::Prepaid => Some(CommitType::Prepaid),
            BalanceType::Postpaid => Some(CommitType::Postpaid),
            BalanceType::Credit => None,
        };
        match commit_type {
            Some(commit_type) => commits.push(CommitTemplateView {
                commit_type,
                invoice_schedule: template.terms.payments.clone().map(Into::into),
                rollover_fraction: template.terms.common.rollover_fraction.clone(),
                common: BalanceTemplateView::new(template, shown, own),
            }),
            None => credits.push(CreditTemplateView {
                credit: CreditTag::Credit,
                common: BalanceTemplateView::new(template, shown, own),
            }),
        }
    }
    (commits, credits)
}

impl BalanceTemplateView {
    fn new(template: BalanceTemplate, shown: &Shown, custom_fields: CustomFields) -> Self {
        let BalanceTemplateTerms { common, unit_id, segments, payments: _ } = template.terms;
        Self {
            id: template.id,
            product: shown.product(common.product_id),
            name: common.name,
            description: common.description,
            priority: common.priority,
            rate_type: common.rate_type,
            access_schedule: RelativeScheduleDuration {
                credit_type: unit_id.map(|id| shown.unit(id)),
                access_type: unit_id.map_or(AccessType::Quantity, |_| AccessType::Spend),
                schedule_items: segments.into_iter().map(Into::into).collect(),
            },
            applicable_product_ids: common.targeting.product_ids,
            applicable_product_tags: common.targeting.product_tags,
            specifiers: common.targeting.specifiers,
            custom_fields,
        }
    }
}

impl From<SegmentTemplate> for SegmentView {
    fn from(segment: SegmentTemplate) -> Self {
        let SegmentTemplate { id, amount, starting_at_offset, duration } = segment;
        Self { id, amount, starting_at_offset, duration }
    }
}

impl From<PaymentsTemplate> for CommitPayments {
    fn from(payments: PaymentsTemplate) -> Self {
        Self {
            credit_type: payments.credit_type,
            schedule_items: payments.items.into_iter().map(Into::into).collect(),
            do_not_invoice: payments.do_not_invoice,
        }
    }
}

impl From<PaymentTemplate> for RelativeScheduleItem {
    fn from(payment: PaymentTemplate) -> Self {
        let PaymentTemplate { id, date_offset, unit_price, quantity } = payment;
        Self { id, unit_price, quantity, date_offset }
    }
}
