use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The time that a request may take; put on each request by whoever keeps the time.
#[derive(Clone, Debug, Default)]
pub struct TimeLimit(Arc<AtomicBool>);

impl TimeLimit {
    /// From now on the request takes what it needs.
    pub fn lift(&self) {
        self.0.store(true, Ordering::Release);
    }

    #[must_use]
    pub fn is_lifted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
