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

/// What becomes of a store's reply.
#[derive(Debug)]
pub(super) enum Then {
    /// The caller gets it.
    Tell,
    /// The caller gets it, or is held if there is no message.
    Hold(Subscribe),
}
