//! Holding: every held poll of one channel, with its timeout. Never decides whether it is held.

use super::subscription::{Held, Peer, Subscription, SubscriptionKey};
use super::waiters::Waiters;
use crate::arena::Arena;
use crate::clock::Now;
use crate::message::{Cursor, MessageId};
use crate::store::{ChannelKey, Stores};
use crate::wheel::Wheel;

/// See the module.
#[derive(Debug)]
pub(super) struct Holding {
    held: Arena<Subscription, Held>,
    timeouts: Wheel<SubscriptionKey>,
}

impl Holding {
    /// Nothing held yet.
    pub(super) fn new(now: Now) -> Self {
        Self { held: Arena::default(), timeouts: Wheel::new(now.mono_ms) }
    }

    /// Holds a poll on a channel whose newest id is `last`, until it is due, milliseconds.
    pub(super) fn hold(
        &mut self,
        peer: Peer,
        (channel, waiters): (ChannelKey, &mut Waiters),
        (cursor, last): (Cursor, MessageId),
        due_ms: Option<u64>,
    ) -> SubscriptionKey {
        let key = self.held.next_key();
        let timer = due_ms.map(|due_ms| self.timeouts.set(due_ms, key));
        let place = waiters.enter(key, cursor.id() > last);
        self.held.insert(Subscription { peer, channel, cursor, place, timer })
    }

    /// The channel that a poll is held on.
    pub(super) fn channel(&self, key: SubscriptionKey) -> Option<ChannelKey> {
        Some(self.held.get(key)?.channel)
    }

    /// Takes from a channel every subscription that the message `id` is for; leaves `spare`.
    pub(super) fn take_wanting(
        &mut self,
        waiters: &mut Waiters,
        id: MessageId,
        spare: Vec<SubscriptionKey>,
    ) -> Vec<SubscriptionKey> {
        let has_ahead = waiters.has_ahead();
        let mut taken = waiters.take(spare);
        if has_ahead {
            taken.retain(|key| {
                let subscription = self.held.get_mut(*key).expect("a listed subscription is held");
                let wants = subscription.cursor.wants(id);
                if !wants {
                    subscription.place = waiters.enter(*key, subscription.cursor.id() > id);
                }
                wants
            });
        }
        taken
    }

    /// Ends a hold: removes the subscription here and on its channel, and its timer.
    // In line what it gives stays in registers: in memory the cursor is written in pieces and read
    // back whole, and the processor waits for that, a fifth of a delivery (benches/hub.rs).
    #[inline(always)]
    pub(super) fn release(
        &mut self,
        key: SubscriptionKey,
        stores: &mut Stores<Waiters>,
    ) -> Option<Subscription> {
        let subscription = self.held.remove(key)?;
        if let Some(timer) = subscription.timer {
            self.timeouts.cancel(timer);
        }
        if let Some(waiters) = stores.kept_mut(subscription.channel)
            && let Some(moved) = waiters.leave(subscription.place)
        {
            let moved = self.held.get_mut(moved).expect("a listed subscription is held");
            moved.place.slot = subscription.place.slot;
        }
        Some(subscription)
    }

    /// A subscription whose time is up, and that no fan-out has taken: that ends it within moments.
    pub(super) fn pop_timed_out(
        &mut self,
        stores: &Stores<Waiters>,
        now: Now,
    ) -> Option<Option<SubscriptionKey>> {
        let key = self.timeouts.pop_expired(now.mono_ms)?;
        let waits = self.held.get_mut(key).is_some_and(|subscription| {
            subscription.timer = None;
            let waiters = stores.kept(subscription.channel);
            waiters.is_some_and(|waiters| waiters.has(subscription.place))
        });
        Some(waits.then_some(key))
    }

    pub(super) fn shrink(&mut self) {
        self.held.shrink();
        self.timeouts.shrink();
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn timers(&self) -> usize {
        self.timeouts.len()
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.timeouts.next_deadline()
    }

    /// Compares the subscriptions with the lists of their channels; for tests. `all_wait`: no
    /// fan-out has any of them.
    pub(super) fn check_invariants(&self, stores: &Stores<Waiters>, all_wait: bool) {
        let mut waiting = 0;
        for (channel, waiters) in stores.iter() {
            waiting += waiters.len();
            for (key, place) in waiters.iter() {
                let subscription = self.held.get(key).expect("a listed subscription is held");
                assert_eq!((subscription.channel, subscription.place), (channel, place));
            }
        }
        assert!(waiting <= self.held.len(), "a held request waits or is being told");
        assert!(!all_wait || waiting == self.held.len(), "a held request waits");
    }
}
