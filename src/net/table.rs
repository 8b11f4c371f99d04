//! Table of sockets: every open connection, by its key. Moves no bytes.

use super::descriptors::{DIALS_BEYOND, open_max};
use super::socket::{Life, Queue, Side, Socket};
use crate::relay::ConnKey;

/// See the module. Beside the relay's table of connections: the same index.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Option<Socket>>,
    open: usize,
    open_max: usize,
}

impl Table {
    /// Of none yet. `configured`: `limits.connections`; else the limit of open files is the limit.
    pub(super) fn new(configured: Option<usize>) -> Self {
        Self { slots: Vec::new(), open: 0, open_max: open_max(configured) }
    }

    /// Enters a new socket.
    pub(super) fn enter(&mut self, socket: Socket) {
        let index = socket.key.index();
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(socket);
        self.open += 1;
    }

    /// The socket of a connection, unless it is gone.
    pub(super) fn find(&mut self, conn: ConnKey) -> Option<&mut Socket> {
        let socket = self.slots.get_mut(conn.index())?.as_mut()?;
        (socket.key == conn && socket.life != Life::Gone).then_some(socket)
    }

    /// The slot with this index.
    pub(super) fn slot(&mut self, index: usize) -> Option<&mut Option<Socket>> {
        self.slots.get_mut(index)
    }

    /// Frees the slot of a socket that is gone.
    pub(super) fn free(&mut self, conn: ConnKey) {
        self.slots[conn.index()] = None;
        self.open -= 1;
    }

    /// Those of all sockets.
    pub(super) fn keys(&self) -> Vec<ConnKey> {
        self.slots.iter().flatten().map(|socket| socket.key).collect()
    }

    /// Gives back the room that is not needed any more.
    pub(super) fn shrink(&mut self) {
        while self.slots.pop_if(|socket| socket.is_none()).is_some() {}
        self.slots.shrink_to_fit();
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Whether one more may be accepted.
    pub(super) fn has_room(&self) -> bool {
        self.open < self.open_max
    }

    /// Whether one more may be dialled.
    pub(super) fn may_dial(&self) -> bool {
        self.open < self.open_max + DIALS_BEYOND
    }

    /// Whether bytes of a client wait to be read.
    pub(super) fn is_unread(&self, conn: ConnKey) -> bool {
        self.slots.get(conn.index()).and_then(Option::as_ref).is_some_and(|socket| {
            socket.key == conn && socket.queue != Queue::No && socket.side == Side::Accepted
        })
    }
}
