//! Metrics, looked up once for each state of the catalog.

use std::sync::{Arc, LazyLock};

use sqlx::PgConnection;
use uuid::Uuid;

use super::store::{AnyMetricRow, MetricFilter, find_many, list};
use crate::catalog::version::CatalogVersion;
use crate::id::EnvironmentId;
use crate::memo::Memo;

/// Metrics that are remembered: some ten megabytes.
const METRICS_MAX: u64 = 20_000;

/// More metrics than there are.
const ALL: usize = 1_000_000_000;

/// Of a state of the catalog those with these ids.
type Name = (CatalogVersion, Vec<Uuid>);

static NAMED: LazyLock<Memo<Name, Vec<AnyMetricRow>>> = LazyLock::new(|| Memo::new(METRICS_MAX, 2));

static ACTIVE: LazyLock<Memo<CatalogVersion, Vec<AnyMetricRow>>> =
    LazyLock::new(|| Memo::new(METRICS_MAX, 20));

/// [`find_many`] in a state of the catalog, which the transaction sees; in none that has a name they are loaded.
pub async fn find_known(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    ids: &[Uuid],
    version: Option<CatalogVersion>,
) -> Result<Arc<Vec<AnyMetricRow>>, sqlx::Error> {
    let load = find_many(db, environment_id, ids);
    let name = version.map(|version| (version, ids.to_vec()));
    NAMED.find_or(name, |_| ids.len(), load).await
}

/// The metrics that are not archived, newest first, in a state of the catalog, which the transaction sees.
pub async fn all_active(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    version: Option<CatalogVersion>,
) -> Result<Arc<Vec<AnyMetricRow>>, sqlx::Error> {
    let filter = MetricFilter::default();
    let load = list(db, environment_id, &filter, None, ALL);
    ACTIVE.find_or(version, Vec::len, load).await
}
