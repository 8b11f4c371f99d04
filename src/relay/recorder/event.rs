//! Event: what is kept of one thing that happened, but for its texts. Values only.

use crate::message::{Cursor, MessageId};
use crate::relay::client::why::Why;
use crate::store::Gone;

/// What happened. Beside each: its texts, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Fact {
    /// A message was published. Name, address, content type, begin of the body.
    Publish { id: MessageId, bytes: u32, sent: u32, kept: bool, by: By },
    /// The last of those that waited for a message has been sent it. Name.
    Sent { id: MessageId, to: u32, us: u32 },
    /// A request is held. Name, address, agent, origin, member.
    Hold { h: u64, cursor: Cursor, transport: Transport },
    /// It ended. Name.
    End { h: u64, why: Why, id: MessageId, held_ms: u32 },
    /// A request was given a message at once. Name, address, agent.
    Answer { id: MessageId, behind: u32 },
    /// A message is gone. Name.
    Drop { id: MessageId, why: Gone },
    /// A request was refused. Name, address, answer, fix, method, path, host, origin.
    Refuse { status: u16, why: &'static str, location: u16 },
    /// Django was told something, or could not be. Name, URL, fix, result.
    Notice { what: &'static str, us: u32 },
}

/// Of a refusal at no location.
pub(in crate::relay) const NO_LOCATION: u16 = u16::MAX;

/// Who has published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum By {
    Publisher,
    WebSocket,
    Inspector,
}

impl By {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::WebSocket => "websocket",
            Self::Inspector => "inspector",
        }
    }
}

/// How a request receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Transport {
    Poll,
    Interval,
    EventSource,
    WebSocket,
}

impl Transport {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Interval => "interval",
            Self::EventSource => "eventsource",
            Self::WebSocket => "websocket",
        }
    }
}
