//! Record: what a durable store writes down and reads again at a start. Values only, which may
//! cross to another thread.

use super::ask::{Made, StoreId, Ticket};
use crate::message::{Content, Message, MessageId};

/// A message that is kept, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRecord {
    /// Its place in its store, which no other message ever has; places only grow.
    pub place: MessageId,
    /// Its id in its channel is this tag in the second of its place.
    pub tag: u32,
    /// The id of the message that its channel kept before it; 0:0 for none. From it a later start
    /// knows whether something is lost between them.
    pub before: MessageId,
    /// The name of its channel.
    pub channel: Box<[u8]>,
    /// What the publisher gave.
    pub content: Content<Box<[u8]>>,
}

impl MessageRecord {
    /// Its id in its channel.
    #[must_use]
    pub fn id(&self) -> MessageId {
        MessageId { time: self.place.time, tag: self.tag }
    }

    /// The message, the `sequence`th of its channel.
    pub(super) fn message(self, sequence: u64) -> Message {
        let Self { place, tag, content, .. } = self;
        Message { time: place.time, tag, number: place.tag, sequence, content }
    }
}

/// What is remembered of a channel beside its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRecord {
    /// Its name.
    pub name: Box<[u8]>,
    /// The id of its newest message; 0:0 before the first.
    pub last: MessageId,
    /// The newest message that it lost to expiry or limits.
    pub lost_through: MessageId,
    /// Its messages with a place up to this one are deleted, though their rows may still be there.
    pub gone_through: MessageId,
    /// What keeps it alive without messages; `None`: it has ended.
    pub made: Option<Made>,
}

/// What a store has written down, one thing after the other: all channels, then the messages in the
/// order of their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restored {
    /// A channel that is remembered beside its messages.
    Channel(ChannelRecord),
    /// A message.
    Message(MessageRecord),
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is written down.
    Written,
    /// Nothing of it is: the disk is full or broken.
    Refused,
}

/// What is written down in one transaction of a store.
#[derive(Debug)]
pub struct Batch {
    pub(super) store: StoreId,
    pub(super) changes: Vec<Change>,
    pub(super) notes: Notes,
    /// See [`Batch::settled`].
    pub(super) settled: MessageId,
}

/// What a caller waits for.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) ticket: Ticket,
    pub(super) what: What,
}

/// What is asked of a durable store.
#[derive(Debug)]
pub(super) enum What {
    /// A message; `keep`: for later cursors, too. One that is not kept is not written down, but
    /// published in its turn.
    Append { message: MessageRecord, keep: bool },
    /// A channel that is made or kept alive.
    Create(ChannelRecord),
    /// A channel that is deleted with its messages.
    Delete(ChannelRecord),
}

/// What has happened in memory and is not written down yet. Nobody waits for it.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Channels without messages.
    pub(super) channels: Vec<ChannelRecord>,
    /// The places of messages that have gone.
    pub(super) gone: Vec<MessageId>,
}

impl Batch {
    /// Whose it is.
    #[must_use]
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// How many bytes its messages have.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.messages().map(|message| message.content.bytes()).sum()
    }

    /// Messages to be written down, in the order of their places.
    pub fn messages(&self) -> impl Iterator<Item = &MessageRecord> {
        self.changes.iter().filter_map(|change| match &change.what {
            What::Append { message, keep: true } => Some(message),
            _ => None,
        })
    }

    /// What is remembered of channels from now on, in place of what was; the greater
    /// `gone_through` stays.
    pub fn channels(&self) -> impl Iterator<Item = &ChannelRecord> {
        let asked = self.changes.iter().filter_map(|change| match &change.what {
            What::Create(channel) | What::Delete(channel) => Some(channel),
            What::Append { .. } => None,
        });
        self.notes.channels.iter().chain(asked)
    }

    /// Places whose messages are to be struck out.
    #[must_use]
    pub fn gone(&self) -> &[MessageId] {
        &self.notes.gone
    }

    /// Of channels that have ended, those whose `gone_through` is before this place may be
    /// forgotten: all their messages are struck out.
    #[must_use]
    pub fn settled(&self) -> MessageId {
        self.settled
    }
}

#[cfg(all(test, feature = "persist"))]
impl Batch {
    /// For tests of who writes it: nobody waits for these.
    pub(crate) fn of_rows(
        store: StoreId,
        messages: Vec<MessageRecord>,
        channels: Vec<ChannelRecord>,
        gone: Vec<MessageId>,
        settled: MessageId,
    ) -> Self {
        let ticket = Ticket::patient(std::num::NonZeroU64::MIN, store);
        let append = |message| Change { ticket, what: What::Append { message, keep: true } };
        let changes = messages.into_iter().map(append).collect();
        Self { store, changes, notes: Notes { channels, gone }, settled }
    }
}

impl What {
    pub(super) fn content_bytes(&self) -> usize {
        match self {
            Self::Append { message, .. } => message.content.bytes(),
            Self::Create(_) | Self::Delete(_) => 0,
        }
    }
}

impl Notes {
    /// Puts older notes before these.
    pub(super) fn put_before(&mut self, mut older: Self) {
        older.channels.append(&mut self.channels);
        older.gone.append(&mut self.gone);
        *self = older;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.gone.is_empty()
    }
}
