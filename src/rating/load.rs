//! Loading what rating needs, in a number of queries that does not grow with products, rates, groups or hours. Only metrics that
//! are SQL themselves add theirs.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::Cuts;
use super::terms::{
    Increment, MetricCounting, MetricTerms, Newest, ProductTerms, Terms, UnitConversion, Usage,
};
use crate::catalog::billable_metric::{AnyMetricRow, Counting, Definition};
use crate::catalog::product::ProductRow;
use crate::catalog::rate::{GroupValues, RateEntry};
use crate::catalog::rate_card::ConvertedUnit;
use crate::catalog::usage_filter::UsageFilters;
use crate::catalog::{billable_metric, rate, rate_card};
use crate::event::Scope;
use crate::id::{BillableMetricId, EnvironmentId, ProductId, RateCardId, SubjectId};
use crate::money::{CreditType, Decimal, zero};
use crate::time::{Instant, Period};
use crate::usage::calc::Tally;
use crate::usage::sql::{Answer, Facts, MetricQuery};
use crate::usage::{PostgresRollups, Reading, RollupStore, SegmentedMetric, Uncounted};

/// The terms of a rate card; without a card nothing is priced. `up_to` leaves out what was added later.
pub async fn load_terms(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: Option<RateCardId>,
    up_to: Option<Newest>,
) -> Result<Terms, sqlx::Error> {
    let Some(rate_card_id) = rate_card_id else {
        return Ok(Terms {
            unit: CreditType::usd(),
            conversions: Vec::new(),
            products: Vec::new(),
            metrics: BTreeMap::new(),
            newest: Newest::default(),
        });
    };
    let card = rate_card::find(db, environment_id, rate_card_id).await?.ok_or(sqlx::Error::RowNotFound)?;
    let units = rate_card::units(db, environment_id, rate_card_id, card.unit()).await?;
    let conversion = |converted: ConvertedUnit| UnitConversion {
        unit: converted.unit.credit_type(),
        fiat_per_unit: converted.fiat_per_unit,
    };
    let conversions = units.converted.into_values().map(conversion).collect();
    let mut products: Vec<ProductRow> = rate::card_products(db, environment_id, rate_card_id)
        .await?
        .into_iter()
        .map(|card_product| card_product.product)
        .collect();
    let mut entries = rate::entries(db, environment_id, rate_card_id).await?;
    if let Some(newest) = up_to {
        // Without a newest one, none counted.
        entries.retain(|entry| Some(entry.added) <= newest.rate);
        for product in &mut products {
            product.updates.retain(|update| Some(update.added) <= newest.product_update);
        }
    }
    let updates = products.iter().flat_map(|product| &product.updates);
    let newest = Newest {
        rate: entries.iter().map(|entry| entry.added).max(),
        product_update: updates.map(|update| update.added).max(),
    };
    let products = priced(products, entries);
    let metrics = metrics(db, environment_id, &products).await?;
    Ok(Terms { unit: units.fiat, conversions, products, metrics, newest })
}

/// Each product with its own rates.
fn priced(products: Vec<ProductRow>, entries: Vec<RateEntry>) -> Vec<ProductTerms> {
    let mut of_products: BTreeMap<ProductId, Vec<RateEntry>> = BTreeMap::new();
    for entry in entries {
        of_products.entry(entry.key.product_id).or_default().push(entry);
    }
    let product_terms = |product: ProductRow| ProductTerms {
        product_id: product.id,
        product_type: product.product_type,
        states: product.timeline(),
        rates: of_products.remove(&product.id).into_iter().flatten().collect(),
    };
    products.into_iter().map(product_terms).collect()
}

/// How the metrics of all products count.
async fn metrics(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    products: &[ProductTerms],
) -> Result<BTreeMap<BillableMetricId, MetricTerms>, sqlx::Error> {
    let ids: BTreeSet<Uuid> =
        products.iter().flat_map(|product| product.states.metric_ids()).map(|id| id.0).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let found = billable_metric::find_many(db, environment_id, &ids).await?;
    let metric = |metric: AnyMetricRow| {
        let group_names = metric.definition.group_names().into_iter().map(str::to_owned).collect();
        let counting = match metric.definition {
            Counting::Streaming(definition) => MetricCounting::Streaming(definition.aggregation_type),
            Counting::Sql(definition) => MetricCounting::Sql(Box::new(definition)),
        };
        (metric.id, MetricTerms { counting, group_names })
    };
    Ok(found.into_iter().map(metric).collect())
}

/// What the streaming metrics of the terms count, for events that no rollup has.
pub async fn load_definitions(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    terms: &Terms,
) -> Result<BTreeMap<BillableMetricId, Definition>, sqlx::Error> {
    let ids: Vec<Uuid> = terms.metrics.keys().map(|id| id.0).collect();
    let metrics = billable_metric::find_many(db, environment_id, &ids).await?;
    let streaming = metrics.into_iter().filter_map(AnyMetricRow::streaming);
    Ok(streaming.map(|metric| (metric.id, metric.definition)).collect())
}

/// Which usage to load.
#[derive(Clone, Copy)]
pub struct UsageScope<'a> {
    /// What means the customer in events.
    pub subject_ids: &'a [SubjectId],
    /// Where segments start; no segment is under two filters.
    pub cuts: &'a Cuts,
    /// Which events queries see; usage in rollups is routed by its groups.
    pub filters: &'a UsageFilters,
    /// Leaves out from queries what arrived later; rollups know only what they hold.
    pub before_seq: Option<i64>,
    /// What the rollups do not have yet; unset where they have all.
    pub uncounted: Option<&'a Uncounted>,
}

/// The usage of every metric that the cuts have, for the products of the terms.
pub async fn load_usage(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    terms: &Terms,
    scope: &UsageScope<'_>,
) -> Result<Usage, sqlx::Error> {
    let cuts = scope.cuts;
    let filters = scope.filters.entries().iter();
    let mut filter_changes: Vec<Instant> = filters.map(|filter| filter.starting_at).collect();
    filter_changes.sort_unstable();
    let (mut streaming, mut queries) = (Vec::new(), Vec::new());
    for metric_id in cuts.metric_ids() {
        match terms.metrics.get(&metric_id).map(|metric| &metric.counting) {
            Some(MetricCounting::Streaming(aggregation)) => streaming.push(SegmentedMetric {
                metric_id,
                aggregation: *aggregation,
                starts: cuts.starts(metric_id),
                filter_changes: &filter_changes,
            }),
            Some(MetricCounting::Sql(definition)) => queries.push((metric_id, &**definition)),
            None => {}
        }
    }
    let (subject_ids, end) = (scope.subject_ids, cuts.period().end);
    // Who reads what the rollups do not have reads a draft.
    let reading = if scope.uncounted.is_some() { Reading::Often } else { Reading::Once };
    let mut pieces =
        PostgresRollups.pieces(db, environment_id, subject_ids, &streaming, end, reading).await?;
    if let Some(uncounted) = scope.uncounted {
        pieces.extend(uncounted.pieces(db, subject_ids, &streaming, end).await?);
    }
    let increments = query_increments(db, environment_id, scope, queries).await?;
    Ok(Usage { pieces, increments })
}

/// What queries count. They see the events that the filter in force at their time lets pass, which are read once for all
/// queries, or for some after others where that would be too much at once.
async fn query_increments(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    scope: &UsageScope<'_>,
    queries: Vec<MetricQuery<'_>>,
) -> Result<Vec<Increment>, sqlx::Error> {
    let events = Scope {
        seqs: i64::MIN..scope.before_seq.unwrap_or(i64::MAX),
        ..Scope::of_subjects(environment_id, scope.subject_ids.to_vec(), scope.cuts.period())
    };
    let mut increments = Vec::new();
    let mut left = vec![queries];
    while let Some(mut together) = left.pop().filter(|together| !together.is_empty()) {
        let Some((facts, _)) = Facts::read(db, &events, scope.filters, &together).await? else {
            let half = together.split_off(together.len() / 2);
            left.extend([half, together]);
            continue;
        };
        for ((metric_id, definition), facts) in together.into_iter().zip(facts) {
            let names = definition.group_names();
            increments.extend(load_increments(db, metric_id, &names, &facts, scope.cuts).await?);
        }
    }
    Ok(increments)
}

/// What a query counts from the start of the period to the end of each segment, as what each segment adds. It changes
/// only where there are events, so only those segments are counted.
async fn load_increments(
    db: &mut PgConnection,
    metric_id: BillableMetricId,
    names: &[&str],
    facts: &Facts,
    cuts: &Cuts,
) -> Result<Vec<Increment>, sqlx::Error> {
    let has_events = |segment: &usize| facts.any_within(cuts.segment(metric_id, *segment));
    let segments: Vec<usize> = (0..cuts.starts(metric_id).len()).filter(has_events).collect();
    let until = |segment: &usize| cuts.segment(metric_id, *segment).end;
    let so_far = segments.iter().map(|segment| Period { start: cuts.period().start, end: until(segment) });
    let answers = facts.answers(db, &so_far.collect::<Vec<_>>()).await?;
    let mut increments = Vec::new();
    let mut before: BTreeMap<GroupValues, Decimal> = BTreeMap::new();
    for (segment, answers) in segments.into_iter().zip(answers) {
        let after = quantities(names, &answers);
        let groups: BTreeSet<&GroupValues> = before.keys().chain(after.keys()).collect();
        for group in groups {
            let of = |quantities: &BTreeMap<GroupValues, Decimal>| quantities.get(group).cloned();
            let quantity = of(&after).unwrap_or_else(zero) - of(&before).unwrap_or_else(zero);
            if quantity != zero() || !before.contains_key(group) {
                let tally = Tally { total: Some(quantity), ..Tally::default() };
                increments.push(Increment { metric_id, groups: group.clone(), segment, tally });
            }
        }
        before = after;
    }
    Ok(increments)
}

/// The quantities of a query's answer by the values of its columns; a column that is null has none.
fn quantities(names: &[&str], answers: &[Answer]) -> BTreeMap<GroupValues, Decimal> {
    let mut quantities: BTreeMap<GroupValues, Decimal> = BTreeMap::new();
    for answer in answers {
        let columns = names.iter().zip(&answer.groups);
        let values = columns.filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
        let quantity = quantities.entry(values.collect()).or_insert_with(zero);
        if let Some(value) = &answer.value {
            *quantity += value;
        }
    }
    quantities
}
