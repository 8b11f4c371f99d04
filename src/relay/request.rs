//! From the bytes of a connection to questions for the hub: heads, bodies, and what a location
//! lets a request do.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use subtle::ConstantTimeEq;

use super::client::{ConnTimer, Phase, Upload};
use super::cursor;
use super::delivery::{Exchange, Persistence};
use super::information::Form;
use super::location::{IdError, Location, OriginSlot, decode_channel_id};
use super::notice::Notice;
use super::options::{PublisherOptions, Role, SubscriberOptions};
use super::{ACCESS, ConnKey, Output, Payload, REQUESTS_PER_TURN, Relay};
use crate::clock::Now;
use crate::http::{
    BodyDecoder, Framing, HeaderSlots, HttpError, RequestHead, Scan, Version, parse_request, scan,
};
use crate::hub::{ChannelName, Publish, Subscribe};
use crate::message::Cursor;

/// A body up to this size is taken in though its request will be refused.
const SHORT_BODY_BYTES: u64 = 16 << 10;

/// Why a location does not serve a request.
struct Refusal {
    status: u16,
    /// Further header lines.
    lines: String,
    text: &'static str,
}

impl Refusal {
    const fn new(status: u16, text: &'static str) -> Self {
        Self { status, lines: String::new(), text }
    }
}

/// What a request asks of its channel.
enum Question {
    Options,
    Inspect,
    Create,
    Delete,
    Publish,
    Subscribe(Cursor),
}

impl Relay {
    /// Serves the requests in `input`, the bytes that wait on a connection; gives how many of the
    /// bytes are dealt with.
    pub(super) fn advance(&mut self, conn: ConnKey, input: &[u8], now: Now) -> usize {
        let mut used = 0;
        for _ in 0..REQUESTS_PER_TURN {
            let Some(client) = self.clients.get(conn) else { return input.len() };
            let rest = &input[used..];
            let step = match client.phase {
                Phase::Head { .. } if rest.is_empty() => return used,
                Phase::Head { scanned } => self.read_head(conn, scanned, rest, now),
                Phase::Body(_) => self.read_body(conn, rest, now),
                Phase::Asked { .. } | Phase::Waiting { .. } => return used,
                Phase::Lingering | Phase::Closing => return input.len(),
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
        if let Some(client) = self.clients.get_mut(conn)
            && !client.ready
            && used < input.len()
            && matches!(client.phase, Phase::Head { .. } | Phase::Body(_))
        {
            client.ready = true;
            self.ready.push_back(conn);
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
        let len = match scan(input, scanned, &self.head_limits) {
            Ok(Scan::Complete { len }) => len,
            Ok(Scan::Partial { scanned }) => {
                let client = self.clients.get_mut(conn)?;
                client.phase = Phase::Head { scanned };
                if !matches!(client.timer, Some((_, ConnTimer::Head | ConnTimer::Stop))) {
                    self.arm(conn, ConnTimer::Head, now);
                }
                return None;
            }
            Err(error) => {
                self.fail(conn, error, now);
                return Some(input.len());
            }
        };
        let mut slots = HeaderSlots::new();
        let head = match parse_request(&input[..len], &mut slots, &self.head_limits) {
            Ok(head) => head,
            Err(error) => {
                self.fail(conn, error, now);
                return Some(input.len());
            }
        };
        if head.framing == Framing::None {
            self.serve(conn, &head, b"", now);
            return Some(len);
        }
        Some(len + self.begin_body(conn, &head, &input[..len], &input[len..], now))
    }

    /// Serves a request with a body, or waits for the rest of it.
    fn begin_body(
        &mut self,
        conn: ConnKey,
        head: &RequestHead<'_>,
        head_bytes: &[u8],
        input: &[u8],
        now: Now,
    ) -> usize {
        let decoded = BodyDecoder::new(head.framing, self.limits.body_bytes as u64)
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
            self.serve(conn, head, decoded.data, now);
            return decoded.consumed;
        }
        // What will be refused anyway is refused before its body is taken in, unless that is so
        // short that it is on its way already: then the connection is kept.
        let short = matches!(head.framing, Framing::Length(length) if length <= SHORT_BODY_BYTES);
        let (exchange, question) = self.admit(conn, head);
        if let Err(refusal) = question
            && (!short || head.expect_continue)
        {
            self.note_access(conn, head);
            self.refuse_early(conn, exchange, &refusal, now);
            return input.len();
        }
        if head.expect_continue {
            let payload = Payload::Owned(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
            self.outputs.push_back(Output::Send { conn, payload });
        }
        let upload = Upload { head: head_bytes.into(), decoder, body: decoded.data.to_vec() };
        if let Some(client) = self.clients.get_mut(conn) {
            client.phase = Phase::Body(Box::new(upload));
        }
        self.arm_body(conn, now);
        decoded.consumed
    }

    /// Reads more of a body from `input`; `None`: more bytes are needed.
    fn read_body(&mut self, conn: ConnKey, input: &[u8], now: Now) -> Option<usize> {
        if input.is_empty() {
            return None;
        }
        let client = self.clients.get_mut(conn)?;
        let Phase::Body(upload) = &mut client.phase else { return None };
        let mut used = 0;
        let outcome = loop {
            match upload.decoder.decode(&input[used..]) {
                Ok(decoded) => {
                    upload.body.extend_from_slice(decoded.data);
                    used += decoded.consumed;
                    if decoded.done || used == input.len() {
                        break Ok(decoded.done);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        if matches!(outcome, Ok(false)) {
            self.arm_body(conn, now);
            return Some(used);
        }
        let idle = Phase::Head { scanned: 0 };
        let Phase::Body(upload) = std::mem::replace(&mut client.phase, idle) else { return None };
        let mut slots = HeaderSlots::new();
        match (parse_request(&upload.head, &mut slots, &self.head_limits), outcome) {
            (Ok(head), Ok(_)) => self.serve(conn, &head, &upload.body, now),
            (Ok(head), Err(error)) => self.fail_exchange(conn, &head, &error, now),
            // Limits were lowered by a reload meanwhile.
            (Err(error), _) => self.fail(conn, error, now),
        }
        if self.clients.get(conn).is_some_and(|client| matches!(client.phase, Phase::Lingering)) {
            return Some(input.len());
        }
        Some(used)
    }

    pub(super) fn arm_body(&mut self, conn: ConnKey, now: Now) {
        let stopping = self.clients.get(conn).is_some_and(|client| {
            matches!(client.timer, Some((_, ConnTimer::Stop))) || client.stalled
        });
        if !stopping {
            self.arm(conn, if self.stopping { ConnTimer::Stop } else { ConnTimer::Body }, now);
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
        let (mut exchange, _) = self.admit(conn, head);
        exchange.persistence = Persistence::Close;
        let payload = self.renderer.text(&exchange, error.status, b"", &error.message);
        self.refuse_and_linger(conn, error.status, payload, now);
    }

    fn refuse_early(&mut self, conn: ConnKey, mut exchange: Exchange, refusal: &Refusal, now: Now) {
        exchange.persistence = Persistence::Close;
        let Refusal { status, lines, text } = refusal;
        let payload = self.renderer.text(&exchange, *status, lines.as_bytes(), text);
        self.refuse_and_linger(conn, *status, payload, now);
    }

    /// Keeps what the access log will say of a request, if there is one; the query, which may
    /// hold a secret, is no part of it.
    fn note_access(&mut self, conn: ConnKey, head: &RequestHead<'_>) {
        if log::log_enabled!(target: ACCESS, log::Level::Info)
            && let Some(client) = self.clients.get_mut(conn)
        {
            let path = head.path.escape_ascii();
            client.access = Some(format!("{} {path}", head.method).into());
        }
    }

    /// Serves a request whose body is complete.
    fn serve(&mut self, conn: ConnKey, head: &RequestHead<'_>, body: &[u8], now: Now) {
        self.note_access(conn, head);
        let (exchange, question) = self.admit(conn, head);
        let Some(client) = self.clients.get_mut(conn) else { return };
        let persistence = exchange.persistence;
        let (question, location) = match (question, &exchange.location) {
            (Ok(question), Some(location)) => (question, std::rc::Rc::clone(location)),
            (Err(Refusal { status, lines, text }), _) => {
                let payload = self.renderer.text(&exchange, status, lines.as_bytes(), text);
                return self.respond(conn, persistence, status, payload, now);
            }
            (Ok(_), None) => return,
        };
        if let Question::Options = question {
            let payload = self.renderer.options(&exchange, &location);
            return self.respond(conn, persistence, 204, payload, now);
        }
        let notice = location.passthrough.as_ref().map(|url| {
            let channel_id = self.name[location.namespace.len()..].into();
            Arc::new(Notice {
                url: Arc::clone(url),
                channel_id,
                headers: passed_headers(head, &location.role),
                peer: client.peer,
                queued: AtomicBool::new(false),
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
        match (question, &location.role) {
            (Question::Inspect, _) => self.hub.inspect(conn, name, now),
            (Question::Create, _) => self.hub.create(conn, name, now),
            (Question::Delete, _) => self.hub.delete(conn, name, now),
            (Question::Publish, Role::Publisher(options)) => {
                let publish = Publish {
                    content_type: head.header("Content-Type").filter(|value| !value.is_empty()),
                    body,
                    create: options.create_on_post,
                    store: options.store_messages,
                };
                self.hub.publish(conn, name, publish, now);
            }
            (Question::Subscribe(cursor), Role::Subscriber(options)) => {
                self.hub.subscribe(conn, name, subscribe(options, cursor), now);
            }
            (Question::Options | Question::Publish | Question::Subscribe(_), _) => {}
        }
    }

    /// Finds the location and channel of a request (the channel's name is left in `self.name`),
    /// and what the location lets it do.
    fn admit(
        &mut self,
        conn: ConnKey,
        head: &RequestHead<'_>,
    ) -> (Exchange, Result<Question, Refusal>) {
        let mut exchange = Exchange {
            location: None,
            origin: OriginSlot::UNLISTED,
            persistence: match (head.keep_alive && !self.stopping, head.version) {
                (false, _) => Persistence::Close,
                (true, Version::Http10) => Persistence::KeepAlive,
                (true, Version::Http11) => Persistence::Keep,
            },
            form: Form::PLAIN,
            is_head: head.method == "HEAD",
        };
        let Some((location, part)) = self.routes.find(head.path) else {
            let text = "no location serves this path; the settings' locations say which paths are";
            return (exchange, Err(Refusal::new(404, text)));
        };
        let origin = head.header("Origin");
        exchange.origin = location.origin_slot(origin);
        self.name.clear();
        self.name.extend_from_slice(&location.namespace);
        let id = decode_channel_id(part, self.limits.channel_id_bytes, &mut self.name);
        let question = id.map_err(Refusal::from).and_then(|()| match &location.role {
            Role::Subscriber(_) => subscriber_question(&location, head),
            Role::Publisher(options) => {
                exchange.form = Form::of(head.header("Accept"));
                let peer = self.clients.get(conn).and_then(|client| client.peer);
                // Of Unix sockets as of the machine itself.
                let peer = peer.unwrap_or(std::net::Ipv4Addr::LOCALHOST.into()).to_canonical();
                if !options.allow.is_empty() && !options.allow.iter().any(|n| n.contains(&peer)) {
                    let text = "this address may not publish; the location's allow says which may";
                    return Err(Refusal::new(403, text));
                }
                publisher_question(&location, options, head, origin)
            }
        });
        exchange.location = Some(location);
        (exchange, question)
    }
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

fn subscriber_question(location: &Location, head: &RequestHead<'_>) -> Result<Question, Refusal> {
    match head.method {
        "GET" => match cursor::of_request(head) {
            Ok(cursor) => Ok(Question::Subscribe(cursor)),
            Err(text) => Err(Refusal::new(400, text)),
        },
        "OPTIONS" => Ok(Question::Options),
        _ => Err(method_not_allowed(location)),
    }
}

fn publisher_question(
    location: &Location,
    options: &PublisherOptions,
    head: &RequestHead<'_>,
    origin: Option<&[u8]>,
) -> Result<Question, Refusal> {
    let question = match head.method {
        // A preflight carries no secret; what it is told is which origins may ask.
        "OPTIONS" => return Ok(Question::Options),
        "GET" | "HEAD" => Question::Inspect,
        "PUT" => Question::Create,
        "POST" => Question::Publish,
        "DELETE" => Question::Delete,
        _ => return Err(method_not_allowed(location)),
    };
    if origin.is_some() && !location.admits(location.origin_slot(origin)) {
        let text = "a web page of this origin may not publish; the location's allow_origin says \
                    which may";
        return Err(Refusal::new(403, text));
    }
    if let Some(secret) = &options.secret
        && !bears(head, secret)
    {
        return Err(Refusal {
            status: 401,
            lines: "WWW-Authenticate: Bearer\r\n".to_owned(),
            text: "send the location's secret as Authorization: Bearer SECRET",
        });
    }
    Ok(question)
}

fn method_not_allowed(location: &Location) -> Refusal {
    Refusal {
        status: 405,
        lines: format!("Allow: {}\r\n", location.role.methods()),
        text: "this location does not serve the method; the Allow header says which it does",
    }
}

/// Whether the request bears this secret (RFC 6750 2.1); takes as long for a wrong one.
fn bears(head: &RequestHead<'_>, secret: &str) -> bool {
    head.header("Authorization").is_some_and(|value| {
        value.split_at_checked(7).is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"Bearer ")
                && bool::from(token.trim_ascii().ct_eq(secret.as_bytes()))
        })
    })
}

/// The subscriber's own header lines, for Django: all but those that belong to this connection
/// (RFC 9110 7.6.1), to a body, or to the address asked. Then the location's secret, which Django
/// can rely on because a subscriber's own is left out.
fn passed_headers(head: &RequestHead<'_>, role: &Role) -> Box<[u8]> {
    const SECRET: &str = "X-Pushserver-Secret";
    const OMITTED: [&str; 16] = [
        SECRET,
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Expect",
        "Host",
        "Content-Length",
        "Content-Type",
        "Content-Encoding",
        "X-Forwarded-For",
    ];
    let named = |name: &str| {
        head.header_all("Connection").any(|value| {
            value
                .split(|byte| *byte == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
        })
    };
    let mut lines = Vec::new();
    for header in head.headers {
        let name = header.name;
        if OMITTED.iter().any(|omitted| name.eq_ignore_ascii_case(omitted)) || named(name) {
            continue;
        }
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(header.value.trim_ascii());
        lines.extend_from_slice(b"\r\n");
    }
    if let Role::Subscriber(SubscriberOptions { passthrough_secret: Some(secret), .. }) = role {
        lines.extend_from_slice(format!("{SECRET}: {secret}\r\n").as_bytes());
    }
    lines.into()
}

impl From<IdError> for Refusal {
    fn from(error: IdError) -> Self {
        match error {
            IdError::Percent => {
                Self::new(400, "a % in the channel id must begin %XX, with two hexadecimal digits")
            }
            IdError::Control => Self::new(400, "a channel id may not have control characters"),
            IdError::Length => {
                Self::new(403, "the channel id is empty or longer than limits.channel_id_bytes")
            }
        }
    }
}
