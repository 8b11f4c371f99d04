//! Channel: its ids, its losses and how long it lives. Changes nothing but itself, and never looks
//! at what the hub keeps with it.

use std::rc::Rc;

use super::ask::{Facts, Made, StoreId};
use super::memory::{Memory, QueueId};
use super::names::{Link, Listed};
use super::record::ChannelRecord;
use super::tombstones::Remains;
use crate::clock::Now;
use crate::message::{Cursor, MessageId};
use crate::wheel::TimerKey;

/// How long a channel made on request lives unused, milliseconds.
const ON_REQUEST_TIMEOUT_MS: u64 = 3_600_000;

/// How long a channel of several daemons is listened to unused, milliseconds.
pub(super) const LINGER_MS: u64 = 5000;

#[derive(Debug)]
pub(super) struct Channel<W> {
    pub(super) name: Rc<[u8]>,
    /// Its entry in the list that its name belongs to.
    link: Link,
    pub(super) store: StoreId,
    pub(super) made: Made,
    /// Of the newest message, or what the first must come after.
    pub(super) last: MessageId,
    /// Whether there was a message, so that `last` is one's id.
    published: bool,
    /// What earlier channels of its name may have lost, as known when it was made.
    pub(super) forgotten: MessageId,
    /// `None` until a message is kept.
    pub(super) queue: Option<QueueId>,
    /// When a subscriber last asked, milliseconds.
    pub(super) asked_ms: Option<u64>,
    /// When it was last used or last had a message or a held request, milliseconds.
    pub(super) used_ms: u64,
    /// Whether a request is held on it, as the hub says.
    pub(super) waited: bool,
    pub(super) idle_timer: Option<TimerKey>,
    /// It is of several daemons: whether it exists is not decided here.
    pub(super) is_mirror: bool,
    /// What the hub keeps with it.
    pub(super) kept: W,
}

impl<W: Default> Channel<W> {
    /// A channel called `name`, of which `before` is left from earlier ones of that name.
    pub(super) fn new(
        name: Rc<[u8]>,
        (store, made): (StoreId, Made),
        before: Remains,
        now: Now,
    ) -> Self {
        Self {
            name,
            link: Link::NONE,
            store,
            made,
            last: before.last,
            published: false,
            forgotten: before.lost_through,
            queue: None,
            asked_ms: None,
            used_ms: now.mono_ms,
            waited: false,
            idle_timer: None,
            is_mirror: false,
            kept: W::default(),
        }
    }
}

impl<W> Listed for Channel<W> {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn link(&self) -> Link {
        self.link
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

impl<W> Channel<W> {
    /// Notes a use that would have made it; it lives as long as the longest of them says.
    pub(super) fn used(&mut self, made: Made, now: Now) {
        self.made = self.made.max(made);
        self.used_ms = now.mono_ms;
    }

    /// Notes the id of a message published now.
    pub(super) fn published(&mut self, id: MessageId) {
        self.last = id;
        self.published = true;
    }

    /// Takes a message that was published before this process began; `before`: the message that was
    /// kept before it.
    pub(super) fn restored(&mut self, id: MessageId, before: MessageId) {
        if self.queue.is_none() {
            self.forgotten = self.forgotten.max(before);
        }
        self.published(id);
    }

    /// Behind its newest message; where there was none yet, `least` or what the first comes after.
    pub(super) fn newest(&self, least: Cursor) -> Cursor {
        if self.published || self.last > least.id() { Cursor::at(self.last) } else { least }
    }

    /// Of its newest message; 0:0 before the first.
    pub(super) fn newest_id(&self) -> MessageId {
        if self.published { self.last } else { MessageId::default() }
    }

    /// When it ends if it stays idle, milliseconds.
    pub(super) fn idle_due_ms(&self, channel_timeout_ms: u64) -> u64 {
        self.used_ms.saturating_add(match self.made {
            _ if self.is_mirror => LINGER_MS,
            Made::ToWait => 0,
            Made::ToPublish => channel_timeout_ms,
            Made::OnRequest => ON_REQUEST_TIMEOUT_MS,
        })
    }

    /// Whether it lives with no message and no held request.
    pub(super) fn is_idle(&self, memory: &Memory) -> bool {
        !self.waited && (self.is_mirror || self.queue.is_none_or(|queue| memory.is_empty(queue)))
    }

    /// The newest message that it has lost, or may have lost before it was made.
    pub(super) fn lost_through(&self, memory: &Memory) -> MessageId {
        self.queue.map_or(self.forgotten, |queue| memory.lost_through(queue))
    }

    /// What is remembered of it where its messages are gone; nothing of one that had none and was
    /// made to wait on.
    pub(super) fn record(&self, memory: &Memory) -> Option<ChannelRecord> {
        (self.published || self.made > Made::ToWait).then(|| ChannelRecord {
            name: self.store.written(&self.name).into(),
            last: self.newest_id(),
            lost_through: self.lost_through(memory),
            gone_through: MessageId::default(),
            made: Some(self.made),
        })
    }

    /// Whole seconds since a subscriber last asked.
    pub(super) fn asked_ago_s(&self, now: Now) -> Option<u64> {
        self.asked_ms.map(|asked_ms| now.mono_ms.saturating_sub(asked_ms) / 1000)
    }

    pub(super) fn facts(&self, memory: &Memory, now: Now) -> Facts {
        Facts {
            messages: self.queue.map_or(0, |queue| memory.len(queue)),
            requested: self.asked_ago_s(now),
            last_message_id: self.newest_id(),
        }
    }
}
