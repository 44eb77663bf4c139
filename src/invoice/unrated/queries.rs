//! What metrics that are SQL count and no contract bills.
//!
//! A query counts for a whole statement of a contract whose product counts by it. So it is asked for each statement, cut at midnight
//! and wherever any of the customer's contracts changes what it bills, and what each segment adds to its quantity is billed or not as
//! it is when it is priced. Without a contract and a product there is no statement that it counts for, and nothing to say.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sqlx::PgConnection;

use super::agreed::Agreed;
use super::{Amount, RowKey, midnight, midnights};
use crate::catalog::rate::GroupValues;
use crate::contract::{Contract, Statement};
use crate::error::NotComputable;
use crate::id::{BillableMetricId, EnvironmentId, GroupId, SubjectId};
use crate::money::{Decimal, zero};
use crate::rating::calc::{Cuts, UnratedReason, cuts, queried};
use crate::rating::{Agreement, Increment, MetricTerms, Terms, UsageScope, load_usage};
use crate::time::{Instant, Period};
use crate::usage::calc::group_id;

/// Where a segment starts, and what was counted in it under one tuple of values.
type Counted = (Instant, BillableMetricId, GroupId);

/// What a segment adds to a quantity, and why no contract bills it; nothing where one does.
struct Addition {
    reason: Option<UnratedReason>,
    group_values: GroupValues,
    amount: Decimal,
}

/// A statement of one of the customer's contracts that queries count for.
struct Asking<'a> {
    contract: &'a Contract,
    agreement: Agreement<'a>,
    /// As its invoice is cut.
    cuts: Cuts,
}

/// What the queries that are asked about add to their quantities on the days of a period for the customer of these subjects, and no
/// contract bills. Of several contracts that count the same it is that of the one whose reason is the closest to being billed.
///
/// A statement whose own draft cannot be calculated, because a query asks for too much, is left out: the draft says so itself.
pub async fn unrated_of_queries(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subject_ids: &[SubjectId],
    agreed: &[Agreed],
    is_asked: impl Fn(BillableMetricId) -> bool,
    period: Period,
) -> Result<BTreeMap<RowKey, Amount>, sqlx::Error> {
    let asking: Vec<Asking<'_>> = agreed
        .iter()
        .flat_map(|one| {
            let asking = |statement| asking(&one.contract, &one.terms, statement, &is_asked);
            one.statements(period).map(asking)
        })
        .filter(|asking| asking.cuts.metric_ids().next().is_some())
        .collect();
    let mut all: BTreeMap<Counted, Addition> = BTreeMap::new();
    for one in &asking {
        for (counted, addition) in additions(db, environment_id, subject_ids, one, &asking).await? {
            match all.entry(counted) {
                Entry::Vacant(entry) => {
                    entry.insert(addition);
                }
                Entry::Occupied(mut entry) => {
                    let kept = entry.get().reason;
                    if kept.is_some() && (addition.reason.is_none() || kept < addition.reason) {
                        entry.insert(addition);
                    }
                }
            }
        }
    }
    let mut rows: BTreeMap<RowKey, Amount> = BTreeMap::new();
    for ((at, metric_id, group), Addition { reason, group_values, amount }) in all {
        let Some(reason) = reason.filter(|_| period.contains(at)) else { continue };
        let row = rows.entry((midnight(at), metric_id, group, reason)).or_insert_with(|| Amount {
            group_values,
            event_count: None,
            value: Some(zero()),
        });
        row.value = row.value.take().map(|value| value + amount);
    }
    Ok(rows)
}

fn asking<'a>(
    contract: &'a Contract,
    terms: &'a Terms,
    statement: Statement,
    is_asked: impl Fn(BillableMetricId) -> bool,
) -> Asking<'a> {
    let agreement = Agreement::of(contract, terms, statement);
    let is_meant = |id| is_asked(id) && terms.metrics.get(&id).is_some_and(MetricTerms::is_sql);
    Asking { contract, agreement, cuts: cuts(&agreement).of(is_meant) }
}

/// What queries add in the segments of a statement: cut as all that ask are cut, or where that asks for too much as its own invoice is,
/// of whose segments each is told on the day on which it starts.
async fn additions(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subject_ids: &[SubjectId],
    Asking { contract, agreement, cuts }: &Asking<'_>,
    all: &[Asking<'_>],
) -> Result<Vec<(Counted, Addition)>, sqlx::Error> {
    let Period { start, end } = agreement.statement.counted;
    let bounds = all.iter().flat_map(|other| {
        let counted = other.agreement.statement.counted;
        [counted.start, counted.end]
    });
    let finely = all.iter().fold(cuts.clone(), |finely, other| finely.and(&other.cuts));
    let finely = finely.also_at(bounds).also_at(midnights(Period { start: midnight(start), end }));
    for cuts in [&finely, cuts] {
        let filters = &contract.usage_filters;
        let scope = UsageScope { subject_ids, cuts, filters, before_seq: None, uncounted: None };
        let usage = match load_usage(db, environment_id, agreement.terms, &scope).await {
            Err(error) if NotComputable::of(&error).is_some() => continue,
            usage => usage?,
        };
        let addition = |(increment, reason): (&Increment, Option<UnratedReason>)| {
            let names = &agreement.terms.metrics[&increment.metric_id].group_names;
            let value = |name: &String| increment.groups.get(name).cloned().unwrap_or_default();
            let values: Vec<String> = names.iter().map(value).collect();
            let at = cuts.segment(increment.metric_id, increment.segment).start;
            let group = group_id(environment_id, increment.metric_id, &values);
            let group_values = increment.groups.clone();
            let amount = increment.tally.total.clone().unwrap_or_else(zero);
            ((at, increment.metric_id, group), Addition { reason, group_values, amount })
        };
        return Ok(queried(agreement, &usage, cuts).map(addition).collect());
    }
    Ok(Vec::new())
}
