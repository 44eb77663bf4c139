//! Contracts that renew others in the naive model, and what they take over (reference on rollovers).

use upbeat::money::{Decimal, is_positive, zero};
use upbeat::time::Instant;

use super::customer::{Balance, Customer, Draw, Item, ItemState, Segment};
use super::step::{Edit, Kind, Renewal};

/// Of what a balance was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    pub origin: usize,
    /// Of the origin.
    pub segment: usize,
    /// Its amount stands in its own segment; else it follows from what is left of its origin.
    pub is_final: bool,
}

/// What a renewal takes of a segment.
pub struct Portion {
    pub segment: usize,
    pub to: usize,
    pub at: Instant,
    pub amount: Decimal,
}

impl Balance {
    /// Whether its amount still follows from what is left of its origin.
    pub fn is_live(&self) -> bool {
        self.archived.is_none() && self.taken.as_ref().is_some_and(|taken| !taken.is_final)
    }
}

/// Whether a renewal at an instant finds a segment: what ends just then was open just before.
fn is_open_just_before(segment: &Segment, at: Instant) -> bool {
    segment.start < at && at <= segment.end
}

impl Customer {
    // -- renewing --

    /// The contract that took the place of another.
    pub fn renewed_by(&self, from: usize) -> Option<usize> {
        self.contracts.iter().position(|one| one.renews == Some(from) && one.archived.is_none())
    }

    fn may_renew(&self, from: usize, at: Instant) -> bool {
        let old = &self.contracts[from];
        let is_billed = old.finalized_until > at && old.finalized_until > old.start;
        old.archived.is_none() && at > old.start && !is_billed && self.renewed_by(from).is_none()
    }

    pub fn renew(&mut self, Renewal { from, plan, drops_true_ups }: Renewal) -> bool {
        let at = plan.start;
        if !self.may_renew(from, at) {
            return false;
        }
        // As they are before the new end of their contract cuts them.
        let found: Vec<(usize, Segment)> =
            (0..self.balances.len()).flat_map(|number| self.may_be_taken(number, from, at)).collect();
        let end = self.contracts[from].end.map_or(at, |end| end.min(at));
        if self.contracts[from].end != Some(end) {
            self.move_end(from, Some(end));
        }
        let to = self.contracts.len();
        self.make_contract(plan);
        self.contracts[to].renews = Some(from);
        for (origin, segment) in found {
            self.take_over(origin, &segment, to);
        }
        if drops_true_ups {
            self.drop_true_ups(from, at);
        }
        self.schedule_true_ups();
        true
    }

    /// The segments of a balance of which a renewal of its contract takes something.
    fn may_be_taken(&self, number: usize, from: usize, at: Instant) -> Vec<(usize, Segment)> {
        let balance = &self.balances[number];
        let was_over = self.contracts[from].end.is_some_and(|end| end < at);
        let takes_part = balance.contract == Some(from)
            && balance.archived.is_none()
            && balance.taken.is_none()
            && balance.rollover.as_ref().is_some_and(is_positive)
            && self.final_true_up(number).is_none()
            && !was_over;
        let open = balance.segments.iter().filter(|segment| takes_part && is_open_just_before(segment, at));
        open.map(|segment| (number, segment.clone())).collect()
    }

    fn take_over(&mut self, origin: usize, from: &Segment, to: usize) {
        let contract = &self.contracts[to];
        let start = contract.start;
        let end = contract.end.unwrap_or_else(|| start + (from.end - from.start));
        // What it comes to is asked for when it is needed.
        let segment = self.segment(Decimal::default(), start, end);
        let old = &self.balances[origin];
        let is_promise = old.kind == Kind::Postpaid;
        let number = self.balances.len();
        self.balances.push(Balance {
            id: String::new(),
            name: old.name.clone(),
            kind: old.kind,
            contract: Some(to),
            applicable: Vec::new(),
            billed_on: is_promise.then_some(to),
            created: start,
            priority: old.priority,
            at_commit_rate: old.at_commit_rate,
            drawn_by: old.drawn_by,
            products: old.products.clone(),
            segments: vec![segment],
            manual: Vec::new(),
            payments: Vec::new(),
            has_schedule: false,
            do_not_invoice: is_promise && old.do_not_invoice,
            is_disabled: old.is_disabled,
            archived: None,
            made_by: None,
            made_as: None,
            taken_away: None,
            true_up_due: None,
            rollover: None,
            taken: Some(Taken { origin, segment: from.number, is_final: false }),
        });
        if is_promise {
            self.add_payment(number, end, Decimal::default());
        }
    }

    /// Has nobody bill what is short of what the old contract promised, from its end on.
    fn drop_true_ups(&mut self, from: usize, at: Instant) {
        for number in 0..self.balances.len() {
            let is_own = self.balances[number].contract == Some(from);
            if !is_own || self.pending_true_up(number).is_none() {
                continue;
            }
            if self.true_up(number).is_none_or(|(dated_at, _)| dated_at >= at) {
                self.balances[number].is_disabled = true;
                self.drop_pending(number);
            }
        }
    }

    /// Has the contract that renews another take over what recurring ones made there since.
    pub fn hand_over(&mut self, from: usize, made: Vec<usize>) {
        let Some(to) = self.renewed_by(from) else { return };
        let at = self.contracts[to].start;
        if self.contracts[from].end != Some(at) {
            return;
        }
        for number in made {
            for (origin, segment) in self.may_be_taken(number, from, at) {
                self.take_over(origin, &segment, to);
            }
        }
    }

    /// Has the contract that renews that of a balance take over what an edit opened just before it, until its first usage invoice.
    pub fn take_over_opened(&mut self, number: usize) {
        let Some(from) = self.balances[number].contract else { return };
        let Some(to) = self.renewed_by(from) else { return };
        let at = self.contracts[to].start;
        let is_final = self.contracts[to].finalized_until > at;
        if is_final || self.contracts[from].end != Some(at) {
            return;
        }
        for (origin, segment) in self.may_be_taken(number, from, at) {
            let is_it = |taken: &Taken| taken.origin == origin && taken.segment == segment.number;
            let is_there = |one: &Balance| one.contract == Some(to) && one.taken.as_ref().is_some_and(is_it);
            if !self.balances.iter().any(is_there) {
                self.take_over(origin, &segment, to);
            }
        }
    }

    // -- what it comes to --

    /// What a segment begins with, where `reserved` is drawn by drafts.
    pub fn worth(&self, number: usize, segment: &Segment, reserved: &[Draw]) -> Decimal {
        let balance = &self.balances[number];
        match &balance.taken {
            Some(taken) if balance.is_live() => self.left_to_take(taken, segment.start, reserved),
            _ => segment.amount.clone(),
        }
    }

    /// Whether any amount still follows from what is left of an origin.
    pub fn has_live(&self) -> bool {
        self.balances.iter().any(Balance::is_live)
    }

    /// What is left, and at most a fraction of what there was at first, without what was written by hand.
    fn left_to_take(&self, taken: &Taken, at: Instant, reserved: &[Draw]) -> Decimal {
        let origin = &self.balances[taken.origin];
        let found = origin.segments.iter().find(|one| one.number == taken.segment);
        let found = found.filter(|segment| is_open_just_before(segment, at));
        let (Some(segment), Some(fraction)) = (found, &origin.rollover) else { return Decimal::default() };
        let most = fraction * &segment.amount;
        let mut left = &segment.amount + origin.manual(segment.number);
        left -= self.drawn(segment.number) + self.finally_taken(segment.number);
        for draw in reserved.iter().filter(|draw| draw.segment == segment.number) {
            left -= &draw.amount;
        }
        most.min(left).max(Decimal::default())
    }

    /// What renewals took of a segment for good.
    pub fn finally_taken(&self, segment: usize) -> Decimal {
        let is_of = |taken: &Taken| taken.is_final && taken.segment == segment;
        let taking = self.balances.iter().filter(|one| one.taken.as_ref().is_some_and(is_of));
        taking.map(|one| &one.segments[0].amount).sum()
    }

    /// What renewals take of a balance, be it final or not.
    pub fn taken_of(&self, origin: usize, reserved: &[Draw]) -> Vec<Portion> {
        let mut portions = Vec::new();
        for (number, balance) in self.balances.iter().enumerate() {
            let Some(taken) = balance.taken.as_ref().filter(|taken| taken.origin == origin) else { continue };
            let segment = &balance.segments[0];
            let amount = self.worth(number, segment, reserved);
            let to = balance.contract.expect("it is of the new contract");
            portions.push(Portion { segment: taken.segment, to, at: segment.start, amount });
        }
        portions
    }

    // -- what becomes of it --

    /// Before the first usage invoice of the new contract is final.
    pub fn freeze_taken_by(&mut self, to: usize) {
        self.freeze(|_, balance| balance.contract == Some(to));
    }

    /// Before what is short of a promise is billed, as what is moved is not: what was taken of it, and itself where it was taken.
    pub fn freeze_promise(&mut self, promise: usize) {
        self.freeze(|number, balance| {
            number == promise || balance.taken.as_ref().is_some_and(|taken| taken.origin == promise)
        });
    }

    fn freeze(&mut self, is_meant: impl Fn(usize, &Balance) -> bool) {
        let mut amounts = Vec::new();
        for (number, balance) in self.balances.iter().enumerate() {
            if balance.is_live() && is_meant(number, balance) {
                amounts.push((number, self.worth(number, &balance.segments[0], &[])));
            }
        }
        for (number, amount) in amounts {
            let balance = &mut self.balances[number];
            // What somebody wrote into it may be left where nothing was taken.
            let granted = &amount + balance.manual(balance.segments[0].number);
            let is_nothing = !is_positive(&amount) && !is_positive(&granted);
            balance.set_final(amount.clone());
            for payment in &mut balance.payments {
                payment.amount = amount.clone();
            }
            if is_nothing {
                balance.archived = Some(self.now);
                self.drop_pending(number);
            }
        }
    }

    /// What a contract took that is archived goes back, but for what its invoices drew of it or bill as short.
    pub fn give_back(&mut self, to: usize) {
        for number in 0..self.balances.len() {
            if self.balances[number].taken.is_some() && self.balances[number].contract == Some(to) {
                let kept = self.kept(number, |_| false);
                self.balances[number].set_final(kept);
            }
        }
    }

    /// What an archived contract keeps of what it took over, without some of the invoices that stand.
    fn kept(&self, number: usize, is_left_out: impl Fn(usize) -> bool) -> Decimal {
        let balance = &self.balances[number];
        let segment = &balance.segments[0];
        let mut used = zero();
        for (place, invoice) in self.standing().filter(|(place, _)| !is_left_out(*place)) {
            let own = invoice.bill.draws.iter().filter(|draw| draw.segment == segment.number);
            used += own.map(|draw| &draw.amount).sum::<Decimal>();
            let bills = |item: &&Item| item.is_true_up && item.balance == Some(number);
            if self.items.iter().filter(bills).any(|item| item.state == ItemState::On(place)) {
                used += &invoice.charged;
            }
        }
        // What somebody took out by hand is used too; more was used where somebody wrote more into it.
        used -= balance.manual(segment.number).min(zero());
        let is_final = balance.taken.as_ref().is_some_and(|taken| taken.is_final);
        let most = if is_final { segment.amount.clone() } else { zero() };
        used.min(most)
    }

    /// Whether a contract that is archived without some of the invoices would give back to a promise of which the rest is billed.
    pub fn would_lose(&self, to: usize, is_left_out: impl Fn(usize) -> bool) -> bool {
        (0..self.balances.len()).any(|number| {
            let balance = &self.balances[number];
            let origin = balance.taken.as_ref().map(|taken| taken.origin);
            balance.contract == Some(to)
                && origin.is_some_and(|origin| self.final_true_up(origin).is_some())
                && (balance.is_live() || self.kept(number, &is_left_out) != balance.segments[0].amount)
        })
    }

    // -- what it holds fast --

    /// Whether anything was taken of it for good.
    pub fn is_final_origin(&self, number: usize) -> bool {
        self.balances.iter().any(|one| {
            let is_of = |taken: &Taken| taken.is_final && taken.origin == number;
            one.taken.as_ref().is_some_and(is_of) && is_positive(&one.segments[0].amount)
        })
    }

    /// Or is taken now.
    pub fn is_origin(&self, number: usize) -> bool {
        let is_of = |one: &Balance| one.taken.as_ref().is_some_and(|taken| taken.origin == number);
        self.is_final_origin(number) || self.balances.iter().any(|one| one.is_live() && is_of(one))
    }

    /// Whether a contract can neither end elsewhere nor be archived, as another one has what was left there.
    pub fn is_held_by_renewal(&self, contract: usize) -> bool {
        self.balances.iter().any(|one| {
            let from = one.taken.as_ref().and_then(|taken| self.balances[taken.origin].contract);
            one.archived.is_none() && from == Some(contract)
        })
    }

    /// Whether a balance cannot be edited so: what was taken over never, its origin not in what the renewal goes by.
    pub fn is_fixed_by_renewal(&self, number: usize, edit: &Edit) -> bool {
        let balance = &self.balances[number];
        let is_of_access = matches!(
            edit,
            Edit::Amount { .. } | Edit::Time { .. } | Edit::AddSegment { .. } | Edit::RemoveSegment { .. }
        );
        let is_of_promise = balance.kind == Kind::Postpaid && matches!(edit, Edit::Amount { .. });
        let is_of_payments = is_of_promise
            || matches!(
                edit,
                Edit::AddPayment { .. } | Edit::ChangePayment { .. } | Edit::RemovePayment { .. }
            );
        balance.taken.is_some()
            || (is_of_access && self.is_final_origin(number))
            || (is_of_payments && self.is_paid_origin(number))
    }

    /// Whether what is paid for it is settled, as its contract has ended and another one takes over what is left.
    pub fn is_paid_origin(&self, number: usize) -> bool {
        let contract = self.balances[number].contract;
        let end = contract.and_then(|contract| self.contracts[contract].end);
        end.is_some_and(|end| end <= self.now) && self.is_origin(number)
    }
}

impl Balance {
    fn set_final(&mut self, amount: Decimal) {
        self.segments[0].amount = amount;
        if let Some(taken) = &mut self.taken {
            taken.is_final = true;
        }
    }
}
