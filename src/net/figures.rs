//! Figures: what happened in `net` since the start and what there is now, in numbers. Decides
//! nothing.

use std::fmt::Display;

use super::acceptor::Acceptor;
use super::outputs::Outputs;
use super::watchdog::Watchdog;
use super::worker::passthrough::Counters;
use crate::clock::Now;
use crate::log_targets::COUNTERS;

/// See the module. Each is counted where it happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct NetFigures {
    /// Since the start, seconds.
    pub(super) uptime_s: u64,
    /// Open now, accepted or dialled.
    pub(super) connections: u64,
    /// Accepted since the start.
    pub(super) accepted: u64,
    /// How often accepting has paused at a limit.
    pub(super) accept_pauses: u64,
    /// Turns that took longer than a tenth of a second.
    pub(super) slow_turns: u64,
    /// The longest turn, milliseconds.
    pub(super) longest_turn_ms: u64,
    /// Notices that wait, or are being sent.
    pub(super) passthrough_queue: u64,
    /// Notices answered with 2xx.
    pub(super) passthrough_sent: u64,
    /// Notices answered otherwise, or not delivered.
    pub(super) passthrough_failed: u64,
    /// Notices not answered in time.
    pub(super) passthrough_timed_out: u64,
    /// Holds of which neither notice was sent, because the queue was full.
    pub(super) passthrough_dropped: u64,
}

impl NetFigures {
    /// Asks each part that counts.
    pub(super) fn of(
        acceptor: &Acceptor,
        outputs: &Outputs,
        watchdog: &Watchdog,
        now: Now,
    ) -> Self {
        let Counters { sent, failed, timed_out, dropped } = outputs.passthrough.counters();
        Self {
            uptime_s: now.mono_ms / 1000,
            connections: outputs.sockets.open() as u64,
            accepted: acceptor.accepted(),
            accept_pauses: acceptor.pauses(),
            slow_turns: watchdog.slow_turns(),
            longest_turn_ms: watchdog.longest_turn_ms(),
            passthrough_queue: outputs.passthrough.queued() as u64,
            passthrough_sent: sent,
            passthrough_failed: failed,
            passthrough_timed_out: timed_out,
            passthrough_dropped: dropped,
        }
    }

    /// Writes one line with everything that is counted, here and in the relay.
    pub(super) fn log(&self, relay: impl Display) {
        log::info!(
            target: COUNTERS,
            "event=counters uptime_s={} connections={} accepted={} accept_pauses={} slow_turns={} \
             longest_turn_ms={} {relay} passthrough_queue={} passthrough_sent={} \
             passthrough_failed={} passthrough_timed_out={} passthrough_dropped={}",
            self.uptime_s,
            self.connections,
            self.accepted,
            self.accept_pauses,
            self.slow_turns,
            self.longest_turn_ms,
            self.passthrough_queue,
            self.passthrough_sent,
            self.passthrough_failed,
            self.passthrough_timed_out,
            self.passthrough_dropped,
        );
    }
}
