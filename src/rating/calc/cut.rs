use crate::catalog::rate::{RateEntry, calc};
use crate::rating::terms::Terms;
use crate::time::{Instant, Period};

/// Where a period is cut into segments: its start, the instant `from` which it is charged, and every instant inside it
/// at which any rate may change or any product counts, converts, rounds, groups or breaks down in another way.
#[must_use]
pub fn cuts(terms: &Terms, period: Period, from: Instant) -> Vec<Instant> {
    let timelines = terms.products.iter().flat_map(|product| product.timelines.values());
    let rates = timelines.flat_map(|timeline| {
        let timeline: Vec<&RateEntry> = timeline.iter().collect();
        calc::boundaries(&timeline)
    });
    let states = terms.products.iter().flat_map(|product| product.states.metering_changes());
    let breakdowns = terms.products.iter().flat_map(|product| product.states.breakdown_changes());
    let inside = rates.chain(states).chain(breakdowns).filter(|instant| period.contains(*instant));
    let mut cuts: Vec<Instant> = [period.start, from].into_iter().chain(inside).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}
