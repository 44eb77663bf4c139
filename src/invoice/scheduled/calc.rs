//! The one calculation behind drafts and final invoices, for scheduled charges. Pure.

use std::collections::BTreeSet;

use super::FixedProducts;
use crate::catalog::product::Timeline;
use crate::contract::Contract;
use crate::contract::scheduled_charge::DueItem;
use crate::id::{CreditTypeId, InvoiceId, deterministic};
use crate::invoice::calc::empty_usage_invoice;
use crate::invoice::model::{COMMIT_PURCHASE, CommitType, Invoice, InvoiceType, LineItem, PostpaidCommit};
use crate::money::{CreditType, Number};
use crate::time::{Instant, Period};

/// The id of a contract's next scheduled invoice of one date and currency, where `taken` are ids of stored invoices: what is
/// agreed when the date's invoice is finalized already comes onto another one (documentation page on editing contracts).
#[must_use]
pub fn scheduled_invoice_id(
    contract: &Contract,
    unit: CreditTypeId,
    dated_at: Instant,
    taken: &BTreeSet<InvoiceId>,
) -> InvoiceId {
    let mut ids = scheduled_invoice_ids(contract, unit, dated_at);
    ids.find(|id| !taken.contains(id)).expect("there are more ids than invoices")
}

/// The ids that a contract's scheduled invoices of one date and currency have, in the order in which they are finalized.
pub fn scheduled_invoice_ids(
    contract: &Contract,
    unit: CreditTypeId,
    dated_at: Instant,
) -> impl Iterator<Item = InvoiceId> {
    let (contract_id, unit, dated_at) = (contract.id.to_string(), unit.to_string(), dated_at.to_rfc3339());
    (1_usize..).map(move |number| {
        let number = number.to_string();
        let mut parts = vec![contract_id.as_str(), &unit, &dated_at];
        if number != "1" {
            parts.push(&number);
        }
        InvoiceId(deterministic("scheduled invoice", &parts))
    })
}

/// The scheduled invoice of one date and currency, as a draft without lines. It is of no period: it starts, ends and is
/// issued on its date.
#[must_use]
pub fn empty_scheduled_invoice(
    contract: &Contract,
    unit: &CreditType,
    dated_at: Instant,
    id: InvoiceId,
) -> Invoice {
    Invoice {
        id,
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
/// every line. One that pays for a commit names the commit in place of the charge.
fn line(item: &DueItem, states: &Timeline, now: Instant) -> LineItem {
    let state = states.at(item.dated_at);
    let name = item.charge_name.clone().unwrap_or_else(|| state.name.clone());
    let line_type = if item.balance_id.is_some() { COMMIT_PURCHASE } else { "scheduled" };
    let true_up = item.balance_id.filter(|_| item.is_true_up);
    LineItem {
        quantity: Some(Number(item.price.quantity.clone())),
        unit_price: Some(Number(item.price.unit_price.clone())),
        product_id: Some(item.product_id),
        product_type: Some("FixedProductListItem".to_owned()),
        product_tags: states.at(now).tags.clone().unwrap_or_default(),
        scheduled_charge_id: Some(item.charge_id).filter(|_| item.balance_id.is_none()),
        commit_id: item.balance_id,
        commit_type: true_up.map(|_| CommitType::Postpaid),
        postpaid_commit: true_up.map(|id| PostpaidCommit { id }),
        netsuite_item_id: state.netsuite_internal_item_id.clone(),
        ..LineItem::new(line_type, name, item.price.amount(), item.unit.clone())
    }
}
