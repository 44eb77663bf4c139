//! The one calculation behind drafts and final invoices. Pure.

use std::collections::BTreeMap;

use super::model::{Invoice, InvoiceStatus, InvoiceType, LineItem, TierMetadata};
use crate::catalog::rate::Rate;
use crate::contract::{Contract, GRACE};
use crate::custom_field::CustomFields;
use crate::customer::billable_status::BillableStatus;
use crate::id::{InvoiceId, ProductId, deterministic};
use crate::money::{CreditType, Number, plain, zero};
use crate::rating::calc::{Charge, TierPosition, rate, route};
use crate::rating::{ProductTerms, Terms, Usage};
use crate::time::{Instant, Period};

/// The id of a contract's usage invoice for the statement that starts at `period_start`.
#[must_use]
pub fn usage_invoice_id(contract: &Contract, period_start: Instant) -> InvoiceId {
    let (contract_id, unit) = (contract.id.to_string(), contract.unit.id.to_string());
    InvoiceId(deterministic("usage invoice", &[&contract_id, &unit, &period_start.to_rfc3339()]))
}

/// The usage invoice of one statement period, as a draft of a billable customer that is read at `now`. `counted` ends
/// with the period, and starts earlier where a part of it is on an earlier invoice; the pieces of `usage` are all that
/// the customer used, whichever contract bills it.
#[must_use]
pub fn usage_invoice(
    contract: &Contract,
    terms: &Terms,
    usage: Usage,
    cuts: &[Instant],
    counted: Period,
    period: Period,
    now: Instant,
) -> Invoice {
    let products: BTreeMap<ProductId, &ProductTerms> =
        terms.products.iter().map(|product| (product.product_id, product)).collect();
    let mut invoice = empty_usage_invoice(contract, period);
    let usage = route(terms, usage, &contract.usage_filters, cuts);
    for charge in rate(terms, &usage, cuts, counted, period.start) {
        invoice.total.0 += &charge.total;
        invoice.line_items.push(line(products[&charge.product_id], &terms.unit, charge, now));
    }
    invoice
}

/// A draft without lines.
#[must_use]
pub fn empty_usage_invoice(contract: &Contract, period: Period) -> Invoice {
    Invoice {
        id: usage_invoice_id(contract, period.start),
        customer_id: contract.customer_id,
        contract_id: contract.id,
        invoice_type: InvoiceType::Usage,
        status: InvoiceStatus::Draft,
        credit_type: contract.unit.clone(),
        start_timestamp: period.start,
        end_timestamp: period.end,
        issued_at: period.end + GRACE,
        total: Number(zero()),
        line_items: Vec::new(),
        net_payment_terms_days: contract.net_payment_terms_days.clone().map(Number),
        netsuite_sales_order_id: contract.netsuite_sales_order_id.clone(),
        salesforce_opportunity_id: contract.salesforce_opportunity_id.clone(),
        billable_status: BillableStatus::Billable,
        external_invoice: None,
        custom_fields: CustomFields::new(),
        customer_custom_fields: CustomFields::new(),
        contract_custom_fields: CustomFields::new(),
        upbeat_failure: None,
    }
}

/// A line is called what its product is called at its last instant, and has the product's tags of now (schema
/// `InvoiceLineItem`: the current ones).
fn line(product: &ProductTerms, unit: &CreditType, charge: Charge, now: Instant) -> LineItem {
    let state = product.states.before(charge.period.end);
    let list_price = Rate::new(&charge.list_price, &charge.combination.pricing, unit);
    LineItem {
        line_type: "usage".to_owned(),
        name: state.name.clone(),
        quantity: Number(charge.quantity),
        unit_price: Number(charge.unit_price),
        total: Number(charge.total),
        credit_type: unit.clone(),
        product_id: product.product_id,
        product_type: "UsageProductListItem".to_owned(),
        product_tags: product.states.at(now).tags.clone().unwrap_or_default(),
        product_custom_fields: CustomFields::new(),
        scheduled_charge_custom_fields: None,
        starting_at: Some(charge.period.start),
        ending_before: Some(charge.period.end),
        scheduled_charge_id: None,
        pricing_group_values: Some(charge.combination.pricing).filter(|values| !values.is_empty()),
        presentation_group_values: Some(charge.combination.presentation).filter(|values| !values.is_empty()),
        tier: charge.tier.map(tier_metadata),
        // Usage that no commit pays for carries the overage item where there is one (our decision).
        netsuite_item_id: state
            .netsuite_overage_item_id
            .clone()
            .or_else(|| state.netsuite_internal_item_id.clone()),
        list_price: Some(list_price),
    }
}

fn tier_metadata(position: TierPosition) -> TierMetadata {
    TierMetadata {
        level: position.level,
        starting_at: plain(&position.starting_at),
        size: position.size.as_ref().map(plain),
    }
}
