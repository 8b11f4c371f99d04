//! How holds, messages and channels end by time, and channels because nothing keeps them alive.

use super::api::End;
use super::channel::{ChannelKey, Origin};
use super::subscription::SubscriptionKey;
use super::tombstones::Remains;
use super::{Hub, Timer};
use crate::clock::Now;
use crate::store::StoreId;

/// Channels that are looked at in one turn after a reload: well below a millisecond.
const CHANNELS_AT_ONCE: usize = 1024;

impl Hub {
    pub(super) fn poll_timed_out(&mut self, key: SubscriptionKey, now: Now) {
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        subscription.timer = None;
        let channel = self.channels.get(subscription.channel);
        if channel.is_some_and(|channel| channel.epoch == subscription.epoch) {
            let (channel, subscription) = self.release(key).expect("found above");
            self.end(subscription.peer, End::NothingNew, subscription.cursor);
            self.settle(channel, now);
        }
        // Otherwise a fan-out has it, and ends it within moments.
    }

    /// Drops messages whose time is up, and settles the channels that have none left.
    pub(super) fn expire(&mut self, id: StoreId, now: Now) {
        self.stores[id.0 as usize].memory.expire(now.mono_ms);
        self.settle_store(id, now);
    }

    /// Sets a store's expiry timer and settles the channels that it emptied.
    pub(super) fn settle_store(&mut self, id: StoreId, now: Now) {
        while let Some(owner) = self.stores[id.0 as usize].memory.next_emptied() {
            self.settle(ChannelKey::from_bits(owner), now);
        }
        let store = &mut self.stores[id.0 as usize];
        // One that is behind needs no timer: it is gone on with in the next turn.
        let due = store.memory.next_expiry().filter(|_| !store.memory.is_behind());
        match (store.timer, due) {
            // A timer that is early looks again; it is left alone, not moved at each message.
            (Some((_, at)), Some(due)) if at <= due => {}
            (timer, due) => {
                if let Some((timer, _)) = timer {
                    self.wheel.cancel(timer);
                }
                store.timer = due.map(|at| (self.wheel.set(at, Timer::Expiry(id)), at));
            }
        }
    }

    /// Removes a channel that nothing keeps alive, or sets the timer that will.
    pub(super) fn settle(&mut self, key: ChannelKey, now: Now) {
        if !self.is_idle(key) {
            return;
        }
        let channel = self.channels.get_mut(key).expect("an idle channel lives");
        channel.used_ms = now.mono_ms;
        if channel.origin == Origin::Get {
            self.remove_channel(key);
        } else if channel.idle_timer.is_none() {
            let store = &self.stores[channel.store.0 as usize];
            let at_ms = now.mono_ms.saturating_add(channel.timeout_ms(store.channel_timeout_ms));
            channel.idle_timer = Some(self.wheel.set(at_ms, Timer::Idle(key)));
        }
    }

    pub(super) fn idle_timed_out(&mut self, key: ChannelKey, now: Now) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.idle_timer = None;
        let store = &self.stores[channel.store.0 as usize];
        let due = channel.used_ms.saturating_add(channel.timeout_ms(store.channel_timeout_ms));
        if !self.is_idle(key) {
            return;
        }
        if due <= now.mono_ms {
            self.remove_channel(key);
        } else {
            let timer = self.wheel.set(due, Timer::Idle(key));
            self.channels.get_mut(key).expect("an idle channel lives").idle_timer = Some(timer);
        }
    }

    /// After a reload: brings forward the timers of channels whose `channel_timeout` is shorter now, a
    /// bounded number of channels at once.
    pub(super) fn review(&mut self) {
        let Some(start) = self.reviewed else { return };
        let end = start + CHANNELS_AT_ONCE;
        for index in start..end {
            let Some((key, channel)) = self.channels.at(index) else { continue };
            let Some(timer) = channel.idle_timer else { continue };
            let timeout_ms = self.stores[channel.store.0 as usize].channel_timeout_ms;
            let due = channel.used_ms.saturating_add(channel.timeout_ms(timeout_ms));
            if self.wheel.due_ms(timer).is_some_and(|at| at > due) {
                self.wheel.cancel(timer);
                let timer = self.wheel.set(due, Timer::Idle(key));
                self.channels.get_mut(key).expect("just found").idle_timer = Some(timer);
            }
        }
        self.reviewed = (end < self.channels.slots()).then_some(end);
    }

    /// Whether a channel lives with no message and nobody waiting.
    pub(super) fn is_idle(&self, key: ChannelKey) -> bool {
        self.channels.get(key).is_some_and(|channel| {
            let memory = &self.stores[channel.store.0 as usize].memory;
            channel.waiting.is_empty() && channel.queue.is_none_or(|queue| memory.is_empty(queue))
        })
    }

    pub(super) fn remove_channel(&mut self, key: ChannelKey) {
        let Some(channel) = self.channels.remove(key) else { return };
        self.names.remove(&channel.name);
        if let Some(timer) = channel.idle_timer {
            self.wheel.cancel(timer);
        }
        let mut lost_through = channel.forgotten;
        if let Some(queue) = channel.queue {
            let memory = &mut self.stores[channel.store.0 as usize].memory;
            lost_through = memory.lost_through(queue);
            memory.close(queue);
        }
        self.departed.remember(&channel.name, Remains { last: channel.last, lost_through });
    }
}
