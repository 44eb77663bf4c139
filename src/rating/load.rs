//! Loading what rating needs, in a fixed number of queries.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::terms::{MetricTerms, Newest, ProductTerms, Terms, Usage};
use crate::catalog::billable_metric::Definition;
use crate::catalog::product::ProductRow;
use crate::catalog::rate::{GroupValues, RateEntry};
use crate::catalog::{billable_metric, rate, rate_card};
use crate::id::{BillableMetricId, EnvironmentId, ProductId, RateCardId, SubjectId};
use crate::money::CreditType;
use crate::time::{Instant, Period};
use crate::usage::{PostgresRollups, RollupStore};

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
            products: Vec::new(),
            metrics: BTreeMap::new(),
            newest: Newest::default(),
        });
    };
    let card = rate_card::find(db, environment_id, rate_card_id).await?.ok_or(sqlx::Error::RowNotFound)?;
    let unit = card.unit();
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
    Ok(Terms { unit, products, metrics, newest })
}

/// Each product with its own rates.
fn priced(products: Vec<ProductRow>, entries: Vec<RateEntry>) -> Vec<ProductTerms> {
    let mut timelines: BTreeMap<ProductId, BTreeMap<GroupValues, Vec<RateEntry>>> = BTreeMap::new();
    for entry in entries {
        let of_product = timelines.entry(entry.product_id).or_default();
        of_product.entry(entry.pricing_group_values.clone()).or_default().push(entry);
    }
    let product_terms = |product: ProductRow| ProductTerms {
        product_id: product.id,
        states: product.timeline(),
        timelines: timelines.remove(&product.id).unwrap_or_default(),
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
    let metric = |metric: billable_metric::BillableMetricRow| {
        let group_names = metric.definition.group_names().into_iter().map(str::to_owned).collect();
        (metric.id, MetricTerms { aggregation: metric.definition.aggregation_type, group_names })
    };
    Ok(found.into_iter().map(metric).collect())
}

/// What the metrics of the terms count, for events that no rollup has.
pub async fn load_definitions(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    terms: &Terms,
) -> Result<BTreeMap<BillableMetricId, Definition>, sqlx::Error> {
    let ids: Vec<Uuid> = terms.metrics.keys().map(|id| id.0).collect();
    let metrics = billable_metric::find_many(db, environment_id, &ids).await?;
    Ok(metrics.into_iter().map(|metric| (metric.id, metric.definition)).collect())
}

/// The usage of the subjects for every product of the terms, in segments that start at `cuts`.
pub async fn load_usage(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    subject_ids: &[SubjectId],
    terms: &Terms,
    cuts: &[Instant],
    period: Period,
) -> Result<Usage, sqlx::Error> {
    // Where counting changes there is a cut, so the states at the cuts have every metric of the period.
    let states = cuts.iter().flat_map(|cut| terms.products.iter().map(|product| product.states.at(*cut)));
    let metrics = states.map(|state| terms.metric_of(state)).map(|(id, metric)| (id, metric.aggregation));
    let metrics = metrics.collect();
    let pieces = PostgresRollups.pieces(db, environment_id, subject_ids, &metrics, cuts, period.end).await?;
    Ok(Usage { pieces })
}
