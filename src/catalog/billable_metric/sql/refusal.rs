use std::fmt::{self, Display, Formatter};

use sqlparser::ast::{Ident, Spanned};
use sqlparser::tokenizer::Location;

/// What a query says that it may not, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    reason: String,
    /// Line and column, from 1.
    at: Option<(u64, u64)>,
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: shortened(&reason.into()), at: None }
    }

    pub(super) fn at(place: &impl Spanned, reason: impl Into<String>) -> Self {
        Self::at_location(place.span().start, reason)
    }

    pub(super) fn at_name(name: &Ident, reason: impl Into<String>) -> Self {
        Self::at_location(name.span.start, reason)
    }

    pub(super) fn at_location(location: Location, reason: impl Into<String>) -> Self {
        let at = (location.line > 0).then_some((location.line, location.column));
        Self { reason: shortened(&reason.into()), at }
    }
}

impl Display for Refusal {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(formatter, "line {line}, column {column}: {}", self.reason),
            None => formatter.write_str(&self.reason),
        }
    }
}

/// The reason, without a long piece of the query in it.
fn shortened(reason: &str) -> String {
    const LENGTH: usize = 200;
    match reason.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_owned(),
    }
}
