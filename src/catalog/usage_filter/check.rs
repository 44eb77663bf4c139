//! Holding a card's products against the usage filters of its contracts.
//!
//! Of two changes that contradict each other the second is refused: whoever sets a filter shares the card and its
//! products, whoever adds to a card or updates a product has locked it and reads the filters after that.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::UsageFilters;
use super::store::{self, FilteredContract};
use crate::catalog::billable_metric::{self, Counting};
use crate::catalog::product::{self, ProductRow, Timeline};
use crate::catalog::{rate, rate_card};
use crate::error::ApiError;
use crate::id::{BillableMetricId, EnvironmentId, ProductId, RateCardId};
use crate::time::Instant;

/// The time of a contract whose statements are not finalized: nothing else follows a filter.
#[derive(Clone, Copy, Debug)]
pub struct OpenTime {
    pub from: Instant,
    /// Unset: without end.
    pub until: Option<Instant>,
}

/// Why the products of a card cannot be counted through a contract's filters in its open time. The card and its
/// products are kept from being changed until the transaction ends.
pub async fn contradiction_on_card(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: RateCardId,
    filters: &UsageFilters,
    open: OpenTime,
) -> Result<Option<String>, sqlx::Error> {
    rate_card::share(db, environment_id, rate_card_id).await?;
    let on_card = rate::card_products(db, environment_id, rate_card_id).await?;
    let ids: Vec<Uuid> = on_card.iter().map(|on_card| on_card.product.id.0).collect();
    let mut products = product::share_many(db, environment_id, &ids).await?;
    // In the card's order, so that the same one is named each time.
    products.sort_by_key(|product| ids.iter().position(|id| *id == product.id.0));
    let timelines: Vec<Timeline> = products.iter().map(ProductRow::timeline).collect();
    let metrics = metrics_of(db, environment_id, &timelines).await?;
    let contradiction = |states| filters.contradiction(open.from, open.until, states, &metrics);
    Ok(timelines.iter().find_map(contradiction))
}

/// 400 where a product that is about to be priced on a card cannot be counted through the filters of one of its
/// contracts. Each product comes with its path in the request; the caller has locked the card.
pub async fn refuse_products(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: RateCardId,
    products: &[(String, &ProductRow)],
) -> Result<(), ApiError> {
    let filtered = store::filtered_on_card(db, environment_id, rate_card_id).await?;
    if filtered.is_empty() {
        return Ok(());
    }
    let timelines: Vec<Timeline> = products.iter().map(|(_, product)| product.timeline()).collect();
    let metrics = metrics_of(db, environment_id, &timelines).await?;
    products
        .iter()
        .zip(&timelines)
        .try_for_each(|((path, _), states)| refuse(path, &filtered, states, &metrics))
}

/// 400 where a product that the caller has locked cannot, with the states that an update would give it, be counted
/// through the filters of contracts on any of its cards.
pub async fn refuse_update(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    product_id: ProductId,
    states: &Timeline,
    metrics: &BTreeMap<BillableMetricId, Counting>,
) -> Result<(), ApiError> {
    let filtered = store::filtered_of_product(db, environment_id, product_id).await?;
    refuse("billable_metric_id", &filtered, states, metrics)
}

fn refuse(
    path: &str,
    filtered: &[FilteredContract],
    states: &Timeline,
    metrics: &BTreeMap<BillableMetricId, Counting>,
) -> Result<(), ApiError> {
    for contract in filtered {
        let FilteredContract { contract_id, finalized_until, ending_before, filters } = contract;
        if let Some(reason) = filters.contradiction(*finalized_until, *ending_before, states, metrics) {
            let reason = format!("contract {contract_id} has a usage filter, and {reason}");
            return Err(ApiError::field(path, reason));
        }
    }
    Ok(())
}

/// The metrics of all states.
async fn metrics_of(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    timelines: &[Timeline],
) -> Result<BTreeMap<BillableMetricId, Counting>, sqlx::Error> {
    let mut ids: Vec<Uuid> = timelines.iter().flat_map(Timeline::metric_ids).map(|id| id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let metrics = billable_metric::find_many(db, environment_id, &ids).await?;
    Ok(metrics.into_iter().map(|metric| (metric.id, metric.definition)).collect())
}
