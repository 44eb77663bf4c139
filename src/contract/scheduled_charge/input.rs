//! A scheduled charge as a request brings it (schemas `ScheduledChargeInput` and `SchedulePointInTimeInput`).

use schemars::JsonSchema;
use serde::Deserialize;

use super::calc::{AmountDistribution, ItemPrice, PlannedItem, distribute};
use super::store::{ScheduleItem, ScheduledCharge};
use crate::custom_field::{CustomFields, CustomFieldsInput};
use crate::error::ApiError;
use crate::id::{ContractId, CreditTypeId, Ids, ProductId};
use crate::money::{CreditType, InputNumber};
use crate::time::{Instant, RecurringFrequency};
use crate::wire::{NonBlank, Timestamp};

/// Most items that the schedules of one request have together (our decision: eight hundred years of months).
pub const ITEMS_MAX: usize = 10_000;

#[derive(Deserialize, JsonSchema)]
pub struct ScheduledChargeInput {
    /// A FIXED product.
    pub product_id: ProductId,
    schedule: SchedulePointInTimeInput,
    /// Shown on invoices; the product's name when omitted.
    name: Option<NonBlank>,
    netsuite_sales_order_id: Option<String>,
    /// Each key must be on the list of its type; values have at most 200 characters.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
}

/// Either `schedule_items` or `recurring_schedule`.
#[derive(Deserialize, JsonSchema)]
pub struct SchedulePointInTimeInput {
    /// A currency; USD when omitted.
    credit_type_id: Option<CreditTypeId>,
    schedule_items: Option<Vec<ScheduleItemInput>>,
    recurring_schedule: Option<RecurringScheduleInput>,
    /// True: the payments are recorded and no invoice is made; for commits only, as what is charged is invoiced.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    pub do_not_invoice: bool,
}

/// `amount`, or `unit_price` and `quantity`. Negative amounts give money back.
#[derive(Deserialize, JsonSchema)]
struct ScheduleItemInput {
    /// Past dates are invoiced at once.
    timestamp: Timestamp,
    amount: Option<InputNumber>,
    unit_price: Option<InputNumber>,
    quantity: Option<InputNumber>,
}

/// `amount`, or `unit_price` and `quantity`. Occurrences are counted from `starting_at` itself.
#[derive(Deserialize, JsonSchema)]
struct RecurringScheduleInput {
    starting_at: Timestamp,
    /// Exclusive.
    ending_before: Timestamp,
    frequency: RecurringFrequency,
    /// EACH: every payment has the amount. DIVIDED: it is split evenly, and the last payment takes what a division
    /// leaves. DIVIDED_ROUNDED: it is split into whole units (cents, in USD), and the last payment takes the remainder.
    amount_distribution: AmountDistribution,
    amount: Option<InputNumber>,
    unit_price: Option<InputNumber>,
    quantity: Option<InputNumber>,
}

/// The custom fields of each charge, in the order of the charges.
pub fn custom_fields(inputs: &[ScheduledChargeInput]) -> Result<Vec<CustomFields>, ApiError> {
    let checked = |(index, input): (usize, &ScheduledChargeInput)| {
        let fields = input.custom_fields.clone().checked();
        fields.map_err(|error| error.within(&format!("scheduled_charges[{index}]")))
    };
    inputs.iter().enumerate().map(checked).collect()
}

/// The charges of a new contract with all their items. Products are not looked at.
pub fn planned(
    inputs: Vec<ScheduledChargeInput>,
    contract_id: ContractId,
    ids: &Ids,
    now: Instant,
) -> Result<Vec<ScheduledCharge>, ApiError> {
    let mut left = ITEMS_MAX;
    let mut charges = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.into_iter().enumerate() {
        let path = format!("scheduled_charges[{index}].schedule");
        let unit = input.schedule.unit(&path)?;
        if input.schedule.do_not_invoice {
            let reason = "is for the payment schedules of commits only; leave out what is not to be charged";
            return Err(ApiError::field(&format!("{path}.do_not_invoice"), reason));
        }
        let planned = input.schedule.items(&path, left)?;
        left -= planned.len();
        charges.push(ScheduledCharge {
            contract_id,
            id: ids.next(),
            product_id: input.product_id,
            name: input.name.map(|name| name.0),
            unit,
            netsuite_sales_order_id: input.netsuite_sales_order_id,
            created_at: now,
            balance_id: None,
            is_true_up: false,
            items: planned.into_iter().map(|item| ScheduleItem::new(ids.next(), item)).collect(),
        });
    }
    Ok(charges)
}

impl SchedulePointInTimeInput {
    /// The currency of the amounts; `path` is where the schedule is in the request.
    pub fn unit(&self, path: &str) -> Result<CreditType, ApiError> {
        let Some(id) = self.credit_type_id else { return Ok(CreditType::usd()) };
        CreditType::find_fiat(id).cloned().ok_or_else(|| {
            ApiError::field(&format!("{path}.credit_type_id"), format!("no currency has the id {id}"))
        })
    }

    /// The items, of which there are at most `left`.
    pub fn items(&self, path: &str, left: usize) -> Result<Vec<PlannedItem>, ApiError> {
        let items = match (&self.schedule_items, &self.recurring_schedule) {
            (Some(items), None) => items_as_given(items, &format!("{path}.schedule_items"), left)?,
            (None, Some(recurring)) => recurring.items(&format!("{path}.recurring_schedule"), left)?,
            _ => return Err(ApiError::field(path, "give either schedule_items or recurring_schedule")),
        };
        Ok(items)
    }
}

fn items_as_given(
    items: &[ScheduleItemInput],
    path: &str,
    left: usize,
) -> Result<Vec<PlannedItem>, ApiError> {
    if items.is_empty() {
        return Err(ApiError::field(path, "must not be empty"));
    }
    if items.len() > left {
        return Err(too_many(path));
    }
    let item = |(index, item): (usize, &ScheduleItemInput)| {
        let path = format!("{path}[{index}]");
        let price = price(&path, item.amount.as_ref(), item.unit_price.as_ref(), item.quantity.as_ref())?;
        Ok(PlannedItem { dated_at: item.timestamp.0, price })
    };
    items.iter().enumerate().map(item).collect()
}

impl RecurringScheduleInput {
    fn items(&self, path: &str, left: usize) -> Result<Vec<PlannedItem>, ApiError> {
        let (start, end) = (self.starting_at.0, self.ending_before.0);
        if end <= start {
            return Err(ApiError::field(&format!("{path}.ending_before"), "must be after starting_at"));
        }
        let price = price(path, self.amount.as_ref(), self.unit_price.as_ref(), self.quantity.as_ref())?;
        let dates: Vec<Instant> = self.frequency.occurrences(start, end).take(left + 1).collect();
        if dates.len() > left {
            return Err(too_many(path));
        }
        Ok(distribute(&dates, &price, self.amount_distribution))
    }
}

fn too_many(path: &str) -> ApiError {
    ApiError::field(path, format!("with it the contract has more than {ITEMS_MAX} scheduled payments"))
}

/// `amount`, or `unit_price` and `quantity`; anything else is 400.
/// The price of an item: its amount, or its unit price and quantity; 400 for anything else.
pub fn price(
    path: &str,
    amount: Option<&InputNumber>,
    unit_price: Option<&InputNumber>,
    quantity: Option<&InputNumber>,
) -> Result<ItemPrice, ApiError> {
    let refused = |field: &str, reason: &str| Err(ApiError::field(&format!("{path}.{field}"), reason));
    match (amount, unit_price, quantity) {
        (Some(amount), None, None) => Ok(ItemPrice::of_amount(amount.0.clone())),
        (None, Some(unit_price), Some(quantity)) => {
            Ok(ItemPrice { unit_price: unit_price.0.clone(), quantity: quantity.0.clone() })
        }
        (None, None, None) => refused("amount", "give either amount, or unit_price and quantity"),
        (None, Some(_), None) => refused("quantity", "is required with unit_price"),
        (None, None, Some(_)) => refused("unit_price", "is required with quantity"),
        (Some(_), ..) => refused("amount", "cannot be combined with unit_price or quantity"),
    }
}
