//! Holding requests on a channel and letting them go, in step with the channel's list.

use super::api::{End, Output, Subscribe};
use super::channel::ChannelKey;
use super::subscription::{Peer, Subscription, SubscriptionKey};
use super::{Hub, Timer};
use crate::clock::Now;
use crate::message::MessageId;

impl Hub {
    /// Takes from a channel everyone whose cursor is before `id`.
    pub(super) fn take_who_wants(
        &mut self,
        key: ChannelKey,
        id: MessageId,
    ) -> Vec<SubscriptionKey> {
        let channel = self.channels.get_mut(key).expect("a found channel lives");
        if channel.waiting.is_empty() {
            return Vec::new();
        }
        let some_ahead = channel.ahead > 0;
        let spare = self.fanouts.spare(channel.waiting.len());
        let mut waiters = channel.take_waiting(spare);
        if some_ahead {
            waiters.retain(|waiter| {
                let held = self.subscriptions.get_mut(*waiter).expect("who waits is held");
                let wants = held.cursor.wants(id);
                if !wants {
                    (held.slot, held.epoch) = channel.hold(*waiter, held.cursor);
                }
                wants
            });
        }
        waiters
    }

    pub(super) fn hold(&mut self, peer: Peer, channel: ChannelKey, subscribe: Subscribe, now: Now) {
        let subscription = self.subscriptions.next_key();
        let timer = (subscribe.timeout_ms != 0).then(|| {
            let at_ms = now.mono_ms.saturating_add(self.jittered(subscribe.timeout_ms));
            self.wheel.set(at_ms, Timer::Poll(subscription))
        });
        let cursor = subscribe.cursor;
        let entry = self.channels.get_mut(channel).expect("a found channel lives");
        let (slot, epoch) = entry.hold(subscription, cursor);
        self.subscriptions.insert(Subscription { peer, channel, cursor, slot, epoch, timer });
        self.outputs.push_back(Output::Held { peer, subscription });
    }

    /// Up to a tenth less than `timeout_ms`, so that subscribers that came together do not all
    /// come back together.
    fn jittered(&mut self, timeout_ms: u64) -> u64 {
        // Xorshift: jitter needs no better.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        timeout_ms - self.random % (timeout_ms / 10 + 1)
    }

    /// Removes a held subscription everywhere; gives it with its channel.
    pub(super) fn release(&mut self, key: SubscriptionKey) -> Option<(ChannelKey, Subscription)> {
        let subscription = self.subscriptions.remove(key)?;
        if let Some(timer) = subscription.timer {
            self.wheel.cancel(timer);
        }
        if let Some(channel) = self.channels.get_mut(subscription.channel)
            && channel.epoch == subscription.epoch
            && let Some(moved) = channel.leave(subscription.slot)
        {
            let moved = self.subscriptions.get_mut(moved).expect("who waits is held");
            moved.slot = subscription.slot;
        }
        Some((subscription.channel, subscription))
    }

    /// Answers everyone who waits on a channel with 409.
    pub(super) fn displace(&mut self, key: ChannelKey) {
        let channel = self.channels.get_mut(key).expect("a found channel lives");
        for waiter in channel.take_waiting(Vec::new()) {
            if let Some((_, subscription)) = self.release(waiter) {
                self.end(subscription.peer, End::Displaced, subscription.cursor);
            }
        }
    }
}
