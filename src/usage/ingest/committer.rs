//! The tasks that commit what waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::super::settle::roll;
use super::flush::{FlushError, Flusher, Kept};
use super::queue::{COMMITTERS, Queue, Waiting};
use crate::access::{App, list_environments};
use crate::error::ApiError;
use crate::event::slot::SealedSlot;
use crate::event::{RecentBatches, Screens};
use crate::id::EnvironmentId;
use crate::telemetry::causes;

/// How often this process looks for sealed slots that it has no filter of.
const SCREENS_EVERY: Duration = Duration::from_secs(30);

/// What the requests of this process share about events: the way in for them (those that come at the same time are
/// committed together, and each is answered after the commit), the batches that came last, and the filters of older ids.
#[derive(Clone)]
pub struct Metering {
    queue: Queue,
    recent: RecentBatches,
    screens: Screens,
}

impl Metering {
    /// Starts the tasks that commit and count; they end with the runtime.
    #[must_use]
    pub fn start(app: &App) -> Self {
        let (queue, recent) = (Queue::new(), RecentBatches::default());
        let screens = Screens::default();
        let uncounted = Arc::new(Notify::new());
        let flusher = Arc::new(Flusher::new(app.clone(), screens.clone(), recent.clone()));
        for _ in 0..COMMITTERS {
            tokio::spawn(commit(queue.clone(), flusher.clone(), uncounted.clone()));
        }
        tokio::spawn(roll(app.clone(), recent.clone(), uncounted));
        tokio::spawn(keep_screens(app.clone(), screens.clone(), queue.clone()));
        Self { queue, recent, screens }
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    #[must_use]
    pub fn recent(&self) -> &RecentBatches {
        &self.recent
    }

    /// The filters of sealed slots.
    #[must_use]
    pub fn screens(&self) -> &Screens {
        &self.screens
    }
}

/// Builds the filters of sealed slots as they come.
async fn keep_screens(app: App, screens: Screens, queue: Queue) {
    while !app.db.is_closed() {
        if let Err(error) = build_screens(&app, &screens, &queue).await
            && !app.db.is_closed()
        {
            tracing::warn!(cause = causes(&error), "sealed slots are asked without filters");
        }
        tokio::time::sleep(SCREENS_EVERY).await;
    }
}

/// Builds the filters that are missing, the newest slot's first, as repeats come soon.
async fn build_screens(app: &App, screens: &Screens, queue: &Queue) -> Result<(), sqlx::Error> {
    let mut db = app.reserved_db.acquire().await?;
    let environments: Vec<_> = list_environments(&mut db).await?.into_iter().map(|known| known.id).collect();
    let mut missing = screens.missing(&mut db, &environments).await?;
    drop(db);
    missing.sort_unstable_by_key(|(_, slot)| slot.sealed_at);
    // One that cannot be built is no reason to leave the others.
    let mut failed = Ok(());
    let mut unbuilt = missing.len();
    loop {
        queue.suit_unscreened(unbuilt);
        metrics::gauge!("upbeat_sealed_slots_without_filter").set(u32::try_from(unbuilt).unwrap_or(u32::MAX));
        let Some((environment_id, slot)) = missing.pop() else { return failed };
        match build_screen(app, screens, environment_id, slot).await {
            Ok(()) => unbuilt -= 1,
            Err(error) => failed = Err(error),
        }
    }
}

async fn build_screen(
    app: &App,
    screens: &Screens,
    environment_id: EnvironmentId,
    slot: SealedSlot,
) -> Result<(), sqlx::Error> {
    let mut db = app.reserved_db.acquire().await?;
    let built = screens.build(&mut db, environment_id, slot).await;
    if built.is_err() {
        // After a COPY that failed the driver does not know what is still to be read.
        db.close_on_drop();
    }
    built
}

async fn commit(queue: Queue, flusher: Arc<Flusher>, uncounted: Arc<Notify>) {
    loop {
        let mut batch = queue.next_flush().await;
        let flusher = flusher.clone();
        // In a task of its own: a panic loses one flush, whose senders are told, and not the committer.
        let flush = tokio::spawn(async move {
            let outcome = flusher.flush(&batch.requests).await;
            answer(std::mem::take(&mut batch.requests), outcome);
        });
        // Whoever was to be answered is told by the loss of the task.
        let _ = flush.await;
        uncounted.notify_one();
    }
}

fn answer(requests: Vec<Waiting>, outcome: Result<Kept, FlushError>) {
    match outcome {
        Ok(kept) => {
            metrics::counter!("upbeat_events_accepted_total").increment(kept.events as u64);
            metrics::counter!("upbeat_events_repeated_total").increment(kept.repeats as u64);
            for request in requests {
                // Who gave up waiting sends the events again, and they are repeats.
                let _ = request.answer.send(Ok(()));
            }
        }
        Err(FlushError::ClockMoved) => {
            for request in requests {
                let _ = request.answer.send(Err(ApiError::ClockMoved));
            }
        }
        Err(FlushError::Database(error)) => {
            let error = Arc::new(error);
            for request in requests {
                let _ = request.answer.send(Err(error.clone().into()));
            }
        }
    }
}
