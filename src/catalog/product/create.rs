//! `POST /v1/contract-pricing/products/create`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;

use super::check_composite::check_composite;
use super::state::{
    CompositeScope, ProductState, ProductType, ProductTypeInput, QuantityConversion, SqlBreakdownGranularity,
};
use super::store::{self, ProductRow};
use crate::access::{App, Record, Writer};
use crate::catalog::billable_metric::{self, AnyMetricRow};
use crate::custom_field::{self, CustomFieldsInput, ManagedEntity};
use crate::error::ApiError;
use crate::id::{BillableMetricId, EnvironmentId, ProductId};
use crate::money::QuantityRounding;
use crate::wire::{Data, IdBody, Json, NonBlank, id_data};

#[derive(Deserialize, JsonSchema)]
pub struct CreateProduct {
    /// Shown on invoices.
    name: NonBlank,
    #[serde(rename = "type")]
    #[schemars(with = "ProductTypeInput")]
    product_type: ProductType,
    /// What is counted; required for USAGE, and for it alone.
    billable_metric_id: Option<BillableMetricId>,
    /// Properties that the price depends on; USAGE only.
    pricing_group_key: Option<Vec<String>>,
    /// Properties that invoice lines are split by, at the same price; USAGE only.
    presentation_group_key: Option<Vec<String>>,
    /// USAGE only.
    quantity_conversion: Option<QuantityConversion>,
    /// Acts on the converted quantity; USAGE only.
    quantity_rounding: Option<QuantityRounding>,
    tags: Option<Vec<String>>,
    is_refundable: Option<bool>,
    netsuite_internal_item_id: Option<String>,
    /// USAGE and COMPOSITE only.
    netsuite_overage_item_id: Option<String>,
    /// Where in a period that is charged which SQL counts: SERVICE_PERIOD where it is left out, at the last instant;
    /// without effect on other metrics. USAGE only.
    sql_breakdown_granularity: Option<SqlBreakdownGranularity>,
    /// The products whose spend is shared in: USAGE, and COMPOSITE with `include_composite_spend`. COMPOSITE only, which
    /// needs these or `composite_tags`.
    composite_product_ids: Option<Vec<ProductId>>,
    /// The spend of every such product with any of these tags is shared in too. COMPOSITE only.
    composite_tags: Option<Vec<String>>,
    /// Whose spend is shared in, for life; CONTRACT when omitted. COMPOSITE only.
    composite_scope: Option<CompositeScope>,
    /// Leaves out usage that costs the contract nothing, which only counts at list prices; false when omitted. COMPOSITE only.
    exclude_free_usage: Option<bool>,
    /// Shares in the spend of other composites too, which may lead in no circle; false when omitted. COMPOSITE only.
    include_composite_spend: Option<bool>,
    /// Each key must be on the list of its type; values have at most 200 characters.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    custom_fields: CustomFieldsInput,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<CreateProduct>,
) -> Result<axum::Json<Data<IdBody>>, ApiError> {
    let fields = request.custom_fields.checked()?;
    let mut product = ProductRow {
        id: app.ids.next(),
        product_type: request.product_type,
        initial: ProductState {
            name: request.name.0,
            billable_metric_id: request.billable_metric_id,
            pricing_group_key: request.pricing_group_key,
            presentation_group_key: request.presentation_group_key,
            quantity_conversion: request.quantity_conversion.into(),
            quantity_rounding: request.quantity_rounding.into(),
            tags: request.tags,
            is_refundable: request.is_refundable.unwrap_or(true),
            netsuite_internal_item_id: request.netsuite_internal_item_id,
            netsuite_overage_item_id: request.netsuite_overage_item_id,
            sql_breakdown_granularity: request.sql_breakdown_granularity,
            composite_product_ids: request.composite_product_ids,
            composite_tags: request.composite_tags,
            composite_scope: request.composite_scope,
            exclude_free_usage: request.exclude_free_usage,
            include_composite_spend: request.include_composite_spend,
        },
        updates: Vec::new(),
        created_at: caller.now,
        created_by: caller.token_name.clone(),
        archived_at: None,
    };
    let mut change = caller.begin(&app).await?;
    let metric = match product.initial.billable_metric_id {
        Some(metric_id) => Some(live_metric(&mut change, caller.environment_id(), metric_id).await?),
        None => None,
    };
    let group_names = metric.as_ref().map(|metric| metric.definition.group_names()).unwrap_or_default();
    let problems = product.initial.problems(product.product_type, &group_names);
    if !problems.is_empty() {
        return Err(ApiError::BadRequest(problems.join("; ")));
    }
    if product.product_type == ProductType::Composite {
        product.initial.composite_scope.get_or_insert(CompositeScope::Contract);
        let states = product.timeline();
        check_composite(&mut change, caller.environment_id(), product.id, states, None, &[]).await?;
    }
    if metric.is_some_and(|metric| metric.definition.is_sql()) {
        // Always told of such a product, as the documentation has two opinions on the default.
        product.initial.sql_breakdown_granularity.get_or_insert(SqlBreakdownGranularity::ServicePeriod);
    }
    store::insert(&mut change, caller.environment_id(), &product).await?;
    let (entity, id) = (ManagedEntity::ContractProduct, product.id.0);
    custom_field::set(&mut change, caller.environment_id(), entity, id, &fields).await?;
    let record = Record::new(product.id.0, format!("Created product {}", product.initial.name));
    change.commit(record, id_data(product.id.0)).await
}

/// The metric, kept from being archived until the transaction ends; 400 where there is none that is not
/// archived.
pub async fn live_metric(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: BillableMetricId,
) -> Result<AnyMetricRow, ApiError> {
    let metric = billable_metric::share(db, environment_id, id).await?;
    let reason = || format!("no billable metric {id} that is not archived");
    metric.ok_or_else(|| ApiError::field("billable_metric_id", reason()))
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation
        .id("createProduct")
        .tag("Products")
        .summary("Create a product")
        .description("A product names what is sold. Rate cards price USAGE, SUBSCRIPTION and COMPOSITE products, contracts FIXED and \
         PRO_SERVICE ones. A COMPOSITE product is charged as a share of what its members cost.")
}
