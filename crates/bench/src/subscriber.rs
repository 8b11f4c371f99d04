//! Subscriber: a connection that polls one channel, and its state.

use crate::answer::Cursor;
use crate::order::Order;
use crate::wire::Wire;

/// A keep-alive connection that polls one channel.
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
/// Connecting ──► Polling ◄──► Resting
///      ▲            │
///      └────────────┴──► Gone
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Its connection is being established; then it polls.
    Connecting,
    /// It has sent a poll.
    Polling,
    /// It has a message and has not polled again.
    Resting,
    /// Its poll was refused or its answer damaged; it polls no more.
    Gone,
}

impl Subscriber {
    pub(crate) fn new(wire: Wire, channel: u32, state: State) -> Self {
        Self { wire, channel, state, cursor: Cursor::NONE, order: Order::default(), asked_ns: 0 }
    }
}
