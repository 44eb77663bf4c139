use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::calc::Timeline;
use super::state::{
    CompositeScope, ProductChanges, ProductState, ProductType, ProductUpdate, QuantityConversion,
    SqlBreakdownGranularity,
};
use crate::casing::wire_enum;
use crate::error::ApiError;
use crate::id::{BillableMetricId, EnvironmentId, ProductId};
use crate::money::QuantityRounding;
use crate::time::Instant;
use crate::wire::PageRow;

wire_enum! {
    /// Which of a list to show.
    pub enum ArchiveFilter {
        Archived = "ARCHIVED",
        NotArchived = "NOT_ARCHIVED",
        All = "ALL",
    }
}

/// A product with all of its updates.
#[derive(Clone, Debug)]
pub struct ProductRow {
    pub id: ProductId,
    pub product_type: ProductType,
    /// As it was created; in force from the beginning of time.
    pub initial: ProductState,
    /// In the order of addition.
    pub updates: Vec<ProductUpdate>,
    pub created_at: Instant,
    pub created_by: String,
    pub archived_at: Option<Instant>,
}

impl ProductRow {
    /// Its states over time.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        let updates = self.updates.iter().map(|update| (update.starting_at, &update.changes));
        Timeline::new(self.initial.clone(), updates)
    }
}

impl PageRow for ProductRow {
    fn created_at(&self) -> Instant {
        self.created_at
    }

    fn id(&self) -> Uuid {
        self.id.0
    }
}

/// The columns of the table.
struct Columns {
    id: ProductId,
    product_type: ProductType,
    name: String,
    billable_metric_id: Option<BillableMetricId>,
    pricing_group_key: Option<Vec<String>>,
    presentation_group_key: Option<Vec<String>>,
    quantity_conversion: Option<Json<QuantityConversion>>,
    quantity_rounding: Option<Json<QuantityRounding>>,
    tags: Option<Vec<String>>,
    is_refundable: bool,
    netsuite_internal_item_id: Option<String>,
    netsuite_overage_item_id: Option<String>,
    sql_breakdown_granularity: Option<SqlBreakdownGranularity>,
    composite_product_ids: Option<Vec<Uuid>>,
    composite_tags: Option<Vec<String>>,
    composite_scope: Option<CompositeScope>,
    exclude_free_usage: Option<bool>,
    include_composite_spend: Option<bool>,
    created_at: Instant,
    created_by: String,
    archived_at: Option<Instant>,
}

impl From<Columns> for ProductRow {
    fn from(row: Columns) -> Self {
        Self {
            id: row.id,
            product_type: row.product_type,
            initial: ProductState {
                name: row.name,
                billable_metric_id: row.billable_metric_id,
                pricing_group_key: row.pricing_group_key,
                presentation_group_key: row.presentation_group_key,
                quantity_conversion: row.quantity_conversion.map(|json| json.0).into(),
                quantity_rounding: row.quantity_rounding.map(|json| json.0).into(),
                tags: row.tags,
                is_refundable: row.is_refundable,
                netsuite_internal_item_id: row.netsuite_internal_item_id,
                netsuite_overage_item_id: row.netsuite_overage_item_id,
                sql_breakdown_granularity: row.sql_breakdown_granularity,
                composite_product_ids: row
                    .composite_product_ids
                    .map(|ids| ids.into_iter().map(ProductId).collect()),
                composite_tags: row.composite_tags,
                composite_scope: row.composite_scope,
                exclude_free_usage: row.exclude_free_usage,
                include_composite_spend: row.include_composite_spend,
            },
            updates: Vec::new(),
            created_at: row.created_at,
            created_by: row.created_by,
            archived_at: row.archived_at,
        }
    }
}

/// Keeps a new product, which has no updates.
pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    product: &ProductRow,
) -> Result<(), sqlx::Error> {
    let state = &product.initial;
    let member_ids: Option<Vec<Uuid>> =
        state.composite_product_ids.as_ref().map(|ids| ids.iter().map(|id| id.0).collect());
    sqlx::query!(
        "INSERT INTO product (environment_id, id, type, name, billable_metric_id, pricing_group_key,
                              presentation_group_key, quantity_conversion, quantity_rounding, tags, is_refundable,
                              netsuite_internal_item_id, netsuite_overage_item_id, created_at, created_by,
                              sql_breakdown_granularity, composite_product_ids, composite_tags, composite_scope,
                              exclude_free_usage, include_composite_spend)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
        environment_id.0,
        product.id.0,
        product.product_type.as_str(),
        state.name,
        state.billable_metric_id.map(|id| id.0),
        state.pricing_group_key.as_deref(),
        state.presentation_group_key.as_deref(),
        state.quantity_conversion.value().map(Json) as _,
        state.quantity_rounding.value().map(Json) as _,
        state.tags.as_deref(),
        state.is_refundable,
        state.netsuite_internal_item_id,
        state.netsuite_overage_item_id,
        product.created_at,
        product.created_by,
        state.sql_breakdown_granularity.map(SqlBreakdownGranularity::as_str),
        member_ids.as_deref(),
        state.composite_tags.as_deref(),
        state.composite_scope.map(CompositeScope::as_str),
        state.exclude_free_usage,
        state.include_composite_spend,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The products with these ids, archived ones included, in no order.
pub async fn find_many(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<Vec<ProductRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT id AS "id: ProductId", type AS "product_type: ProductType", name,
                  billable_metric_id AS "billable_metric_id: BillableMetricId", pricing_group_key,
                  presentation_group_key, quantity_conversion AS "quantity_conversion: Json<QuantityConversion>",
                  quantity_rounding AS "quantity_rounding: Json<QuantityRounding>", tags, is_refundable,
                  netsuite_internal_item_id, netsuite_overage_item_id, created_at, created_by, archived_at,
                  sql_breakdown_granularity AS "sql_breakdown_granularity: SqlBreakdownGranularity",
                  composite_product_ids, composite_tags, composite_scope AS "composite_scope: CompositeScope",
                  exclude_free_usage, include_composite_spend
           FROM product WHERE environment_id = $1 AND id = ANY($2)"#,
        environment_id.0,
        ids,
    )
    .fetch_all(&mut *db)
    .await?;
    with_updates(db, environment_id, rows).await
}

/// The product, archived ones included, locked against other changes until the transaction ends; 404 where
/// there is none.
pub async fn lock(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: ProductId,
) -> Result<ProductRow, ApiError> {
    sqlx::query!(
        "SELECT id FROM product WHERE environment_id = $1 AND id = $2 FOR NO KEY UPDATE",
        environment_id.0,
        id.0,
    )
    .fetch_optional(&mut *db)
    .await?;
    // Read after the lock: an update that was waited for is seen.
    let product = find_many(db, environment_id, &[id.0]).await?.pop();
    product.ok_or_else(|| ApiError::not_found("product", id))
}

/// The composite products, archived ones included, in no order.
pub async fn composites(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Vec<ProductRow>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM product WHERE environment_id = $1 AND type = 'COMPOSITE'",
        environment_id.0,
    )
    .fetch_all(&mut *db)
    .await?;
    find_many(db, environment_id, &ids).await
}

/// Changes of composites happen one after the other.
pub async fn lock_composites(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<(), sqlx::Error> {
    let key = format!("composite products {environment_id}");
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", key).execute(db).await?;
    Ok(())
}

/// The products with these ids, archived ones included, in no order, kept from being changed until the transaction
/// ends.
pub async fn share_many(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<Vec<ProductRow>, sqlx::Error> {
    sqlx::query!(
        "SELECT id FROM product WHERE environment_id = $1 AND id = ANY($2) ORDER BY id FOR SHARE",
        environment_id.0,
        ids,
    )
    .fetch_all(&mut *db)
    .await?;
    // Read after the lock: an update that was waited for is seen.
    find_many(db, environment_id, ids).await
}

/// Oldest first.
pub async fn list(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    archive_filter: ArchiveFilter,
    after: Option<(Instant, Uuid)>,
    limit: usize,
) -> Result<Vec<ProductRow>, sqlx::Error> {
    let archived = match archive_filter {
        ArchiveFilter::Archived => Some(true),
        ArchiveFilter::NotArchived => Some(false),
        ArchiveFilter::All => None,
    };
    let (after_created_at, after_id) = after.unzip();
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT id AS "id: ProductId", type AS "product_type: ProductType", name,
                  billable_metric_id AS "billable_metric_id: BillableMetricId", pricing_group_key,
                  presentation_group_key, quantity_conversion AS "quantity_conversion: Json<QuantityConversion>",
                  quantity_rounding AS "quantity_rounding: Json<QuantityRounding>", tags, is_refundable,
                  netsuite_internal_item_id, netsuite_overage_item_id, created_at, created_by, archived_at,
                  sql_breakdown_granularity AS "sql_breakdown_granularity: SqlBreakdownGranularity",
                  composite_product_ids, composite_tags, composite_scope AS "composite_scope: CompositeScope",
                  exclude_free_usage, include_composite_spend
           FROM product
           WHERE environment_id = $1 AND ($2::boolean IS NULL OR (archived_at IS NOT NULL) = $2)
             AND ($3::timestamptz IS NULL OR (created_at, id) > ($3, $4))
           ORDER BY created_at, id LIMIT $5"#,
        environment_id.0,
        archived,
        after_created_at,
        after_id,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(&mut *db)
    .await?;
    with_updates(db, environment_id, rows).await
}

/// Reads the updates of all rows at once.
async fn with_updates(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rows: Vec<Columns>,
) -> Result<Vec<ProductRow>, sqlx::Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
    let updates = sqlx::query!(
        r#"SELECT product_id AS "product_id: ProductId", added, starting_at, created_at, created_by,
                  changes AS "changes: Json<ProductChanges>"
           FROM product_update WHERE environment_id = $1 AND product_id = ANY($2) ORDER BY added"#,
        environment_id.0,
        &ids,
    )
    .fetch_all(db)
    .await?;
    let mut by_product: BTreeMap<ProductId, Vec<ProductUpdate>> = BTreeMap::new();
    for row in updates {
        by_product.entry(row.product_id).or_default().push(ProductUpdate {
            added: row.added,
            starting_at: row.starting_at,
            changes: row.changes.0,
            created_at: row.created_at,
            created_by: row.created_by,
        });
    }
    let product = |row: Columns| {
        let updates = by_product.remove(&row.id).unwrap_or_default();
        ProductRow { updates, ..row.into() }
    };
    Ok(rows.into_iter().map(product).collect())
}

/// Appends an update to the product's history.
pub async fn append(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: ProductId,
    starting_at: Instant,
    changes: &ProductChanges,
    created_at: Instant,
    created_by: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO product_update (environment_id, product_id, starting_at, changes, created_at, created_by)
         VALUES ($1, $2, $3, $4, $5, $6)",
        environment_id.0,
        id.0,
        starting_at,
        Json(changes) as _,
        created_at,
        created_by,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Archives the product; one that is archived already keeps its first instant.
pub async fn archive(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: ProductId,
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE product SET archived_at = $3 WHERE environment_id = $1 AND id = $2 AND archived_at IS NULL",
        environment_id.0,
        id.0,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
