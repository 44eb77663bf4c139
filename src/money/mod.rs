//! Money and quantities: exact decimals, pricing units, named rounding.
//!
//! Owns: reading a decimal from its text and printing it back, the fixed fiat units, the rounding rules by
//! name, dividing an amount into parts. Does not own: prices, rates or invoices. Pure; no IO.
//!
//! Invariants: no binary float comes near a quantity, price or amount; sums, differences and products are
//! exact, however long; a request's number of more than 28 digits is refused by name; every rounding is named
//! where it happens.
//!
//! Design change, 2026-11-20: decimals are `bigdecimal`, not `rust_decimal`. `rust_decimal` keeps 28 digits and
//! drops the rest of a sum or a product without a word: a third of a unit at twenty decimals beside ten million
//! dollars already made a total that is not the sum of its lines. Refused: failing such an invoice, because the
//! amounts are plausible; fewer decimals for divisions, because it only moves the edge.

mod allocate;
mod credit_type;
mod decimal;
mod rounding;

pub use allocate::{allocate, allocate_whole};
pub use bigdecimal::BigDecimal as Decimal;
pub use credit_type::CreditType;
pub use decimal::{
    DecimalError, InputNumber, Number, is_billable, is_negative, is_positive, parse_decimal, plain, to_count,
    zero,
};
pub use rounding::{ProrationMethod, ProrationRounding, QuantityRounding, RoundingMethod, divide};
