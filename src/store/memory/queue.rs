//! Queue: one channel's messages, by their places in the list of all, and its losses. Changes
//! nothing but itself.

use std::collections::VecDeque;

use super::lost::Lost;
use crate::message::Message;
use crate::store::ask::ChannelKey;

/// Room for so many messages is kept by a queue that has one, be it used or not.
pub(super) const ROOM_KEPT: usize = 16;

/// One channel's queue in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueId(u32);

impl QueueId {
    /// The queue at a place in the table.
    pub(super) fn at(index: usize) -> Self {
        Self(u32::try_from(index).expect("fewer than 2^32 queues"))
    }

    /// Its place in the table.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    /// Oldest first; ids ascend.
    nodes: VecDeque<u32>,
    /// Of the next message: how many were kept before it.
    pub(super) sequence: u64,
    /// Of the contents of its messages, with those that are still to be dropped.
    pub(super) bytes: usize,
    /// `None` until something is lost.
    pub(super) lost: Option<Box<Lost>>,
    /// The channel.
    pub(super) owner: ChannelKey,
}

impl Queue {
    /// For a channel with the losses of earlier queues.
    pub(super) fn new(owner: ChannelKey, lost: Option<Lost>) -> Self {
        let lost = lost.map(Box::new);
        Self { nodes: VecDeque::new(), sequence: 0, bytes: 0, lost, owner }
    }

    pub(super) fn push(&mut self, node: u32, bytes: usize) {
        self.sequence += 1;
        self.bytes += bytes;
        self.nodes.push_back(node);
    }

    /// Takes out the oldest message.
    pub(super) fn pop(&mut self) -> Option<u32> {
        let node = self.nodes.pop_front()?;
        if self.nodes.is_empty() {
            self.nodes = VecDeque::new();
        } else if self.nodes.capacity() > ROOM_KEPT && self.nodes.len() < self.nodes.capacity() / 4
        {
            // By half, so that what stays about as long is not moved each time.
            self.nodes.shrink_to(self.nodes.capacity() / 2);
        }
        Some(node)
    }

    /// Notes that a message is lost; `with_place`: its place by itself, too.
    pub(super) fn lose(&mut self, message: &Message, with_place: bool) {
        self.bytes -= message.content.bytes();
        let lost = self.lost.get_or_insert_default();
        lost.note_place(message.place(), with_place);
        lost.note(message.id(), message.sequence);
    }

    /// How many messages come before the first that is wanted, as all behind it are.
    pub(super) fn before(&self, wants: impl Fn(u32) -> bool) -> usize {
        let len = self.nodes.len();
        // Most want the newest alone, or nothing: no other is searched for.
        for newer in 0..2 {
            match len.checked_sub(newer + 1) {
                Some(at) if wants(self.nodes[at]) => {}
                _ => return len - newer,
            }
        }
        self.nodes.partition_point(|node| !wants(*node))
    }

    pub(super) fn nodes(&self) -> &VecDeque<u32> {
        &self.nodes
    }
}
