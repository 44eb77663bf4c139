//! What the log needs from time to time: new slots made ahead of need, facts moved into segments, old slots dropped.

use super::compact::{make_segments, newest_loose_batch};
use super::slot;
use crate::access::{App, Environment};
use crate::postgres::begin_unhurried;

/// Does what is due of it in one environment; any number of processes may.
pub async fn upkeep(app: &App, environment: &Environment) -> Result<(), sqlx::Error> {
    let (id, now) = (environment.id, environment.now(app.clock.now()));
    rotate(app, environment).await?;
    // What comes meanwhile is for the next time: under load there would be no end.
    let newest = newest_loose_batch(&mut *app.db.acquire().await?, id).await?;
    while let Some(newest) = newest {
        let mut transaction = begin_unhurried(&app.db).await?;
        let batches = make_segments(&mut transaction, id, newest).await?;
        transaction.commit().await?;
        if batches == 0 {
            break;
        }
        // Under load this goes on for minutes, and the slot is full in two.
        rotate(app, environment).await?;
    }
    let mut transaction = begin_unhurried(&app.db).await?;
    let dropped = slot::retire(&mut transaction, id, now).await?;
    transaction.commit().await?;
    if !dropped.is_empty() {
        tracing::info!(environment_id = %id, ?dropped, "slots whose transaction ids are free again are dropped");
    }
    Ok(())
}

async fn rotate(app: &App, environment: &Environment) -> Result<(), sqlx::Error> {
    let (id, real_now) = (environment.id, app.clock.now());
    let mut transaction = begin_unhurried(&app.db).await?;
    if slot::rotate(&mut transaction, id, environment.now(real_now), real_now).await? {
        tracing::info!(environment_id = %id, "the slot of transaction ids is sealed and the next one open");
    }
    transaction.commit().await
}
