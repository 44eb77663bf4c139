//! The one calculation behind drafts and final invoices. Pure.

use super::model::{Invoice, InvoiceStatus, InvoiceType, LineItem, TierMetadata};
use crate::catalog::product::ProductType;
use crate::catalog::rate::Rate;
use crate::contract::{Contract, GRACE};
use crate::custom_field::CustomFields;
use crate::customer::billable_status::BillableStatus;
use crate::id::{InvoiceId, deterministic};
use crate::money::{CreditType, Decimal, Number, is_positive, plain, zero};
use crate::rating::calc::{Charge, Cuts, OtherContracts, RatingFault, Stretch, TierPosition, rate, route};
use crate::rating::{Agreement, UnitConversion, Usage};
use crate::time::{Instant, Period};

/// The id of a contract's usage invoice for the statement that starts at `period_start`.
#[must_use]
pub fn usage_invoice_id(contract: &Contract, period_start: Instant) -> InvoiceId {
    let (contract_id, unit) = (contract.id.to_string(), contract.unit.id.to_string());
    InvoiceId(deterministic("usage invoice", &[&contract_id, &unit, &period_start.to_rfc3339()]))
}

/// The usage invoice of one statement period, as a draft of a billable customer that is read at `now`, and the stretches
/// whose charges are its first lines, in their order. The pieces of `usage` are all that the customer used, whichever
/// contract bills it.
pub fn usage_invoice<'a>(
    contract: &Contract,
    agreement: &Agreement<'a>,
    usage: Usage,
    cuts: &Cuts,
    others: &OtherContracts<'a>,
    now: Instant,
) -> Result<(Invoice, Vec<Stretch<'a>>), RatingFault> {
    let statement = &agreement.statement;
    let period = Period { start: statement.from, end: statement.counted.end };
    let mut invoice = empty_usage_invoice(contract, period);
    let usage = route(agreement.terms, usage, &contract.usage_filters, cuts);
    let stretches = rate(agreement, &usage, cuts, others)?;
    for stretch in &stretches {
        let charges = stretch.billable_charges()?;
        invoice.line_items.extend(charges.into_iter().map(|charge| line(stretch, charge, now)));
    }
    let conversions = agreement.terms.conversions.iter();
    let conversions: Vec<LineItem> = conversions
        .filter_map(|conversion| conversion_line(conversion, &invoice, &agreement.terms.unit))
        .collect();
    invoice.line_items.extend(conversions);
    invoice.total = Number(owed_in(&invoice.credit_type, &invoice));
    Ok((invoice, stretches))
}

/// What the lines in a custom pricing unit cost in the currency of the invoice: one line for each unit of which anything
/// is owed (documentation page on currencies and custom pricing units).
fn conversion_line(
    conversion: &UnitConversion,
    invoice: &Invoice,
    currency: &CreditType,
) -> Option<LineItem> {
    let owed = owed_in(&conversion.unit, invoice);
    is_positive(&owed).then(|| LineItem {
        line_type: "cpu_conversion".to_owned(),
        name: format!("{} conversion", conversion.unit.name),
        total: Number(&owed * &conversion.fiat_per_unit),
        quantity: Number(owed),
        unit_price: Number(conversion.fiat_per_unit.clone()),
        credit_type: currency.clone(),
        product_id: None,
        product_type: None,
        product_tags: Vec::new(),
        product_custom_fields: CustomFields::new(),
        scheduled_charge_custom_fields: None,
        starting_at: Some(invoice.start_timestamp),
        ending_before: Some(invoice.end_timestamp),
        scheduled_charge_id: None,
        pricing_group_values: None,
        presentation_group_values: None,
        tier: None,
        is_prorated: None,
        netsuite_item_id: None,
        list_price: None,
    })
}

/// What the lines in a unit sum to.
#[must_use]
pub fn owed_in(unit: &CreditType, invoice: &Invoice) -> Decimal {
    invoice.line_items.iter().filter(|line| line.credit_type == *unit).map(|line| &line.total.0).sum()
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
fn line(stretch: &Stretch<'_>, charge: Charge, now: Instant) -> LineItem {
    let Stretch { product, combination, period, pricing, .. } = stretch;
    let state = product.states.before(period.end);
    let (line_type, product_type) = match product.product_type {
        ProductType::Subscription => ("subscription", "SubscriptionProductListItem"),
        ProductType::Composite => ("usage", "CompositeProductListItem"),
        _ => ("usage", "UsageProductListItem"),
    };
    LineItem {
        line_type: line_type.to_owned(),
        name: state.name.clone(),
        quantity: Number(charge.quantity),
        unit_price: Number(charge.unit_price),
        total: Number(charge.total),
        credit_type: pricing.unit.clone(),
        product_id: Some(product.product_id),
        product_type: Some(product_type.to_owned()),
        product_tags: product.states.at(now).tags.clone().unwrap_or_default(),
        product_custom_fields: CustomFields::new(),
        scheduled_charge_custom_fields: None,
        starting_at: Some(period.start),
        ending_before: Some(period.end),
        scheduled_charge_id: None,
        pricing_group_values: Some(combination.pricing.clone()).filter(|values| !values.is_empty()),
        presentation_group_values: Some(combination.presentation.clone()).filter(|values| !values.is_empty()),
        tier: charge.tier.map(tier_metadata),
        is_prorated: stretch.is_prorated(),
        // Usage that no commit pays for carries the overage item where there is one (our decision).
        netsuite_item_id: state
            .netsuite_overage_item_id
            .clone()
            .or_else(|| state.netsuite_internal_item_id.clone()),
        list_price: Some(Rate::new(&pricing.entry.price, &combination.pricing, pricing.list_unit)),
    }
}

fn tier_metadata(position: TierPosition) -> TierMetadata {
    TierMetadata {
        level: position.level,
        starting_at: plain(&position.starting_at),
        size: position.size.as_ref().map(plain),
    }
}
