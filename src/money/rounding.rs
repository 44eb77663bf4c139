//! Rounding, always by name. Nothing is rounded to the minor unit until it leaves for a payment provider.

use rust_decimal::{Decimal, RoundingStrategy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Overflow;
use crate::casing::wire_enum;

/// Decimals that a division which does not terminate is rounded to, half up: our decision, after the twenty
/// decimals of legacy unit conversions.
const DIVISION_DECIMALS: u32 = 20;

wire_enum! {
    /// How a quantity is rounded before it is priced.
    pub enum RoundingMethod {
        /// Toward positive infinity.
        RoundUp = "ROUND_UP",
        /// Toward negative infinity.
        RoundDown = "ROUND_DOWN",
        /// To the nearest value, ties toward positive infinity.
        RoundHalfUp = "ROUND_HALF_UP",
    }
}

/// A product's rounding of converted quantities (schema `QuantityRounding`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuantityRounding {
    pub rounding_method: RoundingMethod,
    /// Decimals kept, at most 20.
    pub decimal_places: u32,
}

impl QuantityRounding {
    /// The largest number of decimals that a rounding may keep; finer than any division result.
    pub const DECIMAL_PLACES_MAX: u32 = DIVISION_DECIMALS;

    #[must_use]
    pub fn apply(&self, quantity: Decimal) -> Decimal {
        let strategy = match (self.rounding_method, quantity.is_sign_negative()) {
            (RoundingMethod::RoundUp, _) => RoundingStrategy::ToPositiveInfinity,
            (RoundingMethod::RoundDown, _) => RoundingStrategy::ToNegativeInfinity,
            (RoundingMethod::RoundHalfUp, false) => RoundingStrategy::MidpointAwayFromZero,
            (RoundingMethod::RoundHalfUp, true) => RoundingStrategy::MidpointTowardZero,
        };
        quantity.round_dp_with_strategy(self.decimal_places, strategy)
    }
}

/// `left / right`, rounded half up at 20 decimals where it does not terminate earlier.
pub fn divide(what: &'static str, left: Decimal, right: Decimal) -> Result<Decimal, Overflow> {
    let quotient = left.checked_div(right).ok_or(Overflow { what })?;
    Ok(quotient.round_dp_with_strategy(DIVISION_DECIMALS, RoundingStrategy::MidpointAwayFromZero))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::parse_decimal;

    #[test]
    fn rounds_by_name_also_below_zero() {
        let cases = [
            (RoundingMethod::RoundUp, "1.01", "2"),
            (RoundingMethod::RoundUp, "-1.99", "-1"),
            (RoundingMethod::RoundDown, "1.99", "1"),
            (RoundingMethod::RoundDown, "-1.01", "-2"),
            (RoundingMethod::RoundHalfUp, "1.5", "2"),
            (RoundingMethod::RoundHalfUp, "-1.5", "-1"),
            (RoundingMethod::RoundHalfUp, "-1.51", "-2"),
        ];
        for (rounding_method, quantity, rounded) in cases {
            let rounding = QuantityRounding { rounding_method, decimal_places: 0 };
            let quantity = parse_decimal(quantity).expect("a number");
            assert_eq!(
                rounding.apply(quantity),
                parse_decimal(rounded).expect("a number"),
                "{rounding:?} {quantity}"
            );
        }
    }

    #[test]
    fn division_stops_at_twenty_decimals() {
        let third = divide("a third", Decimal::ONE, Decimal::from(3)).expect("fits");
        assert_eq!(third.to_string(), "0.33333333333333333333");
    }
}
