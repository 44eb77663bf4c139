//! Property values as text and as numbers. Pure.
//!
//! Documentation recommends strings for everything, official examples send JSON numbers: both forms of one
//! number are the same text and the same quantity, and neither passes through a binary float.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::wire::WellFormed;

/// Largest absolute exponent of a number.
const EXPONENT_MAX: i64 = 100;

/// Longest text of a number; no meter reading comes near it. A longer one is refused when it is sent, so that none is
/// ever taken for something that is no number.
pub const NUMBER_LENGTH_MAX: usize = 1_000;

/// Most members of one object that are read, repeated names among them: many short ones take many times the memory of
/// their text.
const MEMBERS_MAX: usize = 20_000;

/// A property of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyValue<'a> {
    Null,
    Bool(bool),
    /// The number as it was written.
    Number(&'a str),
    Text(Cow<'a, str>),
    /// An object or a list, as JSON without blanks.
    Compound(String),
}

/// The properties of an event by name. What a value is is found out when it is asked for: of the many properties of
/// an event a metric reads one or two.
#[derive(Clone, Debug, Default)]
pub struct Properties<'a> {
    /// In the order in which they were sent; names may be repeated.
    members: Vec<(Cow<'a, str>, &'a str)>,
}

/// Finds the properties in their JSON; of repeated names the last counts. Values are not looked into.
pub fn parse_properties(text: &str) -> Result<Properties<'_>, serde_json::Error> {
    serde_json::from_str(text)
}

impl<'a> Properties<'a> {
    /// How many there are, if more than `most`; repeated names count once.
    #[must_use]
    pub fn more_than(&self, most: usize) -> Option<usize> {
        if self.members.len() <= most {
            return None;
        }
        let names: HashSet<&str> = self.members.iter().map(|(name, _)| name.as_ref()).collect();
        Some(names.len()).filter(|count| *count > most)
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<PropertyValue<'a>> {
        let (_, text) = self.members.iter().rev().find(|(own, _)| own == name)?;
        Some(PropertyValue::read(text).expect("values are checked before events are kept"))
    }

    /// The name of a property that is a number of more than [`NUMBER_LENGTH_MAX`] characters, if there is one. `check`
    /// has passed.
    #[must_use]
    pub fn too_long_a_number(&self) -> Option<&str> {
        let is_too_long = |text: &str| match PropertyValue::read(text) {
            Ok(PropertyValue::Number(text)) => number_parts(text).is_some(),
            Ok(PropertyValue::Text(text)) => {
                let text = trimmed(&text);
                text.len() > NUMBER_LENGTH_MAX && number_parts(text).is_some()
            }
            _ => false,
        };
        let long = self.members.iter().filter(|(_, text)| text.len() > NUMBER_LENGTH_MAX);
        long.filter(|(_, text)| is_too_long(text)).map(|(name, _)| name.as_ref()).next()
    }

    /// Fails where a value cannot be kept: where a string in it is none, or where it is nested too deep.
    pub fn check(&self) -> Result<(), serde_json::Error> {
        self.members.iter().try_for_each(|(_, text)| {
            let is_plain = match text.as_bytes()[0] {
                b'"' => !text.contains('\\'),
                b'{' | b'[' => false,
                _ => true,
            };
            if is_plain { Ok(()) } else { serde_json::from_str::<WellFormed>(text).map(|_| ()) }
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Properties<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Properties<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    let value: &RawValue = map.next_value()?;
                    if members.len() == MEMBERS_MAX {
                        return Err(A::Error::custom(format_args!("it has more than {MEMBERS_MAX} members")));
                    }
                    members.push((name, value.get()));
                }
                Ok(Properties { members })
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Text that is borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> PropertyValue<'a> {
    /// Values are told apart by how they are written. The JSON library's own value type would take an object with
    /// one of its private names for a number, or for JSON within JSON.
    fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        Ok(match text.as_bytes().first() {
            Some(b'"') if text.contains('\\') => Self::Text(serde_json::from_str::<Name<'a>>(text)?.0),
            // The parser that found the value has seen that it is a whole string.
            Some(b'"') => Self::Text(Cow::Borrowed(&text[1..text.len() - 1])),
            Some(b'{' | b'[') => Self::Compound(without_blanks(text)),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') => Self::Null,
            _ => Self::Number(text),
        })
    }

    /// As filters, group values and UNIQUE compare it: strings as they are, numbers plain, `null` not at all.
    #[must_use]
    pub fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Null => None,
            Self::Bool(true) => Some(Cow::Borrowed("true")),
            Self::Bool(false) => Some(Cow::Borrowed("false")),
            Self::Number(text) => Some(plain_number(text).map_or(Cow::Borrowed(text), Cow::Owned)),
            Self::Text(text) => Some(text),
            Self::Compound(text) => Some(Cow::Owned(text)),
        }
    }

    /// As SUM, MAX and LATEST read it: the plain decimal text of a number or of a string that is one.
    #[must_use]
    pub fn as_number(&self) -> Option<String> {
        match self {
            Self::Number(text) => plain_number(text),
            Self::Text(text) => plain_number(trimmed(text)),
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

fn trimmed(text: &str) -> &str {
    text.trim_matches(|letter: char| letter.is_ascii_whitespace())
}

/// `2.50` → `2.5`, `1e3` → `1000`; nothing where the text is not a number.
fn plain_number(text: &str) -> Option<String> {
    if text.len() > NUMBER_LENGTH_MAX {
        return None;
    }
    if !text.starts_with('0') && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.to_owned());
    }
    let parts = number_parts(text)?;
    Some(shifted(parts.sign, parts.whole, parts.fraction, parts.exponent))
}

/// A number as it was written.
struct NumberParts<'a> {
    sign: &'static str,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

/// The parts of a number of any length; nothing where the text is not a number.
fn number_parts(text: &str) -> Option<NumberParts<'_>> {
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
    Some(NumberParts { sign, whole, fraction, exponent })
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

    fn value(json: &str) -> PropertyValue<'static> {
        let text = format!(r#"{{"a": {json}}}"#);
        parse_properties(text.leak()).expect("properties").get("a").expect("a property")
    }

    #[test]
    fn the_last_of_repeated_names_counts() {
        let properties = parse_properties(r#"{"a": 1, "\u0061": "x", "b": null}"#).expect("properties");
        assert_eq!((properties.more_than(1), properties.more_than(2)), (Some(2), None));
        assert_eq!(properties.get("a"), Some(PropertyValue::Text("x".into())));
        assert_eq!(properties.get("c"), None);
    }

    #[test]
    fn a_name_may_be_repeated_but_not_without_end() {
        let repeated = |times: usize| format!("{{{}\"a\":1}}", "\"a\":0,".repeat(times - 1));
        let most = repeated(MEMBERS_MAX);
        let most = parse_properties(&most).expect("properties");
        assert_eq!((most.get("a"), most.more_than(1)), (Some(PropertyValue::Number("1")), None));
        let message = parse_properties(&repeated(MEMBERS_MAX + 1)).expect_err("too many").to_string();
        assert!(message.contains("more than 20000 members"), "{message}");
    }

    #[test]
    fn what_cannot_be_kept_is_noticed() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for bad in [r#""\ud800""#, r#"["\ud800"]"#, r#""\u0000""#, &deep] {
            let text = format!(r#"{{"a": {bad}}}"#);
            let checked = parse_properties(&text).and_then(|properties| properties.check());
            assert!(checked.is_err(), "{bad}");
        }
        for good in [r#""\n""#, "1", r#"{"a": ["x"]}"#] {
            let text = format!(r#"{{"a": {good}}}"#);
            parse_properties(&text).expect("read").check().expect(good);
        }
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
            assert_eq!(value(text).into_text().as_deref(), Some(expected), "{text}");
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
    fn a_number_that_is_too_long_is_noticed() {
        let nines = |count: usize| "9".repeat(count);
        assert_eq!(value(&nines(1_000)).as_number(), Some(nines(1_000)));
        assert_eq!(value(&format!("\"{}\"", nines(1_000))).as_number(), Some(nines(1_000)));
        let (long, longer) = (nines(1_001), format!("0.{}e-7", nines(5_000)));
        for (json, is_too_long) in [
            (nines(1_000), false),
            (long.clone(), true),
            (format!("\"{long}\""), true),
            (format!("\" {longer}\\n\""), true),
            (format!("\"{}{}\"", " ".repeat(900), nines(1_000)), false),
            (format!("\"{long}x\""), false),
            (format!("[{long}]"), false),
            (format!("\"{}\"", "0x".repeat(2_000)), false),
        ] {
            let text = format!(r#"{{"b": 1, "a": {json}}}"#);
            let properties = parse_properties(&text).expect("properties");
            assert_eq!(properties.too_long_a_number(), is_too_long.then_some("a"), "{json}");
        }
    }

    #[test]
    fn text_keeps_case_and_blanks() {
        assert_eq!(value(r#"" EU ""#).into_text().as_deref(), Some(" EU "));
        assert_eq!(value("true").into_text().as_deref(), Some("true"));
        assert_eq!(value("null").into_text(), None);
        let compound = r#"{"a": [1, "x \" y"],  "b": 2.50}"#;
        assert_eq!(value(compound).into_text().as_deref(), Some(r#"{"a":[1,"x \" y"],"b":2.50}"#));
        let private = r#"{"$serde_json::private::RawValue":"1"}"#;
        assert_eq!(value(private).into_text().as_deref(), Some(private));
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
