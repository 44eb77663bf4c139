use crate::casing::wire_enum;
use crate::id::EnvironmentId;
use crate::time::Instant;

wire_enum! {
    /// What an environment is for; the bearer token alone selects it.
    pub enum EnvironmentKind {
        Sandbox = "SANDBOX",
        Production = "PRODUCTION",
    }
}

/// A tenant: nothing is shared between two environments.
#[derive(Clone, Copy, Debug)]
pub struct Environment {
    pub id: EnvironmentId,
    pub kind: EnvironmentKind,
    /// Where a sandbox stopped its clock.
    pub frozen_at: Option<Instant>,
}

impl Environment {
    /// The environment's time: the frozen instant, else the real one.
    #[must_use]
    pub fn now(&self, real_now: Instant) -> Instant {
        self.frozen_at.unwrap_or(real_now)
    }
}
