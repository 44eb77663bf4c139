//! Takes due work in time order and hands each kind to its domain.
//!
//! Any number of workers may run: a step is taken under a row lock, done and marked in one transaction. A step
//! that fails is put off with its reason and tried again; it holds up nothing else. Usage statements that are due at one
//! instant are finalized several at a time; where that fails, one after the other, so that only the one to blame is put
//! off.

use std::time::Duration;

use chrono::TimeDelta;
use sqlx::PgConnection;
use tokio::sync::watch;

use crate::access::{
    App, Environment, list_environments, lock_environment, set_clock, sweep_idempotency_keys,
};
use crate::contract::recurring_grant::create_recurring_balances;
use crate::error::is_transient;
use crate::event::upkeep;
use crate::id::EnvironmentId;
use crate::invoice::{finalize_scheduled_invoice, finalize_true_up, finalize_usage_statements};
use crate::job::{self, DueWork};
use crate::telemetry::causes;
use crate::time::Instant;
use crate::usage::begin_settled_snapshot;

/// Longest wait between two looks at the queue.
const POLL: Duration = Duration::from_millis(500);

/// Most usage statements that are finalized in one transaction: enough that what is the same for all costs each next to
/// nothing, and few enough that their customers are held for a moment only.
const TOGETHER: i64 = 64;

/// How many of them are finalized one at a time where one of their customers is held: by then it mostly is free again.
const FEW: usize = 4;

/// Wait before the second try of a failed step; it doubles up to [`RETRY_MAX`].
const RETRY_FIRST: TimeDelta = TimeDelta::seconds(10);
const RETRY_MAX: TimeDelta = TimeDelta::hours(1);

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("no worker knows the kind `{0}`")]
    UnknownKind(String),
    #[error("it panicked: {0}")]
    Panicked(String),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// What became of one look at the queue.
#[derive(PartialEq, Eq)]
enum Step {
    /// Something was done, or must be looked at again.
    Again,
    /// So many steps could not be done together.
    Apart(usize),
    /// Nothing is due.
    Idle,
}

/// How many steps the next look at the queue may take together.
#[derive(Default)]
struct Width {
    /// How many more are taken one at a time.
    apart: usize,
}

impl Width {
    fn next(&mut self) -> i64 {
        if self.apart == 0 {
            return TOGETHER;
        }
        self.apart -= 1;
        1
    }

    /// Whether there may be more to do.
    fn goes_on(&mut self, step: &Step) -> bool {
        if let Step::Apart(count) = step {
            self.apart = *count;
        }
        *step != Step::Idle
    }
}

/// How often what has been kept for long enough is looked for.
const SWEEP_EVERY: TimeDelta = TimeDelta::minutes(10);

/// How often the log of events is put in order.
const UPKEEP_EVERY: Duration = Duration::from_mins(1);

/// Runs until told to stop; the step at hand is finished first.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let keeping_order = tokio::spawn(keep_order(app.clone(), stop.clone()));
    let mut next_sweep = app.clock.now();
    while !*stop.borrow() {
        if app.clock.now() >= next_sweep {
            next_sweep = app.clock.now() + SWEEP_EVERY;
            if let Err(error) = sweep(&app).await {
                tracing::error!(cause = causes(&error), "old answers could not be swept");
            }
        }
        if let Err(error) = run_all(&app, &stop).await {
            tracing::error!(cause = causes(&error), "the worker cannot reach its queue");
        }
        tokio::select! {
            _ = stop.changed() => {}
            () = app.work_ready.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    } // A panic in it is logged where it happens; there is nothing to undo.
    let _ = keeping_order.await;
}

/// Forgets the answers to old requests.
async fn sweep(app: &App) -> Result<(), sqlx::Error> {
    let count = sweep_idempotency_keys(&mut *app.db.acquire().await?, app.clock.now()).await?;
    if count > 0 {
        tracing::info!(count, "answers under old idempotency keys are forgotten");
    }
    Ok(())
}

/// Puts the log of events in order, again and again; beside due work, which must not wait for it.
async fn keep_order(app: App, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        tokio::select! {
            _ = stop.changed() => return,
            () = tokio::time::sleep(UPKEEP_EVERY) => {}
        }
        if let Err(error) = upkeep_all(&app, &stop).await {
            tracing::warn!(cause = causes(&error), "the log of events is not put in order");
        }
    }
}

async fn upkeep_all(app: &App, stop: &watch::Receiver<bool>) -> Result<(), sqlx::Error> {
    let environments = list_environments(&mut *app.db.acquire().await?).await?;
    for environment in environments.iter().take_while(|_| !*stop.borrow()) {
        if let Err(error) = upkeep(app, environment).await {
            let environment_id = environment.id;
            tracing::warn!(%environment_id, cause = causes(&error), "the log of events is not put in order");
        }
    }
    Ok(())
}

/// Does everything that is due in every environment by its own clock.
async fn run_all(app: &App, stop: &watch::Receiver<bool>) -> Result<(), sqlx::Error> {
    let environments = list_environments(&mut *app.db.acquire().await?).await?;
    for environment in environments {
        let lane = |only: Option<&'static str>| {
            let environment = &environment;
            async move {
                let mut width = Width::default();
                while !*stop.borrow() {
                    let done = work_some(app, environment, width.next(), only).await?;
                    if !width.goes_on(&done) {
                        break;
                    }
                }
                Ok::<(), sqlx::Error>(())
            }
        };
        // One calculates while the other waits for PostgreSQL. The second keeps to what there is most of, of customers for whom
        // nothing is due before: what a statement bills may hang on what was granted by then, and a true-up on statements.
        tokio::try_join!(lane(None), lane(Some(job::kind::FINALIZE_USAGE_STATEMENT)))?;
    }
    Ok(())
}

/// Does everything that is due now in one environment; for tests and tools that cannot wait.
pub async fn drain(app: &App, environment: &Environment) -> Result<(), sqlx::Error> {
    let mut width = Width::default();
    loop {
        let done = work_some(app, environment, width.next(), None).await?;
        if !width.goes_on(&done) {
            return Ok(());
        }
    }
}

async fn work_some(
    app: &App,
    environment: &Environment,
    at_most: i64,
    only: Option<&str>,
) -> Result<Step, sqlx::Error> {
    let real_now = app.clock.now();
    let now = environment.now(real_now);
    if !job::is_any_due(&mut *app.db.acquire().await?, environment.id, now, real_now).await? {
        return Ok(Step::Idle);
    }
    let (mut transaction, arrival) = match begin_settled_snapshot(&app.db, environment.id).await {
        Err(error) if is_transient(&error) => {
            tracing::warn!(environment_id = %environment.id, "a request in flight holds up due work");
            return Ok(Step::Idle);
        }
        begun => begun?,
    };
    match found(job::take(&mut transaction, environment.id, now, real_now, at_most, only).await)? {
        Found::Work(works) => finish(app, transaction, works, arrival, real_now).await,
        Found::Collision => Ok(Step::Again),
        Found::Nothing => Ok(Step::Idle),
    }
}

/// Moves a sandbox's clock to `target`, doing all work that is due on the way, in order and each at its own
/// time.
///
/// Work that failed earlier is tried once more. The clock moves with each step, so a process that is killed
/// half-way leaves a clock that its invoices agree with.
pub async fn run_until(app: &App, environment_id: EnvironmentId, target: Instant) -> Result<(), sqlx::Error> {
    job::retry_now(&mut *app.db.acquire().await?, environment_id, target).await?;
    let mut width = Width::default();
    loop {
        let real_now = app.clock.now();
        let (mut transaction, arrival) = begin_settled_snapshot(&app.db, environment_id).await?;
        let environment = match lock_environment(&mut transaction, environment_id).await {
            Err(error) if is_transient(&error) => continue,
            locked => locked?,
        };
        let now = environment.now(real_now);
        let at_most = width.next();
        let taken =
            job::take_and_wait(&mut transaction, environment_id, target, real_now, now, at_most).await;
        let works = match found(taken)? {
            Found::Work(works) => works,
            Found::Collision => continue,
            Found::Nothing => return Ok(()),
        };
        let due_at = works.first().expect("some work").due_at;
        if due_at > now {
            set_clock(&mut transaction, environment_id, Some(due_at)).await?;
        }
        width.goes_on(&finish(app, transaction, works, arrival, real_now).await?);
    }
}

/// What a look at the queue found.
enum Found {
    /// At least one step, of one kind and due at one instant; several only of what is done together.
    Work(Vec<DueWork>),
    /// Another worker was faster; look again.
    Collision,
    Nothing,
}

fn found(taken: Result<Vec<DueWork>, sqlx::Error>) -> Result<Found, sqlx::Error> {
    match taken {
        Ok(works) if works.is_empty() => Ok(Found::Nothing),
        Ok(works) => Ok(Found::Work(works)),
        Err(error) if is_transient(&error) => Ok(Found::Collision),
        Err(error) => Err(error),
    }
}

/// Does the work and commits, or puts it off with the reason. A panic in it is a reason like any other.
async fn finish(
    app: &App,
    mut transaction: sqlx::Transaction<'static, sqlx::Postgres>,
    works: Vec<DueWork>,
    arrival: i64,
    real_now: Instant,
) -> Result<Step, sqlx::Error> {
    let task = {
        let works = works.clone();
        tokio::spawn(async move {
            perform(&mut transaction, &works, arrival).await?;
            transaction.commit().await.map_err(StepError::Database)
        })
    };
    let done = task.await.unwrap_or_else(|panic| Err(StepError::Panicked(panic.to_string())));
    match (done, works.as_slice()) {
        (Ok(()), _) => Ok(Step::Again),
        (Err(StepError::Database(error)), [_]) if is_transient(&error) => Ok(Step::Again),
        (Err(error), [work]) => {
            let reason = causes(&error);
            tracing::error!(kind = work.kind, subject_id = %work.subject_id, ?reason, "due work failed");
            let doubled = RETRY_FIRST * 2_i32.pow(work.attempts.clamp(0, 10).unsigned_abs());
            let retry_at = real_now + doubled.min(RETRY_MAX);
            job::put_off(&mut *app.db.acquire().await?, work, &reason, retry_at).await?;
            Ok(Step::Again)
        }
        // Somebody else holds one of the customers, or did since the snapshot was taken.
        (Err(StepError::Database(error)), _) if is_transient(&error) => Ok(Step::Apart(FEW)),
        (Err(_), together) => Ok(Step::Apart(together.len())),
    }
}

/// Every kind of due work and who does it.
async fn perform(db: &mut PgConnection, works: &[DueWork], arrival: i64) -> Result<(), StepError> {
    let work = works.first().expect("some work");
    match work.kind.as_str() {
        job::kind::CREATE_RECURRING_BALANCES => Ok(create_recurring_balances(db, work).await?),
        job::kind::FINALIZE_USAGE_STATEMENT => Ok(finalize_usage_statements(db, works, arrival).await?),
        job::kind::FINALIZE_SCHEDULED_INVOICE => Ok(finalize_scheduled_invoice(db, work).await?),
        job::kind::FINALIZE_TRUE_UP => Ok(finalize_true_up(db, work).await?),
        unknown => Err(StepError::UnknownKind(unknown.to_owned())),
    }
}
