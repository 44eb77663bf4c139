//! Prices against the second model.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use upbeat::id::ContractId;
use upbeat::money::zero;
use upbeat::rating::Usage;
use upbeat::rating::calc::{
    Cuts, NoPayment, OtherContracts, changes_beside, cuts, cuts_beside, rate, rate_usage, route,
};
use upbeat::time::Instant;
use upbeat::usage::Piece;
use upbeat::usage::calc::{Latest, Tally};

use crate::naive::{self, Totals};
use crate::workload::{Workload, hour, workload};

const CASES: u64 = 10_000;

/// A contract beside the one that is billed.
const OTHER: ContractId = ContractId(Uuid::nil());

/// The usage as rollups have it: by the hour.
pub fn usage(workload: &Workload, cuts: &Cuts) -> Usage {
    let mut usage = Usage::default();
    let mut hours: BTreeMap<_, Tally> = BTreeMap::new();
    for event in &workload.events {
        let hour_number = (event.at - hour(0)).num_minutes().div_euclid(60);
        let tally = hours.entry((event.metric_id, &event.values, hour_number)).or_default();
        let number = event.number.clone();
        let latest = Latest { happened_at: event.at, seq: event.seq, value: number.clone() };
        let digest = upbeat::id::digest(&[upbeat::money::plain(&number).as_bytes()]);
        tally.merge(&Tally {
            event_count: 1,
            total: Some(number.clone()),
            greatest: Some(number),
            latest: Some(Box::new(latest)),
            uniques: [digest].into(),
        });
    }
    for ((metric_id, values, hour_number), tally) in hours {
        let Some(segment) = cuts.number_at(metric_id, hour(hour_number)) else { continue };
        usage.pieces.push(Piece { metric_id, group_values: Arc::new(values.to_vec()), segment, tally });
    }
    usage
}

/// The usage that a contract bills, cut where its own prices change and elsewhere.
fn billed_usage(workload: &Workload, more: impl IntoIterator<Item = Instant>) -> (Cuts, Usage) {
    let cuts = cuts(&workload.agreement()).also_at(more);
    let usage = route(&workload.terms, usage(workload, &cuts), &workload.filters, &cuts);
    (cuts, usage)
}

/// The other contract, what it bills, and where a share of what both spend changes.
pub struct Others {
    other: Workload,
    cuts: Cuts,
    usage: Usage,
    pub changes: Vec<Instant>,
}

impl Others {
    /// The contract beside that of a workload, if there is one. Something that pays for shares may begin or end at `marks`.
    pub fn of(workload: &Workload, marks: &[Instant]) -> Option<Self> {
        let (billed, other) = (workload.agreement(), workload.other()?);
        let changes = changes_beside(&billed, &[other.agreement()]);
        let seams: Vec<Instant> = changes.iter().chain(marks).copied().collect();
        let cuts = cuts_beside(&other.agreement(), &billed, &seams);
        let usage = route(&other.terms, usage(&other, &cuts), &other.filters, &cuts);
        Some(Self { other, cuts, usage, changes })
    }

    pub fn spend(&self) -> OtherContracts<'_> {
        let stretches = rate_usage(&self.other.agreement(), &self.usage, &self.cuts).into_values().flatten();
        let spend = vec![(OTHER, stretches.collect())];
        OtherContracts { spend, changes: self.changes.clone(), ..OtherContracts::default() }
    }
}

fn totals(workload: &Workload, more: &[i64]) -> Totals {
    let agreement = workload.agreement();
    let beside = Others::of(workload, &[]);
    let seams = beside.iter().flat_map(|others| others.changes.iter().copied());
    let (cuts, usage) = billed_usage(workload, more.iter().map(|number| hour(*number)).chain(seams));
    let others = beside.as_ref().map(Others::spend).unwrap_or_default();
    let stretches = rate(&agreement, &usage, &cuts, &others, &mut NoPayment).expect("small amounts");
    let mut totals = Totals::new();
    for stretch in stretches.flatten() {
        let charges = stretch.billable_charges().expect("small amounts");
        let total = totals.entry((stretch.product.product_id, stretch.pricing.unit.id)).or_insert_with(zero);
        *total += charges.iter().map(|charge| &charge.total).sum::<upbeat::money::Decimal>();
    }
    totals.retain(|_, total| *total != zero());
    totals
}

fn check(seed: u64) {
    let workload = workload(seed);
    let (priced, naive) = (totals(&workload, &[]), naive::totals(&workload));
    assert_eq!(
        shown(&priced),
        shown(&naive),
        "seed {seed}: priced and naive totals differ (SIM_SEED={seed} runs it alone)\n{:#?}\n{:#?}",
        workload.terms.products,
        workload.overrides,
    );
    let all_hours: Vec<i64> = (0..24).collect();
    assert_eq!(
        shown(&totals(&workload, &all_hours)),
        shown(&priced),
        "seed {seed}: more cuts change a total"
    );
}

fn shown(totals: &Totals) -> Vec<(Uuid, Uuid, String)> {
    let one = |((product, unit), total): (&(upbeat::id::ProductId, upbeat::id::CreditTypeId), _)| {
        (product.0, unit.0, upbeat::money::plain(total))
    };
    totals.iter().map(one).collect()
}

pub fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Seeds that failed once.
const FAILED_ONCE: [u64; 0] = [];

#[test]
fn prices_are_those_of_the_naive_model() {
    if let Some(seed) = number_from("SIM_SEED") {
        return check(seed);
    }
    let cases = number_from("SIM_CASES").unwrap_or(CASES);
    FAILED_ONCE.into_iter().chain(0..cases).for_each(check);
}

/// Whether a change changes any total.
fn differs(workload: &Workload, change: impl Fn(&mut Workload)) -> bool {
    let mut changed = workload.clone();
    change(&mut changed);
    totals(&changed, &[]) != totals(workload, &[])
}

#[test]
fn workloads_reach_every_kind_of_charge() {
    let mut reached = BTreeMap::new();
    let (mut of_customer, mut beyond, mut left_out) = (0, 0, 0);
    for seed in 0..500 {
        let workload = workload(seed);
        of_customer += usize::from(differs(&workload, |alone| alone.beside = None));
        // What the other contract bills of other times plays a part by its tiers alone.
        beyond += usize::from(differs(&workload, |same| {
            same.beside.iter_mut().for_each(|beside| (beside.earlier, beside.events) = (0, Vec::new()));
        }));
        left_out += usize::from(differs(&workload, |all| {
            let targeting = all.overrides.iter_mut().map(|one| &mut one.targeting);
            targeting.flat_map(|one| &mut one.specifiers).for_each(|one| one.exclude.clear());
        }));
        let agreement = workload.agreement();
        let cuts = cuts(&agreement);
        let usage = route(&workload.terms, usage(&workload, &cuts), &workload.filters, &cuts);
        let stretches = rate(&agreement, &usage, &cuts, &OtherContracts::default(), &mut NoPayment)
            .expect("small amounts");
        for stretch in stretches
            .flatten()
            .filter(|stretch| stretch.charges().iter().any(|charge| charge.total != zero()))
        {
            use upbeat::rating::calc::Basis;
            let basis = match stretch.basis {
                Basis::Usage { .. } => "usage",
                Basis::Spend(_) => "spend",
                Basis::Minimum(_) => "minimum",
                Basis::Subscription { .. } => "subscription",
            };
            let overrides = stretch.pricing.chosen().chain.len().min(2);
            *reached.entry((basis, overrides)).or_insert(0) += 1;
        }
    }
    let counts = format!("{of_customer} of the whole customer, {beyond} by other times, {left_out} left out");
    assert!(of_customer > 5 && beyond > 0 && left_out > 5, "{counts}");
    for kind in ["usage", "spend", "minimum", "subscription"] {
        assert!(reached.keys().any(|(basis, _)| *basis == kind), "{kind}: {reached:?}");
    }
    for overrides in 0..=2 {
        assert!(reached.contains_key(&("usage", overrides)), "{overrides} overrides: {reached:?}");
    }
}
