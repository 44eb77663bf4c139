//! Lines for what no request asked for.

use sqlx::PgConnection;
use uuid::Uuid;

use super::store::{self, Actor, Entry, Outcome};
use crate::access::{Origin, environment_now};
use crate::id::{EnvironmentId, Ids};
use crate::time::Instant;

/// A change by due work or by the operator.
pub struct OwnChange<'a> {
    /// Who it was, in words.
    pub actor: &'a str,
    pub resource_type: &'a str,
    pub resource_id: Uuid,
    pub action: &'a str,
    pub description: String,
}

/// Writes the line, in the transaction of the change. `cause` stands where other lines have the id of a request;
/// `now` is the environment's time.
pub async fn append_own(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    id: Uuid,
    cause: String,
    now: Instant,
    change: OwnChange<'_>,
) -> Result<(), sqlx::Error> {
    append_all_own(db, environment_id, now, vec![(id, cause, change)]).await
}

/// [`append_own`] for several changes, each after its id and its cause.
pub async fn append_all_own(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    now: Instant,
    changes: Vec<(Uuid, String, OwnChange<'_>)>,
) -> Result<(), sqlx::Error> {
    let origin = |(_, cause, _): &(Uuid, String, OwnChange<'_>)| Origin {
        request_id: cause.clone(),
        ..Origin::default()
    };
    let origins: Vec<Origin> = changes.iter().map(origin).collect();
    let entries = changes.into_iter().zip(&origins).map(|((id, _, change), origin)| Entry {
        id,
        recorded_at: now,
        actor: Actor { id: None, name: change.actor.to_owned() },
        origin,
        resource_type: change.resource_type,
        resource_id: Some(change.resource_id.to_string()),
        action: change.action,
        outcome: Outcome::Success,
        description: change.description,
    });
    store::append_all(db, environment_id, &entries.collect::<Vec<_>>()).await
}

/// Writes the line of what the operator did by the command line or by a setting; it is its own cause.
pub async fn append_operators(
    db: &mut PgConnection,
    ids: &Ids,
    environment_id: EnvironmentId,
    real_now: Instant,
    change: OwnChange<'_>,
) -> Result<(), sqlx::Error> {
    let id: Uuid = ids.next();
    let now = environment_now(db, environment_id, real_now).await?;
    append_own(db, environment_id, id, id.to_string(), now, change).await
}
