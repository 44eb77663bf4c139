//! What an edit makes of the schedules of a commit or credit. Pure.

use schemars::JsonSchema;
use serde::Deserialize;

use super::edit::Settled;
use super::terms::{BalanceTerms, Payment, PaymentSchedule, Segment};
use crate::contract::scheduled_charge::{ITEMS_MAX, ItemPrice, item_price};
use crate::error::ApiError;
use crate::id::{Ids, ScheduleItemId, SegmentId};
use crate::money::{CreditType, InputNumber, Number, is_negative};
use crate::wire::{HourBoundary, Timestamp};

/// Most segments of one commit or credit, as when it is made.
const SEGMENTS_MAX: usize = 1000;

/// Segments to remove, to change and to add, in this order.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "UpdateAccessScheduleInput")]
pub struct AccessScheduleEdit {
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    add_schedule_items: Vec<NewSegment>,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    update_schedule_items: Vec<SegmentUpdate>,
    /// With their manual entries. Not those that a finalized invoice drew.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    remove_schedule_items: Vec<SegmentReference>,
}

#[derive(Deserialize, JsonSchema)]
struct NewSegment {
    amount: InputNumber,
    /// Inclusive; on the hour.
    starting_at: HourBoundary,
    /// Exclusive; on the hour.
    ending_before: HourBoundary,
}

/// What is left out stays.
#[derive(Deserialize, JsonSchema)]
struct SegmentUpdate {
    id: SegmentId,
    amount: Option<InputNumber>,
    starting_at: Option<HourBoundary>,
    ending_before: Option<HourBoundary>,
}

#[derive(Deserialize, JsonSchema)]
struct SegmentReference {
    id: SegmentId,
}

/// Payments to remove, to change and to add, in this order. None of those that are on an invoice that is not a draft can be
/// removed, and none on a finalized one changed. What is changed of one on a void invoice is billed when that is regenerated;
/// with another date it leaves the invoice, and is billed then.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(rename = "UpdateInvoiceScheduleInput")]
pub struct InvoiceScheduleEdit {
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    add_schedule_items: Vec<NewPayment>,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    update_schedule_items: Vec<PaymentUpdate>,
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    remove_schedule_items: Vec<PaymentReference>,
}

/// `amount`, or `unit_price` and `quantity`.
#[derive(Deserialize, JsonSchema)]
struct NewPayment {
    /// Past dates are invoiced at once.
    timestamp: Timestamp,
    amount: Option<InputNumber>,
    unit_price: Option<InputNumber>,
    quantity: Option<InputNumber>,
}

/// What is left out stays. An `amount` is the price of one.
#[derive(Deserialize, JsonSchema)]
struct PaymentUpdate {
    id: ScheduleItemId,
    timestamp: Option<Timestamp>,
    amount: Option<InputNumber>,
    unit_price: Option<InputNumber>,
    quantity: Option<InputNumber>,
}

#[derive(Deserialize, JsonSchema)]
struct PaymentReference {
    id: ScheduleItemId,
}

impl AccessScheduleEdit {
    pub fn apply(self, terms: &mut BalanceTerms, settled: &Settled, ids: &Ids) -> Result<(), ApiError> {
        for (index, SegmentReference { id }) in self.remove_schedule_items.iter().enumerate() {
            let path = format!("access_schedule.remove_schedule_items[{index}].id");
            known(&path, terms.segments.iter().any(|segment| segment.id == *id))?;
            if settled.drawn.contains(id) {
                return Err(ApiError::field(&path, "a finalized invoice drew this segment; void it before"));
            }
            remove_segment(terms, *id);
        }
        for (index, update) in self.update_schedule_items.into_iter().enumerate() {
            let path = format!("access_schedule.update_schedule_items[{index}]");
            let segment = terms.segments.iter_mut().find(|segment| segment.id == update.id);
            known(&format!("{path}.id"), segment.is_some())?;
            let Some(segment) = segment else { continue };
            if let Some(InputNumber(amount)) = update.amount {
                segment.amount = Number(amount);
            }
            segment.starting_at = update.starting_at.map_or(segment.starting_at, |start| start.0);
            segment.ending_before = update.ending_before.map_or(segment.ending_before, |end| end.0);
            check_segment(&path, segment)?;
        }
        for (index, new) in self.add_schedule_items.into_iter().enumerate() {
            let segment = Segment {
                id: ids.next(),
                amount: Number(new.amount.0),
                starting_at: new.starting_at.0,
                ending_before: new.ending_before.0,
            };
            check_segment(&format!("access_schedule.add_schedule_items[{index}]"), &segment)?;
            terms.segments.push(segment);
        }
        if terms.segments.is_empty() {
            return Err(ApiError::field("access_schedule", "one segment must be left at least"));
        }
        if terms.segments.len() > SEGMENTS_MAX {
            return Err(ApiError::field("access_schedule", format!("at most {SEGMENTS_MAX} segments")));
        }
        terms.segments.sort_by_key(|segment| (segment.starting_at, segment.id));
        Ok(())
    }
}

/// Removes a segment with its manual entries.
pub fn remove_segment(terms: &mut BalanceTerms, id: SegmentId) {
    terms.segments.retain(|segment| segment.id != id);
    terms.manual_entries.retain(|entry| entry.segment_id != id);
}

fn known(path: &str, is_known: bool) -> Result<(), ApiError> {
    if is_known { Ok(()) } else { Err(ApiError::field(path, "is none of its schedule")) }
}

fn check_segment(path: &str, segment: &Segment) -> Result<(), ApiError> {
    if segment.ending_before <= segment.starting_at {
        return Err(ApiError::field(&format!("{path}.ending_before"), "must be after starting_at"));
    }
    if is_negative(&segment.amount.0) {
        return Err(ApiError::field(&format!("{path}.amount"), "must not be negative"));
    }
    Ok(())
}

impl InvoiceScheduleEdit {
    /// `unit` is that of the access: payments that are the first of a commit are in it, or in USD where it is a custom one
    /// (our decision: an edit names no unit).
    pub fn apply(
        self,
        terms: &mut BalanceTerms,
        unit: Option<&CreditType>,
        settled: &Settled,
        ids: &Ids,
    ) -> Result<(), ApiError> {
        let had_payments = terms.payments.is_some();
        let mut payments = terms.payments.take().unwrap_or_else(|| PaymentSchedule {
            credit_type: unit
                .and_then(|unit| CreditType::find_fiat(unit.id).cloned())
                .unwrap_or_else(CreditType::usd),
            do_not_invoice: false,
            items: Vec::new(),
        });
        let items = &mut payments.items;
        for (index, PaymentReference { id }) in self.remove_schedule_items.iter().enumerate() {
            let path = format!("invoice_schedule.remove_schedule_items[{index}].id");
            known(&path, items.iter().any(|item| item.id == *id))?;
            if settled.invoiced.contains(id) {
                return Err(ApiError::field(
                    &path,
                    "this payment is on an invoice that is finalized or void",
                ));
            }
            items.retain(|item| item.id != *id);
        }
        for (index, update) in self.update_schedule_items.into_iter().enumerate() {
            let path = format!("invoice_schedule.update_schedule_items[{index}]");
            let item = items.iter_mut().find(|item| item.id == update.id);
            known(&format!("{path}.id"), item.is_some())?;
            if settled.finalized.contains(&update.id) {
                let reason = "this payment is on a finalized invoice; void it before";
                return Err(ApiError::field(&format!("{path}.id"), reason));
            }
            let Some(item) = item else { continue };
            update.apply(&path, item)?;
        }
        for (index, new) in self.add_schedule_items.into_iter().enumerate() {
            let path = format!("invoice_schedule.add_schedule_items[{index}]");
            let price =
                item_price(&path, new.amount.as_ref(), new.unit_price.as_ref(), new.quantity.as_ref())?;
            let item = payment(ids.next(), new.timestamp, price);
            check_payment(&path, &item)?;
            items.push(item);
        }
        if items.len() > ITEMS_MAX {
            return Err(ApiError::field("invoice_schedule", format!("at most {ITEMS_MAX} payments")));
        }
        // Without payments it still says in which currency those are that may be added, and whether they are invoiced.
        terms.payments = Some(payments).filter(|payments| had_payments || !payments.items.is_empty());
        Ok(())
    }
}

impl PaymentUpdate {
    fn apply(self, path: &str, item: &mut Payment) -> Result<(), ApiError> {
        if self.amount.is_some() && (self.unit_price.is_some() || self.quantity.is_some()) {
            let reason = "cannot be combined with unit_price or quantity";
            return Err(ApiError::field(&format!("{path}.amount"), reason));
        }
        if let Some(InputNumber(amount)) = self.amount {
            let ItemPrice { unit_price, quantity } = ItemPrice::of_amount(amount);
            (item.unit_price, item.quantity) = (Number(unit_price), Number(quantity));
        }
        if let Some(InputNumber(unit_price)) = self.unit_price {
            item.unit_price = Number(unit_price);
        }
        if let Some(InputNumber(quantity)) = self.quantity {
            item.quantity = Number(quantity);
        }
        item.dated_at = self.timestamp.map_or(item.dated_at, |timestamp| timestamp.0);
        check_payment(path, item)
    }
}

fn payment(id: ScheduleItemId, timestamp: Timestamp, price: ItemPrice) -> Payment {
    Payment {
        id,
        dated_at: timestamp.0,
        unit_price: Number(price.unit_price),
        quantity: Number(price.quantity),
    }
}

fn check_payment(path: &str, payment: &Payment) -> Result<(), ApiError> {
    if is_negative(&payment.unit_price.0) || is_negative(&payment.quantity.0) {
        return Err(ApiError::field(path, "must not be negative, which a commit does not take"));
    }
    Ok(())
}
