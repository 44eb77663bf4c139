//! Decimals on the wire: read from the text of the JSON number, printed plain.

use std::borrow::Cow;

use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::{BigDecimal as Decimal, ToPrimitive, Zero};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

/// Largest absolute exponent that is looked at; beyond it the text is not a number that any bill can hold.
const EXPONENT_MAX: i64 = 100;

/// Longest text of a number in a request: reading takes time that grows with the square of its length.
const LENGTH_MAX: usize = 1000;

/// Significant digits of a number in a request (our decision: more is a mistake of the sender).
const INPUT_DIGITS_MAX: usize = 28;

/// Decimals of a number in a request (our decision: as with the digits).
const INPUT_DECIMALS_MAX: i64 = 50;

/// Digits of an amount, and those before its point.
const BILLABLE_DIGITS_MAX: i64 = 1000;
const BILLABLE_MAGNITUDE_MAX: i64 = 100;

/// Why a text is not an exact decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    #[error("is not a decimal number")]
    NotANumber,
    #[error("has an exponent beyond 100")]
    TooFar,
    #[error("has more than {INPUT_DIGITS_MAX} significant digits")]
    TooManyDigits,
    #[error("has more than {INPUT_DECIMALS_MAX} decimals")]
    TooManyDecimals,
}

#[must_use]
pub fn zero() -> Decimal {
    Decimal::zero()
}

#[must_use]
pub fn is_negative(value: &Decimal) -> bool {
    value.sign() == Sign::Minus
}

#[must_use]
pub fn is_positive(value: &Decimal) -> bool {
    value.sign() == Sign::Plus
}

/// A whole number from 0 as a count; beyond what this machine counts, the most that it does.
#[must_use]
pub fn to_count(value: &Decimal) -> Option<usize> {
    let is_count = value.is_integer() && !is_negative(value);
    is_count.then(|| value.to_usize().unwrap_or(usize::MAX))
}

/// Whether an amount can be on a bill: it is below 10^100, and has at most 1,000 digits, about (our decision: beyond that no
/// reader of JSON can be trusted to take it).
#[must_use]
pub fn is_billable(amount: &Decimal) -> bool {
    let (digits, decimals) = amount.as_bigint_and_scale();
    // A bit holds 0.30103 digits; the last one or two are of no account.
    let digits = i64::try_from(digits.bits()).unwrap_or(i64::MAX / 30_103) * 30_103 / 100_000;
    digits <= BILLABLE_DIGITS_MAX && digits - decimals <= BILLABLE_MAGNITUDE_MAX
}

/// Reads `-12`, `1.50` or `1.5e3` without loss.
pub fn parse_decimal(text: &str) -> Result<Decimal, DecimalError> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i64>().map_err(|_| DecimalError::NotANumber)?),
        None => (text, 0),
    };
    if exponent.abs() > EXPONENT_MAX {
        return Err(DecimalError::TooFar);
    }
    let (negative, digits) = match mantissa.as_bytes().first() {
        Some(b'-') => (true, &mantissa[1..]),
        Some(b'+') => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(DecimalError::NotANumber);
    }
    let mantissa: BigInt = format!("0{whole}{fraction}").parse().map_err(|_| DecimalError::NotANumber)?;
    let decimals = i64::try_from(fraction.len()).map_err(|_| DecimalError::TooFar)?;
    let value = Decimal::new(if negative { -mantissa } else { mantissa }, decimals - exponent);
    Ok(value.normalized())
}

/// A decimal printed without exponent and without trailing zeros: `1.50` is `1.5`, `1e3` is `1000`.
#[must_use]
pub fn plain(value: &Decimal) -> String {
    value.normalized().to_plain_string()
}

/// An exact decimal as a JSON number, of any length.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub Decimal);

/// A decimal that a request brings: exact, at most 28 significant digits and 50 decimals.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputNumber(pub Decimal);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = number_text(deserializer)?;
        parse_decimal(text.get()).map(Self).map_err(de::Error::custom)
    }
}

/// The text as it was sent: the JSON library's own numbers can be imitated by an object.
fn number_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<RawValue>, D::Error> {
    let text = Box::<RawValue>::deserialize(deserializer)?;
    match text.get().as_bytes() {
        [b'-' | b'0'..=b'9', ..] => Ok(text),
        _ => Err(de::Error::custom("must be a number")),
    }
}

impl<'de> Deserialize<'de> for InputNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = number_text(deserializer)?;
        parse_input(text.get()).map(Self).map_err(de::Error::custom)
    }
}

fn parse_input(text: &str) -> Result<Decimal, DecimalError> {
    if text.len() > LENGTH_MAX {
        return Err(DecimalError::TooManyDigits);
    }
    let value = parse_decimal(text)?;
    let (digits, scale) = value.as_bigint_and_exponent();
    let trailing_zeros = usize::try_from(-scale).unwrap_or(0);
    if digits.magnitude().to_string().len() + trailing_zeros > INPUT_DIGITS_MAX {
        return Err(DecimalError::TooManyDigits);
    }
    if scale > INPUT_DECIMALS_MAX {
        return Err(DecimalError::TooManyDecimals);
    }
    Ok(value)
}

macro_rules! wire_numbers {
    ($($name:ident),*) => {$(
        impl From<Decimal> for $name {
            fn from(value: Decimal) -> Self {
                Self(value)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let number: serde_json::Number = plain(&self.0).parse().map_err(ser::Error::custom)?;
                number.serialize(serializer)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "number" })
            }
        }
    )*};
}

wire_numbers!(Number, InputNumber);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_text_and_prints_it_plain() {
        let cases = [
            ("1.50", "1.5"),
            ("0.1", "0.1"),
            ("-0.00", "0"),
            ("1e3", "1000"),
            ("1.5E-3", "0.0015"),
            ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
            ("1e-30", "0.000000000000000000000000000001"),
            ("+2", "2"),
        ];
        for (text, printed) in cases {
            assert_eq!(plain(&parse_decimal(text).expect(text)), printed, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_number() {
        for text in ["", "-", ".", "1.2.3", "abc", "NaN", "0x1", "1e", "1 000", "--1"] {
            assert_eq!(parse_decimal(text), Err(DecimalError::NotANumber), "{text}");
        }
        assert_eq!(parse_decimal("1e101"), Err(DecimalError::TooFar));
    }

    #[test]
    fn a_count_is_whole_and_from_zero() {
        for (text, count) in [
            ("0", Some(0)),
            ("-0.0", Some(0)),
            ("7.0", Some(7)),
            ("1e3", Some(1000)),
            ("1e27", Some(usize::MAX)),
            ("-1", None),
            ("0.5", None),
        ] {
            assert_eq!(to_count(&parse_decimal(text).expect(text)), count, "{text}");
        }
    }

    #[test]
    fn a_request_brings_at_most_28_digits() {
        for text in ["1234567890123456789012345678", "0.0000001234567890123456789012345678", "1e27", "1.5000"]
        {
            assert!(serde_json::from_str::<InputNumber>(text).is_ok(), "{text}");
        }
        let hidden = format!("0.{}1e-100", "0".repeat(900));
        for text in [
            "12345678901234567890123456789",
            "1e-51",
            &hidden,
            "1e28",
            "1.2345678901234567890123456789",
            "1e400",
        ] {
            assert!(serde_json::from_str::<InputNumber>(text).is_err(), "{text}");
        }
        assert!(
            serde_json::from_str::<InputNumber>("\"0.1\"").is_err(),
            "a price is a JSON number, not a string"
        );
    }

    proptest! {
        #[test]
        fn printing_and_reading_is_the_identity(mantissa: i128, scale in -20_i64..40) {
            let value = Decimal::new(mantissa.into(), scale);
            prop_assert_eq!(parse_decimal(&plain(&value)), Ok(value.clone()));
            let json = serde_json::to_string(&Number(value.clone())).expect("a number");
            prop_assert_eq!(serde_json::from_str::<Number>(&json).expect("a number"), Number(value));
        }
    }
}
