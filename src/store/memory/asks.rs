//! Asks: how a question about a channel is answered from the memory of its store, and which
//! channels end with that.

use std::rc::Rc;

use super::Memory;
use crate::clock::Now;
use crate::message::{Cursor, Message};
use crate::store::ask::{Ask, ChannelKey, ChannelName, Reply};
use crate::store::channel::Made;
use crate::store::channels::{Channels, NoChannel};

/// See the module.
pub(in crate::store) struct Asks<'a, W> {
    pub(in crate::store) channels: &'a mut Channels<W>,
    /// Of one store; only questions about its channels are asked.
    pub(in crate::store) memory: &'a mut Memory,
    pub(in crate::store) now: Now,
}

impl<W: Default> Asks<'_, W> {
    /// Answers a question about the channel called `name`, and settles the channels it emptied.
    pub(in crate::store) fn answer(&mut self, name: ChannelName<'_>, ask: Ask<'_>) -> Reply<W> {
        let answer = match ask {
            Ask::Append { content_type, body, create, keep } => {
                self.append(name, create, (content_type, body, keep))
            }
            Ask::Next { cursor, create, waits } => self.next(name, cursor, (create, waits)),
            Ask::Create => self.create(name),
            Ask::Inspect => self.inspect(name),
            Ask::Delete => self.delete(name),
        };
        answer.unwrap_or_else(|no_channel| match no_channel {
            NoChannel::Missing => Reply::Missing,
            NoChannel::TooMany => Reply::TooManyChannels,
        })
    }

    fn append(
        &mut self,
        name: ChannelName<'_>,
        create: bool,
        (content_type, body, keep): (Option<&[u8]>, &[u8], bool),
    ) -> Result<Reply<W>, NoChannel> {
        let Self { channels, memory, now } = self;
        if keep && !memory.can_ever_fit(content_type, body) {
            return Ok(Reply::TooLarge);
        }
        let (key, channel) = channels.find_or_make(name, create, Made::ToPublish, *now)?;
        let id = channel.next_id(*now);
        let message = if keep {
            let forgotten = channel.forgotten;
            let queue = *channel.queue.get_or_insert_with(|| memory.open(key, forgotten));
            memory.append(queue, id, content_type, body, now.mono_ms)
        } else {
            Rc::new(Message {
                id,
                sequence: channel.queue.map_or(0, |queue| memory.next_sequence(queue)),
                content_type: content_type.map(Into::into),
                body: body.into(),
            })
        };
        let lost_through = channel.lost_through(memory);
        let facts = channel.facts(memory, *now);
        self.settle_emptied();
        if !keep {
            self.settle(key);
        }
        Ok(Reply::Appended { channel: key, message, lost_through, facts })
    }

    fn next(
        &mut self,
        name: ChannelName<'_>,
        cursor: Cursor,
        (create, waits): (bool, bool),
    ) -> Result<Reply<W>, NoChannel> {
        // Made for one that does not wait, it would end at once.
        let made = self.channels.find_or_make(name, create && waits, Made::ToWait, self.now);
        let (key, channel) = match made {
            Err(NoChannel::Missing) if create => {
                return Ok(Reply::Nothing { channel: None, last: cursor.id() });
            }
            made => made?,
        };
        channel.asked_ms = Some(self.now.mono_ms);
        let found = channel.queue.and_then(|queue| self.memory.after(queue, cursor));
        Ok(match found {
            Some((message, gap)) => Reply::Found { message, gap },
            None => Reply::Nothing { channel: Some(key), last: channel.last },
        })
    }

    fn create(&mut self, name: ChannelName<'_>) -> Result<Reply<W>, NoChannel> {
        let (key, _) = self.channels.find_or_make(name, true, Made::OnRequest, self.now)?;
        self.settle(key);
        self.inspect(name)
    }
}

impl<W> Asks<'_, W> {
    fn inspect(&self, name: ChannelName<'_>) -> Result<Reply<W>, NoChannel> {
        let (key, channel) = self.channels.find(name.name).ok_or(NoChannel::Missing)?;
        Ok(Reply::Exists { channel: key, facts: channel.facts(self.memory, self.now) })
    }

    fn delete(&mut self, name: ChannelName<'_>) -> Result<Reply<W>, NoChannel> {
        let (key, channel) = self.channels.find(name.name).ok_or(NoChannel::Missing)?;
        let facts = channel.facts(self.memory, self.now);
        let kept = self.remove(key).ok_or(NoChannel::Missing)?;
        Ok(Reply::Deleted { facts, kept })
    }

    /// Settles the channels whose last message went.
    pub(in crate::store) fn settle_emptied(&mut self) {
        while let Some(owner) = self.memory.next_emptied() {
            self.settle(owner);
        }
    }

    /// Removes a channel that nothing keeps alive, or sets the timer that will.
    pub(in crate::store) fn settle(&mut self, key: ChannelKey) {
        let channel = self.channels.get(key).filter(|channel| channel.is_idle(self.memory));
        match channel.map(|channel| channel.made) {
            None => {}
            Some(Made::ToWait) => drop(self.remove(key)),
            Some(_) => self.channels.begin_idle(key, self.now),
        }
    }

    /// Removes a channel whose timer was due, if nothing has kept it alive meanwhile.
    pub(in crate::store) fn idle_timed_out(&mut self, key: ChannelKey) {
        let is_idle = self.channels.get(key).is_some_and(|channel| channel.is_idle(self.memory));
        if is_idle && self.channels.is_over(key, self.now) {
            self.remove(key);
        }
    }

    /// Removes a channel with its messages; gives what the hub kept with it.
    fn remove(&mut self, key: ChannelKey) -> Option<W> {
        let channel = self.channels.get(key)?;
        let (lost_through, queue) = (channel.lost_through(self.memory), channel.queue);
        if let Some(queue) = queue {
            self.memory.close(queue);
        }
        self.channels.remove(key, lost_through)
    }
}
