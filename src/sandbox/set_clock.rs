//! `POST /sandbox/clock`

use aide::transform::TransformOperation;
use axum::extract::State;
use chrono::{Datelike, TimeDelta};
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::{Executor, PgConnection};

use super::{SandboxClock, require_sandbox};
use crate::access::{self, App, Record, Writer};
use crate::error::ApiError;
use crate::id::EnvironmentId;
use crate::job;
use crate::time::{Instant, shown};
use crate::wire::{Data, Json, Timestamp};
use crate::worker;

/// The last year that a clock may show, so that dates counted from it still have four digits.
const YEAR_MAX: i32 = 9000;

/// The furthest that one call moves a clock with anything on it: every statement on the way is finalized
/// meanwhile.
const MOVE_MAX: TimeDelta = TimeDelta::days(3653);

/// One of the two.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
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
    check_move(&app, environment_id, target).await?;
    // A clock that is moved far has much work to do.
    caller.lift_time_limit();
    loop {
        worker::run_until(&app, environment_id, target).await?;
        if let Some(answer) = stop_at(&app, &caller, target, frozen).await? {
            return Ok(answer);
        }
    }
}

/// Sets the clock; nothing where more work became due on the way. 400 where another move took it further in the
/// meantime. A clock that ran on while the work was done is no such move.
async fn stop_at(
    app: &App,
    caller: &Writer,
    target: Instant,
    frozen: bool,
) -> Result<Option<axum::Json<Data<SandboxClock>>>, ApiError> {
    let environment_id = caller.environment_id();
    let mut change = caller.begin(app).await?;
    change.execute("SET LOCAL statement_timeout = 0").await?;
    let environment = access::lock_environment(&mut change, environment_id).await?;
    if let Some(now) = environment.frozen_at.filter(|now| *now > target)
        && holds_anything_billable(&mut change, environment_id).await?
    {
        return Err(backwards(now));
    }
    if job::is_any_due(&mut change, environment_id, target, app.clock.now()).await? {
        change.abandon().await?;
        return Ok(None);
    }
    access::set_clock(&mut change, environment_id, Some(target).filter(|_| frozen)).await?;
    let description =
        if frozen { format!("Froze the clock at {}", shown(target)) } else { "Let the clock run".to_owned() };
    let clock = SandboxClock { now: target, frozen };
    let record = Record::new(environment_id.0, description);
    let answer = change.commit(record, axum::Json(Data { data: clock })).await?;
    app.work_ready.notify_one();
    Ok(Some(answer))
}

/// 400 for a move back, or very far ahead, in an environment with anything billable.
async fn check_move(app: &App, environment_id: EnvironmentId, target: Instant) -> Result<(), ApiError> {
    let mut transaction = app.db.begin().await?;
    let environment = access::lock_environment(&mut transaction, environment_id).await?;
    let now = environment.now(app.clock.now());
    // The real clock runs on between two looks; a move to "now" as read a moment ago is not a move back.
    let is_live = environment.frozen_at.is_none();
    let is_backwards = target < now && !(is_live && now - target < TimeDelta::seconds(1));
    if !is_backwards && target - now <= MOVE_MAX
        || !holds_anything_billable(&mut transaction, environment_id).await?
    {
        return Ok(());
    }
    Err(if is_backwards {
        backwards(now)
    } else {
        let now = shown(now);
        ApiError::field(
            "now",
            format!("the clock stands at {now} and goes at most ten years ahead at once; move it in stages"),
        )
    })
}

fn backwards(now: Instant) -> ApiError {
    let now = shown(now);
    ApiError::field(
        "now",
        format!(
            "the clock stands at {now} and goes forward only, once there is a customer, metric or event; for an \
             earlier time start over with a new data directory"
        ),
    )
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
         environment without any customer, metric or event; at most ten years at once, and not beyond the year 9000. \
         403 for a token of the production environment.",
    )
}
