//! Repolls: subscribers that poll again soon, in order. Sends nothing.

use std::collections::VecDeque;

/// The longest delay of a poll that waits until deliveries are read. The kernel acknowledges a
/// delivery by itself after 40 ms, which costs the server.
const SOON_NS: u64 = 25_000_000;

/// Polls to send, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Repolls {
    queue: VecDeque<Next>,
}

/// A poll to send.
#[derive(Debug, Clone, Copy)]
struct Next {
    /// The subscriber's index.
    subscriber: u32,
    /// The latest time to send it, in nanoseconds, though deliveries wait to be read.
    latest_ns: u64,
}

impl Repolls {
    /// Adds a poll for when no delivery waits to be read.
    pub(crate) fn soon(&mut self, subscriber: u32, now_ns: u64) {
        self.queue.push_back(Next { subscriber, latest_ns: now_ns + SOON_NS });
    }

    /// Adds polls that do not wait.
    pub(crate) fn at_once(&mut self, subscribers: impl Iterator<Item = u32>) {
        self.queue.extend(subscribers.map(|subscriber| Next { subscriber, latest_ns: 0 }));
    }

    /// Takes the next subscriber whose poll is due. `idle`: no delivery waits to be read.
    pub(crate) fn next_due(&mut self, now_ns: u64, idle: bool) -> Option<usize> {
        let next = *self.queue.front().filter(|next| idle || next.latest_ns <= now_ns)?;
        self.queue.pop_front();
        Some(next.subscriber as usize)
    }

    /// Whether there is no poll to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Repolls, SOON_NS};

    #[test]
    fn a_poll_waits_until_nothing_is_to_be_read_but_not_for_long() {
        let mut repolls = Repolls::default();
        repolls.soon(1, 100);
        repolls.soon(2, 100);
        assert_eq!(repolls.next_due(100, false), None);
        assert_eq!(repolls.next_due(100, true), Some(1));
        assert_eq!(repolls.next_due(100 + SOON_NS, false), Some(2));
        assert!(repolls.is_empty());
    }

    #[test]
    fn polls_that_do_not_wait_are_due() {
        let mut repolls = Repolls::default();
        repolls.at_once([3, 4].into_iter());
        assert_eq!([0; 3].map(|now| repolls.next_due(now, false)), [Some(3), Some(4), None]);
    }
}
