//! Rates: a card's price timeline.
//!
//! Invariants: append-only; of the entries that cover an instant, the one added last is in force; a product is
//! priced in one unit on one card.

pub mod add;
pub mod add_many;
pub mod calc;
mod entry;
pub mod get_rates;
pub mod get_schedule;
mod input;
mod selector;
mod store;
mod timelines;
mod view;

pub use entry::{GroupValues, Price, RateEntry, RateType, Tier};
pub use selector::BillingFrequency;
pub use store::{CardProduct, card_products, entries};
pub use view::Rate;
