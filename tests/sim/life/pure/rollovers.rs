//! What renewals take over: what production makes of it, beside what the model does.
//!
//! Which of an old contract's balances a renewal looks at, when what it took becomes final and whether that is archived as
//! nothing, is decided between statements of the database: here it is as the model says, and stays with the lives on a server.

use std::collections::BTreeMap;

use upbeat::contract::balance::{Balance, Rollovers, Taken, given_back, is_live, made_final, successors};
use upbeat::id::SegmentId;
use upbeat::money::{Decimal, Number};

use super::before::Before;
use super::{
    Calculations, Draw, NaiveDraw, balance, balance_id, balances_at, contract, contract_id, difference,
    payment_id, segment_id,
};
use crate::life::customer::Customer;
use crate::life::ledger::shown;

/// What is drawn of segments: zero or below.
type Drawn = BTreeMap<SegmentId, Decimal>;

/// What renewals took over of these.
pub fn of(balances: &[Balance]) -> Rollovers {
    let taking = balances.iter().filter(|one| one.origin.is_some()).cloned().collect();
    let is_origin = |id| balances.iter().any(|one| one.origin.is_some_and(|origin| origin.balance_id == id));
    Rollovers::of(taking, balances.iter().filter(|one| is_origin(one.id)).cloned())
}

/// What is kept of it while it is not final says nothing, so that it must come from its origin.
fn with_no_amount(mut balance: Balance) -> Balance {
    let unknown = Number((-1).into());
    for segment in &mut balance.terms.segments {
        segment.amount = unknown.clone();
    }
    for payment in balance.terms.payments.iter_mut().flat_map(|payments| &mut payments.items) {
        payment.unit_price = unknown.clone();
    }
    balance
}

/// What was taken over as it was before it became final.
fn unfrozen(mut balance: Balance) -> Balance {
    balance.archived_at = None;
    balance.terms.rolled_over.as_mut().expect("it was taken over").is_final = false;
    with_no_amount(balance)
}

fn used(drawn: &Drawn) -> impl Fn(SegmentId) -> Decimal {
    |id| drawn.get(&id).cloned().unwrap_or_default()
}

impl Calculations {
    pub fn drawn_of_segments(&self, customer: &Customer, reserved: &[Draw]) -> Drawn {
        let mut drawn = Drawn::new();
        for (number, draws) in self.draws.iter().enumerate() {
            for draw in draws.iter().filter(|_| !customer.invoices[number].is_void()) {
                *drawn.entry(draw.segment_id).or_default() += &draw.amount;
            }
        }
        for draw in reserved {
            *drawn.entry(draw.segment_id).or_default() += &draw.amount;
        }
        drawn
    }

    /// What of what was taken over comes to something else than in the model, where drafts draw something, or none is asked.
    pub fn faults_of_rollovers(
        &self,
        customer: &Customer,
        reserved: &[Draw],
        naive: &[NaiveDraw],
    ) -> Vec<String> {
        if customer.balances.iter().all(|balance| balance.taken.is_none()) {
            return Vec::new();
        }
        let expected = balances_at(customer, naive);
        let unknown = |one: &Balance| if is_live(one) { with_no_amount(one.clone()) } else { one.clone() };
        let kept: Vec<Balance> = expected.iter().map(unknown).collect();
        let rollovers = of(&kept);
        let drawn = self.drawn_of_segments(customer, reserved);
        let mut faults = Vec::new();
        let live = kept.into_iter().zip(expected).enumerate().filter(|(_, (kept, _))| is_live(kept));
        for (number, (mut balance, expected)) in live {
            rollovers.resolve(&mut balance, used(&drawn));
            let what = format!("what {} comes to", customer.balances[number].name);
            faults.extend(difference(what, balance, expected));
        }
        faults.extend(of_amounts(customer, &rollovers.taken(used(&drawn)), naive));
        faults.extend(of_origins(customer, &rollovers));
        faults
    }

    /// Whether what became final in a step has another amount than the model says, or other terms with it.
    pub fn faults_of_frozen(&self, before: &Before, customer: &Customer) -> Vec<String> {
        let was_live = |number: usize| before.balances.get(number).is_none_or(is_live);
        let is_frozen = |number: &usize| {
            let taken = customer.balances[*number].taken.as_ref();
            let to = customer.balances[*number].contract.map(|to| &customer.contracts[to]);
            taken.is_some_and(|taken| taken.is_final)
                && was_live(*number)
                && to.is_some_and(|to| to.archived.is_none())
        };
        let frozen: Vec<usize> = (0..customer.balances.len()).filter(is_frozen).collect();
        if frozen.is_empty() {
            return Vec::new();
        }
        let mut balances = balances_at(customer, &[]);
        for number in &frozen {
            balances[*number] = unfrozen(balances[*number].clone());
        }
        // What the old contract drew is final by then.
        let taken = of(&balances).taken(used(&self.drawn_of_segments(customer, &[])));
        let fault = |number: usize| {
            let expected = balance(customer, number, &[]);
            let own = taken.iter().find(|taken| taken.balance_id == expected.id).expect("it was taken over");
            let mut is = made_final(balances[number].clone(), own.amount.clone(), 0);
            // The model gives draws no numbers.
            is.terms.rolled_over.iter_mut().for_each(|one| one.drawn_up_to = None);
            let is = Balance { archived_at: expected.archived_at, ..is };
            difference(format!("{} made final", customer.balances[number].name), is, expected)
        };
        frozen.into_iter().filter_map(fault).collect()
    }

    /// Whether something else goes back of what an archived contract took than the model says.
    pub fn given_back(&self, before: &Before, customer: &Customer, to: usize) -> Vec<String> {
        let drawn = self.drawn_of_segments(customer, &[]);
        let mut faults = Vec::new();
        for (number, was) in before.balances.iter().enumerate() {
            if was.origin.is_none() || was.contract_id != Some(contract_id(to)) {
                continue;
            }
            let own: Decimal = was.terms.segments.iter().filter_map(|segment| drawn.get(&segment.id)).sum();
            let mut expected = balance(customer, number, &[]);
            let was = Balance { archived_at: expected.archived_at, ..was.clone() };
            let is = given_back(&was, &(customer.billed_short(number) - own));
            // What was agreed to be paid for it, the model does not say where it was not final.
            expected.terms.payments.clone_from(&was.terms.payments);
            faults.extend(difference(format!("{} given back", customer.balances[number].name), is, expected));
        }
        faults
    }
}

/// What a list of portions says that renewals take of each balance.
fn of_amounts(customer: &Customer, taken: &[Taken], reserved: &[NaiveDraw]) -> Option<String> {
    let mut calculated: Vec<String> = taken
        .iter()
        .map(|one| {
            let Taken { origin_id, segment_id, contract_id, at, amount, .. } = one;
            format!("{origin_id} {segment_id} to {contract_id} at {at}: {}", shown(amount))
        })
        .collect();
    let mut expected = Vec::new();
    for number in 0..customer.balances.len() {
        expected.extend(customer.taken_of(number, reserved).into_iter().map(|one| {
            let (origin, segment, to) = (balance_id(number), segment_id(one.segment), contract_id(one.to));
            format!("{origin} {segment} to {to} at {}: {}", one.at, shown(&one.amount))
        }));
    }
    calculated.sort();
    expected.sort();
    (calculated != expected)
        .then(|| format!("taken over\n    calculated: {calculated:?}\n    expected:   {expected:?}"))
}

/// What is held fast as something was taken of it, and how much of a segment is for good.
fn of_origins(customer: &Customer, rollovers: &Rollovers) -> Vec<String> {
    let mut faults = Vec::new();
    let mut differ = |what: String, calculated: String, expected: String| {
        if calculated != expected {
            faults.push(format!("{what}\n    calculated: {calculated}\n    expected:   {expected}"));
        }
    };
    for (number, balance) in customer.balances.iter().enumerate() {
        let id = balance_id(number);
        differ(
            format!("whether {} was taken over, for good or now", balance.name),
            format!("{} {}", rollovers.is_final_origin(id), rollovers.is_origin(id)),
            format!("{} {}", customer.is_final_origin(number), customer.is_origin(number)),
        );
        for segment in &balance.segments {
            differ(
                format!("what is taken for good of {}", balance.name),
                shown(&rollovers.finally_taken(segment_id(segment.number))),
                shown(&customer.finally_taken(segment.number)),
            );
        }
    }
    for number in 0..customer.contracts.len() {
        differ(
            format!("whether contract {number} is held by a renewal"),
            rollovers.standing_from(contract_id(number)).is_some().to_string(),
            customer.is_held_by_renewal(number).to_string(),
        );
    }
    faults
}

/// Whether a contract takes over other things in a step than the model says, be it new or renewing one that made more.
pub fn faults_of_new(before: &Before, customer: &Customer, made: &[(usize, Balance)]) -> Vec<String> {
    let mut calculated = taken_by_new(before, customer);
    calculated.extend(handed_over(before, customer, made));
    calculated.extend(opened(before, customer));
    let is_new = |number: &usize| customer.balances[*number].taken.is_some();
    let mut faults = Vec::new();
    for number in (before.balances.len()..customer.balances.len()).filter(is_new) {
        let name = &customer.balances[number].name;
        let expected = unfrozen(balance(customer, number, &[]));
        let is_it = |one: &Balance| {
            one.contract_id == expected.contract_id
                && one.origin == expected.origin
                && one.terms.rolled_over == expected.terms.rolled_over
        };
        match calculated.iter().position(is_it) {
            Some(place) => {
                let is = named(calculated.swap_remove(place), number, &expected);
                faults.extend(difference(format!("{name} as it is taken over"), is, expected));
            }
            None => faults.push(format!("{name} is not taken over")),
        }
    }
    faults.extend(calculated.iter().map(|one| format!("taken over and not expected: {one:?}")));
    faults
}

/// What a contract takes over that the step makes in the place of another, as that was before it ended.
fn taken_by_new(before: &Before, customer: &Customer) -> Vec<Balance> {
    let Some((from, to)) = before.renewed.and_then(|from| Some((from, customer.renewed_by(from)?))) else {
        return Vec::new();
    };
    let is_made = to >= before.contracts.len();
    let to = contract(customer, to);
    let was_over = before.contracts[from].ending_before.is_some_and(|end| end < to.starting_at);
    let own = before.balances.iter().enumerate().filter(|(number, one)| {
        let is_billed = before.billed.contains(number);
        one.contract_id == Some(contract_id(from)) && is_made && !was_over && !is_billed
    });
    own.flat_map(|(_, one)| successors(one, &to)).collect()
}

/// What is taken over of what recurring ones make after their contract was renewed.
fn handed_over(before: &Before, customer: &Customer, made: &[(usize, Balance)]) -> Vec<Balance> {
    let mut all = Vec::new();
    for (number, child) in made {
        let from = customer.balances[*number].contract.expect("it is of the contract of its grant");
        // What was made as the step ended the old one, is none of the new one's.
        let Some(to) = customer.renewed_by(from).filter(|to| *to < before.contracts.len()) else { continue };
        let to = contract(customer, to);
        if customer.contracts[from].end == Some(to.starting_at) {
            all.extend(successors(child, &to));
        }
    }
    all
}

/// What is taken over as an edit opens it after the renewal was agreed.
fn opened(before: &Before, customer: &Customer) -> Vec<Balance> {
    let mut all = Vec::new();
    for number in (0..before.balances.len()).filter(|number| before.is_edited(*number)) {
        let Some(from) = customer.balances[number].contract else { continue };
        let Some(to) = customer.renewed_by(from).and_then(|to| before.contracts.get(to)) else { continue };
        let is_final = to.finalized_until > to.starting_at;
        let is_end = before.contracts[from].ending_before == Some(to.starting_at);
        if is_final || !is_end || before.billed.contains(&number) {
            continue;
        }
        let is_there = |new: &Balance| {
            let same = |one: &&Balance| one.origin == new.origin && one.contract_id == new.contract_id;
            before.balances.iter().filter(same).any(|one| {
                one.terms.rolled_over.as_ref().map(|one| one.segment_id)
                    == new.terms.rolled_over.as_ref().map(|one| one.segment_id)
            })
        };
        all.extend(successors(&balance(customer, number, &[]), to).into_iter().filter(|new| !is_there(new)));
    }
    all
}

/// With the ids that the model gives it, and no amount, which follows from its origin.
fn named(balance: Balance, number: usize, expected: &Balance) -> Balance {
    let mut named = with_no_amount(Balance { id: balance_id(number), ..balance });
    for (segment, is) in named.terms.segments.iter_mut().zip(&expected.terms.segments) {
        segment.id = is.id;
    }
    for payment in named.terms.payments.iter_mut().flat_map(|payments| &mut payments.items) {
        payment.id = payment_id(0);
    }
    named
}
