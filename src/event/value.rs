//! Property values as text and as numbers. Pure.
//!
//! Documentation recommends strings for everything, official examples send JSON numbers: both forms of one
//! number are the same text and the same quantity, and neither passes through a binary float.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::wire::WellFormed;

/// Largest absolute exponent of a number.
const EXPONENT_MAX: i64 = 100;

/// Longest text that is looked at as a number; no meter reading comes near it.
const LENGTH_MAX: usize = 200;

/// A property of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyValue {
    Null,
    Bool(bool),
    /// The number as it was written.
    Number(String),
    Text(String),
    /// An object or a list, as JSON without blanks.
    Compound(String),
}

/// The properties of an event by name.
pub type Properties = BTreeMap<String, PropertyValue>;

/// Reads the properties from their JSON; of repeated names the last counts.
///
/// Values are told apart by how they are written. The JSON library's own value type would take an object with
/// one of its private names for a number, or for JSON within JSON.
pub fn parse_properties(text: &str) -> Result<Properties, serde_json::Error> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
    members.into_iter().map(|(name, value)| Ok((name, PropertyValue::parse(value.get())?))).collect()
}

impl PropertyValue {
    fn parse(text: &str) -> Result<Self, serde_json::Error> {
        Ok(match text.as_bytes().first() {
            Some(b'"') => Self::Text(serde_json::from_str(text)?),
            Some(b'{' | b'[') => {
                serde_json::from_str::<WellFormed>(text)?;
                Self::Compound(without_blanks(text))
            }
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') => Self::Null,
            _ => Self::Number(text.to_owned()),
        })
    }

    /// As filters, group values and UNIQUE compare it: strings as they are, numbers plain, `null` not at all.
    #[must_use]
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Null => None,
            Self::Bool(true) => Some(Cow::Borrowed("true")),
            Self::Bool(false) => Some(Cow::Borrowed("false")),
            Self::Number(text) => Some(plain_number(text).map_or(Cow::Borrowed(text), Cow::Owned)),
            Self::Text(text) | Self::Compound(text) => Some(Cow::Borrowed(text)),
        }
    }

    /// As SUM, MAX and LATEST read it: the plain decimal text of a number or of a string that is one.
    #[must_use]
    pub fn as_number(&self) -> Option<String> {
        match self {
            Self::Number(text) => plain_number(text),
            Self::Text(text) => plain_number(text.trim_matches(|letter: char| letter.is_ascii_whitespace())),
            Self::Null | Self::Bool(_) | Self::Compound(_) => None,
        }
    }
}

/// JSON without the blanks between its parts; those inside strings stay.
fn without_blanks(text: &str) -> String {
    let (mut is_string, mut is_escaped) = (false, false);
    let keep = |letter: &char| {
        let keeps = is_string || !letter.is_ascii_whitespace();
        match letter {
            '"' if !is_escaped => is_string = !is_string,
            _ => {}
        }
        is_escaped = is_string && !is_escaped && *letter == '\\';
        keeps
    };
    text.chars().filter(keep).collect()
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
    use super::*;
    use proptest::prelude::*;

    fn value(json: &str) -> PropertyValue {
        parse_properties(&format!(r#"{{"a": {json}}}"#)).expect("properties").remove("a").expect("a property")
    }

    #[test]
    fn a_number_is_the_same_in_both_forms() {
        let cases = [
            ("0.1", "0.1"),
            ("1e1", "10"),
            ("2.50", "2.5"),
            ("200", "200"),
            ("-0", "0"),
            ("1.5E-3", "0.0015"),
            ("12.34e1", "123.4"),
            ("123456789012345678901234567890.5", "123456789012345678901234567890.5"),
            ("0.00e5", "0"),
        ];
        for (text, expected) in cases {
            assert_eq!(value(&format!("\"{text}\"")).as_number().as_deref(), Some(expected), "{text}");
            assert_eq!(value(text).as_number().as_deref(), Some(expected), "{text}");
            assert_eq!(value(text).as_text().as_deref(), Some(expected), "{text}");
        }
        assert_eq!(value("\" 7 \"").as_number().as_deref(), Some("7"));
        assert_eq!(value("\"+.5\"").as_number().as_deref(), Some("0.5"));
    }

    #[test]
    fn what_is_not_a_number() {
        for text in ["", "abc", "NaN", "Infinity", "1.2.3", "5.", ".", "-", "1e101", "0x10", "1,000", "--1"] {
            assert_eq!(value(&format!("\"{text}\"")).as_number(), None, "{text}");
        }
        for json in ["true", "null", r#"{"a": 1}"#, "[1]", r#"{"$serde_json::private::Number": "1"}"#] {
            assert_eq!(value(json).as_number(), None, "{json}");
        }
    }

    #[test]
    fn text_keeps_case_and_blanks() {
        assert_eq!(value(r#"" EU ""#).as_text().as_deref(), Some(" EU "));
        assert_eq!(value("true").as_text().as_deref(), Some("true"));
        assert_eq!(value("null").as_text(), None);
        let compound = r#"{"a": [1, "x \" y"],  "b": 2.50}"#;
        assert_eq!(value(compound).as_text().as_deref(), Some(r#"{"a":[1,"x \" y"],"b":2.50}"#));
        let private = r#"{"$serde_json::private::RawValue":"1"}"#;
        assert_eq!(value(private).as_text().as_deref(), Some(private));
    }

    proptest! {
        #[test]
        fn agrees_with_exact_decimals(mantissa in -1_000_000_000_i64..1_000_000_000, exponent in -12_i64..12) {
            let text = format!("{mantissa}e{exponent}");
            let expected = crate::money::plain(&crate::money::parse_decimal(&text).expect("fits"));
            prop_assert_eq!(value(&text).as_number(), Some(expected));
        }
    }
}
