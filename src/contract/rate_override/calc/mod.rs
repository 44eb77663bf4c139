//! Which override applies to a line at an instant, and what the line then costs. Pure.
//!
//! A caller that prices many instants of one line narrows the contract's overrides once for the line ([`of_line`]) and
//! chooses among those few at each instant; [`choose`] gives the same answer over all of them.

mod choice;
mod effective;
mod matching;
mod price;
mod stretch;
#[cfg(test)]
mod tests;

pub use choice::{Chosen, Lost, Reason, boundaries, choose, entitlement};
pub use effective::{EffectivePrice, PriceSource, effective_price, scaled};
pub use matching::{Drawn, Line, matches, of_line};
pub use price::map_prices;
pub use stretch::{Stretch, stretch_at};
