//! The naive model of a customer: what was agreed and what became of it. Every step is one plain change of it, and time is
//! walked from one thing that is due to the next.

use chrono::TimeDelta;

use upbeat::money::{Decimal, is_positive, zero};
use upbeat::time::Instant;

use super::bill::Bill;
use super::calendar::Calendar;
use super::ledger::draws_of;
use super::renewal::Taken;
use super::step::{BalancePlan, ContractPlan, DrawnBy, Edit, Event, GrantPlan, Kind, Step};

/// For how long a statement waits for late events.
pub const GRACE: TimeDelta = TimeDelta::hours(24);

pub struct Contract {
    pub id: String,
    pub start: Instant,
    pub end: Option<Instant>,
    pub archived: Option<Instant>,
    pub calendar: Calendar,
    pub only: Option<&'static str>,
    pub rides: bool,
    /// Its usage is final until here.
    pub finalized_until: Instant,
    pub renews: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct Segment {
    /// It keeps its number whatever is edited.
    pub number: usize,
    pub id: String,
    pub amount: Decimal,
    pub start: Instant,
    pub end: Instant,
}

pub struct Manual {
    pub segment: usize,
    pub amount: Decimal,
    pub at: Instant,
}

pub struct Payment {
    pub id: String,
    pub at: Instant,
    pub amount: Decimal,
    /// Where it is invoiced at all.
    pub item: Option<usize>,
    /// Whether it is what a recurring one has to be paid.
    pub is_of_grant: bool,
}

/// What a recurring one made last of what it made.
pub struct MadeAs {
    pub amount: Decimal,
    pub end: Instant,
    pub price: Option<Decimal>,
}

/// An end of its contract, which was this one before, took it away before it started.
#[derive(Clone, Copy)]
pub struct TakenAway(pub Option<Instant>);

#[expect(clippy::struct_excessive_bools, reason = "each is agreed or comes true on its own")]
pub struct Balance {
    pub id: String,
    pub name: String,
    pub kind: Kind,
    pub contract: Option<usize>,
    pub applicable: Vec<usize>,
    pub billed_on: Option<usize>,
    pub created: Instant,
    pub priority: Option<i64>,
    pub at_commit_rate: bool,
    pub drawn_by: DrawnBy,
    pub products: Vec<usize>,
    pub segments: Vec<Segment>,
    pub manual: Vec<Manual>,
    pub payments: Vec<Payment>,
    /// Whether there was a payment ever: without one its schedule still says whether they are invoiced.
    pub has_schedule: bool,
    pub do_not_invoice: bool,
    pub is_disabled: bool,
    pub archived: Option<Instant>,
    /// The recurring one that made it, and the start of its period.
    pub made_by: Option<(usize, Instant)>,
    pub made_as: Option<MadeAs>,
    pub taken_away: Option<TakenAway>,
    /// When somebody looks whether anything is short.
    pub true_up_due: Option<Instant>,
    /// Which part of each segment a renewal may take over at most.
    pub rollover: Option<Decimal>,
    /// Whether a renewal took it over.
    pub taken: Option<Taken>,
}

/// A payment that is to be on an invoice.
pub struct Item {
    pub contract: usize,
    pub balance: Option<usize>,
    pub at: Instant,
    pub amount: Decimal,
    pub state: ItemState,
    pub is_true_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemState {
    Pending,
    On(usize),
    Removed,
}

pub struct Grant {
    pub contract: usize,
    pub plan: GrantPlan,
    pub created: Instant,
    pub granted_until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvoiceKind {
    Usage,
    Scheduled,
    TrueUp,
}

#[derive(Clone, Debug)]
pub struct Draw {
    pub balance: usize,
    pub segment: usize,
    /// More than zero.
    pub amount: Decimal,
    pub at: Instant,
}

pub struct Invoice {
    pub id: String,
    pub kind: InvoiceKind,
    pub contract: usize,
    pub start: Instant,
    pub end: Instant,
    /// When it became void.
    pub voided: Option<Instant>,
    /// The invoice in whose place it was made first.
    pub original: usize,
    pub bill: Bill,
    /// What scheduled charges on it come to.
    pub charged: Decimal,
}

impl Invoice {
    pub fn is_void(&self) -> bool {
        self.voided.is_some()
    }
}

#[derive(Default)]
pub struct Customer {
    pub now: Instant,
    pub contracts: Vec<Contract>,
    pub balances: Vec<Balance>,
    pub grants: Vec<Grant>,
    pub items: Vec<Item>,
    pub events: Vec<Event>,
    /// Those that are stored: final or void.
    pub invoices: Vec<Invoice>,
    /// When the price of one product changes.
    pub price_change: Instant,
    pub segment_count: usize,
}

/// A thing that is due.
#[derive(Clone, Copy, Debug)]
enum Due {
    Make(usize),
    Scheduled(usize, Instant),
    Statement(usize),
    TrueUp(usize),
}

impl Contract {
    /// The statement that is not final and is the first to end after an instant.
    pub fn open_statement(&self, at: Instant) -> Option<(Instant, Instant)> {
        let at = at.max(self.finalized_until);
        let (start, end) = self.calendar.around(at);
        let (start, end) = (start.max(self.finalized_until), self.end.map_or(end, |last| end.min(last)));
        (self.archived.is_none() && start < end && at < end).then_some((start, end))
    }

    /// Those that have begun.
    pub fn open_statements(&self, now: Instant) -> Vec<(Instant, Instant)> {
        let mut open = Vec::new();
        let mut at = self.finalized_until;
        while let Some((start, end)) = self.open_statement(at).filter(|(start, _)| *start <= now) {
            open.push((start, end));
            at = end;
        }
        open
    }

    /// The statement that takes a charge of a date.
    pub fn statement_of_charge(&self, at: Instant) -> Option<(Instant, Instant)> {
        let mut from = self.finalized_until;
        if !self.rides {
            return None;
        }
        loop {
            let (start, end) = self.open_statement(from)?;
            if end.date_naive() >= at.date_naive() {
                return (end.date_naive() == at.date_naive()).then_some((start, end));
            }
            from = end;
        }
    }
}

impl Balance {
    pub fn is_of(&self, contract: usize) -> bool {
        match self.contract {
            Some(own) => own == contract,
            None => self.applicable.is_empty() || self.applicable.contains(&contract),
        }
    }

    /// When a segment may be drawn by usage, as its contract is.
    pub fn access(&self, segment: &Segment, contracts: &[Contract]) -> Option<(Instant, Instant)> {
        let mut end = segment.end;
        if let Some(own) = self.contract.map(|number| &contracts[number]) {
            end = own.end.map_or(end, |last| end.min(last));
            end = own.archived.map_or(end, |last| end.min(last));
        }
        (segment.start < end).then_some((segment.start, end))
    }

    /// When its first segment starts.
    fn begins(&self) -> Instant {
        self.segments.iter().map(|segment| segment.start).min().expect("a segment")
    }

    pub fn manual(&self, segment: usize) -> Decimal {
        self.manual.iter().filter(|one| one.segment == segment).map(|one| &one.amount).sum()
    }
}

/// A part of a whole.
pub fn fraction(text: &str) -> Decimal {
    text.parse().expect("a number")
}

impl Customer {
    /// Does a step, where it may be done. False where it is refused.
    pub fn apply(&mut self, step: &Step) -> bool {
        match step.clone() {
            Step::Contract(plan) => self.make_contract(plan),
            Step::Renew(renewal) => return self.renew(renewal),
            Step::Balance(plan) => {
                self.make_balance(plan, None);
                self.after_change(self.balances.len() - 1);
            }
            Step::Events(events) => self.events.extend(events),
            Step::Clock(target) => self.work(target),
            Step::Manual { balance, segment, amount } => return self.write(balance, segment, amount),
            Step::Edit { balance, edit } => return self.edit(balance, edit),
            Step::EndBalance { balance, access, payments } => {
                return self.end_balance(balance, access, payments);
            }
            Step::ArchiveBalance { balance } => return self.archive_balance(balance),
            Step::DisableTrueUp { balance } => return self.disable_true_up(balance),
            Step::Void { invoice } => {
                let contract = self.invoices[invoice].contract;
                let is_archived = self.contracts[contract].archived.is_some();
                if self.invoices[invoice].is_void()
                    || (is_archived && self.would_lose(contract, |one| one == invoice))
                {
                    return false;
                }
                self.invoices[invoice].voided = Some(self.now);
                self.send_all_payments();
                if self.contracts[contract].archived.is_some() {
                    self.give_back(contract);
                    self.schedule_true_ups();
                }
            }
            Step::Regenerate { invoice } => return self.regenerate(invoice),
            Step::EndContract { contract, end } => return self.end_contract(contract, end),
            Step::ArchiveContract { contract, voids } => return self.archive_contract(contract, voids),
        }
        true
    }

    // -- making --

    pub fn make_contract(&mut self, plan: ContractPlan) {
        let number = self.contracts.len();
        let first_of_month = || {
            chrono::Datelike::with_day(&plan.start.date_naive(), 1)
                .expect("a first day")
                .and_time(chrono::NaiveTime::MIN)
                .and_utc()
        };
        let anchor = if plan.is_anchored { plan.start } else { first_of_month() };
        self.contracts.push(Contract {
            id: String::new(),
            start: plan.start,
            end: plan.end,
            archived: None,
            calendar: Calendar { anchor, frequency: plan.frequency },
            only: plan.only,
            rides: plan.rides,
            finalized_until: plan.start,
            renews: None,
        });
        for balance in plan.balances {
            self.make_balance(balance, Some(number));
        }
        for (at, amount) in plan.charges {
            let amount = amount.into();
            let state = ItemState::Pending;
            self.items.push(Item { contract: number, balance: None, at, amount, state, is_true_up: false });
        }
        for grant in plan.grants {
            let granted_until = grant.start.max(plan.start);
            self.grants.push(Grant { contract: number, plan: grant, created: self.now, granted_until });
        }
        self.grow(number, self.now);
        self.schedule_true_ups();
    }

    pub fn segment(&mut self, amount: Decimal, start: Instant, end: Instant) -> Segment {
        self.segment_count += 1;
        Segment { number: self.segment_count, id: String::new(), amount, start, end }
    }

    fn make_balance(&mut self, plan: BalancePlan, contract: Option<usize>) {
        let mut segments: Vec<Segment> = plan
            .segments
            .iter()
            .map(|(amount, start, end)| self.segment((*amount).into(), *start, *end))
            .collect();
        segments.sort_by_key(|segment| segment.start);
        let payments: Vec<(Instant, Decimal)> =
            plan.payments.iter().map(|(at, amount)| (*at, (*amount).into())).collect();
        self.balances.push(Balance {
            id: String::new(),
            name: plan.name,
            kind: plan.kind,
            contract,
            applicable: plan.applicable,
            billed_on: contract.or(plan.billed_on),
            created: self.now,
            priority: Some(plan.priority),
            at_commit_rate: plan.at_commit_rate,
            drawn_by: plan.drawn_by,
            products: plan.products,
            segments,
            manual: Vec::new(),
            payments: Vec::new(),
            has_schedule: false,
            do_not_invoice: plan.do_not_invoice,
            is_disabled: false,
            archived: None,
            made_by: None,
            made_as: None,
            taken_away: None,
            true_up_due: None,
            rollover: plan.rollover.map(fraction),
            taken: None,
        });
        for (at, amount) in payments {
            self.add_payment(self.balances.len() - 1, at, amount);
        }
    }

    pub fn add_payment(&mut self, number: usize, at: Instant, amount: Decimal) {
        let balance = &mut self.balances[number];
        let mut item = None;
        let is_free = balance.do_not_invoice || balance.is_disabled;
        if let (false, Some(contract)) = (is_free, balance.billed_on) {
            item = Some(self.items.len());
            let is_true_up = balance.kind == Kind::Postpaid;
            let (balance, state, amount) = (Some(number), ItemState::Pending, amount.clone());
            self.items.push(Item { contract, balance, at, amount, state, is_true_up });
        }
        balance.payments.push(Payment { id: String::new(), at, amount, item, is_of_grant: false });
        balance.has_schedule = true;
    }

    // -- recurring ones --

    fn grant_calendar(&self, grant: &Grant) -> Calendar {
        let contract = &self.contracts[grant.contract];
        match grant.plan.frequency {
            None => contract.calendar,
            Some(frequency) => Calendar { anchor: grant.plan.start.max(contract.start), frequency },
        }
    }

    /// Start and end of what is covered, the end of access, and the share of the amount of a period that starts then.
    fn grant_period(&self, grant: &Grant, start: Instant) -> Option<(Instant, Instant, Decimal)> {
        self.grant_period_until(grant, start, self.contracts[grant.contract].end)
    }

    /// As if its contract ended then.
    fn grant_period_until(
        &self,
        grant: &Grant,
        start: Instant,
        contract_end: Option<Instant>,
    ) -> Option<(Instant, Instant, Decimal)> {
        let calendar = self.grant_calendar(grant);
        let (full_start, full_end) = calendar.around(start);
        let mut covered_end = full_end;
        for end in [grant.plan.end, contract_end].into_iter().flatten() {
            covered_end = covered_end.min(end);
        }
        if covered_end <= start {
            return None;
        }
        let mut until = full_end;
        for _ in 1..grant.plan.duration {
            until = calendar.around(until).1;
        }
        until = contract_end.map_or(until, |end| until.min(end));
        let seconds = |from: Instant, to: Instant| Decimal::from((to - from).num_seconds());
        let share = (seconds(start, covered_end) / seconds(full_start, full_end)).with_prec(40);
        Some((covered_end, until, share))
    }

    /// When the next commit or credit is made, if any is to come.
    pub fn grant_due(&self, grant: &Grant) -> Option<Instant> {
        let start = grant.granted_until;
        self.grant_period(grant, start)?;
        let first = grant.plan.start.max(self.contracts[grant.contract].start);
        if start == first {
            return Some(grant.created.min(first));
        }
        let before = self.grant_calendar(grant).around(start - TimeDelta::seconds(1)).0;
        Some(before.max(first))
    }

    /// Makes what a contract's recurring commits and credits make by `until`.
    fn grow(&mut self, contract: usize, until: Instant) {
        if self.contracts[contract].archived.is_some() {
            return;
        }
        let mut made = Vec::new();
        for number in 0..self.grants.len() {
            while self.grants[number].contract == contract
                && self.grant_due(&self.grants[number]).is_some_and(|due| due <= until)
            {
                let start = self.grants[number].granted_until;
                made.extend(self.make_child(number, start));
                self.grants[number].granted_until = self.grant_calendar(&self.grants[number]).around(start).1;
            }
        }
        self.hand_over(contract, made);
    }

    /// What a recurring one has for a period: its amount, its end and its price.
    fn as_made(&self, grant: &Grant, start: Instant) -> Option<MadeAs> {
        let (_, end, share) = self.grant_period(grant, start)?;
        let plan = &grant.plan;
        let price = plan.price.map(|price| Decimal::from(price) * &share);
        Some(MadeAs { amount: Decimal::from(plan.amount) * share, end, price })
    }

    fn make_child(&mut self, number: usize, start: Instant) -> Option<usize> {
        let grant = &self.grants[number];
        let contract = grant.contract;
        let made_as = self.as_made(grant, start).expect("it is due");
        let known = self.balances.iter().position(|balance| balance.made_by == Some((number, start)));
        if let Some(known) = known {
            // What somebody archived stays so.
            self.balances[known].taken_away.take()?;
            self.balances[known].archived = None;
            let end = self.contracts[contract].end;
            for item in self.balances[known].payments.iter().filter_map(|payment| payment.item) {
                let item = &mut self.items[item];
                if item.state == ItemState::Removed && end.is_none_or(|end| item.at < end) {
                    item.state = ItemState::Pending;
                }
            }
            self.make_as(known, made_as);
            return Some(known);
        }
        let plan = grant.plan.clone();
        let price = made_as.price.clone();
        let segment = self.segment(made_as.amount.clone(), start, made_as.end);
        self.balances.push(Balance {
            id: String::new(),
            name: plan.name,
            kind: plan.kind,
            contract: Some(contract),
            applicable: Vec::new(),
            billed_on: Some(contract),
            created: start,
            priority: Some(plan.priority),
            at_commit_rate: false,
            drawn_by: plan.drawn_by,
            products: plan.products,
            segments: vec![segment],
            manual: Vec::new(),
            payments: Vec::new(),
            has_schedule: false,
            do_not_invoice: false,
            is_disabled: false,
            archived: None,
            made_by: Some((number, start)),
            made_as: Some(made_as),
            taken_away: None,
            true_up_due: None,
            rollover: plan.rollover.map(fraction),
            taken: None,
        });
        let new = self.balances.len() - 1;
        if let Some(price) = price {
            self.add_payment(new, start, price);
            self.balances[new].payments[0].is_of_grant = true;
        }
        Some(new)
    }

    /// Makes one what its recurring one has for it by now, where nobody made it anything else since it made it last.
    fn make_as(&mut self, number: usize, is: MadeAs) {
        let balance = &mut self.balances[number];
        let was = balance.made_as.take().expect("a recurring one made it");
        let segment = &mut balance.segments[0];
        if segment.end == was.end && segment.start < is.end {
            segment.end = is.end;
        }
        let own = balance.payments.iter().position(|payment| payment.is_of_grant);
        // What is paid for stays.
        let is_billed = own.is_some_and(|own| self.is_billed(number, own));
        let segment = &mut self.balances[number].segments[0];
        if segment.amount == was.amount && !is_billed {
            segment.amount = is.amount.clone();
        }
        if let (Some(own), Some(price), false) = (own, &is.price, is_billed)
            && Some(&self.balances[number].payments[own].amount) == was.price.as_ref()
        {
            let payment = &mut self.balances[number].payments[own];
            payment.amount = price.clone();
            if let Some(item) = payment.item {
                self.items[item].amount = price.clone();
            }
        }
        self.balances[number].made_as = Some(is);
    }

    /// Whether a payment is on a final invoice.
    fn is_billed(&self, number: usize, payment: usize) -> bool {
        let item = self.balances[number].payments[payment].item;
        item.is_some_and(|item| match self.items[item].state {
            ItemState::Pending | ItemState::Removed => false,
            ItemState::On(invoice) => !self.invoices[invoice].is_void(),
        })
    }

    /// What a new end of a contract does to what recurring ones made there: what has started may be drawn until it, or for as long
    /// as without one where it starts later, and is as it was else.
    fn follow_end(&mut self, contract: usize, end_before: Option<Instant>) {
        for number in 0..self.balances.len() {
            let balance = &self.balances[number];
            let Some((grant, start)) = balance.made_by else { continue };
            let has_started = balance.segments[0].start <= self.now;
            if self.grants[grant].contract != contract || balance.archived.is_some() {
                continue;
            }
            if has_started {
                let grant = &self.grants[grant];
                let period =
                    self.grant_period(grant, start).or_else(|| self.grant_period_until(grant, start, None));
                let (_, end, _) = period.expect("it was made");
                let balance = &mut self.balances[number];
                let was = balance.made_as.as_mut().expect("it was made");
                let segment = &mut balance.segments[0];
                if segment.end == was.end && segment.start < end {
                    segment.end = end;
                }
                was.end = end;
                continue;
            }
            match self.as_made(&self.grants[grant], start) {
                Some(is) => self.make_as(number, is),
                None => {
                    let grant = &mut self.grants[grant];
                    grant.granted_until = grant.granted_until.min(start);
                    self.balances[number].archived = Some(self.now);
                    self.balances[number].taken_away = Some(TakenAway(end_before));
                    self.drop_pending(number);
                }
            }
        }
        self.grow(contract, self.now);
    }

    // -- changes of balances --

    pub fn drop_pending(&mut self, balance: usize) {
        for item in &mut self.items {
            if item.balance == Some(balance) && item.state == ItemState::Pending {
                item.state = ItemState::Removed;
            }
        }
        self.balances[balance].true_up_due = None;
    }

    fn write(&mut self, number: usize, segment: usize, amount: i64) -> bool {
        let balance = &self.balances[number];
        let segment = &balance.segments[segment];
        let access = balance.access(segment, &self.contracts);
        let (Some((at, _)), None) = (access, balance.archived) else { return false };
        if self.final_true_up(number).is_some() {
            return false;
        }
        let entry = Manual { segment: segment.number, amount: amount.into(), at };
        self.balances[number].manual.push(entry);
        self.after_change(number);
        true
    }

    fn after_change(&mut self, number: usize) {
        if self.balances[number].kind != Kind::Credit {
            self.schedule_true_ups();
        }
    }

    /// Whether a payment cannot be edited: it is on a final invoice, or an end of its contract removed it. What is short of a
    /// promise that nobody bills may change.
    fn is_held(&self, number: usize, payment: usize, is_same: bool) -> bool {
        let balance = &self.balances[number];
        match balance.payments[payment].item.map(|item| self.items[item].state) {
            Some(ItemState::On(invoice)) => !self.invoices[invoice].is_void(),
            Some(ItemState::Removed) => !is_same && !balance.is_disabled,
            Some(ItemState::Pending) | None => false,
        }
    }

    /// Whether the contract that would bill its payments is archived.
    fn is_billed_by_nobody(&self, number: usize) -> bool {
        let Balance { do_not_invoice, is_disabled, billed_on, .. } = self.balances[number];
        let is_over = billed_on.is_none_or(|contract| self.contracts[contract].archived.is_some());
        is_over && !do_not_invoice && !is_disabled
    }

    /// What a payment was edited to is what is to be billed. On another date it leaves the void invoice that it is on.
    fn rebill(&mut self, item: usize, at: Instant, amount: i64) {
        let Item { state, balance, at: before, .. } = self.items[item];
        if matches!(state, ItemState::On(_)) && before != at {
            let to = balance.and_then(|balance| self.balances[balance].billed_on);
            self.items[item].state = ItemState::Pending;
            self.items[item].contract = to.expect("it is billed");
        }
        (self.items[item].at, self.items[item].amount) = (at, amount.into());
    }

    fn edit(&mut self, number: usize, edit: Edit) -> bool {
        let balance = &self.balances[number];
        let is_postpaid = balance.kind == Kind::Postpaid;
        let state = |payment: usize| {
            let item = self.balances[number].payments[payment].item;
            item.map(|item| self.items[item].state)
        };
        if balance.archived.is_some() || self.is_fixed_by_renewal(number, &edit) {
            return false;
        }
        match edit {
            Edit::Amount { segment, amount } => {
                if is_postpaid {
                    // What was promised and what is billed change together.
                    let is_same = balance.payments[0].amount == amount;
                    let is_billed_by_nobody = !is_same && self.is_billed_by_nobody(number);
                    if self.is_held(number, 0, is_same) || is_billed_by_nobody {
                        return false;
                    }
                    let payment = &mut self.balances[number].payments[0];
                    payment.amount = amount.into();
                    if let Some(item) = payment.item {
                        self.items[item].amount = amount.into();
                    }
                }
                self.balances[number].segments[segment].amount = amount.into();
            }
            Edit::Time { segment, start, end } => {
                if is_postpaid && balance.payments[0].at < end {
                    return false;
                }
                let segment = &mut self.balances[number].segments[segment];
                (segment.start, segment.end) = (start, end);
                self.balances[number].segments.sort_by_key(|segment| segment.start);
            }
            Edit::AddSegment { amount, start, end } => {
                if is_postpaid {
                    return false;
                }
                let segment = self.segment(amount.into(), start, end);
                self.balances[number].segments.push(segment);
                self.balances[number].segments.sort_by_key(|segment| segment.start);
            }
            Edit::RemoveSegment { segment } => {
                let removed = balance.segments[segment].number;
                if balance.segments.len() == 1 || self.drawn(removed) != zero() {
                    return false;
                }
                self.remove_segment(number, removed);
            }
            Edit::Priority(priority) => self.balances[number].priority = priority,
            Edit::AtCommitRate(at_commit_rate) => self.balances[number].at_commit_rate = at_commit_rate,
            Edit::Products(products) => self.balances[number].products = products,
            Edit::Contracts(contracts) => {
                if balance.contract.is_some() || is_postpaid {
                    return false;
                }
                self.balances[number].applicable = contracts;
            }
            Edit::BilledOn(to) => {
                let is_open = balance.billed_on == Some(to) || self.contracts[to].archived.is_none();
                if balance.contract.is_some() || !is_open {
                    return false;
                }
                self.balances[number].billed_on = Some(to);
                self.send_payments(number);
            }
            Edit::AddPayment { at, amount } => {
                if is_postpaid || self.is_billed_by_nobody(number) {
                    return false;
                }
                self.add_payment(number, at, amount.into());
            }
            Edit::ChangePayment { payment, at, amount } => {
                let before = &balance.payments[payment];
                let is_same = before.at == at && before.amount == amount;
                if is_postpaid
                    || self.is_held(number, payment, is_same)
                    || (!is_same && self.is_billed_by_nobody(number))
                {
                    return false;
                }
                let payment = &mut self.balances[number].payments[payment];
                (payment.at, payment.amount) = (at, amount.into());
                if let Some(item) = payment.item {
                    self.rebill(item, at, amount);
                }
            }
            Edit::RemovePayment { payment } => {
                if is_postpaid || matches!(state(payment), Some(ItemState::On(_))) {
                    return false;
                }
                let removed = self.balances[number].payments.remove(payment);
                if let Some(item) = removed.item {
                    self.items[item].state = ItemState::Removed;
                }
            }
        }
        self.take_over_opened(number);
        self.after_change(number);
        true
    }

    /// Has the payments of a commit billed where it is billed: those that are pending, and those on invoices that became void with
    /// their contract or after that, of which nothing is made anew.
    fn send_payments(&mut self, number: usize) {
        let balance = &self.balances[number];
        let (Some(to), None, false) = (balance.billed_on, balance.archived, balance.is_disabled) else {
            return;
        };
        for item in self.items.iter_mut().filter(|item| item.balance == Some(number) && item.contract != to) {
            let archived = self.contracts[item.contract].archived;
            let goes = match item.state {
                ItemState::Pending => true,
                ItemState::On(invoice) => {
                    let voided = self.invoices[invoice].voided;
                    archived.zip(voided).is_some_and(|(archived, voided)| archived <= voided)
                }
                ItemState::Removed => false,
            };
            if goes {
                (item.contract, item.state) = (to, ItemState::Pending);
            }
        }
    }

    fn send_all_payments(&mut self) {
        for number in 0..self.balances.len() {
            self.send_payments(number);
        }
        self.schedule_true_ups();
    }

    fn remove_segment(&mut self, number: usize, segment: usize) {
        let balance = &mut self.balances[number];
        balance.segments.retain(|one| one.number != segment);
        balance.manual.retain(|one| one.segment != segment);
    }

    fn end_balance(&mut self, number: usize, access: Option<Instant>, payments: Option<Instant>) -> bool {
        let balance = &self.balances[number];
        let is_fixed = balance.taken.is_some()
            || (access.is_some() && self.is_final_origin(number))
            || (payments.is_some() && self.is_paid_origin(number));
        if balance.archived.is_some() || balance.kind == Kind::Postpaid || is_fixed {
            return false;
        }
        if let Some(end) = access {
            let first = balance.segments.iter().map(|segment| segment.start).min().expect("a segment");
            let last = balance.segments.iter().map(|segment| segment.end).max().expect("a segment");
            let later: Vec<usize> =
                balance.segments.iter().filter(|one| one.start >= end).map(|one| one.number).collect();
            if end > last || end <= first || later.iter().any(|one| self.drawn(*one) != zero()) {
                return false;
            }
            for segment in later {
                self.remove_segment(number, segment);
            }
            for segment in &mut self.balances[number].segments {
                segment.end = segment.end.min(end);
            }
        }
        if let Some(end) = payments {
            let balance = &mut self.balances[number];
            let items = &mut self.items;
            balance.payments.retain(|payment| {
                let state = payment.item.map(|item| items[item].state);
                let is_kept = payment.at < end || matches!(state, Some(ItemState::On(_)));
                if let (false, Some(item)) = (is_kept, payment.item) {
                    items[item].state = ItemState::Removed;
                }
                is_kept
            });
        }
        self.after_change(number);
        true
    }

    fn archive_balance(&mut self, number: usize) -> bool {
        let is_drawn =
            self.standing().any(|(_, invoice)| invoice.bill.draws.iter().any(|draw| draw.balance == number));
        let is_billed = self.items.iter().any(|item| {
            item.balance == Some(number)
                && matches!(item.state, ItemState::On(invoice) if !self.invoices[invoice].is_void())
        });
        let is_renewed = self.balances[number].taken.is_some() || self.is_origin(number);
        if self.balances[number].archived.is_some() || is_drawn || is_billed || is_renewed {
            return false;
        }
        self.balances[number].archived = Some(self.now);
        self.drop_pending(number);
        self.after_change(number);
        true
    }

    fn disable_true_up(&mut self, number: usize) -> bool {
        let balance = &self.balances[number];
        if balance.kind != Kind::Postpaid
            || balance.archived.is_some()
            || (!balance.is_disabled && self.final_true_up(number).is_some())
        {
            return false;
        }
        if !balance.is_disabled {
            self.balances[number].is_disabled = true;
            self.drop_pending(number);
            self.after_change(number);
        }
        true
    }

    // -- changes of contracts and invoices --

    fn end_contract(&mut self, number: usize, end: Option<Instant>) -> bool {
        let contract = &self.contracts[number];
        let is_early = end.is_some_and(|end| end <= contract.start);
        if contract.archived.is_some() || is_early || self.is_held_by_renewal(number) {
            return false;
        }
        self.move_end(number, end);
        true
    }

    pub fn move_end(&mut self, number: usize, end: Option<Instant>) {
        let contract = &mut self.contracts[number];
        let before = std::mem::replace(&mut contract.end, end);
        if let Some(end) = end.filter(|end| before.is_none_or(|before| *end < before)) {
            let rides_at_end = contract.statement_of_charge(end).is_some_and(|(_, last)| last == end);
            for item in &mut self.items {
                let begins_then = item.balance.is_some_and(|one| self.balances[one].begins() >= end);
                let is_cut = item.at > end || (item.at == end && (!rides_at_end || begins_then));
                // What is paid for a customer's own is billed on.
                let is_of_customer = item.balance.is_some_and(|one| self.balances[one].contract.is_none());
                let is_cut = is_cut && !item.is_true_up && !is_of_customer;
                if item.contract == number && item.state == ItemState::Pending && is_cut {
                    item.state = ItemState::Removed;
                }
            }
        } else {
            self.bring_payments_back(number);
        }
        self.follow_end(number, before);
        self.schedule_true_ups();
    }

    /// What pays for commits that may be drawn again is billed again.
    fn bring_payments_back(&mut self, number: usize) {
        let contract = &self.contracts[number];
        for balance in self.balances.iter().filter(|balance| balance.contract == Some(number)) {
            let is_in_time = |at: Instant| {
                contract.end.is_none_or(|end| {
                    let rides = contract.statement_of_charge(end).is_some_and(|(_, last)| last == end);
                    at < end || (at == end && rides && balance.begins() < end)
                })
            };
            for item in balance.payments.iter().filter_map(|payment| payment.item) {
                let item = &mut self.items[item];
                let is_gone = item.state == ItemState::Removed && !item.is_true_up;
                if is_gone && balance.archived.is_none() && is_in_time(item.at) {
                    item.state = ItemState::Pending;
                }
            }
        }
    }

    fn archive_contract(&mut self, number: usize, voids: bool) -> bool {
        let is_void_then = |invoice: usize| voids && self.invoices[invoice].contract == number;
        if self.contracts[number].archived.is_some()
            || self.is_held_by_renewal(number)
            || self.would_lose(number, is_void_then)
        {
            return false;
        }
        for balance in 0..self.balances.len() {
            let Some(item) = self.pending_true_up(balance) else { continue };
            if self.items[item].contract != number {
                continue;
            }
            let true_up = self.true_up(balance);
            self.balances[balance].true_up_due = None;
            let short = self.short(balance, &[]);
            match true_up.filter(|_| is_positive(&short)) {
                Some((dated_at, _)) => {
                    self.keep_scheduled(InvoiceKind::TrueUp, number, dated_at, vec![item], short, true);
                }
                // A customer's own may be billed on another contract yet.
                None if self.balances[balance].contract.is_some() => {
                    self.items[item].state = ItemState::Removed;
                }
                None => {}
            }
        }
        let contract = &self.contracts[number];
        let mut upcoming: Vec<(Instant, usize)> = Vec::new();
        for (place, item) in self.items.iter().enumerate() {
            if item.contract == number && item.state == ItemState::Pending && !item.is_true_up {
                let rides = contract.statement_of_charge(item.at).is_some_and(|(start, _)| start <= self.now);
                // What is paid for a customer's own may be billed on another contract yet.
                let is_of_customer = item.balance.is_some_and(|one| self.balances[one].contract.is_none());
                if !rides || is_of_customer {
                    upcoming.push((item.at, place));
                }
            }
        }
        upcoming.sort_unstable();
        for same in upcoming.chunk_by(|one, other| one.0 == other.0) {
            let items: Vec<usize> = same.iter().map(|(_, item)| *item).collect();
            let total = items.iter().map(|item| &self.items[*item].amount).sum();
            self.keep_scheduled(InvoiceKind::Scheduled, number, same[0].0, items, total, true);
        }
        for item in &mut self.items {
            if item.contract == number && item.state == ItemState::Pending && !item.is_true_up {
                item.state = ItemState::Removed;
            }
        }
        for balance in &mut self.balances {
            if balance.contract == Some(number) && balance.archived.is_none() {
                balance.archived = Some(self.now);
            }
        }
        self.contracts[number].archived = Some(self.now);
        if voids {
            for invoice in self.invoices.iter_mut().filter(|invoice| invoice.contract == number) {
                invoice.voided = invoice.voided.or(Some(self.now));
            }
        }
        self.send_all_payments();
        self.give_back(number);
        self.schedule_true_ups();
        true
    }

    fn keep_scheduled(
        &mut self,
        kind: InvoiceKind,
        contract: usize,
        at: Instant,
        items: Vec<usize>,
        total: Decimal,
        is_void: bool,
    ) {
        let number = self.invoices.len();
        for item in items {
            self.items[item].state = ItemState::On(number);
        }
        let (start, end, bill) = (at, at, Bill::default());
        self.invoices.push(Invoice {
            id: String::new(),
            kind,
            contract,
            start,
            end,
            voided: is_void.then_some(self.now),
            original: number,
            bill,
            charged: total,
        });
    }

    /// The newest invoice of the same statement or date.
    pub fn newest(&self, invoice: usize) -> usize {
        let original = self.invoices[invoice].original;
        let same = |one: &Invoice| one.original == original;
        self.invoices.iter().rposition(same).expect("itself")
    }

    fn regenerate(&mut self, void: usize) -> bool {
        let newest = self.newest(void);
        let Invoice { kind, contract, start, end, original, .. } = self.invoices[void];
        if !self.invoices[newest].is_void() || self.contracts[contract].archived.is_some() {
            return false;
        }
        let mut items: Vec<usize> =
            (0..self.items.len()).filter(|item| self.items[*item].state == ItemState::On(newest)).collect();
        items.retain(|item| {
            self.items[*item].balance.is_none_or(|balance| self.balances[balance].archived.is_none())
        });
        let mut charged: Decimal = items.iter().map(|item| &self.items[*item].amount).sum();
        let mut bill = Bill::default();
        match kind {
            InvoiceKind::TrueUp => {
                let Some(balance) = items.first().and_then(|item| self.items[*item].balance) else {
                    return false;
                };
                charged = self.short(balance, &[]);
                if self.is_held_up(balance) || self.balances[balance].is_disabled || !is_positive(&charged) {
                    return false;
                }
                self.freeze_promise(balance);
            }
            InvoiceKind::Scheduled if items.is_empty() => return false,
            InvoiceKind::Scheduled => {}
            InvoiceKind::Usage => {
                let place = self.place(contract, end);
                let drafts = self.drafts_before(Some(place));
                let reserved: Vec<Draw> = drafts.into_iter().flat_map(|draft| draft.bill.draws).collect();
                bill = self.bill(contract, (start, end), &reserved);
            }
        }
        let number = self.invoices.len();
        for item in items {
            self.items[item].state = ItemState::On(number);
        }
        let (id, voided) = (String::new(), None);
        self.invoices.push(Invoice { id, kind, contract, start, end, voided, original, bill, charged });
        if kind == InvoiceKind::Usage {
            self.schedule_true_ups();
        }
        true
    }

    // -- true-ups --

    pub fn pending_true_up(&self, balance: usize) -> Option<usize> {
        self.items.iter().position(|item| {
            item.is_true_up && item.balance == Some(balance) && item.state == ItemState::Pending
        })
    }

    /// The final invoice of what was short.
    pub fn final_true_up(&self, balance: usize) -> Option<&Invoice> {
        let mut items = self.items.iter().filter(|item| item.is_true_up && item.balance == Some(balance));
        items.find_map(|item| match item.state {
            ItemState::On(invoice) => Some(&self.invoices[invoice]).filter(|invoice| !invoice.is_void()),
            _ => None,
        })
    }

    /// What is billed of a promise beside usage.
    pub fn billed_short(&self, balance: usize) -> Decimal {
        self.final_true_up(balance).map(|invoice| invoice.charged.clone()).unwrap_or_default()
    }

    /// Whether nobody will bill what is short.
    pub fn is_lapsed(&self, number: usize) -> bool {
        let balance = &self.balances[number];
        let mut items = self.items.iter().filter(|item| item.is_true_up && item.balance == Some(number));
        let is_removed = items.clone().any(|item| item.state == ItemState::Removed);
        let billed_on = items.next_back().map(|item| item.contract).or(balance.billed_on);
        let is_billed_by_none = billed_on.is_none_or(|contract| self.contracts[contract].archived.is_some());
        let is_given_up = balance.is_disabled || balance.do_not_invoice || is_removed || is_billed_by_none;
        self.final_true_up(number).is_none() && is_given_up
    }

    /// Date and day of finalization of what is short of a promise.
    pub fn true_up(&self, number: usize) -> Option<(Instant, Instant)> {
        let balance = &self.balances[number];
        let is_billed = balance.billed_on.is_some_and(|contract| self.contracts[contract].archived.is_none());
        if balance.archived.is_some() || balance.is_disabled || !is_billed {
            return None;
        }
        let segment = &balance.segments[0];
        let own_end = balance.contract.and_then(|own| self.contracts[own].end);
        let end = own_end.map_or(segment.end, |own| own.min(segment.end));
        if end <= segment.start {
            return None;
        }
        let dated_at = if end < segment.end { end } else { balance.payments[0].at };
        let mut due = dated_at;
        for (number, contract) in self.contracts.iter().enumerate() {
            let from = segment.start.max(contract.start);
            let to = contract.end.map_or(end, |last| last.min(end));
            if contract.archived.is_some() || !balance.is_of(number) || to <= from {
                continue;
            }
            // The last statement that has a part of it.
            let mut last = contract.calendar.around(to - TimeDelta::seconds(1)).1;
            last = contract.end.map_or(last, |end| last.min(end));
            due = due.max(last + GRACE);
        }
        Some((dated_at, due))
    }

    /// Whether usage that may spend a promise is void, and not made anew.
    fn is_held_up(&self, number: usize) -> bool {
        let balance = &self.balances[number];
        let segment = &balance.segments[0];
        let own_end = balance.contract.and_then(|own| self.contracts[own].end);
        let end = own_end.map_or(segment.end, |own| own.min(segment.end));
        (0..self.invoices.len()).any(|place| {
            let invoice = &self.invoices[place];
            matches!(invoice.kind, InvoiceKind::Usage)
                && invoice.is_void()
                && self.newest(place) == place
                && self.contracts[invoice.contract].archived.is_none()
                && balance.is_of(invoice.contract)
                && invoice.start < end
                && segment.start < invoice.end
        })
    }

    pub fn schedule_true_ups(&mut self) {
        for balance in 0..self.balances.len() {
            if self.pending_true_up(balance).is_some() {
                self.balances[balance].true_up_due = self.true_up(balance).map(|(_, due)| due);
            }
        }
    }

    /// What is short of a promise by final invoices, and by drafts where some are given.
    pub fn short(&self, number: usize, drafts: &[Draft]) -> Decimal {
        let balance = &self.balances[number];
        let mut short = Decimal::default();
        let reserved = draws_of(drafts);
        for segment in &balance.segments {
            short += self.worth(number, segment, &reserved);
            short += balance.manual(segment.number);
            short -= self.drawn(segment.number);
            let own = reserved.iter().filter(|draw| draw.segment == segment.number);
            short -= own.map(|draw| &draw.amount).sum::<Decimal>();
        }
        for taken in self.taken_of(number, &reserved) {
            short -= taken.amount;
        }
        short.max(Decimal::default())
    }

    // -- usage --

    /// Invoices that count.
    pub fn standing(&self) -> impl Iterator<Item = (usize, &Invoice)> {
        self.invoices.iter().enumerate().filter(|(_, invoice)| !invoice.is_void())
    }

    /// What final invoices drew of a segment.
    pub fn drawn(&self, segment: usize) -> Decimal {
        let draws = self.standing().flat_map(|(_, invoice)| &invoice.bill.draws);
        draws.filter(|draw| draw.segment == segment).map(|draw| &draw.amount).sum()
    }

    pub fn place(&self, contract: usize, end: Instant) -> (Instant, Instant, String) {
        (end, self.contracts[contract].start, self.contracts[contract].id.clone())
    }

    /// The drafts of usage in the order in which they draw; those before a place where one is given.
    pub fn drafts_before(&self, place: Option<(Instant, Instant, String)>) -> Vec<Draft> {
        let mut open = Vec::new();
        for (number, contract) in self.contracts.iter().enumerate() {
            for period in contract.open_statements(self.now) {
                open.push((self.place(number, period.1), number, period));
            }
        }
        open.sort();
        if let Some(place) = place {
            open.retain(|(own, ..)| *own < place);
        }
        let mut drafts: Vec<Draft> = Vec::new();
        for (_, contract, (start, end)) in open {
            let reserved: Vec<Draw> = drafts.iter().flat_map(|draft| draft.bill.draws.clone()).collect();
            let bill = self.bill(contract, (start, end), &reserved);
            let riding = self.riding(contract, (start, end));
            let charged = riding.iter().map(|item| &self.items[*item].amount).sum();
            drafts.push(Draft { contract, start, end, bill, charged });
        }
        drafts
    }

    /// The scheduled charges that are on a statement.
    fn riding(&self, contract: usize, period: (Instant, Instant)) -> Vec<usize> {
        let own = &self.contracts[contract];
        let rides = |item: &Item| {
            item.contract == contract
                && item.state == ItemState::Pending
                && !item.is_true_up
                && own.statement_of_charge(item.at) == Some(period)
        };
        (0..self.items.len()).filter(|item| rides(&self.items[*item])).collect()
    }

    /// The dates of scheduled drafts, with what they come to.
    pub fn scheduled_drafts(&self) -> Vec<(usize, Instant, Decimal)> {
        let mut drafts: Vec<(usize, Instant, Decimal)> = Vec::new();
        for item in self.items.iter().filter(|item| item.state == ItemState::Pending && !item.is_true_up) {
            let contract = &self.contracts[item.contract];
            let rides = contract.statement_of_charge(item.at).is_some_and(|(start, _)| start <= self.now);
            if contract.archived.is_some() || rides {
                continue;
            }
            let same =
                drafts.iter_mut().find(|(contract, at, _)| (*contract, *at) == (item.contract, item.at));
            match same {
                Some((.., total)) => *total += &item.amount,
                None => drafts.push((item.contract, item.at, item.amount.clone())),
            }
        }
        drafts
    }

    /// The drafts of what is short.
    pub fn true_up_drafts(&self, drafts: &[Draft]) -> Vec<(usize, Instant, Decimal)> {
        let mut short = Vec::new();
        for balance in 0..self.balances.len() {
            let Some(item) = self.pending_true_up(balance) else { continue };
            let Some((dated_at, _)) = self.true_up(balance) else { continue };
            let amount = self.short(balance, drafts);
            if is_positive(&amount) {
                short.push((self.items[item].contract, dated_at, amount));
            }
        }
        short
    }

    // -- what time brings --

    /// When the next usage statement becomes final.
    pub fn next_finalization(&self) -> Option<Instant> {
        let next = self.contracts.iter().filter_map(|contract| {
            contract.open_statement(contract.finalized_until).map(|(_, end)| end + GRACE)
        });
        next.min()
    }

    fn next_due(&self) -> Option<(Instant, Due)> {
        let mut due: Vec<((Instant, u8, Instant, String), Due)> = Vec::new();
        for grant in &self.grants {
            let contract = &self.contracts[grant.contract];
            if let (None, Some(at)) = (contract.archived, self.grant_due(grant)) {
                due.push(((at, 0, at, String::new()), Due::Make(grant.contract)));
            }
        }
        for (number, contract) in self.contracts.iter().enumerate() {
            let own = self.items.iter().filter(|item| {
                item.contract == number
                    && item.state == ItemState::Pending
                    && !item.is_true_up
                    && contract.archived.is_none()
                    && contract.statement_of_charge(item.at).is_none()
            });
            if let Some(at) = own.map(|item| item.at).min() {
                due.push(((at, 1, at, String::new()), Due::Scheduled(number, at)));
            }
            if let Some((_, end)) = contract.open_statement(contract.finalized_until) {
                let place = (end + GRACE, 2, contract.start, contract.id.clone());
                due.push((place, Due::Statement(number)));
            }
        }
        for (number, balance) in self.balances.iter().enumerate() {
            if let Some(at) = balance.true_up_due {
                due.push(((at, 3, at, String::new()), Due::TrueUp(number)));
            }
        }
        due.sort_by(|(one, _), (other, _)| one.cmp(other));
        due.into_iter().next().map(|((at, ..), due)| (at, due))
    }

    pub fn is_anything_due(&self) -> bool {
        self.next_due().is_some_and(|(at, _)| at <= self.now)
    }

    /// Does everything that is due until an instant, in time order.
    pub fn work(&mut self, until: Instant) {
        while let Some((at, due)) = self.next_due().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            match due {
                Due::Make(contract) => self.grow(contract, at),
                Due::Scheduled(contract, at) => {
                    let own = &self.contracts[contract];
                    let items: Vec<usize> = (0..self.items.len())
                        .filter(|number| {
                            let item = &self.items[*number];
                            item.contract == contract
                                && item.state == ItemState::Pending
                                && !item.is_true_up
                                && item.at == at
                                && own.statement_of_charge(at).is_none()
                        })
                        .collect();
                    let total = items.iter().map(|item| &self.items[*item].amount).sum();
                    self.keep_scheduled(InvoiceKind::Scheduled, contract, at, items, total, false);
                }
                Due::Statement(contract) => self.finalize(contract),
                Due::TrueUp(balance) => self.settle(balance, at),
            }
        }
        self.now = self.now.max(until);
    }

    fn finalize(&mut self, contract: usize) {
        let own = &self.contracts[contract];
        let (start, end) = own.open_statement(own.finalized_until).expect("it is due");
        if own.finalized_until == own.start {
            self.freeze_taken_by(contract);
        }
        let bill = self.bill(contract, (start, end), &[]);
        let riding = self.riding(contract, (start, end));
        let charged = riding.iter().map(|item| &self.items[*item].amount).sum();
        let number = self.invoices.len();
        for item in riding {
            self.items[item].state = ItemState::On(number);
        }
        let (id, kind, voided, original) = (String::new(), InvoiceKind::Usage, None, number);
        self.invoices.push(Invoice { id, kind, contract, start, end, voided, original, bill, charged });
        self.contracts[contract].finalized_until = end;
    }

    fn settle(&mut self, balance: usize, at: Instant) {
        self.balances[balance].true_up_due = None;
        let Some((item, (dated_at, due))) = self.pending_true_up(balance).zip(self.true_up(balance)) else {
            return;
        };
        if due > at {
            self.balances[balance].true_up_due = Some(due);
            return;
        }
        if self.is_held_up(balance) {
            return;
        }
        self.freeze_promise(balance);
        let short = self.short(balance, &[]);
        if is_positive(&short) {
            let contract = self.items[item].contract;
            self.keep_scheduled(InvoiceKind::TrueUp, contract, dated_at, vec![item], short, false);
        }
    }
}

/// A draft of usage.
pub struct Draft {
    pub contract: usize,
    pub start: Instant,
    pub end: Instant,
    pub bill: Bill,
    pub charged: Decimal,
}
