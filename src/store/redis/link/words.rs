//! Words of a link: what it is told, and what it says. Values only.

use std::fmt;

use crate::store::redis::answers::Published;
use crate::store::redis::options::Address;
use crate::store::redis::reason::Reason;
use crate::store::redis::resp::Value;

/// What the network tells.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The connection that was dialled stands.
    Connected,
    /// It does not, for this cause.
    ConnectFailed(&'a str),
    /// Bytes came.
    Received(&'a [u8]),
    /// The server has ended the connection, for this cause.
    Closed(&'a str),
}

/// What the network is to do.
#[derive(Clone, PartialEq, Eq)]
pub enum Output {
    /// Dial. There is no other connection.
    Connect(Address),
    /// Send bytes on the connection, which stands.
    Send(Vec<u8>),
    /// End the connection, or the dial; nothing of it is wanted any more.
    Close,
}

/// Without the bytes: a password may be among them.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(address) => write!(f, "Connect({address})"),
            Self::Send(bytes) => write!(f, "Send({} bytes)", bytes.len()),
            Self::Close => f.write_str("Close"),
        }
    }
}

/// What the store is told. `K` names a command to its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<K> {
    /// Commands may be sent.
    Up,
    /// They may not. Before it every command under way was [`Event::Lost`].
    Down(Reason),
    /// The answer to a command.
    Reply(K, Value),
    /// The answer to a publish, where it is the usual one.
    Published(K, Published),
    /// Nobody knows whether this command was done.
    Lost(K),
    /// Something was announced: the channel, the payload.
    Push(Box<[u8]>, Box<[u8]>),
}

/// Why a command is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// The link is not up.
    Away,
    /// Too many commands are under way, or too many bytes of them.
    Full,
}

/// Counts of one link, from its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Commands that were sent for callers.
    pub commands: u64,
    /// Times that it was up.
    pub ups: u64,
    /// Dials, of sentinels too.
    pub dials: u64,
    /// The time of the newest answer from its sending on, and the longest since the figures were
    /// taken last, milliseconds.
    pub round_trip_ms: u64,
    /// See `round_trip_ms`.
    pub worst_round_trip_ms: u64,
}

impl Figures {
    pub(super) fn answered(&mut self, round_trip_ms: u64) {
        self.round_trip_ms = round_trip_ms;
        self.worst_round_trip_ms = self.worst_round_trip_ms.max(round_trip_ms);
    }
}
