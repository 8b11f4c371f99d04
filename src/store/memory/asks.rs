//! Asks: how a question about a channel is answered from the memory of its store. Each function has
//! the channels and that memory; owns nothing itself.

use std::rc::Rc;

use super::Memory;
use crate::clock::Now;
use crate::message::{Cursor, Message};
use crate::store::ask::{Ask, ChannelKey, ChannelName, Deleted, Reply};
use crate::store::channel::Made;
use crate::store::channels::{Channels, NoChannel};

/// Answers a question about the channel called `name`, and settles the channels it emptied.
pub(in crate::store) fn answer<W: Default>(
    channels: &mut Channels<W>,
    memory: &mut Memory,
    name: ChannelName<'_>,
    ask: Ask<'_>,
    now: Now,
) -> Reply<W> {
    match ask {
        Ask::Append { content_type, body, create, keep } => {
            append(channels, memory, name, create, (content_type, body, keep), now)
        }
        Ask::Next { cursor, create, waits } => {
            next(channels, memory, name, cursor, (create, waits), now)
        }
        Ask::Create => match channels.find_or_make(name, true, Made::OnRequest, now) {
            Err(no_channel) => missing(no_channel),
            Ok((channel, _)) => {
                settle(channels, memory, channel, now);
                exists(channels, memory, channel, now)
            }
        },
        Ask::Inspect => match channels.find(name.name) {
            Some(channel) => exists(channels, memory, channel, now),
            None => Reply::Missing,
        },
        Ask::Delete => delete(channels, memory, name, now),
    }
}

fn append<W: Default>(
    channels: &mut Channels<W>,
    memory: &mut Memory,
    name: ChannelName<'_>,
    create: bool,
    (content_type, body, keep): (Option<&[u8]>, &[u8], bool),
    now: Now,
) -> Reply<W> {
    if keep && !memory.can_ever_fit(content_type, body) {
        return Reply::TooLarge;
    }
    let (key, channel) = match channels.find_or_make(name, create, Made::ToPublish, now) {
        Ok(found) => found,
        Err(no_channel) => return missing(no_channel),
    };
    let id = channel.next_id(now);
    let message = if keep {
        let queue = channel.queue().unwrap_or_else(|| {
            let queue = memory.open(key, channel.forgotten());
            channel.set_queue(queue);
            queue
        });
        memory.append(queue, id, content_type, body, now.mono_ms)
    } else {
        Rc::new(Message {
            id,
            sequence: channel.queue().map_or(0, |queue| memory.next_sequence(queue)),
            content_type: content_type.map(Into::into),
            body: body.into(),
        })
    };
    let lost_through = channel.lost_through(memory);
    let facts = channel.facts(memory, now);
    settle_emptied(channels, memory, now);
    if !keep {
        settle(channels, memory, key, now);
    }
    Reply::Appended { channel: key, message, lost_through, facts }
}

fn next<W: Default>(
    channels: &mut Channels<W>,
    memory: &Memory,
    name: ChannelName<'_>,
    cursor: Cursor,
    (create, waits): (bool, bool),
    now: Now,
) -> Reply<W> {
    // Made for one that does not wait, it would end at once.
    let made = channels.find_or_make(name, create && waits, Made::ToWait, now);
    let (key, channel) = match made {
        Ok(found) => found,
        Err(NoChannel::Missing) if create => {
            return Reply::Nothing { channel: None, last: cursor.id() };
        }
        Err(no_channel) => return missing(no_channel),
    };
    channel.asked(now);
    if let Some(queue) = channel.queue()
        && let Some((message, gap)) = memory.after(queue, cursor)
    {
        return Reply::Found { message, gap };
    }
    Reply::Nothing { channel: Some(key), last: channel.last() }
}

fn delete<W>(
    channels: &mut Channels<W>,
    memory: &mut Memory,
    name: ChannelName<'_>,
    now: Now,
) -> Reply<W> {
    let Some(key) = channels.find(name.name) else { return Reply::Missing };
    let facts = channels.get(key).expect("a named channel lives").facts(memory, now);
    let kept = remove(channels, memory, key).expect("a named channel lives");
    Reply::Deleted(Box::new(Deleted { facts, kept }))
}

fn exists<W>(channels: &Channels<W>, memory: &Memory, channel: ChannelKey, now: Now) -> Reply<W> {
    let facts = channels.get(channel).expect("a found channel lives").facts(memory, now);
    Reply::Exists { channel, facts }
}

fn missing<W>(no_channel: NoChannel) -> Reply<W> {
    match no_channel {
        NoChannel::Missing => Reply::Missing,
        NoChannel::TooMany => Reply::TooManyChannels,
    }
}

/// Settles the channels whose last message went.
pub(in crate::store) fn settle_emptied<W>(
    channels: &mut Channels<W>,
    memory: &mut Memory,
    now: Now,
) {
    while let Some(owner) = memory.next_emptied() {
        settle(channels, memory, owner, now);
    }
}

/// Removes a channel that nothing keeps alive, or sets the timer that will.
pub(in crate::store) fn settle<W>(
    channels: &mut Channels<W>,
    memory: &mut Memory,
    key: ChannelKey,
    now: Now,
) {
    let Some(channel) = channels.get(key).filter(|channel| channel.is_idle(memory)) else { return };
    if channel.is_made_to_wait() {
        remove(channels, memory, key);
    } else {
        channels.begin_idle(key, now);
    }
}

/// Removes a channel whose timer was due, if nothing has kept it alive meanwhile.
pub(in crate::store) fn idle_timed_out<W>(
    channels: &mut Channels<W>,
    memory: &mut Memory,
    key: ChannelKey,
    now: Now,
) {
    let is_idle = channels.get(key).is_some_and(|channel| channel.is_idle(memory));
    if is_idle && channels.is_over(key, now) {
        remove(channels, memory, key);
    }
}

/// Removes a channel with its messages; gives what the hub kept with it.
fn remove<W>(channels: &mut Channels<W>, memory: &mut Memory, key: ChannelKey) -> Option<W> {
    let channel = channels.get(key)?;
    let (lost_through, queue) = (channel.lost_through(memory), channel.queue());
    if let Some(queue) = queue {
        memory.close(queue);
    }
    channels.remove(key, lost_through)
}
