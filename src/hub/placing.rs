//! Placing: whether a request has a place on its channels, and its hold there. Never asks a store
//! for a caller.

use super::api::{End, Output, Refusal, Subscribe};
use super::feeds::At;
use super::holds::Holds;
use super::options::Concurrency;
use super::streams::Begin;
use super::subscription::{Hold, Peer};
use crate::clock::Now;
use crate::message::{Cursor, Delivery, MessageId, Order};
use crate::store::{ChannelKey, StoreId};

/// Holds a poll on a channel whose newest id is `last`, if the channel has a place for it.
pub(super) fn hold(
    holds: &mut Holds,
    peer: Peer,
    (channel, cursor, last): (ChannelKey, Cursor, MessageId),
    subscribe: &Subscribe,
    now: Now,
) {
    if !subscribe.takes_all() && !has_place(holds, peer, &[channel], (cursor, subscribe), now) {
        return;
    }
    let due_ms = holds.due_ms(subscribe, now);
    let waiters = holds.stores.kept_mut(channel).expect("the store has just named it");
    let was_empty = waiters.is_empty();
    let key = holds.polls.hold(peer, (channel, waiters), (cursor, last), due_ms);
    if was_empty {
        holds.stores.set_waited(channel, true, now);
    }
    holds.outputs.push_back(Output::Held { peer, hold: Hold::Poll(key) });
}

/// Begins a stream on channels, or holds a poll of several, if they have a place for it.
pub(super) fn follow(
    holds: &mut Holds,
    peer: Peer,
    (store, order, cursor): (StoreId, Order, Cursor),
    (channels, is_behind): (&[ChannelKey], bool),
    subscribe: &Subscribe,
    now: Now,
) {
    if !subscribe.takes_all() && !has_place(holds, peer, channels, (cursor, subscribe), now) {
        channels.iter().for_each(|channel| holds.note_waited(*channel, now));
        return;
    }
    let is_poll = subscribe.delivery != Delivery::Stream;
    let poll = is_poll.then(|| holds.due_ms(subscribe, now));
    let begin = Begin { peer, store, order, cursor, channels, is_behind, poll };
    let key = holds.streams.begin(begin, &mut At::new(&mut holds.stores, now));
    holds.outputs.push_back(Output::Held { peer, hold: Hold::Stream(key) });
    holds.start_reading();
}

/// Whether there is a place for one more on each of these channels; makes one, or tells the
/// caller.
fn has_place(
    holds: &mut Holds,
    peer: Peer,
    channels: &[ChannelKey],
    (cursor, subscribe): (Cursor, &Subscribe),
    now: Now,
) -> bool {
    let held = |channel: &ChannelKey| holds.held_on(*channel);
    let most = channels.iter().map(held).max().unwrap_or(0);
    match subscribe.concurrency {
        Concurrency::First if most > 0 => {
            holds.end(peer, End::Displaced, cursor);
            false
        }
        Concurrency::Last if most > 0 => {
            channels.iter().for_each(|channel| displace(holds, *channel, channels, now));
            true
        }
        _ if subscribe.is_too_many(most) => {
            let refusal = Refusal::Subscribers;
            holds.outputs.push_back(Output::Refused { peer, refusal });
            false
        }
        _ => true,
    }
}

/// Ends what is held on a channel. `claimed`: all that the request will be held on.
fn displace(holds: &mut Holds, channel: ChannelKey, claimed: &[ChannelKey], now: Now) {
    if let Some(waiters) = holds.stores.kept_mut(channel) {
        for displaced in waiters.take(Vec::new()) {
            let held = holds.release(displaced).expect("a listed subscription is held");
            holds.end(held.peer, End::Displaced, held.cursor);
        }
    }
    let Holds { streams, outputs, stores, .. } = holds;
    streams.displace(channel, outputs, &mut At { claimed, ..At::new(stores, now) });
}
