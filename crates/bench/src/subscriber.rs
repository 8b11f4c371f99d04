//! Subscriber: a connection that polls, and after each message asks for the next.

use super::answer::Cursor;
use super::order::Order;
use super::wire::Wire;

/// A keep-alive connection that polls one channel.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) wire: Wire,
    /// The channel's index.
    pub(super) channel: u32,
    pub(super) state: State,
    /// Of the last message it received.
    pub(super) cursor: Cursor,
    pub(super) order: Order,
    /// When it asked, in nanoseconds; kept only where it counts.
    pub(super) asked_ns: u64,
}

/// What a subscriber does.
///
/// ```text
/// Connecting ──► Polling ◄──► Resting
///      ▲            │
///      └────────────┴──► Gone
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
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
    pub(super) fn new(wire: Wire, channel: u32, state: State) -> Self {
        Self { wire, channel, state, cursor: Cursor::NONE, order: Order::default(), asked_ns: 0 }
    }
}
