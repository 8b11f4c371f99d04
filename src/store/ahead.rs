//! Ahead: a channel as it will be when the batch that is being made is written, and what is asked
//! of it. Changes no channel.

use super::ask::Made;
use super::channels::Channels;
use super::memory::{Memory, QueueId};
use super::record::{ChannelRecord, MessageRecord, What};
use super::tombstones::Remains;
use crate::clock::Now;
use crate::message::{Content, MessageId};

/// What a durable store is asked to write down.
#[derive(Debug)]
pub(super) enum Question {
    Append { content: Content<Box<[u8]>>, create: bool, keep: bool },
    Create,
    Delete,
}

/// A channel as it will be when the batch that is being made is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    pub(super) exists: bool,
    /// It is there now, or room is kept for it.
    pub(super) has_room: bool,
    /// What its next message comes after.
    last: MessageId,
    /// The id of its newest message; 0:0 before the first.
    newest: MessageId,
    /// Its newest message that is kept; 0:0 for none.
    kept: MessageId,
    lost_through: MessageId,
}

impl Question {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append { content, .. } => content.bytes(),
            Self::Create | Self::Delete => 0,
        }
    }
}

impl Ahead {
    /// As it is.
    pub(super) fn of<W>(name: &[u8], channels: &Channels<W>, memory: &Memory) -> Self {
        match channels.find(name) {
            Some((_, channel)) => Self {
                exists: true,
                has_room: true,
                last: channel.last,
                newest: channel.newest_id(),
                kept: channel.queue.map_or(MessageId::default(), |queue| newest(memory, queue)),
                lost_through: channel.lost_through(memory),
            },
            None => {
                let Remains { last, lost_through } = channels.remains(name);
                let none = MessageId::default();
                let (exists, has_room) = (false, false);
                Self { exists, has_room, last, newest: none, kept: none, lost_through }
            }
        }
    }

    /// Does what is asked; gives what is written down for it. `written`: the channel's name, as
    /// that is written down.
    pub(super) fn change(
        &mut self,
        memory: &mut Memory,
        written: Box<[u8]>,
        question: Question,
        now: Now,
    ) -> What {
        let mut record = ChannelRecord {
            name: written,
            last: self.newest,
            lost_through: self.lost_through,
            gone_through: MessageId::default(),
            made: Some(Made::OnRequest),
        };
        match question {
            Question::Append { content, keep, .. } => {
                let (id, place) = memory.numbering.next(self.last, now.unix_s);
                let before = self.kept.max(self.lost_through);
                (self.exists, self.last, self.newest) = (true, id, id);
                if keep {
                    self.kept = id;
                }
                let (tag, channel) = (id.tag, record.name);
                What::Append {
                    message: MessageRecord { place, tag, before, channel, content },
                    keep,
                }
            }
            Question::Create => {
                self.exists = true;
                What::Create(record)
            }
            Question::Delete => {
                let none = MessageId::default();
                // Without messages there are no rows of them, and its own may be forgotten at once.
                if self.kept != none {
                    record.gone_through = memory.numbering.newest();
                }
                (self.exists, self.newest, self.kept) = (false, none, none);
                record.made = None;
                What::Delete(record)
            }
        }
    }
}

/// The id of the newest message that a queue has; 0:0 for none.
fn newest(memory: &Memory, queue: QueueId) -> MessageId {
    memory.newest_first(queue).next().map_or(MessageId::default(), |message| message.id())
}
