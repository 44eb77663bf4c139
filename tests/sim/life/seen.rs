//! What a reader of the server sees of a customer, and what must hold of it whatever the naive model says.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::Value;

use upbeat::id::deterministic;
use upbeat::money::{Decimal, parse_decimal};
use upbeat::time::Instant;

use super::bill::PRODUCTS;
use super::customer::{Customer, Draft, InvoiceKind};
use super::ledger::{Entry, KINDS, draws_of, listed, place_of, scheduled_line, shown, usage_line};
use super::step::{DrawnBy, Kind};

/// Commits and credits, and invoices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub balances: Vec<Value>,
    pub invoices: Vec<Value>,
    /// All that is left together, of money and of units.
    pub net: [Decimal; 2],
}

pub fn at(value: &Value) -> Instant {
    Instant::from_str(text(value)).expect("an instant")
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text and not {value}"))
}

pub fn number(value: &Value) -> Decimal {
    parse_decimal(&value.to_string()).unwrap_or_else(|_| panic!("a number and not {value}"))
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The segments and payments of a commit or credit.
pub fn items<'a>(balance: &'a Value, schedule: &str) -> &'a [Value] {
    list(&balance[schedule]["schedule_items"])
}

fn entries(balance: &Value) -> Option<Vec<Entry>> {
    let ledger = balance["ledger"].as_array()?;
    let is_credit = balance["type"] == "CREDIT";
    let of = |entry: &Value| {
        let wire = text(&entry["type"]);
        let own =
            if is_credit { "CREDIT_".to_owned() } else { format!("{}_COMMIT_", text(&balance["type"])) };
        let rest = wire.strip_prefix(&own).unwrap_or_else(|| panic!("{wire} in a ledger of {own}"));
        let name = match rest {
            "SEGMENT_START" | "INITIAL_BALANCE" => "START",
            "AUTOMATED_INVOICE_DEDUCTION" => "DEDUCTION",
            rest => rest,
        };
        let kind = KINDS[usize::from(place_of(name))];
        (at(&entry["timestamp"]), place_of(kind), kind, number(&entry["amount"]))
    };
    Some(ledger.iter().map(of).collect())
}

/// The type of a balance as the model calls it.
fn kind(balance: &Value) -> Kind {
    match text(&balance["type"]) {
        "PREPAID" => Kind::Prepaid,
        "POSTPAID" => Kind::Postpaid,
        _ => Kind::Credit,
    }
}

impl Seen {
    /// Teaches the model the ids of what is new.
    pub fn teach(&self, customer: &mut Customer) {
        self.teach_invoices(customer);
        for place in 0..customer.balances.len() {
            if customer.balances[place].taken.is_some() {
                self.teach_taken(customer, place);
                continue;
            }
            let balance = &mut customer.balances[place];
            let first = balance.segments[0].start;
            let found = self.balances.iter().find(|seen| {
                let is_named = balance.id.is_empty()
                    && seen["name"] == balance.name.as_str()
                    && seen["rolled_over_from"].is_null();
                seen["id"] == balance.id.as_str()
                    || (is_named
                        && items(seen, "access_schedule").iter().any(|one| at(&one["starting_at"]) == first))
            });
            let Some(seen) = found else { continue };
            text(&seen["id"]).clone_into(&mut balance.id);
            let access = items(seen, "access_schedule");
            // One that was made anew has the same segment.
            let mut known: Vec<String> =
                balance.segments.iter().map(|one| one.id.clone()).filter(|id| !id.is_empty()).collect();
            for segment in balance.segments.iter_mut().filter(|segment| segment.id.is_empty()) {
                let is_it = |one: &&Value| {
                    at(&one["starting_at"]) == segment.start
                        && at(&one["ending_before"]) == segment.end
                        && shown(&number(&one["amount"])) == shown(&segment.amount)
                        && !known.iter().any(|id| one["id"] == id.as_str())
                };
                if let Some(one) = access.iter().find(is_it) {
                    text(&one["id"]).clone_into(&mut segment.id);
                    known.push(segment.id.clone());
                }
            }
            let payments = items(seen, "invoice_schedule");
            let mut known: Vec<String> =
                balance.payments.iter().map(|one| one.id.clone()).filter(|id| !id.is_empty()).collect();
            for payment in balance.payments.iter_mut().filter(|payment| payment.id.is_empty()) {
                let is_it = |one: &&Value| {
                    at(&one["timestamp"]) == payment.at
                        && shown(&number(&one["amount"])) == shown(&payment.amount)
                        && !known.iter().any(|id| one["id"] == id.as_str())
                };
                if let Some(one) = payments.iter().find(is_it) {
                    text(&one["id"]).clone_into(&mut payment.id);
                    known.push(payment.id.clone());
                }
            }
        }
    }

    /// What a renewal took over is called by the segment of which it was taken: several of one origin may look alike.
    fn teach_taken(&self, customer: &mut Customer, number: usize) {
        let balance = &customer.balances[number];
        let taken = balance.taken.as_ref().expect("it was taken over");
        let origin = customer.balances[taken.origin].segments.iter().find(|one| one.number == taken.segment);
        if let (true, Some(origin)) = (balance.id.is_empty(), origin) {
            let to = customer.contracts[balance.contract.expect("it is of the new contract")].id.as_str();
            let id = deterministic("rollover", &[&origin.id, to]).to_string();
            customer.balances[number].id = id;
        }
        let balance = &mut customer.balances[number];
        let Some(seen) = self.balances.iter().find(|seen| seen["id"] == balance.id.as_str()) else { return };
        for (segment, one) in balance.segments.iter_mut().zip(items(seen, "access_schedule")) {
            text(&one["id"]).clone_into(&mut segment.id);
        }
        for (payment, one) in balance.payments.iter_mut().zip(items(seen, "invoice_schedule")) {
            text(&one["id"]).clone_into(&mut payment.id);
        }
    }

    fn teach_invoices(&self, customer: &mut Customer) {
        for number in 0..customer.invoices.len() {
            let invoice = &customer.invoices[number];
            if !invoice.id.is_empty() {
                continue;
            }
            let contract = customer.contracts[invoice.contract].id.as_str();
            let is_usage = invoice.kind == InvoiceKind::Usage;
            let total = shown(&(&invoice.bill.total + &invoice.charged));
            let is_it = |seen: &&Value| {
                let is_of_postpaid = !seen["line_items"][0]["postpaid_commit"].is_null();
                seen["status"] != "DRAFT"
                    && seen["contract_id"] == contract
                    && (seen["type"] == "USAGE") == is_usage
                    && (at(&seen["start_timestamp"]), at(&seen["end_timestamp"]))
                        == (invoice.start, invoice.end)
                    && (is_usage || is_of_postpaid == (invoice.kind == InvoiceKind::TrueUp))
                    && (is_usage || shown(&self::number(&seen["total"])) == total)
                    && !customer.invoices.iter().any(|known| seen["id"] == known.id.as_str())
            };
            if let Some(seen) = self.invoices.iter().find(is_it) {
                text(&seen["id"]).clone_into(&mut customer.invoices[number].id);
            }
        }
    }

    /// What differs from the model; and breaks of what must hold by itself.
    pub fn faults(&self, customer: &Customer) -> Vec<String> {
        let mut faults = Vec::new();
        let drafts = customer.drafts_before(None);
        let mut differ = |what: String, seen: &[String], expected: &[String]| {
            if seen != expected {
                faults.push(format!("{what}\n    seen:     {seen:#?}\n    expected: {expected:#?}"));
            }
        };
        for (number, balance) in customer.balances.iter().enumerate() {
            let name = format!("ledger of {} ({number})", balance.name);
            let Some(seen) = self.balances.iter().find(|seen| seen["id"] == balance.id.as_str()) else {
                differ(name, &["nothing".to_owned()], &["something".to_owned()]);
                continue;
            };
            let left =
                format!("{:?} of which {} is left", kind(seen), shown(&self::number(&seen["balance"])));
            let expected = customer.ledger(number, &drafts);
            let (seen, expected_left) = (entries(seen), customer.left(number, &drafts));
            let lines = |entries: Option<Vec<Entry>>, left: String| -> Vec<String> {
                entries.map_or_else(|| vec!["none".to_owned()], listed).into_iter().chain([left]).collect()
            };
            let expected_left = format!("{:?} of which {} is left", balance.kind, shown(&expected_left));
            differ(name, &lines(seen, left), &lines(expected, expected_left));
        }
        self.differ_of_taken(customer, &drafts, &mut differ);
        let net = [DrawnBy::Money, DrawnBy::Units].map(|drawn_by| shown(&customer.net(&drafts, drawn_by)));
        differ("all that is left".to_owned(), &self.net.each_ref().map(shown), &net);
        let own = |seen: &&Value| customer.balances.iter().any(|one| seen["id"] == one.id.as_str());
        let strangers = self.balances.iter().filter(|seen| !own(seen)).map(Value::to_string);
        differ("commits and credits".to_owned(), &strangers.collect::<Vec<_>>(), &[]);
        let mut seen: Vec<String> =
            self.invoices.iter().map(|invoice| invoice_line(invoice, customer)).collect();
        seen.sort();
        let expected = customer.invoice_lines(&drafts);
        let missing: Vec<String> = expected.iter().filter(|line| !seen.contains(line)).cloned().collect();
        let surplus: Vec<String> = seen.iter().filter(|line| !expected.contains(line)).cloned().collect();
        differ("invoices".to_owned(), &surplus, &missing);
        if seen.len() != expected.len() {
            differ("the number of invoices".to_owned(), &seen, &expected);
        }
        faults.extend(self.faults_by_itself(customer, &drafts));
        faults
    }

    /// What was taken over is of what it was taken, for the time that it has, and begins with what was taken.
    fn differ_of_taken(
        &self,
        customer: &Customer,
        drafts: &[Draft],
        differ: &mut impl FnMut(String, &[String], &[String]),
    ) {
        let reserved = draws_of(drafts);
        for (number, balance) in customer.balances.iter().enumerate() {
            let Some(taken) = &balance.taken else { continue };
            let seen = self.balances.iter().find(|seen| seen["id"] == balance.id.as_str());
            let (Some(seen), segment) = (seen, &balance.segments[0]) else { continue };
            let from = &seen["rolled_over_from"];
            let from = if balance.kind == Kind::Credit { &from["credit_id"] } else { &from["commit_id"] };
            let of_one = |one: &Value| {
                let amount = shown(&self::number(&one["amount"]));
                format!("{} {}..{} {amount}", text(from), at(&one["starting_at"]), at(&one["ending_before"]))
            };
            let origin = &customer.balances[taken.origin].id;
            let worth = shown(&customer.worth(number, segment, &reserved));
            let expected = format!("{origin} {}..{} {worth}", segment.start, segment.end);
            let seen: Vec<String> = items(seen, "access_schedule").iter().map(of_one).collect();
            differ(format!("what was taken of {} ({number})", balance.name), &seen, &[expected]);
        }
    }

    /// Exact sums.
    fn faults_by_itself(&self, customer: &Customer, drafts: &[Draft]) -> Vec<String> {
        let mut faults = Vec::new();
        let zero = Decimal::default();
        let reserved = draws_of(drafts);
        // What each invoice applies of each balance.
        let mut applied: BTreeMap<(&str, &str), Decimal> = BTreeMap::new();
        for invoice in &self.invoices {
            let id = text(&invoice["id"]);
            let (mut total, mut covered) = (zero.clone(), zero.clone());
            for line in list(&invoice["line_items"]) {
                let amount = number(&line["total"]);
                let is_postpaid = line["applied_commit_or_credit"]["type"] == "POSTPAID";
                if line["type"] == "applied_commit_or_credit" {
                    let of_units = line["applied_commit_or_credit"]["access_type"] == "QUANTITY";
                    let taken = if of_units { -number(&line["quantity_consumed"]) } else { amount.clone() };
                    *applied.entry((text(&line["commit_id"]), id)).or_default() -= &taken;
                    covered += &amount;
                    if is_postpaid {
                        continue;
                    }
                } else if !line["applied_commit_or_credit"].is_null() {
                    covered += &amount;
                    if amount < zero {
                        faults.push(format!("{invoice}: a covered line below zero"));
                    }
                }
                total += amount;
            }
            if covered != zero {
                faults.push(format!("invoice {id}: what is covered is not what is applied: {covered}"));
            }
            if total != number(&invoice["total"]) {
                faults.push(format!("invoice {id}: lines sum to {total} and not {}", invoice["total"]));
            }
        }
        for (place, balance) in customer.balances.iter().enumerate() {
            let Some(seen) = self.balances.iter().find(|seen| seen["id"] == balance.id.as_str()) else {
                continue;
            };
            let Some(entries) = entries(seen) else { continue };
            // One entry for what each invoice draws of a segment.
            let mut drawn: BTreeMap<&str, Decimal> = BTreeMap::new();
            for entry in
                list(&seen["ledger"]).iter().filter(|entry| text(&entry["type"]).ends_with("DEDUCTION"))
            {
                *drawn.entry(text(&entry["invoice_id"])).or_default() -= number(&entry["amount"]);
            }
            let id = text(&seen["id"]);
            let by_invoices = applied.iter().filter(|((of, _), _)| *of == id);
            let mut by_invoices: BTreeMap<&str, Decimal> =
                by_invoices.map(|((_, invoice), amount)| (*invoice, amount.clone())).collect();
            if balance.kind == Kind::Postpaid {
                // Void ones spend nothing of a promise.
                let is_void = |id: &str| {
                    self.invoices.iter().any(|invoice| invoice["id"] == id && invoice["status"] == "VOID")
                };
                by_invoices.retain(|id, _| !is_void(id));
            }
            // Those of segments that an edit removed are gone with them.
            by_invoices.retain(|id, _| drawn.contains_key(id) || !is_without(customer, place));
            for amount in drawn.values_mut().chain(by_invoices.values_mut()) {
                *amount = amount.normalized();
            }
            if !is_without(customer, place) && drawn != by_invoices {
                faults.push(format!("{}: drew {drawn:?}, and invoices apply {by_invoices:?}", balance.name));
            }
            let taken = customer.taken_of(place, &reserved);
            // Nothing below zero: then what is left is what entries sum to, as ended segments come to nothing.
            let is_positive = |segment: &super::customer::Segment| {
                let own =
                    reserved.iter().filter(|draw| draw.segment == segment.number).map(|draw| &draw.amount);
                let mut left = customer.worth(place, segment, &reserved) + balance.manual(segment.number);
                left -= customer.drawn(segment.number);
                for taken in taken.iter().filter(|one| one.segment == segment.number) {
                    left -= &taken.amount;
                }
                left - own.sum::<Decimal>() >= zero
            };
            let sum: Decimal = entries.iter().map(|(.., amount)| amount).sum();
            if balance.kind != Kind::Postpaid
                && balance.segments.iter().all(is_positive)
                && sum != number(&seen["balance"])
            {
                faults
                    .push(format!("{}: entries sum to {sum} and {} is left", balance.name, seen["balance"]));
            }
        }
        faults
    }
}

/// Whether segments of it were removed, or moved to later, that an invoice drew.
fn is_without(customer: &Customer, balance: usize) -> bool {
    let has = |segment: usize| {
        let segments = &customer.balances[balance].segments;
        segments.iter().any(|one| one.number == segment && one.start <= customer.now)
    };
    let draws = customer.invoices.iter().flat_map(|invoice| &invoice.bill.draws);
    draws.filter(|draw| draw.balance == balance).any(|draw| !has(draw.segment))
}

fn invoice_line(invoice: &Value, customer: &Customer) -> String {
    let id = &invoice["contract_id"];
    let contract = customer.contracts.iter().position(|contract| *id == contract.id.as_str());
    let contract = contract.expect("a contract of the customer");
    let status = text(&invoice["status"]);
    let total = shown(&number(&invoice["total"]));
    if invoice["type"] != "USAGE" {
        return scheduled_line(status, contract, at(&invoice["start_timestamp"]), &total);
    }
    let mut counts = vec![Decimal::default(); PRODUCTS.len()];
    let mut gross = Decimal::default();
    for line in list(&invoice["line_items"]).iter().filter(|line| line["type"] == "usage") {
        let product = PRODUCTS.iter().position(|name| line["name"] == *name).expect("one of the products");
        counts[product] += number(&line["quantity"]);
        gross += number(&line["total"]);
    }
    let counts: Vec<String> = counts.iter().map(shown).collect();
    let period = (at(&invoice["start_timestamp"]), at(&invoice["end_timestamp"]));
    usage_line(status, contract, period, &total, &shown(&gross), &counts)
}
