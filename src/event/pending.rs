//! Batches whose usage is not counted yet.

use sqlx::PgConnection;

use super::codec::Facts;
use crate::id::EnvironmentId;

/// Batches and events that are counted at once.
const BATCHES_AT_ONCE: i64 = 5000;
const EVENTS_AT_ONCE: i64 = 200_000;

/// A batch whose usage is to be counted.
pub struct PendingUsage {
    codec: i16,
    payload: Vec<u8>,
}

impl PendingUsage {
    pub fn facts(&self) -> Result<Facts, sqlx::Error> {
        Facts::unpack(self.codec, &self.payload).map_err(|error| sqlx::Error::Decode(error.into()))
    }
}

/// Takes the oldest batches whose usage is pending; none when none is. If the transaction does not commit, they are
/// pending again. Batches that another transaction took are waited for.
pub async fn take_pending_usage(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Vec<PendingUsage>, sqlx::Error> {
    let taken = sqlx::query!(
        "SELECT batch_id, slot FROM rollup_pending WHERE environment_id = $1 ORDER BY batch_id LIMIT $2 FOR UPDATE",
        environment_id.0,
        BATCHES_AT_ONCE,
    )
    .fetch_all(&mut *db)
    .await?;
    let (batches, slots): (Vec<i64>, Vec<i32>) =
        taken.into_iter().map(|row| (row.batch_id, row.slot)).unzip();
    if batches.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as!(
        PendingUsage,
        r#"WITH next AS (
               SELECT batch.batch_id, codec, payload,
                      sum(event_count) OVER (ORDER BY batch.batch_id) - event_count AS events_before
               FROM unnest($2::bigint[], $3::int[]) AS given (batch_id, slot)
               JOIN event_batch batch ON batch.slot = given.slot AND batch.batch_id = given.batch_id
                    AND batch.environment_id = $1
           ), gone AS (
               DELETE FROM rollup_pending USING next
               WHERE rollup_pending.environment_id = $1 AND rollup_pending.batch_id = next.batch_id
                 AND events_before < $4
           )
           SELECT codec, payload FROM next WHERE events_before < $4"#,
        environment_id.0,
        &batches,
        &slots,
        EVENTS_AT_ONCE,
    )
    .fetch_all(db)
    .await
}

/// The batches whose usage is pending.
pub async fn pending_batches(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!("SELECT batch_id FROM rollup_pending WHERE environment_id = $1", environment_id.0)
        .fetch_all(db)
        .await
}

/// Those of the batches whose usage is still pending.
pub async fn still_pending(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    batch_ids: &[i64],
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT batch_id FROM rollup_pending WHERE environment_id = $1 AND batch_id = ANY($2)",
        environment_id.0,
        batch_ids,
    )
    .fetch_all(db)
    .await
}
