//! The true-up as an invoice. Pure.

use std::collections::BTreeSet;

use crate::contract::Contract;
use crate::contract::balance::{Balance, TrueUp, charge_of};
use crate::contract::scheduled_charge::{DueItem, ItemPrice};
use crate::id::{BalanceId, InvoiceId, deterministic};
use crate::invoice::model::Invoice;
use crate::invoice::scheduled::FixedProducts;
use crate::invoice::scheduled::calc::{add_charges, empty_scheduled_invoice};
use crate::money::Decimal;
use crate::time::Instant;

/// The id of the next true-up invoice of a commit, where `taken` are ids of stored invoices: one that its true-up left, as it is
/// void and the true-up is of another date or contract now, keeps its own.
#[must_use]
pub fn true_up_invoice_id(balance_id: BalanceId, taken: &BTreeSet<InvoiceId>) -> InvoiceId {
    let mut ids = true_up_invoice_ids(balance_id);
    ids.find(|id| !taken.contains(id)).expect("there are more ids than invoices")
}

/// The ids that the true-up invoices of a commit have, in the order in which they are made; mostly there is one at most.
pub fn true_up_invoice_ids(balance_id: BalanceId) -> impl Iterator<Item = InvoiceId> {
    let balance_id = balance_id.to_string();
    (1_usize..).map(move |number| {
        let number = number.to_string();
        let mut parts = vec![balance_id.as_str()];
        if number != "1" {
            parts.push(&number);
        }
        InvoiceId(deterministic("true-up invoice", &parts))
    })
}

/// The draft without its line. It is of no period: it starts and ends on its date.
#[must_use]
pub fn empty_true_up_invoice(
    contract: &Contract,
    balance: &Balance,
    true_up: &TrueUp,
    taken: &BTreeSet<InvoiceId>,
) -> Option<Invoice> {
    let unit = &balance.terms.payments.as_ref()?.credit_type;
    let id = true_up_invoice_id(balance.id, taken);
    let empty = empty_scheduled_invoice(contract, unit, true_up.dated_at, id);
    Some(Invoice { issued_at: true_up.due_at, ..empty })
}

/// What its line is made of, where so much is short: the item of the commit's charge, at another price.
#[must_use]
pub fn due_item(balance: &Balance, true_up: &TrueUp, short: Decimal) -> Option<DueItem> {
    let charge = charge_of(balance)?;
    Some(DueItem {
        contract_id: charge.contract_id,
        id: charge.items.first()?.id,
        charge_id: charge.id,
        charge_name: charge.name,
        product_id: charge.product_id,
        unit: charge.unit,
        dated_at: true_up.dated_at,
        price: ItemPrice::of_amount(short),
        balance_id: charge.balance_id,
        is_true_up: charge.is_true_up,
    })
}

/// The true-up invoice as a draft of a billable customer that is read at `now`.
#[must_use]
pub fn true_up_invoice(empty: Invoice, item: DueItem, products: &FixedProducts, now: Instant) -> Invoice {
    let mut invoice = empty;
    add_charges(&mut invoice, &[item], products, now);
    invoice
}
