//! Clock: the only reader of time. Code below `net` gets a [`Now`] from its caller and never reads
//! a clock.
//!
//! Timers use monotonic milliseconds alone; the wall clock only dates messages and answers.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks, taken once per turn of the loop and passed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the process started; never decreases.
    pub mono_ms: u64,
    /// Seconds since the Unix epoch; may be set back by the operator.
    pub unix_s: u64,
}

/// Reads the clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose monotonic milliseconds start at 0 now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Both clocks, now.
    #[must_use]
    pub fn now(&self) -> Now {
        let mono_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { mono_ms, unix_s: unix_time().0 }
    }
}

/// Whole seconds since the Unix epoch, and the microsecond within that second.
#[must_use]
pub fn unix_time() -> (u64, u32) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_micros())
}
