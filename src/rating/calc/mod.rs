//! Rating. Pure.
//!
//! [`cuts`] says where a statement is cut, usage is loaded in those segments, [`route`] leaves what the contract bills,
//! and [`rate`] prices it: quantities by combination ([`MeteredUsage`]), prices over time ([`pricings`]), and where both
//! meet stretches, whose charges become lines.

mod composite;
mod cut;
mod fault;
mod price;
mod quantity;
mod rate;
mod route;
mod stretch;
mod subscription;
#[cfg(test)]
mod tests;
mod tier;
mod unrated;
mod usage;

pub use composite::OtherContracts;
pub use cut::{Cuts, changes_beside, composite_changes, cuts, cuts_beside};
pub use fault::RatingFault;
pub use price::{DrawnPrice, Pricing, cost, pricings, slices};
pub use quantity::{Combination, MeteredUsage, Step};
pub use rate::{Mark, NoPayment, Payment, Rated, rate, rate_usage};
pub use route::route;
pub use stretch::{Basis, Charge, Charges, MemberSpend, MinimumDue, Paid, Payer, Place, Stretch, Subscribed};
pub use subscription::prorated_price;
pub use tier::{TierPosition, TierSlice, walk_tiers};
pub use unrated::{Deal, Unrated, UnratedReason, queried, unrated, unrated_cuts, unrated_reason};
