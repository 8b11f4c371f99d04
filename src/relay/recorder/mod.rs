//! Recorder: the newest of what happened, for whoever asks why a message did not arrive. Written
//! whether or not somebody looks, as one looks when it is too late. Bounded in number and bytes;
//! decides nothing, and is not there where no location has `inspector`.
//!
//! A request is noted when it asks the hub ([`Recorder::asks`]), and with the hub's answer what was
//! noted becomes an event. Where a store takes time, it waits for that ([`Recorder::defer`]).

mod asked;
mod event;
mod json;
mod name;
mod ring;
mod rings;
mod texts;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use super::client::why::Why;
use super::conn_key::ConnKey;
use super::notice::{Report, without_query};
use crate::clock::Now;
use crate::hub::Sent;
use crate::message::{Content, Cursor, MessageId};
use crate::store::Gone;

pub(super) use self::asked::Asking;
use self::asked::{Asked, Text, What};
use self::event::Fact;
pub(super) use self::event::{By, NO_LOCATION, Transport};
use self::name::cut_name;
use self::rings::{Kind, Rings};
use self::texts::cut;

/// Connections whose holds are recorded: those with the lowest places in the table. So each hold
/// that is recorded has its end recorded, too.
const HELD_MAX: usize = 4096;

/// Bytes of names of held channels that no channel keeps itself, as they are cut; and of the lists
/// of those that ask for several. Holds beyond are not recorded.
const NAMES_BYTES_MAX: usize = 32 << 10;

/// Requests whose stores take time that are noted; beyond, all are forgotten, and their holds and
/// messages are not recorded.
const LATER_MAX: usize = 64;

/// Texts of such a request. One with more, for it asks for many channels, is not noted.
const LATER_BYTES: usize = 1200;

/// What a name takes beside its bytes: two counts, and what the allocator adds.
const RC_BYTES: usize = 32;

/// How much of a text is kept, bytes.
const PREVIEW_BYTES: usize = 256;
const TYPE_BYTES: usize = 64;
const URL_BYTES: usize = 160;
const TEXT_BYTES: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    rings: Rings,
    /// The request at hand; kept for its room.
    asked: Option<Box<Asked>>,
    later: BTreeMap<ConnKey, Box<Asked>>,
    /// By the places of their connections.
    held: Vec<Option<Held>>,
    /// What they have of [`NAMES_BYTES_MAX`].
    names_bytes: usize,
}

const _: () = {
    let of_later = LATER_MAX * (size_of::<Asked>() + LATER_BYTES);
    let bytes = HELD_MAX * size_of::<Option<Held>>() + NAMES_BYTES_MAX;
    let bytes = bytes + of_later + Rings::BYTES_MAX;
    assert!(bytes <= 3 << 19);
};

/// A request that is held.
#[derive(Debug)]
struct Held {
    /// The number of its event.
    h: u64,
    /// When it began, monotonic milliseconds modulo 2^32.
    began_ms: u32,
    /// Of [`NAMES_BYTES_MAX`].
    bytes: u32,
    names: HeldNames,
}

#[derive(Debug)]
enum HeldNames {
    One(Rc<[u8]>),
    More(Box<[Rc<[u8]>]>),
}

/// A request that was refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused<'a> {
    pub(super) status: u16,
    pub(super) why: &'static str,
    /// The answer.
    pub(super) text: &'a str,
    pub(super) fix: &'a str,
    /// Of the location in the settings, or [`NO_LOCATION`].
    pub(super) location: u16,
}

impl Recorder {
    /// Nothing is recorded yet; the first event has the number behind this one.
    pub(super) fn behind(newest: u64) -> Self {
        Self { rings: Rings::behind(newest), ..Self::default() }
    }

    /// The number of the newest event; 0 before the first.
    pub(super) fn newest(&self) -> u64 {
        self.rings.newest()
    }

    /// The events behind this number, as JSON, as many as go into one answer. `stores`: the names
    /// of all stores; `instance`: that of this run.
    pub(super) fn json(&self, after: u64, (stores, instance): (&[String], &str)) -> Vec<u8> {
        json::answer(&self.rings, after, (stores, instance))
    }

    /// A request asks the hub something of these channels.
    pub(super) fn asks<'n>(
        &mut self,
        asking: &Asking<'_, '_>,
        names: impl Iterator<Item = &'n [u8]>,
    ) {
        self.asked.get_or_insert_default().note(asking, names);
    }

    /// That request subscribes.
    pub(super) fn subscribes(&mut self, cursor: Cursor, transport: Transport) {
        if let Some(asked) = &mut self.asked {
            asked.what = What::Subscribe(cursor, transport);
        }
    }

    /// That request publishes.
    pub(super) fn publishes(&mut self, content: &Content<Cow<'_, [u8]>>, kept: bool, by: By) {
        let Some(asked) = &mut self.asked else { return };
        let bytes = u32::try_from(content.body.len()).unwrap_or(u32::MAX);
        asked.what = What::Publish { bytes, kept, by };
        asked.texts.push(cut(content.content_type.as_deref().unwrap_or_default(), TYPE_BYTES));
        asked.texts.push(cut(&content.body, PREVIEW_BYTES));
    }

    /// The store of a request takes time.
    pub(super) fn defer(&mut self, conn: ConnKey) {
        let Some(asked) = self.asked.take_if(|asked| asked.conn == Some(conn)) else { return };
        if asked.names.bytes() + asked.texts.bytes() > LATER_BYTES {
            return self.keep_room(Some(asked));
        }
        if self.later.len() >= LATER_MAX {
            self.later.clear();
        }
        self.later.insert(conn, asked);
    }

    /// What a connection has asked last, if that is known and not answered.
    fn take(&mut self, conn: ConnKey) -> Option<Box<Asked>> {
        let at_hand = self.asked.take_if(|asked| asked.conn == Some(conn));
        at_hand.or_else(|| self.later.remove(&conn))
    }

    /// Gives back the room of what is answered, if no other request has come to that place.
    fn keep_room(&mut self, asked: Option<Box<Asked>>) {
        if let Some(mut asked) = asked.filter(|_| self.asked.is_none()) {
            asked.conn = None;
            self.asked = Some(asked);
        }
    }

    /// The message of a request is published, to so many.
    pub(super) fn published(&mut self, conn: ConnKey, id: MessageId, sent: usize, now: Now) {
        let Some(asked) = self.take(conn) else { return };
        if let What::Publish { bytes, kept, by } = asked.what {
            let sent = u32::try_from(sent).unwrap_or(u32::MAX);
            let fact = Fact::Publish { id, bytes, sent, kept, by };
            let (content_type, preview) = (asked.text(Text::Type), asked.text(Text::Preview));
            let mut room = [0; 16];
            let from = octets(asked.from, &mut room);
            let texts = [asked.names.get(0), from, content_type, preview];
            self.rings.record(Kind::Publishes, fact, &texts, now);
        }
        self.keep_room(Some(asked));
    }

    /// All that waited for a message have been sent it, the last of them so many microseconds
    /// behind its publication.
    pub(super) fn sent(&mut self, sent: &Sent, us: u64, now: Now) {
        let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let fact = Fact::Sent { id: sent.id, to: count(sent.to as u64), us: count(us) };
        let name = sent.name.as_deref().unwrap_or_default();
        self.rings.record(Kind::Sent, fact, &[cut_name(name)], now);
    }

    /// A request is held. `shared` gives the name of a channel as that keeps it.
    pub(super) fn holds(
        &mut self,
        conn: ConnKey,
        shared: impl FnMut(&[u8]) -> Option<Rc<[u8]>>,
        now: Now,
    ) {
        let Some(asked) = self.take(conn) else { return };
        if let What::Subscribe(cursor, transport) = asked.what
            && conn.index() < HELD_MAX
            && let Some((names, bytes)) = self.held_names(&asked, shared)
        {
            let h = self.rings.newest() + 1;
            let mut room = [0; 16];
            let from = octets(asked.from, &mut room);
            let texts = [Text::Agent, Text::Origin, Text::Member].map(|text| asked.text(text));
            for place in 0..asked.names.len() {
                let fact = Fact::Hold { h, cursor, transport };
                let texts = [asked.names.get(place), from, texts[0], texts[1], texts[2]];
                self.rings.record(Kind::Holds, fact, &texts, now);
            }
            if self.held.len() <= conn.index() {
                self.held.resize_with(conn.index() + 1, || None);
            }
            self.held[conn.index()] = Some(Held { h, began_ms: now.mono_ms as u32, bytes, names });
        }
        self.keep_room(Some(asked));
    }

    /// The names that a request is to be held with, and how much they are of [`NAMES_BYTES_MAX`],
    /// which are taken; `None`: there are not so many.
    fn held_names(
        &mut self,
        asked: &Asked,
        mut shared: impl FnMut(&[u8]) -> Option<Rc<[u8]>>,
    ) -> Option<(HeldNames, u32)> {
        let count = asked.names.len();
        let mut bytes = if count == 1 { 0 } else { count * size_of::<Rc<[u8]>>() };
        let mut name = |place| {
            let name = asked.names.get(place);
            shared(name).unwrap_or_else(|| {
                bytes += name.len() + RC_BYTES;
                name.into()
            })
        };
        let names = match count {
            1 => HeldNames::One(name(0)),
            _ => HeldNames::More((0..count).map(name).collect()),
        };
        let all = self.names_bytes + bytes;
        if all > NAMES_BYTES_MAX {
            return None;
        }
        self.names_bytes = all;
        Some((names, bytes as u32))
    }

    /// A connection's request is held no more; `false`: it was not, or is not recorded. `of`: the
    /// message that it is given, and the name of its channel where it has several.
    pub(super) fn ends(
        &mut self,
        conn: ConnKey,
        why: Why,
        of: Option<(MessageId, &[u8])>,
        now: Now,
    ) -> bool {
        let Some(held) = self.held.get_mut(conn.index()).and_then(Option::take) else {
            return false;
        };
        let Held { h, began_ms, bytes, names } = held;
        self.names_bytes -= bytes as usize;
        let held_ms = (now.mono_ms as u32).wrapping_sub(began_ms);
        let (id, of) = of.unwrap_or_default();
        let of = cut_name(of);
        let mut end = |name: &[u8]| {
            let name = cut_name(name);
            let id = if of.is_empty() || of == name { id } else { MessageId::default() };
            self.rings.record(Kind::Holds, Fact::End { h, why, id, held_ms }, &[name], now);
        };
        match names {
            HeldNames::One(name) => end(&name),
            HeldNames::More(names) => names.iter().for_each(|name| end(name)),
        }
        true
    }

    /// A request is given a message that was there; `behind`: so many more are.
    pub(super) fn answers(
        &mut self,
        (conn, from): (ConnKey, Option<IpAddr>),
        name: Option<&[u8]>,
        (id, behind): (MessageId, u64),
        now: Now,
    ) {
        let behind = u32::try_from(behind).unwrap_or(u32::MAX);
        // A message of the WebSocket's own may still wait for its store.
        let is_kept = self.asked_of(conn).is_some_and(Asked::publishes);
        let taken = if is_kept { None } else { self.take(conn) };
        let nothing = Asked::default();
        let asked = taken.as_deref().unwrap_or(&nothing);
        let mut room = [0; 16];
        let from = octets(from, &mut room);
        let name = name.map_or(asked.names.get(0), cut_name);
        let texts = [name, from, asked.text(Text::Agent)];
        self.rings.record(Kind::Holds, Fact::Answer { id, behind }, &texts, now);
        self.keep_room(taken);
    }

    /// The name of the channel that a connection has asked for, if that is known.
    pub(super) fn asked_name(&self, conn: ConnKey) -> &[u8] {
        self.asked_of(conn).map_or(b"", |asked| asked.names.get(0))
    }

    fn asked_of(&self, conn: ConnKey) -> Option<&Asked> {
        let at_hand = self.asked.as_deref().filter(|asked| asked.conn == Some(conn));
        at_hand.or_else(|| self.later.get(&conn).map(Box::as_ref))
    }

    /// A message is gone.
    pub(super) fn drops(&mut self, name: &[u8], id: MessageId, why: Gone, now: Now) {
        self.rings.record(Kind::Drops, Fact::Drop { id, why }, &[cut_name(name)], now);
    }

    /// A request is refused that has not asked the hub.
    pub(super) fn refuses(
        &mut self,
        asking: &Asking<'_, '_>,
        name: Option<&[u8]>,
        refused: &Refused<'_>,
        now: Now,
    ) {
        self.asks(asking, name.into_iter());
        self.refuses_asked((asking.conn, asking.from), refused, now);
    }

    /// A request is refused that has asked the hub, or that is held.
    pub(super) fn refuses_asked(
        &mut self,
        (conn, from): (ConnKey, Option<IpAddr>),
        refused: &Refused<'_>,
        now: Now,
    ) {
        let &Refused { status, why, text, fix, location } = refused;
        let (taken, nothing) = (self.take(conn), Asked::default());
        let asked = taken.as_deref().unwrap_or(&nothing);
        let held = self.held.get(conn.index()).and_then(Option::as_ref);
        let name = match held.map(|held| &held.names) {
            Some(HeldNames::One(name)) if asked.conn.is_none() => cut_name(name),
            _ => asked.names.get(0),
        };
        let mut room = [0; 16];
        let texts = [
            name,
            octets(from, &mut room),
            cut(text.as_bytes(), TEXT_BYTES),
            cut(fix.as_bytes(), TEXT_BYTES),
            asked.text(Text::Method),
            asked.text(Text::Path),
            asked.text(Text::Host),
            asked.text(Text::Origin),
        ];
        self.rings.record(Kind::Refusals, Fact::Refuse { status, why, location }, &texts, now);
        self.keep_room(taken);
    }

    /// Django was told something, or could not be.
    pub(super) fn notices(&mut self, report: &Report) {
        let &Report { what, ref url, ref channel_id, reaction, at, us } = report;
        let us = u32::try_from(us).unwrap_or(u32::MAX);
        // The location's group and store are not known any more.
        let name = [b"\xff\xff\0", &**channel_id].concat();
        let name = if channel_id.is_empty() { &[] } else { cut_name(&name) };
        let (fix, word) = (reaction.fix().unwrap_or_default(), reaction.word());
        let (url, fix) =
            (cut(without_query(url).as_bytes(), URL_BYTES), cut(fix.as_bytes(), TEXT_BYTES));
        let texts = [name, url, fix, word.as_bytes()];
        self.rings.record(Kind::Notices, Fact::Notice { what, us }, &texts, at);
    }
}

/// An address as its bytes; none on a Unix socket.
fn octets(from: Option<IpAddr>, room: &mut [u8; 16]) -> &[u8] {
    match from {
        None => &[],
        Some(IpAddr::V4(four)) => {
            room[..4].copy_from_slice(&four.octets());
            &room[..4]
        }
        Some(IpAddr::V6(six)) => {
            *room = six.octets();
            room
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_takes_no_more_than_its_room_and_gives_it_back() {
        let now = Now::at(0, 1);
        let mut recorder = Recorder::default();
        let conns = || (0..HELD_MAX as u64).map(ConnKey::from_bits);
        let name = |conn: ConnKey| format!("\0\0\0{:0200}", conn.index()).into_bytes();
        let cursor = Cursor::OLDEST;
        for conn in conns() {
            let asking = Asking { conn, from: None, head: None, member: "" };
            let names = [name(conn), b"\0\0\0other".to_vec()];
            let several = conn.index() % 2 + 1;
            recorder.asks(&asking, names.iter().take(several).map(|name| &name[..]));
            recorder.subscribes(cursor, Transport::Poll);
            recorder.holds(conn, |_| None, now);
            assert!(recorder.names_bytes <= NAMES_BYTES_MAX, "{}", recorder.names_bytes);
        }
        assert!(recorder.names_bytes > NAMES_BYTES_MAX / 2);
        let ended = conns().filter(|conn| recorder.ends(*conn, Why::Gone, None, now)).count();
        assert!((100..HELD_MAX).contains(&ended), "{ended}");
        assert_eq!(recorder.names_bytes, 0);
        // Those of channels that are there take none of it.
        let shared: Rc<[u8]> = b"\0\0\0room"[..].into();
        for conn in conns() {
            let asking = Asking { conn, from: None, head: None, member: "" };
            recorder.asks(&asking, std::iter::once(&*shared));
            recorder.subscribes(cursor, Transport::Poll);
            recorder.holds(conn, |name| (*name == *shared).then(|| Rc::clone(&shared)), now);
        }
        assert_eq!((recorder.names_bytes, Rc::strong_count(&shared)), (0, HELD_MAX + 1));
    }

    #[test]
    fn a_message_is_recorded_whose_websocket_is_given_another_while_its_store_takes_time() {
        let (now, conn) = (Now::at(0, 1), ConnKey::from_bits(1));
        let mut recorder = Recorder::default();
        let asking = Asking { conn, from: None, head: None, member: "" };
        recorder.asks(&asking, std::iter::once(&b"\0\0\0room"[..]));
        let content = Content { content_type: None, event: None, body: &b"its own"[..] };
        recorder.publishes(&content.into(), true, By::WebSocket);
        recorder.defer(conn);
        let id = |time| MessageId { time, tag: 0 };
        recorder.answers((conn, None), Some(b"\0\0\0room"), (id(1), 0), now);
        recorder.published(conn, id(2), 1, now);
        let told = recorder.json(0, (&["default".to_owned()], "instance"));
        let told = String::from_utf8_lossy(&told);
        assert!(told.contains("its own") && told.contains("\"2:0\""), "{told}");
    }

    #[test]
    fn a_request_for_many_channels_waits_for_no_store_in_here() {
        let mut recorder = Recorder::default();
        for (conn, count) in
            [(1, 3), (2, 200)].map(|(bits, count)| (ConnKey::from_bits(bits), count))
        {
            let asking = Asking { conn, from: None, head: None, member: "" };
            recorder.asks(&asking, std::iter::repeat_n(&b"\0\0\0a room"[..], count));
            recorder.defer(conn);
            assert!(recorder.asked.as_ref().is_none_or(|asked| asked.conn.is_none()));
        }
        assert_eq!(recorder.later.len(), 1);
    }
}
