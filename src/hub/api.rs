//! Words of the hub: what callers ask of it, and what it answers. Values only.

use std::rc::Rc;

use super::options::Concurrency;
use super::subscription::{Peer, SubscriptionKey};
use crate::message::{Cursor, Delivery, Message, MessageId};
use crate::store::{Facts, Gap, Ticket};

/// A message on its way in.
#[derive(Debug, Clone, Copy)]
pub struct Publish<'a> {
    /// The publisher's `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// The body.
    pub body: &'a [u8],
    /// Makes the channel where it is missing.
    pub create: bool,
    /// Keeps the message for later cursors.
    pub store: bool,
}

/// A request for the first message after a cursor.
#[derive(Debug, Clone, Copy)]
pub struct Subscribe {
    /// Where the subscriber stands.
    pub cursor: Cursor,
    /// Whether it waits.
    pub delivery: Delivery,
    /// Makes the channel where it is missing.
    pub create: bool,
    /// What becomes of others that are held.
    pub concurrency: Concurrency,
    /// Most requests held on the channel; 0 = unlimited.
    pub max_subscribers: usize,
    /// Ends the hold, milliseconds; up to a tenth earlier. 0 = never.
    pub timeout_ms: u64,
}

impl Subscribe {
    /// Whether it waits where there is no message.
    pub(super) fn waits(&self) -> bool {
        self.delivery == Delivery::LongPoll
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
    /// The message is published; `waiting`: to at least one held request.
    Published { peer: Peer, waiting: bool, information: Information },
    /// The channel exists (now).
    Exists { peer: Peer, information: Information },
    /// The channel is deleted and every held request was told.
    Deleted { peer: Peer, information: Information },
    /// There is no such channel.
    Missing { peer: Peer },
    /// A limit is reached; nothing has changed.
    Refused { peer: Peer, refusal: Refusal },
    /// The store takes time to answer; its answer, one of the others, may also never come.
    Asked { peer: Peer, ticket: Ticket },
    /// The request is held; it ends with one of the outputs below.
    Held { peer: Peer, subscription: SubscriptionKey },
    /// The first message after the cursor; `gap`: what is missing in between; `many_waited`:
    /// whether many others waited for it, too; `None`: this request did not wait.
    Deliver { peer: Peer, message: Rc<Message>, gap: Gap, many_waited: Option<bool> },
    /// No message, for this reason.
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
            | Self::Missing { peer }
            | Self::Refused { peer, .. }
            | Self::Asked { peer, .. }
            | Self::Held { peer, .. }
            | Self::Deliver { peer, .. }
            | Self::Ended { peer, .. } => *peer,
        }
    }
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
}
