//! API tokens: made, listed and archived by the command line, never over the API.

use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use subtle::ConstantTimeEq;

use super::audit::{OwnChange, append_operators};
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

/// A token to be made.
pub struct NewToken {
    pub environment_id: EnvironmentId,
    pub name: String,
    pub role: Role,
    /// The only operations that it may be used for (see [`super::endpoint`]); unset: all.
    pub endpoints: Option<Vec<String>>,
    /// The only networks that it may be used from, as CIDR; unset: all.
    pub networks: Option<Vec<String>>,
    /// From when on it is out of use.
    pub expires_at: Option<Instant>,
}

impl NewToken {
    /// A token without restrictions.
    #[must_use]
    pub fn new(environment_id: EnvironmentId, name: &str, role: Role) -> Self {
        Self {
            environment_id,
            name: name.to_owned(),
            role,
            endpoints: None,
            networks: None,
            expires_at: None,
        }
    }
}

/// A token as it is listed.
pub struct TokenRow {
    pub id: TokenId,
    pub environment_id: EnvironmentId,
    pub environment_kind: String,
    pub name: String,
    pub role: Role,
    pub secret_prefix: String,
    pub endpoints: Option<Vec<String>>,
    pub networks: Option<Vec<String>>,
    pub expires_at: Option<Instant>,
    pub created_at: Instant,
    pub archived_at: Option<Instant>,
}

/// SHA-256 of a secret; what is stored and looked up.
pub fn secret_hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// Compares digests of secrets in the same time wherever they differ. (The lookup before it goes by the digest,
/// whose first bytes say nothing about a secret of 32 random ones.)
pub fn is_same_secret(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// 32 bytes of the operating system's randomness as hex: a secret must not be reproducible, so this randomness
/// is not an argument.
fn new_secret() -> String {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    hex(&bytes)
}

/// Makes a token with a new secret. Answers its id and the secret.
pub async fn create(
    db: &mut PgConnection,
    ids: &Ids,
    token: &NewToken,
    now: Instant,
) -> Result<(TokenId, String), sqlx::Error> {
    let id: TokenId = ids.next();
    let secret = new_secret();
    let prefix: String = secret.chars().take(PREFIX_LENGTH).collect();
    insert(db, id, token, &secret, &prefix, now).await?;
    Ok((id, secret))
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
    let token = NewToken::new(environment_id, "bootstrap", Role::Admin);
    let id = ids.next();
    if insert(db, id, &token, secret, "", now).await? {
        let change = token_change("UPBEAT_BOOTSTRAP_TOKEN", id, "create", &token.name);
        append_operators(db, ids, environment_id, now, change).await?;
    }
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

/// What the audit log says of a token that was made (`create`) or archived (`archive`).
#[must_use]
pub fn token_change<'a>(actor: &'a str, id: TokenId, action: &'a str, name: &str) -> OwnChange<'a> {
    let description =
        format!("{} the API token {name}", if action == "create" { "Created" } else { "Archived" });
    OwnChange { actor, resource_type: "api_token", resource_id: id.0, action, description }
}

/// False where the secret is taken.
async fn insert(
    db: &mut PgConnection,
    id: TokenId,
    token: &NewToken,
    secret: &str,
    prefix: &str,
    now: Instant,
) -> Result<bool, sqlx::Error> {
    let result = sqlx::query!(
        "INSERT INTO access_token (id, environment_id, name, role, secret_hash, secret_prefix, endpoints, networks,
                                   expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (secret_hash) DO NOTHING",
        id.0,
        token.environment_id.0,
        token.name,
        token.role.as_str(),
        secret_hash(secret),
        prefix,
        token.endpoints.as_deref(),
        token.networks.as_deref(),
        token.expires_at,
        now,
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
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
        r#"SELECT token.id AS "id: TokenId", environment.id AS "environment_id: EnvironmentId",
                  environment.kind AS environment_kind, name, role AS "role: Role", secret_prefix, endpoints,
                  networks, expires_at, created_at, archived_at
           FROM access_token token JOIN environment ON environment.id = token.environment_id
           ORDER BY created_at, token.id"#,
    )
    .fetch_all(db)
    .await
}

/// Archives a token for good. Answers its environment and its name; nothing when there is none with this id in
/// use.
pub async fn archive(
    db: &mut PgConnection,
    id: TokenId,
    now: Instant,
) -> Result<Option<(EnvironmentId, String)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"UPDATE access_token SET archived_at = $2 WHERE id = $1 AND archived_at IS NULL
           RETURNING environment_id AS "environment_id: EnvironmentId", name"#,
        id.0,
        now
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.environment_id, row.name)))
}
