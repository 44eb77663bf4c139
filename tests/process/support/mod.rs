//! Processes, places for them, and a small HTTP client; all blocking, so that a failed test still cleans up.

mod billing;
mod database;
mod http;
mod place;
mod process;
mod proxy;

pub use billing::{Billing, at, event};
pub use database::{Database, execute, kept_transactions, texts};
pub use http::{Answer, Client, answer};
pub use place::{Place, is_root, signal};
pub use process::{BOOTSTRAP, Launch, Server};
pub use proxy::{Line, Proxy};

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longest wait for what should take a moment, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(25);

/// Waits until the condition holds; false when it does not in time.
pub fn wait_until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > deadline {
            return false;
        }
        sleep(Duration::from_millis(20));
    }
}

/// Numbers that look random and are the same in every run.
pub struct Seeded(u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from `low` up to, but not including, `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + (self.0 >> 33) % (high - low)
    }
}
