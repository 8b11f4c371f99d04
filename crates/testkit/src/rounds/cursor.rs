//! Round of cursors in all their spellings, and of dates. A 304 says how the relay read a cursor:
//! read again, in any spelling, it means the same. The message that the relay sends is the first
//! one after the cursor.

use std::cell::OnceCell;

use pushserver::config::{Config, Overrides, Source};
use pushserver::http::{
    HeaderSlots, Scan, parse_http_date, parse_response, scan_response, values, write_http_date,
};
use pushserver::message::MessageId;
use pushserver::relay::Arrival;
use pushserver::{hub, relay};

use crate::network::{BEGIN_UNIX_S, Network};

/// The end of the year 9999.
const TIME_MAX: u64 = 253_402_300_799;

const SETTINGS: &[u8] = br#"{"locations": [
    {"type": "publisher", "prefix": "/p/"},
    {"type": "subscriber", "prefix": "/s/", "polling": "interval", "create_on_get": true}
]}"#;

/// What a cursor was taken for; `None`: there was none, which asks for the oldest message.
type Cursor = Option<(u64, u32)>;

/// From this first byte on, the text is `since` in the query.
const SINCE: u8 = 0xf0;

/// The first byte chooses where the cursor stands; a date and its tag are two lines.
pub fn round(data: &[u8]) {
    let Some((place, text)) = data.split_first() else { return };
    date(text);
    if text.len() > 1000 {
        return; // Refused for its length.
    }
    let mut server = Server::new();
    if *place >= SINCE {
        return since(&mut server, text);
    }
    let fields = fields(place % 7, text);
    let read = server.read(&fields);
    // One that stands for itself is read as anybody would.
    if (3..=5).contains(&(place % 7)) && text.iter().all(|byte| b"0123456789:".contains(byte)) {
        assert_eq!(read, plainly(text), "{}", text.escape_ascii());
    }
    if (3..=5).contains(&(place % 7)) {
        check_tag(text, read);
        check_following(&mut server, place % 7, text, read);
    }
    if place % 7 == 6 {
        check_order(&mut server, text, read);
    }
    let Some(cursor) = read else { return };
    if let Some((time, tag)) = cursor {
        assert!(time <= TIME_MAX);
        for place in 0..SPELLINGS {
            let again = server.read(&spelled(place, time, tag));
            assert_eq!(again, Some(cursor), "spelling {place} of {time}:{tag}");
        }
    }
    let wanted = server.ids.iter().copied().find(|id| cursor.is_none_or(|cursor| *id > cursor));
    assert_eq!(server.next_message(&fields), wanted, "after {cursor:?}");
}

/// Where `since` says that a request without a cursor begins.
fn since(server: &mut Server, text: &[u8]) {
    let now_s = server.network.now.unix_s;
    let query = [b"?since=", text].concat();
    let with = |line: &[u8]| (query.clone(), line.to_vec());
    let read = server.read(&with(b""));
    // One that may be ahead of the clock, in a channel with this newest id.
    let held_back = |id: (u64, u32), newest: (u64, u32)| match id > newest && id.0 >= now_s {
        true => (now_s - 1, 0),
        false => id,
    };
    if text.iter().all(|byte| b"0123456789:".contains(byte)) {
        let time = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        let time = time.filter(|time| *time <= TIME_MAX).map(|time: u64| Some((time, 0)));
        let said = time.or_else(|| plainly(text)).map(|id| id.filter(|id| id.0 > 0));
        let begins = |newest| said.map(|id| id.map(|id| held_back(id, newest)));
        assert_eq!(read, begins((0, 0)), "{}", text.escape_ascii());
        if let Some(cursor) = begins(*server.ids.last().expect("it has messages")) {
            let wanted = server.ids.iter().copied().find(|id| cursor.is_none_or(|at| *id > at));
            assert_eq!(server.next_message(&with(b"")), wanted, "since {}", text.escape_ascii());
        }
    }
    if let Some(Some((time, _))) = read {
        assert!(time < now_s, "what is published next would not be behind it");
    }
    // The query may have another cursor, or end.
    if text.contains(&b'&') {
        return;
    }
    let epoch = b"If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    let at_epoch = server.read(&with(epoch));
    assert!(at_epoch == read || (at_epoch, read) == (Some(Some((0, 0))), Some(None)));
    let beside = server.read(&with(b"Last-Event-ID: 5:5\r\n"));
    assert!(beside == Some(Some((5, 5))) || read.is_none(), "it replaces a cursor");
}

/// The request's query, and its header lines.
type Fields = (Vec<u8>, Vec<u8>);

fn fields(place: u8, text: &[u8]) -> Fields {
    let (first, second) = match text.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &b""[..]),
    };
    let line = |name: &[u8], value: &[u8]| {
        let value: Vec<u8> = value.iter().copied().filter(|byte| *byte != b'\n').collect();
        [name, b": ", &value, b"\r\n"].concat()
    };
    let (modified, tag) = (&b"If-Modified-Since"[..], &b"If-None-Match"[..]);
    match place {
        0 => (Vec::new(), [line(modified, first), line(tag, second)].concat()),
        1 => (Vec::new(), line(modified, first)),
        2 => (Vec::new(), line(tag, first)),
        3 => ([b"?last_event_id=", first].concat(), Vec::new()),
        4 => (Vec::new(), line(b"Last-Event-ID", first)),
        5 => (Vec::new(), line(b"Etag", first)),
        _ => ([b"?", first].concat(), line(b"Last-Event-ID", second)),
    }
}

/// As many as `spelled` knows.
const SPELLINGS: u8 = 6 + 2 * REWRITTEN.len() as u8;

/// What intermediaries make of the tag `#`.
const REWRITTEN: [&str; 12] = [
    "\"#\"",
    "W/\"#\"",
    "W/#",
    "w/\"#\"",
    "#\"",
    "#-gzip\"",
    "\"#-gzip\"",
    "W/\"#-gzip\"",
    "\"#\"-gzip",
    "\"#--gzip\"",
    "#;br",
    "#-gzip-zstd\"",
];

fn spelled(place: u8, time: u64, tag: u32) -> Fields {
    let mut date = Vec::new();
    write_http_date(time, &mut date);
    let id = format!("{time}:{tag}").into_bytes();
    let with_tag = |tag: String| [&date[..], b"\n", tag.as_bytes()].concat();
    let rewritten = |which: u8| REWRITTEN[usize::from(which)].replace('#', &tag.to_string());
    let of = REWRITTEN.len() as u8;
    match place {
        0 => fields(0, &with_tag(tag.to_string())),
        1..=2 => fields(place + 3, &id),
        3 => fields(3, &id),
        4 => fields(0, &with_tag(format!("0{tag}"))),
        5 => fields(6, &[&b"last_event_id="[..], &id].concat()),
        place if place - 6 < of => fields(0, &with_tag(rewritten(place - 6))),
        place => fields(4, format!("{time}:{}", rewritten(place - 6 - of)).as_bytes()),
    }
}

/// However a tag is spelled, it is the one number of its spelling: behind nothing but `W/` and a
/// quote, and before no other number, list or space.
fn check_tag(text: &[u8], read: Option<Cursor>) {
    let Some(Some((_, tag))) = read else { return };
    let text = String::from_utf8_lossy(text).replace("%22", "\"");
    // What the query or a header's space around the value adds is not judged here.
    if text.contains(['%', '&', '\n', ' ', '\t', '#']) {
        return;
    }
    let (_, spelled) = text.split_once(':').expect("TIME:TAG");
    let start = spelled.find(|c: char| c.is_ascii_digit()).expect("a number");
    let digits = spelled[start..].find(|c: char| !c.is_ascii_digit());
    let (number, rest) = spelled[start..].split_at(digits.unwrap_or(spelled.len() - start));
    assert_eq!(number.parse(), Ok(tag), "{spelled}");
    assert!(["", "\"", "W/", "W/\"", "w/", "w/\""].contains(&&spelled[..start]), "{spelled}");
    // What follows behind a `;` is no part of it, unless the tag has quotes, and they are open.
    let quotes = rest.match_indices('"').map(|(at, _)| at).next();
    let open = if spelled[..start].ends_with('"') { quotes.expect("the end of quotes") } else { 0 };
    let rest = &rest[..rest[open..].find(';').map_or(rest.len(), |at| open + at)];
    assert!(rest.chars().all(|c| c.is_ascii_alphanumeric() || "-;\"".contains(c)), "{spelled}");
    assert!(!rest.starts_with(|c: char| c.is_ascii_alphanumeric()), "{spelled}");
    assert!(!spelled[..start].ends_with('"') || rest.contains('"'), "{spelled}");
}

/// Whatever follows a cursor behind a `;` changes nothing.
fn check_following(server: &mut Server, place: u8, text: &[u8], read: Option<Cursor>) {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    // White space at the end of a value is none of it.
    if matches!(read, Some(Some(_))) && !line.ends_with(b" ") && !line.ends_with(b"\t") {
        for following in [&b";"[..], b";gap=3;channel=a%2Cb", b";\"4"] {
            let again = server.read(&fields(place, &[line, following].concat()));
            assert_eq!(again, read, "{}", line.escape_ascii());
        }
    }
}

/// The header is what counts, unless it is empty, whatever the query says.
fn check_order(server: &mut Server, text: &[u8], read: Option<Cursor>) {
    let (query, lines) = fields(6, text);
    let alone = server.read(&(Vec::new(), lines));
    match alone {
        // The query may be one that no request can have.
        Some(Some(_)) => assert!(read.is_none() || read == alone, "{}", text.escape_ascii()),
        Some(None) => assert_eq!(read, server.read(&(query, Vec::new()))),
        None => assert_eq!(read, None, "what cannot be read is not passed over"),
    }
}

/// `TIME:TAG` of digits, the plain way. `None`: it is refused.
fn plainly(text: &[u8]) -> Option<Cursor> {
    if text.is_empty() {
        return Some(None);
    }
    let (time, tag) = std::str::from_utf8(text).ok()?.split_once(':')?;
    let (time, tag): (u64, u32) = (time.parse().ok()?, tag.parse().ok()?);
    (time <= TIME_MAX).then_some(Some((time, tag)))
}

/// A date that is read is written so that it is read again.
fn date(text: &[u8]) {
    let Some(unix_s) = parse_http_date(text) else { return };
    assert!(unix_s <= TIME_MAX);
    let mut written = Vec::new();
    write_http_date(unix_s, &mut written);
    assert_eq!(written.len(), 29);
    assert_eq!(parse_http_date(&written), Some(unix_s));
}

/// A relay with a channel that has three messages, and one that never has any.
struct Server {
    network: Network,
    ids: Vec<(u64, u32)>,
}

impl Server {
    fn new() -> Self {
        let (relay, hub) = options();
        let mut server = Self { network: Network::new(&relay, hub), ids: Vec::new() };
        for at in [0, 0, 5] {
            server.network.now.unix_s = BEGIN_UNIX_S + at;
            let answer = server.ask("POST /p/full", b"", b"Content-Length: 1\r\n", b"m");
            let text = String::from_utf8(answer).expect("channel information");
            let id = text.rsplit(' ').next().and_then(|id| id.split_once(':'));
            let (time, tag) = id.expect("the id of the message");
            server.ids.push((time.parse().expect("a time"), tag.parse().expect("a tag")));
        }
        server
    }

    /// How the relay reads a cursor; `None`: it refuses it.
    fn read(&mut self, fields: &Fields) -> Option<Cursor> {
        let (status, validators) = self.validators("GET /s/empty", fields);
        match status {
            304 => Some(validators),
            400 => None,
            other => panic!("a cursor is answered {other}"),
        }
    }

    /// The message behind a cursor that can be read.
    fn next_message(&mut self, fields: &Fields) -> Cursor {
        let (status, validators) = self.validators("GET /s/full", fields);
        match status {
            200 => validators,
            304 => None,
            other => panic!("a cursor is answered {other}"),
        }
    }

    fn validators(&mut self, line: &str, (query, lines): &Fields) -> (u16, Cursor) {
        let answer = self.ask(line, query, lines, b"");
        let limits = pushserver::http::HeadLimits {
            header_bytes: 1 << 16,
            headers: 100,
            uri_bytes: 1 << 16,
        };
        let Ok(Scan::Complete { len }) = scan_response(&answer, 0, &limits) else {
            panic!("no answer: {}", answer.escape_ascii())
        };
        let mut slots = HeaderSlots::new();
        let head = parse_response(&answer[..len], &mut slots, false).expect("a sound answer");
        let tag = values(head.headers, "Etag").next().map(|tag| {
            let tag = std::str::from_utf8(tag).expect("ASCII");
            tag.parse().expect("a bare tag")
        });
        let time = values(head.headers, "Last-Modified").next();
        let time = time.map(|date| parse_http_date(date).expect("a date"));
        (head.status, time.zip(tag))
    }

    /// What a request on a connection of its own is answered.
    fn ask(&mut self, line: &str, query: &[u8], lines: &[u8], body: &[u8]) -> Vec<u8> {
        let conn = self.network.accept(Arrival::default());
        let version = b" HTTP/1.1\r\nHost: a\r\n";
        let request = [line.as_bytes(), query, version, lines, b"\r\n", body].concat();
        self.network.send(conn, &request);
        self.network.settle();
        let answer = self.network.take(conn);
        self.network.reset(conn);
        self.network.settle();
        answer
    }
}

thread_local! {
    static OPTIONS: OnceCell<(relay::options::Options, hub::options::Options)> =
        const { OnceCell::new() };
}

fn options() -> (relay::options::Options, hub::options::Options) {
    let made = || {
        let config = Config::parse(SETTINGS, Source::Defaults, Overrides::default());
        let config = config.expect("good settings");
        let first_id = MessageId { time: BEGIN_UNIX_S - 1, tag: 0 };
        (config.relay_options(), config.hub_options(first_id, 1))
    };
    OPTIONS.with(|options| options.get_or_init(made).clone())
}
