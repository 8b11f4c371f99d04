//! Local: the channels of the store that are listened to, as this daemon has them, and their newest
//! messages. Asks Redis nothing.

use std::rc::Rc;

use super::announcement::Announced;
use super::mirrors::Mirrors;
use crate::clock::Now;
use crate::message::{Cursor, Message, MessageId, Order};
use crate::store::ask::{Ask, AskAll, ChannelKey, ChannelName, Reply, Start, StoreId};
use crate::store::memory::asks::Asks;
use crate::store::tombstones::Remains;

/// See the module.
pub(super) struct Local<'a, W> {
    pub(super) asks: Asks<'a, W>,
    pub(super) mirrors: &'a mut Mirrors,
    pub(super) store: StoreId,
}

impl<W: Default> Local<'_, W> {
    /// The channel of a mirror, made if need be, of which a message up to `kept` was kept; `None`:
    /// it is not listened to, or `limits.channels` is reached.
    pub(super) fn channel(&mut self, name: &[u8], kept: MessageId) -> Option<ChannelKey> {
        let Self { asks: Asks { channels, memory, now }, mirrors, store } = self;
        let mirror = mirrors.get_mut(name)?;
        if let Some(key) = mirror.channel.filter(|key| channels.get(*key).is_some()) {
            return Some(key);
        }
        if !channels.has_room_for(0) {
            return None;
        }
        let remains = Remains { last: mirror.last, lost_through: kept };
        let key = channels.make_mirror(ChannelName { store: *store, name }, remains, *now);
        let queue = memory.open_mirror(key, kept);
        channels.get_mut(key)?.queue = Some(queue);
        mirror.channel = Some(key);
        mirror.covered = mirror.covered.max(mirror.last);
        channels.begin_idle(key, *now);
        mirrors.begin_lease(name, *now);
        Some(key)
    }

    /// Publishes the next message of a channel here; it is so old, milliseconds.
    pub(super) fn bring(
        &mut self,
        name: &[u8],
        announced: Announced,
        age_ms: u64,
    ) -> Option<Reply<W>> {
        let Announced { id, number, kept, is_stored, content, .. } = announced;
        let key = self.channel(name, kept);
        if let Some(key) = key {
            self.miss(name, key, kept);
        }
        let Self { asks: Asks { channels, memory, now }, mirrors, .. } = self;
        let mirror = mirrors.get_mut(name)?;
        mirror.last = mirror.last.max(id);
        let (key, content) = (key?, content?);
        let fits = content.bytes() <= memory.content_bytes_max();
        if is_stored && !fits {
            mirror.covered = id;
        }
        let sequence = memory.sequence(channels.get(key)?.queue);
        let message = Message { time: id.time, tag: id.tag, number, sequence, content };
        // One list has all messages in the order in which they expire.
        let mono_ms = now.mono_ms.saturating_sub(age_ms).max(memory.list.newest_ms());
        let now = Now { mono_ms: mono_ms.min(now.mono_ms), ..*now };
        let published = Asks { channels, memory, now }.publish(key, message, is_stored && fits);
        Some(match published {
            Reply::Appended { channel, message, facts, .. } => {
                Reply::Appended { channel, message, kept: is_stored, lost_through: kept, facts }
            }
            other => other,
        })
    }

    /// Messages up to `kept` that were never here are gone: whoever is behind them has missed them,
    /// and what is here of before them is of no use.
    fn miss(&mut self, name: &[u8], key: ChannelKey, kept: MessageId) {
        let Asks { channels, memory, .. } = &mut self.asks;
        if self.mirrors.get(name).is_some_and(|mirror| mirror.last < kept)
            && let Some(channel) = channels.get_mut(key)
            && let Some(queue) = channel.queue.replace(memory.open_mirror(key, kept))
        {
            memory.close(queue, &channel.name);
        }
    }

    /// Ends a channel that was deleted, if it is here.
    pub(super) fn delete(&mut self, name: &[u8]) -> Option<Reply<W>> {
        let now = self.asks.now;
        let key = self.mirrors.get(name)?.channel?;
        self.mirrors.leave(name, now);
        let channel = self.asks.channels.get(key)?;
        let facts = channel.facts(self.asks.memory, now);
        let kept = self.asks.remove(key)?;
        Some(Reply::Deleted { channel: key, facts, kept })
    }

    /// Answers a question about one channel as Redis would; `None`: Redis is to be asked.
    pub(super) fn next(&mut self, name: &[u8], start: Start) -> Option<Reply<W>> {
        if !self.decides(name, Order::Channel, start.cursor) {
            return None;
        }
        let name = ChannelName { store: self.store, name };
        let reply = self.asks.answer(name, Ask::Next(start));
        // What another daemon has answered for may still have to be announced here: who waits is
        // told then.
        (start.waits || !matches!(reply, Reply::Nothing { .. })).then_some(reply)
    }

    /// The same of several, of which all is known here.
    pub(super) fn all(&mut self, order: Order, ask: AskAll<'_>, waits: bool) -> Option<Reply<W>> {
        let reply = self.asks.answer_all(self.store, order, ask);
        (waits || !matches!(reply, Reply::Followed { owed: None, .. })).then_some(reply)
    }

    /// Whether a subscriber behind the cursor is answered as Redis would.
    pub(super) fn decides(&self, name: &[u8], order: Order, cursor: Cursor) -> bool {
        let Some(mirror) = self.mirrors.get(name) else { return false };
        let Some(channel) = mirror.channel.and_then(|key| self.asks.channels.get(key)) else {
            return false;
        };
        let reach = mirror.covered.max(channel.lost_through(self.asks.memory));
        let is_behind = match order {
            Order::Channel => cursor.id() >= reach,
            Order::Store => cursor.id() >= MessageId { tag: u32::MAX, ..reach },
        };
        self.mirrors.is_live(mirror) && is_behind && !cursor.is_oldest()
    }

    /// The first message behind a place that is here of one of these channels.
    pub(super) fn after_place(
        &self,
        names: &[Rc<[u8]>],
        cursor: Cursor,
    ) -> Option<(Rc<Message>, Rc<[u8]>)> {
        let all = names.iter().filter_map(|name| {
            let channel = self.asks.channels.get(self.mirrors.get(name)?.channel?)?;
            Some((self.asks.memory.after_place(channel.queue?, cursor)?, name))
        });
        let (message, name) = all.min_by_key(|(message, _)| message.place())?;
        Some((Rc::clone(message), Rc::clone(name)))
    }
}
