//! The one calculation behind drafts and final invoices. Pure.

use super::model::{
    APPLICATION, AppliedCommitOrCredit, Invoice, InvoiceStatus, InvoiceType, LineItem, TierMetadata,
};
use crate::catalog::product::ProductType;
use crate::catalog::rate::Rate;
use crate::contract::balance::AccessType;
use crate::contract::{Contract, GRACE};
use crate::custom_field::CustomFields;
use crate::customer::billable_status::BillableStatus;
use crate::drawdown::Draw;
use crate::drawdown::calc::{Candidate, Conversion, Drawdown, conversions};
use crate::id::{InvoiceId, deterministic};
use crate::money::{CreditType, Decimal, Number, is_billable, is_positive, plain, zero};
use crate::rating::calc::{Charge, Cuts, OtherContracts, Payer, RatingFault, Stretch, TierPosition, rate};
use crate::rating::{Agreement, Terms, Usage};
use crate::time::{Instant, Period};

/// The id of a contract's usage invoice for the statement that starts at `period_start`.
#[must_use]
pub fn usage_invoice_id(contract: &Contract, period_start: Instant) -> InvoiceId {
    let (contract_id, unit) = (contract.id.to_string(), contract.unit.id.to_string());
    InvoiceId(deterministic("usage invoice", &[&contract_id, &unit, &period_start.to_rfc3339()]))
}

/// What an invoice that stands in for a void one is, beside its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regeneration {
    /// The void invoice that it was made from.
    pub from: InvoiceId,
    /// The first invoice of the same statement, or of the same date.
    pub original: InvoiceId,
    /// How many invoices that had before; from 1.
    pub generation: i32,
    pub issued_at: Instant,
}

impl Regeneration {
    /// Makes a draft of the statement, or of the date, the invoice that stands in for the void one.
    pub fn mark(&self, invoice: &mut Invoice) {
        invoice.id = self.id();
        invoice.issued_at = self.issued_at;
        invoice.regenerated_from_invoice_id = Some(self.from);
    }

    /// It follows from the number, so that the same invoice cannot be made twice.
    #[must_use]
    pub fn id(&self) -> InvoiceId {
        let (original, generation) = (self.original.to_string(), self.generation.to_string());
        InvoiceId(deterministic("regenerated invoice", &[&original, &generation]))
    }
}

/// A usage invoice and how it came about.
pub struct Calculated<'a> {
    pub invoice: Invoice,
    /// All of them where they are asked for, and then their lines are the first ones, in this order; else only those in other
    /// units than the currency, which are converted.
    pub stretches: Vec<Stretch<'a>>,
    /// Their lines follow.
    pub conversions: Vec<Conversion<'a>>,
    /// What it draws, one for each segment; below zero.
    pub draws: Vec<Draw>,
}

/// What an invoice is calculated from, beside the agreement.
pub struct Facts<'f, 'a> {
    /// What the contract bills, in the segments of the cuts.
    pub usage: &'a Usage,
    pub cuts: &'f Cuts,
    pub others: &'f OtherContracts<'a>,
    /// What the contract's usage may draw, in the order in which it does.
    pub candidates: &'f [Candidate<'f>],
    /// Whether all stretches are kept, for whoever explains their lines.
    pub keeps_stretches: bool,
}

/// The usage invoice of one statement period, as a draft of a billable customer that is read at `now`.
pub fn usage_invoice<'a>(
    contract: &Contract,
    agreement: &Agreement<'a>,
    facts: Facts<'_, 'a>,
    now: Instant,
) -> Result<Calculated<'a>, RatingFault> {
    let Facts { usage, cuts, others, candidates, keeps_stretches } = facts;
    let statement = &agreement.statement;
    let period = Period { start: statement.from, end: statement.counted.end };
    let mut invoice = empty_usage_invoice(contract, period);
    let mut drawdown = Drawdown::new(*agreement, candidates);
    let Terms { conversions: units, unit: currency, .. } = agreement.terms;
    let mut stretches = Vec::new();
    for of_product in rate(agreement, usage, cuts, others, &mut drawdown)? {
        for stretch in &of_product {
            for charge in stretch.billable_charges()? {
                invoice.line_items.extend(lines(stretch, charge, candidates, now));
            }
        }
        // What is in another unit is converted.
        stretches.extend(
            of_product.into_iter().filter(|stretch| keeps_stretches || stretch.pricing.unit != currency),
        );
    }
    let conversions = conversions(&mut drawdown, units, currency, &stretches, period);
    for conversion in &conversions {
        for charge in conversion.charges() {
            if !(is_billable(&charge.quantity) && is_billable(&charge.total)) {
                return Err(RatingFault::TooMuchOfUnit { unit: conversion.of.unit.name.clone() });
            }
            invoice.line_items.extend(lines_of_conversion(conversion, charge, candidates, currency));
        }
    }
    invoice.total = Number(owed_in(&invoice.credit_type, &invoice));
    if !is_billable(&invoice.total.0) {
        return Err(RatingFault::TooMuchOfUnit { unit: currency.name.clone() });
    }
    let draw_of = |(candidate, drawn): (&Candidate<'_>, Decimal)| Draw {
        balance_id: candidate.balance.id,
        segment_id: candidate.segment.id,
        invoice_id: invoice.id,
        contract_id: contract.id,
        amount: -drawn,
        dated_at: candidate.period.end.min(period.end),
    };
    let draws = drawdown.drawn().filter(|(_, drawn)| is_positive(drawn)).map(draw_of).collect();
    Ok(Calculated { invoice, stretches, conversions, draws })
}

/// What a charge of units costs in the currency of the invoice (documentation page on currencies and custom pricing units), and
/// the line that applies what pays for it.
fn lines_of_conversion(
    conversion: &Conversion<'_>,
    charge: Charge<'_>,
    candidates: &[Candidate<'_>],
    currency: &CreditType,
) -> Vec<LineItem> {
    let name = format!("{} conversion", conversion.of.unit.name);
    let payer = charge.payer;
    let line = LineItem {
        quantity: Some(Number(charge.quantity.into_owned())),
        unit_price: Some(Number(charge.unit_price.into_owned())),
        starting_at: Some(conversion.period.start),
        ending_before: Some(conversion.period.end),
        ..LineItem::new("cpu_conversion", name, charge.total, currency.clone())
    };
    with_payer(line, payer.map(|Payer(number)| &candidates[number]))
}

/// The line of a charge; where a balance pays for it, marked so, and behind it the line that applies the balance.
fn with_payer(line: LineItem, payer: Option<&Candidate<'_>>) -> Vec<LineItem> {
    let Some(candidate) = payer else { return vec![line] };
    let balance = candidate.balance;
    let marked = |line: LineItem| LineItem {
        commit_id: Some(balance.id),
        commit_segment_id: Some(candidate.segment.id),
        commit_type: Some(balance.balance_type.into()),
        applied_commit_or_credit: Some(AppliedCommitOrCredit {
            id: balance.id,
            balance_type: balance.balance_type,
            access_type: balance.access_type,
        }),
        ..line
    };
    let is_of_quantities = balance.access_type == AccessType::Quantity;
    let applied = LineItem {
        product_id: line.product_id,
        product_type: line.product_type.clone(),
        product_tags: line.product_tags.clone(),
        starting_at: line.starting_at,
        ending_before: line.ending_before,
        quantity_consumed: line.quantity.clone().filter(|_| is_of_quantities),
        ..LineItem::new(
            APPLICATION,
            format!("{} applied", candidate.name),
            -&line.total.0,
            line.credit_type.clone(),
        )
    };
    vec![marked(line), marked(applied)]
}

/// What the lines in a unit come to that are to be paid.
#[must_use]
pub fn owed_in(unit: &CreditType, invoice: &Invoice) -> Decimal {
    let lines = invoice.line_items.iter().filter(|line| line.credit_type == *unit && line.is_owed());
    lines.map(|line| &line.total.0).sum()
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
        regenerated_from_invoice_id: None,
        upbeat_failure: None,
    }
}

/// The lines of one charge of a stretch.
fn lines(
    stretch: &Stretch<'_>,
    charge: Charge<'_>,
    candidates: &[Candidate<'_>],
    now: Instant,
) -> Vec<LineItem> {
    let payer = charge.payer;
    let line = line(stretch, charge, now);
    with_payer(line, payer.map(|Payer(number)| &candidates[number]))
}

/// A line is called what its product is called at its last instant, and has the product's tags of now (schema
/// `InvoiceLineItem`: the current ones).
fn line(stretch: &Stretch<'_>, charge: Charge<'_>, now: Instant) -> LineItem {
    let Stretch { product, combination, period, pricing, .. } = stretch;
    let state = product.states.before(period.end);
    let (line_type, product_type) = match product.product_type {
        ProductType::Subscription => ("subscription", "SubscriptionProductListItem"),
        ProductType::Composite => ("usage", "CompositeProductListItem"),
        _ => ("usage", "UsageProductListItem"),
    };
    LineItem {
        quantity: Some(Number(charge.quantity.into_owned())),
        unit_price: Some(Number(charge.unit_price.into_owned())),
        product_id: Some(product.product_id),
        product_type: Some(product_type.to_owned()),
        product_tags: product.states.at(now).tags.clone().unwrap_or_default(),
        starting_at: Some(period.start),
        ending_before: Some(period.end),
        pricing_group_values: Some(combination.pricing.clone()).filter(|values| !values.is_empty()),
        presentation_group_values: Some(combination.presentation.clone()).filter(|values| !values.is_empty()),
        tier: charge.tier.map(|position| tier_metadata(*position)),
        is_prorated: stretch.is_prorated(),
        // Usage that no commit pays for carries the overage item where there is one (our decision).
        netsuite_item_id: state
            .netsuite_overage_item_id
            .clone()
            .filter(|_| charge.payer.is_none())
            .or_else(|| state.netsuite_internal_item_id.clone()),
        list_price: Some(Rate::new(&pricing.entry.price, &combination.pricing, pricing.list_unit)),
        ..LineItem::new(line_type, state.name.clone(), charge.total, stretch.unit_of(charge.payer).clone())
    }
}

fn tier_metadata(position: TierPosition) -> TierMetadata {
    TierMetadata {
        level: position.level,
        starting_at: plain(&position.starting_at),
        size: position.size.as_ref().map(plain),
    }
}
