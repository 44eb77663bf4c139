use sqlx::PgConnection;
use uuid::Uuid;

use super::{Environment, EnvironmentKind};
use crate::id::{EnvironmentId, Ids};
use crate::time::Instant;

/// Makes the sandbox and the production environment exist. Idempotent.
pub async fn ensure_environments(db: &mut PgConnection, ids: &Ids) -> Result<(), sqlx::Error> {
    for kind in EnvironmentKind::ALL {
        let id: Uuid = ids.next();
        sqlx::query!(
            "INSERT INTO environment (id, kind) VALUES ($1, $2) ON CONFLICT (kind) DO NOTHING",
            id,
            kind.as_str(),
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

pub async fn find_environment(
    db: &mut PgConnection,
    kind: EnvironmentKind,
) -> Result<Environment, sqlx::Error> {
    sqlx::query_as!(
        Environment,
        r#"SELECT id AS "id: EnvironmentId", kind AS "kind: EnvironmentKind", frozen_at FROM environment WHERE kind = $1"#,
        kind.as_str(),
    )
    .fetch_one(db)
    .await
}

pub async fn list_environments(db: &mut PgConnection) -> Result<Vec<Environment>, sqlx::Error> {
    sqlx::query_as!(
        Environment,
        r#"SELECT id AS "id: EnvironmentId", kind AS "kind: EnvironmentKind", frozen_at FROM environment ORDER BY kind"#,
    )
    .fetch_all(db)
    .await
}

/// The environment's time as the transaction sees it.
pub async fn environment_now(
    db: &mut PgConnection,
    id: EnvironmentId,
    real_now: Instant,
) -> Result<Instant, sqlx::Error> {
    let frozen_at =
        sqlx::query_scalar!("SELECT frozen_at FROM environment WHERE id = $1", id.0).fetch_one(db).await?;
    Ok(frozen_at.unwrap_or(real_now))
}

/// The environment, locked against other clock moves until the transaction ends.
pub async fn lock_environment(db: &mut PgConnection, id: EnvironmentId) -> Result<Environment, sqlx::Error> {
    sqlx::query_as!(
        Environment,
        r#"SELECT id AS "id: EnvironmentId", kind AS "kind: EnvironmentKind", frozen_at
           FROM environment WHERE id = $1 FOR NO KEY UPDATE"#,
        id.0,
    )
    .fetch_one(db)
    .await
}

/// Freezes the environment's clock, or lets it run again.
pub async fn set_clock(
    db: &mut PgConnection,
    id: EnvironmentId,
    frozen_at: Option<Instant>,
) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE environment SET frozen_at = $2 WHERE id = $1", id.0, frozen_at).execute(db).await?;
    Ok(())
}
