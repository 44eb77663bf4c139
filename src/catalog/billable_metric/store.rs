use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::counting::Counting;
use super::definition::{AggregationType, Definition, EventTypeFilter, PropertyFilter};
use super::sql::SqlDefinition;
use crate::id::{BillableMetricId, EnvironmentId};
use crate::time::Instant;
use crate::wire::PageRow;

/// A billable metric: a streaming one where it is not said how it counts.
#[derive(Clone, Debug)]
pub struct BillableMetricRow<D = Definition> {
    pub id: BillableMetricId,
    pub name: String,
    pub definition: D,
    pub created_at: Instant,
    /// Events of later arrivals count.
    pub created_arrival: i64,
    pub archived_at: Option<Instant>,
    pub archived_arrival: Option<i64>,
}

/// A billable metric of either way of counting.
pub type AnyMetricRow = BillableMetricRow<Counting>;

impl AnyMetricRow {
    /// The metric, if it is a streaming one.
    #[must_use]
    pub fn streaming(self) -> Option<BillableMetricRow> {
        let Counting::Streaming(definition) = self.definition else { return None };
        Some(BillableMetricRow {
            id: self.id,
            name: self.name,
            definition,
            created_at: self.created_at,
            created_arrival: self.created_arrival,
            archived_at: self.archived_at,
            archived_arrival: self.archived_arrival,
        })
    }
}

impl PageRow for AnyMetricRow {
    fn created_at(&self) -> Instant {
        self.created_at
    }

    fn id(&self) -> Uuid {
        self.id.0
    }
}

/// The columns of the table.
struct Columns {
    id: BillableMetricId,
    name: String,
    aggregation_type: Option<AggregationType>,
    sql: Option<String>,
    aggregation_key: Option<String>,
    event_type_filter: Option<Json<EventTypeFilter>>,
    property_filters: Option<Json<Vec<PropertyFilter>>>,
    group_keys: Option<Json<Vec<Vec<String>>>>,
    created_at: Instant,
    created_arrival: i64,
    archived_at: Option<Instant>,
    archived_arrival: Option<i64>,
}

impl From<Columns> for AnyMetricRow {
    fn from(row: Columns) -> Self {
        let definition = match (row.sql, row.aggregation_type) {
            (Some(sql), _) => Counting::Sql(SqlDefinition::stored(sql)),
            (None, aggregation_type) => Counting::Streaming(Definition {
                aggregation_type: aggregation_type.expect("a constraint: a metric without SQL has one"),
                aggregation_key: row.aggregation_key,
                event_type_filter: row.event_type_filter.map(|json| json.0),
                property_filters: row.property_filters.map(|json| json.0),
                group_keys: row.group_keys.map(|json| json.0),
            }),
        };
        Self {
            id: row.id,
            name: row.name,
            definition,
            created_at: row.created_at,
            created_arrival: row.created_arrival,
            archived_at: row.archived_at,
            archived_arrival: row.archived_arrival,
        }
    }
}

pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    metric: &AnyMetricRow,
) -> Result<(), sqlx::Error> {
    let (streaming, sql) = match &metric.definition {
        Counting::Streaming(definition) => (Some(definition), None),
        Counting::Sql(definition) => (None, Some(&definition.text)),
    };
    sqlx::query!(
        "INSERT INTO billable_metric (environment_id, id, name, aggregation_type, aggregation_key, event_type_filter,
                                      property_filters, group_keys, created_at, created_arrival, sql)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        environment_id.0,
        metric.id.0,
        metric.name,
        streaming.map(|definition| definition.aggregation_type.as_str()),
        streaming.and_then(|definition| definition.aggregation_key.as_deref()),
        streaming.and_then(|definition| definition.event_type_filter.as_ref().map(Json)) as _,
        streaming.and_then(|definition| definition.property_filters.as_ref().map(Json)) as _,
        streaming.and_then(|definition| definition.group_keys.as_ref().map(Json)) as _,
        metric.created_at,
        metric.created_arrival,
        sql,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The metrics with these ids, archived ones included, in no order.
pub async fn find_many(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<Vec<AnyMetricRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT id AS "id: BillableMetricId", name, aggregation_type AS "aggregation_type: AggregationType",
                  aggregation_key, event_type_filter AS "event_type_filter: Json<EventTypeFilter>",
                  property_filters AS "property_filters: Json<Vec<PropertyFilter>>",
                  group_keys AS "group_keys: Json<Vec<Vec<String>>>", sql, created_at, created_arrival, archived_at,
                  archived_arrival
           FROM billable_metric WHERE environment_id = $1 AND id = ANY($2)"#,
        environment_id.0,
        ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

pub async fn find(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: BillableMetricId,
) -> Result<Option<AnyMetricRow>, sqlx::Error> {
    Ok(find_many(db, environment_id, &[id.0]).await?.pop())
}

/// The metric, unless it is archived, kept from being archived until the transaction ends.
pub async fn share(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: BillableMetricId,
) -> Result<Option<AnyMetricRow>, sqlx::Error> {
    let locked = sqlx::query_scalar!(
        "SELECT id FROM billable_metric WHERE environment_id = $1 AND id = $2 AND archived_at IS NULL FOR SHARE",
        environment_id.0,
        id.0,
    )
    .fetch_optional(&mut *db)
    .await?;
    if locked.is_none() {
        return Ok(None);
    }
    find(db, environment_id, id).await
}

/// The metrics that a query counts and that are not archived, newest first like their list.
pub async fn sql_metrics(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Vec<AnyMetricRow>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM billable_metric WHERE environment_id = $1 AND sql IS NOT NULL AND archived_at IS NULL",
        environment_id.0,
    )
    .fetch_all(&mut *db)
    .await?;
    let mut metrics = find_many(db, environment_id, &ids).await?;
    metrics.sort_by_key(|metric| std::cmp::Reverse((metric.created_at, metric.id)));
    Ok(metrics)
}

/// Every metric that a query counts, archived ones included.
pub async fn all_sql_metrics(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Vec<AnyMetricRow>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM billable_metric WHERE environment_id = $1 AND sql IS NOT NULL",
        environment_id.0,
    )
    .fetch_all(&mut *db)
    .await?;
    find_many(db, environment_id, &ids).await
}

/// Every streaming metric, and whether a product uses it in any of its states.
pub async fn all_metrics(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Vec<(BillableMetricRow, bool)>, sqlx::Error> {
    let metrics = sqlx::query!(
        r#"SELECT id, EXISTS (SELECT FROM product WHERE product.environment_id = $1
                              AND product.billable_metric_id = metric.id)
                      OR EXISTS (SELECT FROM product_update change WHERE change.environment_id = $1
                                 AND change.billable_metric_id = metric.id) AS "is_used!"
           FROM billable_metric metric WHERE environment_id = $1 AND sql IS NULL"#,
        environment_id.0,
    )
    .fetch_all(&mut *db)
    .await?;
    let used: std::collections::BTreeMap<Uuid, bool> =
        metrics.into_iter().map(|row| (row.id, row.is_used)).collect();
    let ids: Vec<Uuid> = used.keys().copied().collect();
    let metrics = find_many(db, environment_id, &ids).await?;
    let streaming = metrics.into_iter().filter_map(AnyMetricRow::streaming);
    Ok(streaming.map(|metric| (metric.clone(), used[&metric.id.0])).collect())
}

/// The metric, locked against other changes until the transaction ends.
pub async fn lock(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: BillableMetricId,
) -> Result<Option<AnyMetricRow>, sqlx::Error> {
    sqlx::query!(
        "SELECT id FROM billable_metric WHERE environment_id = $1 AND id = $2 FOR NO KEY UPDATE",
        environment_id.0,
        id.0,
    )
    .fetch_optional(&mut *db)
    .await?;
    find(db, environment_id, id).await
}

/// From some arrival on a metric counts also what came before it and is dated `starting_at` or later.
#[derive(Clone, Copy, Debug)]
pub struct Reflow {
    pub metric_id: BillableMetricId,
    pub arrival: i64,
    pub starting_at: Instant,
}

pub async fn reflows(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Vec<Reflow>, sqlx::Error> {
    sqlx::query_as!(
        Reflow,
        r#"SELECT billable_metric_id AS "metric_id: BillableMetricId", arrival, starting_at
           FROM metric_reflow WHERE environment_id = $1"#,
        environment_id.0,
    )
    .fetch_all(db)
    .await
}

pub async fn insert_reflow(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    reflow: &Reflow,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO metric_reflow (environment_id, billable_metric_id, arrival, starting_at) VALUES ($1, $2, $3, $4)",
        environment_id.0,
        reflow.metric_id.0,
        reflow.arrival,
        reflow.starting_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What a list of metrics is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct MetricFilter {
    pub include_archived: bool,
    /// Unset: any metric.
    pub only: Option<Vec<Uuid>>,
}

/// Newest first.
pub async fn list(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    filter: &MetricFilter,
    after: Option<(Instant, Uuid)>,
    limit: usize,
) -> Result<Vec<AnyMetricRow>, sqlx::Error> {
    let (after_created_at, after_id) = after.unzip();
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT id AS "id: BillableMetricId", name, aggregation_type AS "aggregation_type: AggregationType",
                  aggregation_key, event_type_filter AS "event_type_filter: Json<EventTypeFilter>",
                  property_filters AS "property_filters: Json<Vec<PropertyFilter>>",
                  group_keys AS "group_keys: Json<Vec<Vec<String>>>", sql, created_at, created_arrival, archived_at,
                  archived_arrival
           FROM billable_metric
           WHERE environment_id = $1 AND ($2 OR archived_at IS NULL)
             AND ($3::uuid[] IS NULL OR id = ANY($3))
             AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5))
           ORDER BY created_at DESC, id DESC LIMIT $6"#,
        environment_id.0,
        filter.include_archived,
        filter.only.as_deref(),
        after_created_at,
        after_id,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

pub async fn rename(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: BillableMetricId,
    name: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE billable_metric SET name = $3 WHERE environment_id = $1 AND id = $2",
        environment_id.0,
        id.0,
        name,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Archives the metric; one that is archived already keeps its first instant.
pub async fn archive(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: BillableMetricId,
    now: Instant,
    arrival: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE billable_metric SET archived_at = $3, archived_arrival = $4
         WHERE environment_id = $1 AND id = $2 AND archived_at IS NULL",
        environment_id.0,
        id.0,
        now,
        arrival,
    )
    .execute(db)
    .await?;
    Ok(())
}
