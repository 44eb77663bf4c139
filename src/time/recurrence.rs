//! Payments that recur: when each of them falls due.

use chrono::Months;

use super::Instant;
use crate::casing::wire_enum;

wire_enum! {
    /// How often a schedule of payments recurs.
    pub enum RecurringFrequency {
        Monthly = "MONTHLY",
        Quarterly = "QUARTERLY",
        SemiAnnual = "SEMI_ANNUAL",
        Annual = "ANNUAL",
    }
}

impl RecurringFrequency {
    const fn months(self) -> u32 {
        match self {
            Self::Monthly => 1,
            Self::Quarterly => 3,
            Self::SemiAnnual => 6,
            Self::Annual => 12,
        }
    }

    /// Every occurrence from `start` until before `end`. Each is counted from `start` itself, with the day clamped to
    /// the month's length, so a schedule of the 31st never drifts to the 28th.
    pub fn occurrences(self, start: Instant, end: Instant) -> impl Iterator<Item = Instant> {
        let occurrence = move |index: u32| start.checked_add_months(Months::new(index * self.months()));
        (0..)
            .map(move |index| occurrence(index).expect("request timestamps end with the year 9999"))
            .take_while(move |instant| *instant < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_instant;

    fn dates(frequency: RecurringFrequency, start: &str, end: &str) -> Vec<String> {
        let [start, end] = [start, end].map(|text| parse_instant(text).expect("a test instant"));
        frequency.occurrences(start, end).map(|instant| instant.date_naive().to_string()).collect()
    }

    #[test]
    fn the_31st_is_clamped_and_never_drifts() {
        assert_eq!(
            dates(RecurringFrequency::Monthly, "2024-01-31T00:00:00Z", "2024-06-01T00:00:00Z"),
            ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"]
        );
        assert_eq!(
            dates(RecurringFrequency::Annual, "2024-02-29T00:00:00Z", "2028-03-01T00:00:00Z"),
            ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]
        );
    }

    #[test]
    fn the_end_is_exclusive() {
        let from = "2024-11-01T09:30:00Z";
        let dates = |end| dates(RecurringFrequency::Quarterly, from, end).len();
        assert_eq!((dates("2025-11-01T09:30:00Z"), dates("2025-11-01T09:30:00.000001Z")), (4, 5));
        assert_eq!(dates("2024-11-01T09:30:00.000001Z"), 1);
        assert_eq!(dates(from), 0);
    }

    #[test]
    fn occurrences_reach_the_last_year() {
        let from = "9990-12-31T23:59:59Z";
        assert_eq!(dates(RecurringFrequency::SemiAnnual, from, "9999-12-31T23:59:59.999999Z").len(), 19);
    }
}
