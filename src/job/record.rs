use sqlx::PgConnection;
use uuid::Uuid;

use super::DueWork;
use crate::access::audit::{self, OwnChange};
use crate::id::deterministic;
use crate::time::shown;

/// Writes the audit log's line of what due work has done; its last statement, as readers of the log wait for it.
pub async fn record(
    db: &mut PgConnection,
    work: &DueWork,
    resource_type: &str,
    resource_id: Uuid,
    action: &str,
    description: String,
) -> Result<(), sqlx::Error> {
    let cause = format!("{} {}", work.kind, work.subject_id);
    let (environment, due_at, resource) =
        (work.environment_id.to_string(), shown(work.due_at), resource_id.to_string());
    // One step may do the same to several resources.
    let parts = [environment.as_str(), &cause, &due_at, action, &resource];
    let id = deterministic("audit line of due work", &parts);
    let change = OwnChange { actor: "due work", resource_type, resource_id, action, description };
    audit::append_own(db, work.environment_id, id, cause, work.now, change).await
}
