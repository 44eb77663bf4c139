//! What commits and credits were.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::store::{Added, Columns, with_units};
use super::terms::{AccessType, Balance, BalanceTerms, BalanceType};
use crate::id::{BalanceId, ContractId, CreditTypeId, CustomerId, EnvironmentId, RecurringGrantId};
use crate::time::{Instant, Period};

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

/// A balance with all that it has been.
#[derive(Debug)]
pub struct History {
    pub balance: Balance,
    /// The time that it is looked for in: that of its segments.
    pub span: Period,
    /// In the order in which they were written.
    pub versions: Vec<Version>,
}

/// One state of a balance.
#[derive(Debug)]
pub struct Version {
    pub added: Added,
    pub terms: BalanceTerms,
    pub archived_at: Option<Instant>,
}

/// The histories of all balances of a customer, archived ones too, by creation and id.
pub async fn histories(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer_id: CustomerId,
) -> Result<Vec<History>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT balance_id AS "id: BalanceId", added, terms AS "terms: Json<BalanceTerms>", archived_at
           FROM balance_version WHERE environment_id = $1 AND customer_id = $2 ORDER BY added"#,
        environment_id.0,
        customer_id.0,
    )
    .fetch_all(&mut *db)
    .await?;
    let mut versions: BTreeMap<BalanceId, Vec<Version>> = BTreeMap::new();
    for row in rows {
        let version = Version { added: row.added, terms: row.terms.0, archived_at: row.archived_at };
        versions.entry(row.id).or_default().push(version);
    }
    let spans = sqlx::query!(
        "SELECT starts_at, ends_at FROM balance WHERE environment_id = $1 AND customer_id = $2
         ORDER BY created_at, id",
        environment_id.0,
        customer_id.0,
    )
    .fetch_all(&mut *db)
    .await?;
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT customer_id AS "customer_id: CustomerId", id AS "id: BalanceId", type AS "balance_type: BalanceType",
                  contract_id AS "contract_id: ContractId", access_type AS "access_type: AccessType",
                  credit_type_id AS "credit_type_id: CreditTypeId", recurring_id AS "recurring_id: RecurringGrantId",
                  origin_id AS "origin_id: BalanceId", origin_contract_id AS "origin_contract_id: ContractId",
                  uniqueness_key, created_at, created_by, terms AS "terms: Json<BalanceTerms>", archived_at, added
           FROM balance WHERE environment_id = $1 AND customer_id = $2 ORDER BY created_at, id"#,
        environment_id.0,
        customer_id.0,
    )
    .fetch_all(&mut *db)
    .await?;
    let balances = with_units(db, environment_id, rows).await?;
    let histories = balances.into_iter().zip(spans).map(|(balance, span)| History {
        span: Period { start: span.starts_at, end: span.ends_at },
        versions: versions.remove(&balance.id).unwrap_or_default(),
        balance,
    });
    Ok(histories.collect())
}

/// Customers that have commits, credits or recurring ones, in order, after `after`; at most `limit`.
pub async fn customers_with_balances(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    after: Option<CustomerId>,
    limit: i64,
) -> Result<Vec<CustomerId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: CustomerId" FROM customer
           WHERE environment_id = $1 AND ($2::uuid IS NULL OR id > $2)
             AND (EXISTS (SELECT FROM balance WHERE environment_id = $1 AND customer_id = customer.id)
                  OR EXISTS (SELECT FROM recurring_grant WHERE environment_id = $1 AND customer_id = customer.id))
           ORDER BY id LIMIT $3"#,
        environment_id.0,
        after.map(|id| id.0),
        limit,
    )
    .fetch_all(db)
    .await
}
