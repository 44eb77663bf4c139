//! A server for each test: the router that the binary serves, a database of its own, a sandbox clock.

mod api;
mod catalog;
mod database;
mod schema;

pub use api::{Answer, Api};
pub use catalog::{Metric, Rates, charge, lines, product_update};
pub use schema::differences;
