//! Probes and metrics, without authentication.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::time::timeout;

use crate::access::{App, list_environments};
use crate::error::ApiError;
use crate::job;
use crate::postgres::{MIGRATIONS, applied_migrations};
use crate::telemetry::causes;

/// How long a probe waits for the database.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// 200 as long as the process serves.
pub async fn healthz() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

/// 200 only when the database answers and is migrated, else 503.
pub async fn readyz(State(app): State<App>) -> Response {
    let is_migrated =
        |applied: &BTreeSet<i64>| MIGRATIONS.iter().all(|migration| applied.contains(&migration.version));
    match timeout(READY_TIMEOUT, applied_migrations(&app.db)).await {
        Ok(Ok(applied)) if is_migrated(&applied) => Json(json!({ "status": "ready" })).into_response(),
        Ok(Ok(_)) => not_ready("the database is not migrated"),
        Ok(Err(_)) | Err(_) => not_ready("the database does not answer"),
    }
}

fn not_ready(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "message": reason }))).into_response()
}

/// Prometheus text.
pub async fn metrics(State(app): State<App>, handle: Option<PrometheusHandle>) -> Result<String, ApiError> {
    if let Err(error) = count_failed_work(&app).await {
        // What the process counted itself is still worth having.
        tracing::warn!(cause = causes(&error), "failed due work cannot be counted");
    }
    let handle = handle.ok_or_else(|| ApiError::internal("metrics", "no recorder is installed"))?;
    handle.run_upkeep();
    Ok(handle.render())
}

async fn count_failed_work(app: &App) -> Result<(), sqlx::Error> {
    let mut db = app.db.acquire().await?;
    for environment in list_environments(&mut db).await? {
        let failed = job::count_failed(&mut db, environment.id).await?;
        let label = [("environment", environment.kind.as_str())];
        metrics::gauge!("upbeat_due_work_failed", &label).set(gauge_value(failed));
    }
    Ok(())
}

/// A count as a gauge takes it; counts of failed work stay far below the exact integers of a float.
fn gauge_value(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
