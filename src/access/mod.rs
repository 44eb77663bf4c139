//! Who is calling, and for which environment.
//!
//! Owns: environments (sandbox and production) and their clocks, API tokens, the extractors [`Caller`] and
//! [`Writer`], which are the only way to a tenant's data; what surrounds every change ([`Change`]): its one
//! transaction, its line in the audit log, the answer for a repeat under an `Idempotency-Key`; keys that may be
//! used once, and limits of rate and time. Does not own: what a call does.
//!
//! Invariants: a secret is stored as its SHA-256 only and shown once; every row of a tenant is reached through
//! the environment of the caller's token, so an id of another environment looks missing; a change and its line
//! in the audit log commit together.

pub mod audit;
mod caller;
mod change;
pub mod endpoint;
mod environment;
mod idempotency;
mod lookup;
mod operation;
mod origin;
mod rate_limit;
mod settings;
mod store;
mod time_limit;
mod token;
mod uniqueness;

pub use caller::{Caller, SECURITY_SCHEME, Writer};
pub use change::{Change, Record};
pub use environment::{Environment, EnvironmentKind};
pub use idempotency::{Replayed, idempotent, sweep as sweep_idempotency_keys};
pub use operation::{WRITES, WriteOperation};
pub use origin::{Origin, Peer};
pub use rate_limit::{RateLimit, RateLimits, default_rate_limit, limit_rates};
pub use settings::Settings;
pub use store::{
    ensure_environments, environment_now, find_environment, list_environments, lock_environment, set_clock,
};
pub use time_limit::TimeLimit;
pub use token::{NewToken, Role, TokenRow, archive, bootstrap, count, create, list, token_change};
pub use uniqueness::reserve_uniqueness_key;

use std::ops::Deref;
use std::sync::Arc;

use sqlx::PgPool;

use crate::id::Ids;
use crate::postgres;
use crate::time::Clock;

/// For the flushes of events, the counting of their usage, the look for tokens, and one to spare.
const RESERVED_CONNECTIONS: u32 = 7;

/// What every handler and job is given; a clone costs nothing.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What [`App`] has.
#[derive(Clone)]
pub struct Parts {
    pub db: PgPool,
    /// For tokens and events alone, whose work is short: the way in stays open whatever else takes its time.
    pub reserved_db: PgPool,
    pub clock: Arc<dyn Clock>,
    pub ids: Ids,
    pub work_ready: Arc<tokio::sync::Notify>,
    pub settings: Arc<Settings>,
    lookups: lookup::Lookups,
}

impl App {
    #[must_use]
    pub fn new(db: PgPool, clock: Arc<dyn Clock>) -> Self {
        let ids = Ids::new(clock.clone());
        Self(Arc::new(Parts {
            reserved_db: postgres::beside(&db, RESERVED_CONNECTIONS),
            db,
            clock,
            ids,
            work_ready: Arc::new(tokio::sync::Notify::new()),
            settings: Arc::new(Settings::default()),
            lookups: lookup::Lookups::default(),
        }))
    }

    #[must_use]
    pub fn with(self, settings: Settings) -> Self {
        Self(Arc::new(Parts { settings: Arc::new(settings), ..Arc::unwrap_or_clone(self.0) }))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
