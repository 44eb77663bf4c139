//! Rounding, always by name. Nothing is rounded to the minor unit until it leaves for a payment provider.

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal as Decimal, RoundingMode as Mode};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{InputNumber, is_negative, to_count};
use crate::casing::wire_enum;

/// Decimals that a division which does not end earlier is rounded to, half away from zero: our decision, after
/// the twenty decimals of legacy unit conversions.
pub(super) const DIVISION_DECIMALS: u32 = 20;

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

wire_enum! {
    /// How a prorated amount is rounded.
    pub enum ProrationMethod {
        /// To the nearest value, ties away from zero.
        HalfUp = "HALF_UP",
        /// Toward negative infinity.
        Floor = "FLOOR",
        /// Toward positive infinity.
        Ceiling = "CEILING",
    }
}

/// The rounding of prorated amounts (schema `ProrationRoundingConfig`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ProrationRoundingConfig")]
pub struct ProrationRounding {
    pub rounding_method: ProrationMethod,
    /// Decimals kept of the amount as it is stored, -5 to 5: for USD -2 is whole dollars.
    #[serde(deserialize_with = "decimal_places")]
    pub decimal_places: i8,
}

/// A whole number from -5 to 5, which may be spelled `2.0`.
fn decimal_places<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i8, D::Error> {
    let InputNumber(number) = InputNumber::deserialize(deserializer)?;
    let found = (-5_i8..=5).find(|places| number == *places);
    found.ok_or_else(|| de::Error::custom("must be a whole number from -5 to 5"))
}

impl ProrationRounding {
    #[must_use]
    pub fn apply(self, amount: &Decimal) -> Decimal {
        let mode = match self.rounding_method {
            ProrationMethod::HalfUp => Mode::HalfUp,
            ProrationMethod::Floor => Mode::Floor,
            ProrationMethod::Ceiling => Mode::Ceiling,
        };
        amount.with_scale_round(i64::from(self.decimal_places), mode).normalized()
    }
}

/// A product's rounding of converted quantities (schema `QuantityRounding`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuantityRounding {
    pub rounding_method: RoundingMethod,
    /// Decimals kept, at most 20.
    #[serde(deserialize_with = "count")]
    pub decimal_places: u32,
}

/// A count that may be spelled `2.0`: the schema has a number there, and the Python SDK sends one.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let InputNumber(number) = InputNumber::deserialize(deserializer)?;
    let count = to_count(&number).and_then(|count| u32::try_from(count).ok());
    count.ok_or_else(|| de::Error::custom("must be a whole number that is not negative"))
}

impl QuantityRounding {
    /// The largest number of decimals that a rounding may keep; finer than any division result.
    pub const DECIMAL_PLACES_MAX: u32 = DIVISION_DECIMALS;

    #[must_use]
    pub fn apply(&self, quantity: &Decimal) -> Decimal {
        let mode = match self.rounding_method {
            RoundingMethod::RoundUp => Mode::Ceiling,
            RoundingMethod::RoundDown => Mode::Floor,
            RoundingMethod::RoundHalfUp if is_negative(quantity) => Mode::HalfDown,
            RoundingMethod::RoundHalfUp => Mode::HalfUp,
        };
        quantity.with_scale_round(i64::from(self.decimal_places), mode)
    }
}

/// `left / right`, rounded half away from zero at 20 decimals where it does not end earlier. `right` is
/// not zero.
#[must_use]
pub fn divide(left: &Decimal, right: &Decimal) -> Decimal {
    let (left, left_scale) = left.as_bigint_and_scale();
    let (right, right_scale) = right.as_bigint_and_scale();
    let shift = i64::from(DIVISION_DECIMALS) - left_scale + right_scale;
    let power = BigInt::from(10).pow(u32::try_from(shift.unsigned_abs()).expect("scales of money are small"));
    let (numerator, denominator) = if shift < 0 {
        (left.into_owned(), right.as_ref() * power)
    } else {
        (left.as_ref() * power, right.into_owned())
    };
    let doubled = numerator.magnitude() * 2_u32 + denominator.magnitude();
    let quotient = doubled / (denominator.magnitude() * 2_u32);
    let sign = numerator.sign() * denominator.sign();
    Decimal::new(BigInt::from_biguint(sign, quotient), i64::from(DIVISION_DECIMALS)).normalized()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::{parse_decimal, plain};

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
                rounding.apply(&quantity),
                parse_decimal(rounded).expect("a number"),
                "{rounding:?} {quantity}"
            );
        }
    }

    #[test]
    fn prorated_amounts_round_to_either_side_of_the_point() {
        let cases = [
            (ProrationMethod::HalfUp, 0, "4133.5", "4134"),
            (ProrationMethod::Floor, 0, "4133.9", "4133"),
            (ProrationMethod::Ceiling, -2, "4101", "4200"),
            (ProrationMethod::HalfUp, -2, "4149.99", "4100"),
            (ProrationMethod::HalfUp, 5, "0.333333333", "0.33333"),
            (ProrationMethod::HalfUp, -5, "49999", "0"),
        ];
        for (rounding_method, decimal_places, amount, rounded) in cases {
            let rounding = ProrationRounding { rounding_method, decimal_places };
            assert_eq!(
                plain(&rounding.apply(&parse_decimal(amount).expect("a number"))),
                rounded,
                "{rounding:?}"
            );
        }
    }

    #[test]
    fn division_stops_at_twenty_decimals() {
        let cases = [
            ("1", "3", "0.33333333333333333333"),
            ("2", "3", "0.66666666666666666667"),
            ("-2", "3", "-0.66666666666666666667"),
            ("1", "8", "0.125"),
            ("1e30", "4", "250000000000000000000000000000"),
            ("5e-21", "1", "0.00000000000000000001"),
            ("0", "7", "0"),
        ];
        for (left, right, quotient) in cases {
            let number = |text| parse_decimal(text).expect("a number");
            assert_eq!(plain(&divide(&number(left), &number(right))), quotient, "{left} / {right}");
        }
    }
}
