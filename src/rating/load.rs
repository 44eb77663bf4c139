//! Loading what rating needs, in a fixed number of queries.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::terms::{ProductTerms, Terms, Usage};
use crate::catalog::{billable_metric, rate, rate_card};
use crate::id::{BillableMetricId, EnvironmentId, RateCardId, SubjectId};
use crate::money::CreditType;
use crate::time::{Instant, Period};
use crate::usage::{PostgresRollups, RollupStore};

/// The terms of a rate card; without a card nothing is priced. `up_to` leaves out rates that were added later.
pub async fn load_terms(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: Option<RateCardId>,
    up_to: Option<i64>,
) -> Result<Terms, sqlx::Error> {
    let Some(rate_card_id) = rate_card_id else {
        return Ok(Terms { unit: CreditType::usd(), products: Vec::new(), last_rate: None });
    };
    let card = rate_card::find(db, environment_id, rate_card_id).await?.ok_or(sqlx::Error::RowNotFound)?;
    let unit = card.unit();
    let on_card = rate::card_products(db, environment_id, rate_card_id).await?;
    let mut entries_by_product: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut last_rate = None;
    for entry in rate::entries(db, environment_id, rate_card_id).await? {
        if up_to.is_some_and(|last| entry.added > last) {
            continue;
        }
        last_rate = last_rate.max(Some(entry.added));
        entries_by_product.entry(entry.product_id).or_default().push(entry);
    }
    let metric_ids: Vec<Uuid> = on_card
        .iter()
        .filter_map(|card_product| card_product.product.state.billable_metric_id)
        .map(|id| id.0)
        .collect();
    let metrics: BTreeMap<BillableMetricId, _> = billable_metric::find_many(db, environment_id, &metric_ids)
        .await?
        .into_iter()
        .map(|metric| (metric.id, metric))
        .collect();

    let mut products = Vec::with_capacity(on_card.len());
    for card_product in on_card {
        let product = card_product.product;
        let metric = product.state.billable_metric_id.and_then(|id| metrics.get(&id));
        let metric = metric.expect("a usage product has a billable metric: a foreign key");
        let mut timelines: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for entry in entries_by_product.remove(&product.id).unwrap_or_default() {
            timelines.entry(entry.pricing_group_values.clone()).or_default().push(entry);
        }
        products.push(ProductTerms {
            product_id: product.id,
            state: product.state,
            metric_id: metric.id,
            aggregation: metric.definition.aggregation_type,
            group_names: metric.definition.group_names().into_iter().map(str::to_owned).collect(),
            timelines,
        });
    }
    Ok(Terms { unit, products, last_rate })
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
    let metrics = terms.products.iter().map(|product| (product.metric_id, product.aggregation)).collect();
    let pieces = PostgresRollups.pieces(db, environment_id, subject_ids, &metrics, cuts, period.end).await?;
    Ok(Usage { pieces })
}
