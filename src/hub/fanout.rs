//! Fan-outs: deliveries in progress, each with what it brings and the subscriptions that are still
//! to get it. Several run side by side in turns, so that a channel with one subscriber does not
//! wait for a channel with ten thousand. Never looks at a subscription.
//!
//! A long poll is in one fan-out at most. Streams stay on their channel: their fan-out is a feed,
//! which keeps their list and the order of its messages.

use std::collections::VecDeque;
use std::rc::Rc;

use super::api::{End, Information, Output};
use super::subscription::{FeedKey, Peer, Subscription, SubscriptionKey};
use super::waiters::Waiters;
use crate::clock::Now;
use crate::message::{Message, MessageId};
use crate::store::{ChannelKey, Stores};

/// Deliveries of one fan-out before it is another one's turn: less than 0.1 ms.
const QUANTUM: u32 = 16;

/// A fan-out to more than so many is large.
const MANY: usize = 64;

/// Lists that are kept to be used again, so that a channel that is published to again and again
/// does not grow its list anew each time.
const SPARES_MAX: usize = 4;

/// A recycled list may have at most this many times the capacity that was needed last.
const SPARE_ROOM: usize = 4;

/// What a fan-out brings.
#[derive(Debug)]
pub(super) enum Cause {
    /// A message, published on a channel whose losses reach through `lost_through`.
    /// `began`: as [`super::sent::Sent`] has it.
    Message { message: Rc<Message>, channel: ChannelKey, lost_through: MessageId, began: Now },
    /// The channel is deleted; then its publisher is told, if it still waits for that.
    Deleted { publisher: Option<Peer>, information: Information },
    /// The daemon stops.
    Shutdown,
    /// What is under way to the streams of one channel; the feed has their list.
    Feed(FeedKey),
    /// Streams that are behind are to read on; they have a list of their own.
    Reading,
}

impl Cause {
    /// What a poll is told that ends for this reason.
    pub(super) fn told(
        &self,
        held: &Subscription,
        many_waited: bool,
        stores: &Stores<Waiters>,
    ) -> Output {
        let &Subscription { peer, cursor, .. } = held;
        let end = match self {
            Self::Message { message, channel, lost_through, .. } => {
                let gap = stores.gap(*channel, cursor, *lost_through, message.sequence);
                let message = Rc::clone(message);
                return Output::Deliver { peer, message, gap, many_waited: Some(many_waited) };
            }
            Self::Deleted { .. } => End::Deleted,
            Self::Shutdown | Self::Feed(_) | Self::Reading => End::Shutdown,
        };
        Output::Ended { peer, end, cursor }
    }
}

#[derive(Debug)]
struct Fanout {
    cause: Cause,
    waiters: Vec<SubscriptionKey>,
    next: usize,
    /// How many had gone when their turn came.
    gone: usize,
}

/// One step of [`Fanouts::next`].
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// This subscription's turn; it may be gone. `many_waited`: the fan-out is large.
    Waiter { waiter: SubscriptionKey, cause: &'a Cause, many_waited: bool },
    /// A stream's turn.
    Feed(FeedKey),
    /// A stream's turn that is behind.
    Read,
    /// Every subscription had its turn with a message, which was brought to so many.
    Sent { channel: ChannelKey, id: MessageId, to: usize, began: Now },
    /// Every subscription had its turn. Whom to tell that the channel is deleted.
    Done(Option<(Peer, Information)>),
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
        self.running.push_back(Fanout { cause, waiters, next: 0, gone: 0 });
    }

    pub(super) fn next(&mut self) -> Option<Step<'_>> {
        if self.quantum == 0 {
            self.quantum = QUANTUM;
            if self.running.len() > 1 {
                self.running.rotate_left(1);
            }
        }
        let front = self.running.front_mut()?;
        let place = front.next;
        if place == front.waiters.len() {
            return self.next_behind_polls();
        }
        front.next += 1;
        self.quantum -= 1;
        let Fanout { cause, waiters, .. } = &self.running[0];
        let many_waited = waiters.len() > MANY;
        Some(Step::Waiter { waiter: waiters[place], cause, many_waited })
    }

    /// The next step of a fan-out whose subscriptions all had their turn.
    fn next_behind_polls(&mut self) -> Option<Step<'_>> {
        let front = self.running.front()?;
        let step = match &front.cause {
            &Cause::Feed(feed) => Step::Feed(feed),
            Cause::Reading => Step::Read,
            &Cause::Deleted { publisher, information } => {
                self.finish();
                return Some(Step::Done(publisher.map(|publisher| (publisher, information))));
            }
            &Cause::Message { ref message, channel, began, .. } => {
                let (id, to) = (message.id(), front.waiters.len() - front.gone);
                self.finish();
                return Some(Step::Sent { channel, id, to, began });
            }
            Cause::Shutdown => {
                self.finish();
                return Some(Step::Done(None));
            }
        };
        self.quantum = self.quantum.saturating_sub(1);
        Some(step)
    }

    /// The subscription whose turn it was has gone.
    pub(super) fn miss(&mut self) {
        if let Some(front) = self.running.front_mut() {
            front.gone += 1;
        }
    }

    /// Ends the fan-out whose turn it is.
    pub(super) fn finish(&mut self) {
        if let Some(done) = self.running.pop_front() {
            self.quantum = QUANTUM;
            self.recycle(done.waiters);
        }
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
