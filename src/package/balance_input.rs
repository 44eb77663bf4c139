//! The commits and credits of a package as a request brings them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::calc;
use super::input::{RelativeScheduleItemInput, duration, items, offset, unit};
use super::terms::{
    BalanceTemplate, BalanceTemplateTerms, ItemTemplate, PaymentTemplate, PaymentsTemplate, SegmentTemplate,
};
use crate::contract::balance::{
    AccessType, BALANCES_MAX, BalanceType, CommitRateType, CommitType, CommonInput, Promise, SpecifierInput,
    access_unit, check_amounts,
};
use crate::custom_field::{CustomFields, CustomFieldsInput};
use crate::error::ApiError;
use crate::id::{BalanceId, CreditTypeId, Ids, ProductId};
use crate::money::{InputNumber, Number, is_negative};
use crate::time::RelativeDate;
use crate::wire::NonBlank;

/// A commit of a package's contracts (schema `CommitTemplateInput`).
#[derive(Deserialize, JsonSchema)]
pub struct CommitTemplateInput {
    /// PREPAID is paid for in advance or given away; POSTPAID is a promise to spend.
    #[serde(rename = "type")]
    commit_type: CommitType,
    /// A FIXED product, which names the purchase or the true-up on invoices.
    product_id: ProductId,
    /// When it may be drawn; what lies beyond the contract's end is cut.
    access_schedule: RelativeScheduleDurationInput,
    /// What is paid for it; for POSTPAID when the true-up falls, and required there. Without one it is given away.
    invoice_schedule: Option<CommitPaymentsInput>,
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
    /// Copied to the commit of each contract: each key must be on the list of this type and of `commit`.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
    /// By it the overrides of the same request may name the commit.
    temporary_id: Option<NonBlank>,
}

/// A credit of a package's contracts (schema `CreditTemplateInput`).
#[derive(Deserialize, JsonSchema)]
pub struct CreditTemplateInput {
    /// A FIXED product, which names the credit.
    product_id: ProductId,
    /// When it may be drawn; what lies beyond the contract's end is cut.
    access_schedule: RelativeScheduleDurationInput,
    /// Shown on invoices; the product's name when omitted.
    name: Option<NonBlank>,
    /// Not shown on invoices.
    description: Option<String>,
    /// The lowest is drawn first; 100 when omitted.
    priority: Option<InputNumber>,
    /// Which price is paid while it is drawn; LIST_RATE when omitted.
    rate_type: Option<CommitRateType>,
    /// What it pays for: these products, or those with any of the tags; everything when neither is given.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_ids: Vec<ProductId>,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    applicable_product_tags: Vec<String>,
    /// In place of both: what meets any of these.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    specifiers: Vec<SpecifierInput>,
    /// Copied to the credit of each contract: each key must be on the list of this type and of `contract_credit`.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
}

/// When a commit or credit may be drawn, and how much of it.
#[derive(Deserialize, JsonSchema)]
struct RelativeScheduleDurationInput {
    /// The unit of the amounts: a currency or a custom unit. USD (cents) when omitted; quantities have none.
    credit_type_id: Option<CreditTypeId>,
    /// SPEND (when omitted): it is drawn by what usage costs. QUANTITY: the amounts are units of usage. Not of POSTPAID.
    access_type: Option<AccessType>,
    /// At least one. Value does not flow from one to the next.
    schedule_items: Vec<SegmentTemplateInput>,
}

#[derive(Deserialize, JsonSchema)]
struct SegmentTemplateInput {
    amount: InputNumber,
    /// From the contract's start.
    starting_at_offset: RelativeDate,
    /// From there.
    duration: RelativeDate,
}

/// What is paid for a commit.
#[derive(Deserialize, JsonSchema)]
struct CommitPaymentsInput {
    /// A currency; USD when omitted.
    credit_type_id: Option<CreditTypeId>,
    /// None of them negative.
    schedule_items: Vec<RelativeScheduleItemInput>,
    /// True: the payments are recorded and no invoice is made.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    do_not_invoice: bool,
}

/// The commits and credits of a request.
pub struct BalanceTemplates {
    /// First the commits, each with its custom fields.
    pub templates: Vec<(BalanceTemplate, CustomFields)>,
    /// The commits that the overrides of the same request may name so.
    pub by_temporary_id: BTreeMap<String, BalanceId>,
}

/// The fields of both.
struct TemplateInput {
    balance_type: BalanceType,
    common: CommonInput,
    access: RelativeScheduleDurationInput,
    payments: Option<CommitPaymentsInput>,
    custom_fields: CustomFieldsInput,
}

/// The commits and credits of a package, each looked at by itself: products and custom units are not. `left` is how many
/// payments the request may still plan.
pub fn balances(
    commits: Vec<CommitTemplateInput>,
    credits: Vec<CreditTemplateInput>,
    mut left: usize,
    ids: &Ids,
) -> Result<BalanceTemplates, ApiError> {
    for (field, count) in [("commits", commits.len()), ("credits", credits.len())] {
        if count > BALANCES_MAX {
            return Err(ApiError::field(field, format!("at most {BALANCES_MAX} in one request")));
        }
    }
    let mut templates = Vec::with_capacity(commits.len() + credits.len());
    let mut by_temporary_id = BTreeMap::new();
    for (index, mut commit) in commits.into_iter().enumerate() {
        let path = format!("commits[{index}]");
        let temporary_id = commit.temporary_id.take();
        let (template, fields) =
            TemplateInput::from(commit).template(left, ids).map_err(|error| error.within(&path))?;
        left -= template.terms.payments.as_ref().map_or(0, |payments| payments.items.len());
        if let Some(NonBlank(temporary_id)) = temporary_id
            && by_temporary_id.insert(temporary_id, template.id).is_some()
        {
            let reason = "another commit of the request has it";
            return Err(ApiError::field(&format!("{path}.temporary_id"), reason));
        }
        templates.push((template, fields));
    }
    for (index, credit) in credits.into_iter().enumerate() {
        let template = TemplateInput::from(credit).template(left, ids);
        templates.push(template.map_err(|error| error.within(&format!("credits[{index}]")))?);
    }
    Ok(BalanceTemplates { templates, by_temporary_id })
}

impl From<CommitTemplateInput> for TemplateInput {
    fn from(input: CommitTemplateInput) -> Self {
        Self {
            balance_type: input.commit_type.into(),
            common: CommonInput {
                product_id: input.product_id,
                name: input.name,
                description: input.description,
                priority: input.priority,
                rate_type: input.rate_type,
                rollover_fraction: input.rollover_fraction,
                applicable_product_ids: input.applicable_product_ids,
                applicable_product_tags: input.applicable_product_tags,
                specifiers: input.specifiers,
            },
            access: input.access_schedule,
            payments: input.invoice_schedule,
            custom_fields: input.custom_fields,
        }
    }
}

impl From<CreditTemplateInput> for TemplateInput {
    fn from(input: CreditTemplateInput) -> Self {
        Self {
            balance_type: BalanceType::Credit,
            common: CommonInput {
                product_id: input.product_id,
                name: input.name,
                description: input.description,
                priority: input.priority,
                rate_type: input.rate_type,
                rollover_fraction: None,
                applicable_product_ids: input.applicable_product_ids,
                applicable_product_tags: input.applicable_product_tags,
                specifiers: input.specifiers,
            },
            access: input.access_schedule,
            payments: None,
            custom_fields: input.custom_fields,
        }
    }
}

impl TemplateInput {
    fn template(self, left: usize, ids: &Ids) -> Result<(BalanceTemplate, CustomFields), ApiError> {
        let field = "access_schedule.credit_type_id";
        let unit_id = access_unit(field, self.access.access_type, self.access.credit_type_id)?;
        let segments = segments(self.access.schedule_items, ids)?;
        let payments = self.payments.map(|payments| payments.checked(left, ids)).transpose()?;
        let terms = BalanceTemplateTerms { common: self.common.checked()?, unit_id, segments, payments };
        if self.balance_type == BalanceType::Postpaid {
            check_promise(&terms)?;
        }
        let template = BalanceTemplate { id: ids.next(), balance_type: self.balance_type, terms };
        Ok((template, self.custom_fields.checked()?))
    }
}

fn segments(inputs: Vec<SegmentTemplateInput>, ids: &Ids) -> Result<Vec<SegmentTemplate>, ApiError> {
    check_amounts(inputs.iter().map(|input| &input.amount.0))?;
    let segment = |(index, input): (usize, SegmentTemplateInput)| {
        let path = |field: &str| format!("access_schedule.schedule_items[{index}].{field}");
        Ok(SegmentTemplate {
            id: ids.next(),
            amount: Number(input.amount.0),
            starting_at_offset: offset(&path("starting_at_offset"), input.starting_at_offset)?,
            duration: duration(&path("duration"), input.duration)?,
        })
    };
    inputs.into_iter().enumerate().map(segment).collect()
}

impl CommitPaymentsInput {
    fn checked(self, left: usize, ids: &Ids) -> Result<PaymentsTemplate, ApiError> {
        let credit_type = unit("invoice_schedule", self.credit_type_id)?;
        let path = "invoice_schedule.schedule_items";
        let items = items(path, self.schedule_items, left, ids)?;
        for (index, item) in items.iter().enumerate() {
            for (field, number) in
                [("unit_price", &item.price.unit_price), ("quantity", &item.price.quantity)]
            {
                if is_negative(number) {
                    let reason = "must not be negative, which a commit does not take";
                    return Err(ApiError::field(&format!("{path}[{index}].{field}"), reason));
                }
            }
        }
        let payment = |item: ItemTemplate| PaymentTemplate {
            id: item.id,
            date_offset: item.date_offset,
            unit_price: Number(item.price.unit_price),
            quantity: Number(item.price.quantity),
        };
        let items = items.into_iter().map(payment).collect();
        Ok(PaymentsTemplate { credit_type, do_not_invoice: self.do_not_invoice, items })
    }
}

/// 400 for a promise that no contract could have. Where it depends on the contract's start whether the true-up falls before the
/// end of access, as of 30 days and a month, a contract with such a start is refused.
fn check_promise(terms: &BalanceTemplateTerms) -> Result<(), ApiError> {
    let billed = terms.payments.as_ref().map(|payments| {
        (payments.credit_type.id, payments.items.iter().map(PaymentTemplate::amount).collect())
    });
    let granted = terms.segments.iter().map(|segment| &segment.amount.0).collect();
    Promise { unit_id: terms.unit_id, granted, billed }.check()?;
    let payments = terms.payments.iter().flat_map(|payments| &payments.items);
    for (segment, payment) in terms.segments.iter().zip(payments) {
        let access = (segment.starting_at_offset, segment.duration);
        if calc::is_always_before_the_end(payment.date_offset, access) {
            let path = "invoice_schedule.schedule_items[0].date_offset";
            let reason =
                "the true-up of a POSTPAID commit must not be dated before the end of access_schedule";
            return Err(ApiError::field(path, reason));
        }
    }
    Ok(())
}
