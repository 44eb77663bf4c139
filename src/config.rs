//! Settings that every command shares, from flags and environment variables. No secret has a default.

use std::path::PathBuf;

use clap::Args;

/// Where the data is.
#[derive(Clone, Args)]
pub struct Storage {
    /// The PostgreSQL to use (14 or newer). Unset: a private server under the data directory.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Holds the private PostgreSQL and the first sandbox token.
    #[arg(long, env = "UPBEAT_DATA_DIR", default_value = ".upbeat")]
    pub data_dir: PathBuf,
}

impl Storage {
    /// The database's address; an empty one is none, as in an environment file with nothing filled in.
    #[must_use]
    pub fn database_url(&self) -> Option<&str> {
        self.database_url.as_deref().filter(|url| !url.trim().is_empty())
    }
}
