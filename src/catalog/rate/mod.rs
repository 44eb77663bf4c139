//! Rates: a card's price timeline.
//!
//! Invariants: append-only; of the entries that cover an instant, the one added last is in force; a product is
//! priced in one unit on one card; each type of product has rate types of its own, and the types that contracts price
//! have none.

pub mod add;
pub mod add_many;
pub mod calc;
mod entry;
pub mod get_rates;
pub mod get_schedule;
mod input;
mod price_input;
mod selector;
mod store;
mod timelines;
mod view;

pub use entry::{BillingFrequency, GroupValues, Price, RateEntry, RateType, Tier, TimelineKey};
pub use price_input::PriceInput;
pub use selector::{RateSelector, RateSelectorWithProductTags, Selection};
pub use store::{CardProduct, card_products, entries, entries_of_products, units_on_card};
pub use timelines::{CardRates, Place, Timeline};
pub use view::{CommitRate, MinimumConfig, Rate};
