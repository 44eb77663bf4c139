use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::{CustomFields, ManagedEntity};
use crate::error::ApiError;
use crate::id::EnvironmentId;
use crate::time::Instant;

/// The index that lets one object hold a value.
const UNIQUE_VALUE: &str = "custom_field_value_is_unique";

/// A key of a type.
pub struct KeyRow {
    pub entity: ManagedEntity,
    pub key: String,
    pub enforce_uniqueness: bool,
}

/// Puts a key on the list; false where it is on it.
pub async fn insert_key(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    key: &KeyRow,
    created_at: Instant,
) -> Result<bool, sqlx::Error> {
    let result = sqlx::query!(
        "INSERT INTO custom_field_key (environment_id, entity, key, enforce_uniqueness, created_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (environment_id, entity, key) DO NOTHING",
        environment_id.0,
        key.entity.as_str(),
        key.key,
        key.enforce_uniqueness,
        created_at,
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Takes a key from the list, with every value under it; false where it is not on it.
pub async fn remove_key(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    entity: ManagedEntity,
    key: &str,
) -> Result<bool, sqlx::Error> {
    // First the lock: whoever sets a value shares it, and no value comes after the second statement.
    sqlx::query!(
        "SELECT key FROM custom_field_key WHERE environment_id = $1 AND entity = $2 AND key = $3 FOR UPDATE",
        environment_id.0,
        entity.as_str(),
        key,
    )
    .fetch_optional(&mut *db)
    .await?;
    sqlx::query!(
        "DELETE FROM custom_field_value WHERE environment_id = $1 AND entity = $2 AND key = $3",
        environment_id.0,
        entity.as_str(),
        key,
    )
    .execute(&mut *db)
    .await?;
    let result = sqlx::query!(
        "DELETE FROM custom_field_key WHERE environment_id = $1 AND entity = $2 AND key = $3",
        environment_id.0,
        entity.as_str(),
        key,
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Keys of the types named, by type and key; of all types where none is named.
pub async fn list_keys(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    entities: Option<&[ManagedEntity]>,
    after: Option<(ManagedEntity, String)>,
    limit: usize,
) -> Result<Vec<KeyRow>, sqlx::Error> {
    let entities: Option<Vec<String>> =
        entities.map(|entities| entities.iter().map(|entity| entity.as_str().to_owned()).collect());
    let (after_entity, after_key) = after.map(|(entity, key)| (entity.as_str(), key)).unzip();
    sqlx::query_as!(
        KeyRow,
        r#"SELECT entity AS "entity: ManagedEntity", key, enforce_uniqueness FROM custom_field_key
           WHERE environment_id = $1 AND ($2::text[] IS NULL OR entity = ANY($2))
             AND ($3::text IS NULL OR (entity, key) > ($3, $4))
           ORDER BY entity, key LIMIT $5"#,
        environment_id.0,
        entities.as_deref(),
        after_entity,
        after_key,
        i64::try_from(limit).expect("limits are small"),
    )
    .fetch_all(db)
    .await
}

/// The types that have any keys.
pub async fn types_with_keys(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<BTreeSet<ManagedEntity>, sqlx::Error> {
    let types = sqlx::query_scalar!(
        r#"SELECT DISTINCT entity AS "entity: ManagedEntity" FROM custom_field_key WHERE environment_id = $1"#,
        environment_id.0,
    )
    .fetch_all(db)
    .await?;
    Ok(BTreeSet::from_iter(types))
}

/// Sets fields of an object and leaves its others.
///
/// 400 for a key that is not on the list of the type, 409 for a value that another object holds under a key
/// that enforces uniqueness.
pub async fn set(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    entity: ManagedEntity,
    entity_id: Uuid,
    fields: &CustomFields,
) -> Result<(), ApiError> {
    if fields.is_empty() {
        return Ok(());
    }
    let (keys, values): (Vec<String>, Vec<String>) = fields.clone().into_iter().unzip();
    let listed: BTreeMap<String, bool> = sqlx::query!(
        "SELECT key, enforce_uniqueness FROM custom_field_key
         WHERE environment_id = $1 AND entity = $2 AND key = ANY($3) ORDER BY key FOR KEY SHARE",
        environment_id.0,
        entity.as_str(),
        &keys,
    )
    .fetch_all(&mut *db)
    .await?
    .into_iter()
    .map(|row| (row.key, row.enforce_uniqueness))
    .collect();
    if let Some(key) = keys.iter().find(|key| !listed.contains_key(*key)) {
        let reason = format!("is not a custom field key of {}; add it first", entity.as_str());
        return Err(ApiError::field(&format!("custom_fields.{key}"), reason));
    }
    let unique: Vec<bool> = keys.iter().map(|key| listed[key]).collect();
    // In the order of the keys, so that two requests wait for one another and never deadlock.
    let set = sqlx::query!(
        "INSERT INTO custom_field_value (environment_id, entity, entity_id, key, value, is_unique)
         SELECT $1, $2, $3, key, value, is_unique
         FROM unnest($4::text[], $5::text[], $6::boolean[]) AS given (key, value, is_unique) ORDER BY key
         ON CONFLICT (environment_id, entity, entity_id, key) DO UPDATE SET value = excluded.value",
        environment_id.0,
        entity.as_str(),
        entity_id,
        &keys,
        &values,
        &unique,
    )
    .execute(db)
    .await;
    match set {
        Err(sqlx::Error::Database(error)) if error.constraint() == Some(UNIQUE_VALUE) => {
            let taken: Vec<&str> =
                listed.iter().filter(|(_, unique)| **unique).map(|(key, _)| key.as_str()).collect();
            let (what, keys) = (entity.as_str(), taken.join(", "));
            Err(ApiError::Conflict(format!(
                "custom_fields: another {what} holds this value, and values must be unique ({keys})"
            )))
        }
        outcome => Ok(outcome.map(|_| ())?),
    }
}

/// Gives an object the fields of another one of its type, but for those whose values must be unique.
pub async fn copy(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    entity: ManagedEntity,
    from: Uuid,
    to: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO custom_field_value (environment_id, entity, entity_id, key, value, is_unique)
         SELECT environment_id, entity, $4, key, value, is_unique FROM custom_field_value
         WHERE environment_id = $1 AND entity = $2 AND entity_id = $3 AND NOT is_unique ORDER BY key
         ON CONFLICT (environment_id, entity, entity_id, key) DO NOTHING",
        environment_id.0,
        entity.as_str(),
        from,
        to,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes fields of an object; keys that it does not carry change nothing.
pub async fn delete(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    entity: ManagedEntity,
    entity_id: Uuid,
    keys: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM custom_field_value
         WHERE environment_id = $1 AND entity = $2 AND entity_id = $3 AND key = ANY($4)",
        environment_id.0,
        entity.as_str(),
        entity_id,
        keys,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The fields of each object that has any.
pub async fn of_many(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    entity: ManagedEntity,
    ids: &[Uuid],
) -> Result<BTreeMap<Uuid, CustomFields>, sqlx::Error> {
    let objects = ids.iter().map(|id| (entity, *id)).collect();
    let fields = of_all(db, environment_id, objects).await?;
    Ok(fields.into_iter().map(|((_, id), fields)| (id, fields)).collect())
}

/// The fields of each object that has any, of objects of several kinds.
pub async fn of_all(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    objects: BTreeSet<(ManagedEntity, Uuid)>,
) -> Result<BTreeMap<(ManagedEntity, Uuid), CustomFields>, sqlx::Error> {
    let mut fields: BTreeMap<(ManagedEntity, Uuid), CustomFields> = BTreeMap::new();
    if objects.is_empty() {
        return Ok(fields);
    }
    let entities: Vec<String> = objects.iter().map(|(entity, _)| entity.as_str().to_owned()).collect();
    let ids: Vec<Uuid> = objects.iter().map(|(_, id)| *id).collect();
    let rows = sqlx::query!(
        r#"SELECT entity AS "entity!: ManagedEntity", entity_id AS "entity_id!", key, value
           FROM unnest($2::text[], $3::uuid[]) AS given (entity, entity_id)
           CROSS JOIN LATERAL (
               SELECT key, value FROM custom_field_value held
               WHERE held.environment_id = $1 AND held.entity = given.entity AND held.entity_id = given.entity_id
               OFFSET 0
           ) AS held"#,
        environment_id.0,
        &entities,
        &ids,
    )
    .fetch_all(db)
    .await?;
    for row in rows {
        fields.entry((row.entity, row.entity_id)).or_default().insert(row.key, row.value);
    }
    Ok(fields)
}
