//! The movable clock of a sandbox, so that a billing year runs in seconds.
//!
//! Owns: reading and moving the clock. Does not own: the work that is due on the way (see `worker`).
//!
//! Invariants: the clock goes forward only, except in an environment that holds nothing billable yet;
//! everything that is due on the way happens, in order, before the move is answered.
//!
//! 2026-11-20: a move goes at most ten years ahead at once and not beyond the year 9000. Every statement on the
//! way is finalized before the answer, so a mistyped year would otherwise keep a server busy for hours, and
//! dates counted from later years would not have four digits.

pub mod get_clock;
pub mod set_clock;

use schemars::JsonSchema;
use serde::Serialize;

use crate::access::{Caller, EnvironmentKind};
use crate::error::ApiError;
use crate::time::Instant;

/// A sandbox's time.
#[derive(Serialize, JsonSchema)]
pub struct SandboxClock {
    now: Instant,
    /// False: the real clock.
    frozen: bool,
}

/// 403 unless the token is of a sandbox.
fn require_sandbox(caller: &Caller) -> Result<(), ApiError> {
    match caller.environment.kind {
        EnvironmentKind::Sandbox => Ok(()),
        EnvironmentKind::Production => {
            Err(ApiError::Forbidden("a production environment has only the real clock"))
        }
    }
}
