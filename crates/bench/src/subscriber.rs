//! Subscriber: a connection that polls, and after each message asks for the next.

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
    /// Of the last message it received.
    pub(crate) cursor: Cursor,
    pub(crate) order: Order,
    /// When it asked, in nanoseconds; kept only where it counts.
    pub(crate) asked_ns: u64,
}

/// What a subscriber does.
///
/// ```text
/// Connecting ──► Polling ◄──► Resting
///      ▲            │
///      └────────────┴──► Gone
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The connection is not there yet; it polls as soon as it is.
    Connecting,
    /// It has asked.
    Polling,
    /// It has a message, and does not ask yet.
    Resting,
    /// It was refused or damaged, and stays away.
    Gone,
}

impl Subscriber {
    pub(crate) fn new(wire: Wire, channel: u32, state: State) -> Self {
        Self { wire, channel, state, cursor: Cursor::NONE, order: Order::default(), asked_ns: 0 }
    }
}
