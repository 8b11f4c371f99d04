//! Writes answers: deliveries, ends of holds, channel information and errors. The bytes of a
//! delivery are made once for all subscribers of a fan-out that get the same ones.

pub(in crate::relay) mod event_stream;
mod ids;
pub(in crate::relay) mod information;
mod large;
mod lines;
pub(in crate::relay) mod payload;
mod reply;
pub(in crate::relay) mod stream;
mod validators;
pub(in crate::relay) mod websocket;

use std::rc::Rc;

use self::ids::write_encoded;
use self::large::LargeEvents;
use self::payload::{COPIED_BODY_MAX, Payload};
use self::stream::StreamForm;
use self::validators::{write_caching, write_validators};
use super::options::METHODS;
use super::request::upgrade::{META, Upgrade};
use crate::clock::Now;
use crate::http::response::{self, HeadWriter};
use crate::http::write_http_date;
use crate::hub::{Due, Information};
use crate::message::{Cursor, Message, MessageId};
use crate::store::Gap;

pub(in crate::relay) use self::reply::{Persistence, Reply};

/// Deliveries that are kept while a fan-out goes on: a few, since few differ at any one time.
const CACHE_MAX: usize = 8;

/// See the module.
#[derive(Debug)]
pub(in crate::relay) struct Renderer {
    /// `Server` and `Date`, remade once a second.
    common: Vec<u8>,
    /// Where in it `Date` begins.
    date_at: usize,
    server: String,
    unix_s: u64,
    cache: Vec<(Reply, Rc<Message>, Payload)>,
    /// The same of streams.
    streams: Vec<(StreamForm, Rc<Message>, Payload)>,
    large: LargeEvents,
}

impl Renderer {
    pub(in crate::relay) fn new(server: String, now: Now) -> Self {
        let mut renderer = Self {
            common: Vec::new(),
            date_at: 0,
            server,
            unix_s: u64::MAX,
            cache: Vec::new(),
            streams: Vec::new(),
            large: LargeEvents::default(),
        };
        renderer.set_time(now);
        renderer
    }

    pub(in crate::relay) fn set_server(&mut self, server: String) {
        self.server = server;
        self.remake_common();
    }

    pub(in crate::relay) fn set_time(&mut self, now: Now) {
        if now.unix_s != self.unix_s {
            self.unix_s = now.unix_s;
            self.remake_common();
        }
    }

    fn remake_common(&mut self) {
        self.cache.clear();
        self.common.clear();
        if !self.server.is_empty() {
            self.common.extend_from_slice(b"Server: ");
            self.common.extend_from_slice(self.server.as_bytes());
            self.common.extend_from_slice(b"\r\n");
        }
        self.date_at = self.common.len();
        self.common.extend_from_slice(b"Date: ");
        write_http_date(self.unix_s, &mut self.common);
        self.common.extend_from_slice(b"\r\n");
    }

    /// The lines `Server` and `Date`, each if it is wanted.
    pub(in crate::relay) fn server_and_date(&self, server: bool, date: bool) -> &[u8] {
        match (server, date) {
            (true, true) => &self.common,
            (true, false) => &self.common[..self.date_at],
            (false, true) => &self.common[self.date_at..],
            (false, false) => b"",
        }
    }

    /// A message for one of many who waited: made once, then shared.
    pub(in crate::relay) fn shared_delivery(
        &mut self,
        reply: &Reply,
        message: &Rc<Message>,
    ) -> Payload {
        let known = self
            .cache
            .iter()
            .find(|(known, of, _)| Rc::ptr_eq(of, message) && known.same_bytes(reply));
        if let Some((_, _, payload)) = known {
            return payload.clone();
        }
        let payload = self.delivery(reply, message, Gap::NONE).shared();
        if self.cache.len() == CACHE_MAX {
            self.cache.remove(0);
        }
        self.cache.push((reply.clone(), Rc::clone(message), payload.clone()));
        payload
    }

    /// A message for one of many streams: made once, then shared. `id`: of its channel.
    pub(in crate::relay) fn shared_feed(
        &mut self,
        form: StreamForm,
        due: &Due,
        id: &[u8],
    ) -> Payload {
        if due.gap != Gap::NONE {
            return self.feed(form, due, id);
        }
        let message = &due.message;
        let known =
            self.streams.iter().find(|(of, known, _)| Rc::ptr_eq(known, message) && *of == form);
        if let Some((_, _, payload)) = known {
            return payload.clone();
        }
        let payload = self.feed(form, due, id).shared();
        if self.streams.len() == CACHE_MAX {
            self.streams.remove(0);
        }
        self.streams.push((form, Rc::clone(message), payload.clone()));
        payload
    }

    /// A message for one stream.
    pub(in crate::relay) fn feed(&mut self, form: StreamForm, due: &Due, id: &[u8]) -> Payload {
        form.payload(due, id, &mut self.large)
    }

    /// Lets go of the messages of fan-outs that are over.
    pub(in crate::relay) fn forget_deliveries(&mut self) {
        self.cache.clear();
        self.streams.clear();
    }

    /// A message for a poll of several channels. `id`: of its channel.
    pub(in crate::relay) fn delivery_of_several(
        &self,
        reply: &Reply,
        due: &Due,
        id: &[u8],
    ) -> Payload {
        let mut lines = b"X-Push-Channel: ".to_vec();
        write_encoded(id, &mut lines);
        lines.extend_from_slice(b"\r\n");
        self.deliver(reply, (&due.message, due.message.place()), due.gap, &lines)
    }

    /// A message for one subscriber. The same bytes as [`Renderer::shared_delivery`], unless
    /// there is a gap to tell.
    pub(in crate::relay) fn delivery(
        &self,
        reply: &Reply,
        message: &Rc<Message>,
        gap: Gap,
    ) -> Payload {
        self.deliver(reply, (message, message.id()), gap, b"")
    }

    fn deliver(
        &self,
        reply: &Reply,
        (message, id): (&Rc<Message>, MessageId),
        gap: Gap,
        lines: &[u8],
    ) -> Payload {
        let copied = message.content.body.len() <= COPIED_BODY_MAX;
        let mut out = Vec::with_capacity(512 + if copied { message.content.body.len() } else { 0 });
        let mut head = self.begin(&mut out, 200, reply).lines(lines).written(|out| {
            write_validators(id, out);
            write_caching(Some(id.tag), out);
        });
        match gap {
            Gap::NONE => {}
            Gap::Messages(skipped) => head = head.number("X-Push-Gap", skipped),
            Gap::Unknown => head = head.field("X-Push-Gap", b"unknown"),
        }
        if let Some(content_type) = &message.content.content_type {
            head = head.field("Content-Type", content_type);
        }
        head.number("Content-Length", message.content.body.len() as u64).finish();
        if copied {
            out.extend_from_slice(&message.content.body);
            Payload::Owned(out)
        } else {
            Payload::WithBody(out.into(), Rc::clone(message))
        }
    }

    /// 304; echoes the cursor if the request gave one, and says to caches what a 200 says (RFC
    /// 9110 15.4.5).
    pub(in crate::relay) fn nothing_new(&self, reply: &Reply, cursor: Cursor) -> Payload {
        let mut out = Vec::with_capacity(512);
        let mut lines = Vec::with_capacity(192);
        if cursor.given {
            write_validators(cursor.id(), &mut lines);
        }
        write_caching(cursor.given.then_some(cursor.tag), &mut lines);
        self.begin(&mut out, 304, reply).lines(&lines).finish();
        Payload::Owned(out)
    }

    /// The head of an event stream, and what it says first: the interval of its pings, seconds,
    /// when to come back after an end, milliseconds, and perhaps the id that it goes on from.
    pub(in crate::relay) fn event_stream(
        &self,
        reply: &Reply,
        (ping_s, retry_ms): (u64, u64),
        place: Option<MessageId>,
    ) -> Payload {
        let mut out = Vec::with_capacity(512);
        self.begin(&mut out, 200, reply).lines(event_stream::HEAD).finish();
        event_stream::write_start((ping_s, retry_ms), place, &mut out);
        Payload::Owned(out)
    }

    /// The answer to a sound handshake (RFC 6455 4.2.2). It has no length (RFC 9110 8.6), and no
    /// CORS, which browsers do not ask of WebSockets.
    pub(in crate::relay) fn handshake(&self, upgrade: &Upgrade) -> Payload {
        let mut out = Vec::with_capacity(256);
        let head = HeadWriter::response(&mut out, 101)
            .lines(&self.common)
            .lines(b"Upgrade: websocket\r\nConnection: Upgrade\r\n")
            .field("Sec-WebSocket-Accept", &upgrade.accept);
        match upgrade.meta {
            true => head.field("Sec-WebSocket-Protocol", META).finish(),
            false => head.finish(),
        }
        Payload::Owned(out)
    }

    /// Channel information; with how long its publisher has waited, if it has (RFC 7240 3).
    pub(in crate::relay) fn information(
        &self,
        reply: &Reply,
        status: u16,
        information: &Information,
    ) -> Payload {
        let mut body = Vec::with_capacity(256);
        reply.form.write(information, &mut body);
        let applied = match (reply.wait_s, &reply.location) {
            (0, _) => String::new(),
            (wait_s, location) => {
                let is_let_in = location.as_ref().is_some_and(|one| one.admits(reply.origin));
                let exposed = if is_let_in { PREFERENCE_EXPOSED } else { "" };
                format!("{exposed}Preference-Applied: wait={wait_s}\r\n")
            }
        };
        self.whole(reply, (status, applied.as_bytes()), reply.form.media_type().as_bytes(), &body)
    }

    /// 204 to OPTIONS; of the server itself of a reply without a location.
    pub(in crate::relay) fn options(&self, reply: &Reply) -> Payload {
        let mut out = Vec::with_capacity(512);
        let head = self.begin(&mut out, 204, reply).lines(NO_STORE);
        match &reply.location {
            Some(location) => {
                head.lines(&location.allow).lines(location.preflight(reply.origin)).finish();
            }
            None => head.field("Allow", METHODS.as_bytes()).finish(),
        }
        Payload::Owned(out)
    }

    /// One line of text that says what is wrong and what to do; `lines`: further header lines.
    /// With every 503 goes how soon to try again (RFC 9110 15.6.4): if `lines` do not say it, in
    /// 5 s.
    pub(in crate::relay) fn text(
        &self,
        reply: &Reply,
        status: u16,
        lines: &[u8],
        message: &str,
    ) -> Payload {
        let retry: &[u8] = b"Retry-After: 5\r\n";
        let lines = if status == 503 && lines.is_empty() { retry } else { lines };
        self.whole(reply, (status, lines), response::TEXT, format!("{message}\n").as_bytes())
    }

    /// An answer that no cache keeps, with further header lines.
    pub(in crate::relay) fn whole(
        &self,
        reply: &Reply,
        (status, lines): (u16, &[u8]),
        media_type: &[u8],
        body: &[u8],
    ) -> Payload {
        let mut out = Vec::with_capacity(384 + body.len());
        self.begin(&mut out, status, reply)
            .lines(NO_STORE)
            .lines(lines)
            .field("Content-Type", media_type)
            .number("Content-Length", body.len() as u64)
            .finish();
        if !reply.is_head {
            out.extend_from_slice(body);
        }
        Payload::Owned(out)
    }

    fn begin<'o>(&self, out: &'o mut Vec<u8>, status: u16, reply: &Reply) -> HeadWriter<'o> {
        let location = reply.location.as_ref();
        HeadWriter::response(out, status)
            .lines(&self.common)
            .lines(reply.persistence.line())
            .lines(location.map_or(b"", |location| location.lines(reply.origin)))
    }
}

/// So that scripts of another origin may read it; beside what the location exposes in any case.
const PREFERENCE_EXPOSED: &str = "Access-Control-Expose-Headers: Preference-Applied\r\n";

/// Of every answer that is neither a message nor a 304. Caches keep some statuses on a guess (RFC
/// 9110 15.1): a 404 would outlive the creation of its channel.
const NO_STORE: &[u8] = b"Cache-Control: no-store\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_date_of_its_second_even_backwards() {
        let at = |unix_s| Now::at(0, unix_s);
        let mut renderer = Renderer::new(String::new(), at(0));
        for unix_s in [0, 784_111_777, 784_111_777, 784_111_778, 5] {
            renderer.set_time(at(unix_s));
            let mut date = b"Date: ".to_vec();
            write_http_date(unix_s, &mut date);
            date.extend_from_slice(b"\r\n");
            assert_eq!(renderer.server_and_date(true, true), date);
        }
        renderer.set_time(at(784_111_777));
        let date = renderer.server_and_date(false, true);
        assert_eq!(date, b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    }
}
