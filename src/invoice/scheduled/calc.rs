//! The one calculation behind drafts and final invoices, for scheduled charges. Pure.

use super::FixedProducts;
use crate::catalog::product::Timeline;
use crate::contract::Contract;
use crate::contract::scheduled_charge::DueItem;
use crate::custom_field::CustomFields;
use crate::id::{CreditTypeId, InvoiceId, deterministic};
use crate::invoice::calc::empty_usage_invoice;
use crate::invoice::model::{Invoice, InvoiceType, LineItem};
use crate::money::{CreditType, Number};
use crate::time::{Instant, Period};

/// The id of a contract's scheduled invoice of one date and currency.
#[must_use]
pub fn scheduled_invoice_id(contract: &Contract, unit: CreditTypeId, dated_at: Instant) -> InvoiceId {
    let (contract_id, unit) = (contract.id.to_string(), unit.to_string());
    InvoiceId(deterministic("scheduled invoice", &[&contract_id, &unit, &dated_at.to_rfc3339()]))
}

/// The scheduled invoice of one date and currency, as a draft without lines. It is of no period: it starts, ends and is
/// issued on its date.
#[must_use]
pub fn empty_scheduled_invoice(contract: &Contract, unit: &CreditType, dated_at: Instant) -> Invoice {
    Invoice {
        id: scheduled_invoice_id(contract, unit.id, dated_at),
        invoice_type: InvoiceType::Scheduled,
        credit_type: unit.clone(),
        issued_at: dated_at,
        ..empty_usage_invoice(contract, Period { start: dated_at, end: dated_at })
    }
}

/// Adds a line for each item, after the lines that are there, as they are read at `now`.
pub fn add_charges(invoice: &mut Invoice, items: &[DueItem], products: &FixedProducts, now: Instant) {
    for item in items {
        let line = line(item, products.states(item.product_id), now);
        invoice.total.0 += &line.total.0;
        invoice.line_items.push(line);
    }
}

/// A line without a name of its own is called what its product is called at its date; its tags are those of now, as on
/// every line.
fn line(item: &DueItem, states: &Timeline, now: Instant) -> LineItem {
    let state = states.at(item.dated_at);
    LineItem {
        line_type: "scheduled".to_owned(),
        name: item.charge_name.clone().unwrap_or_else(|| state.name.clone()),
        quantity: Number(item.price.quantity.clone()),
        unit_price: Number(item.price.unit_price.clone()),
        total: Number(item.price.amount()),
        credit_type: item.unit.clone(),
        product_id: Some(item.product_id),
        product_type: Some("FixedProductListItem".to_owned()),
        product_tags: states.at(now).tags.clone().unwrap_or_default(),
        product_custom_fields: CustomFields::new(),
        scheduled_charge_custom_fields: None,
        starting_at: None,
        ending_before: None,
        scheduled_charge_id: Some(item.charge_id),
        pricing_group_values: None,
        presentation_group_values: None,
        tier: None,
        is_prorated: None,
        netsuite_item_id: state.netsuite_internal_item_id.clone(),
        list_price: None,
    }
}
