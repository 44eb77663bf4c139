//! Reading expressions.

use chrono::NaiveDate;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, ExactNumberInfo, Expr,
    FunctionArguments, Ident, ObjectNamePart, Spanned, TypedString, UnaryOperator, Value,
};

use super::refusal::Refusal;
use super::scope::Scope;
use super::tree::{Aggregate, Arithmetic, Comparison, Expression, Function, Kind};
use crate::money::{parse_decimal, plain};
use crate::time::{Instant, parse_instant};

/// Deepest nesting of expressions, and of the terms of sums (our decision).
const DEPTH_MAX: usize = 100;

/// Longest number and longest scale of a cast (our decision).
const DIGITS_MAX: usize = 60;

/// What may stand in an expression, and how its place is called.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    place: &'static str,
    aggregates: bool,
    windows: bool,
}

impl Allowed {
    /// Values of single rows alone.
    pub fn rows(place: &'static str) -> Self {
        Self { place, aggregates: false, windows: false }
    }

    pub fn groups(place: &'static str) -> Self {
        Self { place, aggregates: true, windows: false }
    }

    pub fn outputs() -> Self {
        Self { place: "SELECT", aggregates: true, windows: true }
    }

    /// 400 unless an aggregate may stand here.
    pub fn check_aggregate(self, at: &impl Spanned) -> Result<(), Refusal> {
        let reason = || format!("an aggregate cannot stand inside of {}", self.place);
        if self.aggregates { Ok(()) } else { Err(Refusal::at(at, reason())) }
    }

    pub fn check_window(self, at: &impl Spanned) -> Result<(), Refusal> {
        let reason = || format!("a window function cannot stand inside of {}", self.place);
        if self.windows { Ok(()) } else { Err(Refusal::at(at, reason())) }
    }
}

/// Reads the expressions of one SELECT.
pub struct Reader<'a> {
    properties: &'a mut Vec<String>,
    pub(super) scope: &'a Scope,
    /// Those read so far, each once.
    pub aggregates: Vec<Aggregate>,
    pub has_windows: bool,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub fn new(properties: &'a mut Vec<String>, scope: &'a Scope) -> Self {
        Self { properties, scope, aggregates: Vec::new(), has_windows: false, depth: 0 }
    }

    pub fn condition(&mut self, expression: &Expr, allowed: Allowed) -> Result<Expression, Refusal> {
        match self.value(expression, allowed)? {
            Expression::Null(_) => Ok(Expression::Null(Kind::Boolean)),
            condition if condition.kind() == Kind::Boolean => Ok(condition),
            _ => Err(Refusal::at(expression, "must be a condition, such as properties.a = 'b'")),
        }
    }

    /// As a number; texts are read as numbers.
    pub fn number(&mut self, expression: &Expr, allowed: Allowed) -> Result<Expression, Refusal> {
        let value = self.value(expression, allowed)?;
        as_number(value).ok_or_else(|| Refusal::at(expression, "must be a number"))
    }

    pub fn instant(&mut self, expression: &Expr, allowed: Allowed) -> Result<Expression, Refusal> {
        let value = self.value(expression, allowed)?;
        match value.kind() {
            Kind::Timestamp => Ok(value),
            _ => Err(Refusal::at(expression, "must be a timestamp, such as the column `timestamp`")),
        }
    }

    pub fn value(&mut self, expression: &Expr, allowed: Allowed) -> Result<Expression, Refusal> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Refusal::at(expression, "is nested too deeply"));
        }
        let value = self.read(expression, allowed);
        self.depth -= 1;
        value
    }

    fn read(&mut self, expression: &Expr, allowed: Allowed) -> Result<Expression, Refusal> {
        match expression {
            Expr::Nested(inner) => self.value(inner, allowed),
            Expr::Identifier(name) => self.column(std::slice::from_ref(name)),
            Expr::CompoundIdentifier(parts) => self.column(parts),
            Expr::Value(value) => literal(&value.value, expression),
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }) => {
                let value = literal(&value.value, expression)?;
                cast(value, data_type, expression)
            }
            Expr::UnaryOp { op, expr } => self.unary(*op, expr, allowed, expression),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, allowed, expression),
            Expr::IsNull(of) => Ok(Expression::IsNull(Box::new(self.value(of, allowed)?))),
            Expr::IsNotNull(of) => {
                let is_null = Expression::IsNull(Box::new(self.value(of, allowed)?));
                Ok(Expression::Not(Box::new(is_null)))
            }
            Expr::InList { expr, list, negated } => {
                let is_in = self.is_in(expr, list, *negated, allowed)?;
                Ok(negated_if(*negated, is_in))
            }
            Expr::Between { expr, negated, low, high } => {
                let parts = [&**expr, &**low, &**high];
                let [of, low, high] =
                    self.alike(parts, allowed, expression)?.try_into().expect("as many as given");
                let is_between = Expression::Between(Box::new(of), Box::new(low), Box::new(high));
                Ok(negated_if(*negated, is_between))
            }
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                if operand.is_some() {
                    return Err(Refusal::at(expression, "CASE x WHEN is not allowed; write CASE WHEN x = …"));
                }
                self.case(conditions, else_result.as_deref(), allowed, expression)
            }
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, format: None } => {
                let value = self.value(expr, allowed)?;
                cast(value, data_type, expression)
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                Ok(Expression::Call(Function::Ceil, vec![self.number(expr, allowed)?]))
            }
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                Ok(Expression::Call(Function::Floor, vec![self.number(expr, allowed)?]))
            }
            Expr::Extract { field: DateTimeField::Epoch, syntax: _, expr } => {
                Ok(Expression::Call(Function::Seconds, vec![self.instant(expr, allowed)?]))
            }
            Expr::Function(function) => match (&function.name.0[..], &function.args) {
                // a word such as `user`, which SQL takes for a function
                ([ObjectNamePart::Identifier(name)], FunctionArguments::None) if function.over.is_none() => {
                    self.column(std::slice::from_ref(name))
                }
                _ => self.function(function, allowed),
            },
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                Err(Refusal::at(expression, "a subquery is allowed in FROM alone"))
            }
            _ => Err(Refusal::at(expression, format!("`{}` is not allowed", shown(expression)))),
        }
    }

    fn column(&mut self, parts: &[Ident]) -> Result<Expression, Refusal> {
        self.scope.resolve(parts, self.properties)
    }

    fn unary(
        &mut self,
        operator: UnaryOperator,
        of: &Expr,
        allowed: Allowed,
        whole: &Expr,
    ) -> Result<Expression, Refusal> {
        match operator {
            UnaryOperator::Plus => self.number(of, allowed),
            UnaryOperator::Minus => Ok(Expression::Negative(Box::new(self.number(of, allowed)?))),
            UnaryOperator::Not => Ok(Expression::Not(Box::new(self.condition(of, allowed)?))),
            _ => Err(Refusal::at(whole, format!("the operator `{operator}` is not allowed"))),
        }
    }

    fn binary(
        &mut self,
        left: &Expr,
        operator: &BinaryOperator,
        right: &Expr,
        allowed: Allowed,
        whole: &Expr,
    ) -> Result<Expression, Refusal> {
        if let BinaryOperator::And | BinaryOperator::Or = operator {
            return self.conditions(left, operator, right, allowed);
        }
        if let Some(arithmetic) = arithmetic(operator) {
            return self.chain(left, arithmetic, right, allowed);
        }
        let comparison = match operator {
            BinaryOperator::Eq => Comparison::Equal,
            BinaryOperator::NotEq => Comparison::Unequal,
            BinaryOperator::Lt => Comparison::Less,
            BinaryOperator::LtEq => Comparison::LessOrEqual,
            BinaryOperator::Gt => Comparison::Greater,
            BinaryOperator::GtEq => Comparison::GreaterOrEqual,
            _ => return Err(Refusal::at(whole, format!("the operator `{operator}` is not allowed"))),
        };
        let [left, right] = self.alike([left, right], allowed, whole)?.try_into().expect("as many as given");
        Ok(Expression::Compare(Box::new(left), comparison, Box::new(right)))
    }

    /// Conditions joined by the same operator, of which there may be many beside one another.
    fn conditions(
        &mut self,
        left: &Expr,
        operator: &BinaryOperator,
        right: &Expr,
        allowed: Allowed,
    ) -> Result<Expression, Refusal> {
        let mut parts = vec![right];
        let mut first = left;
        while let Expr::BinaryOp { left, op, right } = first
            && op == operator
        {
            parts.push(right);
            first = left;
        }
        parts.push(first);
        let mut conditions = Vec::with_capacity(parts.len());
        for part in parts.into_iter().rev() {
            conditions.push(self.condition(part, allowed)?);
        }
        Ok(match operator {
            BinaryOperator::And => Expression::All(conditions),
            _ => Expression::Any(conditions),
        })
    }

    /// A sum or a product of many terms, from left to right.
    fn chain(
        &mut self,
        left: &Expr,
        operator: Arithmetic,
        right: &Expr,
        allowed: Allowed,
    ) -> Result<Expression, Refusal> {
        let mut parts = vec![(operator, right)];
        let mut first = left;
        while let Expr::BinaryOp { left, op, right } = first
            && let Some(operator) = arithmetic(op)
        {
            parts.push((operator, right));
            first = left;
        }
        // Each term is one deeper than the next, as the sum is kept.
        let terms = parts.len();
        self.depth += terms;
        let mut sum = self.number(first, allowed)?;
        for (operator, right) in parts.into_iter().rev() {
            sum = Expression::Arithmetic(Box::new(sum), operator, Box::new(self.number(right, allowed)?));
        }
        self.depth -= terms;
        Ok(sum)
    }

    fn is_in(
        &mut self,
        of: &Expr,
        list: &[Expr],
        is_negated: bool,
        allowed: Allowed,
    ) -> Result<Expression, Refusal> {
        let whole: Vec<&Expr> = std::iter::once(of).chain(list).collect();
        let mut all = self.alike(whole.iter().copied(), allowed, of)?;
        // Such a text is null beside numbers, and nothing is ever NOT IN a list with a null.
        let is_no_number = |value: &Expression| match value {
            Expression::Convert(text, Kind::Number) => match &**text {
                Expression::Text(text) => parse_decimal(text.trim()).is_err(),
                _ => false,
            },
            _ => false,
        };
        if is_negated && let Some(place) = all.iter().position(is_no_number) {
            return Err(Refusal::at(whole[place], "is a text among numbers; write all as texts"));
        }
        let of = all.remove(0);
        Ok(Expression::IsIn(Box::new(of), all))
    }

    fn case(
        &mut self,
        arms: &[CaseWhen],
        otherwise: Option<&Expr>,
        allowed: Allowed,
        whole: &Expr,
    ) -> Result<Expression, Refusal> {
        let mut conditions = Vec::with_capacity(arms.len());
        for CaseWhen { condition, result: _ } in arms {
            conditions.push(self.condition(condition, allowed)?);
        }
        let results = arms.iter().map(|arm| &arm.result).chain(otherwise);
        let mut values = self.alike(results, allowed, whole)?;
        let otherwise = otherwise.and_then(|_| values.pop()).map(Box::new);
        Ok(Expression::Case(conditions.into_iter().zip(values).collect(), otherwise))
    }

    /// Values that must be of one kind: beside a number, a condition or a timestamp a text is read as one.
    pub fn alike<'e>(
        &mut self,
        expressions: impl IntoIterator<Item = &'e Expr>,
        allowed: Allowed,
        whole: &Expr,
    ) -> Result<Vec<Expression>, Refusal> {
        let mut values = Vec::new();
        for expression in expressions {
            values.push(self.value(expression, allowed)?);
        }
        let kind = common_kind(&values)
            .ok_or_else(|| Refusal::at(whole, "compares or mixes values of different kinds"))?;
        let alike = |value: Expression| match (&value, kind) {
            (Expression::Text(text), Kind::Timestamp) => read_instant(text)
                .map(Expression::Timestamp)
                .ok_or_else(|| Refusal::at(whole, format!("`{text}` is not a timestamp"))),
            _ => Ok(value.converted(kind)),
        };
        values.into_iter().map(alike).collect()
    }
}

/// A value as another type; integers lose their fraction, numbers with a scale are rounded to it.
fn cast(value: Expression, target: &DataType, whole: &Expr) -> Result<Expression, Refusal> {
    let kind = match target {
        DataType::Timestamp(None, _) | DataType::Datetime(None) | DataType::Date => Kind::Timestamp,
        DataType::Bool | DataType::Boolean => Kind::Boolean,
        DataType::Varchar(None)
        | DataType::CharacterVarying(None)
        | DataType::CharVarying(None)
        | DataType::Text
        | DataType::String(None) => Kind::Text,
        _ => Kind::Number,
    };
    if !is_convertible(&value, kind) {
        return Err(Refusal::at(whole, format!("this cannot be cast to {target}")));
    }
    let value = value.converted(kind);
    let call = |function, value| Ok(Expression::Call(function, vec![value]));
    match target {
        DataType::Date => call(Function::StartOfDay, value),
        _ if kind != Kind::Number => Ok(value),
        DataType::Int(None)
        | DataType::Integer(None)
        | DataType::BigInt(None)
        | DataType::SmallInt(None)
        | DataType::TinyInt(None)
        | DataType::Int2(None)
        | DataType::Int4(None)
        | DataType::Int8(None)
        | DataType::Int64 => call(Function::Truncate, value),
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => match info {
            ExactNumberInfo::None => Ok(value),
            ExactNumberInfo::Precision(_) => call(Function::Round(0), value),
            ExactNumberInfo::PrecisionAndScale(_, scale) => match u8::try_from(*scale) {
                Ok(scale) if usize::from(scale) <= DIGITS_MAX => call(Function::Round(scale), value),
                _ => Err(Refusal::at(whole, format!("a scale is from 0 to {DIGITS_MAX}"))),
            },
        },
        DataType::Double(ExactNumberInfo::None)
        | DataType::DoublePrecision
        | DataType::Float(ExactNumberInfo::None)
        | DataType::Float4
        | DataType::Float8
        | DataType::Float64
        | DataType::Real => Ok(value),
        _ => Err(Refusal::at(whole, format!("a cast to {target} is not allowed"))),
    }
}

fn negated_if(is_negated: bool, condition: Expression) -> Expression {
    if is_negated { Expression::Not(Box::new(condition)) } else { condition }
}

fn arithmetic(operator: &BinaryOperator) -> Option<Arithmetic> {
    match operator {
        BinaryOperator::Plus => Some(Arithmetic::Plus),
        BinaryOperator::Minus => Some(Arithmetic::Minus),
        BinaryOperator::Multiply => Some(Arithmetic::Times),
        BinaryOperator::Divide => Some(Arithmetic::Over),
        _ => None,
    }
}

/// As a number, if it can be one.
pub fn as_number(value: Expression) -> Option<Expression> {
    match value.kind() {
        Kind::Number | Kind::Text => Some(value.converted(Kind::Number)),
        _ if matches!(value, Expression::Null(_)) => Some(Expression::Null(Kind::Number)),
        _ => None,
    }
}

/// The kind that all of the values can be; a null can be any.
fn common_kind(values: &[Expression]) -> Option<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    for value in values.iter().filter(|value| !matches!(value, Expression::Null(_))) {
        if !kinds.contains(&value.kind()) {
            kinds.push(value.kind());
        }
    }
    match kinds[..] {
        [] => Some(Kind::Text),
        [kind] | [Kind::Text, kind] | [kind, Kind::Text] => Some(kind),
        _ => None,
    }
}

fn is_convertible(value: &Expression, kind: Kind) -> bool {
    let is_instant = |kind| kind == Kind::Timestamp;
    match (value.kind(), kind) {
        (_, Kind::Text) | (Kind::Text, _) => true,
        _ if matches!(value, Expression::Null(_)) => true,
        (from, to) => is_instant(from) == is_instant(to),
    }
}

fn literal(value: &Value, whole: &Expr) -> Result<Expression, Refusal> {
    match value {
        Value::Number(digits, false) => {
            let number = parse_decimal(digits).ok().filter(|_| digits.len() <= DIGITS_MAX);
            let number = number.ok_or_else(|| Refusal::at(whole, "a number has at most 60 digits"))?;
            Ok(Expression::Number(plain(&number)))
        }
        Value::SingleQuotedString(text) if text.contains('\0') => {
            Err(Refusal::at(whole, "a text cannot have the character NUL"))
        }
        Value::SingleQuotedString(text) => Ok(Expression::Text(text.clone())),
        Value::Boolean(value) => Ok(Expression::Boolean(*value)),
        Value::Null => Ok(Expression::Null(Kind::Text)),
        _ => Err(Refusal::at(whole, format!("`{}` is not allowed; texts are written '…'", shown(whole)))),
    }
}

/// A date, or a date and a time; without an offset of UTC.
fn read_instant(text: &str) -> Option<Instant> {
    let date = || {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(date.and_hms_opt(0, 0, 0)?.and_utc())
    };
    let spaced = || parse_instant(&text.replacen(' ', "T", 1)).ok();
    parse_instant(text).ok().or_else(date).or_else(spaced)
}

/// A piece of a query for a message.
pub fn shown(piece: &impl std::fmt::Display) -> String {
    const LENGTH: usize = 60;
    let text = piece.to_string();
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
