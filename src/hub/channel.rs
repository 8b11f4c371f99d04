//! One channel: its last id, who waits on it, and how long it lives. Changes nothing but itself.

use std::rc::Rc;

use super::subscription::SubscriptionKey;
use super::tombstones::Remains;
use crate::arena::Key;
use crate::clock::Now;
use crate::message::{Cursor, MessageId};
use crate::store::StoreId;
use crate::store::memory::QueueId;
use crate::wheel::TimerKey;

/// Names a channel to the hub.
#[derive(Debug, Clone, Copy)]
pub struct ChannelName<'a> {
    /// Where its messages are kept.
    pub store: StoreId,
    /// Its id, made unique over stores and channel groups by a prefix of the caller's.
    pub name: &'a [u8],
}

/// What a publisher is told of a channel (Basic HTTP Push Relay Protocol 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Information {
    /// Messages in the queue.
    pub messages: usize,
    /// Whole seconds since a subscriber last asked; `None` for never.
    pub requested: Option<u64>,
    /// Requests held.
    pub subscribers: usize,
    /// Of the newest message; 0:0 before the first.
    pub last_message_id: MessageId,
}

/// How a channel came to be, which says how long it lives with no message and no held request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// By a subscriber: not at all.
    Get,
    /// By a message: for the store's `channel_timeout`.
    Post,
    /// By PUT: until it was not used for an hour.
    Put,
}

/// How long a channel made by PUT lives unused, milliseconds.
const PUT_TIMEOUT_MS: u64 = 3_600_000;

/// Room for so many who wait is kept, be it used or not.
const ROOM_KEPT: usize = 16;

/// Names a channel while it exists.
pub(super) type ChannelKey = Key<Channel>;

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: Rc<[u8]>,
    pub(super) store: StoreId,
    pub(super) origin: Origin,
    /// Of the newest message, or what the first must come after.
    pub(super) last: MessageId,
    /// Whether there was a message, so that `last` is one's id.
    pub(super) published: bool,
    /// What earlier channels of its name may have lost, as known when it was made.
    pub(super) forgotten: MessageId,
    /// `None` until a message is kept.
    pub(super) queue: Option<QueueId>,
    /// Who waits; in the order they came but for those who took the place of one who left.
    pub(super) waiting: Vec<SubscriptionKey>,
    /// Counts the fan-outs: a subscription of an earlier epoch is no longer in `waiting`.
    pub(super) epoch: u32,
    /// How many of `waiting` may have a cursor ahead of the next message.
    pub(super) ahead: u32,
    /// When a subscriber last asked, milliseconds.
    asked_ms: Option<u64>,
    /// When it was last used or last had a message or a held request, milliseconds.
    pub(super) used_ms: u64,
    pub(super) idle_timer: Option<TimerKey>,
}

impl Channel {
    pub(super) fn new(
        name: Rc<[u8]>,
        store: StoreId,
        origin: Origin,
        before: Remains,
        now: Now,
    ) -> Self {
        Self {
            name,
            store,
            origin,
            last: before.last,
            published: false,
            forgotten: before.lost_through,
            queue: None,
            waiting: Vec::new(),
            epoch: 0,
            ahead: 0,
            asked_ms: None,
            used_ms: now.mono_ms,
            idle_timer: None,
        }
    }

    pub(super) fn asked(&mut self, now: Now) {
        self.asked_ms = Some(now.mono_ms);
        self.used_ms = now.mono_ms;
    }

    /// Gives the id of a message published now.
    pub(super) fn next_id(&mut self, now: Now) -> MessageId {
        self.last = self.last.next(now.unix_s);
        self.published = true;
        self.last
    }

    pub(super) fn information(&self, messages: usize, now: Now) -> Information {
        Information {
            messages,
            requested: self.asked_ms.map(|asked| now.mono_ms.saturating_sub(asked) / 1000),
            subscribers: self.waiting.len(),
            last_message_id: if self.published { self.last } else { MessageId::default() },
        }
    }

    /// Enters a subscription and gives its place and epoch.
    pub(super) fn hold(&mut self, subscription: SubscriptionKey, cursor: Cursor) -> (u32, u32) {
        let slot = self.waiting.len() as u32;
        if self.waiting.is_empty() {
            // Most channels have one subscriber; a first `push` would make room for four.
            self.waiting.reserve_exact(1);
        }
        self.waiting.push(subscription);
        if cursor.id() > self.last {
            self.ahead += 1;
        }
        (slot, self.epoch)
    }

    /// Takes out the subscription at `slot`; gives the one that has that place now.
    pub(super) fn leave(&mut self, slot: u32) -> Option<SubscriptionKey> {
        self.waiting.swap_remove(slot as usize);
        if self.waiting.is_empty() {
            self.ahead = 0;
        }
        let room = self.waiting.capacity();
        if room > ROOM_KEPT && self.waiting.len() < room / 4 {
            // By half, so that a crowd of which some go and come does not move each time.
            let room = if self.waiting.is_empty() { 0 } else { room / 2 };
            self.waiting.shrink_to(room);
        }
        self.waiting.get(slot as usize).copied()
    }

    /// Takes out everyone who waits, and leaves `spare` (empty) to wait in. O(1).
    pub(super) fn take_waiting(&mut self, spare: Vec<SubscriptionKey>) -> Vec<SubscriptionKey> {
        self.epoch = self.epoch.wrapping_add(1);
        self.ahead = 0;
        std::mem::replace(&mut self.waiting, spare)
    }

    /// How long it lives from `used_ms` on, with no message and nobody waiting.
    pub(super) fn timeout_ms(&self, channel_timeout_ms: u64) -> u64 {
        match self.origin {
            Origin::Get => 0,
            Origin::Post => channel_timeout_ms,
            Origin::Put => PUT_TIMEOUT_MS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;

    #[test]
    fn one_who_stays_of_a_crowd_does_not_keep_its_room() {
        let now = Now { mono_ms: 0, unix_s: 0 };
        let before = Remains { last: MessageId::default(), lost_through: MessageId::default() };
        let name = Rc::from(&b"a"[..]);
        let mut channel = Channel::new(name, StoreId(0), Origin::Get, before, now);
        let mut keys = Arena::default();
        for _ in 0..10_000 {
            channel.hold(keys.insert(()), Cursor::at(MessageId::default()));
        }
        for _ in 1..10_000 {
            channel.leave(0);
        }
        assert_eq!(channel.waiting.len(), 1);
        assert!(channel.waiting.capacity() <= ROOM_KEPT, "{}", channel.waiting.capacity());
        // A few that come and go find their room.
        let room = channel.waiting.capacity();
        for _ in 0..3 {
            channel.hold(keys.insert(()), Cursor::at(MessageId::default()));
            channel.leave(0);
            assert_eq!(channel.waiting.capacity(), room);
        }
    }
}
