//! Edits: what production makes of a commit or credit and of its payments, beside what the model does.
//!
//! Everything that an edit names is there and not archived here: that production looks, and keeps what it made, stays with
//! the lives on a server.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use upbeat::contract::balance::{
    Balance, BalanceEdit, Changes, CommonEdit, InvoiceScheduleEdit, Settled, changes, charge_of,
};
use upbeat::contract::scheduled_charge::{
    ItemPrice, PaymentItem, ScheduleItem, ScheduledCharge, Standing, VoidChange,
};
use upbeat::id::{ContractId, ScheduleItemId, ScheduledChargeId, SegmentId};
use upbeat::money::zero;

use super::{
    Calculations, balance, balance_id, contract_id, difference, id, invoice_id, payment_id, product_id,
    rollovers, segment_id,
};
use crate::life::customer::{Customer, ItemState};
use crate::life::ledger::shown;
use crate::life::server::edit_body;
use crate::life::step::Edit;

/// What production makes of an edit: the commit or credit and its payments as they are to be, or why it refuses.
pub struct Edited {
    number: usize,
    outcome: Result<(Balance, Vec<PaymentItem>), String>,
}

impl Edited {
    pub fn is_of(&self, number: usize) -> bool {
        self.number == number
    }
}

impl Calculations {
    pub fn edited(&self, customer: &Customer, balances: &[Balance], number: usize, edit: &Edit) -> Edited {
        Edited { number, outcome: self.outcome_of_edit(customer, balances, number, edit) }
    }

    /// As the operation does it.
    fn outcome_of_edit(
        &self,
        customer: &Customer,
        balances: &[Balance],
        number: usize,
        edit: &Edit,
    ) -> Result<(Balance, Vec<PaymentItem>), String> {
        let request = edit_body(edit, &customer.balances[number], customer, |products| {
            products.iter().map(|product| product_id(*product).to_string()).collect()
        });
        let balance = &balances[number];
        may_be_edited(customer, balances, number, &request)?;
        let kept = payments(customer, number);
        let settled = self.settled(customer, number, &kept);
        let edited = parsed(request).applied(balance, &settled, &self.ids);
        let edited = edited.map_err(|error| error.to_string())?;
        let charge = charge_of(&edited);
        let billed_on = edited.terms.invoice_contract_id;
        let is_it = |contract: &usize| Some(contract_id(*contract)) == billed_on;
        let contract = (0..customer.contracts.len()).find(is_it);
        let is_over = contract.is_some_and(|contract| customer.contracts[contract].archived.is_some());
        let is_asked = billed_on != balance.terms.invoice_contract_id
            || (charge.is_some() && edited.terms.payments != balance.terms.payments);
        if is_over && is_asked {
            return Err("the contract that bills it is archived".to_owned());
        }
        let changes = changes(&edited, charge.as_ref(), &kept).map_err(|error| error.to_string())?;
        let payments = changed(customer, kept, changes, charge.as_ref());
        Ok((edited, payments))
    }

    fn settled(&self, customer: &Customer, number: usize, kept: &[PaymentItem]) -> Settled {
        let mut drawn = self.drawn_of_segments(customer, &[]);
        drawn.retain(|_, amount| *amount != zero());
        let own: BTreeSet<SegmentId> =
            customer.balances[number].segments.iter().map(|one| segment_id(one.number)).collect();
        let standing = |is_meant: fn(Standing) -> bool| {
            let meant = kept.iter().filter(move |payment| is_meant(payment.standing));
            meant.map(|payment| payment.item.id).collect()
        };
        Settled {
            drawn: drawn.into_keys().filter(|id| own.contains(id)).collect(),
            invoiced: standing(|standing| standing != Standing::Pending),
            finalized: standing(|standing| standing == Standing::Finalized),
        }
    }
}

/// The commits whose payments are not what production makes of their terms.
pub fn faults_of_payments(customer: &Customer) -> Vec<String> {
    let is_wrong = |number: &usize| {
        let balance = balance(customer, *number, &[]);
        let charge = charge_of(&balance);
        let changes = changes(&balance, charge.as_ref(), &payments(customer, *number));
        !changes.is_ok_and(|changes| changes.is_empty())
    };
    let all = 0..customer.balances.len();
    // What a renewal took over is paid as what is left comes to.
    let wrong = all.filter(|number| customer.balances[*number].taken.is_none()).filter(is_wrong);
    wrong
        .map(|number| format!("payments for {} are not those of it", customer.balances[number].name))
        .collect()
}

/// What is refused whatever the edit makes of it.
fn may_be_edited(
    customer: &Customer,
    balances: &[Balance],
    number: usize,
    request: &Value,
) -> Result<(), String> {
    let balance = &balances[number];
    let rollovers = rollovers::of(balances);
    let own = customer.balances[number].contract.map(|contract| &customer.contracts[contract]);
    let has_ended = own.and_then(|own| own.end).is_some_and(|end| end <= customer.now);
    if balance.archived_at.is_some() {
        return Err("it is archived".to_owned());
    }
    if !request["access_schedule"].is_null() && rollovers.is_final_origin(balance.id) {
        return Err("a renewal took over what was left of it for good".to_owned());
    }
    if !request["invoice_schedule"].is_null() && has_ended && rollovers.is_origin(balance.id) {
        return Err("a renewal takes over what is left of it, and its contract has ended".to_owned());
    }
    Ok(())
}

/// As the operation reads it.
fn parsed(mut request: Value) -> BalanceEdit {
    let schedule = request["invoice_schedule"].take();
    let invoice_schedule: Option<InvoiceScheduleEdit> = serde_json::from_value(schedule).expect("a schedule");
    let billed_on = request["invoice_contract_id"].take();
    let invoice_contract_id: Option<ContractId> = serde_json::from_value(billed_on).expect("a contract");
    let common: CommonEdit = serde_json::from_value(request).expect("an edit");
    BalanceEdit { invoice_schedule, invoice_contract_id, ..common.into() }
}

/// The payments for a commit, those that were removed too.
fn payments(customer: &Customer, number: usize) -> Vec<PaymentItem> {
    let own = customer.items.iter().enumerate().filter(|(_, item)| item.balance == Some(number));
    own.map(|(place, _)| payment(customer, number, place)).collect()
}

fn payment(customer: &Customer, number: usize, place: usize) -> PaymentItem {
    let item = &customer.items[place];
    let agreed = customer.balances[number].payments.iter().position(|one| one.item == Some(place));
    let invoice = match item.state {
        ItemState::On(invoice) => Some(invoice),
        ItemState::Pending | ItemState::Removed => None,
    };
    // A commit has a charge for each contract that it was billed on.
    let charge = charge_of(&balance(customer, number, &[]));
    let charge = charge.filter(|charge| charge.contract_id == contract_id(item.contract));
    PaymentItem {
        balance_id: balance_id(number),
        contract_id: contract_id(item.contract),
        charge_id: charge.map_or(ScheduledChargeId(Uuid::nil()), |charge| charge.id),
        standing: standing(customer, place),
        item: ScheduleItem {
            id: agreed.map_or(ScheduleItemId(id(8, place)), payment_id),
            dated_at: item.at,
            price: ItemPrice::of_amount(item.amount.clone()),
            invoice_id: invoice.map(invoice_id),
            invoiced_at: invoice.map(|_| item.at),
            removed_at: (item.state == ItemState::Removed).then_some(customer.now),
        },
    }
}

fn standing(customer: &Customer, place: usize) -> Standing {
    let item = &customer.items[place];
    let ItemState::On(invoice) = item.state else { return Standing::Pending };
    let archived = customer.contracts[item.contract].archived;
    match customer.invoices[invoice].voided {
        None => Standing::Finalized,
        Some(voided) if archived.is_some_and(|archived| archived <= voided) => Standing::VoidWithContract,
        Some(_) => Standing::Void,
    }
}

/// The payments once it is done with them what is to happen.
fn changed(
    customer: &Customer,
    kept: Vec<PaymentItem>,
    changes: Changes,
    charge: Option<&ScheduledCharge>,
) -> Vec<PaymentItem> {
    let billed_on = charge.map_or(contract_id(0), |charge| charge.contract_id);
    let Changes { added, changed, of_void, removed } = changes;
    let mut payments = kept;
    for payment in &mut payments {
        let id = payment.item.id;
        if let Some(item) = changed.iter().find(|item| item.id == id) {
            payment.item = item.clone();
            payment.contract_id = billed_on;
        }
        if let Some(VoidChange { item, stays, contract_id, .. }) =
            of_void.iter().find(|one| one.item.id == id)
        {
            let invoice_id = item.invoice_id.filter(|_| *stays);
            payment.contract_id = *contract_id;
            payment.item = ScheduleItem { invoice_id, ..item.clone() };
        }
        if removed.contains(&id.0) {
            payment.item.removed_at = Some(customer.now);
        }
    }
    let new = added.into_iter().map(|item| PaymentItem {
        balance_id: balance_id(0),
        contract_id: billed_on,
        charge_id: ScheduledChargeId(Uuid::nil()),
        item,
        standing: Standing::Pending,
    });
    payments.extend(new);
    payments
}

/// Payments as lines, in no order that means anything. What was to be paid once says nothing any more.
fn listed(payments: &[PaymentItem]) -> String {
    let line = |PaymentItem { item, contract_id, .. }: &PaymentItem| match (item.removed_at, item.invoice_id)
    {
        (Some(_), _) => "removed".to_owned(),
        (None, on) => {
            format!("{} {} for {contract_id:?} on {on:?}", item.dated_at, shown(&item.price.amount()))
        }
    };
    let mut lines: Vec<String> = payments.iter().map(line).collect();
    lines.sort();
    lines.join(", ")
}

impl Edited {
    /// What differs from the model, which has done it or refused it.
    pub fn faults(&self, customer: &Customer, is_done: bool) -> Vec<String> {
        let number = self.number;
        let name = &customer.balances[number].name;
        match &self.outcome {
            Err(_) if !is_done => Vec::new(),
            Err(reason) => vec![format!("edit of {name}: refused, as {reason}; done by the model")],
            Ok(_) if !is_done => vec![format!("edit of {name}: done; refused by the model")],
            Ok((edited, paid)) => {
                let expected = balance(customer, number, &[]);
                let edited = named(edited.clone(), customer, number);
                let mut faults: Vec<String> =
                    difference(format!("edit of {name}"), edited, expected).into_iter().collect();
                let (paid, expected) = (listed(paid), listed(&payments(customer, number)));
                if paid != expected {
                    faults.push(format!(
                        "payments for {name} after an edit\n    calculated: {paid}\n    expected:   {expected}"
                    ));
                }
                faults
            }
        }
    }
}

/// With the ids that the model gives to what is new.
fn named(mut edited: Balance, customer: &Customer, number: usize) -> Balance {
    let known: BTreeSet<SegmentId> =
        customer.balances.iter().flat_map(|one| &one.segments).map(|one| segment_id(one.number)).collect();
    let newest = customer.balances[number].segments.iter().map(|segment| segment.number).max();
    for segment in edited.terms.segments.iter_mut().filter(|segment| !known.contains(&segment.id)) {
        segment.id = segment_id(newest.expect("it has segments"));
    }
    let payments = edited.terms.payments.iter_mut().flat_map(|payments| &mut payments.items);
    for (place, payment) in payments.enumerate() {
        payment.id = payment_id(place);
    }
    edited
}
