//! Listening: what is kept of a request that waits for events. Decides nothing.

use crate::relay::render::Reply;

/// See the module.
#[derive(Debug)]
pub(in crate::relay) struct Listening {
    pub(super) reply: Reply,
    /// Events behind this one.
    pub(super) after: u64,
    /// Answered then, milliseconds, whether there are any or not.
    pub(super) until_ms: u64,
}
