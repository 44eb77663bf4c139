//! What queries answer. Pure.

use std::collections::BTreeMap;

use crate::money::{Decimal, zero};

/// What a query answers for one tuple of group values, summed over its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The columns beside the quantity, in their order; a null is none.
    pub groups: Vec<Option<String>>,
    pub value: Option<Decimal>,
}

/// The quantity of all rows; 0 where no row has one.
#[must_use]
pub fn total<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> Decimal {
    answers.into_iter().filter_map(|answer| answer.value.as_ref()).fold(zero(), |sum, value| sum + value)
}

/// The quantities by the columns at these places, summed over the others; nulls come first.
#[must_use]
pub fn by_groups(answers: &[Answer], places: &[usize]) -> BTreeMap<Vec<Option<String>>, Decimal> {
    let mut rows: BTreeMap<Vec<Option<String>>, Vec<&Answer>> = BTreeMap::new();
    for answer in answers {
        let group = places.iter().map(|place| answer.groups[*place].clone()).collect();
        rows.entry(group).or_default().push(answer);
    }
    rows.into_iter().map(|(group, answers)| (group, total(answers))).collect()
}
