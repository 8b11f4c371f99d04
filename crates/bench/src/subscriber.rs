//! Subscriber: a connection that follows one channel, by polls or by a stream, and its state.

use crate::answer::Cursor;
use crate::order::Order;
use crate::transport::Transport;
use crate::wire::Wire;

/// A connection that follows one channel.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) wire: Wire,
    /// The channel's index.
    pub(crate) channel: u32,
    pub(crate) state: State,
    /// The cursor of the last message it received.
    pub(crate) cursor: Cursor,
    pub(crate) order: Order,
    /// When it polled, in nanoseconds; set only for [`Repoll::Stored`](crate::plan::Repoll).
    pub(crate) asked_ns: u64,
}

/// The state of a subscriber.
///
/// ```text
/// Connecting ──► Polling ◄──► Resting        polls
///      ▲            │
///      └────────────┴──► Gone
///
/// Connecting ──► Opening ──► Streaming ──► Gone
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Its connection is being established; then it polls, or asks for a stream.
    Connecting,
    /// It has asked for a stream, whose head has not come.
    Opening,
    /// It has a stream.
    Streaming,
    /// It has sent a poll.
    Polling,
    /// It has a message and has not polled again.
    Resting,
    /// Its request was refused, its answer damaged, or its stream has ended; it asks no more.
    Gone,
}

impl State {
    /// The state after a request by this transport.
    pub(crate) fn after_request(transport: Transport) -> Self {
        match transport {
            Transport::Poll => Self::Polling,
            Transport::EventSource | Transport::WebSocket => Self::Opening,
        }
    }
}

impl Subscriber {
    pub(crate) fn new(wire: Wire, channel: u32, state: State) -> Self {
        Self { wire, channel, state, cursor: Cursor::NONE, order: Order::default(), asked_ns: 0 }
    }

    /// Whether more may come over its connection.
    pub(crate) fn can_read(&self) -> bool {
        self.state != State::Gone && self.wire.is_connected()
    }

    /// Follows the channel from its first message again.
    pub(crate) fn start_over(&mut self) {
        self.cursor = Cursor::NONE;
        self.order = Order::default();
    }
}
