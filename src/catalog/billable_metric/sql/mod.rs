//! The SQL that counts a metric: which queries there are, and reading one.
//!
//! A query is read with a parser of SQL, and what it may say is a tree of its own ([`Query`]) with no place for
//! anything else: another table, a statement that changes something or a function that nobody listed cannot be
//! expressed in it, so no later step has to look for them. Statements are printed from that tree alone.
//!
//! One row per event, columns `event_type`, `timestamp` and `properties.<name>`. Properties are texts; where a number
//! is needed they are read as one, and null where they are none, as is a failed CAST and a division by 0. Numbers are
//! exact decimals; divisions and averages have 20 decimals, halves to even.
//!
//! EARLIEST and LATEST go by timestamp and then by arrival, over the rows that have a value. Aggregates skip nulls, MIN,
//! MAX, SUM and AVG read texts as numbers.
//!
//! The quantity is the column `value`, without one the first; every other column is a group key.
//!
//! Decision, 2026-11-20: WITH (not RECURSIVE), window functions, PERCENTILE_CONT and PERCENTILE_DISC, COALESCE, NULLIF,
//! ABS, BETWEEN and EXTRACT(EPOCH) are allowed beside what is documented, because averages by day, percentile billing
//! and levels weighted by time cannot be said without. Refused still: joins, unions, subqueries inside expressions,
//! ORDER BY and LIMIT of rows, `SELECT *`, SELECT DISTINCT.

mod expression;
mod function;
mod parse;
mod refusal;
mod scope;
mod select;
#[cfg(test)]
mod tests;
mod tree;

pub use parse::parse;
pub use refusal::Refusal;
pub use tree::*;

/// A query as it was written, and as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct SqlDefinition {
    pub text: String,
    /// A refusal where an earlier version took a query that this one does not.
    query: Result<Query, Refusal>,
}

impl SqlDefinition {
    /// A stored query.
    #[must_use]
    pub fn stored(text: String) -> Self {
        let query = parse(&text);
        Self { text, query }
    }

    /// A new query.
    pub fn new(text: String) -> Result<Self, Refusal> {
        let query = parse(&text)?;
        Ok(Self { text, query: Ok(query) })
    }

    pub fn query(&self) -> Result<&Query, &Refusal> {
        self.query.as_ref()
    }

    /// The names of the columns that usage can be split by.
    #[must_use]
    pub fn group_names(&self) -> Vec<&str> {
        self.query.as_ref().map(Query::group_names).unwrap_or_default()
    }
}
