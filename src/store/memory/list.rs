//! List: all messages of a store in the order they came, with their bytes. Knows no queue and no
//! limit.

use std::rc::Rc;

use slab::Slab;

use super::queue::QueueId;
use crate::message::{Content, Message};
use crate::store::record::Notes;

/// What a message costs beside its content, bytes: its entries in the store's
/// tables, rounded up. Part of the budget, so that empty messages are bounded too.
pub const MESSAGE_OVERHEAD: usize = 200;

const NONE: u32 = u32::MAX;

/// One message in the list.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) message: Rc<Message>,
    pub(super) stored_ms: u64,
    pub(super) queue: QueueId,
    older: u32,
    newer: u32,
}

/// See the module.
#[derive(Debug)]
pub(in crate::store) struct List {
    nodes: Slab<Node>,
    /// The ends. `NONE` when empty.
    oldest: u32,
    newest: u32,
    /// The oldest message that has not expired. Those before it are kept for `min_messages`.
    expiring: u32,
    used_bytes: usize,
    /// What has gone, for a store that writes that down; `None`: nobody does.
    pub(in crate::store) notes: Option<Box<Notes>>,
}

impl Default for List {
    fn default() -> Self {
        Self {
            nodes: Slab::new(),
            oldest: NONE,
            newest: NONE,
            expiring: NONE,
            used_bytes: 0,
            notes: None,
        }
    }
}

impl List {
    /// Appends a message and gives its place.
    pub(super) fn push(&mut self, queue: QueueId, message: Rc<Message>, now_ms: u64) -> u32 {
        self.used_bytes += cost(&message.content);
        let older = self.newest;
        let node = Node { message, stored_ms: now_ms, queue, older, newer: NONE };
        let index = u32::try_from(self.nodes.insert(node)).expect("fewer than 2^32 messages");
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = index,
            None => self.oldest = index,
        }
        self.newest = index;
        if self.expiring == NONE {
            self.expiring = index;
        }
        index
    }

    /// Takes a message out, and its bytes out of the budget.
    pub(super) fn remove(&mut self, index: u32) -> Rc<Message> {
        let node = self.nodes.remove(index as usize);
        match self.nodes.get_mut(node.older as usize) {
            Some(older) => older.newer = node.newer,
            None => self.oldest = node.newer,
        }
        match self.nodes.get_mut(node.newer as usize) {
            Some(newer) => newer.older = node.older,
            None => self.newest = node.older,
        }
        if self.expiring == index {
            self.expiring = node.newer;
        }
        self.used_bytes -= cost(&node.message.content);
        if let Some(notes) = &mut self.notes {
            notes.gone.push(node.message.place());
        }
        node.message
    }

    /// Passes over the message that expires next: it is kept all the same.
    pub(super) fn pass_expiring(&mut self) {
        self.expiring = self.expiring().map_or(NONE, |node| node.newer);
    }

    /// Has every message expire once more.
    pub(super) fn rewind_expiring(&mut self) {
        self.expiring = self.oldest;
    }

    pub(super) fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
    }

    /// The message that expires next.
    pub(super) fn expiring(&self) -> Option<&Node> {
        self.nodes.get(self.expiring as usize)
    }

    pub(super) fn oldest(&self) -> Option<&Node> {
        self.nodes.get(self.oldest as usize)
    }

    /// When the newest was stored, milliseconds.
    pub(in crate::store) fn newest_ms(&self) -> u64 {
        self.nodes.get(self.newest as usize).map_or(0, |node| node.stored_ms)
    }

    pub(super) fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes
    }
}

/// What a message counts against the budget, bytes.
pub(super) fn cost<B: AsRef<[u8]>>(content: &Content<B>) -> usize {
    content.bytes() + MESSAGE_OVERHEAD
}
