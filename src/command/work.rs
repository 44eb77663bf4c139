//! `upbeat worker`

use tokio::sync::watch;

use super::{CommandError, open, stop_signal};
use crate::config::Storage;
use crate::telemetry::start_logging;
use crate::worker;

/// Does due work until SIGTERM, beside servers that run elsewhere.
pub async fn work(storage: Storage) -> Result<(), CommandError> {
    start_logging();
    let (database, app) = open(&storage).await?;
    let (stop, stopped) = watch::channel(false);
    let worker = tokio::spawn(worker::run(app, stopped));
    tracing::info!("working");
    stop_signal().await;
    stop.send_replace(true);
    let _ = worker.await;
    database.close().await?;
    Ok(())
}
