//! Peer: the other end of one connection of a [`crate::Network`], and the socket between them. It
//! holds bytes; it never decides what they are.

use std::collections::{BTreeMap, VecDeque};

use pushserver::relay::{ConnKey, Payload};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The relay closed it when everything was sent.
    Closed,
    /// The relay closed it at once.
    Aborted,
    /// The relay closed it at once, and the peer could tell.
    Reset,
    /// By the peer, or by the network.
    Broken,
}

/// See the file.
#[derive(Debug, Default)]
pub struct Peer {
    /// The relay dialled it.
    pub is_upstream: bool,
    /// Dialled, and not open yet.
    pub is_connecting: bool,
    /// What it sent, as far as the relay has read it.
    pub sent: Vec<u8>,
    /// What it sent and the relay has not read.
    pub unread: VecDeque<u8>,
    /// What the relay sent to it, with what waits for the socket.
    pub got: Vec<u8>,
    /// Bytes at the end of that which wait for the socket.
    pub waiting: usize,
    /// How many bytes the socket takes before it refuses more; `None`: any number.
    pub room: Option<usize>,
    /// The relay sends no more, but reads on.
    pub is_shut: bool,
    /// The relay wants it closed when nothing waits.
    pub is_closing: bool,
    /// How it ended, if it did.
    pub end: Option<End>,
    /// It sends no more.
    pub(crate) has_ended: bool,
    /// It takes nothing any more, and whatever is sent to it is lost.
    pub(crate) is_mute: bool,
    /// It waited with many others: its next request is read behind all others.
    pub(crate) many_waited: bool,
    /// It is in a queue to be read.
    pub(crate) is_queued: bool,
    /// The relay did not want to read it, and has not asked to be told again.
    pub(crate) is_refused: bool,
}

impl Peer {
    /// One that the relay dials.
    pub(crate) fn dialled() -> Self {
        Self { is_upstream: true, is_connecting: true, ..Self::default() }
    }

    /// Takes what the relay reads of what it sent.
    pub(crate) fn read(&mut self, most: usize) -> Vec<u8> {
        let length = self.unread.len().min(most);
        let bytes: Vec<u8> = self.unread.drain(..length).collect();
        self.sent.extend_from_slice(&bytes);
        bytes
    }

    /// Takes what may be sent at once of `length` bytes; whether its socket is full only now.
    pub(crate) fn take(&mut self, length: usize) -> bool {
        let was_full = self.waiting > 0;
        let room = if was_full { 0 } else { self.room.unwrap_or(length).min(length) };
        if let Some(left) = &mut self.room {
            *left -= room;
        }
        self.waiting += length - room;
        !was_full && self.waiting > 0
    }
}

/// The peers that there are or were, by the keys of their connections.
#[derive(Debug, Default)]
pub struct Peers(BTreeMap<ConnKey, Peer>);

impl Peers {
    pub(crate) fn enter(&mut self, conn: ConnKey, peer: Peer) {
        let before = self.0.insert(conn, peer);
        assert!(before.is_none(), "a key that is taken");
    }

    /// One whose connection is there.
    pub(crate) fn living(&mut self, conn: ConnKey) -> Option<&mut Peer> {
        self.0.get_mut(&conn).filter(|peer| peer.end.is_none())
    }

    /// Changes one whose connection is there.
    pub(crate) fn change(&mut self, conn: ConnKey, change: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.living(conn) {
            change(peer);
        }
    }

    /// Whether the relay did not want to read one.
    pub(crate) fn has_refused(&mut self, conn: ConnKey) -> bool {
        self.living(conn).is_some_and(|peer| peer.is_refused)
    }

    /// How many have a connection.
    pub fn open(&self) -> usize {
        self.0.values().filter(|peer| peer.end.is_none()).count()
    }

    /// A peer.
    ///
    /// # Panics
    /// If there was none.
    pub fn get(&self, conn: ConnKey) -> &Peer {
        &self.0[&conn]
    }

    /// As [`Peers::get`], to act on it.
    ///
    /// # Panics
    /// If there was none.
    pub fn get_mut(&mut self, conn: ConnKey) -> &mut Peer {
        self.0.get_mut(&conn).expect("a peer of this network")
    }

    /// All of them, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (ConnKey, &Peer)> {
        self.0.iter().map(|(conn, peer)| (*conn, peer))
    }
}

/// All bytes of a payload, however many pieces they are in.
#[must_use]
pub fn bytes(payload: &Payload) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len());
    while let (first, second) = payload.slices(bytes.len())
        && !(first.is_empty() && second.is_empty())
    {
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(second);
    }
    bytes
}
