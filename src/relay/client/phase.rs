//! Phase: what a client's connection is doing, and which phase may follow which. Decides nothing.

use std::sync::Arc;

use super::awaited::Awaited;
use super::following::Following;
use super::listening::Listening;
use crate::http::{BodyDecoder, HttpError};
use crate::hub::SubscriptionKey;
use crate::relay::exchange_key::ExchangeKey;
use crate::relay::notice::Notice;
use crate::relay::options::Limits;
use crate::relay::render::Reply;
use crate::relay::request::refusal::Refusal;
use crate::relay::uploads::{Share, Uploads};
use crate::store::Ticket;

/// What a connection is doing. [`super::Client::enter`] alone changes it.
///
/// ```text
/// accepted ─► Head ─┬─► Body ────────► Head    the body is whole, or faulty
///                   ├─► AwaitingHub ─► Head    the hub has answered
///                   │     ├─► AwaitingStore    a store takes time; then as from AwaitingHub
///                   │     ├─► AwaitingSubscriber ─► Head    a subscriber was sent the message
///                   │     └─► Waiting ─► Head  held, and the hub has ended the hold
///                   ├─► Following ───► Head    a poll was answered; a stream ends as the last two
///                   ├─► Listening ───► Head    there are events, or none came in time
///                   ├─► Proxied ─────► Head    the upstream's answer has passed
///                   ├─► Lingering              refused, as from Body and Proxied
///                   └─► Closing                done, as from every phase
/// ```
#[derive(Debug)]
pub(in crate::relay) enum Phase {
    /// Between requests, or with the first part of a head, of which so many bytes are scanned; or
    /// with a whole request that is being served.
    Head { scanned: usize },
    /// Part of a request's body is here. Boxed: rare, and a held request pays for no other phase.
    Body(Box<Upload>),
    /// The hub was asked and has not answered yet; or `net`, for its figures.
    AwaitingHub { reply: Reply, notice: Option<Arc<Notice>> },
    /// As before, because the channel's store takes time. Boxed, as [`Phase::Body`] is.
    AwaitingStore(Box<StoreAsked>),
    /// A publisher, whose message nobody was sent yet; it waits until somebody is.
    AwaitingSubscriber(Box<Awaited>),
    /// Held. Bytes that come now are the next request, which waits; more than a request can have
    /// end the hold.
    Waiting { reply: Reply, subscription: SubscriptionKey, notice: Option<Arc<Notice>> },
    /// Follows channels: the hub was asked, or has begun a stream or holds a poll.
    Following(Box<Following>),
    /// Waits for events that the inspector shows.
    Listening(Box<Listening>),
    /// Goes through the upstream. What comes now is the request's body, or the next request, which
    /// waits.
    Proxied(ExchangeKey),
    /// Refused; the answer is on its way, and what still comes is dropped, because closing at once
    /// would take the answer away again (RFC 9112 9.6). Not beyond this time, milliseconds.
    Lingering { until_ms: u64, most_ms: u64 },
    /// Done; waits for the socket to be closed.
    Closing,
}

impl Phase {
    /// Of a connection without a request.
    pub(in crate::relay) const IDLE: Self = Self::Head { scanned: 0 };

    /// Whether it needs no timer: something else ends it.
    pub(super) fn may_last(&self, is_tunnel: bool) -> bool {
        match self {
            Self::AwaitingHub { .. } | Self::Waiting { .. } | Self::Closing => true,
            // The hub ends a poll; a stream has its pings, or is to have none.
            Self::Following(following) => following.ticket.is_none_or(Ticket::is_patient),
            Self::AwaitingStore(asked) => asked.ticket.is_patient(),
            Self::Proxied(_) => is_tunnel,
            Self::Head { .. } | Self::Body(_) | Self::Lingering { .. } => false,
            Self::Listening(_) | Self::AwaitingSubscriber(_) => false,
        }
    }

    /// Whether the hub was asked and has not answered yet, or its answer is kept for a while.
    pub(super) fn is_unanswered(&self) -> bool {
        match self {
            Self::AwaitingHub { .. } | Self::AwaitingStore(_) | Self::AwaitingSubscriber(_) => true,
            Self::Following(following) => !following.has_begun(),
            _ => false,
        }
    }

    /// Whether a store takes time to say what becomes of a request.
    pub(super) fn awaits_store(&self) -> bool {
        match self {
            Self::AwaitingStore(_) => true,
            Self::Following(following) => following.ticket.is_some(),
            _ => false,
        }
    }

    /// Whether it awaits an answer of a store that is sure to come.
    pub(super) fn is_patient(&self) -> bool {
        match self {
            Self::AwaitingStore(asked) => asked.ticket.is_patient(),
            Self::Following(following) => following.ticket.is_some_and(Ticket::is_patient),
            _ => false,
        }
    }

    /// Whether what its client has sent whole is dealt with though it sends no more: requests, and
    /// messages of a WebSocket, each of which is a POST.
    pub(super) fn ends_behind_input(&self) -> bool {
        match self {
            Self::Head { .. } | Self::Body(_) => true,
            Self::Following(following) => following.takes_messages(),
            _ => false,
        }
    }

    /// Whether a stream has begun.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Following(following) if following.has_begun() && !following.is_poll())
    }

    /// Whether a request is held.
    pub(in crate::relay) fn is_held(&self) -> bool {
        match self {
            Self::Waiting { .. } | Self::Listening(_) => true,
            Self::Following(following) => following.is_poll() && following.has_begun(),
            _ => false,
        }
    }

    /// Whether bytes that come are dealt with as they come, but for the bounds of `Client`.
    pub(in crate::relay) fn reads(&self) -> bool {
        match self {
            Self::Head { .. } | Self::Body(_) | Self::Proxied(_) => true,
            Self::Following(following) => following.reads(),
            _ => false,
        }
    }

    /// Whether more bytes may be read, with `kept_bytes` that wait. `is_free`: its socket takes
    /// what it is sent, and it is not to go on first with what waits; `passes_up`: an upstream
    /// takes bytes. Behind a held request reading never pauses: the pause could last for ever, and
    /// would hide the client's end, which comes after the bytes that wait. Every other pause has a
    /// timer, or is over within a few turns.
    pub(super) fn wants_read(
        &self,
        kept_bytes: usize,
        is_free: bool,
        passes_up: bool,
        limits: &Limits,
    ) -> bool {
        match self {
            Self::Closing => false,
            Self::Lingering { .. } | Self::Waiting { .. } | Self::Listening(_) => true,
            Self::Proxied(_) if passes_up => true,
            Self::Following(following) if following.reads_to_end() => true,
            Self::Head { .. } | Self::Body(_) if is_free => true,
            Self::Following(following) if is_free && following.reads() => true,
            _ => kept_bytes < limits.head.header_bytes,
        }
    }

    /// How many bytes may be read at once, where there is `room` for so many. Bytes behind a
    /// request are kept, up to `header_bytes`; behind a held request one byte more, which ends the
    /// hold.
    pub(super) fn reads_at_most(&self, room: usize) -> usize {
        match self {
            held if held.is_held() => room + 1,
            Self::AwaitingHub { .. } | Self::AwaitingStore(_) | Self::AwaitingSubscriber(_) => {
                room.max(1)
            }
            Self::Following(following) if !following.reads() => room.max(1),
            _ => usize::MAX,
        }
    }

    /// Whether `next` may follow.
    pub(super) fn may_become(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Closing, _) | (Self::Lingering { .. }, Self::Lingering { .. }) => false,
            (_, Self::Closing) => true,
            (Self::Lingering { .. }, _) => false,
            (Self::Head { .. } | Self::Body(_) | Self::Proxied(_), Self::Lingering { .. }) => true,
            (Self::Following(_), Self::Lingering { .. } | Self::Head { .. }) => true,
            (_, Self::Lingering { .. }) => false,
            (Self::Head { .. }, _) => true,
            (_, next) => matches!(next, Self::Head { .. }),
        }
    }
}

/// What waits for a store that takes time.
#[derive(Debug)]
pub(in crate::relay) struct StoreAsked {
    pub(super) reply: Reply,
    pub(super) notice: Option<Arc<Notice>>,
    /// The hub's name of the question.
    pub(super) ticket: Ticket,
}

/// A request whose body is still coming.
#[derive(Debug)]
pub(in crate::relay) struct Upload {
    /// The whole head, read once more when the body is complete.
    pub(super) head: Box<[u8]>,
    pub(super) decoder: BodyDecoder,
    /// What it will be answered, whatever its body and new settings say.
    pub(super) refused: Option<(Reply, Refusal)>,
    /// Only a publisher's POST has use for its body, if it may publish.
    pub(super) keeps_body: bool,
    pub(super) body: Vec<u8>,
    /// The length of `body`, as it counts against what all bodies that are coming may take.
    pub(super) share: Share,
}

impl Upload {
    /// Takes more of the body from `input`; gives how many bytes of that, and whether the body is
    /// whole, or what is wrong. `uploads_max`: what all bodies may take together, bytes.
    pub(super) fn take_in(
        &mut self,
        input: &[u8],
        uploads: &mut Uploads,
        uploads_max: usize,
    ) -> (usize, Result<bool, HttpError>) {
        let mut used = 0;
        loop {
            let decoded = match self.decoder.decode(&input[used..]) {
                Ok(decoded) => decoded,
                Err(error) => return (used, Err(error)),
            };
            if self.keeps_body {
                self.body.extend_from_slice(decoded.data);
            }
            used += decoded.consumed;
            if !decoded.done && uploads.set(&mut self.share, self.body.len()) > uploads_max {
                return (used, Err(too_many_uploads()));
            }
            if decoded.done || used == input.len() {
                return (used, Ok(decoded.done));
            }
        }
    }
}

/// The answer to a body that the others leave no room for.
pub(super) fn too_many_uploads() -> HttpError {
    HttpError::new(503, "too many large messages are coming in at once; try again later")
}
