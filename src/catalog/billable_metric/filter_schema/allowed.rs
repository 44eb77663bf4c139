//! What parts of an event may be, as sets.

use std::collections::{BTreeMap, BTreeSet};

/// Values of a property, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    Only(BTreeSet<String>),
    AllBut(BTreeSet<String>),
}

impl Values {
    pub const ANY: Self = Self::AllBut(BTreeSet::new());

    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Only(one), Self::Only(other)) => Self::Only(&one & &other),
            (Self::AllBut(one), Self::AllBut(other)) => Self::AllBut(&one | &other),
            (Self::Only(only), Self::AllBut(but)) | (Self::AllBut(but), Self::Only(only)) => {
                Self::Only(&only - &but)
            }
        }
    }

    pub fn negated(self) -> Self {
        match self {
            Self::Only(values) => Self::AllBut(values),
            Self::AllBut(values) => Self::Only(values),
        }
    }
}

/// What a part of an event may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub absent: bool,
    pub values: Values,
}

impl Allowed {
    pub const ANYTHING: Self = Self { absent: true, values: Values::ANY };
    pub const PRESENT: Self = Self { absent: false, values: Values::ANY };

    pub fn and(self, other: Self) -> Self {
        Self { absent: self.absent && other.absent, values: self.values.and(other.values) }
    }

    pub fn negated(self) -> Self {
        Self { absent: !self.absent, values: self.values.negated() }
    }
}

/// A part of an event that filters can speak of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    EventType,
    Property(String),
}

/// What is asked of each part, all at once. Parts of which nothing is asked are not in it.
pub type Asked = BTreeMap<Part, Allowed>;

/// Asks one thing more of a part.
pub fn ask(asked: &mut Asked, part: Part, mut allowed: Allowed) {
    // An event always has a type: whether it may lack one says nothing.
    allowed.absent |= part == Part::EventType;
    let before = asked.remove(&part).unwrap_or(Allowed::ANYTHING);
    let both = before.and(allowed);
    if both != Allowed::ANYTHING {
        asked.insert(part, both);
    }
}
