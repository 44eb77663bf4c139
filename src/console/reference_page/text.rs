//! Text on a page.

use std::fmt::Write;

/// Text that stands for itself between tags.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Text that stands for itself in an attribute.
pub fn attribute(text: &str) -> String {
    escape(text).replace('"', "&quot;")
}

/// A description, whose backquotes mark code.
pub fn prose(text: &str) -> String {
    let mut parts = text.split('`');
    let mut html = escape(parts.next().unwrap_or_default());
    while let Some(code) = parts.next() {
        match parts.next() {
            Some(rest) => {
                let _ = write!(html, "<code>{}</code>{}", escape(code), escape(rest));
            }
            None => {
                let _ = write!(html, "`{}", escape(code));
            }
        }
    }
    html
}

/// A heading as an id, such as `rate-cards`.
pub fn slug(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_said_becomes_a_tag() {
        assert_eq!(escape("<a>'&"), "&lt;a&gt;'&amp;");
        assert_eq!(attribute("\"<&"), "&quot;&lt;&amp;");
        assert_eq!(prose("a `<b>` & c"), "a <code>&lt;b&gt;</code> &amp; c");
        assert_eq!(prose("an odd ` stays"), "an odd ` stays");
    }
}
