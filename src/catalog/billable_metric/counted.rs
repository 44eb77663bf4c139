//! How an environment counts usage.

use std::sync::{Arc, LazyLock};

use sqlx::PgConnection;

use super::store::{BillableMetricRow, Reflow, all_metrics, reflows};
use crate::catalog::version::CatalogVersion;
use crate::id::EnvironmentId;
use crate::memo::Memo;

/// Metrics that are remembered, of all environments together.
const METRICS_MAX: u64 = 20_000;

static KNOWN: LazyLock<Memo<CatalogVersion, CountedMetrics>> = LazyLock::new(|| Memo::new(METRICS_MAX, 20));

/// The streaming metrics of an environment, each with whether a product uses it in any of its states, and which earlier events
/// they count.
#[derive(Debug)]
pub struct CountedMetrics {
    pub metrics: Vec<(BillableMetricRow, bool)>,
    pub reflows: Vec<Reflow>,
}

impl CountedMetrics {
    pub async fn load(db: &mut PgConnection, environment_id: EnvironmentId) -> Result<Self, sqlx::Error> {
        let metrics = all_metrics(db, environment_id).await?;
        let reflows = reflows(db, environment_id).await?;
        Ok(Self { metrics, reflows })
    }

    /// Those of a state of the catalog, which the transaction sees.
    pub async fn of(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        version: Option<CatalogVersion>,
    ) -> Result<Arc<Self>, sqlx::Error> {
        KNOWN.find_or(version, |known| known.metrics.len(), Self::load(db, environment_id)).await
    }
}
