//! From the query of a metric to a statement of PostgreSQL. Pure.
//!
//! Nothing of what the author of a query wrote stands in the statement: its tables and columns have names of their
//! own here, and its texts are parameters.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::catalog::billable_metric::sql::{
    Aggregate, Arithmetic, Bound, Comparison, Expression, Frame, Function, Grouping, Kind, Order, Query,
    Select, Source, Window, WindowFunction,
};

/// What a query is as statements over rows that are parameters: `$1` the timestamps, `$2` the event types, `$3` the
/// texts of the query, `$4` and `$5` where each slice of the rows begins and ends, then the properties.
#[derive(Clone, Debug)]
pub struct Printed {
    /// Answers `slice`, `value` and `groups` for each slice of the rows, both ends of a slice counted from 0: once for each
    /// tuple of group values, because rows of equal ones only ever count together.
    pub answers: String,
    /// Answers the places of the rows that pass a filter of the query, from 1; unset where every row does. Knows no
    /// slices: the properties are from `$4` on.
    pub filter: Option<String>,
    /// What `$3` is.
    pub texts: Vec<String>,
    /// The properties that are read as text, and then those that are read as numbers.
    pub text_columns: Vec<usize>,
    pub number_columns: Vec<usize>,
}

#[derive(Default)]
struct Printer {
    texts: Vec<String>,
    text_columns: BTreeSet<usize>,
    number_columns: BTreeSet<usize>,
}

/// What the rows around an expression are.
#[derive(Clone, Copy)]
struct Rows {
    /// They have a place in the order of events.
    have_places: bool,
    /// How many columns they have where they have no place.
    columns: usize,
}

#[must_use]
pub fn print(query: &Query) -> Printed {
    let mut printer = Printer::default();
    let mut commons = String::new();
    for (index, common) in query.commons.iter().enumerate() {
        let select = printer.select(query, common);
        let _ = write!(commons, ", common{index} AS ({select})");
    }
    let select = printer.select(query, &query.select);
    let value = format!("s.c{}", query.value);
    let groups: Vec<String> = query
        .select
        .outputs
        .iter()
        .enumerate()
        .filter(|(place, _)| *place != query.value)
        .map(|(place, output)| as_text(&format!("s.c{place}"), output.expression.kind()))
        .collect();
    let conditions: Option<Vec<String>> =
        query.scans().into_iter().map(|filter| Some(printer.expression(filter?))).collect();

    let (text_columns, number_columns) = (printer.text_columns, printer.number_columns);
    let source = |first: usize| source(first, &text_columns, &number_columns);
    let answers = format!(
        "WITH source AS MATERIALIZED ({source}) \
         SELECT slice.number AS slice, answer.value, answer.groups \
         FROM unnest($4::bigint[], $5::bigint[]) WITH ORDINALITY AS slice (first, after, number) \
         CROSS JOIN LATERAL (\
             WITH counted AS (SELECT * FROM source WHERE place > slice.first AND place <= slice.after){commons} \
             SELECT trim_scale(sum({value})) AS value, ARRAY[{groups}]::text[] AS groups FROM ({select}) AS s \
             {by} HAVING count(*) > 0\
         ) AS answer",
        by = if groups.is_empty() { "" } else { "GROUP BY 2" },
        source = source(6),
        groups = groups.join(", "),
    );
    let filter = conditions.map(|conditions| {
        let conditions: Vec<String> =
            conditions.iter().map(|condition| format!("coalesce({condition}, false)")).collect();
        let source = source(4);
        format!("SELECT s.place FROM ({source}) AS s WHERE {} ORDER BY 1", conditions.join(" OR "))
    });
    Printed {
        answers,
        filter,
        texts: printer.texts,
        text_columns: text_columns.into_iter().collect(),
        number_columns: number_columns.into_iter().collect(),
    }
}

/// The rows of the parameters, the first property being parameter `first`.
fn source(first: usize, text_columns: &BTreeSet<usize>, number_columns: &BTreeSet<usize>) -> String {
    let mut parameters = String::new();
    let mut names = String::new();
    let mut columns = String::new();
    for (parameter, column) in (first..).zip(text_columns.iter().chain(number_columns).enumerate()) {
        let (place, property) = column;
        let _ = write!(parameters, ", ${parameter}::text[]");
        if place < text_columns.len() {
            let _ = write!(names, ", p{property}");
            let _ = write!(columns, ", p{property}");
        } else {
            let _ = write!(names, ", n{property}");
            let _ = write!(columns, ", n{property}::numeric AS n{property}");
        }
    }
    format!(
        "SELECT place, happened_at, kind{columns} \
         FROM unnest($1::timestamptz[], $2::text[]{parameters}) WITH ORDINALITY \
              AS given (happened_at, kind{names}, place)"
    )
}

/// Whether the rows of a select have a place in the order of events.
fn has_places(query: &Query, select: &Select) -> bool {
    select.grouping.is_none()
        && match &select.source {
            Source::Events => true,
            Source::Common(index) => has_places(query, &query.commons[*index]),
            Source::Derived(inner) => has_places(query, inner),
        }
}

impl Printer {
    fn select(&mut self, query: &Query, select: &Select) -> String {
        let (from, rows) = self.source(query, &select.source);
        let filter = select.filter.as_ref().map(|filter| format!(" WHERE {}", self.expression(filter)));
        let filter = filter.unwrap_or_default();
        match &select.grouping {
            Some(grouping) => {
                let groups = self.groups(grouping, &from, &filter);
                let having = grouping.having.as_ref();
                let having = having.map(|having| format!(" WHERE {}", self.expression(having)));
                let outputs = self.outputs(select, rows);
                format!("SELECT {outputs} FROM ({groups}) AS s{}", having.unwrap_or_default())
            }
            None => {
                let place = if rows.have_places { ", s.place" } else { "" };
                format!("SELECT {}{place} FROM {from} AS s{filter}", self.outputs(select, rows))
            }
        }
    }

    fn source(&mut self, query: &Query, source: &Source) -> (String, Rows) {
        match source {
            Source::Events => ("counted".to_owned(), Rows { have_places: true, columns: 0 }),
            Source::Common(index) => {
                let common = &query.commons[*index];
                let rows = Rows { have_places: has_places(query, common), columns: common.outputs.len() };
                (format!("common{index}"), rows)
            }
            Source::Derived(inner) => {
                let rows = Rows { have_places: has_places(query, inner), columns: inner.outputs.len() };
                (format!("({})", self.select(query, inner)), rows)
            }
        }
    }

    /// The keys and aggregates of each group of rows.
    fn groups(&mut self, grouping: &Grouping, from: &str, filter: &str) -> String {
        let keys = grouping.keys.iter().enumerate();
        let mut columns: Vec<String> =
            keys.map(|(index, key)| format!("{} AS k{index}", self.expression(key))).collect();
        for (index, aggregate) in grouping.aggregates.iter().enumerate() {
            columns.push(format!("{} AS a{index}", self.aggregate(index, aggregate)));
        }
        let places: Vec<String> = (1..=grouping.keys.len()).map(|place| place.to_string()).collect();
        let by = if places.is_empty() { String::new() } else { format!(" GROUP BY {}", places.join(", ")) };
        let ranks = self.ranks(grouping);
        if ranks.is_empty() {
            return format!("SELECT {} FROM {from} AS s{filter}{by}", columns.join(", "));
        }
        let ranked = format!("SELECT s.*, {} FROM {from} AS s{filter}", ranks.join(", "));
        format!("SELECT {} FROM ({ranked}) AS s{by}", columns.join(", "))
    }

    /// What percentiles are found by: for each the place of every value in its group, and how many there are. An array
    /// of all values would be whole in memory.
    fn ranks(&mut self, grouping: &Grouping) -> Vec<String> {
        let mut ranks = Vec::new();
        for (index, aggregate) in grouping.aggregates.iter().enumerate() {
            let Aggregate::Percentile { of, is_descending, .. } = aggregate else { continue };
            let keys: Vec<String> = grouping.keys.iter().map(|key| self.expression(key)).collect();
            let by =
                if keys.is_empty() { String::new() } else { format!("PARTITION BY {} ", keys.join(", ")) };
            let of = self.expression(of);
            let direction = if *is_descending { "DESC" } else { "ASC" };
            ranks
                .push(format!("row_number() OVER ({by}ORDER BY {of} {direction} NULLS LAST) AS rank{index}"));
            ranks.push(format!("count({of}) OVER ({by}) AS size{index}"));
        }
        ranks
    }

    fn outputs(&mut self, select: &Select, rows: Rows) -> String {
        let outputs = select.outputs.iter().enumerate();
        let outputs: Vec<String> = outputs
            .map(|(index, output)| format!("{} AS c{index}", self.expression_in(&output.expression, rows)))
            .collect();
        outputs.join(", ")
    }

    fn aggregate(&mut self, index: usize, aggregate: &Aggregate) -> String {
        match aggregate {
            Aggregate::Rows => "count(*)::numeric".to_owned(),
            Aggregate::Count(of) => format!("count({})::numeric", self.expression(of)),
            Aggregate::CountDistinct(of) => format!("count(DISTINCT {})::numeric", self.expression(of)),
            Aggregate::Sum(of) => format!("sum({})", self.expression(of)),
            Aggregate::Min(of) => format!("min({})", self.expression(of)),
            Aggregate::Max(of) => format!("max({})", self.expression(of)),
            Aggregate::Average(of) => {
                let of = self.expression(of);
                format!("metric_quotient(sum({of}), count({of})::numeric)")
            }
            Aggregate::Earliest(of) => self.by_place("min", of),
            Aggregate::Latest(of) => self.by_place("max", of),
            Aggregate::Percentile { of, fraction, is_continuous, is_descending: _ } => {
                percentile(index, &self.expression(of), fraction, *is_continuous)
            }
        }
    }

    /// The value of the first or the last row that has one: arrays compare by their first element, which is the place.
    fn by_place(&mut self, function: &str, of: &Expression) -> String {
        let value = self.expression(of);
        let pair = |place: &str, value: &str| {
            format!("({function}(ARRAY[{place}, {value}]) FILTER (WHERE {value} IS NOT NULL))[2]")
        };
        match of.kind() {
            Kind::Number => pair("s.place::numeric", &value),
            Kind::Text => pair("lpad(s.place::text, 12, '0') COLLATE \"C\"", &value),
            Kind::Boolean => format!("({} <> 0)", pair("s.place", &format!("{value}::integer::bigint"))),
            Kind::Timestamp => {
                let text = as_text(&value, Kind::Timestamp);
                format!("{}::timestamptz", pair("lpad(s.place::text, 12, '0') COLLATE \"C\"", &text))
            }
        }
    }

    /// An expression without windows.
    fn expression(&mut self, expression: &Expression) -> String {
        self.expression_in(expression, Rows { have_places: false, columns: 0 })
    }

    fn expression_in(&mut self, expression: &Expression, rows: Rows) -> String {
        let mut print = |expression: &Expression| self.expression_in(expression, rows);
        match expression {
            Expression::EventType => "s.kind".to_owned(),
            Expression::EventTimestamp => "s.happened_at".to_owned(),
            Expression::Property(property) => {
                self.text_columns.insert(*property);
                format!("s.p{property}")
            }
            Expression::Column(place, _) => format!("s.c{place}"),
            Expression::Key(place, _) => format!("s.k{place}"),
            Expression::Aggregate(place, _) => format!("s.a{place}"),
            Expression::Text(text) => self.text(text),
            Expression::Number(digits) => format!("{digits}::numeric"),
            Expression::Boolean(value) => value.to_string(),
            Expression::Timestamp(instant) => {
                format!("{}::timestamptz", self.text(&instant.to_rfc3339()))
            }
            Expression::Null(kind) => format!("NULL::{}", type_of(*kind)),
            Expression::Convert(of, kind) => match (&**of, kind) {
                (Expression::Property(property), Kind::Number) => {
                    self.number_columns.insert(*property);
                    format!("s.n{property}")
                }
                (of, kind) => convert(&self.expression_in(of, rows), of.kind(), *kind),
            },
            Expression::Negative(of) => format!("(-{})", print(of)),
            Expression::Arithmetic(left, operator, right) => {
                let (left, right) = (print(left), print(right));
                match operator {
                    Arithmetic::Plus => format!("({left} + {right})"),
                    Arithmetic::Minus => format!("({left} - {right})"),
                    Arithmetic::Times => format!("({left} * {right})"),
                    Arithmetic::Over => format!("metric_quotient({left}, {right})"),
                }
            }
            Expression::Compare(left, comparison, right) => {
                let (left_text, right_text) = (print(left), print(right));
                let (left_text, right_text) =
                    (collated(left_text, left.kind()), collated(right_text, right.kind()));
                format!("({left_text} {} {right_text})", sign(*comparison))
            }
            Expression::Between(of, low, high) => {
                let of = collated(print(of), of.kind());
                format!("({of} BETWEEN {} AND {})", print(low), print(high))
            }
            Expression::All(parts) => joined(parts.iter().map(print), " AND "),
            Expression::Any(parts) => joined(parts.iter().map(print), " OR "),
            Expression::Not(of) => format!("(NOT {})", print(of)),
            Expression::IsNull(of) => format!("({} IS NULL)", print(of)),
            Expression::IsIn(of, list) => {
                let needle = collated(print(of), of.kind());
                let list: Vec<String> = list.iter().map(print).collect();
                format!("({needle} IN ({}))", list.join(", "))
            }
            Expression::Case(arms, otherwise) => {
                let mut text = "(CASE".to_owned();
                for (condition, value) in arms {
                    let _ = write!(text, " WHEN {} THEN {}", print(condition), print(value));
                }
                if let Some(otherwise) = otherwise {
                    let _ = write!(text, " ELSE {}", print(otherwise));
                }
                text.push_str(" END)");
                text
            }
            Expression::Call(function, arguments) => {
                let arguments: Vec<String> = arguments.iter().map(print).collect();
                call(*function, &arguments.join(", "))
            }
            Expression::Window(window) => self.window(window, rows),
        }
    }

    /// A text as a parameter.
    fn text(&mut self, text: &str) -> String {
        let known = self.texts.iter().position(|known| known == text);
        let place = known.unwrap_or_else(|| {
            self.texts.push(text.to_owned());
            self.texts.len() - 1
        });
        format!("($3::text[])[{}]", place + 1)
    }

    fn window(&mut self, window: &Window, rows: Rows) -> String {
        let over = self.over(window, rows);
        let print = |printer: &mut Self, of: &Expression| printer.expression_in(of, rows);
        match &window.function {
            WindowFunction::Rows => format!("(count(*) OVER {over})::numeric"),
            WindowFunction::Count(of) => format!("(count({}) OVER {over})::numeric", print(self, of)),
            WindowFunction::Sum(of) => format!("(sum({}) OVER {over})", print(self, of)),
            WindowFunction::Min(of) => format!("(min({}) OVER {over})", print(self, of)),
            WindowFunction::Max(of) => format!("(max({}) OVER {over})", print(self, of)),
            WindowFunction::Average(of) => {
                let of = print(self, of);
                format!("metric_quotient(sum({of}) OVER {over}, (count({of}) OVER {over})::numeric)")
            }
            WindowFunction::RowNumber => format!("(row_number() OVER {over})::numeric"),
            WindowFunction::Rank => format!("(rank() OVER {over})::numeric"),
            WindowFunction::DenseRank => format!("(dense_rank() OVER {over})::numeric"),
            WindowFunction::Lag(of, offset, default) => {
                let arguments = self.shifted(of, *offset, default.as_ref(), rows);
                format!("(lag({arguments}) OVER {over})")
            }
            WindowFunction::Lead(of, offset, default) => {
                let arguments = self.shifted(of, *offset, default.as_ref(), rows);
                format!("(lead({arguments}) OVER {over})")
            }
            WindowFunction::First(of) => format!("(first_value({}) OVER {over})", print(self, of)),
            WindowFunction::Last(of) => {
                // Among equals the first from behind.
                let name = if among_equals(window).is_some() { "first_value" } else { "last_value" };
                format!("({name}({}) OVER {over})", print(self, of))
            }
        }
    }

    fn shifted(&mut self, of: &Expression, offset: u32, default: Option<&Expression>, rows: Rows) -> String {
        let of = self.expression_in(of, rows);
        let default = default.map(|default| format!(", {}", self.expression_in(default, rows)));
        format!("{of}, {offset}{}", default.unwrap_or_default())
    }

    fn over(&mut self, window: &Window, rows: Rows) -> String {
        if let Some(direction) = among_equals(window) {
            return self.over_equals(window, direction, rows);
        }
        let mut parts = Vec::new();
        if !window.partition.is_empty() {
            let keys: Vec<String> =
                window.partition.iter().map(|key| self.expression_in(key, rows)).collect();
            parts.push(format!("PARTITION BY {}", keys.join(", ")));
        }
        let mut order: Vec<String> = window.order.iter().map(|order| self.order(order, rows)).collect();
        if decides_between_equals(window) {
            order.extend(last_order(rows));
        }
        if !order.is_empty() {
            parts.push(format!("ORDER BY {}", order.join(", ")));
        }
        parts.extend(window.frame.map(frame));
        format!("({})", parts.join(" "))
    }

    /// The rows that are equal in the order of the window, in the order of events.
    fn over_equals(&mut self, window: &Window, direction: &str, rows: Rows) -> String {
        let keys = window.partition.iter().chain(window.order.iter().map(|order| &order.by));
        let keys: Vec<String> = keys.map(|key| self.expression_in(key, rows)).collect();
        let by = if keys.is_empty() { String::new() } else { format!("PARTITION BY {} ", keys.join(", ")) };
        let order: Vec<String> =
            last_order(rows).into_iter().map(|column| format!("{column} {direction}")).collect();
        format!("({by}ORDER BY {})", order.join(", "))
    }

    fn order(&mut self, order: &Order, rows: Rows) -> String {
        let by = collated(self.expression_in(&order.by, rows), order.by.kind());
        let direction = if order.is_descending { "DESC" } else { "ASC" };
        let nulls = if order.nulls_first { "FIRST" } else { "LAST" };
        format!("{by} {direction} NULLS {nulls}")
    }
}

/// Whether the answer depends on the order of rows that the query says are equal: then they come in the order of
/// events, so that the same events always give the same answer.
fn decides_between_equals(window: &Window) -> bool {
    let by_rows = window.frame.is_some_and(|frame| frame.by_rows);
    by_rows
        || matches!(
            window.function,
            WindowFunction::RowNumber
                | WindowFunction::Lag(..)
                | WindowFunction::Lead(..)
                | WindowFunction::First(_)
                | WindowFunction::Last(_)
        )
}

/// The direction in which the value of a window is the first one among the rows that are equal to the current one in its
/// order; nothing where it is anything else. A frame of RANGE begins and ends with those, so a further order between
/// them must not cut it.
fn among_equals(window: &Window) -> Option<&'static str> {
    let whole = Frame { by_rows: false, start: Bound::First, end: Bound::Current };
    let frame = window.frame.unwrap_or(whole);
    match (&window.function, frame) {
        (_, Frame { by_rows: true, .. }) => None,
        (WindowFunction::First(_), Frame { start: Bound::Current, .. }) => Some("ASC"),
        (WindowFunction::Last(_), Frame { end: Bound::Current, .. }) => Some("DESC"),
        _ => None,
    }
}

/// What orders rows that are equal otherwise.
fn last_order(rows: Rows) -> Vec<String> {
    if rows.have_places {
        return vec!["s.place".to_owned()];
    }
    (0..rows.columns).map(|column| format!("s.c{column}")).collect()
}

fn frame(frame: Frame) -> String {
    let bound = |bound| match bound {
        Bound::First => "UNBOUNDED PRECEDING".to_owned(),
        Bound::Before(rows) => format!("{rows} PRECEDING"),
        Bound::Current => "CURRENT ROW".to_owned(),
        Bound::After(rows) => format!("{rows} FOLLOWING"),
        Bound::Last => "UNBOUNDED FOLLOWING".to_owned(),
    };
    let unit = if frame.by_rows { "ROWS" } else { "RANGE" };
    format!("{unit} BETWEEN {} AND {}", bound(frame.start), bound(frame.end))
}

/// The value at a place of its group, `s.rank…` counting from 1 in their order, `s.size…` being how many there are; the
/// continuous one lies so far between two as its place does.
fn percentile(index: usize, of: &str, fraction: &str, is_continuous: bool) -> String {
    let at = |place: &str| format!("max({of}) FILTER (WHERE s.rank{index} = {place})");
    if !is_continuous {
        return at(&format!("greatest(ceil({fraction}::numeric * s.size{index}), 1)"));
    }
    let place = format!("{fraction}::numeric * (s.size{index} - 1)");
    let (below, above) = (at(&format!("floor({place}) + 1")), at(&format!("floor({place}) + 2")));
    format!("({below} + coalesce(max({place} - floor({place})) * ({above} - {below}), 0))")
}

fn call(function: Function, arguments: &str) -> String {
    match function {
        Function::Least => format!("least({arguments})"),
        Function::Greatest => format!("greatest({arguments})"),
        Function::Round(decimals) => format!("round({arguments}, {decimals})"),
        Function::Ceil => format!("ceil({arguments})"),
        Function::Floor => format!("floor({arguments})"),
        Function::Truncate => format!("trunc({arguments})"),
        Function::Absolute => format!("abs({arguments})"),
        Function::Coalesce => format!("coalesce({arguments})"),
        Function::NullIf => format!("nullif({arguments})"),
        Function::StartOfHour => format!("date_trunc('hour', {arguments}, 'UTC')"),
        Function::StartOfDay => format!("date_trunc('day', {arguments}, 'UTC')"),
        Function::Seconds => format!("extract(epoch FROM {arguments})"),
    }
}

fn convert(value: &str, from: Kind, to: Kind) -> String {
    match (from, to) {
        (_, Kind::Text) => as_text(value, from),
        (Kind::Boolean, Kind::Number) => format!("{value}::integer::numeric"),
        (_, Kind::Number) => format!("metric_number({value})"),
        (Kind::Number, Kind::Boolean) => format!("({value} <> 0)"),
        (_, Kind::Boolean) => format!("metric_boolean({value})"),
        (_, Kind::Timestamp) => format!("metric_timestamp({value})"),
    }
}

/// As group values are shown: numbers plain, instants in RFC 3339.
fn as_text(value: &str, kind: Kind) -> String {
    match kind {
        Kind::Text => value.to_owned(),
        Kind::Number => format!("trim_scale({value})::text"),
        Kind::Boolean => format!("{value}::text"),
        Kind::Timestamp => format!(
            "(rtrim(rtrim(to_char({value} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '0'), '.') || 'Z')"
        ),
    }
}

fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Number => "numeric",
        Kind::Boolean => "boolean",
        Kind::Timestamp => "timestamptz",
    }
}

/// Texts compare by their bytes, whatever language the database speaks.
fn collated(value: String, kind: Kind) -> String {
    if kind == Kind::Text { format!("({value} COLLATE \"C\")") } else { value }
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::Unequal => "<>",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

fn joined(parts: impl Iterator<Item = String>, with: &str) -> String {
    let parts: Vec<String> = parts.collect();
    format!("({})", parts.join(with))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::billable_metric::sql::parse;

    #[test]
    fn nothing_that_the_author_wrote_stands_in_a_statement() {
        let query = parse(
            "WITH marked_common AS (
                 SELECT properties.marked_one AS marked_two, properties.\"marked three\" AS \"marked'four\", timestamp
                 FROM events AS marked_events WHERE event_type = 'marked; DROP TABLE x' AND properties.marked_five > 5
             )
             SELECT SUM(marked_two) AS value, \"marked'four\" AS marked_six
             FROM (SELECT marked_two, \"marked'four\" FROM marked_common WHERE marked_two <> 'marked''seven') AS marked_sub
             GROUP BY marked_six HAVING COUNT(*) > 12.50",
        )
        .expect("a query");
        let printed = print(&query);
        for statement in [&printed.answers, printed.filter.as_ref().expect("a filter")] {
            assert!(!statement.contains("marked"), "{statement}");
            assert!(!statement.contains("DROP"), "{statement}");
        }
        assert_eq!(printed.texts, ["marked; DROP TABLE x", "marked'seven"]);
        assert!(printed.answers.contains("12.5::numeric"), "{}", printed.answers);
        let names = |columns: &[usize]| -> Vec<&str> {
            columns.iter().map(|column| query.properties[*column].as_str()).collect()
        };
        assert_eq!(names(&printed.text_columns), ["marked_one", "marked three"]);
        assert_eq!(names(&printed.number_columns), ["marked_five"]);
    }
}
