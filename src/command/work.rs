//! `upbeat worker`

use tokio::sync::watch;

use super::{CommandError, StopSignal, with_database};
use crate::config::Storage;
use crate::telemetry::start_logging;
use crate::worker;

/// Does due work until SIGTERM, beside servers that run elsewhere.
pub async fn work(storage: Storage) -> Result<(), CommandError> {
    let mut stop_signal = StopSignal::listen();
    start_logging();
    with_database(&storage, async |app| {
        let (stop, stopped) = watch::channel(false);
        let worker = tokio::spawn(worker::run(app, stopped));
        tracing::info!("working");
        stop_signal.received().await;
        stop.send_replace(true);
        let _ = worker.await;
        Ok(())
    })
    .await
}
