//! How long what applies at an instant applies.

use super::choice::{Chosen, boundaries, choose, entitlement};
use super::matching::{Line, of_line};
use crate::contract::MultiplierPrioritization;
use crate::contract::rate_override::{Override, RateTarget};
use crate::time::Instant;

/// What applies to a line while nothing is drawn for it, and for how long; nothing is said about its rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch<'a> {
    pub chosen: Chosen<'a>,
    pub entitled: bool,
    /// Unset: since ever.
    pub start: Option<Instant>,
    /// Unset: for ever.
    pub end: Option<Instant>,
}

/// The stretch of time around an instant in which the same overrides price the line and it is entitled alike.
#[must_use]
pub fn stretch_at<'a>(
    overrides: &'a [Override],
    line: &Line<'_>,
    at: Instant,
    prioritization: MultiplierPrioritization,
    card_entitled: bool,
) -> Stretch<'a> {
    let overrides = of_line(overrides, line);
    let chosen = |at| choose(overrides.iter().copied(), line, at, prioritization, None, RateTarget::ListRate);
    let entitled = |at| entitlement(overrides.iter().copied(), line, at, card_entitled);
    let now = (chosen(at), entitled(at));
    let goes_on = |at: Option<Instant>| match at {
        Some(at) => (&chosen(at).chain, entitled(at)) == (&now.0.chain, now.1),
        // Before the first boundary nothing is in force.
        None => now.0.chain.is_empty() && now.1 == card_entitled,
    };
    let instants = boundaries(overrides.iter().copied());
    let next = instants.partition_point(|instant| *instant <= at);
    let end = instants[next..].iter().copied().find(|instant| !goes_on(Some(*instant)));
    let begins = |index: &usize| !goes_on(index.checked_sub(1).map(|before| instants[before]));
    let start = (0..next).rev().find(begins).map(|index| instants[index]);
    let (chosen, entitled) = now;
    Stretch { chosen, entitled, start, end }
}
