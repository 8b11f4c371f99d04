//! Awaited: what is kept of a publisher that waits until a subscriber is sent its message. Decides
//! nothing.

use crate::clock::Now;
use crate::hub::Information;
use crate::relay::render::Reply;
use crate::relay::unsent::Place;

/// See the module.
#[derive(Debug)]
pub(in crate::relay) struct Awaited {
    pub(super) reply: Reply,
    /// As it was when the message was published.
    pub(super) information: Information,
    /// Its message.
    pub(super) place: Place,
    /// Answered then, milliseconds, whether it was sent or not.
    pub(super) until_ms: u64,
}

impl Awaited {
    /// How long it still waits, milliseconds.
    pub(super) fn left_ms(&self, now: Now) -> u64 {
        self.until_ms.saturating_sub(now.mono_ms)
    }
}
