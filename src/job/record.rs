use sqlx::PgConnection;
use uuid::Uuid;

use super::DueWork;
use crate::access::audit::{self, OwnChange};
use crate::id::{EnvironmentId, deterministic};
use crate::time::shown;

/// What a step of due work has done to a resource.
pub struct Record<'a> {
    pub work: &'a DueWork,
    pub resource_type: &'a str,
    pub resource_id: Uuid,
    pub action: &'a str,
    pub description: String,
}

/// Writes the audit log's line of what due work has done; its last statement, as readers of the log wait for it.
pub async fn record(
    db: &mut PgConnection,
    work: &DueWork,
    resource_type: &str,
    resource_id: Uuid,
    action: &str,
    description: String,
) -> Result<(), sqlx::Error> {
    let record = Record { work, resource_type, resource_id, action, description };
    record_all(db, work.environment_id, vec![record]).await
}

/// [`record`] for steps that are done at one time.
pub async fn record_all(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    records: Vec<Record<'_>>,
) -> Result<(), sqlx::Error> {
    let Some(now) = records.first().map(|record| record.work.now) else { return Ok(()) };
    let line = |Record { work, resource_type, resource_id, action, description }| {
        let cause = format!("{} {}", work.kind, work.subject_id);
        let (environment, due_at, resource) =
            (environment_id.to_string(), shown(work.due_at), resource_id.to_string());
        // One step may do the same to several resources.
        let id = deterministic(
            "audit line of due work",
            &[environment.as_str(), &cause, &due_at, action, &resource],
        );
        (id, cause, OwnChange { actor: "due work", resource_type, resource_id, action, description })
    };
    audit::append_all_own(db, environment_id, now, records.into_iter().map(line).collect()).await
}
