//! Pending: a caller that waits for the store, and what becomes of the reply. Holds only values.

use super::api::Subscribe;
use super::subscription::Peer;

/// See the module.
#[derive(Debug)]
pub(super) struct Pending {
    /// The caller's name of its request.
    pub(super) peer: Peer,
    /// What becomes of the reply.
    pub(super) then: Then,
}

impl Pending {
    /// The caller and what it asked, if it is a subscriber.
    pub(super) fn subscribe(&self) -> Option<(Peer, &Subscribe)> {
        match &self.then {
            Then::Hold(subscribe) => Some((self.peer, subscribe)),
            Then::Tell => None,
        }
    }
}

/// What becomes of a store's reply.
#[derive(Debug)]
pub(super) enum Then {
    /// The caller gets it.
    Tell,
    /// The caller gets it, or is held if there is no message.
    Hold(Subscribe),
}
