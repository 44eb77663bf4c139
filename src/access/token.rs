//! API tokens: made, listed and archived by the command line, never over the API.

use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::casing::wire_enum;
use crate::id::{EnvironmentId, Ids, TokenId, hex};
use crate::time::Instant;

wire_enum! {
    /// What a token may do; chosen when it is made, never changed (documentation page on role-based access).
    pub enum Role {
        /// Everything.
        Admin = "admin",
        /// Everything over the API.
        Writer = "writer",
        /// Reading only, also through POST operations that only read.
        Reader = "reader",
    }
}

/// Characters of the secret that are kept in the clear, to tell tokens apart.
const PREFIX_LENGTH: usize = 6;

/// A token as it is listed.
pub struct TokenRow {
    pub id: TokenId,
    pub environment_kind: String,
    pub name: String,
    pub role: Role,
    pub secret_prefix: String,
    pub created_at: Instant,
    pub archived_at: Option<Instant>,
}

/// SHA-256 of a secret; what is stored and looked up.
pub fn secret_hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// 32 bytes of the operating system's randomness as hex: a secret must not be reproducible, so this randomness
/// is not an argument.
fn new_secret() -> String {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    hex(&bytes)
}

/// Makes a token with a new secret.
pub async fn create(
    db: &mut PgConnection,
    ids: &Ids,
    environment_id: EnvironmentId,
    name: &str,
    role: Role,
    now: Instant,
) -> Result<String, sqlx::Error> {
    let secret = new_secret();
    let prefix: String = secret.chars().take(PREFIX_LENGTH).collect();
    insert(db, ids.next(), environment_id, name, role, &secret, &prefix, now).await?;
    Ok(secret)
}

/// Makes sure that an admin token of the environment with this given secret is in use; false where the secret
/// already belongs to another token, or to one that was archived. Idempotent.
pub async fn bootstrap(
    db: &mut PgConnection,
    ids: &Ids,
    environment_id: EnvironmentId,
    secret: &str,
    now: Instant,
) -> Result<bool, sqlx::Error> {
    // No part of a secret that somebody chose is shown.
    insert(db, ids.next(), environment_id, "bootstrap", Role::Admin, secret, "", now).await?;
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM access_token WHERE secret_hash = $1 AND environment_id = $2 AND role = $3
                          AND archived_at IS NULL) AS "in_use!""#,
        secret_hash(secret),
        environment_id.0,
        Role::Admin.as_str(),
    )
    .fetch_one(db)
    .await
}

#[expect(clippy::too_many_arguments, reason = "one for each column")]
async fn insert(
    db: &mut PgConnection,
    id: Uuid,
    environment_id: EnvironmentId,
    name: &str,
    role: Role,
    secret: &str,
    prefix: &str,
    now: Instant,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO access_token (id, environment_id, name, role, secret_hash, secret_prefix, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (secret_hash) DO NOTHING",
        id,
        environment_id.0,
        name,
        role.as_str(),
        secret_hash(secret),
        prefix,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many tokens of an environment are in use.
pub async fn count(db: &mut PgConnection, environment_id: EnvironmentId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM access_token WHERE environment_id = $1 AND archived_at IS NULL"#,
        environment_id.0,
    )
    .fetch_one(db)
    .await
}

/// Every token of every environment, archived ones included, oldest first.
pub async fn list(db: &mut PgConnection) -> Result<Vec<TokenRow>, sqlx::Error> {
    sqlx::query_as!(
        TokenRow,
        r#"SELECT token.id AS "id: TokenId", environment.kind AS environment_kind, name, role AS "role: Role",
                  secret_prefix, created_at, archived_at
           FROM access_token token JOIN environment ON environment.id = token.environment_id
           ORDER BY created_at, token.id"#,
    )
    .fetch_all(db)
    .await
}

/// Archives a token for good; false when there is none with this id in use.
pub async fn archive(db: &mut PgConnection, id: Uuid, now: Instant) -> Result<bool, sqlx::Error> {
    let result = sqlx::query!(
        "UPDATE access_token SET archived_at = $2 WHERE id = $1 AND archived_at IS NULL",
        id,
        now
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}
