//! Words of a store: what the hub asks of it, and what it answers. Values only.

use std::num::NonZeroU64;
use std::rc::Rc;

use crate::arena::Key;
use crate::message::{Cursor, Message, MessageId};

/// Which of the configured stores: an index into their list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub u16);

impl StoreId {
    /// The place in the list.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What a [`ChannelKey`] names: a channel, whatever the hub keeps with it.
#[derive(Debug)]
pub enum Named {}

/// Names a channel while it exists.
pub type ChannelKey = Key<Named>;

/// Names a channel to a store.
#[derive(Debug, Clone, Copy)]
pub struct ChannelName<'a> {
    /// Where its messages are kept.
    pub store: StoreId,
    /// Its id, made unique over stores and channel groups by a prefix of the caller's.
    pub name: &'a [u8],
}

/// A question about one channel.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// Publish a message. Answered `Appended`, `Missing`, `TooManyChannels` or `TooLarge`.
    Append {
        /// The publisher's `Content-Type`.
        content_type: Option<&'a [u8]>,
        /// The body.
        body: &'a [u8],
        /// Makes the channel where it is missing.
        create: bool,
        /// Keeps the message for later cursors.
        keep: bool,
    },
    /// Find the first message after a cursor. Answered `Found`, `Nothing`, `Missing` or
    /// `TooManyChannels`.
    Next {
        /// Where the subscriber stands.
        cursor: Cursor,
        /// Makes the channel where it is missing and the subscriber waits.
        create: bool,
        /// Whether the subscriber waits where there is no message.
        waits: bool,
    },
    /// Make the channel where it is missing. Answered `Exists` or `TooManyChannels`.
    Create,
    /// Look at the channel. Answered `Exists` or `Missing`.
    Inspect,
    /// Delete the channel with its messages. Answered `Deleted` or `Missing`.
    Delete,
}

/// What a store answers. `W` is what the hub keeps with each channel.
#[derive(Debug)]
pub enum Reply<W> {
    /// The message has its id, and is kept if that was asked.
    Appended {
        /// The channel.
        channel: ChannelKey,
        /// The message.
        message: Rc<Message>,
        /// The newest message that the channel has lost to expiry or limits.
        lost_through: MessageId,
        /// The channel after it.
        facts: Facts,
    },
    /// The first message after the cursor.
    Found {
        /// The message.
        message: Rc<Message>,
        /// What is missing between the cursor and it.
        gap: Gap,
    },
    /// No message comes after the cursor.
    Nothing {
        /// The channel; `None`: there is none, and none was made for one that does not wait.
        channel: Option<ChannelKey>,
        /// Every later message has an id above this one.
        last: MessageId,
    },
    /// The channel exists (now).
    Exists {
        /// The channel.
        channel: ChannelKey,
        /// What is known of it.
        facts: Facts,
    },
    /// The channel is gone. Boxed: rare, and the largest.
    Deleted(Box<Deleted<W>>),
    /// There is no such channel.
    Missing,
    /// `limits.channels` is reached.
    TooManyChannels,
    /// The message alone exceeds `max_memory`.
    TooLarge,
}

/// What is left of a channel that was deleted.
#[derive(Debug)]
pub struct Deleted<W> {
    /// What was known of it.
    pub facts: Facts,
    /// What the hub kept with it.
    pub kept: W,
}

/// When an answer comes.
#[derive(Debug)]
pub enum Answer<W> {
    /// At once.
    Now(Reply<W>),
    /// From [`super::Stores::next_reply`], under this ticket; or never.
    Later(Ticket),
}

/// Names a question whose answer comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub(super) NonZeroU64);

/// What a store knows of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Messages that are kept.
    pub messages: usize,
    /// Whole seconds since a subscriber last asked; `None` for never.
    pub requested: Option<u64>,
    /// Of the newest message; 0:0 before the first.
    pub last_message_id: MessageId,
}

/// How many messages lie between a cursor and the next message that is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// So many; 0 is the normal case and is not told.
    Messages(u64),
    /// Some, perhaps; too long ago to tell.
    Unknown,
}

impl Gap {
    /// Nothing was missed.
    pub const NONE: Self = Self::Messages(0);
}
