//! One held request's wait on one channel.
//!
//! A request that waits on several channels will own several of these, all with its `peer`.

use crate::arena::Key;
use crate::message::Cursor;
use crate::wheel::TimerKey;

/// Names a subscription while it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubscriptionKey(pub(super) Key);

#[derive(Debug)]
pub(super) struct Subscription {
    /// What the caller calls the request.
    pub(super) peer: Key,
    pub(super) channel: Key,
    pub(super) cursor: Cursor,
    /// Its place in `Channel::waiting`, while `epoch` is the channel's.
    pub(super) slot: u32,
    /// The channel's epoch when it was entered; an older one: a fan-out has taken it.
    pub(super) epoch: u32,
    /// Ends the hold; `None`: never.
    pub(super) timer: Option<TimerKey>,
}

const _: () = assert!(size_of::<Subscription>() <= 56);
