use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::ApiError;
use crate::id::EnvironmentId;
use crate::wire::UniquenessKey;

/// Uses a key up for one kind of object, in the transaction that creates the object. A key that was used before
/// is 409, for ever: archiving the object does not free it (schema `UniquenessKey`).
pub async fn reserve_uniqueness_key(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    resource: &str,
    key: &UniquenessKey,
    resource_id: Uuid,
) -> Result<(), ApiError> {
    let result = sqlx::query!(
        "INSERT INTO uniqueness_key (environment_id, resource, key, resource_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT ON CONSTRAINT uniqueness_key_pkey DO NOTHING",
        environment_id.0,
        resource,
        key.0,
        resource_id,
    )
    .execute(db)
    .await?;
    if result.rows_affected() == 1 {
        Ok(())
    } else {
        Err(ApiError::Conflict("This uniqueness key has already been used.".to_owned()))
    }
}
