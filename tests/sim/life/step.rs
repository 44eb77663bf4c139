//! What happens in a customer's life. Objects are named by their numbers in the order in which they were made.

use upbeat::time::Instant;

use super::calendar::Frequency;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Prepaid,
    Postpaid,
    Credit,
}

/// What a commit or credit is drawn by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrawnBy {
    Money,
    /// Units of usage, whatever they cost.
    Units,
}

/// A commit or credit that is to be made.
#[derive(Clone, Debug)]
pub struct BalancePlan {
    pub name: String,
    pub kind: Kind,
    /// Of a customer's own: the contracts whose usage may draw it; all where there is none.
    pub applicable: Vec<usize>,
    /// Of a customer's own: where it is billed.
    pub billed_on: Option<usize>,
    pub priority: i64,
    pub at_commit_rate: bool,
    pub drawn_by: DrawnBy,
    /// What it pays for; everything where there is none.
    pub products: Vec<usize>,
    /// Amount, start and end.
    pub segments: Vec<(i64, Instant, Instant)>,
    pub payments: Vec<(Instant, i64)>,
    pub do_not_invoice: bool,
    /// Of a contract's own: which part of it a renewal may take over at most.
    pub rollover: Option<&'static str>,
}

/// A recurring commit or credit.
#[derive(Clone, Debug)]
pub struct GrantPlan {
    pub name: String,
    pub kind: Kind,
    pub drawn_by: DrawnBy,
    pub amount: i64,
    /// What one period of a commit costs.
    pub price: Option<i64>,
    pub duration: u32,
    pub start: Instant,
    pub end: Option<Instant>,
    /// None: as usage statements.
    pub frequency: Option<Frequency>,
    pub priority: i64,
    pub products: Vec<usize>,
    pub rollover: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct ContractPlan {
    pub start: Instant,
    pub end: Option<Instant>,
    pub frequency: Frequency,
    /// Statements are counted from its start; else from the first of the month.
    pub is_anchored: bool,
    /// It bills only the usage of this.
    pub only: Option<&'static str>,
    /// Scheduled charges go onto usage invoices.
    pub rides: bool,
    pub balances: Vec<BalancePlan>,
    pub grants: Vec<GrantPlan>,
    pub charges: Vec<(Instant, i64)>,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub at: Instant,
    pub product: usize,
    /// Whose usage it is.
    pub of: &'static str,
    pub count: i64,
}

/// What is to change of a commit or credit; segments and payments by their places.
#[derive(Clone, Debug)]
pub enum Edit {
    Amount {
        segment: usize,
        amount: i64,
    },
    Time {
        segment: usize,
        start: Instant,
        end: Instant,
    },
    AddSegment {
        amount: i64,
        start: Instant,
        end: Instant,
    },
    RemoveSegment {
        segment: usize,
    },
    Priority(Option<i64>),
    AtCommitRate(bool),
    Products(Vec<usize>),
    Contracts(Vec<usize>),
    /// The contract that its payments or its true-up are billed on.
    BilledOn(usize),
    AddPayment {
        at: Instant,
        amount: i64,
    },
    ChangePayment {
        payment: usize,
        at: Instant,
        amount: i64,
    },
    RemovePayment {
        payment: usize,
    },
}

/// A contract that takes the place of another from its start on.
#[derive(Clone, Debug)]
pub struct Renewal {
    pub from: usize,
    pub plan: ContractPlan,
    /// Nobody bills what is short of the old one.
    pub drops_true_ups: bool,
}

#[derive(Clone, Debug)]
pub enum Step {
    Contract(ContractPlan),
    Renew(Renewal),
    Balance(BalancePlan),
    Events(Vec<Event>),
    Clock(Instant),
    Manual { balance: usize, segment: usize, amount: i64 },
    Edit { balance: usize, edit: Edit },
    EndBalance { balance: usize, access: Option<Instant>, payments: Option<Instant> },
    ArchiveBalance { balance: usize },
    DisableTrueUp { balance: usize },
    Void { invoice: usize },
    Regenerate { invoice: usize },
    EndContract { contract: usize, end: Option<Instant> },
    ArchiveContract { contract: usize, voids: bool },
}
