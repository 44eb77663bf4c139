//! `POST /sandbox/clock`

use aide::transform::TransformOperation;
use axum::extract::State;
use chrono::Datelike;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgConnection;

use super::{SandboxClock, require_sandbox};
use crate::access::{self, App, Writer};
use crate::error::ApiError;
use crate::id::EnvironmentId;
use crate::time::Instant;
use crate::wire::{Data, Json, Timestamp};
use crate::worker;

/// The last year that a clock may show, so that dates counted from it still have four digits.
const YEAR_MAX: i32 = 9000;

/// One of the two.
#[derive(Deserialize, JsonSchema)]
pub struct SetClock {
    /// Freezes the clock there.
    now: Option<Timestamp>,
    /// True returns to the real clock.
    live: Option<bool>,
}

pub async fn handler(
    State(app): State<App>,
    caller: Writer,
    Json(request): Json<SetClock>,
) -> Result<axum::Json<Data<SandboxClock>>, ApiError> {
    require_sandbox(&caller)?;
    let (target, frozen) = match (request.now, request.live) {
        (Some(now), None | Some(false)) => (now.0, true),
        (None, Some(true)) => (app.clock.now(), false),
        _ => return Err(ApiError::field("now", "give either `now` or `live: true`")),
    };
    if target.year() > YEAR_MAX {
        return Err(ApiError::field("now", format!("must not be after the year {YEAR_MAX}")));
    }
    let environment_id = caller.environment_id();
    check_direction(&app, environment_id, target).await?;
    worker::run_until(&app, environment_id, target).await?;
    stop_at(&app, environment_id, target, frozen).await?;
    Ok(axum::Json(Data { data: SandboxClock { now: target, frozen } }))
}

/// Sets the clock, unless another move took it further in the meantime.
async fn stop_at(
    app: &App,
    environment_id: EnvironmentId,
    target: Instant,
    frozen: bool,
) -> Result<(), ApiError> {
    let mut transaction = app.db.begin().await?;
    refuse_backwards(app, &mut transaction, environment_id, target).await?;
    access::set_clock(&mut transaction, environment_id, Some(target).filter(|_| frozen)).await?;
    transaction.commit().await?;
    app.work_ready.notify_one();
    Ok(())
}

async fn check_direction(app: &App, environment_id: EnvironmentId, target: Instant) -> Result<(), ApiError> {
    let mut transaction = app.db.begin().await?;
    refuse_backwards(app, &mut transaction, environment_id, target).await?;
    transaction.commit().await?;
    Ok(())
}

async fn refuse_backwards(
    app: &App,
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    target: Instant,
) -> Result<(), ApiError> {
    let environment = access::lock_environment(db, environment_id).await?;
    let now = environment.now(app.clock.now());
    // The real clock runs on between two looks; a move to "now" as read a moment ago is not a move back.
    let is_backwards =
        target < now && !(environment.frozen_at.is_none() && now - target < chrono::TimeDelta::seconds(1));
    if is_backwards && holds_anything_billable(db, environment_id).await? {
        let reason = format!(
            "the clock stands at {now} and goes forward only, once there is a customer, metric or event"
        );
        return Err(ApiError::field("now", reason));
    }
    Ok(())
}

async fn holds_anything_billable(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM customer WHERE environment_id = $1)
               OR EXISTS (SELECT FROM billable_metric WHERE environment_id = $1)
               OR EXISTS (SELECT FROM subject WHERE environment_id = $1) AS "any!""#,
        environment_id.0,
    )
    .fetch_one(db)
    .await
}

pub fn doc(operation: TransformOperation) -> TransformOperation {
    operation.id("setSandboxClock").tag("Sandbox").summary("Move the sandbox clock").description(
        "Everything that is due on the way happens, in order, before the answer. Forward only, except in an \
         environment without any customer, metric or event. 403 for a token of the production environment.",
    )
}
