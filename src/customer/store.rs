use std::collections::{BTreeMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::ApiError;
use crate::id::{CustomerId, EnvironmentId};
use crate::time::Instant;
use crate::wire::PageRow;

/// A customer without its aliases.
#[derive(Clone, Debug)]
pub struct CustomerRow {
    pub id: CustomerId,
    pub name: String,
    pub salesforce_account_id: Option<String>,
    pub created_at: Instant,
    pub updated_at: Instant,
    pub archived_at: Option<Instant>,
}

impl PageRow for CustomerRow {
    fn created_at(&self) -> Instant {
        self.created_at
    }

    fn id(&self) -> Uuid {
        self.id.0
    }
}

/// What a list of customers is narrowed to.
pub struct CustomerFilter {
    pub ingest_alias: Option<String>,
    /// Empty: any id.
    pub customer_ids: Vec<Uuid>,
    /// Empty: any account.
    pub salesforce_account_ids: Vec<String>,
    pub only_archived: bool,
}

pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    customer: &CustomerRow,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO customer (environment_id, id, name, salesforce_account_id, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $5)",
        environment_id.0,
        customer.id.0,
        customer.name,
        customer.salesforce_account_id,
        customer.created_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The customer, archived ones included.
pub async fn find(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
) -> Result<Option<CustomerRow>, sqlx::Error> {
    sqlx::query_as!(
        CustomerRow,
        r#"SELECT id AS "id: CustomerId", name, salesforce_account_id, created_at, updated_at, archived_at
           FROM customer WHERE environment_id = $1 AND id = $2"#,
        environment_id.0,
        id.0,
    )
    .fetch_optional(db)
    .await
}

/// The customer, archived ones included; 404 where there is none.
pub async fn get(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
) -> Result<CustomerRow, ApiError> {
    find(db, environment_id, id).await?.ok_or_else(|| ApiError::not_found("customer", id))
}

/// 404 unless every id is a customer of the environment.
pub async fn require(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<(), ApiError> {
    let found: HashSet<Uuid> = sqlx::query_scalar!(
        "SELECT id FROM customer WHERE environment_id = $1 AND id = ANY($2)",
        environment_id.0,
        ids
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .collect();
    match ids.iter().find(|id| !found.contains(*id)) {
        Some(missing) => Err(ApiError::not_found("customer", missing)),
        None => Ok(()),
    }
}

/// Locks the customer until the transaction ends; 404 where there is none.
pub async fn lock(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
) -> Result<CustomerRow, ApiError> {
    sqlx::query_as!(
        CustomerRow,
        r#"SELECT id AS "id: CustomerId", name, salesforce_account_id, created_at, updated_at, archived_at
           FROM customer WHERE environment_id = $1 AND id = $2 FOR NO KEY UPDATE"#,
        environment_id.0,
        id.0,
    )
    .fetch_optional(db)
    .await?
    .ok_or_else(|| ApiError::not_found("customer", id))
}

pub async fn list(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    filter: &CustomerFilter,
    after: Option<(Instant, Uuid)>,
    limit: usize,
) -> Result<Vec<CustomerRow>, sqlx::Error> {
    let (after_created_at, after_id) = after.unzip();
    sqlx::query_as!(
        CustomerRow,
        r#"SELECT id AS "id: CustomerId", name, salesforce_account_id, created_at, updated_at, archived_at
           FROM customer
           WHERE environment_id = $1
             AND (archived_at IS NOT NULL) = $2
             AND ($3::text IS NULL OR id IN
                  (SELECT customer_id FROM ingest_alias WHERE environment_id = $1 AND alias = $3))
             AND (cardinality($4::uuid[]) = 0 OR id = ANY($4))
             AND (cardinality($5::text[]) = 0 OR salesforce_account_id = ANY($5))
             AND ($6::timestamptz IS NULL OR (created_at, id) > ($6, $7))
           ORDER BY created_at, id LIMIT $8"#,
        environment_id.0,
        filter.only_archived,
        filter.ingest_alias,
        &filter.customer_ids,
        &filter.salesforce_account_ids,
        after_created_at,
        after_id,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await
}

pub async fn archive(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE customer SET archived_at = $3, updated_at = $3 WHERE environment_id = $1 AND id = $2",
        environment_id.0,
        id.0,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Replaces the customer's aliases. An alias that another customer holds, or that is another customer's id, is
/// 409.
pub async fn replace_aliases(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
    aliases: &[String],
    now: Instant,
) -> Result<(), ApiError> {
    refuse_ids_of_other_customers(db, environment_id, id, aliases).await?;
    // The rows that go and the rows in the way, in one order for everybody: two customers who swap aliases wait
    // for one another and never deadlock.
    sqlx::query!(
        "SELECT alias FROM ingest_alias WHERE environment_id = $1 AND (customer_id = $2 OR alias = ANY($3))
         ORDER BY alias FOR UPDATE",
        environment_id.0,
        id.0,
        aliases,
    )
    .fetch_all(&mut *db)
    .await?;
    sqlx::query!(
        "DELETE FROM ingest_alias WHERE environment_id = $1 AND customer_id = $2",
        environment_id.0,
        id.0
    )
    .execute(&mut *db)
    .await?;
    let positions: Vec<i32> = (0..).take(aliases.len()).collect();
    // In the order of the aliases themselves, so that two customers who claim several of the same cannot
    // deadlock.
    let inserted = sqlx::query_scalar!(
        "INSERT INTO ingest_alias (environment_id, alias, customer_id, position)
         SELECT $1, alias, $2, position FROM unnest($3::text[], $4::int[]) AS given (alias, position) ORDER BY alias
         ON CONFLICT ON CONSTRAINT ingest_alias_pkey DO NOTHING RETURNING alias",
        environment_id.0,
        id.0,
        aliases,
        &positions,
    )
    .fetch_all(&mut *db)
    .await?;
    if inserted.len() < aliases.len() {
        let inserted: HashSet<&String> = inserted.iter().collect();
        let taken = aliases.iter().find(|alias| !inserted.contains(alias)).expect("one was not inserted");
        return Err(ApiError::Conflict(format!("ingest_aliases: `{taken}` is held by another customer")));
    }
    sqlx::query!(
        "UPDATE customer SET updated_at = $3 WHERE environment_id = $1 AND id = $2",
        environment_id.0,
        id.0,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn refuse_ids_of_other_customers(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CustomerId,
    aliases: &[String],
) -> Result<(), ApiError> {
    let ids: Vec<Uuid> = aliases.iter().filter_map(|alias| Uuid::parse_str(alias).ok()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let other = sqlx::query_scalar!(
        "SELECT id FROM customer WHERE environment_id = $1 AND id = ANY($2) AND id <> $3 LIMIT 1",
        environment_id.0,
        &ids,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    match other {
        Some(other) => {
            Err(ApiError::Conflict(format!("ingest_aliases: `{other}` is the id of another customer")))
        }
        None => Ok(()),
    }
}

/// The aliases of each customer, in the order in which they were set.
pub async fn aliases_by_customer(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<BTreeMap<CustomerId, Vec<String>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT customer_id AS "customer_id: CustomerId", alias FROM ingest_alias
           WHERE environment_id = $1 AND customer_id = ANY($2) ORDER BY customer_id, position"#,
        environment_id.0,
        ids,
    )
    .fetch_all(db)
    .await?;
    let mut aliases: BTreeMap<CustomerId, Vec<String>> = BTreeMap::new();
    for row in rows {
        aliases.entry(row.customer_id).or_default().push(row.alias);
    }
    Ok(aliases)
}

/// The strings in events that mean each customer: its id and its aliases.
pub async fn subjects_by_customer(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<BTreeMap<CustomerId, Vec<String>>, sqlx::Error> {
    let mut subjects = aliases_by_customer(db, environment_id, ids).await?;
    for id in ids {
        let own = subjects.entry(CustomerId(*id)).or_default();
        for spelling in [id.to_string(), id.to_string().to_uppercase()] {
            if !own.contains(&spelling) {
                own.push(spelling);
            }
        }
    }
    Ok(subjects)
}
