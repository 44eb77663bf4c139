//! What names mean inside one SELECT.

use sqlparser::ast::Ident;

use super::refusal::Refusal;
use super::tree::{Expression, Kind};

/// A column of a source that is a query.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: Option<String>,
    pub kind: Kind,
}

/// What a FROM offers.
#[derive(Clone, Debug)]
pub enum Columns {
    Events,
    Of(Vec<Column>),
}

/// The names that expressions of a SELECT can use.
#[derive(Clone, Debug)]
pub struct Scope {
    /// What the FROM is called, if anything.
    pub name: Option<String>,
    pub columns: Columns,
    /// Rows are events, one by one, so that they have an order.
    pub has_events: bool,
}

/// Whether an identifier means a name: to the letter where it is quoted, else in any case.
pub fn means(identifier: &Ident, name: &str) -> bool {
    identifier.value == name
        || (identifier.quote_style.is_none() && identifier.value.eq_ignore_ascii_case(name))
}

/// The place of what an identifier means: the one name that is it to the letter, else the one in another case.
pub fn place_of<'a>(
    identifier: &Ident,
    names: impl Iterator<Item = Option<&'a str>> + Clone,
) -> Result<Option<usize>, Refusal> {
    let places = |is_it: &dyn Fn(&str) -> bool| -> Vec<usize> {
        let fitting = names.clone().enumerate().filter(|(_, name)| name.is_some_and(is_it));
        fitting.map(|(place, _)| place).collect()
    };
    for found in [places(&|name| name == identifier.value), places(&|name| means(identifier, name))] {
        match found[..] {
            [] => {}
            [place] => return Ok(Some(place)),
            _ => {
                return Err(Refusal::at_name(
                    identifier,
                    format!("`{}` names several columns", identifier.value),
                ));
            }
        }
    }
    Ok(None)
}

impl Scope {
    /// What a name with its qualifiers means. `properties` grows by what is read.
    pub fn resolve(&self, parts: &[Ident], properties: &mut Vec<String>) -> Result<Expression, Refusal> {
        let is_own = |first: &Ident| self.name.as_ref().is_some_and(|name| means(first, name));
        let parts = match parts {
            [first, rest @ ..] if !rest.is_empty() && is_own(first) => rest,
            parts => parts,
        };
        match &self.columns {
            Columns::Events => event_column(parts, properties),
            Columns::Of(columns) => {
                let [name] = parts else { return Err(unknown(parts)) };
                let place = place_of(name, columns.iter().map(|column| column.name.as_deref()))?;
                let place = place.ok_or_else(|| unknown(parts))?;
                Ok(Expression::Column(place, columns[place].kind))
            }
        }
    }
}

fn event_column(parts: &[Ident], properties: &mut Vec<String>) -> Result<Expression, Refusal> {
    match parts {
        [column] if means(column, "event_type") => Ok(Expression::EventType),
        [column] if means(column, "timestamp") => Ok(Expression::EventTimestamp),
        [column] if means(column, "properties") => {
            Err(Refusal::at_name(column, "`properties` needs the name of one, such as properties.size"))
        }
        [table, name] if means(table, "properties") => {
            let known = properties.iter().position(|property| *property == name.value);
            Ok(Expression::Property(known.unwrap_or_else(|| {
                properties.push(name.value.clone());
                properties.len() - 1
            })))
        }
        [table, ..] if means(table, "properties") => {
            let name = spelled(&parts[1..]);
            Err(Refusal::at_name(
                table,
                format!("the name of a property with dots is quoted: properties.\"{name}\""),
            ))
        }
        _ => Err(unknown(parts)),
    }
}

fn unknown(parts: &[Ident]) -> Refusal {
    let reason = format!(
        "there is no column `{}`; events have event_type, timestamp and properties.<name>, a subquery has what it \
         selects",
        spelled(parts)
    );
    match parts {
        [first, ..] => Refusal::at_name(first, reason),
        [] => Refusal::new(reason),
    }
}

fn spelled(parts: &[Ident]) -> String {
    let parts: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
    parts.join(".")
}
