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

    /// A later reading within the same millisecond.
    fn within_ms(self, mono_us: u16) -> Self {
        let unix_us = self.unix_us + u32::from(mono_us.saturating_sub(self.mono_us));
        let unix_s = self.unix_s + u64::from(unix_us / 1_000_000);
        Self { mono_us, unix_s, unix_us: unix_us % 1_000_000, ..self }
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
        let (mono_ms, mono_us) = self.mono();
        let (unix_s, unix_us) = unix_time();
        Now { mono_ms, unix_s, unix_us, mono_us }
    }

    /// Whether more than so many microseconds have passed since `now`. Leaves the wall clock alone.
    #[must_use]
    pub fn is_past(&self, now: Now, us: u64) -> bool {
        let (mono_ms, mono_us) = self.mono();
        Now { mono_ms, mono_us, ..now }.us_since(now) > us
    }

    /// Monotonic milliseconds, and the microseconds beyond.
    fn mono(&self) -> (u64, u16) {
        let elapsed = self.started.elapsed();
        // In 64 bits, which last for 584 000 years.
        let elapsed_ms = elapsed.as_secs() * 1000 + u64::from(elapsed.subsec_millis());
        let mono_us = (elapsed.subsec_micros() % 1000) as u16;
        (BEGIN_MS.saturating_add(elapsed_ms), mono_us)
    }
}

/// Reads the clocks for a loop that wants to know the time very often: the wall clock at most once
/// a millisecond, and in between as much later as the other clock says.
#[derive(Debug)]
pub struct LoopClock {
    clock: Clock,
    last: Now,
}

impl LoopClock {
    /// A clock that goes on from `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, last: clock.now() }
    }

    /// Both clocks, now.
    pub fn now(&mut self) -> Now {
        let (mono_ms, mono_us) = self.clock.mono();
        if mono_ms != self.last.mono_ms {
            self.last = self.clock.now();
            return self.last;
        }
        self.last.within_ms(mono_us)
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
    use super::{BEGIN_MS, Clock, LoopClock, Now};

    #[test]
    fn a_time_before_the_start_is_a_time_and_the_start_is_told_from_it() {
        let now = Clock::start().now();
        assert!(now.mono_ms >= BEGIN_MS);
        assert!(now.since_start_ms() < 60_000);
        assert!(now.mono_ms - 30 * 365 * 24 * 3600 * 1000 > 0);
    }

    #[test]
    fn a_loop_is_told_the_same_time_as_others_though_the_wall_clock_is_asked_rarely() {
        let clock = Clock::start();
        let mut of_loop = LoopClock::new(clock);
        let (mut before, mut same_ms) = (clock.now(), 0);
        for _ in 0..100_000 {
            same_ms += u32::from(of_loop.last.mono_ms == before.mono_ms);
            let (told, after) = (of_loop.now(), clock.now());
            assert!(told.us_since(before) <= after.us_since(before), "{told:?} {after:?}");
            before = told;
        }
        assert!(same_ms > 0, "most readings are of a millisecond that is known");
    }

    #[test]
    fn within_a_millisecond_the_wall_clock_goes_on_with_the_other_one() {
        let read = Now { mono_us: 100, unix_us: 999_500, ..Now::at(5, 7) };
        let same = Now { mono_us: 599, unix_us: 999_999, ..Now::at(5, 7) };
        let next = Now { mono_us: 601, unix_us: 1, ..Now::at(5, 8) };
        assert_eq!([599, 601].map(|us| read.within_ms(us)), [same, next]);
    }

    #[test]
    fn what_is_past_is_told_by_the_microsecond() {
        let clock = Clock::start();
        let now = clock.now();
        assert!(!clock.is_past(now, 60_000_000));
        assert!(clock.is_past(Now { mono_ms: now.mono_ms - 2, ..now }, 1_000));
    }

    #[test]
    fn times_are_told_apart_to_the_microsecond() {
        let early = Now { mono_us: 998, ..Now::at(5, 0) };
        let late = Now { mono_us: 1, ..Now::at(7, 0) };
        assert_eq!((late.us_since(early), early.us_since(late)), (1003, 0));
        assert_eq!(Now::at(1_234_567, 9).unix_us, 567_000);
    }
}
