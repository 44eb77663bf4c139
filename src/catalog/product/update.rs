//! `POST /v1/contract-pricing/products/update`

use std::collections::BTreeMap;

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::calc::Timeline;
use super::check_composite::check_composite;
use super::create::live_metric;
use super::state::{ProductChanges, ProductType, SqlBreakdownGranularity};
use super::store::{self, ProductRow};
use crate::access::{App, Record, Writer};
use crate::catalog::billable_metric::{self, Counting};
use crate::catalog::usage_filter;
use crate::error::ApiError;
use crate::id::{BillableMetricId, EnvironmentId, ProductId};
use crate::postgres::share_arrivals;
use crate::time::shown;
use crate::wire::{Data, HourBoundary, IdBody, JsonBoth, id_data};

/// Beside the fields that change.
#[derive(Deserialize, JsonSchema)]
pub struct UpdateProduct {
    product_id: ProductId,
    /// On the hour; the past is changed too, the future is scheduled.
    starting_at: HourBoundary,
}

/// An archived product may be updated (our decision: it goes on billing, so its mistakes must be mendable).
pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    JsonBoth(request, mut changes): JsonBoth<UpdateProduct, ProductChanges>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let environment_id = caller.environment_id();
    let starting_at = request.starting_at.0;
    let mut change = caller.begin(&app).await?;
    // An invoice that is finalized from here on sees either this update or none with a later number.
    share_arrivals(&mut change, environment_id).await?;
    let product = store::lock(&mut change, environment_id, request.product_id).await?;
    let before = product.updates.iter().map(|update| (update.starting_at, &update.changes));
    let timeline = Timeline::new(product.initial.clone(), before.chain([(starting_at, &changes)]));
    let metrics = metrics(&mut change, environment_id, &product, &changes).await?;
    let problems = timeline.problems_from(starting_at, product.product_type, &metrics);
    if !problems.is_empty() {
        return Err(ApiError::BadRequest(problems.join("; ")));
    }
    if product.product_type == ProductType::Composite {
        let named = product.timeline().member_ids();
        let (states, from) = (timeline.clone(), Some(starting_at));
        check_composite(&mut change, environment_id, product.id, states, from, &named).await?;
    }
    if changes.billable_metric_id.is_some() {
        usage_filter::refuse_update(&mut change, environment_id, product.id, &timeline, &metrics).await?;
    }
    let brings_sql = changes.billable_metric_id.is_some_and(|id| metrics[&id].is_sql());
    if brings_sql && timeline.at(starting_at).sql_breakdown_granularity.is_none() {
        // Always told of a product on such a metric, as at its creation.
        changes.sql_breakdown_granularity = Some(SqlBreakdownGranularity::ServicePeriod);
    }
    let (now, by) = (caller.now, &caller.token_name);
    store::append(&mut change, environment_id, product.id, starting_at, &changes, now, by).await?;
    let (name, from) = (&timeline.at(starting_at).name, shown(starting_at));
    let record = Record::new(product.id.0, format!("Updated product {name} from {from} on"));
    change.commit(record, id_data(product.id.0)).await
}

/// The metrics that the product uses at any time, with the one that the update brings.
///
/// An archived metric takes no product that does not use it already; one that does may go back to it (our
/// decision: it meters on, and a wrong swap must be mendable).
async fn metrics(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    product: &ProductRow,
    changes: &ProductChanges,
) -> Result<BTreeMap<BillableMetricId, Counting>, ApiError> {
    let used = product.timeline().metric_ids();
    let ids: Vec<Uuid> = used.iter().map(|id| id.0).collect();
    let mut metrics = billable_metric::find_many(db, environment_id, &ids).await?;
    if let Some(new) = changes.billable_metric_id.filter(|id| !used.contains(id)) {
        metrics.push(live_metric(db, environment_id, new).await?);
    }
    Ok(metrics.into_iter().map(|metric| (metric.id, metric.definition)).collect())
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("updateProduct").tag("Products").summary("Update a product").description(
        "A field that is left out stays as it is; a conversion or a rounding of null is removed. A change of what is \
         counted, converted, rounded or grouped splits the usage of the period in which it starts. Drafts follow at \
         once, finalized invoices never.",
    )
}
