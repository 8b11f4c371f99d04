//! Replies: what the hub goes on with where a store has answered, at once or turns later.

use super::api::{End, Information, Output, Refusal};
use super::holds::Holds;
use super::pending::{Pending, Then};
use super::placing;
use super::waiters::Waiters;
use crate::clock::Now;
use crate::message::{Cursor, Delivery, MessageId};
use crate::store::{ChannelKey, Owed, Reply};

/// Goes on where a store has answered. `pending`: the caller, if it still waits. What happened
/// on the channel concerns the requests held there in any case.
pub(super) fn take(holds: &mut Holds, pending: Option<&Pending>, reply: Reply<Waiters>, now: Now) {
    let peer = pending.map(|pending| pending.peer);
    let refused = |refusal| peer.map(|peer| Output::Refused { peer, refusal });
    let output = match reply {
        Reply::Appended { channel, message, kept, lost_through, facts } => {
            let appended = (channel, message, lost_through);
            let began = pending.map_or(now, |pending| pending.asked);
            return holds.deliver(peer, appended, (facts, kept, began), now);
        }
        Reply::Deleted { channel, facts, kept } => {
            return holds.delete(peer, (channel, facts, kept));
        }
        Reply::Nothing { channel, last, cursor } => {
            return hold_or_end(holds, pending, (channel, last, cursor), now);
        }
        Reply::Followed { channels, cursor, owed } => {
            return follow_or_end(holds, pending, &channels, (cursor, owed), now);
        }
        Reply::Found { message, gap } => {
            peer.map(|peer| Output::Deliver { peer, message, gap, many_waited: None })
        }
        Reply::Accepted { channel, id, place, elsewhere, facts } => {
            let Some(peer) = peer else { return };
            return holds.accepted(peer, (channel, id, place), (facts, elsewhere));
        }
        Reply::Exists { channel, facts } => {
            channel.into_iter().for_each(|channel| holds.adopt(channel, now));
            let held = channel.map_or(0, |channel| holds.held_on(channel));
            let information = Information::new(facts, held);
            peer.map(|peer| Output::Exists { peer, information })
        }
        Reply::Gone { facts } => {
            let information = Information::new(facts, 0);
            peer.map(|peer| Output::Deleted { peer, information })
        }
        Reply::Behind(store) => return holds.fall_behind(store),
        Reply::Missing { name } => peer.map(|peer| Output::Missing { peer, name }),
        Reply::TooManyChannels => refused(Refusal::Channels),
        Reply::TooLarge => refused(Refusal::MessageSize),
        Reply::NotWritten => refused(Refusal::NotWritten),
        Reply::Busy => refused(Refusal::Busy),
        Reply::Away => refused(Refusal::Away),
        Reply::OutOfMemory => refused(Refusal::OutOfMemory),
    };
    holds.outputs.extend(output);
}

/// Holds a poll that found no message, if it waits; otherwise ends its request.
fn hold_or_end(
    holds: &mut Holds,
    pending: Option<&Pending>,
    (channel, last, cursor): (Option<ChannelKey>, MessageId, Cursor),
    now: Now,
) {
    let asked = match pending {
        Some(Pending { peer, then: Then::Poll(subscribe), .. }) => Some((*peer, subscribe)),
        _ => None,
    };
    if let Some(channel) = channel {
        holds.adopt(channel, now);
        match asked {
            Some((peer, subscribe)) if subscribe.waits() && !holds.stopping => {
                return placing::hold(holds, peer, (channel, cursor, last), subscribe, now);
            }
            // It may have been made for this subscriber.
            _ => holds.note_waited(channel, now),
        }
    }
    if let Some((peer, _)) = asked {
        holds.end(peer, End::NothingNew, cursor);
    }
}

/// Goes on with a stream, or with a poll of several channels.
fn follow_or_end(
    holds: &mut Holds,
    pending: Option<&Pending>,
    channels: &[ChannelKey],
    (cursor, owed): (Cursor, Option<Owed>),
    now: Now,
) {
    channels.iter().for_each(|channel| holds.adopt(*channel, now));
    let (peer, (store, order, subscribe)) = match pending {
        Some(Pending { peer, then: Then::Follow(store, order, subscribe), .. }) => {
            (*peer, (*store, *order, subscribe))
        }
        Some(Pending { then: Then::Read(stream), .. }) => {
            return holds.answered(*stream, owed, now);
        }
        _ => return channels.iter().for_each(|channel| holds.note_waited(*channel, now)),
    };
    let is_stream = subscribe.delivery == Delivery::Stream;
    match owed {
        Some(owed) if !is_stream => {
            holds.tell(peer, owed);
            channels.iter().for_each(|channel| holds.note_waited(*channel, now));
        }
        owed if subscribe.waits() && !holds.stopping => {
            let is_behind = owed.is_some();
            let of = (store, order, cursor);
            placing::follow(holds, peer, of, (channels, is_behind), subscribe, now);
        }
        _ => {
            channels.iter().for_each(|channel| holds.note_waited(*channel, now));
            let end = if is_stream { End::Shutdown } else { End::NothingNew };
            holds.end(peer, end, cursor);
        }
    }
}
