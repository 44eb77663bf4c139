//! What commits and credits were.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::terms::BalanceTerms;
use crate::id::{BalanceId, CustomerId, EnvironmentId};
use crate::time::Instant;

/// The terms that balances were made with.
pub async fn first_terms(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    ids: &[Uuid],
) -> Result<BTreeMap<BalanceId, BalanceTerms>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT ON (balance_id) balance_id AS "id: BalanceId", terms AS "terms: Json<BalanceTerms>"
           FROM balance_version WHERE environment_id = $1 AND customer_id = $2 AND balance_id = ANY($3)
           ORDER BY balance_id, added"#,
        environment_id.0,
        customer_id.0,
        ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.terms.0)).collect())
}

/// The terms and the archival of balances as they were known at an instant.
pub async fn versions_as_of(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
    ids: &[Uuid],
    at: Instant,
) -> Result<BTreeMap<BalanceId, (BalanceTerms, Option<Instant>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT ON (balance_id) balance_id AS "id: BalanceId", terms AS "terms: Json<BalanceTerms>",
                  archived_at
           FROM balance_version
           WHERE environment_id = $1 AND customer_id = $2 AND balance_id = ANY($3) AND changed_at <= $4
           ORDER BY balance_id, added DESC"#,
        environment_id.0,
        customer_id.0,
        ids,
        at,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, (row.terms.0, row.archived_at))).collect())
}
