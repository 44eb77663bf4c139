//! Property values as text and as numbers. Pure.
//!
//! Documentation recommends strings for everything, official examples send JSON numbers: both forms of one
//! number are the same text and the same quantity, and neither passes through a binary float.

use std::borrow::Cow;

use serde_json::Value;

/// Largest absolute exponent of a number.
const EXPONENT_MAX: i64 = 100;

/// Longest text that is looked at as a number; no meter reading comes near it.
const LENGTH_MAX: usize = 200;

/// A value as filters, group values and UNIQUE compare it: strings as they are, numbers plain, `null` not at
/// all.
#[must_use]
pub fn as_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Number(number) => {
            Some(plain_number(number.as_str()).map_or(Cow::Borrowed(number.as_str()), Cow::Owned))
        }
        Value::Array(_) | Value::Object(_) => Some(Cow::Owned(value.to_string())),
    }
}

/// A value as SUM, MAX and LATEST read it: the plain decimal text of a number or of a string that is one.
#[must_use]
pub fn as_number(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => plain_number(number.as_str()),
        Value::String(text) => plain_number(text.trim_matches(|letter: char| letter.is_ascii_whitespace())),
        _ => None,
    }
}

/// `2.50` → `2.5`, `1e3` → `1000`; nothing where the text is not a number.
fn plain_number(text: &str) -> Option<String> {
    if text.len() > LENGTH_MAX {
        return None;
    }
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (sign, digits) = match mantissa.as_bytes().first()? {
        b'-' => ("-", &mantissa[1..]),
        b'+' => ("", &mantissa[1..]),
        _ => ("", mantissa),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (digits, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if exponent.abs() > EXPONENT_MAX
        || (whole.is_empty() && fraction.is_empty())
        || !all_digits(whole)
        || !all_digits(fraction)
    {
        return None;
    }
    Some(shifted(sign, whole, fraction, exponent))
}

/// The digits with the decimal point moved by the exponent, without zeros that say nothing.
fn shifted(sign: &str, whole: &str, fraction: &str, exponent: i64) -> String {
    let digits = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).expect("the text is short") + exponent;
    let (whole, fraction) = if point <= 0 {
        let zeros = usize::try_from(-point).expect("the exponent is small");
        (String::new(), format!("{}{digits}", "0".repeat(zeros)))
    } else {
        let point = usize::try_from(point).expect("the exponent is small");
        let padded = format!("{digits:0<point$}");
        (padded[..point].to_owned(), padded[point..].to_owned())
    };
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    match (whole, fraction) {
        ("", "") => "0".to_owned(),
        ("", fraction) => format!("{sign}0.{fraction}"),
        (whole, "") => format!("{sign}{whole}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_is_the_same_in_both_forms() {
        let cases = [
            ("0.1", Some("0.1")),
            ("1e1", Some("10")),
            ("2.50", Some("2.5")),
            ("200", Some("200")),
            ("-0", Some("0")),
            ("1.5E-3", Some("0.0015")),
            ("12.34e1", Some("123.4")),
            ("123456789012345678901234567890.5", Some("123456789012345678901234567890.5")),
            ("0.00e5", Some("0")),
        ];
        for (text, expected) in cases {
            assert_eq!(as_number(&json!(text)).as_deref(), expected, "{text}");
            let number: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(as_number(&number).as_deref(), expected, "{text}");
            assert_eq!(as_text(&number).as_deref(), expected, "{text}");
        }
        assert_eq!(as_number(&json!(" 7 ")).as_deref(), Some("7"));
        assert_eq!(as_number(&json!("+.5")).as_deref(), Some("0.5"));
    }

    #[test]
    fn what_is_not_a_number() {
        for text in ["", "abc", "NaN", "Infinity", "1.2.3", "5.", ".", "-", "1e101", "0x10", "1,000", "--1"] {
            assert_eq!(as_number(&json!(text)), None, "{text}");
        }
        for value in [json!(true), json!(null), json!({"a": 1}), json!([1])] {
            assert_eq!(as_number(&value), None, "{value}");
        }
    }

    #[test]
    fn text_keeps_case_and_blanks() {
        assert_eq!(as_text(&json!(" EU ")).as_deref(), Some(" EU "));
        assert_eq!(as_text(&json!(true)).as_deref(), Some("true"));
        assert_eq!(as_text(&json!(null)), None);
        assert_eq!(as_text(&json!({"a": [1, "x"]})).as_deref(), Some(r#"{"a":[1,"x"]}"#));
    }

    proptest! {
        #[test]
        fn agrees_with_exact_decimals(mantissa in -1_000_000_000_i64..1_000_000_000, exponent in -12_i64..12) {
            let text = format!("{mantissa}e{exponent}");
            let expected = crate::money::plain(&crate::money::parse_decimal(&text).expect("fits"));
            prop_assert_eq!(as_number(&json!(text)), Some(expected));
        }
    }
}
