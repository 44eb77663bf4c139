//! When a balance may be drawn, and what is paid for it, in a request.

use schemars::JsonSchema;
use serde::Deserialize;

use super::terms::{AccessType, Payment, PaymentSchedule, Segment};
use crate::contract::scheduled_charge::{ItemPrice, PlannedItem, SchedulePointInTimeInput};
use crate::error::ApiError;
use crate::id::{CreditTypeId, Ids};
use crate::money::{CreditType, Decimal, InputNumber, Number, is_negative};
use crate::wire::HourBoundary;

/// Most segments of one commit or credit (our decision: they are read together wherever it is drawn).
const SEGMENTS_MAX: usize = 1000;

/// When a commit or credit may be drawn, and how much of it (schema `ScheduleDurationInput`).
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ScheduleDurationInput")]
pub struct AccessScheduleInput {
    /// The unit of the amounts: a currency or a custom unit. USD (cents) when omitted; quantities have none.
    credit_type_id: Option<CreditTypeId>,
    /// SPEND (when omitted): it is drawn by what usage costs. QUANTITY: the amounts are units of usage, as lines count them; units
    /// of USAGE products are paid for whatever they cost, and what is free anyway draws none. Not of POSTPAID, and never changed.
    access_type: Option<AccessType>,
    /// At least one. Value does not flow from one to the next.
    schedule_items: Vec<SegmentInput>,
}

#[derive(Deserialize, JsonSchema)]
struct SegmentInput {
    amount: InputNumber,
    /// Inclusive; on the hour.
    starting_at: HourBoundary,
    /// Exclusive; on the hour.
    ending_before: HourBoundary,
}

/// What an access schedule says.
pub struct Access {
    /// Unset where the amounts are quantities.
    pub unit_id: Option<CreditTypeId>,
    /// By start and then by id.
    pub segments: Vec<Segment>,
}

impl AccessScheduleInput {
    pub fn checked(self, ids: &Ids) -> Result<Access, ApiError> {
        let unit_id = access_unit("access_schedule.credit_type_id", self.access_type, self.credit_type_id)?;
        check_amounts(self.schedule_items.iter().map(|item| &item.amount.0))?;
        let is_empty = |item: &SegmentInput| item.ending_before <= item.starting_at;
        if let Some(index) = self.schedule_items.iter().position(is_empty) {
            let path = format!("access_schedule.schedule_items[{index}].ending_before");
            return Err(ApiError::field(&path, "must be after starting_at"));
        }
        let mut items = self.schedule_items;
        items.sort_by_key(|item| item.starting_at);
        let segment = |item: SegmentInput| Segment {
            id: ids.next(),
            amount: Number(item.amount.0),
            starting_at: item.starting_at.0,
            ending_before: item.ending_before.0,
        };
        Ok(Access { unit_id, segments: items.into_iter().map(segment).collect() })
    }
}

/// 400 for an access schedule without items or with too many, and for an amount below zero, whatever its dates are said by.
pub fn check_amounts<'a>(amounts: impl ExactSizeIterator<Item = &'a Decimal>) -> Result<(), ApiError> {
    let path = "access_schedule.schedule_items";
    if amounts.len() == 0 {
        return Err(ApiError::field(path, "must not be empty"));
    }
    if amounts.len() > SEGMENTS_MAX {
        return Err(ApiError::field(path, format!("at most {SEGMENTS_MAX} in one schedule")));
    }
    for (index, amount) in amounts.enumerate() {
        if is_negative(amount) {
            return Err(ApiError::field(&format!("{path}[{index}].amount"), "must not be negative"));
        }
    }
    Ok(())
}

/// The unit that a field names of what is granted, USD where it names none. Quantities have none (SDK: types of access schedules),
/// and 400 where one is named.
pub fn access_unit(
    field: &str,
    access_type: Option<AccessType>,
    unit_id: Option<CreditTypeId>,
) -> Result<Option<CreditTypeId>, ApiError> {
    match (access_type.unwrap_or(AccessType::Spend), unit_id) {
        (AccessType::Spend, unit_id) => Ok(Some(unit_id.unwrap_or_else(|| CreditType::usd().id))),
        (AccessType::Quantity, None) => Ok(None),
        (AccessType::Quantity, Some(_)) => {
            let reason = "cannot be combined with access_type `QUANTITY`, whose amounts are units of usage";
            Err(ApiError::field(field, reason))
        }
    }
}

impl Access {
    /// What its amounts are of.
    #[must_use]
    pub fn access_type(&self) -> AccessType {
        self.unit_id.map_or(AccessType::Quantity, |_| AccessType::Spend)
    }

    #[must_use]
    pub fn total(&self) -> Decimal {
        self.segments.iter().map(|segment| &segment.amount.0).sum()
    }
}

/// The payments that an invoice schedule describes, of which there are at most `left`.
pub fn payment_schedule(
    input: &SchedulePointInTimeInput,
    ids: &Ids,
    left: usize,
) -> Result<PaymentSchedule, ApiError> {
    let path = "invoice_schedule";
    let credit_type = input.unit(path)?;
    let items = input.items(path, left)?;
    if let Some(index) = items.iter().position(|item| is_below_zero(&item.price)) {
        let reason = format!("payment {} of it is negative, which a commit does not take", index + 1);
        return Err(ApiError::field(path, reason));
    }
    let payment = |PlannedItem { dated_at, price }: PlannedItem| Payment {
        id: ids.next(),
        dated_at,
        unit_price: Number(price.unit_price),
        quantity: Number(price.quantity),
    };
    Ok(PaymentSchedule {
        credit_type,
        do_not_invoice: input.do_not_invoice,
        items: items.into_iter().map(payment).collect(),
    })
}

fn is_below_zero(price: &ItemPrice) -> bool {
    is_negative(&price.unit_price) || is_negative(&price.quantity)
}
