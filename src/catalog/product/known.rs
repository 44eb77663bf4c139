//! Products, looked up once for each state of the catalog.

use std::sync::{Arc, LazyLock};

use sqlx::PgConnection;
use uuid::Uuid;

use super::store::{ProductRow, find_many};
use crate::catalog::version::CatalogVersion;
use crate::id::EnvironmentId;
use crate::memo::Memo;

/// Products that are remembered, with their updates: some megabytes.
const PRODUCTS_MAX: u64 = 10_000;

/// Of a state of the catalog those with these ids.
type Name = (CatalogVersion, Vec<Uuid>);

static KNOWN: LazyLock<Memo<Name, Vec<ProductRow>>> = LazyLock::new(|| Memo::new(PRODUCTS_MAX, 2));

/// [`find_many`] in a state of the catalog, which the transaction sees; in none that has a name they are loaded.
pub async fn find_known(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: Vec<Uuid>,
    version: Option<CatalogVersion>,
) -> Result<Arc<Vec<ProductRow>>, sqlx::Error> {
    let load = find_many(db, environment_id, &ids);
    let weigh = |products: &Vec<ProductRow>| products.iter().map(|product| 1 + product.updates.len()).sum();
    KNOWN.find_or(version.map(|version| (version, ids.clone())), weigh, load).await
}
