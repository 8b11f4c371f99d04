//! Unheard: messages of our own that Redis has answered and not announced yet. Before 7.2 it tells
//! the one that published first of the message, from then on first that it is published; who waits
//! here is known when the message has come.

use std::collections::VecDeque;

use super::answers::Published;
use crate::message::MessageId;
use crate::store::ask::Ticket;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unheard(VecDeque<Own>);

/// A message of our own, and who waits to be told of it.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) ticket: Ticket,
    pub(super) name: Box<[u8]>,
    pub(super) published: Published,
}

impl Unheard {
    /// Notes one that will be announced on this connection.
    pub(super) fn push(&mut self, own: Own) {
        self.0.push_back(own);
    }

    /// Takes those of a channel up to the message that was announced.
    pub(super) fn take(&mut self, name: &[u8], id: MessageId) -> VecDeque<Own> {
        let is_heard = |own: &Own| *own.name == *name && own.published.id <= id;
        let (heard, rest) = std::mem::take(&mut self.0).into_iter().partition(is_heard);
        self.0 = rest;
        heard
    }

    /// Takes all: the connection has ended.
    pub(super) fn take_all(&mut self) -> VecDeque<Own> {
        std::mem::take(&mut self.0)
    }
}
