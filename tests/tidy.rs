//! Rules about the source that no lint knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path below `src/` and its text without line comments.
struct Source {
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    collect(Path::new("src"), &mut sources);
    assert!(sources.len() > 50, "the sources are where this test looks");
    sources
}

fn collect(directory: &Path, sources: &mut Vec<Source>) {
    let entries = fs::read_dir(directory).expect("a source directory");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let path = path.strip_prefix("src").expect("below src").to_string_lossy().into_owned();
            sources.push(Source { path, text: code.join("\n") });
        }
    }
}

/// The modules of `lib.rs` in the order of their declaration.
fn modules() -> Vec<String> {
    let lib = fs::read_to_string("src/lib.rs").expect("src/lib.rs");
    let name = |line: &str| line.strip_prefix("pub mod ")?.split(';').next().map(str::to_owned);
    lib.lines().filter_map(name).collect()
}

/// Whether a module is used by a path such as `crate::money::…`, or in a list `crate::{money, …}`.
fn uses(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let word = |text: &str| {
            text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
        };
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = &list[..list.find("};").unwrap_or(list.len())];
                used.extend(list.split(',').map(|item| word(item.trim())));
            }
            None => {
                used.insert(word(rest));
            }
        }
    }
    used
}

#[test]
fn imports_point_up_the_list_in_lib_rs() {
    let order: BTreeMap<String, usize> = modules().into_iter().zip(0..).collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let own = source.path.split('/').next().expect("a path").trim_end_matches(".rs").to_owned();
        let Some(own_place) = order.get(&own) else {
            continue;
        };
        for used in uses(&source.text) {
            if order.get(&used).is_some_and(|place| place > own_place) {
                wrong.push(format!("{} uses {used}, which is declared below {own}", source.path));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn calculations_know_no_database_no_network_and_no_clock() {
    let is_calc = |path: &str| path.ends_with("/calc.rs") || path.contains("/calc/");
    let mut seen = 0;
    let mut wrong = Vec::new();
    for source in sources().into_iter().filter(|source| is_calc(&source.path)) {
        seen += 1;
        for banned in ["sqlx", "axum", "tokio", "Clock", "async fn", "Utc::now", "std::fs"] {
            if source.text.contains(banned) {
                wrong.push(format!("{} has {banned}", source.path));
            }
        }
    }
    assert!(seen > 5, "the calculations are where this test looks");
    assert_eq!(wrong, Vec::<String>::new());
}

/// The tables that have an `environment_id`, as the last migration that makes them does.
fn tenant_tables() -> BTreeSet<String> {
    let entries =
        fs::read_dir("migrations").expect("migrations").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|is| is == "sql")).collect();
    paths.sort();
    let mut tables = BTreeSet::new();
    for path in paths {
        let text = fs::read_to_string(path).expect("a migration");
        for table in text.split("CREATE TABLE ").skip(1) {
            let name = table.split_whitespace().next().expect("a name").to_owned();
            let columns = &table[..table.find(';').unwrap_or(table.len())];
            if columns.contains("environment_id") {
                tables.insert(name);
            } else {
                tables.remove(&name);
            }
        }
    }
    assert!(tables.contains("customer") && tables.contains("invoice") && tables.contains("event_batch"));
    tables
}

/// The string literals of a source.
fn literals(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        let is_raw = rest[..at].ends_with("r#");
        let body = &rest[at + 1..];
        let end = if is_raw { body.find("\"#") } else { end_of_plain(body) };
        let Some(end) = end else { break };
        found.push(body[..end].to_owned());
        rest = &body[end + 1..];
    }
    found
}

fn end_of_plain(body: &str) -> Option<usize> {
    let mut escaped = false;
    body.char_indices().find_map(|(at, letter)| match letter {
        _ if escaped => {
            escaped = false;
            None
        }
        '\\' => {
            escaped = true;
            None
        }
        '"' => Some(at),
        _ => None,
    })
}

#[test]
fn every_statement_on_a_tenants_table_names_its_environment() {
    // A token is how the environment is found; the command line lists and archives tokens of all environments.
    let tables: Vec<String> = tenant_tables().into_iter().filter(|table| table != "access_token").collect();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for source in sources() {
        for literal in literals(&source.text) {
            let is_statement = ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM "].iter().any(|verb| {
                literal.trim_start().starts_with(verb) || literal.trim_start().starts_with("WITH ")
            });
            let words: BTreeSet<&str> =
                literal.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
            if is_statement && tables.iter().any(|table| words.contains(table.as_str())) {
                checked += 1;
                if !words.contains("environment_id") {
                    wrong.push(format!("{}: {}", source.path, literal.lines().next().unwrap_or_default()));
                }
            }
        }
    }
    assert!(checked > 50, "the statements are where this test looks: {checked}");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_binary_floats_but_in_telemetry() {
    let is_float = |text: &str| {
        text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .any(|word| word == "f32" || word == "f64")
    };
    // The query reader names every type that serde knows in order to refuse it.
    let allowed = ["telemetry.rs", "wire/query.rs"];
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|source| !allowed.contains(&source.path.as_str()) && is_float(&source.text))
        .map(|source| source.path)
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn nothing_is_left_for_later_in_the_source() {
    let banned = ["todo!", "unimplemented!", "dbg!", "FIXME", "XXX", "HACK"];
    let mut wrong = Vec::new();
    for source in sources() {
        wrong.extend(
            banned
                .iter()
                .filter(|word| source.text.contains(**word))
                .map(|word| format!("{}: {word}", source.path)),
        );
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_module_says_what_it_is() {
    let mut silent = Vec::new();
    for source in sources().into_iter().filter(|source| source.path.ends_with("mod.rs")) {
        let text = fs::read_to_string(Path::new("src").join(&source.path)).expect("a source file");
        if !text.starts_with("//!") {
            silent.push(source.path);
        }
    }
    assert_eq!(silent, Vec::<String>::new());
}
