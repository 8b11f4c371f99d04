//! Clock: the only reader of time. Code below `net` gets a [`Now`] from its caller and never reads
//! a clock.
//!
//! Timers use monotonic milliseconds alone; the wall clock only dates messages and answers.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks, taken once per turn of the loop and passed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that begins with the process, at [`BEGIN_MS`]; never decreases.
    pub mono_ms: u64,
    /// Seconds since the Unix epoch; may be set back by the operator.
    pub unix_s: u64,
    /// Microseconds of the reading beyond `unix_s`.
    pub unix_us: u32,
    /// Microseconds of the reading beyond `mono_ms`.
    pub mono_us: u16,
}

/// Where the monotonic milliseconds of a [`Clock`] begin: 34 years, so that what is older than the
/// process, as a stored message is, has a time, too.
pub const BEGIN_MS: u64 = 1 << 40;

impl Now {
    /// Both clocks at a whole millisecond, and `unix_s` at the same one of its second.
    #[must_use]
    pub const fn at(mono_ms: u64, unix_s: u64) -> Self {
        Self { mono_ms, unix_s, unix_us: (mono_ms % 1000) as u32 * 1000, mono_us: 0 }
    }

    /// Microseconds from an earlier reading to this one.
    #[must_use]
    pub fn us_since(self, earlier: Self) -> u64 {
        let us = |now: Self| now.mono_ms.saturating_mul(1000).saturating_add(now.mono_us.into());
        us(self).saturating_sub(us(earlier))
    }

    /// Milliseconds since the process started, of what a [`Clock`] says.
    #[must_use]
    pub fn since_start_ms(self) -> u64 {
        self.mono_ms.saturating_sub(BEGIN_MS)
    }
}

/// Reads the clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose monotonic milliseconds start at [`BEGIN_MS`] now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Both clocks, now.
    #[must_use]
    pub fn now(&self) -> Now {
        let elapsed = self.started.elapsed();
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let (unix_s, unix_us) = unix_time();
        let mono_us = (elapsed.subsec_micros() % 1000) as u16;
        Now { mono_ms: BEGIN_MS.saturating_add(elapsed_ms), unix_s, unix_us, mono_us }
    }
}

/// Whole seconds since the Unix epoch, and the microsecond within that second.
#[must_use]
pub fn unix_time() -> (u64, u32) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::{BEGIN_MS, Clock, Now};

    #[test]
    fn a_time_before_the_start_is_a_time_and_the_start_is_told_from_it() {
        let now = Clock::start().now();
        assert!(now.mono_ms >= BEGIN_MS);
        assert!(now.since_start_ms() < 60_000);
        assert!(now.mono_ms - 30 * 365 * 24 * 3600 * 1000 > 0);
    }

    #[test]
    fn times_are_told_apart_to_the_microsecond() {
        let early = Now { mono_us: 998, ..Now::at(5, 0) };
        let late = Now { mono_us: 1, ..Now::at(7, 0) };
        assert_eq!((late.us_since(early), early.us_since(late)), (1003, 0));
        assert_eq!(Now::at(1_234_567, 9).unix_us, 567_000);
    }
}
