//! Checked arithmetic that says what was being computed when it fails.
//!
//! Products and sums keep 28 significant digits (our decision, after the reference: exact decimals of 28
//! digits); within them nothing is rounded.

use rust_decimal::Decimal;

/// A result that 28 digits cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is larger than can be billed (28 digits)")]
pub struct Overflow {
    pub what: &'static str,
}

pub fn add(what: &'static str, left: Decimal, right: Decimal) -> Result<Decimal, Overflow> {
    left.checked_add(right).ok_or(Overflow { what })
}

pub fn subtract(what: &'static str, left: Decimal, right: Decimal) -> Result<Decimal, Overflow> {
    left.checked_sub(right).ok_or(Overflow { what })
}

pub fn multiply(what: &'static str, left: Decimal, right: Decimal) -> Result<Decimal, Overflow> {
    left.checked_mul(right).ok_or(Overflow { what })
}
