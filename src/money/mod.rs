//! Money and quantities: exact decimals, pricing units, named rounding.
//!
//! Owns: reading a decimal from its text and printing it back, the fixed fiat units, the rounding rules by
//! name. Does not own: prices, rates or invoices. Pure; no IO.
//!
//! Invariants: no binary float comes near a quantity, price or amount; a number that cannot be held exactly is
//! refused by name and never rounded silently; an overflow is an error with a name.

mod arithmetic;
mod credit_type;
mod decimal;
mod rounding;

pub use arithmetic::{Overflow, add, multiply, subtract};
pub use credit_type::CreditType;
pub use decimal::{DecimalError, Number, parse_decimal, plain};
pub use rounding::{QuantityRounding, RoundingMethod, divide};
