//! Settings of a running server, from flags and environment variables. No secret has a default.

use std::net::SocketAddr;
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

impl Serve {
    /// The token that shall exist; an empty one is none.
    #[must_use]
    pub fn bootstrap_token(&self) -> Option<&str> {
        self.bootstrap_token.as_deref().map(str::trim).filter(|secret| !secret.is_empty())
    }
}

/// How to serve.
#[derive(Clone, Args)]
pub struct Serve {
    #[command(flatten)]
    pub storage: Storage,
    /// Address of the API.
    #[arg(long, env = "UPBEAT_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Serve the API only; run `upbeat worker` elsewhere.
    #[arg(long)]
    pub no_worker: bool,
    /// A sandbox admin token with this secret exists after start.
    #[arg(long, env = "UPBEAT_BOOTSTRAP_TOKEN", hide_env_values = true)]
    pub bootstrap_token: Option<String>,
}
