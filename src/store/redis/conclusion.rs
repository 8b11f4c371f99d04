//! Conclusion: what the answers to a search come to, for the hub. Asks nobody.

use std::rc::Rc;

use super::answers::Refusal;
use super::local::Local;
use super::search::{Found, Kind, Search};
use crate::message::{Cursor, First, Order};
use crate::store::ask::{ChannelKey, Owed, Reply, Start};

/// See the module.
#[derive(Debug)]
pub(super) enum Conclusion<W> {
    Tell(Reply<W>),
    /// Redis is to be asked once more: what is known is not of one time, or not enough.
    Again,
}

/// What all answers to a search come to. `second`: on Redis' clock.
pub(super) fn conclude<W: Default>(
    search: &mut Search,
    local: &mut Local<'_, W>,
    second: u64,
) -> Conclusion<W> {
    let Start { mut cursor, first, waits, .. } = search.start();
    if let Some((part, refusal)) = search.refusal() {
        return refused(search, part, refusal);
    }
    let Some(channels) = channels(search, local) else { return Conclusion::Again };
    let Ok(channels) = channels else { return Conclusion::Tell(Reply::TooManyChannels) };
    if let Some(resolved) = search.resolved(second) {
        cursor = resolved;
    }
    if let Kind::Follow(Order::Store, start) = search.kind
        && start.cursor.is_oldest()
        && match first {
            First::Last(_) => true,
            // Each channel may have been asked in another second.
            First::Since(place) => cursor.id() != place,
            First::Oldest | First::Newest => false,
        }
    {
        // Now it is known where that is.
        search.kind = Kind::Follow(Order::Store, Start { cursor, first: First::Oldest, ..start });
        return Conclusion::Again;
    }
    if let Kind::Next(_) = search.kind {
        return Conclusion::Tell(next(search, &channels, cursor, local));
    }
    let here = if search.is_of_several() { local.after_place(&search.names, cursor) } else { None };
    let owed = owed(search, here.map(|(message, name)| Found { message, name }), cursor);
    let channels = if waits { channels.into() } else { Box::default() };
    Conclusion::Tell(Reply::Followed { channels, cursor, owed })
}

/// The channels here, of one who waits; `None`: they are not all known at one time.
fn channels<W: Default>(
    search: &Search,
    local: &mut Local<'_, W>,
) -> Option<Result<Vec<ChannelKey>, ()>> {
    let mut all = Vec::new();
    if !search.start().waits {
        return Some(Ok(all));
    }
    let is_live = |name: &Rc<[u8]>| {
        local.mirrors.get(name).is_some_and(|mirror| local.mirrors.is_live(mirror))
    };
    let are_live = || local.mirrors.are_settled() && search.opened().all(|(name, _)| is_live(name));
    if search.is_of_several() && !are_live() {
        return None;
    }
    let is_begun = matches!(search.kind, Kind::Read(..));
    for (name, opened) in search.opened().filter(|_| !is_begun) {
        local.mirrors.get(name)?;
        let Some(key) = local.channel(name, opened.kept) else { return Some(Err(())) };
        if let Some(channel) = local.asks.channels.get_mut(key) {
            if opened.is_published {
                channel.published(channel.last);
            }
            channel.asked_ms = Some(local.asks.now.mono_ms);
        }
        all.push(key);
    }
    Some(Ok(all))
}

fn next<W: Default>(
    search: &mut Search,
    channels: &[ChannelKey],
    cursor: Cursor,
    local: &Local<'_, W>,
) -> Reply<W> {
    let gap = search.gap(cursor, cursor.id());
    if let Some(Found { message, .. }) = search.first() {
        return Reply::Found { message, gap };
    }
    let channel = channels.first().copied();
    let last = channel.and_then(|key| local.asks.channels.get(key)).map(|channel| channel.last);
    Reply::Nothing { channel, last: last.unwrap_or(cursor.id()), cursor }
}

/// The first message of what Redis has and of what came since then.
fn owed(search: &mut Search, here: Option<Found>, cursor: Cursor) -> Option<Owed> {
    let order = search.order();
    let until = search.first_id().into_iter();
    let until = until.chain(here.as_ref().map(|found| found.message.id_in(order))).min()?;
    let gap = search.gap(cursor, until);
    let Found { message, name } =
        search.first().into_iter().chain(here).min_by_key(|found| found.message.id_in(order))?;
    Some(Owed { message, gap, counts_ids: true, name })
}

fn refused<W>(search: &Search, part: usize, refusal: &Refusal) -> Conclusion<W> {
    let waits = search.start().waits;
    Conclusion::Tell(match (refusal, search.kind) {
        (Refusal::Missing, Kind::Follow(..)) => {
            Reply::Missing { name: Some((*search.names[part]).into()) }
        }
        (Refusal::Missing, _) => Reply::Missing { name: None },
        // It is asked again where there is another.
        (refusal, _) if refusal.is_of_the_node() && waits => return Conclusion::Again,
        (_, Kind::Read(_, cursor)) => {
            Reply::Followed { channels: Box::default(), cursor, owed: None }
        }
        _ => Reply::Away,
    })
}
