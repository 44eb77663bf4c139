use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::ApiError;
use crate::id::{CreditTypeId, EnvironmentId};
use crate::money::CreditType;
use crate::time::Instant;

/// The index that lets one unit in use have a name.
const NAME_IS_TAKEN: &str = "credit_type_name_is_taken";

/// A custom pricing unit.
#[derive(Clone, Debug)]
pub struct CustomUnit {
    pub id: CreditTypeId,
    pub name: String,
    pub created_at: Instant,
    pub created_by: String,
    pub archived_at: Option<Instant>,
}

impl CustomUnit {
    /// As it appears inside other objects.
    #[must_use]
    pub fn credit_type(&self) -> CreditType {
        CreditType { name: self.name.clone(), id: self.id }
    }
}

/// Keeps a new unit; 400 where another unit in use has its name.
pub async fn insert(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    unit: &CustomUnit,
) -> Result<(), ApiError> {
    let inserted = sqlx::query!(
        "INSERT INTO credit_type (environment_id, id, name, created_at, created_by) VALUES ($1, $2, $3, $4, $5)",
        environment_id.0,
        unit.id.0,
        unit.name,
        unit.created_at,
        unit.created_by,
    )
    .execute(db)
    .await;
    match inserted {
        Err(sqlx::Error::Database(error)) if error.constraint() == Some(NAME_IS_TAKEN) => {
            Err(ApiError::field("name", format!("another pricing unit is called `{}`", unit.name)))
        }
        outcome => Ok(outcome.map(|_| ())?),
    }
}

/// The units with these ids, archived ones included.
pub async fn find_many(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<Vec<CustomUnit>, sqlx::Error> {
    sqlx::query_as!(
        CustomUnit,
        r#"SELECT id AS "id: CreditTypeId", name, created_at, created_by, archived_at
           FROM credit_type WHERE environment_id = $1 AND id = ANY($2)"#,
        environment_id.0,
        ids,
    )
    .fetch_all(db)
    .await
}

/// [`find_many`], and keeps them from being archived until the transaction ends.
pub async fn share_many(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
) -> Result<Vec<CustomUnit>, sqlx::Error> {
    sqlx::query_as!(
        CustomUnit,
        r#"SELECT id AS "id: CreditTypeId", name, created_at, created_by, archived_at
           FROM credit_type WHERE environment_id = $1 AND id = ANY($2) ORDER BY id FOR SHARE"#,
        environment_id.0,
        ids,
    )
    .fetch_all(db)
    .await
}

/// Locks the unit until the transaction ends; 404 where there is none.
pub async fn lock(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CreditTypeId,
) -> Result<CustomUnit, ApiError> {
    sqlx::query_as!(
        CustomUnit,
        r#"SELECT id AS "id: CreditTypeId", name, created_at, created_by, archived_at
           FROM credit_type WHERE environment_id = $1 AND id = $2 FOR NO KEY UPDATE"#,
        environment_id.0,
        id.0,
    )
    .fetch_optional(db)
    .await?
    .ok_or_else(|| ApiError::not_found("pricing unit", id))
}

/// Archives the unit; the first time counts.
pub async fn archive(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: CreditTypeId,
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE credit_type SET archived_at = coalesce(archived_at, $3) WHERE environment_id = $1 AND id = $2",
        environment_id.0,
        id.0,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Units in use, oldest first.
pub async fn list(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    after: Option<(Instant, Uuid)>,
    limit: usize,
) -> Result<Vec<CustomUnit>, sqlx::Error> {
    let (after_created_at, after_id) = after.unzip();
    sqlx::query_as!(
        CustomUnit,
        r#"SELECT id AS "id: CreditTypeId", name, created_at, created_by, archived_at
           FROM credit_type
           WHERE environment_id = $1 AND archived_at IS NULL
             AND ($2::timestamptz IS NULL OR (created_at, id) > ($2, $3))
           ORDER BY created_at, id LIMIT $4"#,
        environment_id.0,
        after_created_at,
        after_id,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await
}
