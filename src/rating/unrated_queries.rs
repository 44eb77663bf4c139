//! What metrics that are SQL count and no contract bills.
//!
//! A query counts for a whole statement of a contract whose product counts by it. So it is asked for each statement, cut at midnight,
//! and what a day adds to its quantity is billed or not as it is when it is priced. Without a contract and a product there is no
//! statement that it counts for, and nothing to say.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::calc::{UnratedReason, cuts, unrated_increments};
use super::load::{UsageScope, load_usage};
use super::terms::{Agreement, Increment, MetricTerms, Terms};
use super::unrated::{Amount, RowKey, midnight, midnights};
use crate::catalog::rate::GroupValues;
use crate::contract::Contract;
use crate::id::{BillableMetricId, EnvironmentId, GroupId, SubjectId};
use crate::money::{Decimal, zero};
use crate::time::{Instant, Period};
use crate::usage::calc::group_id;

/// What a query counted on a day under one tuple of values.
type Counted = (Instant, BillableMetricId, GroupId);

/// What of it a contract does not bill, by the reason.
type NotBilled = BTreeMap<UnratedReason, (GroupValues, Decimal)>;

/// What the queries that are asked about count on the days of a period for the customer of these subjects, and no contract bills. Of
/// several contracts that sell a query it is what is left where none bills all of a day; then that of the one whose reason is the
/// closest to being billed.
pub(super) async fn unrated_of_queries(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subject_ids: &[SubjectId],
    contracts: &[(&Contract, &Terms)],
    is_asked: impl Fn(BillableMetricId) -> bool,
    period: Period,
) -> Result<BTreeMap<RowKey, Amount>, sqlx::Error> {
    let mut all: BTreeMap<Counted, NotBilled> = BTreeMap::new();
    for (contract, terms) in contracts {
        let is_meant = |id| is_asked(id) && terms.metrics.get(&id).is_some_and(MetricTerms::is_sql);
        let own = of_contract(db, environment_id, subject_ids, (contract, terms), is_meant, period).await?;
        for (counted, not_billed) in own {
            let kept = all.entry(counted).or_insert_with(|| not_billed.clone());
            let closest = |one: &NotBilled| one.keys().max().copied();
            if not_billed.is_empty() || (!kept.is_empty() && closest(kept) < closest(&not_billed)) {
                *kept = not_billed;
            }
        }
    }
    let rows = all.into_iter().filter(|((day, ..), _)| period.contains(*day));
    let rows = rows.flat_map(|((day, metric_id, group), not_billed)| {
        not_billed.into_iter().map(move |(reason, (group_values, sum))| {
            let amount = Amount { group_values, event_count: None, value: Some(sum) };
            ((day, metric_id, group, reason), amount)
        })
    });
    Ok(rows.collect())
}

/// What one contract does not bill; nothing of a day of which it bills all.
async fn of_contract(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subject_ids: &[SubjectId],
    (contract, terms): (&Contract, &Terms),
    is_meant: impl Fn(BillableMetricId) -> bool,
    period: Period,
) -> Result<BTreeMap<Counted, NotBilled>, sqlx::Error> {
    let mut all: BTreeMap<Counted, NotBilled> = BTreeMap::new();
    for statement in contract.statements_during(period) {
        let agreement = Agreement::of(contract, terms, statement);
        let days = midnights(Period { start: midnight(statement.counted.start), end: statement.counted.end });
        let cuts = cuts(&agreement).of(&is_meant).also_at(days);
        if cuts.metric_ids().next().is_none() {
            continue;
        }
        let scope = UsageScope {
            subject_ids,
            cuts: &cuts,
            filters: &contract.usage_filters,
            before_seq: None,
            uncounted: None,
        };
        let usage = load_usage(db, environment_id, terms, &scope).await?;
        let counted = |increment: &Increment| -> Counted {
            let Increment { metric_id, groups, segment, .. } = increment;
            let names = &terms.metrics[metric_id].group_names;
            let values: Vec<String> =
                names.iter().map(|name| groups.get(name).cloned().unwrap_or_default()).collect();
            let day = midnight(cuts.segment(*metric_id, *segment).start);
            (day, *metric_id, group_id(environment_id, *metric_id, &values))
        };
        for increment in &usage.increments {
            all.entry(counted(increment)).or_default();
        }
        for (increment, reason) in unrated_increments(&agreement, &usage, &cuts) {
            let not_billed = all.entry(counted(increment)).or_default();
            let (_, sum) = not_billed.entry(reason).or_insert_with(|| (increment.groups.clone(), zero()));
            *sum += increment.tally.total.as_ref().unwrap_or(&zero());
        }
    }
    Ok(all)
}
