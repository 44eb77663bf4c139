use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::state::{ProductState, ProductType, QuantityConversion};
use crate::casing::wire_enum;
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

/// A product.
#[derive(Clone, Debug)]
pub struct ProductRow {
    pub id: ProductId,
    pub product_type: ProductType,
    pub state: ProductState,
    pub created_at: Instant,
    pub created_by: String,
    pub archived_at: Option<Instant>,
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
    created_at: Instant,
    created_by: String,
    archived_at: Option<Instant>,
}

impl From<Columns> for ProductRow {
    fn from(row: Columns) -> Self {
        Self {
            id: row.id,
            product_type: row.product_type,
            state: ProductState {
                name: row.name,
                billable_metric_id: row.billable_metric_id,
                pricing_group_key: row.pricing_group_key,
                presentation_group_key: row.presentation_group_key,
                quantity_conversion: row.quantity_conversion.map(|json| json.0),
                quantity_rounding: row.quantity_rounding.map(|json| json.0),
                tags: row.tags,
                is_refundable: row.is_refundable,
                netsuite_internal_item_id: row.netsuite_internal_item_id,
                netsuite_overage_item_id: row.netsuite_overage_item_id,
            },
            created_at: row.created_at,
            created_by: row.created_by,
            archived_at: row.archived_at,
        }
    }
}

pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    product: &ProductRow,
) -> Result<(), sqlx::Error> {
    let state = &product.state;
    sqlx::query!(
        "INSERT INTO product (environment_id, id, type, name, billable_metric_id, pricing_group_key,
                              presentation_group_key, quantity_conversion, quantity_rounding, tags, is_refundable,
                              netsuite_internal_item_id, netsuite_overage_item_id, created_at, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        environment_id.0,
        product.id.0,
        product.product_type.as_str(),
        state.name,
        state.billable_metric_id.map(|id| id.0),
        state.pricing_group_key.as_deref(),
        state.presentation_group_key.as_deref(),
        state.quantity_conversion.as_ref().map(Json) as _,
        state.quantity_rounding.as_ref().map(Json) as _,
        state.tags.as_deref(),
        state.is_refundable,
        state.netsuite_internal_item_id,
        state.netsuite_overage_item_id,
        product.created_at,
        product.created_by,
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
                  netsuite_internal_item_id, netsuite_overage_item_id, created_at, created_by, archived_at
           FROM product WHERE environment_id = $1 AND id = ANY($2)"#,
        environment_id.0,
        ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
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
                  netsuite_internal_item_id, netsuite_overage_item_id, created_at, created_by, archived_at
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
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}
