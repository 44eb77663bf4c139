//! Pricing units ("credit types"): the fixed currencies and the custom units of an environment.
//!
//! Owns: custom units, and the list of both. Does not own: the currencies (`money::CreditType`), or what a custom
//! unit costs (`rate_card` has that, card by card).
//!
//! Invariants: the units in use have names of their own; an archived unit stays valid wherever it is used already
//! and is taken nowhere else. Whoever uses a unit in something new shares its row until then.

pub mod archive;
pub mod create;
pub mod list;
mod store;

pub use store::{CustomUnit, find_many, share_many};
