//! Pending: a caller that waits for the store's reply. Holds only values.

use super::api::Subscribe;
use super::subscription::{Peer, StreamKey};
use crate::clock::Now;
use crate::message::Order;
use crate::store::StoreId;
use crate::wheel::TimerKey;

/// See the module.
#[derive(Debug)]
pub(super) struct Pending {
    /// The caller's name of its request.
    pub(super) peer: Peer,
    pub(super) then: Then,
    /// When it asked.
    pub(super) asked: Now,
    /// Ends the wait of a poll; `None`: never.
    pub(super) timer: Option<TimerKey>,
}

/// What is done with the reply, beside what it says of its channel.
#[derive(Debug)]
pub(super) enum Then {
    /// The caller is told.
    Tell,
    /// A poll is told of a message, or held where there is none.
    Poll(Subscribe),
    /// A stream begins, or a poll of several channels is told or held.
    Follow(StoreId, Order, Subscribe),
    /// The stream is given its next message, or has read all there is.
    Read(StreamKey),
}

impl Pending {
    pub(super) fn new(peer: Peer, then: Then, asked: Now) -> Self {
        Self { peer, then, asked, timer: None }
    }

    /// What a subscriber asked that waits for messages.
    pub(super) fn waits(&mut self) -> Option<&mut Subscribe> {
        match &mut self.then {
            Then::Poll(subscribe) | Then::Follow(_, _, subscribe) => {
                Some(subscribe).filter(|subscribe| subscribe.waits())
            }
            Then::Tell | Then::Read(_) => None,
        }
    }
}
