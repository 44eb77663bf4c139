//! Products: named lines on an invoice. They carry no price.
//!
//! Invariants: a product changes by updates alone, which are never taken back; every state that it will ever be
//! in makes sense; where two updates meet, the second is checked against the first (a lock on the product). No composite
//! ever shares in itself, over whichever others (a lock of the environment, taken after the product's).
//! Numbers of updates become visible in their order wherever facts are settled (`postgres::hold_arrivals`), so
//! an invoice names all that it saw by the last one.

pub mod archive;
mod calc;
mod check_composite;
mod composite;
pub mod create;
pub mod get;
mod known;
pub mod list;
mod state;
mod store;
pub mod update;
mod view;

pub use calc::{Timeline, Version};
pub use known::find_known;
pub use state::{
    CompositeScope, ConversionOperation, ProductChanges, ProductState, ProductType, ProductUpdate,
    QuantityConversion, SqlBreakdownGranularity,
};
pub use store::{ProductRow, find_many, share_many};
