//! Requests: what they ask, and the many ways to write them.

use std::fmt;

use pushserver::http::write_http_date;
use pushserver::message::{Cursor, MessageId};

use crate::settings::{Ids, Kind, PLACES};
use crate::stream::Form;
use pushserver_testkit::Random;

/// What a request asks.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Get(Cursor),
    /// Of a stream.
    Follow(Form, Cursor),
    Publish {
        body: Vec<u8>,
        content_type: Option<&'static str>,
        event: Option<&'static str>,
        expects: bool,
    },
    Create,
    Inspect {
        is_head: bool,
    },
    Delete,
    /// Answered with this status whatever the state of the relay is.
    Fixed(u16),
    /// Answered with this status; then the connection is of no more use.
    Doomed(u16),
}

/// How channel information is asked for.
pub(crate) const ACCEPTS: [&str; 4] =
    ["text/plain", "application/json", "text/x-yaml", "application/xml"];

#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) ask: Ask,
    pub(crate) place: usize,
    pub(crate) channel: &'static str,
    /// All of its channels, each once.
    pub(crate) channels: Vec<&'static str>,
    pub(crate) accept: usize,
    /// The client wants the connection closed after the answer.
    pub(crate) close: bool,
    /// HTTP/1.0 with `Connection: keep-alive`.
    pub(crate) keep_alive: bool,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) chunked: bool,
    /// Bytes of `body` that are taken with the head, if they came with it: up to where the data of
    /// a second chunk begins.
    pub(crate) first_run: usize,
    /// Where it begins without a cursor, as its query says.
    pub(crate) since: Option<MessageId>,
    /// How long a publisher waits until its message is sent, seconds.
    pub(crate) wait_s: u64,
}

impl Request {
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.head[..], &self.body].concat()
    }

    /// The same with `since` in its query.
    pub(crate) fn with_since(mut self, random: &mut Random, id: MessageId) -> Self {
        let MessageId { time, tag } = id;
        let written = match random.below(4) {
            0 => format!("since={time}%3A{tag}"),
            1 => format!("a=b&since={time}:{tag};gap=1&since=now"),
            _ if tag == 0 => format!("since={time}"),
            _ => format!("since={time}:{tag}"),
        };
        let head = String::from_utf8(self.head).expect("UTF-8");
        let (target, rest) = head.split_once(" HTTP/").expect("a request line");
        let mark = if target.contains('?') { '&' } else { '?' };
        self.head = format!("{target}{mark}{written} HTTP/{rest}").into_bytes();
        self.since = Some(id);
        self
    }

    /// The same of a publisher that waits until its message is sent.
    pub(crate) fn with_wait(mut self, random: &mut Random) -> Self {
        let (written, wait_s) = random.pick(&[
            ("wait=1", 1),
            ("wait=1", 1),
            ("respond-async, Wait=2;x", 2),
            ("wait=\"5\"\r\nPrefer: wait=1", 5),
            ("a=\"b, wait=1\", wait=30", 30),
            ("wait=31", 30),
            ("wait=0", 0),
            ("wait=soon, wait=2", 0),
        ]);
        let head = String::from_utf8(self.head).expect("UTF-8");
        let host = "Host: sim\r\n";
        self.head = head.replacen(host, &format!("{host}Prefer: {written}\r\n"), 1).into_bytes();
        self.wait_s = wait_s;
        self
    }

    /// Draws how `ask` is written.
    pub(crate) fn draw(random: &mut Random, ask: Ask, place: usize, channel: &'static str) -> Self {
        Self::draw_of_several(random, ask, place, &[channel])
    }

    /// As before, of all these channels.
    pub(crate) fn draw_of_several(
        random: &mut Random,
        ask: Ask,
        place: usize,
        channels: &[&'static str],
    ) -> Self {
        let channel = channels[0];
        let is_socket =
            matches!(ask, Ask::Follow(Form::Frame | Form::FrameWithMeta, _) | Ask::Fixed(426));
        let (version, connection, close, keep_alive) = match random.below(20) {
            _ if is_socket => ("1.1", "Connection: x, Upgrade\r\n", false, false),
            0 => ("1.0", "", true, false),
            1 => ("1.0", "Connection: keep-alive\r\n", false, true),
            2 => ("1.1", "Connection: close\r\n", true, false),
            _ => ("1.1", "", false, false),
        };
        let accept = random.index(ACCEPTS.len());
        let mut request = Self {
            ask,
            place,
            channel,
            channels: channels.to_vec(),
            accept,
            close,
            keep_alive,
            ..Self::of_frame(place)
        };
        let (method, query, mut lines) = request.draw_question(random);
        if version == "1.0" {
            // What 1.0 does not have.
            if request.chunked {
                let length = match &request.ask {
                    Ask::Publish { body, .. } => body.clone(),
                    _ => Vec::new(),
                };
                lines = lines.replace(
                    "Transfer-Encoding: chunked\r\n",
                    &format!("Content-Length: {}\r\n", length.len()),
                );
                request.body = length;
                request.chunked = false;
                request.first_run = request.body.len();
            }
            if let Ask::Publish { expects, .. } = &mut request.ask {
                *expects = false;
                lines = lines.replace("Expect: 100-continue\r\n", "");
            }
        }
        let (path, channel) = match request.ask {
            Ask::Fixed(404) => ("/nowhere/", spelled(random, channel)),
            Ask::Fixed(403) if !is_subscriber(place) => (PLACES[place].path, "x".repeat(41)),
            _ => (PLACES[place].path, listed(random, PLACES[place].ids, channels)),
        };
        let query = behind_ids(PLACES[place].ids, query);
        let accept = match request.ask {
            Ask::Follow(Form::Event, _) => "text/event-stream",
            _ => ACCEPTS[accept],
        };
        let token = PLACES[place].token(channels);
        request.head = format!(
            "{method} {path}{channel}{query} HTTP/{version}\r\nHost: sim\r\n{connection}\
             {token}Accept: {accept}\r\n{lines}\r\n"
        )
        .into_bytes();
        request
    }

    /// Stands for what a WebSocket's client sends.
    pub(crate) fn of_frame(place: usize) -> Self {
        Self {
            ask: Ask::Fixed(101),
            place,
            channel: "",
            channels: Vec::new(),
            accept: 0,
            close: false,
            keep_alive: false,
            head: Vec::new(),
            body: Vec::new(),
            chunked: false,
            first_run: 0,
            since: None,
            wait_s: 0,
        }
    }

    fn draw_question(&mut self, random: &mut Random) -> (&'static str, String, String) {
        match &self.ask {
            Ask::Get(cursor) => {
                let (query, mut lines) = written(random, *cursor);
                // Beside another protocol: still a poll.
                lines += random.pick(&["", "", "", "Connection: Upgrade\r\nUpgrade: h2c\r\n"]);
                ("GET", query, lines)
            }
            Ask::Follow(form, cursor) => {
                let (query, mut lines) = written(random, *cursor);
                if *form != Form::Event {
                    lines += "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
                }
                if *form == Form::FrameWithMeta {
                    lines += "Sec-WebSocket-Protocol: x, ws+meta.nchan\r\n";
                }
                ("GET", query, lines)
            }
            Ask::Publish { body, content_type, event, expects } => {
                let mut lines = String::new();
                if let Some(event) = event {
                    lines += &format!("X-EventSource-Event: {event}\r\n");
                }
                if let Some(content_type) = content_type {
                    lines += &format!("Content-Type: {content_type}\r\n");
                }
                if *expects {
                    lines += "Expect: 100-continue\r\n";
                }
                self.chunked = random.percent(25);
                if self.chunked {
                    lines += "Transfer-Encoding: chunked\r\n";
                    (self.body, self.first_run) = chunks(random, body);
                } else {
                    lines += &format!("Content-Length: {}\r\n", body.len());
                    self.body = body.clone();
                    self.first_run = body.len();
                }
                ("POST", String::new(), lines)
            }
            Ask::Create => ("PUT", String::new(), "Content-Length: 0\r\n".to_owned()),
            Ask::Inspect { is_head: true } => ("HEAD", String::new(), String::new()),
            Ask::Inspect { is_head: false } => ("GET", "?x=1".to_owned(), String::new()),
            Ask::Delete => ("DELETE", String::new(), String::new()),
            Ask::Fixed(204) => ("OPTIONS", String::new(), "Origin: http://a\r\n".to_owned()),
            Ask::Fixed(400) => {
                ("GET", String::new(), "If-Modified-Since: yesterday\r\n".to_owned())
            }
            Ask::Fixed(426) => ("GET", String::new(), "Upgrade: websocket\r\n".to_owned()),
            Ask::Fixed(_) => ("PATCH", String::new(), String::new()),
            Ask::Doomed(status) => unreachable!("{status} is made by `doomed`"),
        }
    }

    /// A request after which nobody knows where the next one begins.
    pub(crate) fn doomed(random: &mut Random) -> Self {
        let long = "x".repeat(2_000);
        let (status, text) = match random.below(8) {
            0 => (400, "GET /sub/a HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n".to_owned()),
            1 => (400, "GET /sub/a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".to_owned()),
            2 => (505, "GET /sub/a HTTP/3.0\r\nHost: x\r\n\r\n".to_owned()),
            3 => (414, format!("GET /sub/{long} HTTP/1.1\r\nHost: x\r\n\r\n")),
            4 => (431, format!("GET /sub/a HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n")),
            5 => (
                413,
                "POST /pub/a HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\nabc".to_owned(),
            ),
            6 => (
                413,
                "POST /pub/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                 fffff\r\nabc"
                    .to_owned(),
            ),
            _ => (
                400,
                "POST /pub/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\
                 Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                    .to_owned(),
            ),
        };
        Self {
            ask: Ask::Doomed(status),
            place: 0,
            channel: "a",
            channels: vec!["a"],
            accept: 0,
            close: true,
            keep_alive: false,
            head: text.into_bytes(),
            body: Vec::new(),
            chunked: false,
            first_run: 0,
            since: None,
            wait_s: 0,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.head[..self.head.len().min(200)].escape_ascii();
        write!(f, "\"{head}\" + {} bytes", self.body.len())
    }
}

fn is_subscriber(place: usize) -> bool {
    matches!(PLACES[place].kind, Kind::Subscriber { .. })
}

/// The query and the header lines that say a cursor.
fn written(random: &mut Random, cursor: Cursor) -> (String, String) {
    let MessageId { time, tag } = cursor.id();
    if !cursor.given {
        return match random.below(4) {
            0 => (String::new(), "If-None-Match: 7\r\n".to_owned()),
            1 => (String::new(), "Last-Event-ID: \r\n".to_owned()),
            2 => ("?last_event_id=".to_owned(), String::new()),
            _ => (String::new(), String::new()),
        };
    }
    let mut date = b"If-Modified-Since: ".to_vec();
    write_http_date(time, &mut date);
    let date = String::from_utf8(date).expect("ASCII") + "\r\n";
    let utc = date.replace("GMT", random.pick(&["UTC", "-0000", "GMT; length=3"]));
    let lines = match random.below(13) {
        8 => format!("{utc}If-None-Match: \"{tag}-gzip\"\r\n"),
        9 => format!("{date}If-None-Match: W/{tag}\r\n"),
        10 => format!("{utc}If-None-Match: {tag}\"\r\n"),
        0 => format!("{date}If-None-Match: \"{tag}\"\r\n"),
        1 => format!("{date}If-None-Match: W/\"{tag}\"\r\n"),
        2 => format!("Last-Event-ID: {time}:{tag}\r\n"),
        3 => format!("Etag: {time}:{tag}\r\n"),
        4 => return (format!("?last_event_id={time}:{tag}"), String::new()),
        5 => return (format!("?a=b&last_event_id={time}%3A{tag}"), "Etag: 1:1\r\n".to_owned()),
        11 => {
            return (format!("?last_event_id={time}:{tag};gap=1"), "Last-Event-ID:\r\n".to_owned());
        }
        12 => {
            let header = format!("Last-Event-ID: {time}:{tag};gap=unknown;channel=a\r\n");
            return ("?last_event_id=1:1".to_owned(), header);
        }
        6 if tag == 0 => date,
        _ => format!("if-none-match: {tag}\r\n{date}"),
    };
    (String::new(), lines)
}

/// A channel id with some of its characters percent-encoded.
fn spelled(random: &mut Random, channel: &str) -> String {
    let mut spelled = String::new();
    for byte in channel.bytes() {
        if b"/ ".contains(&byte) || random.percent(10) {
            spelled += &format!("%{byte:02X}");
        } else {
            spelled.push(byte as char);
        }
    }
    spelled
}

/// Channel ids as a location has them, some of them twice.
fn listed(random: &mut Random, ids: Ids, channels: &[&'static str]) -> String {
    let mut all: Vec<String> = channels.iter().map(|channel| spelled(random, channel)).collect();
    if ids != Ids::One && random.percent(20) {
        let again = random.pick(channels);
        all.push(spelled(random, again));
    }
    match ids {
        Ids::One | Ids::Split => all.join(","),
        Ids::Query => {
            let all: Vec<String> = all.iter().map(|id| format!("channel={id}")).collect();
            format!("?x=y&{}", all.join("&").replace("%20", random.pick(&["+", "%20"])))
        }
    }
}

/// A query as it stands behind the channel ids.
fn behind_ids(ids: Ids, query: String) -> String {
    if ids == Ids::Query { query.replacen('?', "&", 1) } else { query }
}

/// `body` in chunks, and where the data of the second one begins; if there is none, the length.
fn chunks(random: &mut Random, mut body: &[u8]) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let mut data_at = Vec::new();
    while !body.is_empty() {
        let (chunk, rest) = body.split_at(1 + random.index(body.len()));
        let extension = random.pick(&["", ";a=b"]);
        out.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        data_at.push(out.len());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        body = rest;
    }
    out.extend_from_slice(random.pick(&["0\r\n\r\n", "0\r\nX: y\r\n\r\n"]).as_bytes());
    let first_run = data_at.get(1).copied().unwrap_or(out.len());
    (out, first_run)
}
