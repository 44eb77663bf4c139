use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::calc::{UsageFilter, UsageFilters};
use crate::id::{ContractId, CustomerId, EnvironmentId, ProductId, RateCardId};
use crate::time::Instant;

/// A contract that has usage filters and is not finalized to its end.
#[derive(Clone, Debug)]
pub struct FilteredContract {
    pub contract_id: ContractId,
    /// What lies before is finalized.
    pub finalized_until: Instant,
    pub ending_before: Option<Instant>,
    pub filters: UsageFilters,
}

/// Whose filter it is.
#[derive(Clone, Copy, Debug)]
pub struct FilterOwner {
    pub customer_id: CustomerId,
    pub contract_id: ContractId,
    pub rate_card_id: Option<RateCardId>,
}

/// Appends a filter to a contract's; the number that the filter has is given here.
pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    owner: FilterOwner,
    filter: UsageFilter,
    set_by: &str,
) -> Result<UsageFilter, sqlx::Error> {
    let added = sqlx::query_scalar!(
        "INSERT INTO usage_filter (environment_id, customer_id, contract_id, rate_card_id, group_key, group_values,
                                   starting_at, is_initial, set_at, set_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         RETURNING added",
        environment_id.0,
        owner.customer_id.0,
        owner.contract_id.0,
        owner.rate_card_id.map(|id| id.0),
        filter.group_key,
        &filter.group_values,
        filter.starting_at,
        filter.is_initial,
        filter.set_at,
        set_by,
    )
    .fetch_one(db)
    .await?;
    Ok(UsageFilter { added, ..filter })
}

/// The contracts on a card that have filters and are not finalized to their end.
pub async fn filtered_on_card(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_id: RateCardId,
) -> Result<Vec<FilteredContract>, sqlx::Error> {
    filtered_on(db, environment_id, &[rate_card_id.0]).await
}

/// The same for every card that a product is on.
pub async fn filtered_of_product(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    product_id: ProductId,
) -> Result<Vec<FilteredContract>, sqlx::Error> {
    let cards = sqlx::query_scalar!(
        "SELECT rate_card_id FROM rate_card_product WHERE environment_id = $1 AND product_id = $2",
        environment_id.0,
        product_id.0,
    )
    .fetch_all(&mut *db)
    .await?;
    filtered_on(db, environment_id, &cards).await
}

async fn filtered_on(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    rate_card_ids: &[Uuid],
) -> Result<Vec<FilteredContract>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT contract.id AS "contract_id: ContractId", finalized_until, ending_before,
                  jsonb_agg(to_jsonb(usage_filter) ORDER BY added) AS "filters!: Json<Vec<UsageFilter>>"
           FROM usage_filter
           JOIN contract ON contract.environment_id = $1 AND contract.customer_id = usage_filter.customer_id
                AND contract.id = usage_filter.contract_id
           WHERE usage_filter.environment_id = $1 AND usage_filter.rate_card_id = ANY($2)
             AND archived_at IS NULL AND (ending_before IS NULL OR finalized_until < ending_before)
           GROUP BY contract.environment_id, contract.customer_id, contract.id
           ORDER BY contract.id"#,
        environment_id.0,
        rate_card_ids,
    )
    .fetch_all(db)
    .await?;
    let contract = rows.into_iter().map(|row| FilteredContract {
        contract_id: row.contract_id,
        finalized_until: row.finalized_until,
        ending_before: row.ending_before,
        filters: UsageFilters::new(row.filters.0),
    });
    Ok(contract.collect())
}
