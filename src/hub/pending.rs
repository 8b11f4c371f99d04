//! Pending: a caller that waits for the store's reply. Holds only values.

use super::api::Subscribe;
use super::subscription::{Peer, StreamKey};
use crate::message::Order;
use crate::store::StoreId;

/// See the module.
#[derive(Debug)]
pub(super) struct Pending {
    /// The caller's name of its request.
    pub(super) peer: Peer,
    pub(super) then: Then,
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

impl From<Peer> for Pending {
    fn from(peer: Peer) -> Self {
        Self { peer, then: Then::Tell }
    }
}
