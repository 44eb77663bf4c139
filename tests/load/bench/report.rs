//! What was measured: medians over rounds with the least and the greatest, ratios within a round, and floors.

use std::fmt::Write;
use std::fs;

use crate::machine::Machine;

const README: &str = "README.md";
const BEGIN: &str = "<!-- make bench writes from here -->\n";
const END: &str = "<!-- to here -->\n";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Events or invoices.
    PerSecond,
    /// Kept in microseconds, shown in milliseconds.
    Millis,
    /// CPU time in nanoseconds for an event or an invoice, shown in microseconds.
    CpuOfEach,
    BytesOfEach,
    /// Kept in KiB, shown in MB.
    Memory,
}

/// A line of the table.
#[derive(Clone, Copy)]
pub struct Row {
    /// No two lines have the same.
    pub title: &'static str,
    pub unit: Unit,
}

const fn row(title: &'static str, unit: Unit) -> Row {
    Row { title, unit }
}

pub const SATURATION: Row = row("Events/s, batches of 100 on 256 connections", Unit::PerSecond);
pub const SERVER_CPU: Row = row("— server CPU, µs/event", Unit::CpuOfEach);
pub const POSTGRES_CPU: Row = row("— PostgreSQL CPU, µs/event", Unit::CpuOfEach);
pub const LOG_BYTES: Row = row("— write-ahead log, bytes/event", Unit::BytesOfEach);
pub const MEMORY: Row = row("— greatest memory of the server, MB", Unit::Memory);
pub const SINGLE: Row = row("Events/s, one a request on 256 connections", Unit::PerSecond);
pub const AT_20K: [Row; 4] = [
    row("20,000 events/s offered: p50, ms", Unit::Millis),
    row("20,000 events/s offered: p99, ms", Unit::Millis),
    row("20,000 events/s offered: longest, ms", Unit::Millis),
    row("20,000 events/s offered: events/s answered", Unit::PerSecond),
];
pub const AT_100K: [Row; 4] = [
    row("100,000 events/s offered, with a checkpoint: p50, ms", Unit::Millis),
    row("100,000 events/s offered, with a checkpoint: p99, ms", Unit::Millis),
    row("100,000 events/s offered, with a checkpoint: longest, ms", Unit::Millis),
    row("100,000 events/s offered, with a checkpoint: events/s answered", Unit::PerSecond),
];
pub const RETRIES: [Row; 4] = [
    row("Events/s, no request sent again", Unit::PerSecond),
    row("— 5 % of requests sent again", Unit::PerSecond),
    row("— 50 % of requests sent again", Unit::PerSecond),
    row("— every request sent again", Unit::PerSecond),
];
pub const EMPTY: Row = row("Events/s, no transaction ids before", Unit::PerSecond);
pub const PRELOADED: Row = row("— 12 to 16 M live and 59 M older transaction ids before", Unit::PerSecond);
pub const SUBJECTS: [Row; 3] = [
    row("Events/s of 50 customers", Unit::PerSecond),
    row("— of 1,000 customers", Unit::PerSecond),
    row("— of 20,000 customers", Unit::PerSecond),
];
pub const USAGE: Row =
    row("At 20,000 events/s: a month's usage of a customer with 1 M events, p99 ms", Unit::Millis);
pub const GROUPS: Row = row("— a page of usage by 1,000 groups, p99 ms", Unit::Millis);
pub const SEARCH: Row = row("— search of 10 events, p99 ms", Unit::Millis);
pub const VISIBLE: Row = row("— from sending an event to usage that shows it, p99 ms", Unit::Millis);

pub const INVOICE: Row =
    row("At 5,000 events/s: a draft invoice of 10 products in 3 groups, 200 reads/s, p99 ms", Unit::Millis);
pub const RATING: Row =
    row("CPU of pricing 500 products × 20 groups × 10 rate changes over 744 hours, ms", Unit::Millis);

pub const FINALIZED: [Row; 2] = [
    row("Invoices/s made final, 10,000 contracts of 5 products and 2 balances", Unit::PerSecond),
    row("— 2,500 contracts", Unit::PerSecond),
];
pub const FINALIZED_SERVER_CPU: [Row; 2] = [
    row("— server CPU, µs/invoice", Unit::CpuOfEach),
    row("— 2,500 contracts: server CPU, µs/invoice", Unit::CpuOfEach),
];
pub const FINALIZED_POSTGRES_CPU: [Row; 2] = [
    row("— PostgreSQL CPU, µs/invoice", Unit::CpuOfEach),
    row("— 2,500 contracts: PostgreSQL CPU, µs/invoice", Unit::CpuOfEach),
];
pub const FINALIZED_LOG_BYTES: [Row; 2] = [
    row("— write-ahead log, bytes/invoice", Unit::BytesOfEach),
    row("— 2,500 contracts: write-ahead log, bytes/invoice", Unit::BytesOfEach),
];

pub const LEDGERS: Row =
    row("At 5,000 events/s: a page of balances and ledgers, 200 active grants, p99 ms", Unit::Millis);
pub const LEDGERS_OF_OLD: Row =
    row("— of the 3 that are active beside 5,000 expired grants, p99 ms", Unit::Millis);
pub const NET_BALANCE: Row = row("— net balance, 3 grants and 10 products in 3 groups, p99 ms", Unit::Millis);
pub const NET_BALANCE_OF_OLD: Row = row("— net balance, 5,000 expired grants beside, p99 ms", Unit::Millis);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    Upbeat,
    Naive,
    CopyText,
    CopyBinary,
}

const COLUMNS: [Column; 4] = [Column::Upbeat, Column::Naive, Column::CopyText, Column::CopyBinary];

/// The values of a line in one column, a round each.
struct Cell {
    row: Row,
    column: Column,
    values: Vec<u64>,
}

#[derive(Default)]
pub struct Report {
    /// In the order in which lines were first measured.
    cells: Vec<Cell>,
}

/// What must hold.
struct Floor {
    name: &'static str,
    bound: Bound,
    /// Thousandths, microseconds, KiB or a number, as the bound; nothing where it was not measured.
    measured: Option<u64>,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast { per_mille: u64 },
    AtLeastPerSecond(u64),
    Below { micros: u64 },
    BelowMegabytes(u64),
}

impl Report {
    pub fn add(&mut self, row: Row, column: Column, value: u64) {
        let cell = self.cells.iter_mut().find(|cell| cell.row.title == row.title && cell.column == column);
        match cell {
            Some(cell) => cell.values.push(value),
            None => self.cells.push(Cell { row, column, values: vec![value] }),
        }
        println!("  {:<80} {column:<10?} {:>12}", row.title, shown(row.unit, value));
    }

    fn values(&self, row: Row, column: Column) -> Option<&[u64]> {
        let cell = self.cells.iter().find(|cell| cell.row.title == row.title && cell.column == column);
        cell.map(|cell| cell.values.as_slice())
    }

    /// The median over rounds.
    fn median(&self, row: Row) -> Option<u64> {
        self.values(row, Column::Upbeat).map(|values| middle(values.to_vec()))
    }

    /// Thousandths of the second: the median over rounds of the ratio in each, as a machine is faster in one round
    /// than in the next.
    fn ratio(&self, first: (Row, Column), second: (Row, Column)) -> Option<u64> {
        let pairs = self.values(first.0, first.1)?.iter().zip(self.values(second.0, second.1)?);
        Some(middle(pairs.map(|(first, second)| first * 1000 / second.max(&1)).collect()))
    }

    fn floors(&self) -> Vec<Floor> {
        let ours = Column::Upbeat;
        let at_least = |name, per_mille, first: Row, second: (Row, Column)| Floor {
            name,
            bound: Bound::AtLeast { per_mille },
            measured: self.ratio((first, ours), second),
        };
        let below = |name, millis: u64, row: Row| Floor {
            name,
            bound: Bound::Below { micros: millis * 1000 },
            measured: self.median(row),
        };
        vec![
            at_least("saturation ÷ naive", 2000, SATURATION, (SATURATION, Column::Naive)),
            at_least("saturation ÷ raw text COPY", 300, SATURATION, (SATURATION, Column::CopyText)),
            at_least("one event a request ÷ naive", 5000, SINGLE, (SINGLE, Column::Naive)),
            below("p99 at 20,000 events/s", 15, AT_20K[1]),
            below("p99 at 100,000 events/s with a checkpoint", 100, AT_100K[1]),
            at_least("half sent again ÷ nothing sent again", 750, RETRIES[2], (RETRIES[0], ours)),
            at_least("75 M transaction ids before ÷ none", 700, PRELOADED, (EMPTY, ours)),
            Floor {
                name: "memory at saturation",
                bound: Bound::BelowMegabytes(400),
                measured: self.median(MEMORY),
            },
            below("usage, p99", 10, USAGE),
            below("usage by group, p99", 50, GROUPS),
            below("event search, p99", 10, SEARCH),
            below("draft invoice, p99", 15, INVOICE),
            below("pricing a large contract, CPU", 50, RATING),
            Floor {
                name: "invoices made final",
                bound: Bound::AtLeastPerSecond(500),
                measured: self.median(FINALIZED[0]),
            },
            at_least("invoices/s of 10,000 contracts ÷ of 2,500", 800, FINALIZED[0], (FINALIZED[1], ours)),
            below("balances and ledgers, p99", 40, LEDGERS),
            below("net balance, p99", 10, NET_BALANCE),
        ]
    }

    /// The floors with what was measured; whether none was missed.
    pub fn verdicts(&self) -> (String, bool) {
        let mut table = "| Floor | Bound | Measured | |\n| --- | --- | ---: | --- |\n".to_owned();
        let mut is_good = true;
        for floor in self.floors() {
            let measured = floor.measured.map_or("not run".to_owned(), |value| floor.bound.shown(value));
            let verdict = match floor.measured {
                None => "",
                Some(value) if floor.bound.holds(value) => "met",
                Some(_) => "missed",
            };
            is_good &= verdict != "missed";
            let _ = writeln!(table, "| {} | {} | {measured} | {verdict} |", floor.name, floor.bound.text());
        }
        (table, is_good)
    }

    pub fn table(&self) -> String {
        let mut table = "| | Upbeat | naive | COPY, text | COPY, binary | ÷ naive | ÷ COPY, text |\n\
                         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
        let mut seen: Vec<&str> = Vec::new();
        for Row { title, unit } in self.cells.iter().map(|cell| cell.row) {
            if seen.contains(&title) {
                continue;
            }
            seen.push(title);
            let row = Row { title, unit };
            let _ = write!(table, "| {title} |");
            for column in COLUMNS {
                let cell = self.values(row, column).map_or(String::new(), |values| cell(unit, values));
                let _ = write!(table, " {cell} |");
            }
            for column in [Column::Naive, Column::CopyText] {
                let ratio = self.ratio((row, Column::Upbeat), (row, column));
                let ratio = ratio.filter(|_| unit == Unit::PerSecond);
                let _ = write!(table, " {} |", ratio.map_or(String::new(), times));
            }
            table.push('\n');
        }
        table
    }

    /// Writes both tables into the README, between the two marks.
    pub fn write(&self, machine: &Machine, rounds: usize) {
        let readme = fs::read_to_string(README).expect("run in the checkout");
        let (head, rest) = readme.split_once(BEGIN).expect("the mark where the tables begin");
        let (_, tail) = rest.split_once(END).expect("the mark where the tables end");
        let Machine { cores, processor, memory_mib, kernel, postgres, file_system, day } = machine;
        let gib = (memory_mib + 512) / 1024;
        let about = format!(
            "{day}: {cores} cores ({processor}), {gib} GiB, Linux {kernel}, {file_system}, PostgreSQL {postgres}; \
             medians of {rounds} rounds (least–greatest)."
        );
        let text = format!("{head}{BEGIN}{about}\n\n{}\n{}{END}{tail}", self.table(), self.verdicts().0);
        fs::write(README, text).expect("the README can be written");
    }
}

impl Bound {
    fn holds(self, measured: u64) -> bool {
        match self {
            Self::AtLeast { per_mille } => measured >= per_mille,
            Self::AtLeastPerSecond(least) => measured >= least,
            Self::Below { micros } => measured < micros,
            Self::BelowMegabytes(megabytes) => measured * 1024 < megabytes * 1_000_000,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast { per_mille } => format!("at least {}", times(per_mille)),
            Self::AtLeastPerSecond(least) => format!("at least {}/s", grouped(least)),
            Self::Below { micros } => format!("below {} ms", micros / 1000),
            Self::BelowMegabytes(megabytes) => format!("below {megabytes} MB"),
        }
    }

    fn shown(self, measured: u64) -> String {
        match self {
            Self::AtLeast { .. } => times(measured),
            Self::AtLeastPerSecond(_) => format!("{}/s", grouped(measured)),
            Self::Below { .. } => format!("{} ms", shown(Unit::Millis, measured)),
            Self::BelowMegabytes(_) => format!("{} MB", shown(Unit::Memory, measured)),
        }
    }
}

fn middle(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

fn cell(unit: Unit, values: &[u64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let median = shown(unit, sorted[sorted.len() / 2]);
    match sorted.as_slice() {
        [_] => median,
        [least, .., greatest] => format!("{median} ({}–{})", shown(unit, *least), shown(unit, *greatest)),
        [] => String::new(),
    }
}

fn shown(unit: Unit, value: u64) -> String {
    match unit {
        Unit::PerSecond | Unit::BytesOfEach => grouped(value),
        Unit::Millis | Unit::CpuOfEach => hundredths(value / 10),
        Unit::Memory => grouped(value * 1024 / 1_000_000),
    }
}

/// Thousandths as a factor.
fn times(per_mille: u64) -> String {
    format!("{} ×", hundredths(per_mille / 10))
}

fn hundredths(value: u64) -> String {
    format!("{}.{:02}", grouped(value / 100), value % 100)
}

/// With a comma between thousands.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
