//! What the binary can do; `main.rs` only picks.

mod doctor;
mod listen;
mod migrate;
mod options;
mod serve;
mod token;
mod verify;
mod work;

pub use doctor::doctor;
pub use migrate::migrate;
pub use options::Serve;
pub use serve::serve;
pub use token::{TokenCommand, token};
pub use verify::verify;
pub use work::work;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::access::{App, ensure_environments};
use crate::config::Storage;
use crate::postgres::{Database, DatabaseError};
use crate::time::SystemClock;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("a database statement failed")]
    Statement(#[from] sqlx::Error),
    #[error("{action}")]
    Io {
        action: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{0}")]
    Refused(String),
}

/// The OpenAPI document, for the shell.
pub fn openapi() {
    say(&serde_json::to_string_pretty(&crate::app::openapi()).expect("the document is JSON"));
}

/// Prints a line. Whoever reads no further, as `head` does, has what it wanted.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// For commands that look at data: refuses to make a private cluster where there is none, which would be the
/// wrong folder.
fn require_data(storage: &Storage) -> Result<(), CommandError> {
    let cluster = storage.data_dir.join("postgres").join("PG_VERSION");
    if storage.database_url().is_some() || cluster.exists() {
        return Ok(());
    }
    let reason = format!(
        "no data in {}; set UPBEAT_DATA_DIR or DATABASE_URL, or start `upbeat serve`, which makes it",
        storage.data_dir.display(),
    );
    Err(CommandError::Refused(reason))
}

/// Does something with a migrated database, and closes the database whatever became of it.
async fn with_database<T>(
    storage: &Storage,
    action: impl AsyncFnOnce(App) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    with_limited_database(storage, None, action).await
}

/// The same, each statement of which ends after a while.
async fn with_limited_database<T>(
    storage: &Storage,
    statement_limit: Option<Duration>,
    action: impl AsyncFnOnce(App) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let mut database = Database::open(storage).await?;
    let outcome = async {
        database.migrate().await?;
        if let Some(limit) = statement_limit {
            database.limit_statements(limit).await;
        }
        let app = App::new(database.pool.clone(), Arc::new(SystemClock));
        ensure_environments(&mut *app.db.acquire().await?, &app.ids).await?;
        action(app).await
    }
    .await;
    database.close().await?;
    outcome
}

/// SIGTERM and Ctrl-C, from now on: a signal that comes before anybody waits for it is not lost.
struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    fn listen() -> Self {
        let listen = |kind| signal(kind).expect("signal handlers can be installed in a new process");
        Self { terminate: listen(SignalKind::terminate()), interrupt: listen(SignalKind::interrupt()) }
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
