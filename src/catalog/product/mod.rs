//! Products: named lines on an invoice. They carry no price.

pub mod create;
pub mod get;
pub mod list;
mod state;
mod store;
mod view;

pub use state::{ConversionOperation, ProductState, ProductType, QuantityConversion};
pub use store::{ProductRow, find_many};
