//! Decimals on the wire: read from the text of the JSON number, printed plain.

use std::borrow::Cow;

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// Largest absolute exponent that is looked at; beyond it the text is not a number that any bill can hold.
const EXPONENT_MAX: i32 = 100;

/// Why a text is not an exact decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    #[error("is not a decimal number")]
    NotANumber,
    #[error("has more digits than can be held exactly (28 significant digits)")]
    TooManyDigits,
}

/// Reads `-12`, `1.50` or `1.5e3` without loss; refuses what 28 significant digits cannot hold.
pub fn parse_decimal(text: &str) -> Result<Decimal, DecimalError> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().map_err(|_| DecimalError::NotANumber)?),
        None => (text, 0),
    };
    if exponent.abs() > EXPONENT_MAX {
        return Err(DecimalError::TooManyDigits);
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
    let value = exact(whole, fraction, exponent).ok_or(DecimalError::TooManyDigits)?;
    Ok(if negative { -value } else { value })
}

/// The value of `whole.fraction × 10^exponent`, or nothing when it does not fit.
fn exact(whole: &str, fraction: &str, exponent: i32) -> Option<Decimal> {
    let joined = format!("{whole}{fraction}");
    let significant = joined.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some(Decimal::ZERO);
    }
    let dropped = i64::try_from(joined.len() - joined.trim_end_matches('0').len()).ok()?;
    let scale = i64::try_from(fraction.len()).ok()? - dropped - i64::from(exponent);
    if significant.len() > 29 || scale > i64::from(Decimal::MAX_SCALE) || scale < -29 {
        return None;
    }
    let mut mantissa: i128 = significant.parse().ok()?;
    for _ in scale..0 {
        mantissa = mantissa.checked_mul(10)?;
    }
    Decimal::try_from_i128_with_scale(mantissa, u32::try_from(scale.max(0)).ok()?).ok()
}

/// A decimal printed without exponent and without trailing zeros: `1.50` is `1.5`, `1e3` is `1000`.
#[must_use]
pub fn plain(value: Decimal) -> String {
    value.normalize().to_string()
}

/// An exact decimal as a JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub Decimal);

impl From<Decimal> for Number {
    fn from(value: Decimal) -> Self {
        Self(value)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number: serde_json::Number = plain(self.0).parse().map_err(ser::Error::custom)?;
        number.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        parse_decimal(number.as_str()).map(Self).map_err(de::Error::custom)
    }
}

impl JsonSchema for Number {
    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
}

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
            ("79228162514264337593543950335", "79228162514264337593543950335"),
            ("1000000000000000000000000000000e-5", "10000000000000000000000000"),
            ("+2", "2"),
        ];
        for (text, printed) in cases {
            assert_eq!(plain(parse_decimal(text).expect(text)), printed, "{text}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_hold() {
        for text in ["123456789012345678901234567890", "1e30", "1e101", "0.12345678901234567890123456789"] {
            assert_eq!(parse_decimal(text), Err(DecimalError::TooManyDigits), "{text}");
        }
        for text in ["", "-", ".", "1.2.3", "abc", "NaN", "0x1", "1e", "1 000", "--1"] {
            assert_eq!(parse_decimal(text), Err(DecimalError::NotANumber), "{text}");
        }
    }

    #[test]
    fn json_numbers_keep_their_text() {
        let number: Number = serde_json::from_str("0.1").expect("a number");
        assert_eq!(serde_json::to_string(&number).expect("a number"), "0.1");
        assert!(serde_json::from_str::<Number>("\"0.1\"").is_err(), "a price is a JSON number, not a string");
    }

    proptest! {
        #[test]
        fn printing_and_reading_is_the_identity(mantissa in -(1_i128 << 90)..(1_i128 << 90), scale in 0_u32..=28) {
            let value = Decimal::from_i128_with_scale(mantissa, scale);
            prop_assert_eq!(parse_decimal(&plain(value)), Ok(value));
        }
    }
}
