//! Periods that recur from an anchor of their own.

use chrono::TimeDelta;

use super::{Instant, Period, StatementFrequency, StatementSchedule};
use crate::casing::wire_enum;

wire_enum! {
    /// How often something begins again that does not follow usage statements.
    pub enum CycleFrequency {
        Monthly = "MONTHLY",
        Quarterly = "QUARTERLY",
        Annual = "ANNUAL",
        Weekly = "WEEKLY",
        Daily = "DAILY",
    }
}

impl CycleFrequency {
    /// The period around `instant` of a calendar that is counted from `anchor` without end, before and after it. As in
    /// [`StatementSchedule`], a day that a month does not have is its last one; a day has 24 hours.
    #[must_use]
    pub fn period_containing(self, anchor: Instant, instant: Instant) -> Period {
        let frequency = match self {
            Self::Monthly => StatementFrequency::Monthly,
            Self::Quarterly => StatementFrequency::Quarterly,
            Self::Annual => StatementFrequency::Annual,
            Self::Weekly => StatementFrequency::Weekly,
            Self::Daily => {
                let day = TimeDelta::days(1);
                let since = (instant - anchor).num_microseconds().expect("years to 9999 fit");
                let days = since.div_euclid(day.num_microseconds().expect("a day fits"));
                let start = anchor + TimeDelta::days(days);
                return Period { start, end: start + day };
            }
        };
        StatementSchedule { frequency, anchor }.period_containing(instant)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn periods_tile_time(
            anchor in 0_i64..4_000_000_000, instant in 0_i64..4_000_000_000, which in 0_usize..5,
        ) {
            let [anchor, instant] =
                [anchor, instant].map(|seconds| chrono::DateTime::from_timestamp(seconds, 0).expect("in range"));
            let frequency = CycleFrequency::ALL[which];
            let period = frequency.period_containing(anchor, instant);
            prop_assert!(period.contains(instant));
            prop_assert_eq!(frequency.period_containing(anchor, period.end).start, period.end);
            prop_assert_eq!(frequency.period_containing(anchor, anchor).start, anchor);
        }
    }
}
