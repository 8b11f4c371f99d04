//! Watchdog: pings systemd's watchdog, and notices turns that take long. Never waits.

use sd_notify::NotifyState;

use super::service_manager;
use crate::clock::Now;
use crate::figures::Histogram;
use crate::rate_limit::RateLimit;

/// Turns longer than this are logged, milliseconds.
const SLOW_MS: u64 = 100;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    /// Turns that took long since the start.
    pub(super) slow_turns: u64,
    /// How long the longest turn since the start took, milliseconds.
    pub(super) longest_turn_ms: u64,
    /// How long turns took.
    pub(super) turns: Histogram,
    slow: RateLimit,
    /// Half the time after which systemd takes the daemon for dead (`WatchdogSec=`).
    ping_every_ms: Option<u64>,
    ping_at_ms: u64,
}

impl Watchdog {
    pub(super) fn new() -> Self {
        let within = sd_notify::watchdog_enabled();
        let ping_every_ms = within.map(|within| (within.as_millis() as u64 / 2).max(1));
        Self { ping_every_ms, ..Self::default() }
    }

    /// When [`Watchdog::ping`] has something to do, milliseconds.
    pub(super) fn due(&self) -> Option<u64> {
        self.ping_every_ms.map(|_| self.ping_at_ms)
    }

    /// Pings systemd's watchdog, if it is time to.
    pub(super) fn ping(&mut self, now: Now) {
        if let Some(every_ms) = self.ping_every_ms
            && self.ping_at_ms <= now.mono_ms
        {
            self.ping_at_ms = now.mono_ms + every_ms;
            service_manager::tell(&[NotifyState::Watchdog]);
        }
    }

    /// A turn began and ended.
    pub(super) fn turn(&mut self, began: Now, ended: Now) {
        self.turns.note(ended.us_since(began));
        let took_ms = ended.mono_ms.saturating_sub(began.mono_ms);
        self.longest_turn_ms = self.longest_turn_ms.max(took_ms);
        if took_ms <= SLOW_MS {
            return;
        }
        self.slow_turns += 1;
        if let Some(times) = self.slow.note(ended.mono_ms) {
            log::warn!("event=slow_turn took_ms={took_ms} times={times}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_of_more_than_a_tenth_of_a_second_is_counted() {
        let at = |mono_ms| Now::at(mono_ms, 0);
        let mut watch = Watchdog::new();
        watch.turn(at(50), at(150));
        assert_eq!((watch.slow_turns, watch.longest_turn_ms), (0, 100));
        watch.turn(at(1000), at(1101));
        watch.turn(at(2000), at(2101));
        assert_eq!((watch.slow_turns, watch.longest_turn_ms), (2, 101));
    }
}
