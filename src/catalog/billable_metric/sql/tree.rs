//! Everything that the query of a metric can ask; what is not here cannot be run.

use std::collections::BTreeSet;

use crate::time::Instant;

/// What kind of value an expression has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    Boolean,
    Timestamp,
}

/// A whole query.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The names of all properties that it reads.
    pub properties: Vec<String>,
    /// Named before the query itself, each from those before it.
    pub commons: Vec<Select>,
    pub select: Select,
    /// Which output is the quantity.
    pub value: usize,
}

/// One SELECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    pub source: Source,
    pub filter: Option<Expression>,
    pub grouping: Option<Grouping>,
    pub outputs: Vec<Output>,
}

/// What a SELECT reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Events,
    /// One of the query's named ones.
    Common(usize),
    Derived(Box<Select>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Unset where nothing can name it.
    pub name: Option<String>,
    pub expression: Expression,
}

/// Rows of the source by equal keys. Outputs and `having` read keys and aggregates alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Grouping {
    pub keys: Vec<Expression>,
    pub aggregates: Vec<Aggregate>,
    pub having: Option<Expression>,
}

/// A value of a group of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Aggregate {
    /// The number of rows.
    Rows,
    Count(Expression),
    CountDistinct(Expression),
    Sum(Expression),
    Min(Expression),
    Max(Expression),
    Average(Expression),
    /// Of the rows that have a value, by timestamp and then by arrival; only where the source is events.
    Earliest(Expression),
    Latest(Expression),
    Percentile {
        of: Expression,
        /// From 0 to 1.
        fraction: String,
        /// Between the values next to it, rather than one of the values.
        is_continuous: bool,
        is_descending: bool,
    },
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    EventType,
    EventTimestamp,
    /// One of the query's properties, as text.
    Property(usize),
    /// An output of the source.
    Column(usize, Kind),
    /// A key of the grouping.
    Key(usize, Kind),
    /// An aggregate of the grouping.
    Aggregate(usize, Kind),
    Text(String),
    /// Digits with at most one point.
    Number(String),
    Boolean(bool),
    Timestamp(Instant),
    Null(Kind),
    /// As another kind; null where the value is none of it.
    Convert(Box<Expression>, Kind),
    Negative(Box<Expression>),
    Arithmetic(Box<Expression>, Arithmetic, Box<Expression>),
    Compare(Box<Expression>, Comparison, Box<Expression>),
    /// From the second to the third, both included.
    Between(Box<Expression>, Box<Expression>, Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    IsNull(Box<Expression>),
    IsIn(Box<Expression>, Vec<Expression>),
    /// Conditions with their values, and the value where none is true.
    Case(Vec<(Expression, Expression)>, Option<Box<Expression>>),
    Call(Function, Vec<Expression>),
    Window(Box<Window>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Plus,
    Minus,
    Times,
    /// Null where the divisor is 0.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Least,
    Greatest,
    /// To so many decimals, halves away from zero.
    Round(u8),
    Ceil,
    Floor,
    /// Without its fraction.
    Truncate,
    Absolute,
    Coalesce,
    NullIf,
    StartOfHour,
    StartOfDay,
    /// Seconds since 1970.
    Seconds,
}

/// A value of a row among the rows around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub function: WindowFunction,
    pub partition: Vec<Expression>,
    pub order: Vec<Order>,
    pub frame: Option<Frame>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum WindowFunction {
    Rows,
    Count(Expression),
    Sum(Expression),
    Min(Expression),
    Max(Expression),
    Average(Expression),
    RowNumber,
    Rank,
    DenseRank,
    /// The value so many rows before, and what it is where there is no such row.
    Lag(Expression, u32, Option<Expression>),
    Lead(Expression, u32, Option<Expression>),
    First(Expression),
    Last(Expression),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub by: Expression,
    pub is_descending: bool,
    pub nulls_first: bool,
}

/// Which rows around a row count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// By rows, else by rows that are equal in order.
    pub by_rows: bool,
    pub start: Bound,
    pub end: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    First,
    Before(u32),
    Current,
    After(u32),
    Last,
}

impl Query {
    /// The names of the columns beside the quantity, in their order: what usage can be split by.
    #[must_use]
    pub fn group_names(&self) -> Vec<&str> {
        self.groups().filter_map(|output| output.name.as_deref()).collect()
    }

    /// The columns beside the quantity.
    pub fn groups(&self) -> impl Iterator<Item = &Output> {
        let groups = self.select.outputs.iter().enumerate().filter(|(place, _)| *place != self.value);
        groups.map(|(_, output)| output)
    }

    /// The filters of everything that reads events: of each scan its filter, or nothing where it takes every event.
    #[must_use]
    pub fn scans(&self) -> Vec<Option<&Expression>> {
        let mut scans = Vec::new();
        for select in self.commons.iter().chain([&self.select]) {
            let mut select = select;
            while let Source::Derived(inner) = &select.source {
                select = inner;
            }
            if select.source == Source::Events {
                scans.push(select.filter.as_ref());
            }
        }
        scans
    }

    /// The types of all events that any scan can take, as far as its filter names them; nothing where one can take an
    /// event of any type.
    #[must_use]
    pub fn event_types(&self) -> Option<BTreeSet<&str>> {
        let scans = self.scans().into_iter().map(|filter| filter?.event_types());
        scans.collect::<Option<Vec<_>>>().map(|types| types.into_iter().flatten().collect())
    }
}

impl Aggregate {
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Min(of) | Self::Max(of) | Self::Earliest(of) | Self::Latest(of) => of.kind(),
            _ => Kind::Number,
        }
    }
}

impl WindowFunction {
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Min(of)
            | Self::Max(of)
            | Self::Lag(of, ..)
            | Self::Lead(of, ..)
            | Self::First(of)
            | Self::Last(of) => of.kind(),
            _ => Kind::Number,
        }
    }
}

impl Expression {
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::EventType | Self::Property(_) | Self::Text(_) => Kind::Text,
            Self::EventTimestamp | Self::Timestamp(_) => Kind::Timestamp,
            Self::Column(_, kind)
            | Self::Key(_, kind)
            | Self::Aggregate(_, kind)
            | Self::Null(kind)
            | Self::Convert(_, kind) => *kind,
            Self::Number(_) | Self::Negative(_) | Self::Arithmetic(..) => Kind::Number,
            Self::Boolean(_)
            | Self::Compare(..)
            | Self::Between(..)
            | Self::All(_)
            | Self::Any(_)
            | Self::Not(_)
            | Self::IsNull(_)
            | Self::IsIn(..) => Kind::Boolean,
            Self::Case(arms, _) => arms[0].1.kind(),
            Self::Call(function, arguments) => match function {
                Function::Least | Function::Greatest | Function::Coalesce | Function::NullIf => {
                    arguments[0].kind()
                }
                Function::StartOfHour | Function::StartOfDay => Kind::Timestamp,
                _ => Kind::Number,
            },
            Self::Window(window) => window.function.kind(),
        }
    }

    fn as_literal(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The event types beside which this condition is never true; nothing where it can be for any.
    fn event_types(&self) -> Option<BTreeSet<&str>> {
        match self {
            Self::Compare(left, Comparison::Equal, right) => match (&**left, &**right) {
                (Self::EventType, Self::Text(text)) | (Self::Text(text), Self::EventType) => {
                    Some(BTreeSet::from([text.as_str()]))
                }
                _ => None,
            },
            Self::IsIn(of, values) if **of == Self::EventType => {
                values.iter().map(Self::as_literal).collect()
            }
            Self::All(parts) => {
                let known = parts.iter().filter_map(Self::event_types);
                known.reduce(|one, other| one.intersection(&other).copied().collect())
            }
            Self::Any(parts) => {
                let parts = parts.iter().map(Self::event_types).collect::<Option<Vec<_>>>()?;
                Some(parts.into_iter().flatten().collect())
            }
            Self::Boolean(false) | Self::Null(_) => Some(BTreeSet::new()),
            _ => None,
        }
    }

    /// As a value of this kind.
    #[must_use]
    pub fn converted(self, kind: Kind) -> Self {
        match self {
            Self::Null(_) => Self::Null(kind),
            same if same.kind() == kind => same,
            other => Self::Convert(Box::new(other), kind),
        }
    }

    /// Whether an aggregate or a window is in it.
    #[must_use]
    pub fn reads_groups(&self) -> bool {
        matches!(self, Self::Aggregate(..) | Self::Window(_)) || self.parts().any(Self::reads_groups)
    }

    /// The expression over groups of rows by these keys; a column that is neither a key nor inside of an aggregate is
    /// an error.
    pub fn settled(self, keys: &[Self]) -> Result<Self, Self> {
        if let Some(place) = keys.iter().position(|key| *key == self) {
            return Ok(Self::Key(place, self.kind()));
        }
        let boxed = |part: Box<Self>| part.settled(keys).map(Box::new);
        let list = |parts: Vec<Self>| {
            parts.into_iter().map(|part| part.settled(keys)).collect::<Result<Vec<_>, _>>()
        };
        Ok(match self {
            Self::EventType | Self::EventTimestamp | Self::Property(_) | Self::Column(..) | Self::Key(..) => {
                return Err(self);
            }
            Self::Window(_) => return Err(self),
            Self::Aggregate(..)
            | Self::Text(_)
            | Self::Number(_)
            | Self::Boolean(_)
            | Self::Timestamp(_)
            | Self::Null(_) => self,
            Self::Convert(of, kind) => Self::Convert(boxed(of)?, kind),
            Self::Negative(of) => Self::Negative(boxed(of)?),
            Self::Arithmetic(left, operator, right) => {
                Self::Arithmetic(boxed(left)?, operator, boxed(right)?)
            }
            Self::Compare(left, comparison, right) => Self::Compare(boxed(left)?, comparison, boxed(right)?),
            Self::Between(of, low, high) => Self::Between(boxed(of)?, boxed(low)?, boxed(high)?),
            Self::All(parts) => Self::All(list(parts)?),
            Self::Any(parts) => Self::Any(list(parts)?),
            Self::Not(of) => Self::Not(boxed(of)?),
            Self::IsNull(of) => Self::IsNull(boxed(of)?),
            Self::IsIn(of, values) => Self::IsIn(boxed(of)?, list(values)?),
            Self::Case(arms, otherwise) => {
                let arm =
                    |(condition, value): (Self, Self)| Ok((condition.settled(keys)?, value.settled(keys)?));
                let arms = arms.into_iter().map(arm).collect::<Result<Vec<_>, Self>>()?;
                Self::Case(arms, otherwise.map(boxed).transpose()?)
            }
            Self::Call(function, arguments) => Self::Call(function, list(arguments)?),
        })
    }

    /// What it is made of.
    fn parts(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match self {
            Self::EventType
            | Self::EventTimestamp
            | Self::Property(_)
            | Self::Column(..)
            | Self::Key(..)
            | Self::Aggregate(..)
            | Self::Text(_)
            | Self::Number(_)
            | Self::Boolean(_)
            | Self::Timestamp(_)
            | Self::Null(_)
            | Self::Window(_) => Box::new(std::iter::empty()),
            Self::Convert(of, _) | Self::Negative(of) | Self::Not(of) | Self::IsNull(of) => {
                Box::new(std::iter::once(&**of))
            }
            Self::Arithmetic(left, _, right) | Self::Compare(left, _, right) => {
                Box::new([&**left, &**right].into_iter())
            }
            Self::Between(of, low, high) => Box::new([&**of, &**low, &**high].into_iter()),
            Self::All(parts) | Self::Any(parts) | Self::Call(_, parts) => Box::new(parts.iter()),
            Self::IsIn(of, values) => Box::new(std::iter::once(&**of).chain(values)),
            Self::Case(arms, otherwise) => {
                let arms = arms.iter().flat_map(|(condition, value)| [condition, value]);
                Box::new(arms.chain(otherwise.as_deref()))
            }
        }
    }
}
