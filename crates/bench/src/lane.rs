//! Lane: a set of channels, and when their next message is due: at a fixed rate (open loop), or
//! when the messages before it are delivered and answered (closed loop). Never reads a clock: time
//! comes as `now_ns`.

use std::ops::Range;

use crate::channel::Finished;
use crate::tally::Tally;

/// The shortest pause after a fan-out, nanoseconds.
const REST_NS: u64 = 20_000_000;

/// A set of channels with publishers of their own and one pace.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) channels: Range<usize>,
    pub(crate) publishers: Range<usize>,
    pub(crate) pace: Pace,
    pub(crate) tally: Tally,
    /// Messages that some subscriber has not received.
    pub(crate) open_rounds: usize,
    /// Messages whose publisher has no answer yet.
    pub(crate) open_answers: usize,
    /// Messages that are still to be published.
    pub(crate) left: u64,
    /// The next message is not due before this time, in nanoseconds.
    pub(crate) next_ns: u64,
    /// A fan-out is complete, but not all its subscribers have polled again.
    pub(crate) rest_due: bool,
    turn: usize,
}

/// How a lane publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// One message every `interval_ns`. A message is timed from when it was due, not from when it
    /// could be sent: otherwise a slow server would hide its own delays.
    Open { interval_ns: u64 },
    /// At most `window` messages under way. With `pause`, the next message waits after a fan-out,
    /// so that the server has handled the new polls.
    Closed { window: usize, pause: bool },
}

/// A message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// The channel's index.
    pub(crate) channel: usize,
    /// The publisher's index; always the same for a channel, so that its messages stay in order.
    pub(crate) publisher: usize,
    /// The time at which it is due; `None`: it is timed from when it is sent.
    pub(crate) intended_ns: Option<u64>,
}

impl Lane {
    pub(crate) fn new(channels: Range<usize>, publishers: Range<usize>, pace: Pace) -> Self {
        Self {
            channels,
            publishers,
            pace,
            tally: Tally::default(),
            open_rounds: 0,
            open_answers: 0,
            left: 0,
            next_ns: 0,
            rest_due: false,
            turn: 0,
        }
    }

    /// Allows this many messages from `now_ns` on.
    pub(crate) fn start(&mut self, messages: u64, now_ns: u64) {
        self.left = messages;
        self.next_ns = now_ns;
    }

    /// The next message, if it is due. `ready`: all subscribers have polled again.
    pub(crate) fn due(&mut self, now_ns: u64, ready: bool) -> Option<Due> {
        if self.left == 0 || now_ns < self.next_ns {
            return None;
        }
        let intended_ns = match self.pace {
            Pace::Open { interval_ns } => {
                let intended_ns = self.next_ns;
                self.next_ns += interval_ns;
                Some(intended_ns)
            }
            Pace::Closed { window, .. } => {
                if !ready || self.under_way() >= window {
                    return None;
                }
                None
            }
        };
        self.left -= 1;
        let at = self.turn % self.channels.len();
        self.turn += 1;
        let publisher = self.publishers.start + at % self.publishers.len();
        Some(Due { channel: self.channels.start + at, publisher, intended_ns })
    }

    /// When the next message is due, if only time is missing.
    pub(crate) fn wakes_at(&self) -> Option<u64> {
        let waits = match self.pace {
            Pace::Open { .. } => true,
            Pace::Closed { window, .. } => self.under_way() < window,
        };
        (self.left > 0 && waits).then_some(self.next_ns)
    }

    /// A message has reached all `subscribers` of its channel.
    pub(crate) fn finished(&mut self, round: Finished, subscribers: u32) {
        self.open_rounds = self.open_rounds.saturating_sub(1);
        self.rest_due = true;
        self.tally.finished(round, subscribers);
    }

    /// All subscribers have polled again: after a fan-out, begins a pause of that fan-out's length
    /// and `REST_NS`.
    pub(crate) fn all_have_asked(&mut self, now_ns: u64) {
        if std::mem::take(&mut self.rest_due)
            && let Pace::Closed { pause: true, .. } = self.pace
        {
            self.next_ns = now_ns + self.tally.last_took_ns + REST_NS;
        }
    }

    /// Whether every message is delivered and answered.
    pub(crate) fn is_quiet(&self) -> bool {
        self.under_way() == 0
    }

    fn under_way(&self) -> usize {
        self.open_rounds.max(self.open_answers)
    }
}

#[cfg(test)]
mod tests {
    use super::{Due, Lane, Pace, REST_NS};

    #[test]
    fn an_open_loop_keeps_its_times_though_it_was_held_up() {
        let mut lane = Lane::new(0..1, 0..1, Pace::Open { interval_ns: 10 });
        lane.start(3, 100);
        assert_eq!(lane.due(99, true), None);
        let intended = |lane: &mut Lane| lane.due(135, false).and_then(|due| due.intended_ns);
        assert_eq!(intended(&mut lane), Some(100));
        assert_eq!(intended(&mut lane), Some(110));
        assert_eq!(intended(&mut lane), Some(120));
        assert_eq!(intended(&mut lane), None);
    }

    #[test]
    fn a_closed_loop_waits_for_deliveries_answers_and_polls() {
        let mut lane = Lane::new(0..1, 0..1, Pace::Closed { window: 1, pause: false });
        lane.start(u64::MAX, 0);
        assert_eq!(lane.due(0, false), None);
        assert!(lane.due(0, true).is_some());
        (lane.open_rounds, lane.open_answers) = (1, 1);
        assert_eq!((lane.due(0, true), lane.wakes_at()), (None, None));
        (lane.open_rounds, lane.open_answers) = (0, 1);
        assert_eq!(lane.due(0, true), None);
        lane.open_answers = 0;
        assert!(lane.due(0, true).is_some());
    }

    #[test]
    fn after_a_fan_out_comes_as_much_rest_as_it_took() {
        let mut lane = Lane::new(0..1, 0..1, Pace::Closed { window: 1, pause: true });
        lane.start(2, 0);
        lane.tally.last_took_ns = 5;
        lane.all_have_asked(100);
        assert!(lane.due(100, true).is_some(), "nothing to rest from yet");
        lane.rest_due = true;
        lane.all_have_asked(100);
        assert_eq!(lane.due(104 + REST_NS, true), None);
        assert!(lane.due(105 + REST_NS, true).is_some());
    }

    #[test]
    fn channels_take_turns_and_each_keeps_its_publisher() {
        let mut lane = Lane::new(5..8, 2..4, Pace::Closed { window: 9, pause: false });
        lane.start(6, 0);
        let order: Vec<_> = std::iter::from_fn(|| lane.due(0, true))
            .map(|Due { channel, publisher, .. }| (channel, publisher))
            .collect();
        assert_eq!(order, [(5, 2), (6, 3), (7, 2), (5, 2), (6, 3), (7, 2)]);
    }
}
