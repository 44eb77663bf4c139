use proptest::prelude::*;

use super::*;

fn query(text: &str) -> Query {
    parse(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"))
}

#[test]
fn the_quantity_is_the_column_value_else_the_first() {
    let cases: [(&str, usize, &[&str]); 5] = [
        ("SELECT COUNT(*), properties.a FROM events GROUP BY a", 0, &["a"]),
        ("SELECT properties.a, COUNT(*) AS value FROM events GROUP BY a", 1, &["a"]),
        (
            "SELECT properties.a AS b, COUNT(*) AS VALUE, event_type FROM events GROUP BY 1, 3",
            1,
            &["b", "event_type"],
        ),
        ("SELECT COUNT(*) AS n, properties.value FROM events GROUP BY 2", 1, &["n"]),
        ("SELECT properties.\"a.b\" AS value FROM events", 0, &[]),
    ];
    for (text, value, groups) in cases {
        let query = query(text);
        assert_eq!((query.value, &query.group_names()[..]), (value, groups), "{text}");
        assert_eq!(query.select.outputs[value].expression.kind(), Kind::Number, "{text}");
    }
}

#[test]
fn each_property_is_read_once() {
    let query = query(
        "SELECT SUM(properties.a + properties.b) FROM events WHERE properties.a > 1 AND properties.A = 'x'",
    );
    assert_eq!(query.properties, ["a", "A", "b"]);
}

#[test]
fn scans_are_found_at_every_depth() {
    let query = query(
        "WITH a AS (SELECT n FROM (SELECT properties.n FROM events WHERE event_type = 'x'))
         SELECT SUM(n) FROM (SELECT n FROM a WHERE n > 1)",
    );
    let scans = query.scans();
    assert!(matches!(scans[..], [Some(Expression::Compare(..))]), "{scans:?}");
}

#[test]
fn the_event_types_that_filters_name_are_known() {
    let cases: [(&str, Option<&[&str]>); 12] = [
        ("FROM events", None),
        ("FROM events WHERE event_type = 'a'", Some(&["a"])),
        ("FROM events WHERE 'a' = event_type AND properties.n > 1", Some(&["a"])),
        ("FROM events WHERE event_type IN ('b', 'a')", Some(&["a", "b"])),
        ("FROM events WHERE event_type = 'a' OR event_type = 'b' AND properties.n = 1", Some(&["a", "b"])),
        ("FROM events WHERE event_type = 'a' OR properties.n = 1", None),
        ("FROM events WHERE event_type = 'a' AND event_type = 'b'", Some(&[])),
        ("FROM events WHERE NOT event_type = 'a'", None),
        ("FROM events WHERE event_type <> 'a'", None),
        ("FROM events WHERE event_type = properties.kind", None),
        ("FROM events WHERE event_type IN ('a', properties.kind)", None),
        ("FROM (SELECT properties.n FROM events WHERE event_type = 'a') WHERE n = 'b'", Some(&["a"])),
    ];
    for (from, expected) in cases {
        let query = query(&format!("SELECT COUNT(*) {from}"));
        let expected = expected.map(|types| types.iter().copied().collect());
        assert_eq!(query.event_types(), expected, "{from}");
    }
    let two = query(
        "WITH a AS (SELECT COUNT(*) AS n FROM events WHERE event_type = 'a'),
              b AS (SELECT COUNT(*) AS n FROM events WHERE event_type = 'b')
         SELECT SUM(n) FROM b",
    );
    assert_eq!(two.event_types(), Some(["a", "b"].into()));
}

#[test]
fn a_stored_query_that_is_no_longer_taken_says_why() {
    let stored = SqlDefinition::stored("SELECT * FROM events".to_owned());
    assert!(stored.query().is_err_and(|refusal| refusal.to_string().contains("SELECT *")));
    assert_eq!(stored.group_names(), [""; 0]);
    assert!(SqlDefinition::new(stored.text).is_err());
}

#[test]
fn depth_is_bounded_however_it_is_made() {
    let sum = |inner: &str, terms: usize| format!("({inner}{})", " + 1".repeat(terms));
    let within = |levels: usize, terms: usize| {
        let expression = (0..levels).fold("1".to_owned(), |inner, _| sum(&inner, terms));
        parse(&format!("SELECT SUM{expression} FROM events"))
    };
    assert!(within(1, 90).is_ok());
    assert!(within(9, 9).is_ok());
    for (levels, terms) in [(2, 90), (20, 9), (28, 30)] {
        let refusal = within(levels, terms).expect_err("too deep").to_string();
        assert!(refusal.contains("nested too deeply"), "{refusal}");
    }
}

/// Words and signs of SQL, of which most orders make no sense.
fn any_word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "SELECT",
        "FROM",
        "events",
        "WHERE",
        "GROUP BY",
        "(",
        "(",
        ")",
        ")",
        ",",
        "COUNT(*)",
        "SUM(",
        "properties.n",
        "timestamp",
        "event_type",
        "'x'",
        "1",
        "+",
        "-",
        "*",
        "/",
        "=",
        ">=",
        "AND",
        "OR",
        "NOT",
        "IN",
        "IS NULL",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "CAST(",
        "AS",
        "INT",
        "value",
        "OVER",
        "PARTITION BY",
        "ORDER BY",
        "BETWEEN",
        "ROWS",
        "WITH",
        "a",
        "HAVING",
        "INTERVAL",
        "EXTRACT(",
        "EPOCH",
        "ARRAY[",
        "]",
        "::",
        ".",
        "EXISTS",
        "UNION",
        "JOIN",
        "LATERAL",
        "VALUES",
        "ROW(",
        "{",
        "}",
        "=>",
        "TIMESTAMP",
        "COLLATE",
        "FILTER",
        "WITHIN GROUP",
        "\"q\"",
        "$1",
        ";",
        "--",
        "≥",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_words_breaks_the_reading(words in prop::collection::vec(any_word(), 0..60)) {
        // A panic would be one of the reading's own reasons.
        let outcome = parse(&words.join(" "));
        prop_assert!(outcome.err().is_none_or(|refusal| refusal.to_string() != "cannot be read"));
    }

    #[test]
    fn no_text_breaks_the_reading(text in "\\PC{0,200}") {
        let outcome = parse(&text);
        prop_assert!(outcome.err().is_none_or(|refusal| refusal.to_string() != "cannot be read"));
    }
}
