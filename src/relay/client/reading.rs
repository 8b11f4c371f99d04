//! From the bytes of a connection to questions for the hub: heads and bodies.

use std::sync::Arc;

use super::{ConnTimer, Phase, Share, Upload, resembled_request};
use crate::clock::Now;
use crate::http::{
    BodyDecoder, Framing, HeaderSlots, HttpError, RequestHead, Scan, Version, parse_request, scan,
};
use crate::hub::{ChannelName, Peer, Publish, Subscribe};
use crate::message::Cursor;
use crate::relay::delivery::{Exchange, Persistence};
use crate::relay::location::{Found, Location, SERVER};
use crate::relay::notice::{Notice, passed_headers};
use crate::relay::options::{Role, SubscriberOptions};
use crate::relay::request::admission::{Question, Refusal};
use crate::relay::{ANSWERS_PER_TURN, ConnKey, Relay};

/// A body up to this size is taken in though its request will be refused.
const SHORT_BODY_BYTES: u64 = 16 << 10;

/// What all bodies that are not whole yet may take together, bytes, unless one alone may take more.
/// A body that came in one piece with its head is never among them.
const UPLOADS_BYTES_MAX: usize = 64 << 20;

impl Relay {
    /// Serves the requests in `input`, the bytes that wait on a connection; gives how many of the
    /// bytes are dealt with.
    pub(in crate::relay) fn advance(&mut self, conn: ConnKey, input: &[u8], now: Now) -> usize {
        let mut used = 0;
        self.answered = 0;
        for _ in 0..self.site.limits.pipeline_depth {
            if self.answered >= ANSWERS_PER_TURN {
                break;
            }
            let Some(client) = self.conns.client(conn) else { return input.len() };
            let rest = &input[used..];
            let step = match client.phase {
                Phase::Head { .. } if rest.is_empty() => return used,
                Phase::Head { scanned } => self.read_head(conn, scanned, rest, now),
                Phase::Body(_) => self.read_body(conn, rest, now),
                Phase::Proxied(_) => self.pass_up(conn, rest, now),
                Phase::Asked { .. } | Phase::Waiting { .. } => return used,
                Phase::Lingering { .. } | Phase::Closing => return input.len(),
            };
            let Some(step) = step else { return used };
            used += step;
            // Also between two requests that came together, so that the answers keep their order.
            while self.hub.has_answer()
                && let Some(output) = self.hub.poll_output()
            {
                self.on_hub(output, now);
            }
        }
        if let Some(client) = self.conns.client_mut(conn)
            && !client.ready
            && used < input.len()
            && matches!(client.phase, Phase::Head { .. } | Phase::Body(_))
        {
            client.ready = true;
            self.effects.ready.push_back(conn);
        }
        used
    }

    /// Reads a head from `input`; `None`: more bytes are needed.
    fn read_head(
        &mut self,
        conn: ConnKey,
        scanned: usize,
        input: &[u8],
        now: Now,
    ) -> Option<usize> {
        let len = match scan(input, scanned, &self.site.head_limits) {
            Ok(Scan::Complete { len }) => len,
            Ok(Scan::Partial { scanned }) => {
                let client = self.conns.client_mut(conn)?;
                client.phase = Phase::Head { scanned };
                if !matches!(client.timer, Some((_, ConnTimer::Head | ConnTimer::Stop))) {
                    self.arm(conn, ConnTimer::Head, now);
                }
                return None;
            }
            Err(error) => return Some(self.refuse_head(conn, input, error, now)),
        };
        let mut slots = HeaderSlots::new();
        let head = match parse_request(&input[..len], &mut slots, &self.site.head_limits) {
            Ok(head) => head,
            Err(error) => return Some(self.refuse_head(conn, input, error, now)),
        };
        let found = self.site.routes.find(head.path);
        let is_upstreams = found.is_none() && head.path != SERVER;
        if is_upstreams && self.proxy.as_ref().is_some_and(|proxy| proxy.is_open()) {
            return Some(len + self.forward(conn, &head, &input[len..], now));
        }
        if head.framing == Framing::None {
            self.serve(conn, &head, b"", found, now);
            return Some(len);
        }
        Some(len + self.begin_body(conn, &head, found, &input[..len], &input[len..], now))
    }

    /// Serves a request with a body, or waits for the rest of it.
    fn begin_body(
        &mut self,
        conn: ConnKey,
        head: &RequestHead<'_>,
        found: Option<Found<'_>>,
        head_bytes: &[u8],
        input: &[u8],
        now: Now,
    ) -> usize {
        let decoded = BodyDecoder::new(head.framing, self.site.limits.body_bytes as u64)
            .and_then(|mut decoder| decoder.decode(input).map(|decoded| (decoder, decoded)));
        let (decoder, decoded) = match decoded {
            Ok(decoded) => decoded,
            Err(error) => {
                self.fail_exchange(conn, head, &error, now);
                return input.len();
            }
        };
        if decoded.done {
            // The common case: nothing is copied but into the message itself.
            self.serve(conn, head, decoded.data, found, now);
            return decoded.consumed;
        }
        // What will be refused anyway is refused before its body is taken in, unless that is so
        // short that it is on its way already: then the connection is kept.
        let short = matches!(head.framing, Framing::Length(length) if length <= SHORT_BODY_BYTES);
        let (exchange, question) = self.admit(conn, head, found);
        let refused = question.err().map(|refusal| (exchange, refusal));
        if (!short || head.expect_continue)
            && let Some((exchange, refusal)) = refused
        {
            self.note_access(conn, head);
            self.warn_of_refusal(&exchange, &refusal, head, now);
            self.refuse_early(conn, exchange, &refusal, now);
            return input.len();
        }
        if head.expect_continue {
            self.send_continue(conn);
        }
        // Of all others the body is read and dropped: who may not publish takes no room from who may.
        let keeps_body = head.method == "POST" && refused.is_none();
        let body = if keeps_body { decoded.data.to_vec() } else { Vec::new() };
        let mut share = Share::of(&self.effects.uploading);
        if share.set(body.len()) > self.uploads_max() {
            self.fail_exchange(conn, head, &too_many_uploads(), now);
            return input.len();
        }
        let head = head_bytes.into();
        let upload = Upload { head, decoder, refused, keeps_body, body, share };
        if let Some(client) = self.conns.client_mut(conn) {
            client.phase = Phase::Body(Box::new(upload));
        }
        self.arm_body(conn, now);
        decoded.consumed
    }

    /// What all bodies that are coming in may take together.
    pub(in crate::relay) fn uploads_max(&self) -> usize {
        UPLOADS_BYTES_MAX.max(self.site.limits.body_bytes)
    }

    /// Reads more of a body from `input`; `None`: more bytes are needed.
    fn read_body(&mut self, conn: ConnKey, input: &[u8], now: Now) -> Option<usize> {
        if input.is_empty() {
            return None;
        }
        let uploads_max = self.uploads_max();
        let client = self.conns.client_mut(conn)?;
        let Phase::Body(upload) = &mut client.phase else { return None };
        let mut used = 0;
        let outcome = loop {
            match upload.decoder.decode(&input[used..]) {
                Ok(decoded) => {
                    if upload.keeps_body {
                        upload.body.extend_from_slice(decoded.data);
                    }
                    used += decoded.consumed;
                    if !decoded.done && upload.share.set(upload.body.len()) > uploads_max {
                        break Err(too_many_uploads());
                    }
                    if decoded.done || used == input.len() {
                        break Ok(decoded.done);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        if matches!(outcome, Ok(false)) {
            // What will be refused has as long in all, or a byte now and then would keep it here.
            if upload.refused.is_none() {
                self.arm_body(conn, now);
            }
            return Some(used);
        }
        let idle = Phase::Head { scanned: 0 };
        let Phase::Body(upload) = std::mem::replace(&mut client.phase, idle) else { return None };
        let mut slots = HeaderSlots::new();
        match (parse_request(&upload.head, &mut slots, &self.site.head_limits), outcome) {
            (Ok(head), Ok(_)) => match upload.refused {
                Some((mut exchange, refusal)) => {
                    self.note_access(conn, &head);
                    exchange.persistence = self.persistence(&head);
                    self.refuse_whole(conn, &exchange, &refusal, &head, now);
                }
                None => {
                    let found = self.site.routes.find(head.path);
                    self.serve(conn, &head, &upload.body, found, now);
                }
            },
            (Ok(head), Err(error)) => self.fail_exchange(conn, &head, &error, now),
            // Limits were lowered by a reload meanwhile.
            (Err(error), _) => self.fail(conn, error, now),
        }
        if self
            .conns
            .client(conn)
            .is_some_and(|client| matches!(client.phase, Phase::Lingering { .. }))
        {
            return Some(input.len());
        }
        Some(used)
    }

    pub(in crate::relay) fn arm_body(&mut self, conn: ConnKey, now: Now) {
        let stopping = self.conns.client(conn).is_some_and(|client| {
            matches!(client.timer, Some((_, ConnTimer::Stop))) || client.stalled
        });
        if !stopping {
            self.arm(
                conn,
                if self.effects.stopping { ConnTimer::Stop } else { ConnTimer::Body },
                now,
            );
        }
    }

    /// Answers a fault of a body; nobody knows where it ends.
    fn fail_exchange(
        &mut self,
        conn: ConnKey,
        head: &RequestHead<'_>,
        error: &HttpError,
        now: Now,
    ) {
        self.note_access(conn, head);
        let found = self.site.routes.find(head.path);
        let (mut exchange, _) = self.admit(conn, head, found);
        exchange.persistence = Persistence::Close;
        let payload = self.renderer.text(&exchange, error.status, b"", &error.message);
        self.refuse_and_linger(conn, error.status, payload, now);
    }

    /// Answers a request that is not whole and will not be.
    pub(in crate::relay) fn fail_begun(&mut self, conn: ConnKey, error: &HttpError, now: Now) {
        let Some(client) = self.conns.client_mut(conn) else { return };
        if let Phase::Body(upload) = &mut client.phase {
            let bytes = std::mem::take(&mut upload.head);
            let refused = upload.refused.take();
            let mut slots = HeaderSlots::new();
            if let Ok(head) = parse_request(&bytes, &mut slots, &self.site.head_limits) {
                let Some((exchange, refusal)) = refused else {
                    return self.fail_exchange(conn, &head, error, now);
                };
                self.note_access(conn, &head);
                self.warn_of_refusal(&exchange, &refusal, &head, now);
                return self.refuse_early(conn, exchange, &refusal, now);
            }
        } else if let Some(buffer) = client.buffer.take() {
            self.note_unread(conn, &buffer.bytes);
        }
        self.fail(conn, error.clone(), now);
    }

    fn refuse_early(&mut self, conn: ConnKey, mut exchange: Exchange, refusal: &Refusal, now: Now) {
        exchange.persistence = Persistence::Close;
        let Refusal { status, lines, text } = refusal;
        let payload = self.renderer.text(&exchange, *status, lines.as_bytes(), text);
        self.refuse_and_linger(conn, *status, payload, now);
    }

    /// Keeps what the access log will say of a request, if there is one; the query, which may
    /// hold a secret, is no part of it.
    pub(in crate::relay) fn note_access(&mut self, conn: ConnKey, head: &RequestHead<'_>) {
        if self.site.access_log
            && let Some(client) = self.conns.client_mut(conn)
        {
            let path = head.path.escape_ascii();
            client.access = Some(format!("{} {path}", head.method).into());
        }
    }

    /// As [`Relay::note_access`], of bytes that cannot be read as a request.
    pub(in crate::relay) fn note_unread(&mut self, conn: ConnKey, bytes: &[u8]) {
        if self.site.access_log
            && let Some(client) = self.conns.client_mut(conn)
        {
            client.access = Some(resembled_request(bytes).into());
        }
    }

    /// Serves a request whose body is complete.
    pub(in crate::relay) fn serve(
        &mut self,
        conn: ConnKey,
        head: &RequestHead<'_>,
        body: &[u8],
        found: Option<Found<'_>>,
        now: Now,
    ) {
        self.note_access(conn, head);
        let (exchange, question) = self.admit(conn, head, found);
        if question.is_ok() {
            self.warn_of_origin(&exchange, head, now);
        }
        let (question, location) = match (question, &exchange.location) {
            (Err(refusal), _) => return self.refuse_whole(conn, &exchange, &refusal, head, now),
            (Ok(Question::Options), _) => {
                let payload = self.renderer.options(&exchange);
                return self.respond(conn, exchange.persistence, 204, payload, now);
            }
            (Ok(question), Some(location)) => (question, std::rc::Rc::clone(location)),
            (Ok(_), None) => return,
        };
        let Some(client) = self.conns.client_mut(conn) else { return };
        let notice = location.passthrough.as_ref().map(|url| {
            let channel_id = self.name[location.namespace.len()..].into();
            Arc::new(Notice {
                url: Arc::clone(url),
                channel_id,
                headers: passed_headers(head, &location.role),
                peer: client.peer,
            })
        });
        client.phase = Phase::Asked { exchange, notice };
        self.ask(conn, &location, question, head, body, now);
    }

    fn ask(
        &mut self,
        conn: ConnKey,
        location: &Location,
        question: Question,
        head: &RequestHead<'_>,
        body: &[u8],
        now: Now,
    ) {
        let name = ChannelName { store: location.store, name: &self.name };
        let peer = Peer(conn.to_bits());
        match (question, &location.role) {
            (Question::Inspect, _) => self.hub.inspect(peer, name, now),
            (Question::Create, _) => self.hub.create(peer, name, now),
            (Question::Delete, _) => self.hub.delete(peer, name, now),
            (Question::Publish, Role::Publisher(options)) => {
                let publish = Publish {
                    content_type: head.header("Content-Type").filter(|value| !value.is_empty()),
                    body,
                    create: options.create_on_post,
                    store: options.store_messages,
                };
                self.hub.publish(peer, name, publish, now);
            }
            (Question::Subscribe(cursor), Role::Subscriber(options)) => {
                self.hub.subscribe(peer, name, subscribe(options, cursor), now);
            }
            (Question::Options | Question::Publish | Question::Subscribe(_), _) => {}
        }
    }

    /// What becomes of the connection behind the answer.
    pub(in crate::relay) fn persistence(&self, head: &RequestHead<'_>) -> Persistence {
        match (head.keep_alive && !self.effects.stopping, head.version) {
            (false, _) => Persistence::Close,
            (true, Version::Http10) => Persistence::KeepAlive,
            (true, Version::Http11) => Persistence::Keep,
        }
    }
}

fn too_many_uploads() -> HttpError {
    HttpError::new(503, "too many large messages are coming in at once; try again later")
}

fn subscribe(options: &SubscriberOptions, cursor: Cursor) -> Subscribe {
    Subscribe {
        cursor,
        delivery: options.delivery,
        create: options.create_on_get,
        concurrency: options.concurrency,
        max_subscribers: options.max_subscribers,
        timeout_ms: options.timeout_ms,
    }
}

#[cfg(test)]
mod tests {
    use crate::relay::timers::tests::{at, relay};
    use crate::relay::{Arrival, Output};

    #[test]
    fn pipeline_depth_requests_are_served_before_others_have_their_turn() {
        let mut relay = relay();
        relay.site.limits.pipeline_depth = 2;
        let conns =
            [relay.accept(Arrival::default(), at(0)), relay.accept(Arrival::default(), at(0))];
        for conn in conns {
            let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5);
            relay.received(conn, &requests, at(0));
        }
        let mut served = Vec::new();
        while relay.poll_timeout() == Some(0) {
            relay.handle_timeout(at(0));
            while let Some(output) = relay.poll_answer() {
                let Output::Send { conn, .. } = output else { panic!("{output:?}") };
                served.push(conn);
            }
        }
        let [a, b] = conns;
        assert_eq!(served, [a, a, b, b, a, a, b, b, a, b]);
    }
}
