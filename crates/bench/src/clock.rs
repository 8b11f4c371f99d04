//! Clock: monotonic and Unix time; the only reader of the system's clocks in this crate.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds that never decrease.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that stands at 0 now.
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Nanoseconds since the start.
    pub(crate) fn mono_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Whole seconds since the Unix epoch, and the microsecond within that second.
pub(crate) fn unix_time() -> (u64, u32) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_micros())
}
