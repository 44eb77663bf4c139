//! What the binary can do; `main.rs` only picks.

mod doctor;
mod migrate;
mod serve;
mod token;
mod verify;
mod work;

pub use doctor::doctor;
pub use migrate::migrate;
pub use serve::serve;
pub use token::{TokenCommand, token};
pub use verify::verify;
pub use work::work;

use std::sync::Arc;

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
    let document = serde_json::to_string_pretty(&crate::app::openapi()).expect("the document is JSON");
    println!("{document}");
}

/// A migrated database with its environments, and the state that works on it.
async fn open(storage: &Storage) -> Result<(Database, App), CommandError> {
    let database = Database::open(storage).await?;
    database.migrate().await?;
    let app = App::new(database.pool.clone(), Arc::new(SystemClock));
    ensure_environments(&mut *app.db.acquire().await?, &app.ids).await?;
    Ok((database, app))
}

/// Completes at SIGTERM or Ctrl-C.
async fn stop_signal() {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .expect("signal handlers can be installed in a new process");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
