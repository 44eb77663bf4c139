//! What production has before a step, and what it makes of the step.

use std::collections::BTreeSet;

use upbeat::contract::Contract;
use upbeat::contract::balance::Balance;
use upbeat::contract::recurring_grant::RecurringGrant;
use upbeat::time::Instant;

use super::edits::Edited;
use super::{Calculations, balances_at, contract, edits, grants, rollovers};
use crate::life::customer::Customer;
use crate::life::step::{Renewal, Step};

/// All that a step may change. It is a copy of what the model says, which after every step before was what production made.
pub struct Before {
    pub now: Instant,
    pub contracts: Vec<Contract>,
    pub balances: Vec<Balance>,
    pub grants: Vec<RecurringGrant>,
    /// How many were stored.
    pub invoices: usize,
    /// The promises of which it is billed what was short.
    pub billed: BTreeSet<usize>,
    /// What production makes of the step, where it edits a commit or credit.
    edited: Option<Edited>,
    /// The contract that the step renews, if it may be renewed.
    pub renewed: Option<usize>,
}

impl Before {
    /// Whether the step edits a commit or credit.
    pub fn is_edited(&self, number: usize) -> bool {
        self.edited.as_ref().is_some_and(|edited| edited.is_of(number))
    }
}

impl Calculations {
    pub fn before(&self, customer: &Customer, step: &Step) -> Before {
        let balances = balances_at(customer, &[]);
        let edited = match step {
            Step::Edit { balance, edit } => Some(self.edited(customer, &balances, *balance, edit)),
            _ => None,
        };
        Before {
            now: customer.now,
            contracts: (0..customer.contracts.len()).map(|number| contract(customer, number)).collect(),
            balances,
            grants: grants::of(customer),
            invoices: customer.invoices.len(),
            billed: (0..customer.balances.len())
                .filter(|number| customer.final_true_up(*number).is_some())
                .collect(),
            edited,
            renewed: match step {
                Step::Renew(Renewal { from, .. }) => Some(*from),
                _ => None,
            },
        }
    }

    /// What differs from the model as soon as a step is done.
    pub fn faults_of_step(
        &self,
        before: &Before,
        customer: &Customer,
        step: &Step,
        is_done: bool,
    ) -> Vec<String> {
        match step {
            Step::Edit { .. } => {
                let edited = before.edited.as_ref().expect("it was edited");
                edited.faults(customer, is_done)
            }
            Step::ArchiveContract { contract, .. } if is_done => self.given_back(before, customer, *contract),
            Step::Void { invoice } if is_done => {
                let contract = customer.invoices[*invoice].contract;
                let is_archived = customer.contracts[contract].archived.is_some();
                if is_archived { self.given_back(before, customer, contract) } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }

    /// What differs once everything is done that is due by then.
    pub fn faults_of_time(&self, before: &Before, customer: &Customer) -> Vec<String> {
        let (made, mut faults) = grants::made(before, customer);
        faults.extend(rollovers::faults_of_new(before, customer, &made));
        faults.extend(self.faults_of_frozen(before, customer));
        faults.extend(edits::faults_of_payments(customer));
        faults
    }
}
