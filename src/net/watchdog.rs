//! What the loop knows of itself: turns that took long, connections that came, and what it tells
//! systemd's watchdog and who asks for counters (SIGUSR1).

use sd_notify::NotifyState;

use super::Reactor;
use super::shutdown::notify_systemd;
use crate::clock::Now;
use crate::log_targets::COUNTERS;
use crate::rate_limit::RateLimit;

/// A turn that takes longer than this is told of, milliseconds.
const SLOW_MS: u64 = 100;

/// See the module.
#[derive(Debug)]
pub(super) struct Watchdog {
    pub(super) accepted: u64,
    /// How often accepting stopped at a limit.
    pub(super) accept_pauses: u64,
    slow_turns: u64,
    longest_turn_ms: u64,
    slow: RateLimit,
    /// Twice within the time after which systemd takes us for dead (`WatchdogSec=`).
    ping_every_ms: Option<u64>,
    ping_at_ms: u64,
}

impl Watchdog {
    pub(super) fn new() -> Self {
        let within = sd_notify::watchdog_enabled();
        Self {
            accepted: 0,
            accept_pauses: 0,
            slow_turns: 0,
            longest_turn_ms: 0,
            slow: RateLimit::default(),
            ping_every_ms: within.map(|within| (within.as_millis() as u64 / 2).max(1)),
            ping_at_ms: 0,
        }
    }

    /// When [`Watchdog::ping`] has something to do, milliseconds.
    pub(super) fn due(&self) -> Option<u64> {
        self.ping_every_ms.map(|_| self.ping_at_ms)
    }

    /// Tells systemd that the loop goes round.
    pub(super) fn ping(&mut self, now: Now) {
        if let Some(every_ms) = self.ping_every_ms
            && self.ping_at_ms <= now.mono_ms
        {
            self.ping_at_ms = now.mono_ms + every_ms;
            notify_systemd(&[NotifyState::Watchdog]);
        }
    }

    /// A turn began and ended.
    pub(super) fn turn(&mut self, began: Now, ended: Now) {
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

impl Reactor {
    /// Writes one line with everything that is counted.
    pub(super) fn log_counters(&self, now: Now) {
        let Watchdog { accepted, accept_pauses, slow_turns, longest_turn_ms, .. } = self.watchdog;
        let super::worker::passthrough::Counters { sent, failed, timed_out, dropped } =
            self.passthrough.counters();
        log::info!(
            target: COUNTERS,
            "event=counters uptime_s={} connections={} accepted={accepted} \
             accept_pauses={accept_pauses} slow_turns={slow_turns} \
             longest_turn_ms={longest_turn_ms} {} passthrough_queue={} passthrough_sent={sent} \
             passthrough_failed={failed} passthrough_timed_out={timed_out} \
             passthrough_dropped={dropped}",
            now.mono_ms / 1000,
            self.open,
            self.relay.state(),
            self.passthrough.queued(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_of_more_than_a_tenth_of_a_second_is_counted() {
        let at = |mono_ms| Now { mono_ms, unix_s: 0 };
        let mut watch = Watchdog::new();
        watch.turn(at(50), at(150));
        assert_eq!((watch.slow_turns, watch.longest_turn_ms), (0, 100));
        watch.turn(at(1000), at(1101));
        watch.turn(at(2000), at(2101));
        assert_eq!((watch.slow_turns, watch.longest_turn_ms), (2, 101));
    }
}
