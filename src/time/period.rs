use chrono::TimeDelta;

use super::Instant;

/// A half-open interval `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    pub start: Instant,
    pub end: Instant,
}

impl Period {
    /// The part of `[start, end)` that is not empty.
    #[must_use]
    pub fn new(start: Instant, end: Instant) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// That of one instant; instants are to the microsecond.
    #[must_use]
    pub fn at(instant: Instant) -> Self {
        Self { start: instant, end: instant + TimeDelta::microseconds(1) }
    }

    /// The shortest that has both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    #[must_use]
    pub fn contains(&self, instant: Instant) -> bool {
        self.start <= instant && instant < self.end
    }

    /// The overlap with `[start, end)`, where no end is forever.
    #[must_use]
    pub fn clip(&self, start: Instant, end: Option<Instant>) -> Option<Self> {
        Self::new(self.start.max(start), end.map_or(self.end, |end| self.end.min(end)))
    }
}
