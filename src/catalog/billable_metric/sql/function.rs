//! Reading calls of functions: the list of all that there are.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function as Call, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, ObjectNamePart, OrderByExpr, OrderByOptions, OrderBySort, Value, WindowFrame,
    WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use super::expression::{Allowed, Reader, as_number, shown};
use super::refusal::Refusal;
use super::tree::{Aggregate, Bound, Expression, Frame, Function, Kind, Order, Window, WindowFunction};
use crate::money::{Decimal, parse_decimal, plain, zero};

/// Farthest that a window reaches in rows (our decision).
const ROWS_MAX: u32 = 1_000_000;

/// Most decimals to round to (our decision).
const DECIMALS_MAX: u32 = 60;

/// The arguments of a call.
struct Arguments<'a> {
    of: Vec<&'a Expr>,
    /// The one argument is `*`.
    is_star: bool,
    is_distinct: bool,
}

impl Reader<'_> {
    pub(super) fn function(&mut self, call: &Call, allowed: Allowed) -> Result<Expression, Refusal> {
        let name = match &call.name.0[..] {
            [ObjectNamePart::Identifier(name)] => name.value.to_ascii_lowercase(),
            _ => return Err(Refusal::at(&call.name, format!("there is no function {}", shown(&call.name)))),
        };
        let arguments = arguments(call)?;
        if call.filter.is_some() {
            return Err(Refusal::at(call, "FILTER is not allowed; put CASE WHEN into the aggregate"));
        }
        if let Some(over) = &call.over {
            allowed.check_window(call)?;
            return self.window(&name, &arguments, over, call);
        }
        if let Some(aggregate) = self.aggregate(&name, &arguments, call, allowed)? {
            let kind = aggregate.kind();
            let known = self.aggregates.iter().position(|known| *known == aggregate);
            let place = known.unwrap_or_else(|| {
                self.aggregates.push(aggregate);
                self.aggregates.len() - 1
            });
            return Ok(Expression::Aggregate(place, kind));
        }
        if !call.within_group.is_empty() || arguments.is_distinct || arguments.is_star {
            return Err(Refusal::at(call, format!("`{}` is not allowed", shown(call))));
        }
        self.scalar(&name, &arguments.of, call, allowed)
    }

    /// An aggregate; nothing where the name is of none.
    fn aggregate(
        &mut self,
        name: &str,
        arguments: &Arguments<'_>,
        call: &Call,
        allowed: Allowed,
    ) -> Result<Option<Aggregate>, Refusal> {
        let names =
            ["count", "sum", "min", "max", "avg", "earliest", "latest", "percentile_cont", "percentile_disc"];
        if !names.contains(&name) {
            return Ok(None);
        }
        allowed.check_aggregate(call)?;
        let inside = Allowed::rows("an aggregate");
        if let "percentile_cont" | "percentile_disc" = name {
            return self.percentile(name == "percentile_cont", arguments, call).map(Some);
        }
        if !call.within_group.is_empty() {
            return Err(Refusal::at(call, format!("WITHIN GROUP is not for {name}")));
        }
        if name == "count" {
            return match (&arguments.of[..], arguments.is_distinct) {
                ([], false) => Ok(Some(Aggregate::Rows)),
                ([of], false) => Ok(Some(Aggregate::Count(self.value(of, inside)?))),
                ([of], true) => Ok(Some(Aggregate::CountDistinct(self.value(of, inside)?))),
                _ => Err(Refusal::at(call, "COUNT takes one argument, or none, or *")),
            };
        }
        let of = only(arguments, call)?;
        let aggregate = match name {
            "sum" => Aggregate::Sum(self.number(of, inside)?),
            "avg" => Aggregate::Average(self.number(of, inside)?),
            "min" => Aggregate::Min(self.ordered(of, inside)?),
            "max" => Aggregate::Max(self.ordered(of, inside)?),
            _ if !self.scope.has_events => {
                let reason = "EARLIEST and LATEST are of events, not of groups of them";
                return Err(Refusal::at(call, reason));
            }
            "earliest" => Aggregate::Earliest(self.value(of, inside)?),
            _ => Aggregate::Latest(self.value(of, inside)?),
        };
        Ok(Some(aggregate))
    }

    fn percentile(
        &mut self,
        is_continuous: bool,
        arguments: &Arguments<'_>,
        call: &Call,
    ) -> Result<Aggregate, Refusal> {
        let Expr::Value(fraction) = only(arguments, call)? else {
            return Err(Refusal::at(call, "a percentile is a number from 0 to 1"));
        };
        let fraction = match &fraction.value {
            Value::Number(digits, false) => parse_decimal(digits).ok(),
            _ => None,
        };
        let most = Decimal::from(1);
        let fraction = fraction.filter(|fraction| *fraction >= zero() && *fraction <= most);
        let fraction = fraction.ok_or_else(|| Refusal::at(call, "a percentile is a number from 0 to 1"))?;
        let [order] = &call.within_group[..] else {
            return Err(Refusal::at(call, "a percentile needs WITHIN GROUP (ORDER BY x)"));
        };
        let order = self.order(order, Allowed::rows("an aggregate"))?;
        let of = as_number(order.by).ok_or_else(|| Refusal::at(call, "a percentile is of numbers"))?;
        let fraction = plain(&fraction);
        Ok(Aggregate::Percentile { of, fraction, is_continuous, is_descending: order.is_descending })
    }

    /// A number or a timestamp.
    fn ordered(&mut self, of: &Expr, allowed: Allowed) -> Result<Expression, Refusal> {
        let value = self.value(of, allowed)?;
        if value.kind() == Kind::Timestamp {
            return Ok(value);
        }
        as_number(value).ok_or_else(|| Refusal::at(of, "must be a number or a timestamp"))
    }

    fn scalar(
        &mut self,
        name: &str,
        arguments: &[&Expr],
        call: &Call,
        allowed: Allowed,
    ) -> Result<Expression, Refusal> {
        let wrong = |reason: &str| Err(Refusal::at(call, reason));
        match (name, arguments) {
            ("least" | "greatest", [_, ..]) => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(self.ordered(argument, allowed)?);
                }
                if values.iter().any(|value| value.kind() != values[0].kind()) {
                    return wrong("mixes numbers and timestamps");
                }
                let function = if name == "least" { Function::Least } else { Function::Greatest };
                Ok(Expression::Call(function, values))
            }
            ("round", [of]) => Ok(Expression::Call(Function::Round(0), vec![self.number(of, allowed)?])),
            ("round", [of, decimals]) => {
                let decimals = whole_number(decimals, DECIMALS_MAX)?;
                let decimals = u8::try_from(decimals).expect("checked just now");
                Ok(Expression::Call(Function::Round(decimals), vec![self.number(of, allowed)?]))
            }
            ("ceil" | "ceiling", [of]) => {
                Ok(Expression::Call(Function::Ceil, vec![self.number(of, allowed)?]))
            }
            ("floor", [of]) => Ok(Expression::Call(Function::Floor, vec![self.number(of, allowed)?])),
            ("abs", [of]) => Ok(Expression::Call(Function::Absolute, vec![self.number(of, allowed)?])),
            ("coalesce", [first, ..]) => {
                let values = self.alike(arguments.iter().copied(), allowed, first)?;
                Ok(Expression::Call(Function::Coalesce, values))
            }
            ("nullif", [first, _]) => {
                let values = self.alike(arguments.iter().copied(), allowed, first)?;
                Ok(Expression::Call(Function::NullIf, values))
            }
            ("date_trunc", [unit, of]) => {
                let of = self.instant(of, allowed)?;
                let function = match self.value(unit, Allowed::rows("DATE_TRUNC"))? {
                    Expression::Text(unit) if unit.eq_ignore_ascii_case("hour") => Function::StartOfHour,
                    Expression::Text(unit) if unit.eq_ignore_ascii_case("day") => Function::StartOfDay,
                    _ => return wrong("DATE_TRUNC takes 'hour' or 'day'"),
                };
                Ok(Expression::Call(function, vec![of]))
            }
            (
                "least" | "greatest" | "round" | "ceil" | "ceiling" | "floor" | "abs" | "coalesce" | "nullif"
                | "date_trunc",
                _,
            ) => wrong("has another number of arguments than this function takes"),
            ("row_number" | "rank" | "dense_rank" | "lag" | "lead" | "first_value" | "last_value", _) => {
                wrong("this function needs OVER (…)")
            }
            _ => Err(Refusal::at(call, format!("the function `{}` is not allowed", shown(&call.name)))),
        }
    }

    fn window(
        &mut self,
        name: &str,
        arguments: &Arguments<'_>,
        over: &WindowType,
        call: &Call,
    ) -> Result<Expression, Refusal> {
        let WindowType::WindowSpec(WindowSpec { window_name: None, partition_by, order_by, window_frame }) =
            over
        else {
            return Err(Refusal::at(call, "WINDOW is not allowed; write the window after OVER"));
        };
        if !call.within_group.is_empty() || arguments.is_distinct {
            return Err(Refusal::at(call, "DISTINCT and WITHIN GROUP are not for windows"));
        }
        self.has_windows = true;
        let inside = Allowed::rows("a window function");
        let function = self.window_function(name, arguments, call, inside)?;
        let mut partition = Vec::with_capacity(partition_by.len());
        for key in partition_by {
            partition.push(self.value(key, inside)?);
        }
        let mut order = Vec::with_capacity(order_by.len());
        for key in order_by {
            order.push(self.order(key, inside)?);
        }
        let needs_order = matches!(function, WindowFunction::Rank | WindowFunction::DenseRank);
        if needs_order && order.is_empty() {
            return Err(Refusal::at(call, "a rank needs ORDER BY"));
        }
        let frame = match window_frame {
            Some(frame) => Some(read_frame(frame, call)?),
            None => None,
        };
        let window = Window { function, partition, order, frame };
        Ok(Expression::Window(Box::new(window)))
    }

    fn window_function(
        &mut self,
        name: &str,
        arguments: &Arguments<'_>,
        call: &Call,
        inside: Allowed,
    ) -> Result<WindowFunction, Refusal> {
        Ok(match (name, &arguments.of[..]) {
            ("count", []) => WindowFunction::Rows,
            ("count", [of]) => WindowFunction::Count(self.value(of, inside)?),
            ("sum", [of]) => WindowFunction::Sum(self.number(of, inside)?),
            ("avg", [of]) => WindowFunction::Average(self.number(of, inside)?),
            ("min", [of]) => WindowFunction::Min(self.ordered(of, inside)?),
            ("max", [of]) => WindowFunction::Max(self.ordered(of, inside)?),
            ("row_number", []) if !arguments.is_star => WindowFunction::RowNumber,
            ("rank", []) if !arguments.is_star => WindowFunction::Rank,
            ("dense_rank", []) if !arguments.is_star => WindowFunction::DenseRank,
            ("first_value", [of]) => WindowFunction::First(self.value(of, inside)?),
            ("last_value", [of]) => WindowFunction::Last(self.value(of, inside)?),
            ("lag" | "lead", [of, rest @ ..]) if rest.len() <= 2 => {
                let offset = match rest {
                    [offset, ..] => whole_number(offset, ROWS_MAX)?,
                    [] => 1,
                };
                let (of, default) = match rest {
                    [_, default] => {
                        let pair = self.alike([*of, *default], inside, of)?;
                        let [of, default] = pair.try_into().expect("as many as given");
                        (of, Some(default))
                    }
                    _ => (self.value(of, inside)?, None),
                };
                if name == "lag" {
                    WindowFunction::Lag(of, offset, default)
                } else {
                    WindowFunction::Lead(of, offset, default)
                }
            }
            _ => {
                let reason = format!("`{}` is not a window function of so many arguments", shown(&call.name));
                return Err(Refusal::at(call, reason));
            }
        })
    }

    fn order(&mut self, order: &OrderByExpr, allowed: Allowed) -> Result<Order, Refusal> {
        let OrderByExpr { expr, options: OrderByOptions { sort, nulls_first }, with_fill } = order;
        let is_descending = match sort {
            None | Some(OrderBySort::Asc) => false,
            Some(OrderBySort::Desc) => true,
            Some(OrderBySort::Using(_)) => return Err(Refusal::at(expr, "ORDER BY … USING is not allowed")),
        };
        if with_fill.is_some() {
            return Err(Refusal::at(expr, "WITH FILL is not allowed"));
        }
        let by = self.value(expr, allowed)?;
        Ok(Order { by, is_descending, nulls_first: nulls_first.unwrap_or(is_descending) })
    }
}

fn arguments(call: &Call) -> Result<Arguments<'_>, Refusal> {
    let Call {
        name: _,
        uses_odbc_syntax,
        parameters,
        args,
        within_group: _,
        filter: _,
        null_treatment,
        over: _,
    } = call;
    let not_allowed = || Refusal::at(call, format!("`{}` is not allowed", shown(call)));
    let FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses }) = args else {
        return Err(not_allowed());
    };
    if *uses_odbc_syntax
        || *parameters != FunctionArguments::None
        || null_treatment.is_some()
        || !clauses.is_empty()
    {
        return Err(not_allowed());
    }
    let is_distinct = *duplicate_treatment == Some(DuplicateTreatment::Distinct);
    let is_count = matches!(&call.name.0[..], [ObjectNamePart::Identifier(name)]
        if name.value.eq_ignore_ascii_case("count"));
    if let [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] = &args[..]
        && is_count
        && !is_distinct
    {
        return Ok(Arguments { of: Vec::new(), is_star: true, is_distinct });
    }
    let mut of = Vec::with_capacity(args.len());
    for argument in args {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => of.push(argument),
            _ => return Err(not_allowed()),
        }
    }
    Ok(Arguments { of, is_star: false, is_distinct })
}

fn only<'a>(arguments: &Arguments<'a>, call: &Call) -> Result<&'a Expr, Refusal> {
    match arguments.of[..] {
        [of] if !arguments.is_distinct => Ok(of),
        [_] => Err(Refusal::at(call, "DISTINCT is for COUNT alone")),
        _ => Err(Refusal::at(call, "takes one argument")),
    }
}

/// A number that is written out.
fn whole_number(expression: &Expr, most: u32) -> Result<u32, Refusal> {
    let number = match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, false) => digits.parse::<u32>().ok(),
            _ => None,
        },
        _ => None,
    };
    let number = number.filter(|number| *number <= most);
    number.ok_or_else(|| Refusal::at(expression, format!("must be a whole number from 0 to {most}")))
}

fn read_frame(frame: &WindowFrame, call: &Call) -> Result<Frame, Refusal> {
    let WindowFrame { units, start_bound, end_bound } = frame;
    let by_rows = match units {
        WindowFrameUnits::Rows => true,
        WindowFrameUnits::Range => false,
        WindowFrameUnits::Groups => return Err(Refusal::at(call, "GROUPS is not allowed in a window")),
    };
    let start = match start_bound {
        WindowFrameBound::CurrentRow => Bound::Current,
        WindowFrameBound::Preceding(None) => Bound::First,
        WindowFrameBound::Preceding(Some(rows)) => Bound::Before(whole_number(rows, ROWS_MAX)?),
        WindowFrameBound::Following(Some(rows)) => Bound::After(whole_number(rows, ROWS_MAX)?),
        WindowFrameBound::Following(None) => {
            return Err(Refusal::at(call, "a window cannot begin at its last row"));
        }
    };
    let end = match end_bound {
        None | Some(WindowFrameBound::CurrentRow) => Bound::Current,
        Some(WindowFrameBound::Following(None)) => Bound::Last,
        Some(WindowFrameBound::Following(Some(rows))) => Bound::After(whole_number(rows, ROWS_MAX)?),
        Some(WindowFrameBound::Preceding(Some(rows))) => Bound::Before(whole_number(rows, ROWS_MAX)?),
        Some(WindowFrameBound::Preceding(None)) => {
            return Err(Refusal::at(call, "a window cannot end at its first row"));
        }
    };
    let counts_rows = |bound| matches!(bound, Bound::Before(_) | Bound::After(_));
    if !by_rows && (counts_rows(start) || counts_rows(end)) {
        return Err(Refusal::at(call, "RANGE with a distance is not allowed; use ROWS"));
    }
    let is_backwards = match (start, end) {
        (Bound::Before(first), Bound::Before(last)) => first < last,
        (Bound::After(first), Bound::After(last)) => first > last,
        (Bound::Current | Bound::After(_), Bound::Before(_)) | (Bound::After(_), Bound::Current) => true,
        _ => false,
    };
    if is_backwards {
        return Err(Refusal::at(call, "this window ends before it begins"));
    }
    Ok(Frame { by_rows, start, end })
}
