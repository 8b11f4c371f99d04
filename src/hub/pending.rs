//! Pending: a caller that waits for the store's reply. Holds only values.

use super::api::Subscribe;
use super::subscription::Peer;

/// See the module.
#[derive(Debug)]
pub(super) struct Pending {
    /// The caller's name of its request.
    pub(super) peer: Peer,
    /// Of a subscriber, which is held where there is no message.
    pub(super) subscribe: Option<Subscribe>,
}

impl From<Peer> for Pending {
    fn from(peer: Peer) -> Self {
        Self { peer, subscribe: None }
    }
}
