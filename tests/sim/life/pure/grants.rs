//! Recurring commits and credits: what production makes of them and when, beside what the model does.

use std::collections::BTreeSet;

use upbeat::contract::Contract;
use upbeat::contract::balance::{Balance, CommitRateType, TargetingOfBalance};
use upbeat::contract::recurring_grant::{
    Calendar, GrantKind, GrantTerms, InvoiceAmount, Proration, RecurringGrant, UnitAmount, brought_back,
    child_where_ends, due_at, followed, followed_in_time, plan, taken_away,
};
use upbeat::id::{ProductId, ScheduleItemId};
use upbeat::money::{CreditType, Number};
use upbeat::time::{CycleFrequency, Instant};
use uuid::Uuid;

use super::before::Before;
use super::{
    CUSTOMER, balance, balance_id, contract, contract_id, difference, grant_id, payment_id, product_id,
    segment_id,
};
use crate::life::calendar::Frequency;
use crate::life::customer::{self, Customer, ItemState};
use crate::life::ledger::shown;
use crate::life::step::{DrawnBy, Kind};

/// All that contracts were made with, as far as they have come.
pub fn of(customer: &Customer) -> Vec<RecurringGrant> {
    (0..customer.grants.len()).map(|number| grant(customer, number)).collect()
}

fn grant(customer: &Customer, number: usize) -> RecurringGrant {
    let own = &customer.grants[number];
    RecurringGrant {
        customer_id: CUSTOMER,
        contract_id: contract_id(own.contract),
        id: grant_id(number),
        kind: match own.plan.kind {
            Kind::Prepaid => GrantKind::Commit,
            Kind::Credit => GrantKind::Credit,
            Kind::Postpaid => unreachable!("no promise is made again and again"),
        },
        unit: (own.plan.drawn_by == DrawnBy::Money).then(CreditType::usd),
        created_at: own.created,
        created_by: String::new(),
        terms: terms(own),
        granted_until: own.granted_until,
    }
}

fn terms(grant: &customer::Grant) -> GrantTerms {
    let plan = &grant.plan;
    let amount = |amount: i64| UnitAmount { unit_price: Number(amount.into()), quantity: Number(1.into()) };
    let product_ids = plan.products.iter().map(|product| product_id(*product)).collect();
    GrantTerms {
        product_id: ProductId(Uuid::nil()),
        name: Some(plan.name.clone()),
        description: None,
        priority: Number(plan.priority.into()),
        rate_type: CommitRateType::ListRate,
        access: amount(plan.amount),
        invoice: plan
            .price
            .map(|price| InvoiceAmount { price: amount(price), credit_type: CreditType::usd() }),
        duration: plan.duration,
        starting_at: plan.start,
        ending_before: plan.end,
        frequency: plan.frequency.map(|frequency| match frequency {
            Frequency::Weekly => CycleFrequency::Weekly,
            Frequency::Monthly => CycleFrequency::Monthly,
            Frequency::Quarterly => CycleFrequency::Quarterly,
        }),
        proration: Proration::FirstAndLast,
        access_rounding: None,
        invoice_rounding: None,
        rollover_fraction: plan.rollover.map(|fraction| Number(customer::fraction(fraction))),
        targeting: TargetingOfBalance { product_ids, ..TargetingOfBalance::default() },
        netsuite_sales_order_id: None,
    }
}

/// What production makes in a step and all that is due by its end, each with the number that the model gives it; and what
/// differs from the model. That it is made before what is due later is done, stays with the lives on a server.
pub fn made(before: &Before, customer: &Customer) -> (Vec<(usize, Balance)>, Vec<String>) {
    let mut made = Vec::new();
    let mut faults = Vec::new();
    for number in 0..customer.contracts.len() {
        let contract = contract(customer, number);
        let mut grants = begun(before, customer, &contract);
        if contract.archived_at.is_some() || grants.is_empty() {
            continue;
        }
        let old = before.contracts.get(number).filter(|one| one.ending_before != contract.ending_before);
        let mut so_far = before.balances.clone();
        if let Some(old) = old {
            for grant in &mut grants {
                faults.extend(follow_end(before, customer, [old, &contract], grant, &mut so_far));
            }
        }
        for child in plan(&mut grants, &contract, customer.now, usize::MAX) {
            let Some(number) = number_of(customer, &child) else {
                faults.push(format!("made and not expected: {child:?}"));
                continue;
            };
            let child = named(child, customer, number);
            let grant = grants.iter().find(|grant| Some(grant.id) == child.recurring_id);
            let grant = grant.expect("it made it");
            match so_far.get(number) {
                None => made.push((number, child)),
                Some(removed) => made.extend(
                    back(before, customer, grant, &contract, removed, &child)
                        .map(|balance| (number, balance)),
                ),
            }
        }
        faults.extend(grants.iter().filter_map(|grant| is_behind(customer, &contract, grant)));
    }
    faults.extend(made.iter().filter_map(|(number, child)| {
        let what = format!("{} of {}", customer.balances[*number].name, child.created_at);
        difference(what, child.clone(), balance(customer, *number, &[]))
    }));
    faults.extend(new_ones(before, customer).filter(|new| made.iter().all(|(one, _)| one != new)).map(
        |new| {
            let balance = &customer.balances[new];
            format!("expected and not made: {} of {}", balance.name, balance.created)
        },
    ));
    (made, faults)
}

/// The grants of a contract before the step; those that it is made with begin with it.
fn begun(before: &Before, customer: &Customer, contract: &Contract) -> Vec<RecurringGrant> {
    let mut grants = before.grants.clone();
    for number in grants.len()..customer.grants.len() {
        let mut new = grant(customer, number);
        new.granted_until = Calendar::of(&new, contract).start;
        grants.push(new);
    }
    grants.retain(|grant| grant.contract_id == contract.id);
    grants
}

/// The number of what a grant made for a period.
fn number_of(customer: &Customer, child: &Balance) -> Option<usize> {
    let is_it = |(grant, start): (usize, Instant)| {
        Some(grant_id(grant)) == child.recurring_id && start == child.created_at
    };
    customer.balances.iter().position(|one| one.made_by.is_some_and(is_it))
}

/// What the model made in a step, be it again.
fn new_ones(before: &Before, customer: &Customer) -> impl Iterator<Item = usize> {
    let made = (0..customer.balances.len()).filter(|number| customer.balances[*number].made_by.is_some());
    made.filter(|number| {
        let was_taken_away = |one: &Balance| one.archived_at.is_some();
        customer.balances[*number].archived.is_none()
            && before.balances.get(*number).is_none_or(was_taken_away)
    })
}

/// With the ids that the model gives it.
fn named(mut child: Balance, customer: &Customer, number: usize) -> Balance {
    let own = &customer.balances[number];
    child.id = balance_id(number);
    child.terms.segments[0].id = segment_id(own.segments[0].number);
    let place = own.payments.iter().position(|payment| payment.is_of_grant);
    for payment in child.terms.payments.iter_mut().flat_map(|payments| &mut payments.items) {
        // One that was taken out of it has the id of none.
        payment.id = payment_id(place.unwrap_or(usize::MAX));
    }
    child
}

/// What was made, with the places behind the point that the model has, which divides to others.
fn like(mut made: Balance, balance: &Balance) -> Balance {
    let same = |one: &Number, other: &Number| shown(&one.0) == shown(&other.0);
    for segment in &mut made.terms.segments {
        if let Some(own) = balance.segment(segment.id).filter(|own| same(&own.amount, &segment.amount)) {
            segment.amount = own.amount.clone();
        }
    }
    let own = balance.terms.payments.iter().flat_map(|payments| &payments.items);
    for payment in made.terms.payments.iter_mut().flat_map(|payments| &mut payments.items) {
        let mut own = own.clone().filter(|own| own.id == payment.id);
        if let Some(own) = own.find(|own| same(&own.unit_price, &payment.unit_price)) {
            payment.unit_price = own.unit_price.clone();
        }
    }
    made
}

/// The payments of a commit that are on invoices which are final before and after a step.
fn billed(before: &Before, customer: &Customer, number: usize) -> BTreeSet<ScheduleItemId> {
    let payments = customer.balances[number].payments.iter().enumerate();
    let is_billed = |payment: &customer::Payment| {
        let state = payment.item.map(|item| customer.items[item].state);
        matches!(state, Some(ItemState::On(invoice))
            if invoice < before.invoices && !customer.invoices[invoice].is_void())
    };
    payments.filter(|(_, payment)| is_billed(payment)).map(|(place, _)| payment_id(place)).collect()
}

/// One that an end took away, as it comes back; nothing where somebody archived it.
fn back(
    before: &Before,
    customer: &Customer,
    grant: &RecurringGrant,
    contract: &Contract,
    removed: &Balance,
    is: &Balance,
) -> Option<Balance> {
    let number = number_of(customer, removed).expect("it is one of the model");
    let taken = removed.terms.taken_away?;
    let was = child_where_ends(grant, contract, taken.ended_before, removed.created_at);
    let was = like(named(was.expect("it was there until then"), customer, number), removed);
    Some(brought_back(removed, &was, is, &billed(before, customer, number)))
}

/// What the new end of its contract makes of what has not started; and how far the grant has come then.
fn follow_end(
    before: &Before,
    customer: &Customer,
    [old, contract]: [&Contract; 2],
    grant: &mut RecurringGrant,
    so_far: &mut [Balance],
) -> Vec<String> {
    let is_upcoming = |one: &Balance| {
        one.recurring_id == Some(grant.id) && one.terms.span().start > before.now && one.archived_at.is_none()
    };
    let mut granted_until = grant.granted_until;
    let mut faults = Vec::new();
    let has_started = |one: &Balance| {
        one.recurring_id == Some(grant.id)
            && one.terms.span().start <= before.now
            && one.archived_at.is_none()
    };
    for (number, started) in before.balances.iter().enumerate().filter(|(_, one)| has_started(one)) {
        let start = started.created_at;
        let [was, is] = [old, contract].map(|contract| {
            let child = child_where_ends(grant, contract, contract.ending_before, start);
            let child = child.or_else(|| child_where_ends(grant, contract, None, start));
            named(child.expect("it was made"), customer, number)
        });
        so_far[number] = followed_in_time(started, &was, &is);
        let what =
            format!("{} of {start}, which has started, after a new end", customer.balances[number].name);
        faults.extend(difference(what, so_far[number].clone(), balance(customer, number, &[])));
    }
    for (number, upcoming) in before.balances.iter().enumerate().filter(|(_, one)| is_upcoming(one)) {
        let start = upcoming.created_at;
        let [was, is] = [old, contract].map(|contract| {
            let child = child_where_ends(grant, contract, contract.ending_before, start)?;
            Some(named(child, customer, number))
        });
        so_far[number] = match is {
            Some(is) => {
                let was = like(was.expect("it was made"), upcoming);
                followed(upcoming, &was, &is, &billed(before, customer, number))
            }
            None => {
                granted_until = granted_until.min(start);
                taken_away(upcoming, old.ending_before, before.now)
            }
        };
        let what = format!("{} of {start} after a new end", customer.balances[number].name);
        faults.extend(difference(what, so_far[number].clone(), balance(customer, number, &[])));
    }
    grant.granted_until = granted_until;
    faults
}

/// Whether a grant has come elsewhere than in the model, or makes the next one at another time.
fn is_behind(customer: &Customer, contract: &Contract, grant: &RecurringGrant) -> Option<String> {
    let is_it = |number: &usize| grant_id(*number) == grant.id;
    let number = (0..customer.grants.len()).find(is_it).expect("one of the model");
    let own = &customer.grants[number];
    let calculated = (grant.granted_until, due_at(grant, contract));
    let expected = (own.granted_until, customer.grant_due(own));
    (calculated != expected).then(|| {
        let name = &own.plan.name;
        format!("{name} comes until and is due\n    calculated: {calculated:?}\n    expected:   {expected:?}")
    })
}
