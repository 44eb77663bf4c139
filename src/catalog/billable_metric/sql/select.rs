//! Reading queries and their SELECTs.

use std::collections::BTreeMap;

use sqlparser::ast::{
    Cte, Expr, FunctionArguments, GroupByExpr, Ident, ObjectName, ObjectNamePart, Query as SyntaxQuery,
    Select as SyntaxSelect, SelectFlavor, SelectItem, SetExpr, TableAlias, TableFactor, Value, With,
};

use super::expression::{Allowed, Reader};
use super::refusal::Refusal;
use super::scope::{Column, Columns, Scope, means, place_of};
use super::tree::{Aggregate, Expression, Grouping, Kind, Output, Query, Select, Source};

/// Deepest nesting of SELECTs (our decision).
const SELECTS_MAX: usize = 20;

/// Most columns of one SELECT, and most names of one query (our decision).
const COLUMNS_MAX: usize = 100;

/// A query with a name.
struct Common {
    name: Ident,
    columns: Vec<Column>,
    has_events: bool,
}

/// What is known while a query is read.
#[derive(Default)]
struct Queries {
    properties: Vec<String>,
    commons: Vec<Common>,
    selects: Vec<Select>,
}

/// Reads a whole query.
pub fn read_query(query: &SyntaxQuery) -> Result<Query, Refusal> {
    let mut queries = Queries::default();
    if let Some(with) = &query.with {
        queries.read_with(with)?;
    }
    let (mut select, _) = queries.read_body(query, 0)?;
    let value = place_of_value(&select)?;
    let output = &mut select.outputs[value];
    match output.expression.kind() {
        Kind::Number => {}
        Kind::Text => output.expression = output.expression.clone().converted(Kind::Number),
        Kind::Boolean | Kind::Timestamp => return Err(Refusal::new("the quantity must be a number")),
    }
    let groups = select.outputs.iter().enumerate().filter(|(place, _)| *place != value);
    if let Some((place, _)) = groups.into_iter().find(|(_, output)| output.name.is_none()) {
        return Err(Refusal::new(format!("column {} needs a name: AS …", place + 1)));
    }
    Ok(Query { properties: queries.properties, commons: queries.selects, select, value })
}

/// The column that is called `value`, else the first.
fn place_of_value(select: &Select) -> Result<usize, Refusal> {
    let names = select.outputs.iter().map(|output| output.name.as_deref());
    Ok(place_of(&Ident::new("value"), names)?.unwrap_or(0))
}

impl Queries {
    fn read_with(&mut self, with: &With) -> Result<(), Refusal> {
        let With { with_token: _, recursive, cte_tables } = with;
        if *recursive {
            return Err(Refusal::at(with, "WITH RECURSIVE is not allowed"));
        }
        if cte_tables.len() > COLUMNS_MAX {
            return Err(Refusal::at(with, format!("WITH has at most {COLUMNS_MAX} queries")));
        }
        for table in cte_tables {
            let Cte { alias, query, from, materialized, closing_paren_token: _ } = table;
            let name = alias_name(alias)?;
            if from.is_some() || materialized.is_some() {
                return Err(Refusal::at_name(name, "MATERIALIZED is not allowed"));
            }
            let is_same = |other: &str| other.eq_ignore_ascii_case(&name.value);
            let is_taken = is_same("events") || self.commons.iter().any(|common| is_same(&common.name.value));
            if is_taken {
                return Err(Refusal::at_name(name, format!("`{}` is taken", name.value)));
            }
            if query.with.is_some() {
                return Err(Refusal::at_name(name, "WITH inside of WITH is not allowed"));
            }
            let (select, has_events) = self.read_body(query, 0)?;
            let columns = columns_of(&select);
            self.selects.push(select);
            self.commons.push(Common { name: name.clone(), columns, has_events });
        }
        Ok(())
    }

    /// Reads the SELECT of a query, and whether its rows are events one by one.
    fn read_body(&mut self, query: &SyntaxQuery, depth: usize) -> Result<(Select, bool), Refusal> {
        let SyntaxQuery {
            with: _,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if depth > SELECTS_MAX {
            return Err(Refusal::at(query, "is nested too deeply"));
        }
        let unwanted = [
            (order_by.is_some(), "ORDER BY is not allowed outside of windows and percentiles"),
            (limit_clause.is_some() || fetch.is_some(), "LIMIT, OFFSET and FETCH are not allowed"),
            (!locks.is_empty(), "FOR UPDATE and the like are not allowed"),
            (for_clause.is_some() || settings.is_some(), "this clause is not allowed"),
            (format_clause.is_some() || !pipe_operators.is_empty(), "this clause is not allowed"),
        ];
        if let Some((_, reason)) = unwanted.into_iter().find(|(is_there, _)| *is_there) {
            return Err(Refusal::at(query, reason));
        }
        match &**body {
            SetExpr::Select(select) => self.read_select(select, depth),
            SetExpr::Query(inner) if inner.with.is_none() => self.read_body(inner, depth + 1),
            SetExpr::SetOperation { .. } => {
                Err(Refusal::at(query, "UNION, INTERSECT and EXCEPT are not allowed"))
            }
            _ => Err(Refusal::at(query, "must be a SELECT")),
        }
    }

    fn read_select(&mut self, select: &SyntaxSelect, depth: usize) -> Result<(Select, bool), Refusal> {
        check_clauses(select)?;
        let (source, scope) = self.read_from(select, depth)?;
        let mut reader = Reader::new(&mut self.properties, &scope);
        let filter = match &select.selection {
            Some(filter) => Some(reader.condition(filter, Allowed::rows("WHERE"))?),
            None => None,
        };
        let outputs = read_outputs(&mut reader, &select.projection)?;
        let keys = read_keys(&mut reader, &select.group_by, &outputs)?;
        let having = match &select.having {
            Some(having) => Some(reader.condition(having, Allowed::groups("HAVING"))?),
            None => None,
        };
        let (mut aggregates, has_windows) = (reader.aggregates, reader.has_windows);
        let is_grouped = keys.is_some() || having.is_some() || !aggregates.is_empty();
        if !is_grouped {
            return Ok((Select { source, filter, grouping: None, outputs }, scope.has_events));
        }
        if has_windows {
            let reason = "window functions cannot stand beside GROUP BY or aggregates; put one of them into a subquery";
            return Err(Refusal::at(select, reason));
        }
        if aggregates.is_empty() {
            aggregates.push(Aggregate::Rows);
        }
        let keys = keys.unwrap_or_default();
        let settle = |expression: Expression| {
            expression.settled(&keys).map_err(|column| {
                let column = self.described(&column);
                let reason = format!("{column} must stand in GROUP BY or inside of an aggregate");
                Refusal::at(select, reason)
            })
        };
        let mut settled = Vec::with_capacity(outputs.len());
        for Output { name, expression } in outputs {
            settled.push(Output { name, expression: settle(expression)? });
        }
        let having = having.map(settle).transpose()?;
        let grouping = Grouping { keys, aggregates, having };
        Ok((Select { source, filter, grouping: Some(grouping), outputs: settled }, false))
    }

    /// A column in words.
    fn described(&self, column: &Expression) -> String {
        match column {
            Expression::EventType => "event_type".to_owned(),
            Expression::EventTimestamp => "timestamp".to_owned(),
            Expression::Property(place) => format!("properties.{}", self.properties[*place]),
            Expression::Column(place, _) => format!("column {} of the subquery", place + 1),
            _ => "this".to_owned(),
        }
    }

    fn read_from(&mut self, select: &SyntaxSelect, depth: usize) -> Result<(Source, Scope), Refusal> {
        let table = match &select.from[..] {
            [table] if table.joins.is_empty() => table,
            [] => return Err(Refusal::at(select, "FROM is missing")),
            _ => return Err(Refusal::at(&select.from[0], "joins are not allowed")),
        };
        match &table.relation {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                self.read_table(name, alias.as_ref())
            }
            TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
                if subquery.with.is_some() {
                    return Err(Refusal::at(&**subquery, "WITH is allowed at the beginning alone"));
                }
                let name = match alias {
                    Some(alias) => Some(alias_name(alias)?.value.clone()),
                    None => None,
                };
                let (inner, has_events) = self.read_body(subquery, depth + 1)?;
                let columns = Columns::Of(columns_of(&inner));
                Ok((Source::Derived(Box::new(inner)), Scope { name, columns, has_events }))
            }
            _ => Err(Refusal::at(&table.relation, "FROM reads events, a query of WITH or a subquery")),
        }
    }

    fn read_table(&self, name: &ObjectName, alias: Option<&TableAlias>) -> Result<(Source, Scope), Refusal> {
        let [ObjectNamePart::Identifier(table)] = &name.0[..] else {
            return Err(Refusal::at(name, format!("there is no table {name}; there is `events`")));
        };
        let called = match alias {
            Some(alias) => alias_name(alias)?.value.clone(),
            None => table.value.clone(),
        };
        if called.eq_ignore_ascii_case("properties") {
            return Err(Refusal::at(name, "a table cannot be called `properties`"));
        }
        let place = place_of(table, self.commons.iter().map(|common| Some(common.name.value.as_str())))?;
        if let Some(place) = place {
            let common = &self.commons[place];
            let (columns, has_events) = (Columns::Of(common.columns.clone()), common.has_events);
            return Ok((Source::Common(place), Scope { name: Some(called), columns, has_events }));
        }
        if means(table, "events") {
            let scope = Scope { name: Some(called), columns: Columns::Events, has_events: true };
            return Ok((Source::Events, scope));
        }
        Err(Refusal::at_name(table, format!("there is no table `{}`; there is `events`", table.value)))
    }
}

/// Refuses every clause that is not read.
fn check_clauses(select: &SyntaxSelect) -> Result<(), Refusal> {
    let SyntaxSelect {
        select_token: _,
        optimizer_hints,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection: _,
        exclude,
        into,
        from: _,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by: _,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    let unwanted = [
        (distinct.is_some(), "SELECT DISTINCT is not allowed; GROUP BY does the same"),
        (into.is_some(), "SELECT INTO is not allowed"),
        (!named_window.is_empty(), "WINDOW is not allowed; write the window after OVER"),
        (qualify.is_some(), "QUALIFY is not allowed"),
        (*flavor != SelectFlavor::Standard, "must begin with SELECT"),
        (!lateral_views.is_empty(), "LATERAL is not allowed"),
        (
            !optimizer_hints.is_empty()
                || select_modifiers.is_some()
                || top.is_some()
                || exclude.is_some()
                || prewhere.is_some()
                || !connect_by.is_empty()
                || !cluster_by.is_empty()
                || !distribute_by.is_empty()
                || !sort_by.is_empty()
                || value_table_mode.is_some(),
            "this kind of SELECT is not allowed",
        ),
    ];
    match unwanted.into_iter().find(|(is_there, _)| *is_there) {
        Some((_, reason)) => Err(Refusal::at(select, reason)),
        None => Ok(()),
    }
}

fn read_outputs(reader: &mut Reader<'_>, items: &[SelectItem]) -> Result<Vec<Output>, Refusal> {
    if items.len() > COLUMNS_MAX {
        return Err(Refusal::at(&items[0], format!("a SELECT has at most {COLUMNS_MAX} columns")));
    }
    let mut outputs: Vec<Output> = Vec::with_capacity(items.len());
    let mut aliases: Vec<Option<&Ident>> = Vec::with_capacity(items.len());
    for item in items {
        let (expression, alias) = match item {
            SelectItem::UnnamedExpr(expression) => (expression, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias)),
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                return Err(Refusal::at(item, "SELECT * is not allowed; name the columns"));
            }
            SelectItem::ExprWithAliases { .. } => {
                return Err(Refusal::at(item, "a column has one name"));
            }
        };
        if let Some(alias) = alias
            && aliases.iter().flatten().any(|other| other.value == alias.value)
        {
            return Err(Refusal::at_name(alias, format!("`{}` names two columns", alias.value)));
        }
        aliases.push(alias);
        let name = alias.map(|alias| alias.value.clone()).or_else(|| name_of(expression));
        outputs.push(Output { name, expression: reader.value(expression, Allowed::outputs())? });
    }
    forget_repeated_names(&mut outputs, &aliases);
    Ok(outputs)
}

/// A name that nobody gave to a column, and that another one has too, is none.
fn forget_repeated_names(outputs: &mut [Output], aliases: &[Option<&Ident>]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in outputs.iter().filter_map(|output| output.name.clone()) {
        *counts.entry(name).or_default() += 1;
    }
    for (output, alias) in outputs.iter_mut().zip(aliases) {
        if alias.is_none() && output.name.as_ref().is_some_and(|name| counts[name] > 1) {
            output.name = None;
        }
    }
}

/// What a column is called that has no alias: the last part of its name, or its function.
fn name_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()),
        Expr::Nested(inner) => name_of(inner),
        Expr::Function(function) => match function.name.0.last() {
            Some(ObjectNamePart::Identifier(name)) => Some(name.value.to_ascii_lowercase()),
            _ => None,
        },
        Expr::Cast { expr, .. } => name_of(expr),
        _ => None,
    }
}

/// The keys of GROUP BY: the name or the number of an output, or an expression of the source's columns.
fn read_keys(
    reader: &mut Reader<'_>,
    group_by: &GroupByExpr,
    outputs: &[Output],
) -> Result<Option<Vec<Expression>>, Refusal> {
    let (expressions, modifiers) = match group_by {
        GroupByExpr::Expressions(expressions, modifiers) => (expressions, modifiers),
        GroupByExpr::All(_) => return Err(Refusal::at(group_by, "GROUP BY ALL is not allowed")),
    };
    if !modifiers.is_empty() || expressions.len() > COLUMNS_MAX {
        return Err(Refusal::at(
            group_by,
            format!("GROUP BY has at most {COLUMNS_MAX} keys, and nothing else"),
        ));
    }
    if expressions.is_empty() {
        return Ok(None);
    }
    let mut keys: Vec<Expression> = Vec::new();
    for expression in expressions {
        let key = match output_of(expression, outputs)? {
            Some(output) => output.clone(),
            None => reader.value(expression, Allowed::rows("GROUP BY"))?,
        };
        if key.reads_groups() {
            return Err(Refusal::at(expression, "GROUP BY cannot name an aggregate or a window"));
        }
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(Some(keys))
}

/// The output that a key means by its name or its number. A name is an output's before it is a column's (our
/// decision: whoever calls a day `timestamp` and groups by that means the day), unless the output is an aggregate.
fn output_of<'a>(key: &Expr, outputs: &'a [Output]) -> Result<Option<&'a Expression>, Refusal> {
    let place = match key {
        Expr::Identifier(name) => place_of(name, outputs.iter().map(|output| output.name.as_deref()))?,
        // words such as `user` are functions to the parser
        Expr::Function(function) => match &function.name.0[..] {
            [ObjectNamePart::Identifier(name)] if function.args == FunctionArguments::None => {
                place_of(name, outputs.iter().map(|output| output.name.as_deref()))?
            }
            _ => None,
        },
        Expr::Value(number) => match &number.value {
            Value::Number(digits, _) => {
                let place = digits.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
                let place = place.filter(|place| *place < outputs.len());
                Some(place.ok_or_else(|| Refusal::at(key, format!("there is no column {digits}")))?)
            }
            _ => None,
        },
        _ => None,
    };
    let output = place.map(|place| &outputs[place].expression);
    let is_name = !matches!(key, Expr::Value(_));
    Ok(output.filter(|output| !(is_name && output.reads_groups())))
}

fn columns_of(select: &Select) -> Vec<Column> {
    let column = |output: &Output| Column { name: output.name.clone(), kind: output.expression.kind() };
    select.outputs.iter().map(column).collect()
}

fn alias_name(alias: &TableAlias) -> Result<&Ident, Refusal> {
    let TableAlias { explicit: _, name, columns, at } = alias;
    if !columns.is_empty() || at.is_some() {
        return Err(Refusal::at_name(name, "columns are named where they are selected"));
    }
    if name.value.eq_ignore_ascii_case("properties") {
        return Err(Refusal::at_name(name, "a table cannot be called `properties`"));
    }
    Ok(name)
}
