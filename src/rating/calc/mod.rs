//! Rating. Pure.

mod charge;
mod cut;
mod quantity;
mod route;
mod tier;

pub use charge::{Charge, rate};
pub use cut::cuts;
pub use quantity::{Combination, cumulative_quantities};
pub use route::{filtered_cuts, route};
pub use tier::{TierPosition, TierSlice, walk_tiers};
