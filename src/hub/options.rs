//! Options of the hub. Built by `config`, checked there, never checked again.

use serde::{Deserialize, Serialize};

pub use crate::store::{StoreKind, StoreOptions};

use crate::message::MessageId;

/// The hub's settings.
#[derive(Debug, Clone)]
pub struct Options {
    /// The stores; a `StoreId` is an index into this list.
    pub stores: Vec<StoreOptions>,
    /// Most channels that exist at once.
    pub channels_max: usize,
    /// Every id given out is above this one: the second and microsecond of the start, so that a
    /// cursor of the process before this one misses nothing.
    pub first_id: MessageId,
    /// Seeds the jitter of poll timeouts; the hub has no other randomness.
    pub seed: u64,
}

/// What happens to several requests held on one channel (Basic HTTP Push Relay Protocol 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Concurrency {
    /// All stay and all get the message.
    Broadcast,
    /// The newest stays; the one before it is answered 409.
    Last,
    /// The oldest stays; a newer one is answered 409.
    First,
}
