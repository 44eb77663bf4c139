//! How a scheduled charge is shown inside its contract (schemas `ScheduledCharge` and `SchedulePointInTime`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::store::{ScheduleItem, ScheduledCharge};
use crate::custom_field::CustomFields;
use crate::id::{InvoiceId, ProductId, ScheduleItemId, ScheduledChargeId};
use crate::money::{CreditType, Number};
use crate::time::Instant;

#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "ScheduledCharge")]
pub struct ScheduledChargeView {
    id: ScheduledChargeId,
    product: ProductName,
    schedule: SchedulePointInTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    netsuite_sales_order_id: Option<String>,
    custom_fields: CustomFields,
}

#[derive(Clone, Serialize, JsonSchema)]
struct ProductName {
    id: ProductId,
    name: String,
}

#[derive(Clone, Serialize, JsonSchema)]
struct SchedulePointInTime {
    credit_type: CreditType,
    schedule_items: Vec<ScheduleItemView>,
}

#[derive(Clone, Serialize, JsonSchema)]
#[schemars(rename = "ScheduleItem")]
struct ScheduleItemView {
    id: ScheduleItemId,
    /// Null until the item is on an invoice that is not a draft.
    invoice_id: Option<InvoiceId>,
    /// `unit_price × quantity`.
    amount: Number,
    unit_price: Number,
    quantity: Number,
    timestamp: Instant,
}

/// Which items of a charge to show.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Items {
    /// Every one that was agreed.
    Agreed,
    /// Those that are not removed.
    Standing,
}

impl ScheduledChargeView {
    #[must_use]
    pub fn new(
        charge: &ScheduledCharge,
        product_names: &BTreeMap<ProductId, String>,
        custom_fields: CustomFields,
        items: Items,
    ) -> Self {
        let shown = |item: &&ScheduleItem| items == Items::Agreed || item.removed_at.is_none();
        Self {
            id: charge.id,
            product: ProductName {
                id: charge.product_id,
                name: product_names.get(&charge.product_id).cloned().unwrap_or_default(),
            },
            schedule: SchedulePointInTime {
                credit_type: charge.unit.clone(),
                schedule_items: charge.items.iter().filter(shown).map(ScheduleItemView::from).collect(),
            },
            name: charge.name.clone(),
            netsuite_sales_order_id: charge.netsuite_sales_order_id.clone(),
            custom_fields,
        }
    }
}

impl From<&ScheduleItem> for ScheduleItemView {
    fn from(item: &ScheduleItem) -> Self {
        Self {
            id: item.id,
            invoice_id: item.invoice_id,
            amount: Number(item.price.amount()),
            unit_price: Number(item.price.unit_price.clone()),
            quantity: Number(item.price.quantity.clone()),
            timestamp: item.dated_at,
        }
    }
}
