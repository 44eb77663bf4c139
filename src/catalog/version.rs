//! What a state of the catalog is called, so that what was worked out of it need not be worked out again ([`crate::memo`]).
//!
//! The database names every state: triggers of the tables that make up pricing units, metrics, products, rate cards, rates
//! and the keys of custom fields (not their values), at the commit that changes them. Aliases and usage filters are no part
//! of it.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::id::EnvironmentId;

/// A state of one environment's catalog and of no other. A snapshot that sees this name sees what it names, in whatever process
/// and at whatever time; the transaction that changes the catalog does not see the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CatalogVersion(pub Uuid);

/// The state that the transaction sees, which must be a snapshot; unset before the first change.
pub async fn seen_version(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Option<CatalogVersion>, sqlx::Error> {
    let version = sqlx::query_scalar!(
        "SELECT version FROM catalog_version WHERE environment_id = $1",
        environment_id.0
    )
    .fetch_optional(db)
    .await?;
    Ok(version.map(CatalogVersion))
}
