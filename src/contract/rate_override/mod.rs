//! Overrides: what one contract agrees about prices and entitlement beside its rate card.
//!
//! Owns: the rules themselves and which of them applies to a line. Does not own: what a card says (`catalog::rate`),
//! quantities, charges (`rating`).
//!
//! Invariants: append-only, and never a copy of a price; exactly one override prices a unit, they never stack; the base
//! is always the card's rate in force; nothing about how special an override is decides, only its kind, its multiplier or
//! priority, and when it was added; an override counts only inside its contract's term.

pub mod calc;
mod card;
mod input;
mod names;
mod overwrite;
mod store;
mod terms;
mod view;

pub use card::Card;
pub use input::{Nameable, OVERRIDES_MAX, OverrideInput, Rule, RuleInput, SpecifierInput, planned, unknown};
pub use names::names;
pub use overwrite::OverwriteRateInput;
pub use store::{Row, insert};
pub use terms::{
    Exclusion, Override, OverrideKind, OverrideTier, OverrideType, OverwriteRate, PresentationValues,
    RateTarget, Specifier, Targeting,
};
pub use view::{Names, OverrideV1, OverrideV2, RuleView, specifiers};
