//! Exactly one override prices a unit.

use std::cmp::{Ordering, Reverse};

use schemars::JsonSchema;
use serde::Serialize;

use super::matching::{Drawn, Line, matches};
use crate::contract::MultiplierPrioritization;
use crate::contract::rate_override::{Override, OverrideKind, OverrideType, RateTarget};
use crate::money::Decimal;
use crate::time::Instant;

/// What prices a line, and what does not though it could.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// The override that prices the line. Where it is TIERED and has an end, the next one prices what lies beyond, and so
    /// on; the card's rate prices what is left, and all where this is empty.
    pub chain: Vec<&'a Override>,
    /// The others that are aimed at the line and in force, the best first.
    pub lost: Vec<Lost<'a>>,
}

/// An override that is aimed at the line, in force, and does not price it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost<'a> {
    pub rate_override: &'a Override,
    pub reason: Reason,
}

/// Why an override does not price the line, against the one that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(rename = "OverrideBeatenBecause")]
pub enum Reason {
    /// A commit-specific override goes before those of the whole contract.
    CommitSpecificFirst,
    /// An OVERWRITE goes before multipliers and tiers.
    OverwriteFirst,
    /// The other has the lower priority number.
    Priority,
    /// The other has the smaller multiplier.
    Multiplier,
    /// The other was added later.
    AddedEarlier,
    /// The rate, or the override in its place, has a minimum, which switches commit-specific overrides off.
    Minimum,
}

impl<'a> Chosen<'a> {
    /// The override that prices the first unit; the card's rate does where there is none.
    #[must_use]
    pub fn winner(&self) -> Option<&'a Override> {
        self.chain.first().copied()
    }
}

/// Chooses what prices a line at an instant, of the overrides of its contract or those of them that
/// [`super::of_line`] left.
///
/// `drawn` is what pays for the line, and `target` the price of the rate that is the base: the commit rate only while a
/// commit at that rate is drawn and the rate has one. Contract-level overrides never change a commit rate.
#[must_use]
pub fn choose<'a>(
    overrides: impl IntoIterator<Item = &'a Override>,
    line: &Line<'_>,
    at: Instant,
    prioritization: MultiplierPrioritization,
    drawn: Option<&Drawn>,
    target: RateTarget,
) -> Chosen<'a> {
    let is_candidate = |one: &&Override| {
        one.kind.is_some() && one.target == target && one.covers(at) && matches(one, line, drawn)
    };
    let mut candidates: Vec<Candidate<'a>> =
        overrides.into_iter().filter(is_candidate).map(|one| Candidate::new(one, prioritization)).collect();
    candidates.sort_by(|one, other| one.rank.cmp(&other.rank));
    let switched_off = switch_off(&mut candidates, line);

    let mut chosen = Chosen::default();
    let mut last: Option<Candidate<'a>> = None;
    let mut is_covered = false;
    for candidate in candidates {
        match &last {
            Some(last) if is_covered => {
                let reason = last.rank.beats(&candidate.rank);
                chosen.lost.push(Lost { rate_override: candidate.rate_override, reason });
            }
            _ => {
                is_covered = covers_every_unit(candidate.rate_override);
                chosen.chain.push(candidate.rate_override);
                last = Some(candidate);
            }
        }
    }
    chosen.lost.extend(switched_off);
    chosen
}

/// Takes out the commit-specific candidates where there is a minimum: on the card's rate, unless an OVERWRITE of the
/// contract takes its place, or on that OVERWRITE. One that brings a minimum of its own is taken out as well.
fn switch_off<'a>(candidates: &mut Vec<Candidate<'a>>, line: &Line<'_>) -> Vec<Lost<'a>> {
    let of_contract = candidates.iter().find(|candidate| !candidate.rate_override.is_commit_specific);
    let is_minimum = match of_contract.map(|candidate| &candidate.rate_override.kind) {
        Some(Some(OverrideKind::Overwrite(rate))) => rate.price.minimum().is_some(),
        _ => line.has_minimum,
    };
    let mut switched_off = Vec::new();
    candidates.retain(|candidate| {
        let brings_one = matches!(&candidate.rate_override.kind,
            Some(OverrideKind::Overwrite(rate)) if rate.price.minimum().is_some());
        let is_off = candidate.rate_override.is_commit_specific && (is_minimum || brings_one);
        if is_off {
            switched_off.push(Lost { rate_override: candidate.rate_override, reason: Reason::Minimum });
        }
        !is_off
    });
    switched_off
}

/// Whether nothing lies beyond the override.
fn covers_every_unit(rate_override: &Override) -> bool {
    match &rate_override.kind {
        Some(OverrideKind::Tiered(tiers)) => tiers.iter().any(|tier| tier.size.is_none()),
        _ => true,
    }
}

/// An override with its place among the others.
struct Candidate<'a> {
    rate_override: &'a Override,
    rank: Rank<'a>,
}

/// The place of an override, the smallest first.
#[derive(PartialEq, Eq)]
struct Rank<'a> {
    is_of_contract: bool,
    is_relative: bool,
    /// Among multipliers and tiers under EXPLICIT, where those without go last; else unset for all.
    priority: Option<&'a Decimal>,
    /// Among multipliers and tiers: a tiered one counts with its smallest (our decision).
    multiplier: Option<&'a Decimal>,
    added: Reverse<i64>,
}

impl<'a> Candidate<'a> {
    fn new(rate_override: &'a Override, prioritization: MultiplierPrioritization) -> Self {
        let multiplier = match &rate_override.kind {
            Some(OverrideKind::Multiplier(multiplier)) => Some(multiplier),
            Some(OverrideKind::Tiered(tiers)) => tiers.iter().map(|tier| &tier.multiplier.0).min(),
            Some(OverrideKind::Overwrite(_)) | None => None,
        };
        let override_type = rate_override.kind.as_ref().map(OverrideKind::override_type);
        let is_relative = override_type != Some(OverrideType::Overwrite);
        let is_explicit = is_relative && prioritization == MultiplierPrioritization::Explicit;
        let rank = Rank {
            is_of_contract: !rate_override.is_commit_specific,
            is_relative,
            priority: rate_override.priority.as_ref().filter(|_| is_explicit),
            multiplier,
            added: Reverse(rate_override.added),
        };
        Self { rate_override, rank }
    }
}

impl Rank<'_> {
    /// Why this one goes before another.
    fn beats(&self, other: &Self) -> Reason {
        if self.is_of_contract != other.is_of_contract {
            Reason::CommitSpecificFirst
        } else if self.is_relative != other.is_relative {
            Reason::OverwriteFirst
        } else if self.by_priority(other).is_ne() {
            Reason::Priority
        } else if self.multiplier != other.multiplier {
            Reason::Multiplier
        } else {
            Reason::AddedEarlier
        }
    }

    fn by_priority(&self, other: &Self) -> Ordering {
        match (self.priority, other.priority) {
            (Some(own), Some(others)) => own.cmp(others),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        }
    }
}

impl Ord for Rank<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.is_of_contract, self.is_relative)
            .cmp(&(other.is_of_contract, other.is_relative))
            .then_with(|| self.by_priority(other))
            .then_with(|| (self.multiplier, self.added).cmp(&(other.multiplier, other.added)))
    }
}

impl PartialOrd for Rank<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether a line may be billed at an instant: as the override says that is aimed at it, in force and added last; where
/// none says anything, as the card does (our decision).
#[must_use]
pub fn entitlement<'a>(
    overrides: impl IntoIterator<Item = &'a Override>,
    line: &Line<'_>,
    at: Instant,
    card_entitled: bool,
) -> bool {
    let says = |one: &&Override| one.entitled.is_some() && one.covers(at) && matches(one, line, None);
    let last = overrides.into_iter().filter(says).max_by_key(|one| one.added);
    last.and_then(|one| one.entitled).unwrap_or(card_entitled)
}

/// The instants at which the choice or the entitlement may change, ascending.
#[must_use]
pub fn boundaries<'a>(overrides: impl IntoIterator<Item = &'a Override>) -> Vec<Instant> {
    let bounds = overrides.into_iter().flat_map(|one| [Some(one.starting_at), one.ending_before]);
    let mut instants: Vec<Instant> = bounds.flatten().collect();
    instants.sort_unstable();
    instants.dedup();
    instants
}
