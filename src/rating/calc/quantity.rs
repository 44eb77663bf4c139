//! From tallies to the quantities that are priced.

use std::collections::BTreeMap;

use crate::catalog::product::ProductState;
use crate::catalog::rate::GroupValues;
use crate::money::Decimal;
use crate::rating::terms::{Terms, Usage};
use crate::usage::calc::Tally;

/// A combination of pricing and presentation group values: quantities, rounding and tiers work at this level.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Combination {
    pub pricing: GroupValues,
    pub presentation: GroupValues,
}

/// The tallies of the whole period by combination and segment, as a product in this state counts them: pieces
/// of a finer grouping merged. Without group keys there is the one combination even when nothing was used.
pub fn tallies_by_combination(
    terms: &Terms,
    state: &ProductState,
    usage: &Usage,
    segment_count: usize,
) -> BTreeMap<Combination, Vec<Tally>> {
    let (metric_id, metric) = terms.metric_of(state);
    let mut combinations: BTreeMap<Combination, Vec<Tally>> = BTreeMap::new();
    if state.pricing_key().is_empty() && state.presentation_key().is_empty() {
        combinations.insert(Combination::default(), vec![Tally::default(); segment_count]);
    }
    for piece in usage.pieces.iter().filter(|piece| piece.metric_id == metric_id) {
        let values = |key: &[String]| -> GroupValues {
            let named = metric.group_names.iter().zip(&piece.group_values);
            named
                .filter(|(name, _)| key.contains(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        };
        let combination = Combination {
            pricing: values(state.pricing_key()),
            presentation: values(state.presentation_key()),
        };
        let tallies =
            combinations.entry(combination).or_insert_with(|| vec![Tally::default(); segment_count]);
        tallies[piece.segment].merge(&piece.tally);
    }
    for increment in usage.increments.iter().filter(|increment| increment.metric_id == metric_id) {
        let values = |key: &[String]| -> GroupValues {
            let named = increment.groups.iter().filter(|(name, _)| key.contains(name));
            named.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let combination = Combination {
            pricing: values(state.pricing_key()),
            presentation: values(state.presentation_key()),
        };
        let tallies =
            combinations.entry(combination).or_insert_with(|| vec![Tally::default(); segment_count]);
        let tally = Tally { total: Some(increment.quantity.clone()), ..Tally::default() };
        tallies[increment.segment].merge(&tally);
    }
    combinations
}

/// The quantity from the start of the period to the end of each segment, as a product in this state has it:
/// aggregated, then converted, then rounded. Rounding acts on the running total, so that a cut never rounds
/// twice (our decision).
#[must_use]
pub fn cumulative_quantities(terms: &Terms, state: &ProductState, tallies: &[Tally]) -> Vec<Decimal> {
    let (_, metric) = terms.metric_of(state);
    let mut so_far = Tally::default();
    let mut quantities = Vec::with_capacity(tallies.len());
    for tally in tallies {
        so_far.merge(tally);
        let metered = so_far.quantity(metric.aggregation());
        let converted = match state.quantity_conversion.value() {
            Some(conversion) => conversion.apply(&metered),
            None => metered,
        };
        quantities.push(match state.quantity_rounding.value() {
            Some(rounding) => rounding.apply(&converted),
            None => converted,
        });
    }
    quantities
}
