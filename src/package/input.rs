//! The terms of a package as a request brings them.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::terms::{ChargeTemplate, ItemTemplate, OverrideTemplate, StatementTemplate};
use crate::contract::rate_override::{
    Nameable, OVERRIDES_MAX, OverrideTier, OverrideType, OverwriteRateInput, RateTarget, RuleInput,
    SpecifierInput,
};
use crate::contract::scheduled_charge::{ITEMS_MAX, ItemPrice};
use crate::contract::{MultiplierPrioritization, StatementDay};
use crate::custom_field::{CustomFields, CustomFieldsInput};
use crate::error::ApiError;
use crate::id::{CreditTypeId, Ids, PackageId, ProductId};
use crate::money::{CreditType, InputNumber};
use crate::time::{Instant, RelativeDate, StatementFrequency};
use crate::wire::NonBlank;

/// When usage statements close; monthly on the first when omitted (schema `UsageStatementScheduleTemplateInput`).
#[derive(Deserialize, JsonSchema)]
pub struct StatementTemplateInput {
    frequency: StatementFrequency,
    /// FIRST_OF_MONTH when omitted. CUSTOM_DATE is the same as CONTRACT_START: a package has no date of its own.
    day: Option<StatementDay>,
    /// No usage statements for what lies before.
    invoice_generation_starting_at_offset: Option<RelativeDate>,
}

/// A payment on dates that are counted from the contract's start.
#[derive(Deserialize, JsonSchema)]
pub struct ScheduledChargeTemplateInput {
    /// A FIXED product.
    product_id: ProductId,
    schedule: RelativeSchedulePointInTimeInput,
    /// Shown on invoices; the product's name when omitted.
    name: Option<NonBlank>,
    /// Copied to the charges of each contract: each key must be on the list of this type and of `scheduled_charge`.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
}

#[derive(Deserialize, JsonSchema)]
struct RelativeSchedulePointInTimeInput {
    /// A currency; USD when omitted.
    credit_type_id: Option<CreditTypeId>,
    schedule_items: Vec<RelativeScheduleItemInput>,
}

/// Negative amounts give money back; for commits there are none.
#[derive(Deserialize, JsonSchema)]
pub struct RelativeScheduleItemInput {
    unit_price: InputNumber,
    quantity: InputNumber,
    /// From the contract's start.
    date_offset: RelativeDate,
}

/// A rule about prices or entitlement, beside the rate card (schema `OverrideTemplateInput`).
#[derive(Deserialize, JsonSchema)]
pub struct OverrideTemplateInput {
    /// From the contract's start.
    #[serde(alias = "starting_offset")]
    starting_at_offset: RelativeDate,
    /// From there; as long as the contract when omitted.
    duration: Option<RelativeDate>,
    /// OVERWRITE replaces the rate, MULTIPLIER multiplies it, TIERED multiplies it by quantity ranges; without a type
    /// only `entitled` counts.
    #[serde(rename = "type")]
    override_type: Option<OverrideType>,
    /// For MULTIPLIER; 0.8 is 20 % off.
    multiplier: Option<InputNumber>,
    /// The lowest goes first; greater than 0; for every TIERED, and under EXPLICIT for every MULTIPLIER.
    priority: Option<InputNumber>,
    /// For OVERWRITE.
    overwrite_rate: Option<OverwriteRateInput>,
    /// For TIERED; at least one.
    tiers: Option<Vec<OverrideTier>>,
    /// Whether the products may be billed; as the card says when omitted.
    entitled: Option<bool>,
    /// What meets any of these is meant; everything on the card where there is none.
    override_specifiers: Vec<SpecifierInput>,
    /// True: it prices only what a commit or credit pays for.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    is_commit_specific: bool,
    /// LIST_RATE when omitted; COMMIT_RATE only with `is_commit_specific`.
    #[serde(alias = "rate_target")]
    target: Option<RateTarget>,
    #[schemars(skip)]
    product_id: Option<IgnoredAny>,
    #[schemars(skip)]
    applicable_product_tags: Option<IgnoredAny>,
}

/// 400 for an offset that goes back.
pub fn offset(path: &str, offset: RelativeDate) -> Result<RelativeDate, ApiError> {
    if offset.value < 0 {
        return Err(ApiError::field(&format!("{path}.value"), "must not be negative"));
    }
    Ok(offset)
}

/// 400 for a length of time that is none.
pub fn duration(path: &str, duration: RelativeDate) -> Result<RelativeDate, ApiError> {
    if duration.value <= 0 {
        return Err(ApiError::field(&format!("{path}.value"), "must be greater than 0"));
    }
    Ok(duration)
}

/// The statement calendar of a request.
pub fn statements(input: Option<&StatementTemplateInput>) -> Result<StatementTemplate, ApiError> {
    let generation = input.and_then(|input| input.invoice_generation_starting_at_offset);
    let path = "usage_statement_schedule.invoice_generation_starting_at_offset";
    Ok(StatementTemplate {
        frequency: input.map_or(StatementFrequency::Monthly, |input| input.frequency),
        day: input.and_then(|input| input.day).unwrap_or(StatementDay::FirstOfMonth),
        invoice_generation_offset: generation.map(|generation| offset(path, generation)).transpose()?,
    })
}

/// The charges of a request, each with its custom fields. Products are not looked at.
pub fn charges(
    inputs: Vec<ScheduledChargeTemplateInput>,
    package_id: PackageId,
    ids: &Ids,
) -> Result<Vec<(ChargeTemplate, CustomFields)>, ApiError> {
    let mut left = ITEMS_MAX;
    let mut charges = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.into_iter().enumerate() {
        let path = format!("scheduled_charges[{index}]");
        let fields = input.custom_fields.checked().map_err(|error| error.within(&path))?;
        let unit = unit(&format!("{path}.schedule"), input.schedule.credit_type_id)?;
        let items =
            items(&format!("{path}.schedule.schedule_items"), input.schedule.schedule_items, left, ids)?;
        left -= items.len();
        let charge = ChargeTemplate {
            package_id,
            id: ids.next(),
            product_id: input.product_id,
            name: input.name.map(|name| name.0),
            unit,
            items,
        };
        charges.push((charge, fields));
    }
    Ok(charges)
}

/// The currency that a schedule at `path` names, USD where it names none; 400 for anything else.
pub fn unit(path: &str, id: Option<CreditTypeId>) -> Result<CreditType, ApiError> {
    let Some(id) = id else { return Ok(CreditType::usd()) };
    let refused =
        || ApiError::field(&format!("{path}.credit_type_id"), format!("no currency has the id {id}"));
    CreditType::find_fiat(id).cloned().ok_or_else(refused)
}

/// The payments of a schedule, of which there are at most `left`.
pub fn items(
    path: &str,
    inputs: Vec<RelativeScheduleItemInput>,
    left: usize,
    ids: &Ids,
) -> Result<Vec<ItemTemplate>, ApiError> {
    if inputs.is_empty() {
        return Err(ApiError::field(path, "must not be empty"));
    }
    if inputs.len() > left {
        let reason = format!("with it the package has more than {ITEMS_MAX} scheduled payments");
        return Err(ApiError::field(path, reason));
    }
    let item = |(index, input): (usize, RelativeScheduleItemInput)| {
        Ok(ItemTemplate {
            id: ids.next(),
            date_offset: offset(&format!("{path}[{index}].date_offset"), input.date_offset)?,
            price: ItemPrice { unit_price: input.unit_price.0, quantity: input.quantity.0 },
        })
    };
    inputs.into_iter().enumerate().map(item).collect()
}

/// The overrides of a request, each looked at by itself: neither products nor cards are.
pub fn overrides(
    inputs: Vec<OverrideTemplateInput>,
    package_id: PackageId,
    prioritization: MultiplierPrioritization,
    nameable: Nameable<'_>,
    ids: &Ids,
    now: Instant,
) -> Result<Vec<OverrideTemplate>, ApiError> {
    if inputs.len() > OVERRIDES_MAX {
        return Err(ApiError::field("overrides", format!("at most {OVERRIDES_MAX} in one request")));
    }
    let template = |(index, input): (usize, OverrideTemplateInput)| {
        let path = format!("overrides[{index}]");
        // Fields of a contract's override. Left out of account, they would make another rule of this one.
        let others = [
            ("product_id", input.product_id.is_some()),
            ("applicable_product_tags", input.applicable_product_tags.is_some()),
        ];
        if let Some((field, _)) = others.into_iter().find(|(_, is_given)| *is_given) {
            let reason = "is not for packages; say it in override_specifiers";
            return Err(ApiError::field(&format!("{path}.{field}"), reason));
        }
        let id = ids.next();
        Ok(OverrideTemplate {
            package_id,
            id,
            starting_at_offset: offset(&format!("{path}.starting_at_offset"), input.starting_at_offset)?,
            duration: input.duration.map(|given| duration(&format!("{path}.duration"), given)).transpose()?,
            rule: RuleInput::from(input)
                .validate(&path, prioritization, nameable)?
                .in_force(id, now, None, now),
        })
    };
    inputs.into_iter().enumerate().map(template).collect()
}

impl From<OverrideTemplateInput> for RuleInput {
    fn from(input: OverrideTemplateInput) -> Self {
        Self {
            override_type: input.override_type,
            multiplier: input.multiplier,
            priority: input.priority,
            overwrite_rate: input.overwrite_rate,
            tiers: input.tiers,
            entitled: input.entitled,
            product_id: None,
            applicable_product_tags: Vec::new(),
            override_specifiers: input.override_specifiers,
            is_commit_specific: input.is_commit_specific,
            target: input.target,
        }
    }
}
