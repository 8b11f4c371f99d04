//! Subscription: one held poll's wait on one channel. Holds only values.

use crate::arena::Key;
use crate::message::Cursor;
use crate::store::ChannelKey;
use crate::wheel::TimerKey;

/// The caller's name of a request: the hub gives it back, and looks at nothing else of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub u64);

/// What a [`SubscriptionKey`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Held {}

/// Names a subscription while it is held.
pub type SubscriptionKey = Key<Held>;

/// What a [`StreamKey`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Followed {}

/// Names a stream while it lasts.
pub type StreamKey = Key<Followed>;

/// What a [`FeedKey`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fed {}

/// Names the feed of a channel while it lasts.
pub(super) type FeedKey = Key<Fed>;

/// Names a held request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// A poll of one channel.
    Poll(SubscriptionKey),
    /// A stream, or a poll of several channels.
    Stream(StreamKey),
}

/// Where a subscription stands in the list of its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its place in the list, while `epoch` is the channel's.
    pub(super) slot: u32,
    /// The channel's epoch when it was entered; an older one: a fan-out has taken it.
    pub(super) epoch: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Subscription {
    /// The caller's name of the request.
    pub(super) peer: Peer,
    pub(super) channel: ChannelKey,
    pub(super) cursor: Cursor,
    pub(super) place: Place,
    /// Ends the hold; `None`: never.
    pub(super) timer: Option<TimerKey>,
}

const _: () = assert!(size_of::<Subscription>() <= 56);
