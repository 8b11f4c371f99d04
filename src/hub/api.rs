//! Words of the hub: what callers ask of it, and what it answers. Values only.

use std::borrow::Cow;
use std::rc::Rc;

use super::options::Concurrency;
use super::subscription::{Hold, Peer, StreamKey};
use crate::clock::Now;
use crate::jitter::Jitter;
use crate::message::{Content, Cursor, Delivery, First, Message, MessageId};
use crate::store::{Facts, Gap, Start, Ticket};

/// A message on its way in.
#[derive(Debug, Clone)]
pub struct Publish<'a> {
    /// What the publisher gives.
    pub content: Content<Cow<'a, [u8]>>,
    /// Makes the channel where it is missing.
    pub create: bool,
    /// Keeps the message for later cursors.
    pub store: bool,
}

/// A request for the first message after a cursor, or of a stream for all of them.
#[derive(Debug, Clone, Copy)]
pub struct Subscribe {
    /// Where the subscriber stands.
    pub cursor: Cursor,
    /// Where it begins without a cursor.
    pub first: First,
    /// Whether it waits, and whether it stays.
    pub delivery: Delivery,
    /// Makes the channel where it is missing.
    pub create: bool,
    /// What becomes of others that are held.
    pub concurrency: Concurrency,
    /// Most requests held on the channel; 0 = unlimited.
    pub max_subscribers: usize,
    /// Ends the hold, milliseconds; up to a tenth earlier. 0 = never.
    pub timeout_ms: u64,
    /// Ends the hold of a poll then, milliseconds of [`Now`], whatever `timeout_ms` says; also
    /// where a store takes time. `None`: nothing else ends it.
    pub ends_ms: Option<u64>,
}

impl Subscribe {
    /// Whether it waits where there is no message.
    pub(super) fn waits(&self) -> bool {
        self.delivery != Delivery::IntervalPoll
    }

    /// When the hold of a poll ends that begins now, milliseconds; `None`: never.
    pub(super) fn due_ms(&self, jitter: &mut Jitter, now: Now) -> Option<u64> {
        let timeout = (self.timeout_ms != 0)
            .then(|| now.mono_ms.saturating_add(jitter.shorten(self.timeout_ms)));
        timeout.into_iter().chain(self.ends_ms).min()
    }

    /// Where it begins; `stopping`: nobody waits any more.
    pub(super) fn start(&self, stopping: bool) -> Start {
        let Self { cursor, first, create, .. } = *self;
        Start { cursor, first, create, waits: self.waits() && !stopping }
    }

    /// Whether it is held however many others are.
    pub(super) fn takes_all(&self) -> bool {
        self.concurrency == Concurrency::Broadcast && self.max_subscribers == 0
    }

    /// Whether no further request may be held on a channel that has so many.
    pub(super) fn is_too_many(&self, held: usize) -> bool {
        self.max_subscribers != 0 && held >= self.max_subscribers
    }
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

impl Information {
    pub(super) fn new(facts: Facts, subscribers: usize) -> Self {
        let Facts { messages, requested, last_message_id } = facts;
        Self { messages, requested, subscribers, last_message_id }
    }
}

/// What the hub answers. `peer` is what the caller called the request; it may be gone by then.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields say what the variants' words say")]
pub enum Output {
    /// The message is published, at this place in its store; `waiting`: to at least one held
    /// request.
    Published { peer: Peer, place: MessageId, waiting: bool, information: Information },
    /// The channel exists (now).
    Exists { peer: Peer, information: Information },
    /// The channel is deleted and every held request was told.
    Deleted { peer: Peer, information: Information },
    /// There is no such channel; of several `name` is the first that is missing.
    Missing { peer: Peer, name: Option<Box<[u8]>> },
    /// A limit is reached; nothing has changed.
    Refused { peer: Peer, refusal: Refusal },
    /// The store takes time to answer; its answer, one of the others, may also never come.
    Asked { peer: Peer, ticket: Ticket },
    /// The request is held; a poll ends with one of the two outputs below, a stream with `Ended`.
    Held { peer: Peer, hold: Hold },
    /// The first message after the cursor; `gap`: what is missing in between; `many_waited`:
    /// whether many others waited for it, too; `None`: this request did not wait.
    Deliver { peer: Peer, message: Rc<Message>, gap: Gap, many_waited: Option<bool> },
    /// As before, to a request that follows channels.
    Feed { peer: Peer, due: Due },
    /// There are messages for a stream, to be taken with [`super::Hub::read`].
    Readable { peer: Peer, stream: StreamKey },
    /// No message (any more), for this reason.
    Ended { peer: Peer, end: End, cursor: Cursor },
}

impl Output {
    /// The caller's name of the request.
    #[must_use]
    pub fn peer(&self) -> Peer {
        match self {
            Self::Published { peer, .. }
            | Self::Exists { peer, .. }
            | Self::Deleted { peer, .. }
            | Self::Missing { peer, .. }
            | Self::Refused { peer, .. }
            | Self::Asked { peer, .. }
            | Self::Held { peer, .. }
            | Self::Deliver { peer, .. }
            | Self::Feed { peer, .. }
            | Self::Readable { peer, .. }
            | Self::Ended { peer, .. } => *peer,
        }
    }
}

/// What a request that follows channels is given.
#[derive(Debug)]
pub struct Due {
    /// The next message.
    pub message: Rc<Message>,
    /// What is missing between the cursor and it.
    pub gap: Gap,
    /// The name of its channel.
    pub name: Rc<[u8]>,
}

/// Why a request ends without a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// There is none, and the request does not wait (any longer).
    NothingNew,
    /// The channel was deleted.
    Deleted,
    /// Another request has its place.
    Displaced,
    /// The daemon stops.
    Shutdown,
}

/// Which limit refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `limits.channels`.
    Channels,
    /// `max_subscribers`.
    Subscribers,
    /// The message alone exceeds `max_memory`.
    MessageSize,
    /// The disk is full or broken: it has not happened.
    NotWritten,
    /// Too much waits to be written to disk.
    Busy,
    /// Whatever keeps the messages is away, or refuses this: it has not happened, nor will.
    Away,
    /// Whatever keeps the messages has no memory left: it has not happened.
    OutOfMemory,
}
