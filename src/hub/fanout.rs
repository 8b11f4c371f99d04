//! Fan-outs: deliveries in progress, each with what it brings and the subscriptions that are still
//! to get it. Several run side by side in turns, so that a channel with one subscriber does not
//! wait for a channel with ten thousand. Never looks at a subscription.
//!
//! A long poll is in one fan-out at most. Streams stay on their channel: their fan-out is a feed,
//! which keeps their list and the order of its messages.

use std::collections::VecDeque;
use std::rc::Rc;

use super::api::Information;
use super::subscription::{FeedKey, Peer, SubscriptionKey};
use crate::message::{Message, MessageId};
use crate::store::ChannelKey;

/// Deliveries of one fan-out before it is another one's turn.
const QUANTUM: u32 = 64;

/// Lists that are kept to be used again, so that a channel that is published to again and again
/// does not grow its list anew each time.
const SPARES_MAX: usize = 4;

/// A recycled list may have at most this many times the capacity that was needed last.
const SPARE_ROOM: usize = 4;

/// What a fan-out brings.
#[derive(Debug, Clone)]
pub(super) enum Cause {
    /// A message, published on a channel whose losses reach through `lost_through`.
    Message { message: Rc<Message>, channel: ChannelKey, lost_through: MessageId },
    /// The channel is deleted; then its publisher is told, if it still waits for that.
    Deleted { publisher: Option<Peer>, information: Information },
    /// The daemon stops.
    Shutdown,
    /// What is under way to the streams of one channel; the feed has their list.
    Feed(FeedKey),
    /// Streams that are behind are to read on; they have a list of their own.
    Reading,
}

#[derive(Debug)]
struct Fanout {
    cause: Cause,
    waiters: Vec<SubscriptionKey>,
    next: usize,
}

/// One step of [`Fanouts::next`].
#[derive(Debug)]
pub(super) enum Step {
    /// This subscription's turn; it may be gone. `many_waited`: the fan-out has more of them than
    /// fit in a turn.
    Waiter { waiter: SubscriptionKey, cause: Cause, many_waited: bool },
    /// A stream's turn.
    Feed(FeedKey),
    /// A stream's turn that is behind.
    Read,
    /// Every subscription had its turn.
    Done(Cause),
}

#[derive(Debug, Default)]
pub(super) struct Fanouts {
    running: VecDeque<Fanout>,
    /// Steps that the front one has left.
    quantum: u32,
    spares: Vec<Vec<SubscriptionKey>>,
}

impl Fanouts {
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn start(&mut self, cause: Cause, waiters: Vec<SubscriptionKey>) {
        if self.running.is_empty() {
            self.quantum = QUANTUM;
        }
        self.running.push_back(Fanout { cause, waiters, next: 0 });
    }

    pub(super) fn next(&mut self) -> Option<Step> {
        if self.quantum == 0 {
            self.quantum = QUANTUM;
            if self.running.len() > 1 {
                self.running.rotate_left(1);
            }
        }
        let front = self.running.front_mut()?;
        if let Some(waiter) = front.waiters.get(front.next) {
            front.next += 1;
            self.quantum -= 1;
            let many_waited = front.waiters.len() > QUANTUM as usize;
            return Some(Step::Waiter { waiter: *waiter, cause: front.cause.clone(), many_waited });
        }
        let streams = match front.cause {
            Cause::Feed(feed) => Some(Step::Feed(feed)),
            Cause::Reading => Some(Step::Read),
            _ => None,
        };
        if streams.is_some() {
            self.quantum = self.quantum.saturating_sub(1);
            return streams;
        }
        self.finish()
    }

    /// Ends the fan-out whose turn it is.
    pub(super) fn finish(&mut self) -> Option<Step> {
        let done = self.running.pop_front()?;
        self.quantum = QUANTUM;
        self.recycle(done.waiters);
        Some(Step::Done(done.cause))
    }

    /// A stream that reads takes as much of a turn as so many deliveries.
    pub(super) fn charge(&mut self, steps: u32) {
        self.quantum = self.quantum.saturating_sub(steps);
    }

    /// An empty list for a channel that had `waited` subscriptions: with the room of an earlier
    /// list, unless that is for many more, which would be kept for nothing.
    pub(super) fn spare(&mut self, waited: usize) -> Vec<SubscriptionKey> {
        let fits = |list: &Vec<SubscriptionKey>| list.capacity() / SPARE_ROOM <= waited;
        let found = self.spares.iter().position(fits);
        found.map(|index| self.spares.swap_remove(index)).unwrap_or_default()
    }

    /// Gives back the room of lists that are over.
    pub(super) fn shrink(&mut self) {
        self.spares = Vec::new();
    }

    fn recycle(&mut self, mut list: Vec<SubscriptionKey>) {
        if self.spares.len() < SPARES_MAX && list.capacity() > 16 {
            list.clear();
            self.spares.push(list);
        }
    }
}
