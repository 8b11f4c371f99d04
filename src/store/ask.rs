//! Words of a store: what the hub asks of it, and what it answers. Values only.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::rc::Rc;

use crate::arena::Key;
use crate::message::{Content, Cursor, First, Message, MessageId};

/// Which of the configured stores: an index into their list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub u16);

impl StoreId {
    /// The place in the list.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// What the names of its channels begin with, so that other stores have other ones.
    #[must_use]
    pub fn prefix(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }

    /// The name of a channel of it that is written down as `written`.
    pub(super) fn name_of(self, written: &[u8]) -> Box<[u8]> {
        [&self.prefix(), written].concat().into()
    }

    /// How the name of a channel of it is written down: without the store's own number, which other
    /// settings change.
    pub(super) fn written(self, name: &[u8]) -> &[u8] {
        name.strip_prefix(&self.prefix()).unwrap_or(name)
    }
}

/// What a [`ChannelKey`] names: a channel, whatever the hub keeps with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Named {}

/// Names a channel while it exists.
pub type ChannelKey = Key<Named>;

/// For what a channel was made, which says how long it lives with no message and no held request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Made {
    /// For a subscriber to wait on: not at all.
    ToWait,
    /// For a message: for the store's `channel_timeout`.
    ToPublish,
    /// On request: until it was not used for an hour.
    OnRequest,
}

/// Names a channel to a store.
#[derive(Debug, Clone, Copy)]
pub struct ChannelName<'a> {
    /// Where its messages are kept.
    pub store: StoreId,
    /// Its id, made unique over stores by [`StoreId::prefix`], and over channel groups by what the
    /// caller puts behind that.
    pub name: &'a [u8],
}

/// A question about one channel. `create`: makes the channel where it is missing.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the fields say what the variants' words say")]
pub enum Ask<'a> {
    /// Publish a message. `keep`: for later cursors, too. Answered `Appended`, `Missing`,
    /// `TooManyChannels` or `TooLarge`.
    Append { content: Content<Cow<'a, [u8]>>, create: bool, keep: bool },
    /// Find the first message for a subscriber. Answered `Found`, `Nothing`, `Missing` or
    /// `TooManyChannels`.
    Next(Start),
    /// Make the channel where it is missing. Answered `Exists` or `TooManyChannels`.
    Create,
    /// Look at the channel. Answered `Exists` or `Missing`.
    Inspect,
    /// Delete the channel with its messages. Answered `Deleted` or `Missing`.
    Delete,
}

/// Where a subscriber begins. `waits`: it waits where there is no message; only for such a one is a
/// channel made.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the fields say what their words say")]
pub struct Start {
    pub cursor: Cursor,
    /// Where it begins if the cursor asks for the oldest message.
    pub first: First,
    pub create: bool,
    pub waits: bool,
}

/// A question of a subscriber that follows channels of one store: several, or one.
#[derive(Debug, Clone, Copy)]
pub enum AskAll<'a> {
    /// Find the first message for a subscriber of the channels called so; all of them are made, or
    /// none. Answered `Followed`, `Missing` or `TooManyChannels`.
    Follow(&'a [&'a [u8]], Start),
    /// Find the first message after the cursor on these channels. What is gone of them is passed
    /// over. Answered `Followed`, with no channels.
    Read(&'a [ChannelKey], Cursor),
}

/// The message that a subscriber is owed next.
#[derive(Debug)]
pub struct Owed {
    /// It.
    pub message: Rc<Message>,
    /// What is missing between the cursor and it.
    pub gap: Gap,
    /// The gap is counted by ids: it has messages that no store kept, too.
    pub counts_ids: bool,
    /// The name of its channel.
    pub name: Rc<[u8]>,
}

/// What a store answers. `W` is what the hub keeps with each channel.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields say what the variants' words say")]
pub enum Reply<W> {
    /// The message has its id, and is kept if that was asked. `lost_through`: the newest message
    /// that the channel has lost to expiry or limits. `facts`: of the channel behind it.
    Appended {
        channel: ChannelKey,
        message: Rc<Message>,
        kept: bool,
        lost_through: MessageId,
        facts: Facts,
    },
    /// The first message after the cursor, and what is missing in between.
    Found { message: Rc<Message>, gap: Gap },
    /// No message comes after the cursor, from which the subscriber goes on; every later one has an
    /// id above `last`. `channel`: `None` where there is none, and none was made for one that does
    /// not wait.
    Nothing { channel: Option<ChannelKey>, last: MessageId, cursor: Cursor },
    /// Where a subscriber that follows channels goes on, and what it is owed. `channels`: those
    /// that exist, in the order of their names.
    Followed { channels: Box<[ChannelKey]>, cursor: Cursor, owed: Option<Owed> },
    /// The message has this id and this place in the store, and [`Reply::Appended`] brings it if
    /// somebody waits here. `elsewhere`: somebody waits behind another daemon.
    Accepted {
        channel: Option<ChannelKey>,
        id: MessageId,
        place: MessageId,
        elsewhere: bool,
        facts: Facts,
    },
    /// The channel exists (now); `channel`: `None` where nobody waits here on one that is shared.
    Exists { channel: Option<ChannelKey>, facts: Facts },
    /// The channel is gone; what was known of it, and what the hub kept with it.
    Deleted { channel: ChannelKey, facts: Facts, kept: W },
    /// As before, of a shared one that nobody waits on here.
    Gone { facts: Facts },
    /// There is no such channel; of several the name of the first that is missing.
    Missing { name: Option<Box<[u8]>> },
    /// `limits.channels` is reached.
    TooManyChannels,
    /// The message alone exceeds `max_memory`.
    TooLarge,
    /// It was not written down, as the disk is full or broken; so it has not happened.
    NotWritten,
    /// Too much waits to be written down.
    Busy,
    /// Whatever keeps the messages is away, or refuses this; nothing was done, nor will be.
    Away,
    /// Whatever keeps the messages has no memory left: nothing was done.
    OutOfMemory,
    /// The channels of this store are not known at one time any more: who follows several of them
    /// is behind.
    Behind(StoreId),
}

/// When an answer comes.
#[derive(Debug)]
pub enum Answer<W> {
    /// At once.
    Now(Reply<W>),
    /// From [`super::Stores::next_reply`], under this ticket; or never.
    Later(Ticket),
}

/// Names a question whose answer comes later; those of a store in the order asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(NonZeroU64);

impl Ticket {
    /// Below the number: the store, as stores count on their own, and whether it is patient.
    const PATIENT: u64 = 1 << 16;
    const NUMBERED: NonZeroU64 = NonZeroU64::new(1 << 17).expect("it is not 0");

    /// Of a question whose answer may be lost: whoever waits for it gives up some time.
    #[cfg(feature = "testing")]
    pub(super) fn new(number: NonZeroU64, store: StoreId) -> Self {
        Self::made(number, u64::from(store.0))
    }

    /// Of a question whose answer comes, however long that takes.
    pub(super) fn patient(number: NonZeroU64, store: StoreId) -> Self {
        Self::made(number, Self::PATIENT | u64::from(store.0))
    }

    fn made(number: NonZeroU64, rest: u64) -> Self {
        Self(number.saturating_mul(Self::NUMBERED) | rest)
    }

    /// The store that was asked.
    #[must_use]
    pub(super) fn store(self) -> StoreId {
        StoreId(self.0.get() as u16)
    }

    /// Whether its answer comes, however long that takes.
    #[must_use]
    pub fn is_patient(self) -> bool {
        self.0.get() & Self::PATIENT != 0
    }
}

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

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Messages(one), Self::Messages(other)) => Self::Messages(one + other),
            _ => Self::Unknown,
        }
    }

    /// The larger one: each may have counted what the other has.
    #[must_use]
    pub fn or_more(self, other: Self) -> Self {
        match (self, other) {
            (Self::Messages(one), Self::Messages(other)) => Self::Messages(one.max(other)),
            _ => Self::Unknown,
        }
    }
}
