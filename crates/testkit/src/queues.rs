//! Queues: peers of a [`crate::Network`] that are still to be read, in the order of a turn.

use std::collections::VecDeque;

use pushserver::net::pace;
use pushserver::relay::ConnKey;

/// See the file.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// Read, and to be read again in the next turn.
    again: Vec<ConnKey>,
    /// Peers of large fan-outs that can be read.
    later: VecDeque<ConnKey>,
    fanout_reads_left: usize,
}

impl Queues {
    /// To be read in the next turn.
    pub(crate) fn again(&mut self, conn: ConnKey) {
        self.again.push(conn);
    }

    /// A peer of a large fan-out can be read.
    pub(crate) fn later(&mut self, conn: ConnKey) {
        self.later.push_back(conn);
    }

    /// Begins to read those of large fan-outs.
    pub(crate) fn begin_later(&mut self, fans_out: bool) {
        self.fanout_reads_left =
            if fans_out { pace::FANOUT_READS_BESIDE } else { pace::FANOUT_READS };
    }

    /// The next one that was in a large fan-out, if this turn reads more of them.
    pub(crate) fn next_later(&mut self) -> Option<ConnKey> {
        let conn = (self.fanout_reads_left > 0).then(|| self.later.pop_front()).flatten()?;
        self.fanout_reads_left -= 1;
        Some(conn)
    }

    /// Those to be read first in a turn.
    pub(crate) fn take_again(&mut self) -> Vec<ConnKey> {
        std::mem::take(&mut self.again)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.again.is_empty() && self.later.is_empty()
    }
}
