//! Left over: sockets that are to be flushed or read without another event, and for how many of
//! them a turn has time. Moves no bytes.

use std::collections::VecDeque;

use super::pace::{FANOUT_READS, FANOUT_READS_BESIDE, FANOUT_TURNS, READS_AT_ONCE};
use super::socket::{Queue, Socket};
use crate::clock::{Clock, Now};
use crate::relay::ConnKey;

/// See the module. Each list has a socket once.
#[derive(Debug)]
pub(super) struct LeftOver {
    clock: Clock,
    /// How many sockets may be read before the clock is looked at; 0: no more in this turn.
    reads_left: usize,
    /// Took as many bytes as one is given in a turn, and may take more.
    pub(super) unsent: VecDeque<ConnKey>,
    /// Were read and may have more, or the turn had no time for them.
    pub(super) again: VecDeque<ConnKey>,
    /// Readable sockets of large fan-outs. Their next polls are read after all deliveries, else the
    /// last of ten thousand would wait for the next poll of all others, and so would everybody
    /// else.
    pub(super) later: VecDeque<ConnKey>,
    /// For how many turns in a row some of these have waited beside fan-outs.
    waited: u32,
}

impl LeftOver {
    pub(super) fn new(clock: Clock) -> Self {
        let (unsent, again, later) = Default::default();
        Self { clock, reads_left: 0, unsent, again, later, waited: 0 }
    }

    /// Has a socket flushed in the next turn.
    pub(super) fn flush(&mut self, socket: &mut Socket) {
        if !std::mem::replace(&mut socket.flushes, true) {
            self.unsent.push_back(socket.key);
        }
    }

    /// Has a socket read in the next turn, unless it is to be read anyway.
    pub(super) fn read(&mut self, socket: &mut Socket) {
        if socket.queue == Queue::No {
            socket.queue = Queue::Again;
            self.again.push_back(socket.key);
        }
    }

    /// Has a socket of a large fan-out read when there is time.
    pub(super) fn read_later(&mut self, socket: &mut Socket) {
        socket.queue = Queue::Later;
        self.later.push_back(socket.key);
    }

    /// How many of large fan-outs are read now: few beside others, unless fan-outs without an end
    /// would have them wait for seconds.
    pub(super) fn portion(&mut self, fans_out: bool) -> usize {
        let waits = fans_out && !self.later.is_empty();
        self.waited = if waits { self.waited.saturating_add(1) } else { 0 };
        if waits && self.waited <= FANOUT_TURNS { FANOUT_READS_BESIDE } else { FANOUT_READS }
    }

    /// From here on there is time for sockets.
    pub(super) fn begin(&mut self) {
        self.reads_left = READS_AT_ONCE;
    }

    /// Whether one more may be read.
    pub(super) fn has_time(&self) -> bool {
        self.reads_left > 0
    }

    /// One was read, flushed or closed. Now and then that looks at the clock, and there is no more
    /// time when so many microseconds of the turn are over.
    pub(super) fn note(&mut self, until_us: u64, now: Now) {
        self.reads_left = self.reads_left.saturating_sub(1);
        if self.reads_left == 0 && !self.is_past(until_us, now) {
            self.reads_left = READS_AT_ONCE;
        }
    }

    /// What is noted next took as long as several.
    pub(super) fn was_long(&mut self) {
        self.reads_left = self.reads_left.min(1);
    }

    /// Whether more than so many microseconds of the turn that began at `now` are over.
    pub(super) fn is_past(&self, us: u64, now: Now) -> bool {
        self.clock.is_past(now, us)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unsent.is_empty() && self.again.is_empty() && self.later.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_clock_is_looked_at_now_and_then_and_behind_what_takes_long() {
        let clock = Clock::start();
        let begins = clock.now();
        let long_ago = Now { mono_ms: begins.mono_ms - 1000, ..begins };
        let mut left_over = LeftOver::new(clock);
        assert!(!left_over.has_time());
        left_over.begin();
        for _ in 1..READS_AT_ONCE {
            left_over.note(500_000, long_ago);
            assert!(left_over.has_time());
        }
        left_over.note(60_000_000, long_ago);
        assert!(left_over.has_time(), "that long it is not");
        left_over.was_long();
        left_over.note(500_000, long_ago);
        assert!(!left_over.has_time());
    }

    #[test]
    fn next_polls_beside_fan_outs_without_an_end_are_read_faster_after_a_while() {
        let mut left_over = LeftOver::new(Clock::start());
        for _ in 0..2 {
            assert_eq!(left_over.portion(false), FANOUT_READS);
            left_over.later.push_back(ConnKey::from_bits(7));
            for _ in 0..FANOUT_TURNS {
                assert_eq!(left_over.portion(true), FANOUT_READS_BESIDE);
            }
            for _ in 0..9 {
                assert_eq!(left_over.portion(true), FANOUT_READS);
            }
            left_over.later.clear();
            left_over.portion(true);
        }
    }

    #[test]
    fn a_socket_is_in_each_list_once() {
        let (one, _other) = UnixStream::pair().unwrap();
        let mut socket = Socket::accepted(ConnKey::from_bits(7), OwnedFd::from(one).into(), true);
        let mut left_over = LeftOver::new(Clock::start());
        for _ in 0..2 {
            left_over.flush(&mut socket);
            left_over.read(&mut socket);
        }
        assert_eq!((left_over.unsent.len(), left_over.again.len()), (1, 1));
        assert!(!left_over.is_empty());
    }
}
