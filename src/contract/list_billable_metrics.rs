//! `GET /v1/customers/{customer_id}/billable-metrics`: every metric is open to every customer; the ones that a
//! customer's contracts price are a filter, so it lives with the contracts.

use std::collections::BTreeSet;

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::store::{self, ContractFilter};
use crate::access::{App, Caller};
use crate::catalog::billable_metric::{BillableMetricWithMirrors, MetricFilter, list_metrics};
use crate::catalog::rate;
use crate::custom_field;
use crate::customer::{self, CustomerPath};
use crate::error::ApiError;
use crate::id::{CustomerId, EnvironmentId};
use crate::time::Instant;
use crate::wire::{CursorKey, Page, PageLimit, Path, Query};

#[derive(Deserialize, JsonSchema)]
pub struct ListMetricsOfCustomer {
    #[serde(default)]
    limit: PageLimit,
    next_page: Option<String>,
    /// Only metrics behind the products on the rate cards of the contracts that are in force now.
    #[serde(default)]
    on_current_plan: bool,
    /// Archived metrics as well as active ones.
    #[serde(default)]
    include_archived: bool,
}

pub async fn handler(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CustomerPath>,
    Query(request): Query<ListMetricsOfCustomer>,
) -> Result<axum::Json<Page<BillableMetricWithMirrors>>, ApiError> {
    let environment_id = caller.environment_id();
    let filters = (path.customer_id, request.on_current_plan, request.include_archived);
    let key = CursorKey::new("billable metrics of a customer", "next_page", environment_id, &filters);
    let after = key.creation_position(request.next_page.as_deref())?;
    let limit = request.limit.get();
    let mut db = app.db.acquire().await?;
    customer::get(&mut db, environment_id, path.customer_id).await?;
    let mut filter = MetricFilter { include_archived: request.include_archived, only: None };
    if request.on_current_plan {
        filter.only = Some(priced_metrics(&mut db, environment_id, path.customer_id, caller.now).await?);
    }
    let rows = list_metrics(&mut db, environment_id, &filter, after, limit + 1).await?;
    let mut page = Page::by_creation(rows, limit, &key).map(BillableMetricWithMirrors::from);
    custom_field::show(&mut db, environment_id, &mut page.data).await?;
    Ok(axum::Json(page))
}

/// The metrics of all products on the rate cards of the contracts that are in force at `now`.
async fn priced_metrics(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    now: Instant,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let in_force = ContractFilter { covering_date: Some(now), ..ContractFilter::default() };
    let contracts = store::list(db, environment_id, customer_id, &in_force, None, None).await?;
    let cards: BTreeSet<_> = contracts.iter().filter_map(|contract| contract.rate_card_id).collect();
    let mut metrics = BTreeSet::new();
    for card in cards {
        let products = rate::card_products(db, environment_id, card).await?;
        metrics.extend(
            products.iter().filter_map(|on_card| on_card.product.timeline().at(now).billable_metric_id),
        );
    }
    Ok(metrics.into_iter().map(|id| id.0).collect())
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("listBillableMetricsOfCustomer")
        .tag("Billable metrics")
        .summary("List the billable metrics of a customer")
        .description(
            "Newest first. Every metric of the environment, or those that the customer's current contracts price, each \
             with its deprecated fields.",
        )
}
