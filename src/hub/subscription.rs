//! One held request's wait on one channel.
//!
//! A request that waits on several channels will own several of these, all with its `peer`.

use super::channel::ChannelKey;
use crate::arena::Key;
use crate::message::Cursor;
use crate::wheel::TimerKey;

/// The caller's name of a request: the hub gives it back, and looks at nothing else of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub u64);

/// Names a subscription while it is held.
pub type SubscriptionKey = Key<Subscription>;

/// See the module.
#[derive(Debug)]
pub struct Subscription {
    /// What the caller calls the request.
    pub(super) peer: Peer,
    pub(super) channel: ChannelKey,
    pub(super) cursor: Cursor,
    /// Its place in `Channel::waiting`, while `epoch` is the channel's.
    pub(super) slot: u32,
    /// The channel's epoch when it was entered; an older one: a fan-out has taken it.
    pub(super) epoch: u32,
    /// Ends the hold; `None`: never.
    pub(super) timer: Option<TimerKey>,
}

const _: () = assert!(size_of::<Subscription>() <= 56);
