//! What queries answer. Pure.

use std::collections::BTreeMap;

use crate::money::{Decimal, zero};

/// One row that a query answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The columns beside the quantity, in their order; a null is none.
    pub groups: Vec<Option<String>>,
    pub value: Option<Decimal>,
}

/// The quantity of all rows; nothing where no row has one.
#[must_use]
pub fn total<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> Option<Decimal> {
    answers
        .into_iter()
        .filter_map(|answer| answer.value.as_ref())
        .fold(None, |sum, value| Some(sum.unwrap_or_else(zero) + value))
}

/// The quantities by the columns at these places, summed over the others; nulls come first.
#[must_use]
pub fn by_groups(answers: &[Answer], places: &[usize]) -> BTreeMap<Vec<Option<String>>, Option<Decimal>> {
    let mut rows: BTreeMap<Vec<Option<String>>, Vec<&Answer>> = BTreeMap::new();
    for answer in answers {
        let group = places.iter().map(|place| answer.groups[*place].clone()).collect();
        rows.entry(group).or_default().push(answer);
    }
    rows.into_iter().map(|(group, answers)| (group, total(answers))).collect()
}
