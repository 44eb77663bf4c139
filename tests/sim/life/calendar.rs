//! Calendars by counting from their anchor.

use chrono::{Months, TimeDelta};

use upbeat::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frequency {
    Weekly,
    Monthly,
    Quarterly,
}

/// Periods from an anchor on; nothing is asked about the time before it.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    pub anchor: Instant,
    pub frequency: Frequency,
}

impl Calendar {
    fn boundary(self, number: u32) -> Instant {
        let months = match self.frequency {
            Frequency::Weekly => return self.anchor + TimeDelta::days(7 * i64::from(number)),
            Frequency::Monthly => number,
            Frequency::Quarterly => 3 * number,
        };
        self.anchor.checked_add_months(Months::new(months)).expect("a date in this millennium")
    }

    /// The period around an instant.
    pub fn around(self, at: Instant) -> (Instant, Instant) {
        assert!(self.anchor <= at, "{at} is before {}", self.anchor);
        let number = (1..100_000).find(|number| self.boundary(*number) > at).expect("time goes on");
        (self.boundary(number - 1), self.boundary(number))
    }
}

/// How the wire calls it.
impl Frequency {
    pub fn wire(self) -> &'static str {
        match self {
            Self::Weekly => "WEEKLY",
            Self::Monthly => "MONTHLY",
            Self::Quarterly => "QUARTERLY",
        }
    }
}
