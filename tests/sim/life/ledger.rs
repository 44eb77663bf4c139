//! What the naive model says that a reader sees: ledgers, what is left, and invoices.

use upbeat::money::{Decimal, QuantityRounding, RoundingMethod, plain};
use upbeat::time::Instant;

use super::customer::{Customer, Draft, Draw, Invoice, InvoiceKind};
use super::renewal::Portion;
use super::step::{DrawnBy, Kind};

/// Amounts are compared to nine decimals: where quotients are added up differs.
pub fn shown(amount: &Decimal) -> String {
    let rounding = QuantityRounding { rounding_method: RoundingMethod::RoundHalfUp, decimal_places: 9 };
    plain(&rounding.apply(amount))
}

/// An entry: when, its place among those of one instant, what it is, and how much.
pub type Entry = (Instant, u8, &'static str, Decimal);

/// Entries as lines in their order, without those that are nothing but for where quotients are added up.
pub fn listed(mut entries: Vec<Entry>) -> Vec<String> {
    entries.retain(|(.., amount)| shown(amount) != "0");
    entries.sort_by(|one, other| (one.0, one.1, &one.3).cmp(&(other.0, other.1, &other.3)));
    entries.iter().map(|(at, _, kind, amount)| format!("{at} {kind} {}", shown(amount))).collect()
}

pub const KINDS: [&str; 7] = ["START", "MANUAL", "DEDUCTION", "CANCELED", "ROLLOVER", "TRUEUP", "EXPIRATION"];

pub fn place_of(kind: &str) -> u8 {
    let place = KINDS.iter().position(|one| *one == kind).unwrap_or_else(|| panic!("an entry {kind}"));
    u8::try_from(place).expect("few")
}

fn entry(at: Instant, kind: &'static str, amount: Decimal) -> Entry {
    (at, place_of(kind), kind, amount)
}

/// What drafts draw.
pub fn draws_of(drafts: &[Draft]) -> Vec<Draw> {
    drafts.iter().flat_map(|draft| draft.bill.draws.clone()).collect()
}

impl Customer {
    /// The ledger of a commit or credit; none of one that was archived by itself.
    pub fn ledger(&self, number: usize, drafts: &[Draft]) -> Option<Vec<Entry>> {
        let balance = &self.balances[number];
        let own = balance.contract.map(|contract| &self.contracts[contract]);
        if let Some(archived) = balance.archived
            && own.and_then(|own| own.archived) != Some(archived)
        {
            return None;
        }
        let mut entries = Vec::new();
        let reserved = draws_of(drafts);
        let taken = self.taken_of(number, &reserved);
        for segment in balance.segments.iter().filter(|segment| segment.start <= self.now) {
            let mut of_segment = Vec::new();
            let final_draws = self
                .invoices
                .iter()
                .flat_map(|invoice| invoice.bill.draws.iter().map(move |draw| (draw, invoice.is_void())));
            let draft_draws =
                drafts.iter().flat_map(|draft| draft.bill.draws.iter().map(|draw| (draw, false)));
            for (draw, is_void) in final_draws.chain(draft_draws) {
                if draw.segment != segment.number || (is_void && balance.kind == Kind::Postpaid) {
                    continue;
                }
                of_segment.push(entry(draw.at, "DEDUCTION", -&draw.amount));
                if is_void {
                    of_segment.push(entry(draw.at, "CANCELED", draw.amount.clone()));
                }
            }
            let access = balance.access(segment, &self.contracts);
            if access.is_none() && of_segment.is_empty() {
                // The contract was over before it began.
                continue;
            }
            let end = access.map_or(segment.start, |(_, end)| end);
            of_segment.push(entry(segment.start, "START", self.worth(number, segment, &reserved)));
            for manual in balance.manual.iter().filter(|manual| manual.segment == segment.number) {
                of_segment.push(entry(manual.at, "MANUAL", manual.amount.clone()));
            }
            let has_come = |one: &&Portion| one.segment == segment.number && one.at <= self.now;
            for portion in taken.iter().filter(has_come) {
                of_segment.push(entry(portion.at, "ROLLOVER", -&portion.amount));
            }
            if let Some(invoice) = self.final_true_up(number) {
                of_segment.push(entry(invoice.start, "TRUEUP", -&invoice.charged));
            }
            let zero = Decimal::default();
            of_segment.retain(|(.., amount)| *amount != zero);
            let left: Decimal = of_segment.iter().map(|(.., amount)| amount).sum();
            let is_over = end <= self.now
                && (balance.kind != Kind::Postpaid
                    || access.is_none()
                    || self.is_lapsed(number)
                    || own.is_some_and(|own| own.archived.is_some()));
            if is_over && left > zero {
                of_segment.push(entry(end, "EXPIRATION", -left));
            }
            entries.extend(of_segment);
        }
        Some(entries)
    }

    /// What is left of the segments that may be drawn now.
    pub fn left(&self, number: usize, drafts: &[Draft]) -> Decimal {
        let balance = &self.balances[number];
        let mut sum = Decimal::default();
        let reserved = draws_of(drafts);
        let taken = self.taken_of(number, &reserved);
        if balance.archived.is_some() {
            return sum;
        }
        for segment in &balance.segments {
            let access = balance.access(segment, &self.contracts);
            if !access.is_some_and(|(start, end)| start <= self.now && self.now < end) {
                continue;
            }
            let mut left = self.worth(number, segment, &reserved) + balance.manual(segment.number);
            left -= self.drawn(segment.number);
            let draws = reserved.iter().filter(|draw| draw.segment == segment.number);
            left -= draws.map(|draw| &draw.amount).sum::<Decimal>();
            let has_come = |one: &&Portion| one.segment == segment.number && one.at <= self.now;
            left -= taken.iter().filter(has_come).map(|one| &one.amount).sum::<Decimal>();
            left -= self.billed_short(number);
            sum += left.max(Decimal::default());
        }
        sum
    }

    /// All that is left together, of money or of units.
    pub fn net(&self, drafts: &[Draft], drawn_by: DrawnBy) -> Decimal {
        let own = (0..self.balances.len()).filter(|number| self.balances[*number].drawn_by == drawn_by);
        own.map(|number| self.left(number, drafts)).sum()
    }

    /// All invoices as lines, in no order that means anything.
    pub fn invoice_lines(&self, drafts: &[Draft]) -> Vec<String> {
        let mut lines: Vec<String> = self.invoices.iter().map(Self::invoice_line).collect();
        for Draft { contract, start, end, bill, charged } in drafts {
            let total = &bill.total + charged;
            let counts: Vec<String> = bill.counts.iter().map(shown).collect();
            let gross = shown(&bill.gross);
            lines.push(usage_line("DRAFT", *contract, (*start, *end), &shown(&total), &gross, &counts));
        }
        let true_ups = self.true_up_drafts(drafts);
        for (contract, at, total) in self.scheduled_drafts().into_iter().chain(true_ups) {
            lines.push(scheduled_line("DRAFT", contract, at, &shown(&total)));
        }
        lines.sort();
        lines
    }

    fn invoice_line(invoice: &Invoice) -> String {
        let Invoice { kind, contract, start, end, bill, charged, .. } = invoice;
        let status = if invoice.is_void() { "VOID" } else { "FINALIZED" };
        if *kind != InvoiceKind::Usage {
            return scheduled_line(status, *contract, *start, &shown(charged));
        }
        let counts: Vec<String> = bill.counts.iter().map(shown).collect();
        let total = shown(&(&bill.total + charged));
        usage_line(status, *contract, (*start, *end), &total, &shown(&bill.gross), &counts)
    }
}

pub fn usage_line(
    status: &str,
    contract: usize,
    (start, end): (Instant, Instant),
    total: &str,
    gross: &str,
    counts: &[String],
) -> String {
    format!(
        "USAGE of {contract} {start}..{end} {status} {total} (usage worth {gross}, counts {})",
        counts.join(" ")
    )
}

pub fn scheduled_line(status: &str, contract: usize, at: Instant, total: &str) -> String {
    format!("SCHEDULED of {contract} {at} {status} {total}")
}
