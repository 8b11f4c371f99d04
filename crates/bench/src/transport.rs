//! Transport: how subscribers receive messages, and the request headers that ask for it. Reads
//! nothing.

use serde::Serialize;

use crate::frame::KEY;

/// How subscribers receive messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// One request for each message.
    #[default]
    Poll,
    /// One request for all messages, in an answer without end (WHATWG HTML 9.2).
    EventSource,
    /// One request for all messages, in frames (RFC 6455).
    WebSocket,
}

impl Transport {
    pub(crate) const ALL: [Self; 3] = [Self::Poll, Self::EventSource, Self::WebSocket];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::EventSource => "eventsource",
            Self::WebSocket => "websocket",
        }
    }

    /// What one subscriber holds.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Poll => "held poll",
            Self::EventSource => "event stream",
            Self::WebSocket => "WebSocket",
        }
    }

    /// Whether one request is for all messages.
    pub(crate) fn is_stream(self) -> bool {
        self != Self::Poll
    }

    /// The headers of a subscriber's request, each with its line end.
    pub(crate) fn headers(self) -> String {
        match self {
            Self::Poll => String::new(),
            Self::EventSource => "Accept: text/event-stream\r\n".to_owned(),
            Self::WebSocket => format!(
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: {KEY}\r\n"
            ),
        }
    }
}
