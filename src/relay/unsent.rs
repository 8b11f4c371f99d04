//! Unsent: messages that no subscriber was sent yet, of which a publisher waits until one is. Never
//! looks at a publisher.

use std::collections::HashMap;

use super::conn_key::ConnKey;
use crate::message::MessageId;
use crate::store::StoreId;

/// A message, by its store and its place there.
pub(super) type Place = (StoreId, MessageId);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    /// Who waits for it.
    publishers: HashMap<Place, ConnKey>,
    /// Those whose messages were sent since they were taken last, the last first; some may be gone.
    sent: Vec<(ConnKey, Place)>,
}

impl Unsent {
    /// Nobody waits, so that it does not matter what is sent.
    pub(super) fn is_empty(&self) -> bool {
        self.publishers.is_empty()
    }

    /// How many publishers wait.
    pub(super) fn len(&self) -> usize {
        self.publishers.len()
    }

    /// A publisher waits.
    pub(super) fn wait(&mut self, place: Place, publisher: ConnKey) {
        self.publishers.insert(place, publisher);
    }

    /// A publisher waits no more; gives whether its message was not sent.
    pub(super) fn leave(&mut self, place: Place) -> bool {
        self.publishers.remove(&place).is_some()
    }

    /// A subscriber is sent a message.
    pub(super) fn note_sent(&mut self, place: Place) {
        if let Some(publisher) = self.publishers.remove(&place) {
            self.sent.push((publisher, place));
        }
    }

    /// Whether [`Unsent::next_sent`] has one.
    pub(super) fn has_sent(&self) -> bool {
        !self.sent.is_empty()
    }

    /// The next publisher to be told that its message was sent.
    pub(super) fn next_sent(&mut self) -> Option<(ConnKey, Place)> {
        self.sent.pop()
    }

    /// Gives back the room that nobody needs any more.
    pub(super) fn shrink(&mut self) {
        self.publishers.shrink_to_fit();
        self.sent.shrink_to_fit();
    }
}
