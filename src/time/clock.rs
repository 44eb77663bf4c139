use chrono::{DateTime, SubsecRound, Utc};

/// The machine's clock as an argument. Business time is the environment's (`access::Environment::now`), which
/// is this clock unless a sandbox has frozen its own.
pub trait Clock: Send + Sync {
    fn now(&self) -> DateTime<Utc>;
}

/// The real clock, to the microsecond.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(6)
    }
}
